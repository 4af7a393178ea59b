//! Kernel, image and the guest's programs, made when something changed.
//!
//! Cargo knows whether kernel and image maker are fresh; the image is made again if either changed. A lock on
//! `target/build.lock` keeps launchers that run at once from making the same files.

use std::{
    fs::{self, File},
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    error::Error,
    project::{project, target},
    toolchain::{TARGET, Toolchain, plain_command},
};

/// What a machine boots.
#[derive(Clone, Debug)]
pub struct Artefacts {
    /// The kernel's ELF file with its symbols.
    pub kernel: PathBuf,
    /// The disk image that UEFI boots, with that kernel in it.
    pub image: PathBuf,
}

/// The target of the guest's programs; naming it, even where it is the host's, keeps their flags from build scripts.
const PROGRAMS_TARGET: &str = "x86_64-unknown-linux-gnu";

/// What the image is made with, as messages say it.
const LOADER: &str = "building the UEFI loader";

/// The kernel's profile: the one for measuring if the launcher itself was built for release.
const PROFILE: &str = if cfg!(debug_assertions) { "kernel" } else { "release" };

/// What a kernel for measuring is built with besides. The ways of a page are functions of some ten instructions each, where a
/// call costs as much as what it calls: with this they take a twentieth less, and the code is a third larger.
const INLINE_MORE: &str = "target.x86_64-unknown-none.rustflags=['-Cllvm-args=-inline-threshold=700']";

/// Builds what is not fresh, once in a process.
///
/// # Errors
/// There is no usable toolchain, a build fails, or a file cannot be written.
pub fn build() -> Result<Artefacts, Error> {
    static BUILT: Mutex<Option<Artefacts>> = Mutex::new(None);
    // A thread that panicked here left nothing half done that cargo and the lock do not repair.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(artefacts) = &*built {
        return Ok(artefacts.clone());
    }
    Ok(built.insert(build_under_lock()?).clone())
}

fn build_under_lock() -> Result<Artefacts, Error> {
    let toolchain = Toolchain::find()?;
    let _lock = lock()?;
    if !image_maker().exists() {
        eprintln!("quire: building the UEFI loader, only this first time: one to three minutes");
        // A kernel that cannot be built shall not wait for it.
        let mut cargo = plain_command("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path", "kernel/Cargo.toml"]);
        run_with_progress(cargo, "reading the kernel's manifest", Progress::Lines)?;
    }
    // None of the three has enough to do for all processors all the time.
    let (kernel, image_maker) = thread::scope(|scope| {
        let image_maker = scope.spawn(|| build_image_maker(&toolchain));
        if !program().exists() {
            // Not every machine needs them: those that do find out why they are not there.
            scope.spawn(|| build_programs(Progress::Lines));
        }
        (build_kernel(&toolchain, project()), image_maker.join().unwrap_or(Err(Error::Build(LOADER))))
    });
    with_image(&image_maker?, kernel?)
}

/// Builds the kernel of another tree, one with all of the project's crates, and an image with it. Both stay there.
///
/// # Errors
/// As [`build`].
pub fn build_of(tree: &Path) -> Result<Artefacts, Error> {
    let toolchain = Toolchain::find()?;
    let _lock = lock()?;
    let image_maker = build_image_maker(&toolchain)?;
    with_image(&image_maker, build_kernel(&toolchain, tree)?)
}

fn with_image(image_maker: &Path, kernel: PathBuf) -> Result<Artefacts, Error> {
    let image = kernel.with_extension("img");
    make_image(image_maker, &kernel, &image)?;
    Ok(Artefacts { kernel, image })
}

/// Keeps other launchers from building until it is dropped.
fn lock() -> Result<File, Error> {
    fs::create_dir_all(target()).map_err(Error::file("make", target()))?;
    let path = target().join("build.lock");
    let lock = File::create(&path).map_err(Error::file("make", &path))?;
    lock.lock().map_err(Error::file("lock", &path))?;
    Ok(lock)
}

/// Builds the guest's programs if they are not fresh, and says where their executable is.
///
/// # Errors
/// The build fails: the host's toolchain may have no static C library.
pub fn programs() -> Result<PathBuf, Error> {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    // As in `build`.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(program) = &*built {
        return Ok(program.clone());
    }
    let _lock = lock()?;
    build_programs(Progress::Bar)?;
    Ok(built.insert(program()).clone())
}

fn program() -> PathBuf {
    target().join("programs").join(PROGRAMS_TARGET).join("programs/quire-programs")
}

fn build_programs(progress: Progress) -> Result<(), Error> {
    let mut cargo = plain_command("cargo");
    cargo
        .args(["build", "--package", "quire-programs", "--profile", "programs", "--target", PROGRAMS_TARGET])
        .args(["--target-dir", "target/programs"])
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    run_with_progress(cargo, "building the guest's programs", progress)
}

/// The mdBook that the book is built with. It is no dependency of the launcher, whose first build would take minutes longer.
const MDBOOK: &str = "0.5.4";

/// Builds mdBook if it has not been built, with the versions of its dependencies that it was published with, and says where it is.
///
/// # Errors
/// The build fails: the registry may be out of reach.
pub fn mdbook() -> Result<PathBuf, Error> {
    let directory = target().join("mdbook").join(MDBOOK);
    let program = directory.join("bin/mdbook");
    // The file appears whole, so nothing is waited for once it is there.
    if program.exists() {
        return Ok(program);
    }
    let _lock = lock()?;
    // Another launcher may have built it while this one waited.
    if program.exists() {
        return Ok(program);
    }
    eprintln!("quire: building mdBook {MDBOOK}, only this first time: about a minute");
    let built = directory.join("build");
    let mut cargo = plain_command("cargo");
    cargo
        .args([
            "install",
            "mdbook",
            "--locked",
            "--debug",
            "--no-default-features",
            "--features",
            "search",
            "--version",
        ])
        .arg(format!("={MDBOOK}"))
        .arg("--root")
        .arg(&directory)
        .arg("--target-dir")
        .arg(&built)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    run_with_progress(cargo, "building mdBook", Progress::Bar)?;
    // What only a change of mdBook would need again.
    fs::remove_dir_all(&built).map_err(Error::file("remove", &built))?;
    Ok(program)
}

fn build_kernel(toolchain: &Toolchain, tree: &Path) -> Result<PathBuf, Error> {
    let directory = tree.join("target/kernel").join(TARGET);
    if !directory.exists() {
        eprintln!("quire: building the kernel, the first time with Rust's core library: about a minute");
    }
    let mut cargo = toolchain.cargo_for_kernel("build");
    cargo.current_dir(tree).args(["--bin", "quire-kernel", "--profile", PROFILE]);
    if PROFILE == "release" {
        cargo.args(["--config", INLINE_MORE]);
    }
    run_with_progress(cargo, "building the kernel", Progress::Bar)?;
    Ok(directory.join(PROFILE).join("quire-kernel"))
}

fn build_image_maker(toolchain: &Toolchain) -> Result<PathBuf, Error> {
    run_with_progress(toolchain.cargo_for_image("build"), LOADER, Progress::Lines)?;
    Ok(image_maker())
}

fn image_maker() -> PathBuf {
    target().join("image/debug/quire-image")
}

fn make_image(image_maker: &Path, kernel: &Path, image: &Path) -> Result<(), Error> {
    let inputs = stamps(image_maker, kernel)?;
    let stamp_path = image.with_extension("img.stamp");
    if image.exists() && fs::read_to_string(&stamp_path).is_ok_and(|old| old == inputs) {
        return Ok(());
    }
    // Another launcher may be about to boot the old image: it keeps that file, and this one appears whole.
    let unfinished = image.with_extension("img.new");
    let made = Command::new(image_maker).args([kernel, &unfinished]).status();
    if !made.map_err(Error::file("run", image_maker))?.success() {
        return Err(Error::Build("making the boot image"));
    }
    if stamps(image_maker, kernel)? != inputs {
        // A cargo that somebody runs by hand does not know the lock, and may have changed the kernel while it was read.
        return make_image(image_maker, kernel, image);
    }
    fs::rename(&unfinished, image).map_err(Error::file("make", image))?;
    fs::write(&stamp_path, inputs).map_err(Error::file("write", &stamp_path))
}

/// Changes when either file does; cargo may put an older file back, so "newer than the image" would not do.
fn stamps(image_maker: &Path, kernel: &Path) -> Result<String, Error> {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path)?;
        Ok(format!("{:?} {}", metadata.modified()?, metadata.len()))
    };
    let image_maker = stamp(image_maker).map_err(Error::file("look at", image_maker))?;
    let kernel = stamp(kernel).map_err(Error::file("look at", kernel))?;
    Ok(format!("{image_maker} {kernel}"))
}

/// What a terminal shows of a build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Cargo's bar below its lines.
    Bar,
    /// The lines alone, as another build's bar is there.
    Lines,
}

/// Runs cargo and shows what it says while there is something to build, but not that there was nothing.
fn run_with_progress(mut cargo: Command, what: &'static str, progress: Progress) -> Result<(), Error> {
    if io::stderr().is_terminal() && progress == Progress::Bar {
        cargo.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "80");
        cargo.env("CARGO_TERM_COLOR", "always");
    }
    let failed = |_| Error::Build(what);
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(messages) = child.stderr.take() {
        show_progress(messages).map_err(failed)?;
    }
    if child.wait().map_err(failed)?.success() { Ok(()) } else { Err(Error::Build(what)) }
}

/// Passes on each line, and each state of cargo's progress bar, which ends in a carriage return, as soon as it is whole.
fn show_progress(mut messages: impl Read) -> io::Result<()> {
    let (mut buffer, mut pending) = ([0; 4096], Vec::new());
    loop {
        let count = messages.read(&mut buffer)?;
        if count == 0 {
            eprint!("{}", String::from_utf8_lossy(&pending));
            if io::stderr().is_terminal() {
                // What is left of the progress bar goes.
                eprint!("\x1b[K");
            }
            return Ok(());
        }
        pending.extend_from_slice(&buffer[..count]);
        while let Some(end) = pending.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let line: Vec<u8> = pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if !line.contains("Finished") {
                eprint!("{line}");
            }
        }
    }
}
