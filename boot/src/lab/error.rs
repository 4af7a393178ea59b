//! Why nothing was done about a lab.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why nothing was done. What is wrong with a student's code is not among these.
#[derive(Debug, Error)]
pub(crate) enum LabError {
    #[error("there is no lab {0}: `cargo lab list` shows those there are")]
    NoSuchLab(String),
    #[error(
        "`{}` cannot be an id: it has 1 to 32 letters a-z, digits, dots, dashes and underscores, and begins with a letter or digit, as in --id s123", .0.escape_debug()
    )]
    Id(String),
    #[error("{} is not empty: name a directory that is not there yet, or an empty one", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is no directory: name one that is not there yet, or an empty one", .0.display())]
    NotADirectory(PathBuf),
    #[error("this is no student's tree: go to the directory that `cargo lab start LAB DIR` made")]
    NoTree,
    #[error("labs are started and graded in Quire's own directory; here it is `cargo lab test` and `cargo lab submit`")]
    NoProject,
    #[error("{} is damaged: {what}; start the lab again in another directory and copy your files there", path.display())]
    DamagedTree { path: PathBuf, what: String },
    #[error("{0} has nothing to run by itself: `cargo lab test` tests it")]
    NothingToRun(&'static str),
    #[error("{0}")]
    Run(String),
    #[error("what {lab} gives to its students does not work on this machine:\n{words}")]
    Stub { lab: &'static str, words: String },
    #[error(transparent)]
    Launcher(#[from] quire_boot::Error),
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
}

impl LabError {
    /// For `map_err`: a [`LabError::File`] on `path`.
    pub(super) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
