//! The form of the project's files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use quire_boot::project;

/// Every file of the project that ends like this, without what is built or belongs to git.
pub(crate) fn files(end: &str) -> Vec<PathBuf> {
    fn collect(directory: &Path, end: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() && name != "target" && name != ".git" {
                collect(&path, end, found);
            } else if name.ends_with(end) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(project(), end, &mut found);
    assert!(found.len() >= 5, "only {} files end in {end}", found.len());
    found
}

/// The files among `files` whose text is not as it should be.
#[track_caller]
fn require(files: Vec<PathBuf>, is_right: impl Fn(&str) -> bool, rule: &str) {
    let wrong = files.into_iter().filter(|path| !is_right(&fs::read_to_string(path).unwrap()));
    let wrong: Vec<String> = wrong.map(|path| path.display().to_string()).collect();
    assert!(wrong.is_empty(), "{rule}: {wrong:#?}");
}

#[test]
fn each_crate_has_the_lints() {
    let inherits = |text: &str| text.contains("\n[lints]\nworkspace = true\n");
    // The workspace's own manifest defines them; a crate outside of it has to repeat them.
    let defines = |text: &str| {
        ["pedantic = { level = \"warn\"", "missing_docs = \"warn\"", "undocumented_unsafe_blocks = \"warn\""]
            .iter()
            .all(|lint| text.contains(lint))
    };
    let is_right = |text: &str| inherits(text) || text.contains("[workspace]") && defines(text);
    require(files("Cargo.toml"), is_right, "these crates forget `[lints] workspace = true`");
}

#[test]
fn each_source_file_opens_with_its_purpose() {
    require(files(".rs"), |text| text.starts_with("//! "), "these do not begin with a `//!` comment");
}

#[test]
fn no_crate_needs_an_unstable_feature() {
    let is_stable = |text: &str| !text.lines().any(|line| line.trim_start().starts_with("#![feature"));
    require(files(".rs"), is_stable, "these have a feature gate");
}

#[test]
fn the_swap_core_has_no_unsafe_code() {
    let roots =
        ["swap/src/lib.rs", "swap/backends/src/lib.rs", "swap/compressed/src/lib.rs"].map(|root| project().join(root));
    require(roots.into(), |text| text.contains("\n#![forbid(unsafe_code)]\n"), "unsafe code is not forbidden");
}

#[test]
fn the_rooms_above_the_machine_do_not_name_what_is_below_it() {
    let manifests = ["kernel", "kernel/memory", "kernel/linux"].map(|room| project().join(room).join("Cargo.toml"));
    let is_above =
        |text: &str| !["x86_64.", "x86_64 ", "virtio-drivers"].iter().any(|name| text.contains(&format!("\n{name}")));
    require(manifests.into(), is_above, "by their safe functions, the processor and devices are told anything");
}

/// Whether a line of a source is a comment, or ends with one, that has one of `words`.
fn comment_has(line: &str, words: &[&str]) -> bool {
    let Some((_, comment)) = line.split_once("//") else { return false };
    let mut found = comment.split(|character: char| !character.is_alphanumeric()).map(str::to_lowercase);
    found.any(|word| words.contains(&word.as_str()))
}

#[test]
fn comments_say_which_task_or_caller_they_mean() {
    const VAGUE: [&str; 6] = ["whoever", "somebody", "someone", "nobody", "anybody", "anyone"];
    let rooms = ["swap", "kernel", "drivers"].map(|room| project().join(room));
    let is_in_room = |file: &PathBuf| {
        rooms.iter().any(|room| file.starts_with(room)) && file.components().any(|part| part.as_os_str() == "src")
    };
    let is_plain = |text: &str| !text.lines().any(|line| comment_has(line, &VAGUE));
    let files = files(".rs").into_iter().filter(is_in_room).collect();
    require(
        files,
        is_plain,
        "these have a comment with one of `whoever`, `somebody`, `someone`, `nobody`, `anybody`, `anyone`",
    );
}
