//! `--gdb`, and the commands that its line loads: the debugger stops in the fault handler and shows what is there.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use quire_tests::{Image, image::header, launcher};

/// Stops at the first read of a page that is in swap, shows what there is, lets that fault be served and shows what has become
/// of the page; then stops where a lock is held.
const SESSION: &[&str] = &[
    "delete",
    "hbreak quire_memory::fault::swap_in::swap_in if !seen.write",
    "continue",
    "set $page = seen.page",
    "echo before:\\n",
    "quire walk current $page",
    "quire area",
    "quire cluster entry.area entry.slot/512",
    "quire slot 0 0",
    "print entry",
    "print quire_memory::swap::core::SWAP",
    "quire vmas current",
    "quire task",
    "up",
    "set $back = $pc",
    "set $stack = $sp",
    "delete",
    "hbreak *$back if $sp == $stack",
    "continue",
    "echo after:\\n",
    "quire walk current $page",
    "quire folio current $page",
    "quire locks",
    "delete",
    "hbreak quire_memory::policy::instance::Instance::add",
    "continue",
    "echo under the lock:\\n",
    "quire locks",
    "kill",
];

/// Whether there is a gdb that can run the commands.
fn has_debugger() -> bool {
    let asked = Command::new("gdb").args(["-batch", "-ex", "python import gdb.printing"]).output();
    asked.is_ok_and(|output| output.status.success() && output.stderr.is_empty())
}

/// The line that starts the debugger, from what the launcher says.
fn debuggers_line(launcher: &mut Child) -> String {
    let messages = BufReader::new(launcher.stderr.take().unwrap());
    let mut said = String::new();
    for line in messages.lines() {
        let line = line.unwrap();
        if let Some(line) = line.strip_prefix("  gdb ") {
            return format!("gdb {line}");
        }
        said.push_str(&line);
        said.push('\n');
    }
    panic!("the launcher printed no line for gdb:\n{said}");
}

/// What gdb printed between two marks, or up to the end.
#[track_caller]
fn between<'a>(said: &'a str, from: &str, to: &str) -> &'a str {
    let rest = said.split_once(from).unwrap_or_else(|| panic!("gdb did not come to \"{from}\":\n{said}")).1;
    rest.split_once(to).map_or(rest, |(part, _)| part)
}

#[track_caller]
fn require(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "there is no \"{part}\" in:\n{said}");
    }
}

#[test]
fn a_debugger_in_the_fault_handler_sees_a_folio_its_ptes_and_its_slot() {
    if !has_debugger() {
        eprintln!("skipped: there is no gdb with Python on this machine");
        return;
    }
    let image = Image::of(&header(16383, &[]));
    let mut launcher = Command::new(launcher::program())
        .args(["demo", "--gdb", "--memory", "32M", "--timeout", "1200", "--disk"])
        .arg(image.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = debuggers_line(&mut launcher);
    let commands = SESSION.iter().map(|command| format!("-ex '{command}'")).collect::<Vec<_>>().join(" ");
    let output = Command::new("sh").args(["-c", &format!("{line} -batch {commands} 2>&1")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // The last command has ended the machine.
    launcher.wait().unwrap();

    let before = between(&said, "before:\n", "after:\n");
    require(before, &["level 4: ", "level 1: ", "swap entry: area 0 slot ", "  slot: ", ", count "]);
    require(before, &["area 0: /dev/vda, 16383 slots, ", "area 0 cluster ", "of 512 slots not free", "\nbad\n"]);
    require(before, &["$1 = area 0 slot ", "$2 = swap\n  area 0: /dev/vda"]);
    require(before, &[" rw-p of zeros, grows down\n", " r-xp of an object\n"]);
    require(before, &["process 1 \"init\", parent 0\n", " \"demo\", parent 2\n", "swapped ", "Running, holds no lock"]);
    let after = between(&said, "after:\n", "under the lock:\n");
    require(after, &["level 1: ", ": Anonymous, references ", "UpToDate", "InCache at area 0 slot "]);
    // The folio, the one PTE that maps it, and its slot.
    require(after, &["\nfolio 0x", "\n  process ", "user, accessed", "\n  area 0 slot ", ", count "]);
    require(between(&said, "under the lock:\n", "\n\n"), &["Running, holds Lru"]);
}
