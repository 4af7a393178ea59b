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
    let failed = checks(&toolchain).into_iter().filter_map(|(name, command)| (!check(name, command)).then_some(name));
    // Each check runs, also after a failed one.
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("quire: failed: {}", failed.join(", "));
    ExitCode::FAILURE
}

fn checks(toolchain: &Toolchain) -> [(&'static str, Command); 8] {
    let cargo = |arguments: &[&str]| {
        let mut cargo = plain_command("cargo");
        cargo.args(arguments);
        cargo
    };
    [
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("format of boot/image", cargo(&["fmt", "--manifest-path", "boot/image/Cargo.toml", "--check"])),
        ("clippy for the host", with(cargo(&["clippy", "--workspace", "--all-targets"]), &["--", "-D", "warnings"])),
        (
            "clippy for the kernel's target",
            with(toolchain.cargo_for_kernel("clippy"), &["--lib", "--bins", "--", "-D", "warnings"]),
        ),
        ("clippy for boot/image", with(toolchain.cargo_for_image("clippy"), &["--", "-D", "warnings"])),
        ("documentation for the host", with(cargo(&["doc", "--workspace"]), &["--no-deps"])),
        (
            "documentation for the kernel's target",
            with(toolchain.cargo_for_kernel("doc"), &["--lib", "--bins", "--no-deps"]),
        ),
        ("documentation of boot/image", with(toolchain.cargo_for_image("doc"), &["--no-deps"])),
    ]
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

fn check(name: &str, mut command: Command) -> bool {
    command.env("RUSTDOCFLAGS", "-D warnings").stdin(Stdio::null());
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
