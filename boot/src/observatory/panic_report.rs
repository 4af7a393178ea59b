//! What the launcher adds to a machine's own report of a panic.

use super::{Observatory, Site, Symbols, backtrace::Since};

/// What a machine's own report of a panic lacks, for its end: where that was, from the function that panicked on. `None` if there was
/// no panic, or nothing is known of it.
pub(crate) fn of_panic(site: &Site) -> Option<String> {
    /// What calls the reporter.
    const PANICKING: &str = "core::panicking::";
    let symbols = Symbols::read(&site.kernel()).ok()?;
    let backtraces = Observatory::open(&site.memory()).ok()?.backtraces(&symbols).ok()?;
    let mut panicked = backtraces.into_iter().find(|backtrace| backtrace.since == Since::Panic)?;
    let reporter = panicked.places.iter().rposition(|place| place.function.starts_with(PANICKING));
    panicked.places.drain(..reporter.map_or(0, |last| last + 1));
    Some(format!("  called by\n{}", panicked.lines()))
}
