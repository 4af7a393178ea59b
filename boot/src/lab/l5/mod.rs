//! L5, Fewer, longer requests: how many neighbours of a missing page are worth reading with it.
//!
//! Nothing here has a right answer but the rules; what counts is what a slow disk would take for it.

mod disk;
mod workloads;

use std::fmt::Write as _;

use super::{
    definition::Lab,
    exam::{Exam, Found, Group},
    seed::Seed,
    words::counted,
};
use disk::{Fixed, Student};
use workloads::Workload;

pub(super) const LAB: Lab = Lab {
    name: "L5",
    title: "Fewer, longer requests: how far to read ahead on a slow disk",
    week: 3,
    editable: &["lab/src/readahead.rs", "own-test.txt", "note.md"],
    from_quire: &["swap/src/readahead.rs", "docs/glossary.md"],
    members: &[],
    crates: &[],
    dependencies: "",
    given: |seed| {
        let text = format!(
            "The accesses in own-test.txt have to show what is wrong with this readahead, which is yours:\n\n  it reads {} pages after the missing one, always\n",
            fixed(seed)
        );
        vec![("bug.txt", text)]
    },
    references: &[],
    judge,
};

/// The most accesses in a student's own test.
const OWN_TEST_MAX: usize = 24;

/// In the mean of the workloads, in hundredths of the best: this has all points for performance, and that none.
const ALL_POINTS: u64 = 112;
const NO_POINTS: u64 = 200;

fn judge(exam: &mut Exam<'_>) {
    let (own, hidden) = (exam.seed, exam.hidden);
    for workload in workloads::all(own) {
        exam.check(Group::Correctness, workload.name, 10, |exam| try_one(exam, &workload).map(drop).into());
    }
    if let Some(hidden) = hidden {
        exam.check(Group::HiddenSeeds, "all workloads, hidden seeds", 15, |exam| {
            let results = workloads::all(hidden).map(|workload| try_one(exam, &workload));
            let right = results.iter().filter(|result| result.is_ok()).count() as u32;
            results.into_iter().find_map(Result::err).map_or(Found::Right, |words| Found::Part(3 * right, words))
        });
    }
    exam.check(Group::Performance, "cost beside the best there can be", 15, |exam| cost(exam, hidden.unwrap_or(own)));
    exam.check(Group::OwnTest, "own test", 5, |exam| own_test(exam.text("own-test.txt"), fixed(own)).into());
}

/// The window of the readahead that this student's test has to find wrong.
fn fixed(seed: Seed) -> u64 {
    4 + seed.random("bug").below(8)
}

/// What the student's code costs, in hundredths of the best.
fn share(exam: &Exam<'_>, workload: &Workload) -> Result<(u64, disk::Bill), String> {
    let mut subject = exam.subject()?;
    let mut student = Student::new(&mut subject);
    let bill = disk::run(&mut student, &workload.pages).and_then(|bill| student.end().map(|()| bill));
    let bill = bill.map_err(|words| format!("{}: {words}", workload.name))?;
    Ok((100 * bill.cost() / workload.best, bill))
}

fn try_one(exam: &Exam<'_>, workload: &Workload) -> Result<u64, String> {
    let (share, bill) = share(exam, workload)?;
    if share <= workload.most {
        return Ok(share);
    }
    // A page that left before it was used costs another request when it is.
    let is_wasteful = 2 * bill.wasted > bill.cost() - workload.best || 20 * bill.wasted > bill.pages;
    let hint = if is_wasteful { workload.if_wasteful } else { workload.if_slow };
    Err(format!(
        "{}: {} requests, {} pages, {} of them for nothing: {share} % of the best, at most {} % are asked for\nhint: {hint}",
        workload.name, bill.requests, bill.pages, bill.wasted, workload.most
    ))
}

fn cost(exam: &Exam<'_>, seed: Seed) -> Found {
    let workloads = workloads::all(seed);
    let (mut sum, mut words) = (0, String::new());
    for workload in &workloads {
        match share(exam, workload) {
            Ok((share, bill)) => {
                sum += share;
                let (name, requests, pages) = (workload.name, bill.requests, bill.pages);
                _ = writeln!(words, "{name}: {requests} requests, {pages} pages, {share} % of the best");
            }
            Err(words) => return Found::Wrong(words),
        }
    }
    let mean = sum / workloads.len() as u64;
    let points = 15 * NO_POINTS.saturating_sub(mean.max(ALL_POINTS)) / (NO_POINTS - ALL_POINTS);
    let points = u32::try_from(points).unwrap_or(0);
    Found::Part(points, format!("{mean} % of the best in the mean; {ALL_POINTS} % have all points\n{words}"))
}

/// On the student's accesses the fixed window costs a quarter more than reading nothing ahead does.
fn own_test(text: &str, window: u64) -> Result<(), String> {
    let lines = || text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let pages = lines().filter_map(|line| line.strip_prefix("pages")).flat_map(str::split_whitespace).map(|page| {
        page.parse()
            .ok()
            .filter(|page| *page < workloads::PAGES)
            .ok_or_else(|| format!("own-test.txt: `{page}` is no page of the area"))
    });
    let pages: Vec<u64> = pages.collect::<Result<_, _>>()?;
    if pages.is_empty() || pages.len() > OWN_TEST_MAX {
        return Err(format!(
            "own-test.txt: {} after `pages`; 1 to {OWN_TEST_MAX} are asked for",
            counted(pages.len(), "page stands", "pages stand")
        ));
    }
    let [none, fixed] = [0, window].map(|window| disk::run(&mut Fixed(window), &pages).map(disk::Bill::cost));
    let (none, fixed) = (none?, fixed?);
    if 4 * fixed >= 5 * none {
        return Ok(());
    }
    Err(format!(
        "own-test.txt: reading {window} pages ahead costs {fixed} on these accesses, and none {none}: a quarter more is asked for"
    ))
}
