//! Why a machine could not be looked at.

use std::{io, path::PathBuf};

use quire_protocol::observatory::VERSION;
use thiserror::Error;

/// Why there is no [`Snapshot`](super::Snapshot). Each says in one line what to do.
#[derive(Debug, Error)]
pub enum ObservatoryError {
    /// The memory file cannot be opened.
    #[error("cannot open the memory file {}: {source}; a run that ended badly says where it has left its own", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be read, or has become shorter.
    #[error(
        "cannot read the machine's memory at {offset:#x}: {source}; was its file cut short or replaced? boot again"
    )]
    Read {
        /// Where in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No kernel has published itself in it.
    #[error(
        "no Quire kernel is in this memory: one that has just been started publishes itself within seconds, so try again; \
         otherwise this is not the memory file of a machine that Quire has booted on"
    )]
    NoKernel,
    /// The kernel is of another version of Quire.
    #[error(
        "this memory is of another version of Quire (it publishes itself by version {0}, and version {VERSION} is read \
         here): look at it with the launcher that booted it, or boot again"
    )]
    Version(u64),
    /// Something does not lie where it can.
    #[error("the machine's memory is damaged: {what} cannot be at {address:#x} ({why}); boot again")]
    Damaged {
        /// What.
        what: &'static str,
        /// Where it is said to be.
        address: u64,
        /// What is wrong with that.
        why: &'static str,
    },
    /// The kernel's ELF file cannot be read, so its functions have no names.
    #[error("cannot read the kernel's symbols from {}: {why}; its file is kept with the machine's memory", path.display())]
    Symbols {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something was changed by the guest each time that it was read.
    #[error("{0} changed each time that it was read: try again, or pause the machine")]
    Restless(&'static str),
}
