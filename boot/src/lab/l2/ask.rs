//! What L2's program is asked, and its answers in words that a student understands.

use crate::lab::subject::Subject;

/// Asks the lab's program. What can only be understood with the testkit's source is put into words.
///
/// # Errors
/// As [`Subject::ask_line`].
pub(super) fn ask(subject: &mut Subject, command: &str) -> Result<String, String> {
    /// What a page holds into which nothing was copied, one of the disk's as well as a frame.
    const UNFILLED: u64 = 0xdddd_dddd_dddd_dddd;
    let answer = subject.ask_line(command).map_err(|words| {
        let place = if words.contains("Backend1 is taken under [Backend1") {
            return format!("{words}\nhint: it takes its lock while it holds it already, and would wait for itself");
        } else if words.contains("a write ends under") {
            "submit_write"
        } else if words.contains("a read ends, under") {
            "submit_read"
        } else if words.contains("under a spinning lock") || words.contains("is taken under [") {
            "it"
        } else {
            return words;
        };
        format!(
            "{words}\nhint: {place} completes a batch while it holds a lock of its own, and completion takes locks and wakes others: let the guard go before"
        )
    })?;
    Ok(if answer.parse() == Ok(UNFILLED) { format!("{UNFILLED:#x}, which no one has filled") } else { answer })
}

/// What passed last between the core and the disk, as far as the program can still be asked.
pub(super) fn last_batches(subject: &mut Subject) -> String {
    match subject.ask_line("last-batches") {
        Ok(batches) if !batches.is_empty() => format!("\nthe disk's last batches, by slots: {batches}"),
        _ => String::new(),
    }
}

/// What to look at when a command's answer is not as expected.
pub(super) fn hint(command: &str) -> &'static str {
    match command.split_whitespace().next().unwrap_or_default() {
        "used" => "\nhint: `used` counts the pages that the disk has taken from its memory and not dropped",
        "slots" | "free-frames" => {
            "\nhint: a folio keeps its slot and its frame when it is completed with an error, or not at all"
        }
        "wrong-batches" => {
            "\nhint: look at can_merge: where does `previous` end, where does `next` begin, and in which bank is each?"
        }
        "spare-batches" => "\nhint: look at can_merge: a run of four ends four slots behind its first",
        "reads" => {
            "\nhint: either reads that may go together do not, for which look at can_merge; or a folio whose read has failed is read again when its page is touched: which ones have to fail?"
        }
        "wrong-results" => {
            "\nhint: each folio is completed once. A write fails with NoSpace if there is no room for it, and then keeps nothing; a read fails with Device if one of its pages is lost"
        }
        "read" => {
            "\nhint: was each page of each folio stored, and filled? A read may ask for a larger folio than was ever written, where its slots are side by side; and after complete_one other folios are at that position and behind it"
        }
        _ => "",
    }
}
