//! `cargo lint`: every check that needs no guest, each in the toolchain and for the target that it is about.

use std::process::{Command, ExitCode, Stdio};

use quire_boot::toolchain::{Toolchain, plain_command};

/// Runs the checks, one line for each; a failed one is followed by what it said.
pub(crate) fn lint() -> ExitCode {
    let toolchain = match Toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(error) => {
            eprintln!("quire: {error}");
            return ExitCode::from(2);
        }
    };
    // Each check runs, also after a failed one.
    let results: Vec<bool> = checks(&toolchain).into_iter().map(|(name, command)| check(name, command)).collect();
    if results.iter().all(|&passed| passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn checks(toolchain: &Toolchain) -> [(&'static str, Command); 8] {
    const STRICT: [&str; 3] = ["--", "-D", "warnings"];
    let cargo = |subcommand| with(plain_command("cargo"), &[subcommand]);
    let kernel = |subcommand| with(toolchain.cargo_for_kernel(subcommand), &["--lib", "--bins"]);
    let image = |subcommand| toolchain.cargo_for_image(subcommand);
    [
        ("format", with(cargo("fmt"), &["--all", "--check"])),
        ("format of boot/image", with(cargo("fmt"), &["--manifest-path", "boot/image/Cargo.toml", "--check"])),
        ("clippy for the host", with(with(cargo("clippy"), &["--workspace", "--all-targets"]), &STRICT)),
        ("clippy for the kernel's target", with(kernel("clippy"), &STRICT)),
        ("clippy for boot/image", with(image("clippy"), &STRICT)),
        ("documentation for the host", host_documentation()),
        ("documentation for the kernel's target", kernel_documentation(toolchain)),
        ("documentation of boot/image", documentation(image("doc"), &["--no-deps"])),
    ]
}

/// rustdoc for the crates that the host can compile; what it warns of is an error.
pub(crate) fn host_documentation() -> Command {
    documentation(plain_command("cargo"), &["doc", "--workspace", "--no-deps"])
}

/// The same for the kernel, as it is on its own target. What a reader looks for there, how a fault is served and a page is taken out, is
/// private.
pub(crate) fn kernel_documentation(toolchain: &Toolchain) -> Command {
    let crates = ["-p", "quire-kernel", "-p", "quire-linux", "-p", "quire-memory", "-p", "quire-machine"];
    let command = with(toolchain.cargo_for_kernel("doc"), &["--lib", "--no-deps", "--document-private-items"]);
    documentation(command, &crates)
}

fn documentation(command: Command, arguments: &[&str]) -> Command {
    let mut command = with(command, arguments);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn check(name: &str, mut command: Command) -> bool {
    command.stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.status.success() => {
            println!("ok      {name}");
            true
        }
        Ok(output) => {
            println!("FAILED  {name}");
            eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("FAILED  {name}: {error}");
            false
        }
    }
}
