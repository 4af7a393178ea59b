//! What became of a trace, as tables for a person.

use super::{
    run::{Amount, Contender, Outcome, Results},
    trace::Trace,
};

/// The hit ratios of all policies, and what else ours cost.
pub(super) fn report(trace: &Trace, what: &str, results: &Results) -> String {
    let (references, pages) = (trace.references.len(), trace.pages.len());
    let what = if what.is_empty() { String::new() } else { format!(" ({what})") };
    let title = format!("{}{what}: {references} references to {pages} pages\n", trace.name);
    let hits = |outcome: &Outcome| format!("{:.2}", percent(outcome.hits as u64, references as u64));
    let mut report = title + &table("hits in %", results, |_| true, hits);
    if results.rows.iter().any(|(contender, _)| contender.is_kernels()) {
        let faults = |outcome: &Outcome| (references - outcome.hits) as u64;
        let ours = |title, cell: &dyn Fn(&Outcome) -> String| table(title, results, Contender::is_kernels, cell);
        report += &ours("pages looked at a fault", &|outcome| format!("{:.2}", ratio(outcome.looks, faults(outcome))));
        report += &ours("with readahead: reads", &|outcome| outcome.reads.to_string());
        report += &ours("pages a read", &|outcome| format!("{:.2}", ratio(outcome.pages_read, outcome.reads)));
        report += &ours("read in vain in %", &|outcome| format!("{:.2}", percent(outcome.in_vain, outcome.pages_read)));
    }
    report
}

fn table(
    title: &str,
    results: &Results,
    is_shown: fn(&Contender) -> bool,
    cell: impl Fn(&Outcome) -> String,
) -> String {
    let head = results.frames.iter().map(|(frames, amount)| match amount {
        Amount::Frames(_) => frames.to_string(),
        Amount::Percent(percent) => format!("{frames} ({percent}%)"),
    });
    let shown = results.rows.iter().filter(|(contender, _)| is_shown(contender));
    let rows = shown.map(|(contender, outcomes)| line(&format!("  {}", contender.name()), outcomes.iter().map(&cell)));
    line(title, head) + &rows.collect::<String>()
}

fn line(title: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| format!("{cell:>13}")).collect();
    format!("  {title:24} {}\n", cells.join(" "))
}

#[expect(clippy::cast_precision_loss, reason = "no trace has 2^53 references")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    100.0 * ratio(part, whole)
}
