//! What handouts say about files is true: each line of a reading map leads to lines in which the words that it names are, and
//! there are not too many of them.

use std::fs;

use quire_boot::project;

/// The most lines that a student is asked to read, and the most files.
const LINES_MAX: usize = 600;
const FILES_MAX: usize = 6;

/// A line of a reading map: a place, as in swap/src/ops.rs:8-70, and the words in backticks that stand in those lines.
fn row(line: &str) -> Option<(&str, usize, usize, Vec<&str>)> {
    let (place, rest) = line.strip_prefix("| `")?.split_once("` |")?;
    let (file, lines) = place.rsplit_once(':')?;
    let (from, to) = lines.split_once('-')?;
    Some((file, from.parse().ok()?, to.parse().ok()?, rest.split('`').skip(1).step_by(2).collect()))
}

#[test]
fn each_line_that_a_handout_names_is_there() {
    for lab in super::labs() {
        let directory = project().join("labs").join(&lab);
        let handout = fs::read_to_string(directory.join("handout.md")).unwrap();
        let rows: Vec<_> = handout.lines().filter_map(row).collect();
        assert!(!rows.is_empty(), "{lab} has no reading map");
        let mut files: Vec<&str> = rows.iter().map(|(file, ..)| *file).collect();
        files.dedup();
        let lines: usize = rows.iter().map(|(_, from, to, _)| to + 1 - from).sum();
        assert!(files.len() <= FILES_MAX && lines <= LINES_MAX, "{lab}: {} files, {lines} lines", files.len());
        for (file, from, to, words) in rows {
            let places = [directory.join("stub").join(file), project().join(file)];
            let text = places.iter().find_map(|path| fs::read_to_string(path).ok());
            let text = text.unwrap_or_else(|| panic!("{lab}: there is no {file}"));
            let lines: Vec<&str> = text.lines().collect();
            assert!(1 <= from && from <= to && to <= lines.len(), "{lab}: {file} has {} lines", lines.len());
            let text = lines[from - 1..to].join("\n");
            assert!(!words.is_empty(), "{lab}: {file}:{from}-{to} names no words that are there");
            for word in words {
                assert!(text.contains(word), "{lab}: `{word}` is not in {file}:{from}-{to}");
            }
        }
    }
}

/// The part of the text below this heading, up to the next one.
fn below<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n"))?;
    Some(rest.split("\n## ").next().unwrap_or(rest))
}

/// The points that a line of the table says.
fn points(line: &str) -> Option<u32> {
    line.strip_prefix('|')?.split('|').nth(1)?.trim().parse().ok()
}

#[test]
fn each_handout_has_what_a_student_needs() {
    for lab in super::labs() {
        let directory = project().join("labs").join(&lab);
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_else(|_| panic!("{lab}: no {name}"));
        let handout = read("handout.md");
        let part = |heading: &str| below(&handout, heading).unwrap_or_else(|| panic!("{lab} has no `{heading}`"));
        assert!(handout.contains("\n**Afterwards you will know** "), "{lab} does not say what one will know");
        part("What is there");
        part("What to read");
        part("If you are stuck");
        let (before, steps) = (handout.split("\n## Steps\n").next().unwrap(), part("Steps"));
        assert!(before.contains("\n```text\n"), "{lab} has no figure");
        let is_step = |number: usize| steps.contains(&format!("\n{number}. **"));
        let count = (1..=steps.len()).take_while(|number| is_step(*number)).count();
        let predictions = steps.matches("**Predict").count();
        assert!(count >= 6 && 2 * predictions >= count, "{lab}: {count} steps, {predictions} predictions");
        assert_eq!(part("How it is graded").lines().filter_map(points).sum::<u32>(), 100, "{lab}: points");
        let questions = read("stub/note.md").lines().filter(|line| line.starts_with("## ")).count();
        assert!(questions >= 3, "{lab}: {questions} questions for the note");
        assert!(read("tutor/notes.md").contains("\n## What goes wrong"), "{lab}: mistakes that are usual");
    }
}
