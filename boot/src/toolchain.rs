//! Which cargo can build for bare metal, and how it is called.
//!
//! The loader is compiled together with Rust's core library, so a toolchain is usable if it has the library's source.
//! A kernel needs the library only for its own target: rustup users have it ready-made, Debian builds it from source.

use std::{
    env,
    ffi::OsStr,
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{error::Error, project::project};

/// The kernel's target.
pub const TARGET: &str = "x86_64-unknown-none";

/// Where a distribution puts its own compiler, if rustup's comes first in `PATH`.
const SYSTEM_PROGRAMS: &str = "/usr/bin";

/// What a person may have set for every cargo; the rest of cargo's and rustup's variables speaks about the cargo that
/// runs this program.
const KEPT_VARIABLES: [&str; 7] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_", "CARGO_TERM_"];

/// A cargo and a compiler with which kernel and image can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    /// The directory of its programs, if it is not the first in `PATH`.
    programs: Option<PathBuf>,
    /// Whether there is no library for [`TARGET`], so that the build has to make it.
    builds_library: bool,
}

impl Toolchain {
    /// The toolchain that the project's `rust-toolchain.toml` chooses, or else the distribution's.
    ///
    /// # Errors
    /// [`Error::Missing`] if none has the library's source.
    pub fn find() -> Result<Self, Error> {
        [None, Some(PathBuf::from(SYSTEM_PROGRAMS))]
            .into_iter()
            .find_map(Self::with_library_source)
            .ok_or(Error::Missing("a Rust toolchain with the library's source"))
    }

    fn with_library_source(programs: Option<PathBuf>) -> Option<Self> {
        let candidate = Self { programs, builds_library: true };
        let mut question = candidate.command("rustc");
        question.args(["--print", "sysroot", "--print", "target-libdir", "--target", TARGET]);
        let answer = String::from_utf8(question.output().ok()?.stdout).ok()?;
        let mut lines = answer.lines().map(Path::new);
        let (sysroot, library) = (lines.next()?, lines.next()?);
        if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
            return None;
        }
        let has_library = fs::read_dir(library).is_ok_and(|mut files| files.next().is_some());
        Some(Self { builds_library: !has_library, ..candidate })
    }

    /// One of the toolchain's programs, to be run in the project's directory.
    pub fn command(&self, program: &str) -> Command {
        let Some(programs) = &self.programs else { return plain_command(program) };
        let mut command = plain_command(programs.join(program));
        let others = env::var_os("PATH").unwrap_or_default();
        // Cargo looks for the compiler in `PATH`. A directory with a colon in its name could not be there already.
        if let Ok(path) = env::join_paths(iter::once(programs.clone()).chain(env::split_paths(&others))) {
            command.env("PATH", path);
        }
        command
    }

    /// `cargo SUBCOMMAND …` for the kernel: its manifest, target, features and directory.
    pub fn cargo_for_kernel(&self, subcommand: &str) -> Command {
        let mut cargo = self.command("cargo");
        cargo
            .args([subcommand, "--manifest-path", "kernel/Cargo.toml", "--features", "machine", "--target", TARGET])
            .args(["--target-dir", "target/kernel"]);
        if self.builds_library {
            cargo
                .args(["-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"])
                .env("RUSTC_BOOTSTRAP", "1");
        }
        cargo
    }

    /// `cargo SUBCOMMAND …` for the program that makes images. The loader's build script builds the library in any case.
    pub fn cargo_for_image(&self, subcommand: &str) -> Command {
        let mut cargo = self.command("cargo");
        cargo
            .args([subcommand, "--manifest-path", "boot/image/Cargo.toml", "--target-dir", "target/image"])
            .env("RUSTC_BOOTSTRAP", "1");
        cargo
    }
}

/// `program`, to be run in the project's directory as if from a shell: without what the cargo that runs this program put
/// into the environment, which would choose its own toolchain, flags and libraries again.
pub fn plain_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = clean_command(program);
    command.current_dir(project());
    command
}

/// The same, to be run where the caller is.
pub fn clean_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_remove("LD_LIBRARY_PATH");
    for (name, _) in env::vars_os().filter(|(name, _)| speaks_about_one_build(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command
}

fn speaks_about_one_build(variable: &str) -> bool {
    let of_rust = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];
    of_rust.iter().any(|start| variable.starts_with(start))
        && !KEPT_VARIABLES.iter().any(|start| variable.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::speaks_about_one_build;

    #[test]
    fn a_build_hears_the_person_and_not_the_cargo_that_started_it() {
        for variable in
            ["CARGO", "CARGO_PKG_NAME", "CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTC_BOOTSTRAP", "RUSTUP_TOOLCHAIN"]
        {
            assert!(speaks_about_one_build(variable), "{variable}");
        }
        for variable in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "RUSTUP_HOME", "RUST_BACKTRACE", "PATH"]
        {
            assert!(!speaks_about_one_build(variable), "{variable}");
        }
    }
}
