//! The checks of one hand-in, and its points.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{
    files::Files,
    note,
    seed::Seed,
    subject::{self, Subject},
};

/// What points are given for, and how many there are in each lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Correctness,
    HiddenSeeds,
    Performance,
    Note,
    OwnTest,
}

/// All groups with their points.
pub(super) const RUBRIC: [(Group, &str, u32); 5] = [
    (Group::Correctness, "correctness", 50),
    (Group::HiddenSeeds, "hidden seeds", 15),
    (Group::Performance, "performance", 15),
    (Group::Note, "design note", 15),
    (Group::OwnTest, "own test", 5),
];

/// A check that was made.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) group: Group,
    pub(super) name: &'static str,
    pub(super) points: u32,
    pub(super) max: u32,
    /// What is wrong, or how many points are missing for what.
    pub(super) words: String,
}

/// What a check found.
pub(super) enum Found {
    Right,
    /// So many of the points, and why not all, or what else is worth to know.
    Part(u32, String),
    Wrong(String),
    /// Nothing is wrong, but what decides the points is not here: none are counted, nor could be.
    Open(String),
}

impl From<Result<Self, String>> for Found {
    fn from(result: Result<Self, String>) -> Self {
        result.unwrap_or_else(Self::Wrong)
    }
}

impl From<Result<(), String>> for Found {
    fn from(result: Result<(), String>) -> Self {
        result.map_or_else(Self::Wrong, |()| Self::Right)
    }
}

/// One hand-in, being judged.
pub(super) struct Exam<'a> {
    /// The program, or why there is none.
    pub(super) program: &'a Result<PathBuf, String>,
    /// What the student may edit.
    pub(super) files: &'a Files,
    /// The student's own seed.
    pub(super) seed: Seed,
    /// The seed that only the grader knows.
    pub(super) hidden: Option<Seed>,
    /// The lab's references, by their names; none in a student's tree.
    pub(super) references: &'a BTreeMap<&'static str, PathBuf>,
    /// The student's tree, for what the student can try again; none in the grader.
    pub(super) tree: Option<&'a Path>,
    /// Whether a kernel with the student's code in it may be built and booted.
    pub(super) boots: bool,
    /// Is shown each check when it is made: one may take seconds.
    pub(super) on_check: fn(&Check),
    pub(super) checks: Vec<Check>,
}

impl Exam<'_> {
    /// Makes all checks: those of a lab, and that of the note, which each lab has.
    pub(super) fn judge(&mut self, judge: fn(&mut Self)) {
        judge(self);
        let note = self.text("note.md").to_owned();
        self.check(Group::Note, "design note", 15, |_| {
            let (points, words) = note::judge(&note);
            Found::Part(points, words)
        });
        debug_assert!(
            self.hidden.is_none() || !self.boots || self.checks.iter().map(|check| check.max).sum::<u32>() == 100
        );
    }

    /// One of the student's files as text; empty if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.files.get(name).and_then(|contents| str::from_utf8(contents).ok()).unwrap_or_default()
    }

    /// Makes one check.
    pub(super) fn check(&mut self, group: Group, name: &'static str, max: u32, check: impl FnOnce(&mut Self) -> Found) {
        let (points, max, words) = match check(self) {
            Found::Right => (max, max, String::new()),
            Found::Part(points, words) => (points.min(max), max, words),
            Found::Wrong(words) => (0, max, words),
            Found::Open(words) => (0, 0, words),
        };
        // Said once by the caller, not for each check that has no program.
        let is_said = self.program.as_ref().is_err_and(|said| words.contains(said.as_str()));
        let words = if is_said { String::new() } else { words };
        let check = Check { group, name, points, max, words };
        (self.on_check)(&check);
        self.checks.push(check);
    }

    /// The student's code, newly started.
    ///
    /// # Errors
    /// It does not compile, or cannot be started.
    pub(super) fn subject(&self) -> Result<Subject, String> {
        let hangs = self.checks.iter().any(|check| check.words.contains(subject::HANGS));
        let seconds = if hangs { subject::SECONDS_AFTER_HANG } else { subject::SECONDS_MAX };
        Subject::start(self.program.as_ref().map_err(Clone::clone)?, seconds)
    }

    /// Leaves a run that failed in the student's tree, where there is one; what the student does with it then.
    pub(super) fn leave_failed(&self, text: &str) -> Option<String> {
        const FAILED: &str = "failed.txt";
        fs::write(self.tree?.join(FAILED), text).ok()?;
        Some(format!("{FAILED}: `cargo lab run {FAILED}`"))
    }

    /// The program of a reference, newly started, where there are references.
    pub(super) fn reference(&self, name: &str) -> Option<Result<Subject, String>> {
        self.references.get(name).map(|program| Subject::start(program, subject::SECONDS_MAX))
    }

    /// The points of a group, or of all.
    pub(super) fn points(&self, group: Option<Group>) -> u32 {
        points(&self.checks, group)
    }
}

/// The points of a group, or of all.
pub(super) fn points(checks: &[Check], group: Option<Group>) -> u32 {
    let counts = |check: &&Check| group.is_none_or(|group| group == check.group);
    checks.iter().filter(counts).map(|check| check.points).sum()
}
