//! The guest's commands of chapters, typed one after the other into the shell of one machine.

use std::{fmt::Write as _, ops::Range};

use super::{
    Chapter, Problem,
    blocks::{Command, PROMPT, commands},
};

/// Stands in the log before what a command prints.
pub const MARK: &str = "-- command of the book";

/// All commands, in their order.
#[derive(Debug)]
pub struct Session<'a> {
    /// Each as it is typed.
    pub typed: Vec<Typed<'a>>,
}

/// A command.
#[derive(Debug)]
pub struct Typed<'a> {
    /// The file of its chapter.
    pub chapter: &'a str,
    /// As it stands there.
    pub command: Command<'a>,
    /// What the shell is to do.
    pub words: String,
}

impl<'a> Session<'a> {
    /// The commands of these chapters for a guest.
    ///
    /// # Errors
    /// One that only a boot of its own could do.
    pub fn new(chapters: impl IntoIterator<Item = &'a Chapter>) -> Result<Self, Problem> {
        let mut typed = Vec::new();
        for chapter in chapters {
            for command in commands(chapter) {
                let problem = |what| Problem { chapter: chapter.name.clone(), what };
                if let Some(words) = in_guest(&command).map_err(problem)? {
                    typed.push(Typed { chapter: &chapter.name, command, words });
                }
            }
        }
        Ok(Self { typed })
    }

    /// Lines for the shell; the last one says to the launcher that all went well, in the name of `name`.
    pub fn script(&self, name: &str) -> String {
        let mut script = String::from(". /etc/profile\n");
        for (number, Typed { words, .. }) in self.typed.iter().enumerate() {
            let shown = words.replace('\'', r"'\''");
            let _ = writeln!(script, "echo; echo '{MARK} {number}'\nprintf '%s\\n' '{PROMPT}{shown}'\n{words}");
        }
        let count = self.typed.len();
        let _ = writeln!(script, "echo; echo '{MARK} {count}'; echo 'quire: {name} ok commands={count}'");
        script
    }

    /// What each command printed, of all that the machine said.
    pub fn printed<'log>(&self, log: &'log str) -> impl Iterator<Item = (&Typed<'a>, &'log str)> {
        self.typed.iter().zip(log.split(MARK).skip(1))
    }

    /// Where the log is about a chapter's commands: those for the guest's shell if it has any, or else the launcher's. `None` if the
    /// last of them did not end.
    pub fn part(&self, chapter: &str, log: &str) -> Option<Range<usize>> {
        let has_shell = self.typed.iter().any(|typed| typed.chapter == chapter && typed.command.in_guest);
        let is_its = |typed: &Typed<'_>| typed.chapter == chapter && typed.command.in_guest == has_shell;
        let (first, last) = (self.typed.iter().position(is_its)?, self.typed.iter().rposition(is_its)?);
        let mut marks = log.match_indices(MARK).map(|(at, _)| at);
        let start = marks.nth(first)?;
        Some(start..marks.nth(last - first)?)
    }
}

/// What the guest's shell is to do for a command of the book; `None` if that is none for the guest, or what it prints is not said.
/// The launcher's `--append "swapon=DEVICE -- PROGRAM"` is the program, with that area.
fn in_guest(command: &Command<'_>) -> Result<Option<String>, String> {
    if command.in_guest {
        return Ok(Some(command.words.to_owned()));
    }
    let words = command.words.strip_prefix("cargo run -- --append \"").and_then(|words| words.strip_suffix('"'));
    let parts = words.and_then(|words| words.split_once("-- ")).filter(|_| !command.prints.is_empty());
    let Some((first, program)) = parts else { return Ok(None) };
    let device = first.trim();
    if device.is_empty() {
        return Ok(Some(program.to_owned()));
    }
    let Some(device) = device.strip_prefix("swapon=").filter(|device| !device.contains([' ', ','])) else {
        return Err(format!("only a boot of its own could do this: {}", command.words));
    };
    Ok(Some(format!("swapon {device}; {program}; swapoff {device}")))
}

#[cfg(test)]
mod tests {
    use super::{MARK, Session};
    use crate::chapters::Chapter;

    const STORY: &str = "```sh\ncargo run -- --append \"swapon=/dev/vda -- swbench 1\"\n```\n```text\nbad=0\n```\n```sh\ncargo run\n```\n";

    fn chapter(name: &str, text: &str) -> Chapter {
        Chapter { name: name.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn commands_are_typed_in_their_order_and_what_they_print_is_found_again() {
        let chapters = [chapter("a.md", STORY), chapter("b.md", "```console\nquire:~# echo 'x'\nx\n```\n")];
        let session = Session::new(&chapters).unwrap();
        let words: Vec<_> = session.typed.iter().map(|typed| (typed.chapter, typed.words.as_str())).collect();
        assert_eq!(words, [("a.md", "swapon /dev/vda; swbench 1; swapoff /dev/vda"), ("b.md", "echo 'x'")]);
        let script = session.script("book");
        assert!(script.contains(r"printf '%s\n' 'quire:~# echo '\''x'\'''"), "{script}");
        assert!(script.ends_with("echo 'quire: book ok commands=2'\n"), "{script}");

        let log = format!("boot\n{MARK} 0\nbad=0\n\n{MARK} 1\nx\n\n{MARK} 2\nend\n");
        let printed: Vec<_> = session.printed(&log).map(|(_, printed)| printed).collect();
        assert_eq!(printed, [" 0\nbad=0\n\n", " 1\nx\n\n"]);
        assert_eq!(&log[session.part("a.md", &log).unwrap()], format!("{MARK} 0\nbad=0\n\n"));
        assert_eq!(&log[session.part("b.md", &log).unwrap()], format!("{MARK} 1\nx\n\n"));
        assert_eq!(session.part("b.md", log.rsplit_once(MARK).unwrap().0), None);
        assert_eq!(session.part("c.md", &log), None);
    }

    #[test]
    fn what_only_another_boot_could_do_is_a_problem() {
        let text = STORY.replace("swapon=", "policy=clock swapon=");
        let problem = Session::new(&[chapter("a.md", &text)]).unwrap_err().to_string();
        assert!(problem.contains("only a boot of its own"), "{problem}");
    }
}
