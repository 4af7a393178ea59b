//! Chapters as they were written, and what is made of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt,
    path::PathBuf,
};

use crate::{project, watch::figure::Beside};

/// A page of the book as it was written.
#[derive(Debug)]
pub struct Chapter {
    /// The file's name in `docs/`.
    pub name: String,
    /// Markdown with directives.
    pub text: String,
}

/// Something that a chapter names and that is not there.
#[derive(Debug)]
pub struct Problem {
    pub(super) chapter: String,
    pub(super) what: String,
}

/// What is made of all chapters.
#[derive(Debug, Default)]
pub struct Expanded {
    /// Markdown, by the name of its file.
    pub pages: BTreeMap<String, String>,
    /// Pictures, by the name of their file in `figures/`.
    pub figures: BTreeMap<String, String>,
    /// What a figure of a chapter's commands shows beside memory and swap, by the chapter's file.
    pub recordings: BTreeMap<String, Beside>,
    /// Traces whose curves are wanted.
    pub curves: BTreeSet<String>,
    /// Files of the project that chapters lead to.
    pub sources: BTreeSet<String>,
    /// What is missing.
    pub problems: Vec<Problem>,
}

/// Where the chapters are.
pub fn directory() -> PathBuf {
    project().join("docs")
}

impl Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "docs/{}: {}", self.chapter, self.what)
    }
}
