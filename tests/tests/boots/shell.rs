//! Debian's busybox, as it is, as process 1 and as a shell.

use quire_boot::{Disk, Machine, Size, Status};
use quire_protocol::Verdict;
use quire_tests::{Image, Run, run::with_shell};

#[test]
fn the_shell_has_pipes_jobs_files_and_signals() {
    Run::script("shell", Machine::new()).figures().require_at_least("steps", 30);
}

#[test]
fn zram_is_controlled_by_its_attributes() {
    Run::script("zram", Machine::new()).figures().require_at_least("steps", 25);
}

#[test]
fn swapon_and_swapoff_do_and_refuse_what_linux_does() {
    let empty = Image::empty(16384);
    let machine = empty.machine().disk(Disk::swap(Size::mebibytes(64)));
    Run::script("swapon", machine).figures().require_at_least("steps", 20);
}

/// A person at the prompt: what is typed is shown, keys interrupt and end, and the shell's status is the verdict.
#[test]
fn the_prompt_takes_lines_and_keys() {
    let prompt = "quire:~# ";
    let machine = Machine::new()
        .disk(Disk::swap(Size::mebibytes(64)))
        .initramfs(with_shell())
        .keys(prompt, "echo $((6 * 7)) and\x7f\x7f\x7fmore\n")
        .keys("42 more", "")
        .keys(prompt, "sleep 100\n")
        .keys("sleep 100", "\x03")
        .keys(prompt, "echo status $?\n")
        .keys("status 130", "cat >note\n")
        .keys("cat >note", "one\ntwo\n\x04")
        .keys(prompt, "wc -l note; sleep 50 &\n")
        .keys("2 note", "")
        .keys(prompt, "jobs; kill %1\n")
        .keys("Running", "")
        .keys(prompt, "mkswap /dev/vda && swapon /dev/vda && free && swapoff /dev/vda && exit 0\n");
    let run = Run::of("shell", "", machine);
    run.require_status(Status::Verdict(Verdict::Success));
    run.require(run.lines_with("Swap:").any(|line| line.contains("65532")), "free does not show the swap area");
}
