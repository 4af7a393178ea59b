//! Builds the kernel, makes a bootable image of it, boots that in QEMU and reports what the guest said at the end.
//!
//! The program `quire` (`cargo run`) is a command line over [`Machine`]; tests use the same [`Machine`]:
//!
//! ```no_run
//! use std::time::Duration;
//! use quire_boot::{Disk, Machine, Size};
//!
//! let outcome = Machine::new()
//!     .memory(Size::mebibytes(32))
//!     .disk(Disk::swap(Size::mebibytes(128)))
//!     .append("scenario=swap")
//!     .timeout(Duration::from_secs(120))
//!     .run()?;
//! assert!(outcome.status.is_success(), "{}\n{}", outcome.status, outcome.log);
//! # Ok::<(), quire_boot::Error>(())
//! ```
//!
//! Several launchers may run at once: a lock on a file serialises the build ([`build`]), and whatever a run writes is
//! in a directory of its own, except a swap disk that is asked for by its path and locked meanwhile ([`Disk::kept_at`]).
//!
//! | module | subject |
//! |---|---|
//! | [`machine`], `run` | what is booted; the run from the checks to the outcome |
//! | [`size`] | sizes as a person writes them |
//! | [`disk`] | virtio disks and the files behind them |
//! | [`initramfs`] | the initramfs that the launcher makes, from the guest's programs and a shell |
//! | [`cpio`] | the form of an initramfs |
//! | [`toolchain`] | which cargo can build for bare metal |
//! | [`build`] | kernel, image and the guest's programs, made when something changed |
//! | [`qemu`] | QEMU's arguments |
//! | `recording` | the page references of a run, as a trace |
//! | [`guest`] | QEMU as a process: serial line, timeout, end |
//! | `no_tpm` | the firmware without its wait for a TPM |
//! | [`firmware`] | what the firmware prints, kept away from the reader |
//! | [`outcome`] | how a run ended, as words and as an exit status |
//! | [`observatory`] | the machine seen from outside, while it runs or after its end |
//! | [`watch`] | the picture of a machine: a page in a browser, recordings |
//! | [`files`], [`solution`] | files of a directory; what the labs' tutors have |
//! | [`error`] | why there was no run |
//! | [`chapters`] | the book's chapters, and what they name in the code |

#![forbid(unsafe_code)]

pub mod build;
pub mod chapters;
pub mod cpio;
pub mod disk;
pub mod error;
pub mod files;
pub mod firmware;
pub mod guest;
pub mod initramfs;
pub mod limits;
pub mod machine;
mod no_tpm;
pub mod observatory;
mod option_value;
pub mod outcome;
mod project;
pub mod qemu;
mod recording;
mod run;
pub mod size;
pub mod solution;
pub mod toolchain;
pub mod watch;

pub use disk::Disk;
pub use error::Error;
pub use initramfs::Initramfs;
pub use machine::{Accelerator, Console, Machine};
pub use outcome::{Outcome, Status};
pub use project::{find_project, project, target};
pub use size::Size;
pub use toolchain::Toolchain;
