//! Directives and links of a chapter.

use std::{fmt::Write as _, fs};

use quire_protocol::references::Generator;

use super::{
    bars,
    page::{Chapter, Expanded, Problem, directory},
    session::Session,
    source,
};
use crate::{project, watch::figure::Beside};

/// The chapter as mdBook takes it. What it needs beside itself, and what it names in vain, is added to `expanded`.
pub(super) fn expand(chapter: &Chapter, all: &[Chapter], expanded: &mut Expanded) -> String {
    let mut expansion = Expansion { chapter, all, expanded, figures: 0 };
    let (mut text, mut fenced, mut output): (String, bool, Vec<&str>) = (String::new(), false, Vec::new());
    for line in chapter.text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            if fenced {
                output.clear();
            }
        } else if fenced {
            output.push(line);
        }
        text += &match line.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")) {
            Some(directive) if !fenced => expansion.directive(directive, &output),
            _ if fenced => line.to_owned(),
            _ => expansion.links(line),
        };
        text.push('\n');
    }
    if fenced {
        expansion.problem("a block of code does not end".to_owned());
    }
    text
}

struct Expansion<'a> {
    chapter: &'a Chapter,
    all: &'a [Chapter],
    expanded: &'a mut Expanded,
    figures: usize,
}

impl Expansion<'_> {
    fn problem(&mut self, what: String) -> String {
        self.expanded.problems.push(Problem { chapter: self.chapter.name.clone(), what });
        String::new()
    }

    fn directive(&mut self, directive: &str, output: &[&str]) -> String {
        let (words, texts): (Vec<&str>, Vec<&str>) = {
            let parts = directive.split('"').enumerate();
            let (texts, words): (Vec<_>, Vec<_>) = parts.partition(|(number, _)| number % 2 == 1);
            let words = words.into_iter().flat_map(|(_, text)| text.split_whitespace());
            (words.collect(), texts.into_iter().map(|(_, text)| text).collect())
        };
        match (&words[..], &texts[..]) {
            (["quote", file, item], []) => self.quote(file, item, None),
            (["quote", file, item, "from", "to"], [from, to]) => self.quote(file, item, Some((*from, *to))),
            (["bars", column], [title]) => self.bars(output, column, title),
            (["bars", column, "from"], [title, from]) => {
                let first = output.iter().position(|line| line.trim().starts_with(from)).unwrap_or(output.len());
                self.bars(&output[first..], column, title)
            }
            (["curves", trace], []) => self.curves(trace),
            (["recording", panel], [caption]) => self.recording(panel, caption),
            _ => self.problem(format!("this directive is not known: {directive}")),
        }
    }

    /// The lines of the one item of that name.
    fn item(&mut self, file: &str, name: &str) -> Option<(Vec<String>, source::Item)> {
        let Ok(lines) = source::lines(file) else {
            self.problem(format!("there is no {file}"));
            return None;
        };
        let mut items = source::items(&lines, name);
        if items.len() > 1 {
            // A function that is in no block is meant by its name alone.
            items.retain(|item| !lines[item.lines.start].starts_with(' '));
        }
        match &items[..] {
            [item] => {
                let item = item.clone();
                self.expanded.sources.insert(file.to_owned());
                return Some((lines, item));
            }
            _ => self.problem(format!("there is no {name} in {file}, or there are several: say Type::{name}")),
        };
        None
    }

    fn quote(&mut self, file: &str, name: &str, part: Option<(&str, &str)>) -> String {
        let Some((lines, item)) = self.item(file, name) else { return String::new() };
        let mut range = item.lines;
        if let Some((from, to)) = part {
            let find = |text: &str, after: usize| (after..range.end).find(|at| lines[*at].contains(text));
            let found = find(from, range.start).and_then(|first| Some(first..find(to, first)? + 1));
            match found {
                Some(found) => range = found,
                None => return self.problem(format!("{name} in {file} has no lines from {from:?} to {to:?}")),
            }
        }
        let first = range.start + 1;
        let lines = &lines[range];
        let indentation = |line: &String| line.len() - line.trim_start().len();
        let least = lines.iter().filter(|line| !line.trim().is_empty()).map(indentation).min().unwrap_or_default();
        let code: String = lines.iter().map(|line| line.get(least..).unwrap_or_default().to_owned() + "\n").collect();
        let copy = source::copy_of(file);
        format!(
            "```rust,ignore\n{code}```\n\n<p class=\"source\"><a href=\"{copy}#L{first}\">{file}, line {first}</a></p>\n"
        )
    }

    fn bars(&mut self, output: &[&str], column: &str, title: &str) -> String {
        let Some(picture) = bars::draw(output, column.parse().unwrap_or_default(), title) else {
            return self.problem(format!("the block above has no numbers in column {column} for {title:?}"));
        };
        self.figures += 1;
        let name = format!("{}-{}.svg", self.chapter.name.trim_end_matches(".md"), self.figures);
        let text = format!("![{title}](figures/{name})\n\n<p class=\"source\">Drawn from the output above.</p>\n");
        self.expanded.figures.insert(name, picture);
        text
    }

    fn curves(&mut self, trace: &str) -> String {
        let Some(Generator { name, what, .. }) = Generator::named(trace) else {
            return self.problem(format!("no generator of traces is called {trace}"));
        };
        self.expanded.curves.insert((*name).to_owned());
        format!(
            "![Hit ratios against memory on {name}: {what}](figures/{name}.svg)\n\n\
             <p class=\"source\">Drawn by <code>cargo run -- policy --generate {name}</code>.</p>\n"
        )
    }

    fn recording(&mut self, panel: &str, caption: &str) -> String {
        let Some(beside) = Beside::named(panel) else {
            return self.problem(format!("no panel is called {panel}"));
        };
        match Session::new([self.chapter]) {
            Ok(session) if session.typed.is_empty() => {
                return self.problem("there is no command for a guest, which could be recorded".to_owned());
            }
            Ok(_) => {}
            Err(problem) => return self.problem(problem.what),
        }
        if self.expanded.recordings.insert(self.chapter.name.clone(), beside).is_some() {
            return self.problem("there are two recordings".to_owned());
        }
        let name = self.chapter.name.trim_end_matches(".md");
        format!(
            "<iframe class=\"recording\" src=\"figures/{name}.html\" title=\"{caption}\" loading=\"lazy\"></iframe>\n\n\
             <p class=\"source\">{caption} Recorded from the kernel while it did this chapter's commands. Play it or pull the slider; point \
             at a frame or a slot, and click on one to see its life and to follow its page.</p>\n"
        )
    }

    /// The line with its links to files of the project leading to their copies.
    fn links(&mut self, markdown: &str) -> String {
        let mut parts = markdown.split("](");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((link, rest)) = part.split_once(')') else {
                return self.problem(format!("a link does not end: {markdown}"));
            };
            let _ = write!(text, "]({}){rest}", self.link(link));
        }
        text
    }

    fn link(&mut self, link: &str) -> String {
        let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
        if link.starts_with("https://") {
            return link.to_owned();
        }
        if let Some(page) = path.strip_prefix("api/") {
            // What rustdoc makes: of a crate of the project, for one of the targets.
            let parts: Vec<&str> = page.split('/').collect();
            if !matches!(parts[..], ["host" | "kernel", name, "index.html"] if is_crate(name)) {
                self.problem(format!("{link} is no page of a crate's documentation"));
            }
            return link.to_owned();
        }
        if let Some(file) = path.strip_prefix("../") {
            let Some(name) = anchor else {
                if !project().join(file).is_file() {
                    return self.problem(format!("{link} leads nowhere"));
                }
                if let Some(picture) = file.strip_suffix(".svg").and_then(|path| path.rsplit('/').next()) {
                    let Ok(text) = fs::read_to_string(project().join(file)) else { return String::new() };
                    let name = format!("{picture}.svg");
                    self.expanded.figures.insert(name.clone(), text);
                    return format!("figures/{name}");
                }
                self.expanded.sources.insert(file.to_owned());
                return source::copy_of(file);
            };
            let first = self.item(file, name).map_or(0, |(_, item)| item.lines.start + 1);
            return format!("{}#L{first}", source::copy_of(file));
        }
        let chapter =
            self.all.iter().find(|other| other.name == path || path.is_empty() && other.name == self.chapter.name);
        let leads = match (chapter, anchor) {
            (Some(_), None) => true,
            (Some(chapter), Some(anchor)) => headings(&chapter.text).any(|heading| heading == anchor),
            (None, _) => directory().join(path).is_file(),
        };
        if !leads {
            self.problem(format!("{link} leads nowhere"));
        }
        link.to_owned()
    }
}

/// Whether a crate of the project has that name in code.
fn is_crate(name: &str) -> bool {
    let manifests = [
        "swap",
        "swap/compressed",
        "swap/backends",
        "kernel",
        "kernel/machine",
        "kernel/memory",
        "kernel/linux",
        "drivers",
        "boot",
    ];
    let line = format!("name = \"{}\"", name.replace('_', "-"));
    let has_it = |directory: &str| {
        let manifest = fs::read_to_string(project().join(directory).join("Cargo.toml"));
        manifest.is_ok_and(|text| text.lines().any(|other| other == line))
    };
    manifests.iter().any(|directory| has_it(directory))
}

/// The anchors that mdBook gives the headings of a text.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| -> String {
        let kept =
            title.chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
        kept.map(|character| if character == ' ' { '-' } else { character.to_ascii_lowercase() }).collect()
    };
    titles.map(anchor)
}

#[cfg(test)]
mod tests {
    use crate::chapters::{Chapter, expand};

    fn one(text: &str) -> (String, Vec<String>) {
        let mut expanded = expand(&[Chapter { name: "a.md".to_owned(), text: text.to_owned() }]);
        let problems = expanded.problems.iter().map(ToString::to_string).collect();
        (expanded.pages.remove("a.md").unwrap(), problems)
    }

    #[test]
    fn code_is_quoted_and_links_lead_to_it() {
        let (page, problems) =
            one("{{quote boot/src/size.rs Size::mebibytes}}\n[it](../boot/src/size.rs#Size::mebibytes)\n");
        assert_eq!(problems, <[String; 0]>::default());
        assert!(
            page.contains("pub const fn mebibytes(") && page.contains("](source/boot/src/size.rs.html#L"),
            "{page}"
        );
        let (page, _) =
            one("{{quote boot/src/chapters/expand.rs Expansion::links from \"let mut text\" to \"let mut text\"}}");
        assert_eq!(page.lines().filter(|line| line.starts_with("let mut text")).count(), 1, "{page}");
    }

    #[test]
    fn what_is_not_there_is_named_with_its_chapter() {
        for (text, said) in [
            ("{{quote boot/src/size.rs Giant}}", "there is no Giant in boot/src/size.rs, or there are several"),
            ("{{quote nowhere.rs Size}}", "there is no nowhere.rs"),
            ("{{quote boot/src/size.rs Size::mebibytes from \"x y\" to \"}\"}}", "has no lines"),
            ("{{shout}}", "not known"),
            ("{{recording noise \"x\"}}", "no panel is called noise"),
            ("{{recording story \"x\"}}", "no command for a guest"),
            ("```console\nquire:~# ls\n```\n{{recording story \"x\"}}\n{{recording story \"x\"}}", "two recordings"),
            ("{{curves noise}}", "no generator of traces is called noise"),
            ("{{bars 2 \"x\"}}", "no numbers in column 2"),
            ("[x](../boot/src/none.rs)", "../boot/src/none.rs leads nowhere"),
            ("[x](../boot/src/size.rs#none)", "there is no none in boot/src/size.rs"),
            ("[x](api/host/quire_none/index.html)", "no page of a crate"),
            ("[x](b.md)", "b.md leads nowhere"),
            ("# A b\n[x](#a-b) [y](#c)", "#c leads nowhere"),
            ("```text\nx", "does not end"),
        ] {
            let (_, problems) = one(text);
            assert_eq!(problems.len(), 1, "{text}: {problems:?}");
            assert!(problems[0].starts_with("docs/a.md: ") && problems[0].contains(said), "{text}: {problems:?}");
        }
    }
}
