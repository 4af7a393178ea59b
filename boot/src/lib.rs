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
//! | [`machine`] | what is booted, and the run from the checks to the outcome |
//! | [`size`] | sizes as a person writes them |
//! | [`disk`] | virtio disks and the files behind them |
//! | [`initramfs`] | the initramfs that the launcher makes, from the guest's programs and a shell |
//! | [`cpio`] | the form of an initramfs |
//! | [`toolchain`] | which cargo can build for bare metal |
//! | [`build`] | kernel, image and the guest's programs, made when something changed |
//! | [`qemu`] | QEMU's arguments |
//! | [`guest`] | QEMU as a process: serial line, timeout, end |
//! | [`firmware`] | what the firmware prints, kept away from the reader |
//! | [`outcome`] | how a run ended, as words and as an exit status |
//! | [`error`] | why there was no run |

#![forbid(unsafe_code)]

pub mod build;
pub mod cpio;
pub mod disk;
pub mod error;
pub mod firmware;
pub mod guest;
pub mod initramfs;
pub mod machine;
pub mod outcome;
pub mod qemu;
pub mod size;
pub mod toolchain;

pub use disk::Disk;
pub use error::Error;
pub use initramfs::Initramfs;
pub use machine::{Accelerator, Console, Machine};
pub use outcome::{Outcome, Status};
pub use size::Size;
pub use toolchain::Toolchain;

use std::{
    env, iter,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The project's directory, where the workspace's `Cargo.toml` lies. It is found when the program runs, and not built in: a
/// built tree can be copied, and its programs then belong to the copy.
///
/// # Errors
/// [`Error::NoProject`].
pub fn find_project() -> Result<&'static Path, Error> {
    static PROJECT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PROJECT.get_or_init(|| {
        // Cargo names the package that it runs or tests, wherever its target directory is. Without cargo the executable lies
        // in the project.
        let of_cargo = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let places = iter::once(of_cargo).chain(iter::once_with(|| env::current_exe().ok()));
        let mut places = places.chain(iter::once_with(|| env::current_dir().ok())).flatten();
        places.find_map(|place| place.ancestors().find(|directory| is_project(directory)).map(Path::to_owned))
    });
    found.as_deref().ok_or(Error::NoProject)
}

fn is_project(directory: &Path) -> bool {
    ["rust-toolchain.toml", "kernel/Cargo.toml", "boot/Cargo.toml"].iter().all(|file| directory.join(file).is_file())
}

/// The project's directory, as [`find_project`].
///
/// # Panics
/// If there is none.
pub fn project() -> &'static Path {
    find_project().unwrap_or_else(|error| panic!("{error}"))
}

/// The directory for everything that is made: kernel, images and swap disks.
pub fn target() -> PathBuf {
    project().join("target")
}
