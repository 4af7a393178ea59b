//! CONTRIBUTING.md's reading list is true: what it names is there, and it is as long as it says, which is not too long.

use std::{collections::BTreeSet, fs};

use quire_boot::{chapters::source, project};

/// What one can read in a day or two.
const LINES_MAX: usize = 8000;

/// By how many lines the list may differ from what it says before that has to be said anew.
const TOLERANCE: usize = 300;

/// A row: names of functions and types, their file, and whether the file is to be read whole.
struct Row {
    names: Vec<String>,
    file: String,
    is_whole: bool,
}

/// What lies between two texts.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(part, _)| part)
}

fn list() -> String {
    let text = fs::read_to_string(project().join("CONTRIBUTING.md")).unwrap();
    text.split_once("\n## Reading list\n").expect("there is a reading list").1.to_owned()
}

fn rows(list: &str) -> Vec<Row> {
    let cells = list.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows = cells.filter_map(|cells| {
        let [_, _, _, names, file, _] = cells[..] else { return None };
        let names = names.split('`').skip(1).step_by(2).map(|name| name.split("::").last().unwrap().to_owned());
        Some(Row {
            names: names.collect(),
            file: between(file, "](", ")")?.to_owned(),
            is_whole: !file.starts_with("of "),
        })
    });
    let rows: Vec<Row> = rows.collect();
    assert!(rows.len() >= 30, "only {} rows were found", rows.len());
    rows
}

/// A file's lines without its tests.
fn lines(file: &str) -> Vec<String> {
    source::lines(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The lines of each item of that name, with its documentation.
fn item(lines: &[String], name: &str) -> usize {
    source::items(lines, name).iter().map(|item| item.lines.end - item.documentation).sum()
}

#[test]
fn what_the_reading_list_names_is_in_its_file() {
    for Row { names, file, .. } in rows(&list()) {
        assert!(!names.is_empty(), "{file} is listed without a name");
        for name in names {
            assert!(item(&lines(&file), &name) > 0, "there is no {name} in {file}");
        }
    }
}

/// The lines of a room's sources, without tests.
fn lines_of_room(room: &str) -> usize {
    let room = project().join(room);
    let files =
        super::files::files(".rs").into_iter().filter(|file| file.starts_with(&room) && !file.ends_with("tests.rs"));
    files.map(|file| lines(&file.display().to_string()).len()).sum()
}

#[test]
fn the_subject_is_as_long_as_it_says() {
    let count = lines_of_room("swap/src") + lines_of_room("kernel/memory/src");
    let said = between(&list(), "together have ", " lines").unwrap().replace(',', "").parse::<usize>().unwrap();
    assert!(
        count.abs_diff(said) <= TOLERANCE,
        "the swap core and quire-memory have {count} lines, and are said to have {said}"
    );
}

#[test]
fn the_reading_list_is_as_long_as_it_says() {
    let list = list();
    let rows = rows(&list);
    // What opens it, and files that are named more than once, count once.
    let opening = list.split("\n### ").next().unwrap().split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let whole = rows.iter().filter(|row| row.is_whole).map(|row| row.file.as_str());
    let whole: BTreeSet<&str> = opening.chain(whole).collect();
    let parts = rows.iter().filter(|row| !whole.contains(row.file.as_str())).map(|row| {
        let lines = lines(&row.file);
        row.names.iter().map(|name| item(&lines, name)).sum::<usize>()
    });
    let count = whole.iter().map(|file| lines(file).len()).sum::<usize>() + parts.sum::<usize>();
    assert!(count <= LINES_MAX, "the reading list has {count} lines");
    let said = between(&list, "about ", " lines").unwrap().replace(',', "").parse::<usize>().unwrap();
    assert!(count.abs_diff(said) <= TOLERANCE, "the reading list has {count} lines and says {said}");
}
