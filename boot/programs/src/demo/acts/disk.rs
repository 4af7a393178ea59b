//! A disk: working sets of four times the memory, in five phases.

use quire_protocol::contents::Contents;

use crate::demo::needs::{DISK, Shown, TASKS, memory_pages};
use crate::{
    demo::{
        figures::{Figures, sum},
        screen::{self, seconds, tenths},
        stage::{Phase, Stage},
        undo,
    },
    files,
};

pub(super) fn play() -> Shown {
    undo::enable(DISK, 0)?;
    let memory = memory_pages()?;
    let room = memory / 2 + files::number("/proc/meminfo", "SwapTotal")? / 4;
    let pages = (4 * memory).min(room) / TASKS;
    if room < 4 * memory {
        screen::paragraph(&format!("{DISK} has no room for more, so they use less than four times the memory."));
    }
    let stage = Stage::set(TASKS, pages, Contents::Mix, None)?;
    let phases = [Phase::Fill, Phase::InOrder, Phase::AtRandom, Phase::OverAndOver, Phase::InOrderAgain];
    let rows = stage.play(&phases, DISK)?;
    let tally = stage.end()?;
    screen::table(
        [
            "phase",
            "pages\nout",
            "write\nrequests",
            "pages in\na write",
            "pages\nin",
            "read\nrequests",
            "pages in\na read",
            "seconds",
        ],
        &rows
            .iter()
            .map(|row| {
                let figures = &row.figures;
                [
                    row.name.to_owned(),
                    figures.pages_out.to_string(),
                    figures.writes.to_string(),
                    tenths(figures.pages_out * 10, figures.writes),
                    figures.pages_in.to_string(),
                    figures.reads.to_string(),
                    tenths(figures.pages_in * 10, figures.reads),
                    seconds(row.took),
                ]
            })
            .collect::<Vec<_>>(),
    );
    let figures = |figure: fn(&Figures) -> u64| sum(&rows, figure);
    screen::paragraph(&format!(
        "{TASKS} processes of {} MiB in {} MiB of memory, and every byte came back. In order, the kernel reads ahead: {} \
         pages came before they were needed, and {} of those were used. At random there is nothing to read ahead.",
        screen::mib(pages),
        screen::mib(memory),
        figures(|figures| figures.readahead),
        figures(|figures| figures.readahead_hits),
    ));
    let each = tenths(figures(|figures| figures.pages_out) * 10, figures(|figures| figures.writes));
    screen::remember(&format!("one request took {each} pages to the disk."));
    Ok(Ok(tally))
}
