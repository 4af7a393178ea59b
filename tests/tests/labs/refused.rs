//! What is refused, and that the rest is graded.

use std::{fs, path::Path, process::Command};

use quire_boot::project;
use quire_tests::launcher::run_in;

/// An archive with these options of `tar`.
fn archive(directory: &Path, name: &str, options: &[&str]) -> String {
    let path = directory.join(name);
    let status = Command::new("tar").arg("-czf").arg(&path).arg("-C").arg(directory).args(options).status().unwrap();
    assert!(status.success(), "{name}");
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_is_no_hand_in_is_refused_with_a_reason_and_the_next_is_graded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir_all(path.join("many")).unwrap();
    for number in 0..10_000 {
        fs::write(path.join("many").join(number.to_string()), "").unwrap();
    }
    fs::create_dir_all(path.join("lab/src")).unwrap();
    let model = project().join("labs/L1/tutor/model");
    for file in ["lab.txt", "lab/src/fifo.rs", "lab/src/clock.rs", "lab/src/own.rs"] {
        fs::copy(model.join(file), path.join(file)).unwrap();
    }
    fs::write(path.join("lab/build.rs"), "fn main() { std::process::Command::new(\"sh\"); }").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path.join("link")).unwrap();
    fs::write(path.join("not.tar.gz"), "these are not the bytes of an archive").unwrap();
    let files = ["lab.txt", "lab/src/fifo.rs", "lab/src/clock.rs", "lab/src/own.rs"];

    let cases = [
        (path.join("not.tar.gz").to_str().unwrap().to_owned(), "is no archive"),
        (path.join("nowhere").to_str().unwrap().to_owned(), "cannot be read"),
        (archive(path, "absolute.tar.gz", &["-P", "/etc/hostname"]), "which is not below its own directory"),
        (
            archive(path, "up.tar.gz", &["-P", "--transform", "s,^,../../,", "lab.txt"]),
            "which is not below its own directory",
        ),
        (archive(path, "linked.tar.gz", &["lab.txt", "link"]), "holds a link"),
        (archive(path, "many.tar.gz", &["lab.txt", "many"]), "holds more than"),
        (archive(path, "nameless.tar.gz", &["lab/src/fifo.rs"]), "has no lab.txt"),
        (archive(path, "builds.tar.gz", &[&files[..], &["lab/build.rs"]].concat()), "touches lab/build.rs"),
    ];
    let mut arguments = vec!["lab", "grade", "L1"];
    arguments.extend(cases.iter().map(|(path, _)| path.as_str()));
    let ended = run_in(project(), &arguments);
    assert_eq!(ended.status, Some(0), "{}{}", ended.guest, ended.messages);
    for (path, message) in &cases {
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        let mut lines = ended.guest.lines().skip_while(|line| line.split_whitespace().next() != Some(name));
        let points = super::total(lines.next().unwrap_or_else(|| panic!("{name}: {}", ended.guest)));
        assert_eq!(points > 0, name == "builds.tar.gz", "{name} has {points} points\n{}", ended.guest);
        assert!(lines.next().is_some_and(|line| line.contains(message)), "{name}: no `{message}`\n{}", ended.guest);
    }
}

#[test]
fn wrong_arguments_are_refused_with_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let (full, new) = (directory.path().join("full"), directory.path().join("new"));
    fs::create_dir(&full).unwrap();
    fs::write(full.join("x"), "").unwrap();
    let (full, new) = (full.to_str().unwrap(), new.to_str().unwrap());
    for (arguments, message) in [
        (&["lab", "start", "L99", new][..], "there is no lab L99: `cargo lab list`"),
        (&["lab", "start", "L1", full], "is not empty"),
        (&["lab", "start", "L1", new, "--id", "a/b"], "`a/b` cannot be an id"),
        (&["lab", "test"], "this is no student's tree"),
        (&["lab", "submit"], "this is no student's tree"),
        (&["lab", "grade", "L99", "x"], "there is no lab L99"),
        (&["lab", "grade", "L1", "x", "--secret", "/nowhere"], "cannot read /nowhere"),
        (&["lab", "grade", "L1", "x", "--csv", "/nowhere/x.csv"], "cannot write /nowhere/x.csv"),
        (&["lab", "grade", "L1"], "SUBMISSION"),
    ] {
        let ended = run_in(project(), arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.messages);
        assert!(ended.messages.contains(message), "{arguments:?}: {}", ended.messages);
    }
    assert!(!Path::new(new).exists());
}
