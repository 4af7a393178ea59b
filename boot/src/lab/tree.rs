//! A student's tree: what is in it, and how it is laid.
//!
//! It has the lab's crate and of Quire only what that is built from and what the handout has one read. The student's own files
//! aside, all of it can be made again from Quire and the student's id, which is how the grader gets a pristine one.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    catalogue,
    definition::Lab,
    error::LabError,
    files::{Files, collect, project},
    seed::{Id, Seed},
};

/// Says whose tree it is, in a tree and in what is handed in.
pub(super) const LABEL: &str = "lab.txt";

/// A student's tree on this machine.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) lab: &'static Lab,
    pub(super) id: Id,
}

/// The alias is what makes `cargo lab` work there; what it needs is there already.
const CARGO_CONFIG: &str = "[alias]\nlab = \"run --quiet --package tool --\"\n\n[net]\noffline = true\n";

const EDITOR: &str =
    "{\n    \"rust-analyzer.check.workspace\": false,\n    \"files.watcherExclude\": { \"**/target/**\": true }\n}\n";

const TOOL: &str = r#"//! `cargo lab` in a student's tree: hands its arguments to the program beside it, which was built with Quire.

use std::{env, fs, os::unix::process::CommandExt, path::PathBuf, process::Command};

fn main() {
    let directory = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| "tool".into()));
    let mut quire = Command::new(directory.join("quire"));
    // What is booted is built where Quire is, if it still is there.
    if let Ok(project) = fs::read_to_string(directory.join("project.txt")) {
        quire.env("CARGO_MANIFEST_DIR", project);
    }
    let error = quire.arg("lab").args(env::args_os().skip(1)).exec();
    eprintln!("cannot run tool/quire, which Quire's `cargo lab start` put there: {error}");
    std::process::exit(2);
}
"#;

impl Tree {
    /// The tree around the current directory.
    ///
    /// # Errors
    /// [`LabError::NoTree`], [`LabError::DamagedTree`].
    pub(super) fn find() -> Result<Self, LabError> {
        let here = env::current_dir().map_err(LabError::file("find", "."))?;
        let root = here.ancestors().find(|directory| directory.join(LABEL).is_file() && directory.join("lab").is_dir());
        let root = root.ok_or(LabError::NoTree)?.to_owned();
        let path = root.join(LABEL);
        let text = fs::read_to_string(&path).map_err(LabError::file("read", &path))?;
        let damaged = |what: &str| LabError::DamagedTree { path: path.clone(), what: what.to_owned() };
        let (lab, id) = parse_label(&text).ok_or_else(|| damaged("it does not say `lab = …` and `id = …`"))?;
        Ok(Self { lab: catalogue::find(lab).map_err(|error| damaged(&error.to_string()))?, id: id.parse()?, root })
    }

    /// What the student may edit, as far as it is there.
    pub(super) fn editable(&self) -> Files {
        let read = |name: &&str| Some(((*name).to_owned(), fs::read(self.root.join(name)).ok()?));
        self.lab.editable.iter().filter_map(read).collect()
    }
}

fn label(lab: &Lab, id: &Id) -> String {
    format!("lab = {}\nid = {id}\n", lab.name)
}

/// The lab and the id that a label names.
pub(super) fn parse_label(text: &str) -> Option<(&str, &str)> {
    let value = |name| {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    Some((value("lab")?, value("id")?))
}

/// The files of a fresh tree.
///
/// # Errors
/// [`LabError::NoProject`], or a file of Quire's cannot be read.
pub(super) fn pristine(lab: &Lab, id: &Id) -> Result<Files, LabError> {
    let project = project()?;
    let mut files = Files::new();
    for name in lab.from_quire.iter().copied().chain(["rust-toolchain.toml", "Cargo.lock"]) {
        collect(&project.join(name), name, &mut files)?;
    }
    for (name, contents) in files.iter_mut().filter(|(name, _)| name.ends_with("/Cargo.toml")) {
        let text = str::from_utf8(contents)
            .map_err(|_| LabError::DamagedTree { path: name.into(), what: "not text".to_owned() })?;
        *contents = without_others(text, lab).into_bytes();
    }
    let course = project.join("labs").join(lab.name);
    collect(&course.join("handout.md"), "handout.md", &mut files)?;
    collect(&course.join("stub"), "", &mut files)?;

    let members = lab.members.iter().map(|member| format!(", \"{member}\"")).collect::<Vec<_>>().concat();
    let manifest = read_text(&project.join("Cargo.toml"))?;
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"lab\", \"tool\"{members}]\n\n[profile.dev]\ndebug = \"line-tables-only\"\nopt-level = 1\n\n{}",
        shared_sections(&manifest)
    );
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    let made = [
        ("Cargo.toml", manifest),
        (".cargo/config.toml", CARGO_CONFIG.to_owned()),
        (".vscode/settings.json", EDITOR.to_owned()),
        (".gitignore", "target/\n*.tar.gz\n".to_owned()),
        (LABEL, label(lab, id)),
        ("lab/Cargo.toml", package("lab") + "\n[dependencies]\n" + lab.dependencies),
        ("tool/Cargo.toml", package("tool")),
        ("tool/src/main.rs", TOOL.to_owned()),
    ];
    let given = (lab.given)(Seed::new(lab.name, id, b""));
    files.extend(made.into_iter().chain(given).map(|(name, text)| (name.to_owned(), text.into_bytes())));
    Ok(files)
}

/// A manifest of Quire's without what is for tests and benches, and without crates of Quire that are not in the tree.
fn without_others(manifest: &str, lab: &Lab) -> String {
    let is_other = |name: &str| name.starts_with("quire-") && !lab.crates.contains(&name);
    let mut text = String::new();
    let mut is_kept = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_kept = !["[dev-dependencies]", "[[bench]]"].contains(&line);
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if is_kept && !is_other(name) {
            // A feature that is for such a crate has nothing to switch on.
            let words = line
                .split('"')
                .map(|part| part.strip_prefix("dep:").filter(|name| is_other(name)).map_or(part, |_| ""));
            text.push_str(&words.collect::<Vec<_>>().join("\"").replace("\"\"", ""));
            text.push('\n');
        }
    }
    text
}

/// What the manifest of Quire's workspace says for all members: their dependencies, lints and package fields.
fn shared_sections(manifest: &str) -> String {
    let sections = manifest.split_inclusive('\n').scan(false, |is_shared, line| {
        if line.starts_with('[') {
            *is_shared = line.starts_with("[workspace.");
        }
        Some(if *is_shared { line } else { "" })
    });
    sections.collect()
}

fn read_text(path: &Path) -> Result<String, LabError> {
    fs::read_to_string(path).map_err(LabError::file("read", path))
}

/// Words below a line that they belong to.
pub(super) fn indented(words: &str) -> String {
    words.lines().map(|line| format!("       {line}")).collect::<Vec<_>>().join("\n")
}
