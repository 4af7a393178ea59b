//! What a lab consists of.

use super::{exam::Exam, seed::Seed};

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
    pub(super) given: fn(Seed) -> Vec<(&'static str, String)>,
    /// The solutions that the grader compiles for its own use.
    pub(super) references: &'static [&'static str],
    /// Runs all checks.
    pub(super) judge: fn(&mut Exam<'_>),
}
