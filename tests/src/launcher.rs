//! The launcher as a person runs it, `cargo run`, but without cargo's part.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use quire_boot::{target, toolchain::plain_command};

/// How a run of the launcher ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status, if it was not killed.
    pub status: Option<i32>,
    /// Standard output: what the guest wrote.
    pub guest: String,
    /// Standard error: what the launcher has to say.
    pub messages: String,
}

/// Runs the launcher with `arguments` in `directory`.
#[track_caller]
pub fn run_in(directory: &Path, arguments: &[&str]) -> Ended {
    ended(Command::new(program()).args(arguments).current_dir(directory))
}

/// Runs the launcher with `arguments` where no other program can be found: it can neither build nor boot, and so comes
/// to its end with everything that it checks before.
#[track_caller]
pub fn run_alone_in(directory: &Path, arguments: &[&str]) -> Ended {
    ended(Command::new(program()).args(arguments).current_dir(directory).env("PATH", ""))
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { status: output.status.code(), guest: text(output.stdout), messages: text(output.stderr) }
}

/// The launcher, built as `cargo run` builds it.
#[track_caller]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let mut cargo = plain_command("cargo");
        cargo.args(["build", "--quiet", "--package", "quire-boot", "--bin", "quire", "--target-dir"]).arg(target());
        let built = cargo.status().unwrap();
        assert!(built.success(), "the launcher does not build");
        target().join("debug/quire")
    })
}
