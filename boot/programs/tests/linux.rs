//! What the checks expect of the kernel is what the Linux that this test runs on does, as far as it needs no swap and
//! does not end a person's machine.

#![cfg(target_os = "linux")]

use std::{env, path::PathBuf, process::Command};

use nix::unistd::Uid;

/// The programs beside this test, wherever both were copied to.
fn programs() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("quire-programs")
}

fn check(names: &[&str]) -> String {
    let output = Command::new(programs()).arg("check").args(names).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn linux_passes_the_checks_that_any_machine_can_run() {
    let harmless = [
        "bounds",
        "busy",
        "descriptors",
        "elf-smallest",
        "elf-segments",
        "elf-script",
        "elf-wrong",
        "elf-over-kernel",
        "files",
        "found",
        "frames",
        "futexes",
        "handlers",
        "locks",
        "memory-files",
        "mappings",
        "numbers",
        "pages",
        "rules",
        "signals",
        "times",
        "bad-jump-to-0",
        "bad-write-to-code",
        "bad-execute-stack",
        "bad-kernel-address",
        "bad-instruction",
        "bad-system-call-pointer",
        "bad-system-call-number",
        "bad-exhaust-stack",
    ];
    let said = check(&harmless);
    assert!(said.lines().filter(|line| line.ends_with(" ok")).count() >= 60, "{said}");
}

/// Some of these answers are those of Linux from 6.17 on.
#[test]
fn linux_gives_the_same_answers() {
    let release = nix::sys::utsname::uname().unwrap().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(6), Some(17)) {
        check(&["answers"]);
    } else {
        println!("skipped: this is Linux {release}");
    }
}

/// Only root can become somebody else; the others of this file are for everybody.
#[test]
fn linux_passes_the_checks_of_users_where_the_tests_run_as_root() {
    if Uid::effective().is_root() {
        // Mounting needs more than root in some containers.
        let files = ["permissions-files", "permissions-directories", "permissions-owners", "permissions-new-files"];
        check(&[&["users"], &files[..]].concat());
    }
}
