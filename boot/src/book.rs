//! `cargo run -- book`: builds the book and opens it.
//!
//! The chapters are `docs/*.md`; [`chapters`] looks up what they say about the code. Then a machine does their commands and is recorded,
//! the simulator draws its curves, mdBook makes pages of all that, and rustdoc adds the documentation of the code for both targets.

mod error;
mod recordings;

use std::{
    env, fs, io,
    io::IsTerminal,
    path::Path,
    process::{Command, Stdio},
};

use clap::Args;
use quire_boot::{
    build, chapters, files, target,
    toolchain::{TARGET, Toolchain},
};

use self::error::{BookError, file};
use crate::lint::{host_documentation, kernel_documentation};

/// How the book is built.
#[derive(Args, Debug)]
pub(crate) struct BookOptions {
    /// Leave out the documentation of the code, which takes longest; links to it lead nowhere then
    #[arg(long)]
    no_api: bool,

    /// Boot no machine: recordings that are there from before are taken, whatever has changed since
    #[arg(long)]
    no_recordings: bool,

    /// Do not open it
    #[arg(long)]
    no_open: bool,
}

/// Builds the book in `target/book`, says where it is, and opens it where a person can look at it.
///
/// # Errors
/// [`BookError`].
pub(crate) fn book(options: &BookOptions) -> Result<(), BookError> {
    let chapters = chapters::read()?;
    let expanded = chapters::expand(&chapters);
    if !expanded.problems.is_empty() {
        return Err(BookError::Problems(expanded.problems.iter().map(ToString::to_string).collect()));
    }
    let mdbook = build::mdbook()?;
    let directory = target().join("book");
    let source = directory.join("src");
    if source.exists() {
        fs::remove_dir_all(&source).map_err(|error| file("remove", &source, error))?;
    }
    chapters::write(&expanded, &source)?;
    files::copy(&chapters::directory(), &source, &|path| path.extension().is_none_or(|end| end != "md"))?;
    for name in ["book.toml", "book.css", "figures.js"] {
        let (from, to) = (source.join(name), directory.join(name));
        fs::rename(&from, &to).map_err(|error| file("move", &from, error))?;
    }
    recordings::make(&chapters, &expanded.recordings, &source.join("figures"), !options.no_recordings)?;
    eprintln!("quire: drawing {} pictures of curves", expanded.curves.len());
    for trace in &expanded.curves {
        let launcher = env::current_exe().map_err(|error| file("find", Path::new("quire"), error))?;
        let mut command = Command::new(launcher);
        command.args(["policy", "--generate", trace, "--curves"]).arg(source.join("figures"));
        run("drawing curves", command)?;
    }
    let mut command = Command::new(mdbook);
    command.arg("build").arg(&directory);
    let said = run("mdBook", command)?;
    if said.contains("WARN") || said.contains("ERROR") {
        return Err(BookError::Failed("mdBook", said));
    }
    let pages = directory.join("html");
    if !options.no_api {
        document(&pages.join("api"))?;
    }
    let index = pages.join("index.html");
    eprintln!("quire: the book: {}", index.display());
    if !options.no_open {
        open(&index);
    }
    Ok(())
}

/// Adds rustdoc's pages: of the crates that the host can compile, and of the kernel for its own target.
fn document(to: &Path) -> Result<(), BookError> {
    eprintln!("quire: documenting the code for both targets, the first time about two minutes");
    let (host, kernel) = (host_documentation(), kernel_documentation(&Toolchain::find()?));
    let of_kernel = target().join("kernel").join(TARGET).join("doc");
    for (command, from, name) in [(host, target().join("doc"), "host"), (kernel, of_kernel, "kernel")] {
        run("rustdoc", command)?;
        files::copy(&from, &to.join(name), &|_| true)?;
    }
    Ok(())
}

/// What it says, if it succeeds.
fn run(what: &'static str, mut command: Command) -> Result<String, BookError> {
    let failed = |said| BookError::Failed(what, said);
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(failed(said)) }
}

/// Shows the page in a browser, if a person is there who has one. Where it is has been said.
fn open(page: &Path) {
    let has_display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| env::var_os(name).is_some());
    if has_display && io::stderr().is_terminal() {
        let _ = Command::new("xdg-open").arg(page).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
