//! `cargo lab test` and `cargo lab run`: what a student sees before anything is handed in.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use super::{
    build, confine,
    error::LabError,
    exam::{Check, Exam, Group, RUBRIC},
    files::Files,
    l1, l2, l3, l7, planted,
    seed::Seed,
    tree::{self, Tree},
};

/// Compiles the student's code.
///
/// # Errors
/// What is wrong with it in full, and in a line.
fn compile(tree: &Tree, files: &Files) -> Result<PathBuf, (String, String)> {
    // First, as the compiler says more of what is no Rust at all. The code is the student's, and so is the machine.
    let program = build::compile(&tree.root, &["lab"]).map_err(|why| (why.to_string(), build::errors(&why)))?;
    confine::check(files).map_err(|words| (words.clone(), words))?;
    Ok(program)
}

/// What is asked of a student's own tree, of which no hidden seed is known.
fn exam<'a>(
    tree: &'a Tree,
    files: &'a Files,
    program: &'a Result<PathBuf, String>,
    references: &'a BTreeMap<&'static str, PathBuf>,
) -> Exam<'a> {
    let seed = Seed::new(tree.lab.name, &tree.id, b"");
    let tree = Some(tree.root.as_path());
    Exam { program, files, seed, hidden: None, references, tree, boots: true, on_check: show, checks: Vec::new() }
}

/// The machines with planted bugs, where the tree has them.
fn references(tree: &Tree) -> BTreeMap<&'static str, PathBuf> {
    let machines = tree.root.join(planted::PLACE);
    machines.is_file().then_some((planted::MACHINES, machines)).into_iter().collect()
}

/// Tests the tree around the current directory.
///
/// # Errors
/// [`LabError`]: this is no student's tree.
pub(super) fn test() -> Result<ExitCode, LabError> {
    let tree = Tree::find()?;
    let files = tree.editable();
    let program = compile(&tree, &files).map_err(|(words, line)| {
        eprintln!("{}", words.trim_end());
        println!("\nthere is no program to test; the checks that need none follow");
        line
    });
    let references = references(&tree);
    let mut exam = exam(&tree, &files, &program, &references);
    exam.judge(tree.lab.judge);

    let known: u32 = exam.checks.iter().map(|check| check.max).sum();
    println!("\n{} of {known} points on your own seed ({}).", exam.points(None), tree.id);
    let hidden = RUBRIC.iter().find(|(group, ..)| *group == Group::HiddenSeeds).map_or(0, |(_, _, points)| *points);
    println!("{hidden} more are for seeds that only the grader knows; a tutor reads the design note.");
    let all_right = exam.checks.iter().all(|check| check.points == check.max);
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(check: &Check) {
    println!("{}  {}", mark(check), check.name);
    if !check.words.is_empty() {
        println!("{}", tree::indented(&check.words));
    }
}

/// How a check went, and its points.
fn mark(check: &Check) -> String {
    if check.max == 0 {
        return format!("{:14}", "open");
    }
    let word = if check.points == check.max { "ok  " } else { "FAIL" };
    format!("{word} {:>3} of {:>2}", check.points, check.max)
}

/// Runs the student's code on what is named and shows what it does: in L1 a policy on accesses, in L2 the disk
/// on commands, and so in L7 the mirror, and in L3 the core that is right beside the machines that are not.
///
/// # Errors
/// [`LabError`]: this is no student's tree, or there is nothing of that name.
pub(super) fn run(name: &str, accesses: &l1::Accesses) -> Result<ExitCode, LabError> {
    let tree = Tree::find()?;
    let show: fn(&Exam<'_>, &str, &l1::Accesses) -> Result<String, String> = match tree.lab.name {
        "L1" => l1::show,
        "L2" => |exam, file, _| l2::show(exam, file),
        "L3" => |exam, file, _| l3::show(exam, file),
        "L7" => |exam, file, _| l7::show(exam, file),
        other => return Err(LabError::NothingToRun(other)),
    };
    let files = tree.editable();
    let program = match compile(&tree, &files) {
        Ok(program) => Ok(program),
        Err((words, _)) => {
            eprintln!("{}", words.trim_end());
            return Ok(ExitCode::FAILURE);
        }
    };
    let references = references(&tree);
    let exam = exam(&tree, &files, &program, &references);
    print!("{}", show(&exam, name, accesses).map_err(LabError::Run)?);
    Ok(ExitCode::SUCCESS)
}
