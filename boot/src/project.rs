//! Where the project is.

use std::{
    env, iter,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::error::Error;

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
