//! Why nothing was tried.

use std::{io, path::PathBuf};

use thiserror::Error;

use quire_protocol::references;

use super::{run, trace::TraceError};

/// Why nothing was tried. The program's exit status is 2 for all of them.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    /// A trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// No policy has this name.
    #[error("--policy {0}: there is no such policy; there are {names}", names = run::names().join(", "))]
    NoSuchPolicy(String),
    /// No generator has this name.
    #[error("--generate {0}: there is no such generator; there are {names}", names = references::names().join(", "))]
    NoSuchGenerator(String),
    /// A number of frames that is none.
    #[error("--frames {0}: {1}, as in --frames 1000 or --frames 10%")]
    Frames(String, &'static str),
    /// A picture cannot be written.
    #[error("--curves {}: {source}", path.display())]
    Curves {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
