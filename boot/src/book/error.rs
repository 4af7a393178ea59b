//! Why there is no book.

use std::{io, path::Path};

use quire_boot::{Error, chapters};
use thiserror::Error as ThisError;

/// Why there is no book.
#[derive(Debug, ThisError)]
pub(crate) enum BookError {
    /// Chapters name what is not there.
    #[error("the book names what is not there:\n  {}", .0.join("\n  "))]
    Problems(Vec<String>),
    /// As for every other build.
    #[error(transparent)]
    Build(#[from] Error),
    /// A command could not be recorded.
    #[error("{0}")]
    Problem(#[from] chapters::Problem),
    /// A program ended with an error, or warned.
    #[error("{0} failed:\n{1}")]
    Failed(&'static str, String),
}

pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}
