//! The simulator as a person runs it: what it prints and draws, and what it says of wrong input.

use std::{fs, path::Path};

use quire_tests::launcher::{Ended, run_alone_in};

/// Runs it with its pictures in `pictures`.
fn policy(directory: &Path, arguments: &[&str]) -> Ended {
    run_alone_in(directory, &[&["policy", "--curves", "pictures"], arguments].concat())
}

/// Refused with one line that has all of `parts`; nothing is printed or drawn.
#[track_caller]
fn refused(directory: &Path, arguments: &[&str], parts: &[&str]) {
    let ended = policy(directory, arguments);
    assert_eq!((ended.status, ended.guest.as_str()), (Some(2), ""), "{arguments:?}: {ended:#?}");
    assert!(ended.messages.starts_with("quire: ") && ended.messages.lines().count() == 1, "{ended:#?}");
    for part in parts {
        assert!(ended.messages.contains(part), "{arguments:?} does not say {part}: {ended:#?}");
    }
    assert!(!directory.join("pictures").exists(), "{arguments:?}: something was drawn");
}

#[test]
fn a_trace_becomes_a_table_and_a_picture() {
    let directory = tempfile::tempdir().unwrap();
    let trace: String = (0..3_000).map(|at| (at % 30).to_string() + "\n").collect();
    fs::write(directory.path().join("loop.txt"), trace).unwrap();
    let options = [
        "--trace", "loop.txt", "--frames", "15", "--frames", "100%", "--policy", "LRU", "--policy", "reuse",
        "--policy", "OPT",
    ];
    let ended = policy(directory.path(), &options);
    assert_eq!((ended.status, ended.messages.as_str()), (Some(0), ""), "{ended:#?}");
    let hits = |name: &str| -> Vec<f64> {
        let row = ended.guest.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
        row.split_whitespace().skip(1).map(|cell| cell.parse().unwrap()).collect()
    };
    assert!(ended.guest.starts_with("loop: 3000 references to 30 pages\n"), "{}", ended.guest);
    assert_eq!(hits("LRU"), [0.0, 99.0]);
    assert!(hits("reuse")[0] > 30.0 && hits("reuse")[0] <= hits("OPT")[0], "{}", ended.guest);
    let picture = fs::read_to_string(directory.path().join("pictures/loop.svg")).unwrap();
    assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
    assert!(["reuse", "LRU", "OPT"].iter().all(|name| picture.contains(name)));
    assert_eq!(fs::read_dir(directory.path().join("pictures")).unwrap().count(), 1, "nothing half-written is left");
}

#[test]
fn a_seed_makes_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let generated =
        policy(directory.path(), &["--generate", "loop", "--frames", "1000", "--policy", "fifo", "--seed", "7"]);
    assert_eq!(generated.status, Some(0), "{generated:#?}");
    assert!(generated.guest.contains("100000 references to 1100 pages"), "{generated:#?}");
}

#[test]
fn wrong_input_is_named_in_one_line_and_nothing_is_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("good", "1\n2\n1\n");
    write("bad", "1\n2\nthree\n");
    write("empty", "");
    write("torn.gz", "\u{1f}\u{8b}");
    fs::write(directory.path().join("torn.xz"), b"\xfd7zXZ\0\0\x04\xe6").unwrap();
    let refused = |arguments: &[&str], parts: &[&str]| refused(directory.path(), arguments, parts);
    refused(&["--trace", "bad"], &["bad", "line 3", "number of a page"]);
    refused(&["--trace", "good", "--trace", "bad"], &["bad", "line 3"]);
    refused(&["--trace", "empty"], &["empty", "not a single page"]);
    refused(&["--trace", "torn.xz"], &["torn.xz"]);
    refused(&["--trace", "torn.gz"], &["torn.gz", "line 1"]);
    refused(&["--trace", "none"], &["none", "No such file"]);
    refused(&["--trace", "."], &["directory"]);
    refused(&["--policy", "best"], &["best", "reuse", "OPT"]);
    refused(&["--trace", "good", "--policy", "lru"], &["lru", "LRU"]);
    refused(&["--generate", "noise"], &["noise", "zipf-0.8"]);
    let ended = run_alone_in(directory.path(), &["policy", "--trace", "good", "--curves", "good/pictures"]);
    assert_eq!((ended.status, ended.guest.as_str()), (Some(2), ""), "{ended:#?}");
    assert!(ended.messages.starts_with("quire: --curves good/pictures: "), "{ended:#?}");
    for frames in ["0", "0%", "101%", "many", "-5%"] {
        refused(&["--trace", "good", &format!("--frames={frames}")], &["--frames", frames, "10%"]);
    }
}
