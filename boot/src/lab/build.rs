//! Compiling a tree, within limits: of time, and of memory.

use std::{
    fs,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use quire_boot::toolchain::clean_command;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use thiserror::Error;

/// A lab with all that it rests on is compiled in a third of this on most machines; what was compiled when it is over is kept.
const TIME_MAX: Duration = Duration::from_mins(3);

const MEMORY_MAX: u64 = 4 << 30;

/// Why there is no program.
#[derive(Debug, Error)]
pub(super) enum NotCompiled {
    /// What the compiler said.
    #[error("{0}")]
    Said(String),
    /// It was ended, without a word about the code.
    #[error(
        "the compiler was stopped after {} s; what it has compiled is kept, so that it takes less time when it is tried again",
        TIME_MAX.as_secs()
    )]
    Stopped,
}

/// How much is read of what the compiler says.
const WORDS_MAX: u64 = 1 << 20;

/// Cargo remembers where a crate's files are, and those beside its directory by their whole paths: in a tree that was copied it would
/// look at those of the first one, and not see what is changed. So the lab's crate is compiled anew in another place.
fn forget_another_place(root: &Path) -> io::Result<()> {
    let target = root.join("target");
    let (place, here) = (target.join("place.txt"), root.canonicalize()?);
    if fs::read(&place).is_ok_and(|there| there == here.as_os_str().as_bytes()) {
        return Ok(());
    }
    for entry in fs::read_dir(target.join("debug/.fingerprint")).into_iter().flatten() {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(b"lab-") {
            fs::remove_dir_all(entry.path())?;
        }
    }
    fs::create_dir_all(&target)?;
    fs::write(&place, here.as_os_str().as_bytes())
}

/// Compiles the packages of the tree; the lab's program is then at the path.
///
/// # Errors
/// [`NotCompiled`].
pub(super) fn compile(root: &Path, packages: &[&str]) -> Result<PathBuf, NotCompiled> {
    let failed = |error: io::Error| NotCompiled::Said(format!("error: {} cannot be used: {error}", root.display()));
    forget_another_place(root).map_err(failed)?;
    let mut cargo = clean_command("cargo");
    cargo.current_dir(root).args(["build", "--quiet", "--offline"]).args(packages.iter().flat_map(|name| ["-p", name]));
    cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut child = cargo.spawn().map_err(|error| NotCompiled::Said(format!("error: cargo cannot be run: {error}")))?;
    limit(&child, Resource::As, MEMORY_MAX);
    let pipe = child.stderr.take();
    let reader = thread::spawn(move || {
        let mut said = String::new();
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What does not fit is read and forgotten, so that the compiler can go on.
            _ = pipe.by_ref().take(WORDS_MAX).read_to_end(&mut bytes);
            _ = std::io::copy(&mut pipe, &mut std::io::sink());
        }
        said.push_str(&String::from_utf8_lossy(&bytes));
        said
    });
    let result = wait(&mut child);
    let said = reader.join().unwrap_or_default();
    match result {
        Some(true) => Ok(root.join("target/debug/lab")),
        Some(false) => Err(NotCompiled::Said(said)),
        None => Err(NotCompiled::Stopped),
    }
}

/// Whether it succeeded, or none if it took too long and was ended with all that it started.
fn wait(child: &mut Child) -> Option<bool> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if started.elapsed() < TIME_MAX => thread::sleep(Duration::from_millis(10)),
            _ => break,
        }
    }
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        _ = kill_process_group(group, Signal::KILL);
    }
    _ = child.wait();
    None
}

/// Sets a limit of a process that has just been started.
pub(super) fn limit(child: &Child, resource: Resource, most: u64) {
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    // A process that is over has no limits any more.
    _ = prlimit(Pid::from_raw(child.id().cast_signed()), resource, limit);
}

/// Why there is no program, in a line: of what the compiler said the first error, with its place.
pub(super) fn errors(not_compiled: &NotCompiled) -> String {
    let NotCompiled::Said(said) = not_compiled else { return not_compiled.to_string() };
    let mut lines = said.lines();
    let mut errors = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with("error") && !line.starts_with("error: could not compile") && !line.contains("aborting due")
        {
            let place = lines.next().and_then(|line| line.trim().strip_prefix("--> ")).unwrap_or_default();
            errors.push(format!("{place}{}{line}", if place.is_empty() { "" } else { ": " }));
        }
    }
    match errors.len() {
        0 => said.lines().next().unwrap_or("the compiler ended without a word").to_owned(),
        1 => errors.swap_remove(0),
        count => format!("{} (and {} more)", errors.swap_remove(0), count - 1),
    }
}
