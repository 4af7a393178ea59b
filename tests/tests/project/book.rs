//! The book is true, as far as that shows without a boot: what it names is there, its commands are ones that work, the simulator
//! prints what it says, and each chapter has its parts.

use quire_boot::chapters::{
    self, Chapter,
    blocks::{Command, commands, missing},
};
use quire_tests::launcher::run_alone_in;

use crate::readme;

fn chapters() -> Vec<Chapter> {
    chapters::read().unwrap()
}

/// The names of the chapters that are to be read one after the other, as the list of contents has them.
fn in_order(chapters: &[Chapter]) -> Vec<String> {
    let list = &chapters.iter().find(|chapter| chapter.name == "SUMMARY.md").unwrap().text;
    let part = list.split("\n# ").find(|part| part.starts_with("The chapters")).unwrap();
    let names = part.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    names.map(str::to_owned).collect()
}

#[test]
fn what_the_book_names_is_there() {
    let problems = chapters::expand(&chapters()).problems;
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn each_page_is_in_the_list_of_contents() {
    let chapters = chapters();
    let list = &chapters.iter().find(|chapter| chapter.name == "SUMMARY.md").unwrap().text;
    let forgotten = chapters.iter().map(|chapter| &chapter.name);
    let forgotten: Vec<&String> = forgotten.filter(|name| !list.contains(&format!("]({name})"))).collect();
    assert_eq!(forgotten, ["SUMMARY.md"]);
}

#[test]
fn each_command_of_the_host_is_one_that_works() {
    for chapter in chapters() {
        // What the simulator is said to print is looked for below.
        let is_for_others = |words: &str| words.starts_with("cargo run -- policy ");
        let of_host = commands(&chapter).into_iter().filter(|command| !command.in_guest);
        for Command { words, .. } in
            of_host.filter(|command| command.prints.is_empty() || !is_for_others(command.words))
        {
            words.split("&&").for_each(|words| readme::check(words.trim()));
        }
    }
}

#[test]
fn the_simulator_prints_what_the_book_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut count = 0;
    for chapter in chapters() {
        for Command { words, prints, .. } in commands(&chapter) {
            let Some(options) = words.strip_prefix("cargo run -- policy ").filter(|_| !prints.is_empty()) else {
                continue;
            };
            let arguments = ["policy", "--curves", "pictures"].into_iter().chain(options.split_whitespace());
            let ended = run_alone_in(directory.path(), &arguments.collect::<Vec<_>>());
            assert_eq!(ended.status, Some(0), "{ended:#?}");
            // Of these, numbers are the same on every machine.
            let mut printed = ended.guest.lines();
            for line in prints.iter().filter(|line| !line.is_empty() && **line != "...") {
                assert!(
                    printed.any(|printed| printed == *line),
                    "docs/{}: {words} does not print: {line}",
                    chapter.name
                );
            }
            assert_eq!(missing(&prints, &ended.guest), None);
            count += 1;
        }
    }
    assert!(count >= 1, "no command of the simulator was found");
}

/// It opens with a command and what that prints, is as long as one can read at a sitting, has a picture, and ends with questions.
#[test]
fn each_chapter_has_its_parts() {
    let chapters = chapters();
    let in_order = in_order(&chapters);
    assert!(!in_order.is_empty());
    for name in in_order {
        let text = &chapters.iter().find(|chapter| chapter.name == name).unwrap().text;
        let mut fences = text.split("\n```").skip(1);
        assert!(
            fences.next().is_some_and(|block| block.starts_with("sh") || block.starts_with("console")),
            "{name}: no command"
        );
        let pictures = ["{{bars ", "{{curves ", "!["].iter().map(|start| text.matches(start).count()).sum::<usize>();
        assert!(pictures >= 1, "{name} has no picture");
        assert_eq!(text.matches("{{recording ").count(), 1, "{name} has no figure to be played, or several");
        assert_eq!(text.matches("<details>").count(), 3, "{name} does not end with three questions");
        assert_eq!(text.matches("</details>").count(), 3, "{name}: a folded answer does not end");
        let words = text.split_whitespace().count();
        assert!((1450..=2600).contains(&words), "{name} has {words} words");
    }
}
