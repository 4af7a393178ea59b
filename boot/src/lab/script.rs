//! Commands, a line each, with what has to come back behind `=`. A comment says what the lines below it are about, and so what is
//! wrong when one of them fails; an empty line ends what it is about. What a command does, each lab says.

use quire_boot::solution::MODEL;

use std::{fmt::Write as _, fs};

use super::{
    exam::{Exam, Found},
    subject::{self, Subject},
};

/// A test of a lab: what it is called, its commands, and its file in a student's tree.
pub(super) struct Test {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) file: &'static str,
    pub(super) points: u32,
}

macro_rules! test {
    ($lab:literal, $name:literal, $file:literal, $points:literal) => {
        $crate::lab::script::Test {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../labs/", $lab, "/stub/", $file)),
            file: $file,
            points: $points,
        }
    };
}
pub(super) use test;

/// How many lines expect something.
pub(super) fn expectations(text: &str) -> usize {
    lines(text).filter(|(_, line)| !line.starts_with('#') && line.contains('=')).count()
}

/// How many lines are commands.
pub(super) fn commands(text: &str) -> usize {
    lines(text).filter(|(_, line)| !line.starts_with('#')).count()
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    all_lines(text).filter(|(_, line)| !line.is_empty())
}

fn all_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim))
}

/// A command, and what has to come back if that is said.
fn parts(line: &str) -> (&str, Option<&str>) {
    match line.split_once('=') {
        Some((command, expected)) => (command.trim(), Some(expected.trim())),
        None => (line, None),
    }
}

/// What is answered to a command that cannot be done begins so.
pub(super) const NOT_POSSIBLE: &str = "not possible";

/// Runs the commands on the student's code: `answer` has it do one, and `hint` says what to look at when its answer is not as
/// expected.
///
/// # Errors
/// The first line whose answer is not what it expects, and what it is about.
pub(super) fn run(
    text: &str,
    file: &str,
    hint: fn(&str) -> &'static str,
    answer: impl FnMut(&str) -> Result<String, String>,
) -> Result<(), String> {
    run_on("your code", text, file, hint, answer)
}

/// The same on another's code, whose name is `who`.
///
/// # Errors
/// As [`run`].
pub(super) fn run_on(
    who: &str,
    text: &str,
    file: &str,
    hint: fn(&str) -> &'static str,
    mut answer: impl FnMut(&str) -> Result<String, String>,
) -> Result<(), String> {
    let mut about = String::new();
    for (number, line) in all_lines(text) {
        if line.is_empty() || line.starts_with('#') {
            about = line.strip_prefix('#').map_or(String::new(), |comment| format!("{}\n", comment.trim()));
            continue;
        }
        let (command, expected) = parts(line);
        let place = format!("{about}{file}:{number}: `{command}`");
        let answer = answer(command).map_err(|words| format!("{place}: {who} {words}"))?;
        match expected {
            Some(expected) if expected != answer => {
                return Err(format!("{place} says `{answer}`, expected `{expected}`{}", hint(command)));
            }
            None if answer.starts_with(NOT_POSSIBLE) => return Err(format!("{place} is {answer}")),
            _ => {}
        }
    }
    Ok(())
}

/// Where each part of the text that begins with `machine`, and with the comments before that, has its first line.
fn beginnings(text: &str) -> Vec<usize> {
    let (mut beginnings, mut after_command) = (Vec::new(), 0);
    for (number, line) in lines(text).filter(|(_, line)| !line.starts_with('#')) {
        if line.starts_with("machine ") {
            beginnings.push(after_command);
        }
        after_command = number;
    }
    beginnings
}

/// Runs each part of a test that begins with `machine` by itself: points for those that pass, and what is wrong with the first
/// that does not.
pub(super) fn run_each(exam: &Exam<'_>, test: &Test, run: fn(&mut Subject, &str, &str) -> Result<(), String>) -> Found {
    let lines: Vec<&str> = test.text.lines().collect();
    let mut beginnings = beginnings(test.text);
    let parts = beginnings.len() as u32;
    beginnings.push(lines.len());
    let run_part = |range: &[usize]| {
        // Empty lines before it, so that its own have their numbers.
        let commands = "\n".repeat(range[0]) + &lines[range[0]..range[1]].join("\n");
        run(&mut exam.subject()?, &commands, test.file)
    };
    let (mut right, mut first) = (0, None);
    for range in beginnings.windows(2) {
        match run_part(range) {
            Ok(()) => right += 1,
            Err(words) => {
                let hangs = words.contains(subject::HANGS);
                first.get_or_insert(words);
                // It takes all of its time wherever it does.
                if hangs {
                    break;
                }
            }
        }
    }
    let Some(first) = first else { return Found::Right };
    let of_all =
        if parts == 1 { String::new() } else { format!("\n{right} of the {parts} parts of {} pass", test.file) };
    Found::Part(test.points * right / parts, first + &of_all)
}

/// What is answered to each command in a file of the student's tree, a line each, with what else is to be said of it.
///
/// # Errors
/// There is no such file; as `answer`, with the lines before.
pub(super) fn show(
    exam: &Exam<'_>,
    file: &str,
    mut answer: impl FnMut(&str) -> Result<(String, String), String>,
) -> Result<String, String> {
    let path = exam.tree.map(|tree| tree.join(file)).unwrap_or_default();
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{file} cannot be read: {error}: name a file of commands, as in tests/"))?;
    let mut shown = String::new();
    for (number, line) in lines(&text).filter(|(_, line)| !line.starts_with('#')) {
        let (command, expected) = parts(line);
        let (answer, remark) =
            answer(command).map_err(|words| format!("{shown}{file}:{number}: `{command}`: your code {words}"))?;
        let differs = expected.filter(|expected| *expected != answer);
        let differs = differs.map_or(String::new(), |expected| format!("   (expected {expected})"));
        writeln!(shown, "{number:4}  {command:24}  {answer}{differs}{remark}").expect("a string takes all");
    }
    Ok(shown)
}

/// The same of the student's code alone.
///
/// # Errors
/// As [`show`].
pub(super) fn show_file(
    exam: &Exam<'_>,
    file: &str,
    ask: fn(&mut Subject, &str) -> Result<String, String>,
) -> Result<String, String> {
    let mut subject = exam.subject()?;
    show(exam, file, |command| Ok((ask(&mut subject, command)?, String::new())))
}

/// A bug that a student's own test may have to find: which wrong solution has it, and what it is.
pub(super) type Bug = (&'static str, &'static str);

/// The file that says which bug it is.
pub(super) fn bug_file((_, bug): Bug) -> (&'static str, String) {
    ("bug.txt", format!("Your own test has to find this bug, which is yours:\n\n  {bug}\n"))
}

/// The most lines in a student's own test.
const OWN_TEST_MAX: usize = 40;

/// The student's own test passes with a right solution, and fails with the one that has the bug.
///
/// # Errors
/// It expects nothing, is too long, fails with what is right, or passes with what is wrong.
pub(super) fn own_test(
    exam: &Exam<'_>,
    (name, bug): Bug,
    run: fn(&mut Subject, &str, &str) -> Result<(), String>,
) -> Result<Found, String> {
    const FILE: &str = "own-test.txt";
    let text = exam.text(FILE);
    if expectations(text) == 0 {
        return Err(format!("{FILE} has no line with `=`, so it expects nothing"));
    }
    if text.lines().count() > OWN_TEST_MAX {
        return Err(format!("{FILE} has more than {OWN_TEST_MAX} lines"));
    }
    // In a student's tree there is the student's code alone.
    let right = exam.reference(MODEL).unwrap_or_else(|| exam.subject());
    run(&mut right?, text, FILE)?;
    let Some(wrong) = exam.reference(name) else {
        return Ok(Found::Open(format!(
            "{FILE} passes with your code; whether it finds the bug only the grader knows, who has it: up to 5 points"
        )));
    };
    match run(&mut wrong?, text, FILE) {
        Err(_) => Ok(Found::Right),
        Ok(()) => Err(format!("{FILE} passes although {bug}: it does not find your bug")),
    }
}

#[cfg(test)]
mod tests {
    use super::beginnings;

    #[test]
    fn a_part_has_the_comments_before_it() {
        let text = "# of all\nmachine 4 4\nused = 0\n\n# of the second\nmachine 4 4\n# of this\nused = 0\n";
        assert_eq!(beginnings(text), [0, 3]);
    }
}
