//! `cargo run -- miri`: the host's tests of what has `unsafe` code, and of what rests on it, in an interpreter that knows undefined
//! behaviour when it sees it. A small set: the whole takes hours.

use std::process::{Command, ExitCode, Stdio};

use quire_boot::toolchain::plain_command;

/// A crate, and which of its tests: those whose names contain one of these words, but for those with one of the others.
struct Set {
    package: &'static str,
    target: &'static [&'static str],
    tests: &'static [&'static str],
    left_out: &'static [&'static str],
}

const SETS: [Set; 4] = [
    Set {
        package: "quire-drivers",
        target: &["--lib"],
        // Not `virtio_blk::`: virtio-drivers makes a box of its list of descriptors again by a pointer from before it moved the box.
        tests: &["block::", "fw_cfg::"],
        // A device that never answers is waited for in a long loop.
        left_out: &["a_transfer_that_fails"],
    },
    Set { package: "quire-machine", target: &["--lib"], tests: &["fallible::", "pte::"], left_out: &[] },
    Set {
        package: "quire-machine",
        target: &["--test", "machine"],
        tests: &["mmu::", "owners::", "threads::a_thread"],
        left_out: &[],
    },
    Set {
        package: "quire-swap",
        target: &["--test", "core"],
        tests: &["batches::what_is", "batches::an_empty", "batches::only_pages"],
        left_out: &[],
    },
];

/// Runs the sets, one line for each. Without rustup's nightly and its Miri it says so, and has not failed.
pub(crate) fn miri() -> ExitCode {
    let is_there = nightly(&["miri", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        println!("skipped: no nightly with Miri (rustup toolchain install nightly -c miri -c rust-src)");
        return ExitCode::SUCCESS;
    }
    // Each set runs, also after a failed one.
    let passed: Vec<bool> = SETS.iter().map(run).collect();
    if passed.iter().all(|passed| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(Set { package, target, tests, left_out }: &Set) -> bool {
    let mut command = nightly(&["miri", "test", "--quiet", "--target-dir", "target/miri", "--package", package]);
    command.args(*target).arg("--").args(*tests);
    left_out.iter().for_each(|name| _ = command.args(["--skip", name]));
    // Physical addresses are numbers that become pointers again; the tests' machines stay to the end.
    command.env("MIRIFLAGS", "-Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-ignore-leaks");
    let passed = command.stdin(Stdio::null()).status().is_ok_and(|status| status.success());
    println!("{}  {package} {}", if passed { "ok    " } else { "FAILED" }, target.join(" "));
    passed
}

fn nightly(arguments: &[&str]) -> Command {
    let mut command = plain_command("cargo");
    command.arg("+nightly").args(arguments);
    command
}
