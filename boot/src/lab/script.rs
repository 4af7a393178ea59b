//! Commands, a line each, with what has to come back behind `=`. A comment says what the lines below it are about, and so what is
//! wrong when one of them fails. What a command does, each lab says.

use quire_boot::solution::MODEL;

use super::{exam::Exam, subject::Subject};

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
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

/// What is answered to a command that cannot be done.
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
    let mut about = "";
    for (number, line) in lines(text) {
        if let Some(comment) = line.strip_prefix('#') {
            about = comment.trim();
            continue;
        }
        let (command, expected) = match line.split_once('=') {
            Some((command, expected)) => (command.trim(), Some(expected.trim())),
            None => (line, None),
        };
        let place = format!("{about}\n{file}:{number}: `{command}`");
        let answer = answer(command).map_err(|words| format!("{place}: {who} {words}"))?;
        match expected {
            Some(expected) if expected != answer => {
                return Err(format!("{place} says `{answer}`, expected `{expected}`{}", hint(command)));
            }
            None if answer == NOT_POSSIBLE => return Err(format!("{place} is not possible here")),
            _ => {}
        }
    }
    Ok(())
}

/// The student's own test passes with a right solution, and fails with the one that has the bug.
///
/// # Errors
/// It expects nothing, is too long, fails with what is right, or passes with what is wrong.
pub(super) fn own_test(
    exam: &Exam<'_>,
    lines_max: usize,
    (name, bug): (&str, &str),
    run: fn(&mut Subject, &str, &str) -> Result<(), String>,
) -> Result<(), String> {
    const FILE: &str = "own-test.txt";
    let text = exam.text(FILE);
    if expectations(text) == 0 {
        return Err(format!("{FILE} has no line with `=`, so it expects nothing"));
    }
    if text.lines().count() > lines_max {
        return Err(format!("{FILE} has more than {lines_max} lines"));
    }
    // In a student's tree there is the student's code alone.
    let right = exam.reference(MODEL).unwrap_or_else(|| exam.subject());
    run(&mut right?, text, FILE)?;
    let Some(wrong) = exam.reference(name) else { return Ok(()) };
    match run(&mut wrong?, text, FILE) {
        Err(_) => Ok(()),
        Ok(()) => Err(format!("{FILE} passes although {bug}: it does not find your bug")),
    }
}
