//! `cargo kcheck`, and what an editor runs: the compiler's checks alone, of the host's crates and of the kernel for its own target.

use std::process::{Command, ExitCode, Stdio};

use quire_boot::{
    Error,
    toolchain::{Toolchain, plain_command},
};

/// Runs `cargo check` for the kernel's target, and unless `kernel_alone` for the host before that, each with these further `options`.
///
/// # Errors
/// No toolchain can build the kernel.
pub(crate) fn check(kernel_alone: bool, options: &[String]) -> Result<ExitCode, Error> {
    let mut host = plain_command("cargo");
    host.args(["check", "--workspace", "--all-targets"]);
    let mut kernel = Toolchain::find()?.cargo_for_kernel("check");
    kernel.args(["--lib", "--bins"]);

    let host = (!kernel_alone).then_some(host);
    // The kernel is checked also if something is wrong with the host's crates.
    let results: Vec<bool> = host.into_iter().chain([kernel]).map(|command| passes(command, options)).collect();
    Ok(if results.iter().all(|&passed| passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn passes(mut command: Command, options: &[String]) -> bool {
    command.args(options).stdin(Stdio::null()).status().is_ok_and(|status| status.success())
}
