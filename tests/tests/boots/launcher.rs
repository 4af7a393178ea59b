//! The launcher's exit status says how the guest ended, or that there was none.

use std::path::Path;

use quire_tests::{
    Image,
    launcher::{Ended, run_alone_in, run_in},
};

/// The guest was booted, and the launcher ended with `status` and one line that begins like this.
#[track_caller]
fn ends(arguments: &[&str], status: i32, line: &str) -> Ended {
    let ended = run_in(Path::new("/"), arguments);
    assert_eq!(ended.status, Some(status), "{arguments:?}: {ended:#?}");
    let last = ended.messages.lines().last();
    assert!(last.is_some_and(|last| last.starts_with(&format!("quire: {line}"))), "{arguments:?}: {ended:#?}");
    ended
}

/// There was no guest, and nothing was looked for to build one: exit status 2 and a message with all of `parts`.
#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let ended = run_alone_in(Path::new("/"), arguments);
    assert_eq!(ended.status, Some(2), "{arguments:?}: {ended:#?}");
    for part in parts {
        assert!(ended.messages.contains(part), "{arguments:?} does not say {part}: {ended:#?}");
    }
    for late in ["qemu", "toolchain", "building"] {
        assert!(!ended.messages.contains(late), "{arguments:?} went as far as {late}: {ended:#?}");
    }
}

#[test]
fn success_is_0() {
    let image = Image::made_by_mkswap(4096, &[]);
    let disk = image.path().to_str().unwrap();
    let ended = ends(&["--disk", disk, "--append", "scenario=swapon"], 0, "success: ");
    assert!(ended.guest.trim_end().ends_with("quire: swapon ok pages=4095"), "{ended:#?}");
}

#[test]
fn a_reported_failure_is_1() {
    ends(&["--swap", "0", "--append", "scenario=fail"], 1, "failure: ");
}

#[test]
fn a_demo_without_a_swap_disk_is_1() {
    let ended = ends(&["--swap", "0"], 1, "failure: ");
    assert!(ended.guest.contains("quire: demo FAILED there is no /dev/vda"), "{ended:#?}");
}

#[test]
fn a_panic_is_3() {
    ends(&["--swap", "0", "--append", "scenario=panic"], 3, "crash: the kernel panicked");
}

#[test]
fn a_reset_is_3() {
    ends(&["--swap", "0", "--append", "scenario=reset"], 3, "crash: the guest reset");
}

#[test]
fn a_hang_is_124_when_its_time_is_over() {
    ends(&["--swap", "0", "--append", "scenario=hang", "--timeout", "8"], 124, "timed out: ");
}

#[test]
fn wrong_usage_is_2_before_anything_is_built() {
    refused(&["--memory", "banana"], &["--memory", "banana", "64M"]);
    refused(&["--memory", "7M"], &["7M", "8M"]);
    refused(&["--swap", "1K"], &["1K", "256M"]);
    refused(&["--frobnicate"], &["--frobnicate", "--help"]);
    refused(&["--disk", "/no/such/disk.img"], &["--disk", "/no/such/disk.img", "No such file"]);
    refused(&["--disk", "/"], &["--disk", "neither a disk image nor a block device"]);
    refused(&["--initrd", "/no/such/root.cpio"], &["--initrd", "/no/such/root.cpio", "No such file", "cpio"]);
    refused(&["--initrd", "/"], &["--initrd", "not a file"]);
    refused(&["--accel", "kvm", "--icount"], &["--icount", "--accel tcg"]);
    refused(&["--timeout", "0"], &["--timeout"]);
}

#[test]
fn a_missing_tool_is_2_and_named() {
    let ended = run_alone_in(Path::new("/"), &["--swap", "0"]);
    assert_eq!(ended.status, Some(2), "{ended:#?}");
    assert!(ended.messages.contains("qemu-system-x86_64") && ended.messages.contains("./setup"), "{ended:#?}");
}
