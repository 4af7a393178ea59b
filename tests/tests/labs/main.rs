//! The labs do what they say: a student's tree compiles and its tests fail by the names that are listed, the model has all
//! points, nothing has next to none, and each wrong solution is told what is wrong with it.

#![forbid(unsafe_code)]

mod handouts;
mod refused;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use quire_boot::{project, solution::solution};
use quire_tests::{
    are_long,
    launcher::{program, run_in},
};

/// So many of a lab's wrong solutions are graded, all of them with `QUIRE_TESTS=long` in the environment.
const WRONG_GRADED: usize = 3;

/// The labs that are there.
fn labs() -> Vec<String> {
    let entries = fs::read_dir(project().join("labs")).unwrap().map(|entry| entry.unwrap().path());
    let mut labs: Vec<String> = entries
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    labs.sort();
    labs
}

/// Makes a student's tree, tests it as it is, moves it, and packs it: the failing checks, and what is handed in.
fn start(lab: &str, directory: &Path) -> (Vec<String>, PathBuf) {
    let tree = directory.join("tree");
    let ended = run_in(project(), &["lab", "start", lab, tree.to_str().unwrap(), "--id", "model"]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.guest, ended.messages);
    assert!(!tree.join("labs").exists() && !tree.join("tutor").exists(), "a student has what is a tutor's");

    let moved = directory.join("moved");
    fs::rename(&tree, &moved).unwrap();
    let ended = run_in(&moved, &["lab", "test"]);
    assert_eq!(ended.status, Some(1), "{}{}", ended.guest, ended.messages);
    let name =
        |line: &str| Some(line.strip_prefix("FAIL")?.split_once(" of ")?.1.trim_start().split_once("  ")?.1.to_owned());
    let failed = ended.guest.lines().filter_map(name).collect();
    let ended = run_in(&moved, &["lab", "submit"]);
    assert_eq!(ended.status, Some(0), "{}{}", ended.guest, ended.messages);
    if let Some(file) = OUTSIDE_OF_ITS_CRATE.iter().find_map(|(of, file)| (*of == lab).then_some(file)) {
        is_a_tree_of_its_own_when_copied(&moved, file);
    }
    (failed, moved.join(format!("{lab}-model.tar.gz")))
}

/// A file that is edited and lies beside the directory of the lab's crate, of which cargo remembers the whole path.
const OUTSIDE_OF_ITS_CRATE: [(&str, &str); 1] = [("L4", "kernel/memory/src/policy/policies/own.rs")];

/// In a copy, made with all times, what is tested is the copy's.
fn is_a_tree_of_its_own_when_copied(tree: &Path, file: &str) {
    let copy = tree.with_file_name("copied");
    let status = Command::new("cp").arg("-a").arg(tree).arg(&copy).status().unwrap();
    assert!(status.success());
    let text = fs::read_to_string(copy.join(file)).unwrap();
    fs::write(copy.join(file), text + "compile_error!(\"this is the copy's\");\n").unwrap();
    let ended = run_in(&copy, &["lab", "test"]);
    assert!(ended.messages.contains("this is the copy's"), "{}{}", ended.guest, ended.messages);
}

/// The columns of a line of the table: the points of all, at its end.
fn total(line: &str) -> u32 {
    line.split_whitespace().last().unwrap().parse().unwrap_or_else(|_| panic!("{line}"))
}

/// A test for each lab: several are graded at once.
macro_rules! graded {
    ($($test:ident: $lab:literal,)*) => {
        $(#[test]
        fn $test() {
            grades_as_it_says($lab);
        })*

        #[test]
        fn each_lab_is_graded() {
            assert_eq!(labs(), [$($lab),*]);
        }
    };
}

graded! {
    l0_grades_as_it_says: "L0",
    l1_grades_as_it_says: "L1",
    l2_grades_as_it_says: "L2",
    l3_grades_as_it_says: "L3",
    l4_grades_as_it_says: "L4",
    l5_grades_as_it_says: "L5",
    l6_grades_as_it_says: "L6",
    l7_grades_as_it_says: "L7",
}

fn grades_as_it_says(lab: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (failed, empty) = start(lab, directory.path());
    let lab_directory = project().join("labs").join(lab);
    let tutor = lab_directory.join("tutor");
    let listed = fs::read_to_string(tutor.join("stub.txt")).unwrap();
    assert_eq!(failed, listed.lines().collect::<Vec<_>>(), "{lab}: the stub's failing checks");

    let mut hand_ins = vec![(empty, String::new()), (tutor.join("model"), String::new())];
    let wrong =
        fs::read_dir(tutor.join("wrong")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut wrong: Vec<String> = wrong.collect();
    wrong.sort();
    assert!(wrong.len() >= 5, "{lab} has fewer than five wrong solutions");
    let graded = if are_long() { wrong.len() } else { WRONG_GRADED };
    for wrong in wrong.into_iter().take(graded) {
        let place = directory.path().join(&wrong);
        let mut files = solution(&lab_directory, &wrong).unwrap();
        let message = String::from_utf8(files.remove("message.txt").unwrap()).unwrap();
        for (name, contents) in files {
            let path = place.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        hand_ins.push((place, message.trim().to_owned()));
    }
    let secret = directory.path().join("secret");
    fs::write(&secret, "of the tests").unwrap();
    let mut arguments = vec!["lab", "grade", lab, "--secret", secret.to_str().unwrap()];
    // L4's kernel is built anew, which takes minutes of a processor.
    let is_booted = lab != "L4" || are_long();
    if !is_booted {
        arguments.push("--without-boot");
    }
    arguments.extend(hand_ins.iter().map(|(path, _)| path.to_str().unwrap()));
    let ended = run_in(project(), &arguments);
    assert_eq!(ended.status, Some(0), "{}{}", ended.guest, ended.messages);

    for (path, message) in &hand_ins {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut lines = ended.guest.lines().skip_while(|line| line.split_whitespace().next() != Some(name));
        let points = total(lines.next().unwrap_or_else(|| panic!("{lab}: {name} has no line\n{}", ended.guest)));
        let words: Vec<&str> = lines.take_while(|line| line.starts_with("    ")).collect();
        let words = words.join("\n");
        match name {
            "model" if !is_booted => {
                assert!(points == 93 && words.contains("7 points are open"), "{lab}: {points} points\n{words}");
            }
            "model" => assert!(points == 100 && words.is_empty(), "{lab}: the model has {points} points\n{words}"),
            _ if message.is_empty() => assert!(points <= 10, "{lab}: nothing has {points} points\n{words}"),
            _ => {
                assert!(points < 100, "{lab}: {name} has all points");
                assert!(words.contains(message.as_str()), "{lab}: {name} is not told `{message}` but\n{words}");
            }
        }
    }
    println!("{lab}\n{}", ended.guest);
}

#[test]
fn the_list_has_each_lab() {
    let ended = run_in(project(), &["lab", "list"]);
    for lab in labs() {
        assert!(ended.guest.lines().any(|line| line.starts_with(&lab)), "{lab}: {}", ended.guest);
    }
    assert!(program().is_file());
}
