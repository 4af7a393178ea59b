//! zram before the disk: most pages stay in memory, compressed.

use quire_protocol::contents::Contents;

use crate::demo::needs::{DISK, Shown, TASKS, memory_pages};
use crate::{
    areas,
    demo::{
        figures::{Figures, sum},
        screen::{self, mib, seconds, tenths},
        stage::{Phase, Stage},
    },
    files,
};

const ZRAM: &str = "/dev/zram0";
const ATTRIBUTES: &str = "/sys/block/zram0";

pub(super) fn play() -> Shown {
    let memory = memory_pages()?;
    files::set(&format!("{ATTRIBUTES}/comp_algorithm"), "lz4")?;
    // Not all memory is to end in it.
    let size = memory * 3 / 8;
    files::set(&format!("{ATTRIBUTES}/disksize"), &(size * 4096).to_string())?;
    areas::make(ZRAM, size)?;
    areas::enable(ZRAM, 100)?;
    areas::enable(DISK, 0)?;
    let stage = Stage::set(TASKS, memory * 2 / TASKS, Contents::Mix, None)?;
    let rows = stage.play(&[Phase::Fill, Phase::InOrder], DISK)?;
    let mm_stat = files::numbers(&format!("{ATTRIBUTES}/mm_stat"))?;
    let tally = stage.end()?;
    areas::disable(ZRAM)?;
    areas::disable(DISK)?;
    files::set(&format!("{ATTRIBUTES}/reset"), "1")?;
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
        "zram held {original} pages, {} MiB of them in {} MiB of memory, the table of its slots and what lies between \
         pages included ({} MiB is what they were compressed to). {} reads needed no disk.",
        mib(original),
        mib(used),
        mib(compressed),
        sum(&rows, Figures::kept_in),
    ));
    screen::remember(&format!("{} pages lay where one would be without zram.", tenths(original * 10, used)));
    Ok(Ok(tally))
}
