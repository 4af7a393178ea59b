//! Commands in chapters, and what they print.
//!
//! A block of `sh` has a command of the host a line, a block of `console` has the guest's shell with commands after its prompt. What a
//! command prints is in a block of `text` behind it, or in the same block of `console`.

use super::Chapter;

/// The prompt of the guest's shell as root.
pub(super) const PROMPT: &str = "quire:~# ";

/// Code between two fences.
#[derive(Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// What follows the first fence.
    pub language: &'a str,
    /// The lines between them.
    pub lines: Vec<&'a str>,
}

/// A command and the lines that it is said to print.
#[derive(Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// As it is typed.
    pub words: &'a str,
    /// Of the guest's shell, not of the host's.
    pub in_guest: bool,
    /// Some of them; a line `...` stands for others.
    pub prints: Vec<&'a str>,
}

/// The blocks of a text.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let (mut blocks, mut open): (Vec<Block<'_>>, Option<Block<'_>>) = (Vec::new(), None);
    for line in text.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(language), None) => open = Some(Block { language, lines: Vec::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.lines.push(line),
            (None, None) => {}
        }
    }
    blocks
}

/// The commands of a chapter.
pub fn commands(chapter: &Chapter) -> Vec<Command<'_>> {
    let mut commands: Vec<Command<'_>> = Vec::new();
    let mut last = "";
    for Block { language, lines } in blocks(&chapter.text) {
        for line in lines {
            match language {
                "sh" => commands.push(Command { words: line, in_guest: false, prints: Vec::new() }),
                "console" => match (line.strip_prefix(PROMPT), commands.last_mut()) {
                    (Some(words), _) => commands.push(Command { words, in_guest: true, prints: Vec::new() }),
                    (None, Some(command)) if command.in_guest => command.prints.push(line),
                    (None, _) => {}
                },
                "text" if last == "sh" => {
                    if let Some(command) = commands.last_mut() {
                        command.prints.push(line);
                    }
                }
                _ => {}
            }
        }
        last = language;
    }
    commands
}

/// A line without what differs from run to run: numbers, and how much space is before them.
pub fn shape(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let mut shape = String::new();
        let mut characters = word.chars().peekable();
        while let Some(character) = characters.next() {
            if character.is_ascii_digit() {
                while characters.next_if(char::is_ascii_digit).is_some() {}
                shape.push('0');
            } else {
                shape.push(character);
            }
        }
        shape
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The first of the lines that are said to be printed whose shape is not, where the others leave it its place; what the kernel says
/// of itself comes at any time, and is not looked for.
pub fn missing<'a>(said: &[&'a str], printed: &str) -> Option<&'a str> {
    let mut printed = printed.lines().map(shape);
    let is_wanted = |line: &&&str| !line.trim().is_empty() && line.trim() != "..." && !line.starts_with('[');
    said.iter().filter(is_wanted).find(|line| !printed.any(|printed| printed == shape(line))).copied()
}

#[cfg(test)]
mod tests {
    use super::{Command, commands, missing, shape};
    use crate::chapters::Chapter;

    #[test]
    fn commands_have_what_they_print() {
        let text = "```sh\na\nb\n```\n\n```text\nc\n```\n```rust\nd\n```\n```console\nquire:~# e\nf\nquire:~# g\n```\n";
        let chapter = Chapter { name: String::new(), text: text.to_owned() };
        let host = |words, prints| Command { words, in_guest: false, prints };
        let guest = |words, prints| Command { words, in_guest: true, prints };
        let expected = [host("a", vec![]), host("b", vec!["c"]), guest("e", vec!["f"]), guest("g", vec![])];
        assert_eq!(commands(&chapter), expected);
    }

    #[test]
    fn numbers_may_differ_and_words_may_not() {
        assert_eq!(shape("  pages=12  3.5 KiB"), "pages=0 0.0 KiB");
        let printed = "a 1\n[ 3.1] kernel\nb 22\nc 3\n";
        assert_eq!(missing(&["a 9", "...", "c 10"], printed), None);
        assert_eq!(missing(&["b 9", "a 1"], printed), Some("a 1"));
        assert_eq!(missing(&["d 9"], printed), Some("d 9"));
    }
}
