//! What L7's program is asked, and its answers in words that a student understands.

use crate::lab::{script, subject::Subject};

/// Has the student's mirror do what a test says.
///
/// # Errors
/// The first line whose answer is not what it expects.
pub(super) fn run(subject: &mut Subject, text: &str, file: &str) -> Result<(), String> {
    let result = script::run(text, file, hint, |command| ask(subject, command));
    result.map_err(|words| match subject.ask_line("what-was-wrong") {
        Ok(wrong) if !wrong.is_empty() => {
            format!("{words}\nthe first answer of the mirror that cannot be right: {wrong}")
        }
        _ => words,
    })
}

/// Asks the lab's program. What can only be understood with the testkit's source is put into words.
///
/// # Errors
/// As [`Subject::ask_line`].
pub(super) fn ask(subject: &mut Subject, command: &str) -> Result<String, String> {
    subject.ask_line(command).map_err(|words| {
        if words.contains("Backend2 is taken under [Backend1") {
            return format!("{words}\nhint: a disk works while the mirror holds its lock, and a disk takes its time: let the guard go before");
        }
        if words.contains("under a spinning lock") || words.contains("is taken under [") {
            return format!("{words}\nhint: the mirror completes a batch while it holds its lock: let the guard go before");
        }
        words
    })
}

/// What to look at when a command's answer is not as expected.
fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "pages" => "\nhint: each page is on both disks, if these can write, until its slot is freed",
        "unreadable" => {
            "\nhint: who has the page that one disk could not read? It is readable again once it is written"
        }
        "free-frames" => "\nhint: a folio whose pages are on no disk stays in memory, each other one leaves it",
        "read" => "\nhint: which disk has the page as it was written last, and can that one be read?",
        _ => "",
    }
}
