//! Which labs there are.

use std::fmt::Write as _;

use super::{error::LabError, exam::Exam, l1, l2, l5};

/// A lab. Its text and its stub are in the directory of its name in `labs/`.
pub(super) struct Lab {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) week: u8,
    /// What a student edits and hands in.
    pub(super) editable: &'static [&'static str],
    /// Directories and files of Quire that are in a student's tree: what the lab is built from, and what is to be read.
    pub(super) from_quire: &'static [&'static str],
    /// Members of a student's workspace beside the lab itself.
    pub(super) members: &'static [&'static str],
    /// The names of their crates.
    pub(super) crates: &'static [&'static str],
    /// Lines of the lab's manifest: what it depends on.
    pub(super) dependencies: &'static str,
    /// What a student is given that follows from the seed: names of files and what is in them.
    pub(super) given: fn(super::seed::Seed) -> Vec<(&'static str, String)>,
    /// Versions of what the student writes that the grader compiles for its own use.
    pub(super) references: &'static [Reference],
    /// Runs all checks.
    pub(super) judge: fn(&mut Exam<'_>),
}

/// A version of what the student writes, in a directory of the lab's.
pub(super) struct Reference {
    pub(super) name: &'static str,
    pub(super) directory: &'static str,
}

const LABS: &[&Lab] = &[&l1::LAB, &l2::LAB, &l5::LAB];

/// The lab of that name, in capital letters or not.
///
/// # Errors
/// [`LabError::NoSuchLab`].
pub(super) fn find(name: &str) -> Result<&'static Lab, LabError> {
    let found = LABS.iter().find(|lab| lab.name.eq_ignore_ascii_case(name));
    found.copied().ok_or_else(|| LabError::NoSuchLab(name.to_owned()))
}

/// The labs, a line each.
pub(super) fn list() -> String {
    let mut list = String::from("lab  week  subject\n");
    for Lab { name, week, title, .. } in LABS {
        writeln!(list, "{name:<5}{week:<6}{title}").expect("a string takes all");
    }
    list + "\nBegin with one: cargo lab start L1 ../L1 --id s123\n"
}
