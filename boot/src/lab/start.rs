//! `cargo lab start`: a student's tree is laid, and what is given is compiled.

use std::{env, fs, os::unix::fs::PermissionsExt, path::Path, process::ExitCode, time::Instant};

use super::{
    build::{self, NotCompiled},
    definition::Lab,
    error::LabError,
    files::{self, lay},
    given, planted,
    seed::Id,
    tree,
    worker::Worker,
};

/// Makes a student's tree.
///
/// # Errors
/// [`LabError`]: the directory cannot be one, or the tree cannot be made.
pub(super) fn start(lab: &'static Lab, directory: &Path, id: &Id) -> Result<ExitCode, LabError> {
    let started = Instant::now();
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(false) => return Err(LabError::NotEmpty(directory.to_owned())),
        Err(_) if directory.symlink_metadata().is_ok() => return Err(LabError::NotADirectory(directory.to_owned())),
        Ok(true) | Err(_) => {}
    }
    let pristine = tree::pristine(lab, id)?;
    println!("compiling what is given, once …");
    // Before there is a tree, so that this can be tried again.
    let machines =
        if planted::has_bugs(lab)? { Some(Worker::new(lab, &pristine)?.machines(lab, &pristine)?) } else { None };
    let stopped = given::begin(lab, &tree::pristine(lab, &Id::guest())?, directory)?;
    lay(directory, &pristine)?;
    put_program(&env::current_exe().map_err(LabError::file("find", "/proc/self/exe"))?, directory, "tool/quire")?;
    let place = directory.join("tool/project.txt");
    fs::write(&place, files::project()?.as_os_str().as_encoded_bytes()).map_err(LabError::file("write", &place))?;
    if let Some(machines) = machines {
        put_program(&machines, directory, planted::PLACE)?;
    }
    match stopped.map_or_else(|| build::compile(directory, &["tool", "lab"]).map(drop), Err) {
        Ok(()) => {}
        Err(stopped @ NotCompiled::Stopped) => {
            println!(
                "{stopped}.\nThe tree is complete all the same: the first `cargo lab test` compiles what is missing."
            );
        }
        Err(why) => return Err(LabError::Stub { lab: lab.name, words: why.to_string() }),
    }
    println!(
        "{}: {} is ready in {} ({:.0} s).\n\n  cd {}\n  read handout.md, which says what is to be done\n  cargo lab test      tests what is there\n  cargo lab submit    packs it to be handed in",
        lab.name,
        lab.title,
        directory.display(),
        started.elapsed().as_secs_f64(),
        for_a_shell(directory),
    );
    Ok(ExitCode::SUCCESS)
}

/// The path as one word of a shell's.
fn for_a_shell(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = path.chars().all(|character| character.is_alphanumeric() || "/._-+".contains(character));
    if is_plain { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn put_program(program: &Path, directory: &Path, name: &str) -> Result<(), LabError> {
    let place = directory.join(name);
    fs::copy(program, &place).map_err(LabError::file("write", &place))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).map_err(LabError::file("change", &place))
}
