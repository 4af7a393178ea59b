//! `cargo lab test` and `cargo lab run`: what a student sees before anything is handed in.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use super::{
    build, confine,
    error::LabError,
    exam::{Exam, Group, RUBRIC},
    files::Files,
    l1, planted,
    seed::Seed,
    tree::{self, Tree},
};

/// Compiles the student's code.
///
/// # Errors
/// What the compiler or the look through the code said.
fn compile(tree: &Tree, files: &Files) -> Result<PathBuf, String> {
    confine::check(files)?;
    build::compile(&tree.root, &["lab"])
}

/// Tests the tree around the current directory.
///
/// # Errors
/// [`LabError`]: this is no student's tree.
pub(super) fn test() -> Result<ExitCode, LabError> {
    let tree = Tree::find()?;
    let files = tree.editable();
    let program = compile(&tree, &files);
    if let Err(words) = &program {
        eprintln!("{}", words.trim_end());
        println!("\nyour code does not compile, or says what it may not: the checks of the rest follow");
    }
    let program = program.map_err(|words| if words.contains("error") { build::errors(&words) } else { words });
    let seed = Seed::new(tree.lab.name, &tree.id, b"");
    let machines = tree.root.join(planted::PLACE);
    let references: BTreeMap<_, _> = machines.is_file().then_some((planted::MACHINES, machines)).into_iter().collect();
    let mut exam =
        Exam { program: &program, files: &files, seed, hidden: None, references: &references, checks: Vec::new() };
    exam.judge(tree.lab.judge);

    for check in &exam.checks {
        let mark = if check.points == check.max { "ok  " } else { "FAIL" };
        println!("{mark} {:>3} of {:>2}  {}", check.points, check.max, check.name);
        if !check.words.is_empty() {
            println!("{}", tree::indented(&check.words));
        }
    }
    let known: u32 = exam.checks.iter().map(|check| check.max).sum();
    println!("\n{} of {known} points on your own seed ({}).", exam.points(None), tree.id);
    let hidden = RUBRIC.iter().find(|(group, ..)| *group == Group::HiddenSeeds).map_or(0, |(_, _, points)| *points);
    println!("{hidden} more are for seeds that only the grader knows; a tutor reads the design note.");
    let all_right = exam.checks.iter().all(|check| check.points == check.max);
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a part of the student's code on one of the student's traces and shows each access.
///
/// # Errors
/// [`LabError`]: this is no student's tree, or there is no such part or trace.
pub(super) fn run(name: &str, trace: Option<usize>, frames: Option<usize>) -> Result<ExitCode, LabError> {
    let tree = Tree::find()?;
    if tree.lab.name != l1::LAB.name {
        return Err(LabError::NothingToRun(tree.lab.name));
    }
    let files = tree.editable();
    let program = compile(&tree, &files);
    if let Err(words) = &program {
        eprintln!("{}", words.trim_end());
        return Ok(ExitCode::FAILURE);
    }
    let seed = Seed::new(tree.lab.name, &tree.id, b"");
    let references = BTreeMap::new();
    let exam =
        Exam { program: &program, files: &files, seed, hidden: None, references: &references, checks: Vec::new() };
    print!("{}", l1::show(&exam, name, trace, frames).map_err(LabError::Run)?);
    Ok(ExitCode::SUCCESS)
}
