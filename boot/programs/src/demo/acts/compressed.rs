//! zram before the disk: most pages stay in memory, compressed.

use quire_protocol::contents::Contents;

use crate::demo::needs::{DISK, Shown, TASKS, memory_pages};
use crate::{
    areas,
    demo::{
        figures::{Figures, sum},
        screen::{self, mib, seconds, tenths},
        stage::{Phase, Stage},
        undo,
    },
    files,
};

const ZRAM: &str = "/dev/zram0";
const ATTRIBUTES: &str = "/sys/block/zram0";

pub(super) fn play() -> Shown {
    let memory = memory_pages()?;
    // Refused while another has the device, which is not to be reset then.
    files::set(&format!("{ATTRIBUTES}/comp_algorithm"), "lz4")?;
    undo::later(&format!("echo 1 >{ATTRIBUTES}/reset"))?;
    // Not all memory is to end in it.
    let size = memory * 3 / 8;
    files::set(&format!("{ATTRIBUTES}/disksize"), &(size * 4096).to_string())?;
    areas::make(ZRAM, size)?;
    undo::enable(ZRAM, 100)?;
    undo::enable(DISK, 0)?;
    let stage = Stage::set(TASKS, memory * 2 / TASKS, Contents::Mix, None)?;
    let rows = stage.play(&[Phase::Fill, Phase::InOrder], DISK)?;
    let mm_stat = files::numbers(&format!("{ATTRIBUTES}/mm_stat"))?;
    let tally = stage.end()?;
    let [original, compressed, used, ..] = mm_stat[..].iter().map(|bytes| bytes / 4096).collect::<Vec<_>>()[..] else {
        return Err("mm_stat has too few columns".into());
    };
    screen::table(
        [
            "phase",
            "pages out\nto zram",
            "pages out\nto the disk",
            "pages in\nfrom zram",
            "pages in\nfrom the disk",
            "seconds",
        ],
        &rows
            .iter()
            .map(|row| {
                let figures = &row.figures;
                let [to_zram, to_disk, from_zram, from_disk] =
                    [figures.kept_out(), figures.pages_written, figures.kept_in(), figures.pages_read]
                        .map(|pages| pages.to_string());
                [row.name.to_owned(), to_zram, to_disk, from_zram, from_disk, seconds(row.took)]
            })
            .collect::<Vec<_>>(),
    );
    screen::paragraph(&format!(
        "zram held {original} pages, {} MiB, in {} MiB of memory: they were compressed to {} MiB, and the rest is the \
         table of its slots and what lies between compressed pages. {} pages came back without the disk.",
        mib(original),
        mib(used),
        mib(compressed),
        sum(&rows, Figures::kept_in),
    ));
    screen::remember(&format!("{} pages lay where one would be without zram.", tenths(original * 10, used)));
    Ok(Ok(tally))
}
