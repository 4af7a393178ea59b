//! Points as a table, and in files: Gradescope's `results.json`, CSV, `JUnit`.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use super::{
    definition::Lab,
    error::LabError,
    exam::{Check, Group, RUBRIC, points},
};

/// What became of a hand-in.
#[derive(Debug)]
pub(super) struct Graded {
    /// The name of its file.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) checks: Vec<Check>,
    /// Why it was refused as a whole, or what else is to be said.
    pub(super) remarks: Vec<String>,
    pub(super) seconds: f64,
}

/// The files that were asked for.
pub(super) struct Files<'a> {
    pub(super) json: Option<&'a Path>,
    pub(super) csv: Option<&'a Path>,
    pub(super) junit: Option<&'a Path>,
}

impl Files<'_> {
    /// Makes sure that they can be written, before anything is graded. What they hold is not changed yet.
    ///
    /// # Errors
    /// One cannot be written.
    pub(super) fn prepare(&self) -> Result<(), LabError> {
        for path in [self.json, self.csv, self.junit].into_iter().flatten() {
            let file = fs::File::options().append(true).create(true).open(path);
            file.map_err(LabError::file("write", path))?;
        }
        Ok(())
    }

    /// Writes them.
    ///
    /// # Errors
    /// One cannot be written.
    pub(super) fn write(&self, lab: &Lab, graded: &[Graded]) -> Result<(), LabError> {
        let files =
            [(self.json, json_text(lab, graded)), (self.csv, csv_text(graded)), (self.junit, junit_text(lab, graded))];
        for (path, text) in files {
            if let Some(path) = path {
                fs::write(path, text).map_err(LabError::file("write", path))?;
            }
        }
        Ok(())
    }
}

/// Whether what a check says goes into detail from this line on.
fn details(line: &str) -> bool {
    ["the accesses before", "the commands before"].iter().any(|beginning| line.starts_with(beginning))
}

/// Why points are missing, or open: what was found about the whole, and about each check in a line.
fn reasons(graded: &Graded) -> Vec<String> {
    let lost = |check: &&Check| (check.points < check.max || check.max == 0) && !check.words.is_empty();
    let line = |check: &Check| {
        let words: Vec<&str> = check.words.lines().take_while(|line| !details(line)).collect();
        format!("{} ({} of {}): {}", check.name, check.points, check.max, words.join("; "))
    };
    let reasons = graded.remarks.iter().cloned().chain(graded.checks.iter().filter(lost).map(line));
    reasons.map(|reason| plain(&reason)).collect()
}

/// What a student wrote, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.replace(|character: char| character.is_control(), " ")
}

/// A line for each hand-in, and below it where its points went.
pub(super) fn table(graded: &[Graded]) -> String {
    let width = graded.iter().map(|graded| graded.name.chars().count()).max().unwrap_or(0).clamp(10, 40);
    let mut table = format!("\n{:width$}  {:12}", "submission", "id");
    for (_, name, max) in RUBRIC {
        write!(table, "  {name}/{max}").expect("a string takes all");
    }
    table.push_str("  total\n");
    for one in graded {
        write!(table, "{:width$}  {:12}", one.name, one.id).expect("a string takes all");
        for (group, name, max) in RUBRIC {
            let mark = if group == Group::Note { "*" } else { "" };
            let cell = format!("{}{mark}", points(&one.checks, Some(group)));
            write!(table, "  {cell:>column$}", column = format!("{name}/{max}").len()).expect("a string takes all");
        }
        writeln!(table, "  {:>5}", points(&one.checks, None)).expect("a string takes all");
        for reason in reasons(one) {
            writeln!(table, "    {reason}").expect("a string takes all");
        }
    }
    table + "\n* of a design note only the form is judged here: a tutor reads it and may take points away\n"
}

/// Gradescope's form for one hand-in; a list of the same for several.
fn json_text(lab: &Lab, graded: &[Graded]) -> String {
    let one = |one: &Graded| {
        let tests: Vec<Value> = one
            .checks
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "score": check.points,
                    "max_score": check.max,
                    "status": if check.points == check.max { "passed" } else { "failed" },
                    "output": check.words,
                    "visibility": if check.group == Group::HiddenSeeds { "after_published" } else { "visible" },
                })
            })
            .collect();
        json!({
            "score": points(&one.checks, None),
            "execution_time": one.seconds,
            "output": one.remarks.join("\n"),
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "extra_data": { "lab": lab.name, "submission": one.name, "id": one.id },
            "tests": tests,
        })
    };
    let value = match graded {
        [only] => one(only),
        several => several.iter().map(one).collect(),
    };
    format!("{value:#}\n")
}

fn csv_text(graded: &[Graded]) -> String {
    // A sheet takes what begins so for a formula.
    let field = |text: &str| {
        let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    };
    let mut text = "submission,id".to_owned();
    for (_, name, _) in RUBRIC {
        write!(text, ",{name}").expect("a string takes all");
    }
    text.push_str(",total,reason\n");
    for one in graded {
        write!(text, "{},{}", field(&one.name), field(&one.id)).expect("a string takes all");
        for (group, ..) in RUBRIC {
            write!(text, ",{}", points(&one.checks, Some(group))).expect("a string takes all");
        }
        let total = points(&one.checks, None);
        writeln!(text, ",{total},{}", field(&reasons(one).join(" | "))).expect("a string takes all");
    }
    text
}

fn junit_text(lab: &Lab, graded: &[Graded]) -> String {
    let escape = |text: &str| {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        escaped.replace(|character: char| character.is_control() && character != '\n', " ")
    };
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for one in graded {
        let is_lost = |check: &&Check| check.points < check.max;
        let (count, lost) = (one.checks.len().max(1), one.checks.iter().filter(is_lost).count());
        let lost = if one.checks.is_empty() { 1 } else { lost };
        let name = escape(&format!("{} {}", lab.name, one.name));
        writeln!(text, "<testsuite name=\"{name}\" tests=\"{count}\" failures=\"{lost}\" time=\"{:.1}\">", one.seconds)
            .expect("a string takes all");
        let case = |text: &mut String, name: &str, words: Option<String>| {
            write!(text, "<testcase name=\"{}\"", escape(name)).expect("a string takes all");
            match words {
                Some(words) => {
                    writeln!(text, "><failure message=\"{}\"/></testcase>", escape(&words).replace('\n', "&#10;"))
                }
                None => writeln!(text, "/>"),
            }
            .expect("a string takes all");
        };
        for check in &one.checks {
            let words = format!("{} of {} points. {}", check.points, check.max, check.words);
            case(&mut text, check.name, is_lost(&check).then_some(words));
        }
        if one.checks.is_empty() {
            case(&mut text, "hand-in", Some(one.remarks.join("\n")));
        }
        if !one.remarks.is_empty() {
            writeln!(text, "<system-out>{}</system-out>", escape(&one.remarks.join("\n"))).expect("a string takes all");
        }
        text.push_str("</testsuite>\n");
    }
    text + "</testsuites>\n"
}
