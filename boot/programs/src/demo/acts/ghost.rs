//! Ghost swap: swap space with nothing behind it, whose pages live in zswap.

use std::fs;

use quire_protocol::contents::Contents;

use crate::demo::needs::{DISK, Shown, TASKS, enough_memory};
use crate::{
    demo::{
        figures::sum,
        screen::{self, mib, seconds, tenths},
        stage::{Phase, Stage},
        undo,
    },
    files,
};

const GHOST: &str = "/dev/ghostswap";
const PARAMETERS: &str = "/sys/module/zswap/parameters";

pub(super) fn play() -> Shown {
    if !fs::exists(GHOST)? {
        return Ok(Err(format!("this kernel has no {GHOST}")));
    }
    let memory = match enough_memory()? {
        Ok(memory) => memory,
        Err(why) => return Ok(Err(why)),
    };
    for (name, value) in [("enabled", "Y"), ("max_pool_percent", "50")] {
        let path = format!("{PARAMETERS}/{name}");
        undo::set(&path, value, &files::text(&path)?)?;
    }
    undo::enable(GHOST, 0)?;
    let pages = |name| files::number("/proc/meminfo", name).map(|kib| kib / 4);
    let size = pages("SwapTotal")?;
    let stage = Stage::set(TASKS, memory * 9 / 8 / TASKS, Contents::Text, None)?;
    let rows = stage.play(&[Phase::Fill, Phase::InOrder], DISK)?;
    let used = files::swap_used()?;
    let (stored, pool) = (pages("Zswapped")?, pages("Zswap")?);
    let tally = stage.end()?;
    screen::table(
        [
            "phase",
            "pages out\nto zswap",
            "pages in\nfrom zswap",
            "pages out\nto a disk",
            "pages in\nfrom a disk",
            "seconds",
        ],
        &rows
            .iter()
            .map(|row| {
                let figures = &row.figures;
                let [out, back, to_disk, from_disk] =
                    [figures.kept_out(), figures.kept_in(), figures.pages_written, figures.pages_read]
                        .map(|pages| pages.to_string());
                [row.name.to_owned(), out, back, to_disk, from_disk, seconds(row.took)]
            })
            .collect::<Vec<_>>(),
    );
    let on_disk = sum(&rows, |figures| figures.pages_written + figures.pages_read);
    screen::paragraph(&format!(
        "{GHOST} offered {} MiB of swap and has no byte of its own: {used} of its slots were in use at the end. {} MiB of \
         pages lay in zswap, in {} MiB of memory; the disk saw {on_disk} pages.",
        mib(size),
        mib(stored),
        mib(pool),
    ));
    screen::remember(&format!("{} pages lay where one would be without zswap.", tenths(stored * 10, pool)));
    Ok(Ok(tally))
}
