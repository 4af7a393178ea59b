//! Items in source files, found by their names.
//!
//! The files are formatted by rustfmt, so an item ends where a bracket closes at the indentation of its first line.

use std::{fmt::Write as _, fs, ops::Range};

use crate::project;

const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "macro_rules"];

/// The lines of one item, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where its documentation and attributes begin.
    pub documentation: usize,
    /// The item itself.
    pub lines: Range<usize>,
}

/// A file's lines without its tests.
///
/// # Errors
/// The file cannot be read.
pub fn lines(file: &str) -> std::io::Result<Vec<String>> {
    let text = fs::read_to_string(project().join(file))?;
    Ok(text.lines().take_while(|line| *line != "#[cfg(test)]").map(str::to_owned).collect())
}

/// Each item of the name, or, for `Type::name`, each in a block that begins with `impl` or `trait` and names the type.
pub fn items(lines: &[String], name: &str) -> Vec<Item> {
    let Some((of, name)) = name.rsplit_once("::") else { return items_in(lines, name, 0..lines.len()) };
    let is_block =
        |line: &str| !line.starts_with([' ', '/', '#']) && words(line).any(|word| word == "impl" || word == "trait");
    let blocks = (0..lines.len()).filter(|at| is_block(&lines[*at]) && words(&lines[*at]).any(|word| word == of));
    blocks.flat_map(|at| items_in(lines, name, at..end(lines, at))).collect()
}

fn items_in(lines: &[String], name: &str, range: Range<usize>) -> Vec<Item> {
    let is_declared = |line: &str| {
        let mut words = words(line).filter(|word| !word.is_empty());
        // `const fn` is a function.
        words.by_ref().any(|word| KINDS.contains(&word))
            && words.find(|word| !KINDS.contains(word)).is_some_and(|word| word == name)
    };
    let places = range.filter(|at| !lines[*at].trim().starts_with("//") && is_declared(&lines[*at]));
    let item = |at: usize| {
        let is_above = |line: &&String| ["///", "#["].iter().any(|start| line.trim().starts_with(start));
        let above = lines[..at].iter().rev().take_while(is_above).count();
        Item { documentation: at - above, lines: at..end(lines, at) }
    };
    places.map(item).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// The line after the item that begins at `at`.
fn end(lines: &[String], at: usize) -> usize {
    let indentation = lines[at].len() - lines[at].trim_start().len();
    let ends = |line: &String| line.len() > indentation && matches!(&line[indentation..], "}" | ");" | "];" | "};");
    let is_alone = lines[at].ends_with(';') || lines[at].ends_with('}');
    let more = if is_alone { 0 } else { lines[at..].iter().position(ends).unwrap_or_default() };
    at + more + 1
}

/// Where the copy of a file is, from the chapters.
pub(super) fn copy_of(file: &str) -> String {
    format!("source/{file}.html")
}

/// The file as a page with numbered lines, each with an anchor `L1`, `L2` and so on.
pub(super) fn as_page(file: &str, text: &str) -> String {
    const STYLE: &str = "body{margin:1.5em;background:#fff;color:#222}pre{font:14px/1.4 monospace}a{color:#888;\
                         text-decoration:none;user-select:none}span:target{background:#fff3bf}";
    let mut page =
        format!("<!doctype html><meta charset=utf-8><title>{file}</title><style>{STYLE}</style><h2>{file}</h2><pre>");
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(page, "<span id=L{number}><a href=#L{number}>{number:5}</a>  {line}</span>");
    }
    page + "</pre>\n"
}

#[cfg(test)]
mod tests {
    use super::{Item, items};

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_item_is_found_with_what_belongs_to_it() {
        let text = lines("/// A.\n#[inline]\npub const fn a(b: u8) -> u8 {\n    b\n}\nconst A: u8 = 1;\nstruct S(u8);");
        assert_eq!(items(&text, "a"), [Item { documentation: 0, lines: 2..5 }]);
        assert_eq!(items(&text, "A"), [Item { documentation: 5, lines: 5..6 }]);
        assert_eq!(items(&text, "S"), [Item { documentation: 6, lines: 6..7 }]);
        assert_eq!(items(&text, "b"), []);
    }

    #[test]
    fn two_functions_of_one_name_are_told_apart_by_their_types() {
        let text = lines("impl A {\n    fn new() {\n    }\n}\nimpl<T> B<T> {\n    /// C.\n    fn new() {\n    }\n}");
        assert_eq!(items(&text, "new").len(), 2);
        assert_eq!(items(&text, "A::new"), [Item { documentation: 1, lines: 1..3 }]);
        assert_eq!(items(&text, "B::new"), [Item { documentation: 5, lines: 6..8 }]);
        assert_eq!(items(&text, "C::new"), []);
    }
}
