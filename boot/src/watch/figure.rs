//! A stretch of a run as a figure of the book: the page with fewer panels, what the machine said meanwhile, and the run in it. Its style
//! and its script are files beside it, which all figures share.

use std::{fmt::Write as _, io::Write as _, ops::Range};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Map, Value, json};

use super::{
    cells::SlotCell,
    feed::framed,
    page::{AFTER_RECORDING, BEFORE_RECORDING, figure_page},
    picture::{Change, Picture},
    recorder::Taken,
    run_page::leave_out_small_events,
};
use crate::observatory::event::What;

/// The most bytes of a figure.
pub const LIMIT: usize = 300_000;

/// What makes a figure of a run: when these texts change, so do figures.
pub const MAKERS: [&str; 5] = [
    include_str!("figure.rs"),
    include_str!("recorder.rs"),
    include_str!("message.rs"),
    include_str!("page.rs"),
    include_str!("page/page.html"),
];

/// How many pictures become one, and whether small events are left out, until a figure is small enough.
const WAYS: [(usize, bool); 8] =
    [(1, false), (2, false), (3, false), (4, false), (6, false), (6, true), (12, true), (48, true)];

/// Slots are shown in whole clusters.
const CLUSTER: usize = 512;

/// What is shown beside memory, swap and what the machine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// What happens, in words.
    Story,
    /// Curves over time.
    Curves,
    /// Processes and cgroups.
    Tasks,
}

impl Beside {
    /// The panel of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Story, Self::Curves, Self::Tasks].into_iter().find(|beside| beside.name() == name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Story => "story",
            Self::Curves => "curves",
            Self::Tasks => "tasks",
        }
    }
}

/// What of a run becomes a figure.
#[derive(Clone, Debug)]
pub struct Stretch<'a> {
    /// All that the machine said.
    pub log: &'a str,
    /// What it said in the meantime.
    pub part: Range<usize>,
    /// Lines that begin so are not shown.
    pub hidden: &'a str,
    /// What is to be seen.
    pub beside: Beside,
}

/// The figure, no larger than [`LIMIT`]; `None` if the machine was not seen at its beginning and later.
pub fn figure(taken: &[Taken], stretch: &Stretch<'_>) -> Option<String> {
    let first = taken.iter().position(|picture| picture.heard > stretch.part.start)?;
    let (mut before, (earlier, later)) = (Picture::default(), taken.split_at(first));
    for picture in earlier {
        before.follow(&picture.change);
    }
    let whole = before.whole()?;
    // With the first one behind it: what was said last may be in no other.
    let end =
        later.iter().position(|picture| picture.heard > stretch.part.end).map_or(later.len(), |behind| behind + 1);
    let pictures = later.get(..end).filter(|pictures| pictures.len() > 1)?;
    let look = json!({ "beside": stretch.beside.name(), "slots": slots_in_use(&whole, pictures) });
    let page = figure_page(stretch.beside.name(), &summary(&whole, pictures), &look.to_string());
    let pages = WAYS.into_iter().map(|(group, is_sparse)| {
        let run = run(&whole, pictures.chunks(group), is_sparse, stretch);
        page.replace("<!--RECORDING-->", &format!("{BEFORE_RECORDING}{run}{AFTER_RECORDING}"))
    });
    pages.into_iter().find(|page| page.len() <= LIMIT)
}

/// The messages, compressed.
fn run<'a>(
    whole: &Change,
    groups: impl Iterator<Item = &'a [Taken]>,
    is_sparse: bool,
    stretch: &Stretch<'_>,
) -> String {
    // What is written to memory is always taken.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let _ = gzip.write_all(&framed(whole));
    let mut said = stretch.part.start;
    for group in groups {
        let mut change = Change::default();
        for (number, picture) in group.iter().enumerate() {
            let before = std::mem::replace(&mut change, picture.change.clone());
            if number > 0 {
                change.follow(before);
            }
        }
        // Neither is told.
        change.events.retain(|event| !matches!(event.what, What::TaskSwitch { .. } | What::TlbFlush { .. }));
        if is_sparse {
            leave_out_small_events(&mut change);
        }
        let until = group.last().map_or(said, |picture| stretch.whole_lines(picture.heard)).max(said);
        let new = stretch.shown(said..until);
        said = until;
        if !new.is_empty() {
            change.facts.insert("said".into(), new.into());
        }
        let _ = gzip.write_all(&framed(&change));
    }
    STANDARD.encode(gzip.finish().unwrap_or_default())
}

impl Stretch<'_> {
    /// The end of the last line that was whole when so much of the log was there.
    fn whole_lines(&self, heard: usize) -> usize {
        let end = self.part.end.min(heard).min(self.log.len());
        self.log.as_bytes()[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
    }

    /// What is shown of these lines.
    fn shown(&self, lines: Range<usize>) -> String {
        let lines = self.log.get(lines).unwrap_or_default().lines();
        let shown = lines.filter(|line| !line.trim().is_empty() && !line.starts_with(self.hidden));
        shown.fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }
}

/// For each area how many slots hold all that were in use at any time.
fn slots_in_use(whole: &Change, pictures: &[Taken]) -> Map<String, Value> {
    let mut counts = Map::new();
    for change in [whole].into_iter().chain(pictures.iter().map(|picture| &picture.change)) {
        for (index, slots) in &change.areas {
            let is_used = |slot: &SlotCell| !matches!(slot.content, 0 | 4);
            let last = slots.told.iter().rfind(|(_, slot)| is_used(slot)).map_or(0, |(number, _)| *number);
            let known = counts.entry(index.to_string()).or_insert_with(|| 0.into());
            let most = known.as_u64().unwrap_or(0).max((last + 1).next_multiple_of(CLUSTER) as u64);
            *known = most.into();
        }
    }
    counts
}

/// In a sentence, for those whose browser runs no script.
fn summary(whole: &Change, pictures: &[Taken]) -> String {
    let number = |facts: &Map<String, Value>, name: &str| facts.get(name).and_then(Value::as_u64);
    let time = |change: &Change| number(&change.facts, "time").unwrap_or(0);
    let counter = |name: &str| {
        let of = |change: &Change| change.facts.get("counters").and_then(|counters| counters.get(name)?.as_u64());
        let start = of(whole).unwrap_or(0);
        pictures.iter().rev().find_map(|picture| of(&picture.change)).map_or(0, |end| end.saturating_sub(start))
    };
    let free = pictures.iter().filter_map(|picture| picture.change.facts.get("memory")?.get("free")?.as_u64()).min();
    let tenths = pictures.last().map_or(0, |last| time(&last.change)).saturating_sub(time(whole)) / 100_000;
    format!(
        "In {}.{} seconds of the machine's clock {} pages were written to swap and {} were read from it; {} frames were free at the least.",
        tenths / 10,
        tenths % 10,
        counter("pswpout"),
        counter("pswpin"),
        free.unwrap_or(0),
    )
}
