//! Why there was no run. Each is found before the guest starts, and all but the last two before anything is built.

use std::{io, path::PathBuf};

use quire_protocol::COMMAND_LINE_MAX;
use thiserror::Error;

use crate::{limits, size::Size};

/// Why Quire was not booted. The program's exit status is 2 for all of them.
#[derive(Debug, Error)]
pub enum Error {
    /// Less memory than the kernel can work with.
    #[error("{0} of memory is too little: Quire needs at least {min}, as in --memory {min}", min = limits::MEMORY_MIN)]
    MemoryTooSmall(Size),
    /// A size of a swap disk that no header can describe.
    #[error(
        "a swap disk of {0} is not possible: it has from {min} to {max}, as in --swap 256M",
        min = limits::SWAP_MIN,
        max = limits::SWAP_MAX
    )]
    SwapSize(Size),
    /// Longer than what the kernel reads.
    #[error("the kernel's command line has {0} bytes, but only {COMMAND_LINE_MAX} reach it: shorten --append")]
    CommandLineTooLong(usize),
    /// A disk that cannot be opened the way the guest needs it.
    #[error("--disk {}: {source}", path.display())]
    Disk {
        /// The disk.
        path: PathBuf,
        /// What opening it said.
        source: io::Error,
    },
    /// A directory or a character device where a disk is meant.
    #[error("--disk {}: neither a disk image nor a block device", path.display())]
    NotADisk {
        /// What was given.
        path: PathBuf,
    },
    /// The swap disk is in use by another launcher.
    #[error("{} is the swap disk of a Quire that is running: leave that one first", path.display())]
    SwapDiskBusy {
        /// The swap disk.
        path: PathBuf,
    },
    /// An initramfs that cannot be read.
    #[error("--initrd {}: {source}; it takes a cpio archive (newc), plain or gzip, as in --initrd root.cpio", path.display())]
    Initrd {
        /// What was given.
        path: PathBuf,
        /// What reading it said.
        source: io::Error,
    },
    /// A file for a recording that cannot be written.
    #[error("--record-trace {}: {source}; it takes the name of a file that can be written, as in --record-trace run.trace", path.display())]
    Trace {
        /// What was given.
        path: PathBuf,
        /// What writing it said.
        source: io::Error,
    },
    /// Instructions can only be counted where they are translated.
    #[error("--icount needs --accel tcg: KVM runs instructions that nobody counts")]
    IcountNeedsTcg,
    /// KVM was asked for and is not to be had.
    #[error("--accel kvm: /dev/kvm: {0}")]
    NoKvm(io::Error),
    /// A recording whose name stands for no form.
    #[error("--record {}: a recording is a page, as in --record run.html, or lines of JSON, as in --record run.json.gz", path.display())]
    RecordingForm {
        /// What was given.
        path: PathBuf,
    },
    /// A recording that cannot be made.
    #[error("{option} {}: {source}: make its directory first, or choose a place with room", path.display())]
    Recording {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither cargo, the executable's place nor the current directory is in a project.
    #[error("there is no Quire around this program or the current directory: run it in the project's directory")]
    NoProject,
    /// A program or file that `./setup` provides.
    #[error("{0} is missing: run ./setup, which installs it or says how to get it")]
    Missing(&'static str),
    /// A file operation on the launcher's own files.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A step of the build failed; its own messages have been shown.
    #[error("{0} failed; its messages are above")]
    Build(&'static str),
    /// QEMU refused to start the machine.
    #[error("QEMU did not start the machine:\n{}", .0.trim_end())]
    Qemu(String),
}

impl Error {
    /// For `map_err`: an [`Error::File`] on `path`.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
