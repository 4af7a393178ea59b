//! A built tree that is copied is a project of its own.

use std::{fs, path::Path};

use quire_boot::{project, toolchain::plain_command};
use quire_tests::launcher;

/// Copies a directory without what is built or belongs to git.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if !path.is_dir() {
            fs::copy(&path, place).unwrap();
        } else if entry.file_name() != "target" && entry.file_name() != ".git" {
            copy(&path, &place);
        }
    }
}

/// What the copy is asked to build is broken there, and there alone.
#[test]
fn a_copied_tree_builds_what_is_in_the_copy() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("copy");
    copy(project(), &place);
    let program = place.join("target/debug/quire");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(launcher::program(), &program).unwrap();
    fs::write(place.join("kernel/Cargo.toml"), "broken").unwrap();

    // From the copy and from elsewhere, without a word of cargo's.
    for current in [&place, project()] {
        for arguments in [&["--swap", "0", "--append", "scenario=list"][..], &["initramfs", "/dev/null"]] {
            let output = plain_command(&program).args(arguments).current_dir(current).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?} in {}: {said}", current.display());
            let names_it = said.contains("kernel/Cargo.toml") && said.contains("| broken");
            assert!(names_it, "{arguments:?} in {}: {said}", current.display());
        }
    }
}

#[test]
fn without_a_project_there_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("quire");
    fs::copy(launcher::program(), &program).unwrap();
    let output = plain_command(&program).arg("shell").current_dir(directory.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("there is no Quire"), "{said}");
}
