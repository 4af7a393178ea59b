//! Bugs that are planted in Quire's own sources, for labs that have one look for them.
//!
//! They are a tutor's: `tutor/bugs/NN-name/` has a change of one file (`change.txt`), where the bug is (`place.txt`: any of these
//! functions is right), and a test that finds it (`test.txt`). All of them are in one program, which is told by its first line
//! which one is awake, so that there is one to compile and not one for each; `tutor/switch/` is what they are switched by.
//! That each one still fits the sources, and is found by its test, is looked at each time before anything is graded.

use std::{fs, path::Path};

use quire_boot::solution;

use super::{
    definition::Lab,
    error::LabError,
    files::{self, Files, collect},
    script,
    subject::{SECONDS_MAX, Subject},
};

/// The reference that has all machines.
pub(super) const MACHINES: &str = "machines";

/// Where that program is in a student's tree.
pub(super) const PLACE: &str = "tool/machines";

/// The machine without a bug.
pub(super) const NONE: u32 = 0;

/// A planted bug.
pub(super) struct Bug {
    pub(super) number: u32,
    change: String,
    /// Where it is, as in `swap/src/cache.rs:put`: where it was planted, and other functions that one may well name.
    pub(super) places: Vec<String>,
    /// A test that finds it.
    test: String,
}

/// Whether the lab has any.
///
/// # Errors
/// [`LabError::NoProject`].
pub(super) fn has_bugs(lab: &Lab) -> Result<bool, LabError> {
    Ok(files::project()?.join("labs").join(lab.name).join("tutor/bugs").is_dir())
}

/// The lab's bugs, by their numbers.
///
/// # Errors
/// [`LabError`]: they cannot be read.
pub(super) fn bugs(lab: &Lab) -> Result<Vec<Bug>, LabError> {
    let directory = files::project()?.join("labs").join(lab.name).join("tutor/bugs");
    let entries = fs::read_dir(&directory).map_err(LabError::file("read", &directory))?;
    let mut bugs = Vec::new();
    for entry in entries {
        let path = entry.map_err(LabError::file("read", &directory))?.path();
        let read = |name| fs::read_to_string(path.join(name)).map_err(LabError::file("read", path.join(name)));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = name.split('-').next().and_then(|number| number.parse().ok());
        bugs.push(Bug {
            number: number.ok_or_else(|| rotten(lab, format!("the name {name} does not begin with a number")))?,
            change: read("change.txt")?,
            places: read("place.txt")?.lines().map(str::to_owned).collect(),
            test: read("test.txt")?,
        });
    }
    bugs.sort_by_key(|bug| bug.number);
    Ok(bugs)
}

fn rotten(lab: &Lab, words: String) -> LabError {
    LabError::Stub { lab: lab.name, words }
}

/// Plants all of them in the files of a tree.
///
/// # Errors
/// [`LabError`]: a change does not fit the sources.
pub(super) fn plant(lab: &Lab, files: &mut Files) -> Result<(), LabError> {
    let switch = files::project()?.join("labs").join(lab.name).join("tutor/switch");
    let mut switches = Files::new();
    collect(&switch, "", &mut switches)?;
    let change = switches.remove("change.txt").unwrap_or_default();
    files.extend(switches);
    let misfit = |number, words| rotten(lab, format!("the change of bug {number} does not fit: {words}"));
    solution::plant(&String::from_utf8_lossy(&change), files).map_err(|words| misfit(NONE, words))?;
    for Bug { number, change, .. } in bugs(lab)? {
        solution::plant(&change, files).map_err(|words| misfit(number, words))?;
    }
    Ok(())
}

/// The machine of that number, newly started.
///
/// # Errors
/// It cannot be started.
pub(super) fn machine(program: &Path, number: u32) -> Result<Subject, String> {
    let mut subject = Subject::start(program, SECONDS_MAX)?;
    subject.tell(format!("{number}\n").as_bytes());
    Ok(subject)
}

/// Runs a test on the machine of that number.
///
/// # Errors
/// Where it fails.
pub(super) fn run(program: &Path, number: u32, test: &str, file: &str) -> Result<(), String> {
    let mut machine = machine(program, number)?;
    script::run_on("the machine", test, file, |_| "", |command| machine.ask_line(command))
}

/// Each bug is found by its own test, which passes without it; its places are there.
///
/// # Errors
/// The first one that is not.
pub(super) fn check(lab: &Lab, program: &Path) -> Result<(), LabError> {
    for Bug { number, places, test, .. } in bugs(lab)? {
        let wrong = |words| rotten(lab, format!("bug {number}: {words}"));
        run(program, NONE, &test, "test.txt").map_err(|words| wrong(format!("its test fails without it: {words}")))?;
        if run(program, number, &test, "test.txt").is_ok() {
            return Err(wrong("its test does not find it".to_owned()));
        }
        for place in places {
            is_function(&place).map_err(wrong)?;
        }
    }
    Ok(())
}

/// Whether there is that function, as in `swap/src/cache.rs:put`, in Quire.
///
/// # Errors
/// There is not, in words.
pub(super) fn is_function(place: &str) -> Result<(), String> {
    let (file, function) = place.split_once(':').ok_or_else(|| format!("`{place}` is no FILE:FUNCTION"))?;
    let is_plain = files::plain_name(Path::new(file)).is_some_and(|name| name.starts_with("swap/src/"));
    let project = files::project().map_err(|error| error.to_string())?;
    let text = if is_plain { fs::read_to_string(project.join(file)).ok() } else { None };
    let text = text.ok_or_else(|| format!("there is no file `{file}` in swap/src"))?;
    let is_there = [format!("fn {function}("), format!("fn {function}<")].iter().any(|words| text.contains(words));
    if is_there { Ok(()) } else { Err(format!("there is no function `{function}` in {file}")) }
}
