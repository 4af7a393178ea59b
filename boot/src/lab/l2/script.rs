//! Commands for the lab's program, a line each, with what has to come back behind `=`. A comment says what the lines below it
//! are about, and so what is wrong when one of them fails.

use crate::lab::subject::Subject;

/// How many lines expect something.
pub(super) fn expectations(text: &str) -> usize {
    lines(text).filter(|(_, line)| !line.starts_with('#') && line.contains('=')).count()
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

/// Runs the commands.
///
/// # Errors
/// The first line whose answer is not what it expects, and what it is about.
pub(super) fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
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
        let answer = subject.ask_line(command).map_err(|words| format!("{place}: your code {words}"))?;
        match expected {
            Some(expected) if expected != answer => {
                return Err(format!("{place} says `{answer}`, expected `{expected}`{}", hint(command)));
            }
            None if answer == "not possible" => return Err(format!("{place} is not possible here")),
            _ => {}
        }
    }
    Ok(())
}

/// What to look at when a command's answer is not as expected.
fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "used" => "\nhint: `used` counts the pages that the disk has taken from its memory and not dropped",
        "slots" | "free-frames" => "\nhint: a folio that no one completes keeps its slot and its frame",
        "wrong-batches" => {
            "\nhint: look at can_merge: where does `previous` end, where does `next` begin, and in which bank is each?"
        }
        "read" => "\nhint: which slot does each page of a folio belong to, and what was told to the core about it?",
        _ => "",
    }
}
