//! What all trees of a lab have, compiled once, in a tree beside Quire. A student's tree and a grader's begin as copies of it, with
//! the times of its files, so that cargo finds all of it done.

use std::{
    fs::{self, File},
    path::Path,
};

use quire_boot::{files::copy, target};

use super::{
    build::{self, NotCompiled},
    definition::Lab,
    error::LabError,
    files::{Files, lay, remove_others},
};

/// What the compiler keeps for itself, and would only be copied in vain.
const OF_THE_COMPILER: &str = "incremental";

/// Makes the directory, which is empty or missing, a tree of these files with what is given compiled. If the compiler was stopped,
/// it is a tree all the same: then it says so, and what is missing is compiled there.
///
/// # Errors
/// [`LabError`]: what is given does not compile, or a file cannot be copied.
pub(super) fn begin(lab: &Lab, pristine: &Files, directory: &Path) -> Result<Option<NotCompiled>, LabError> {
    let root = target().join("lab").join(lab.name).join("given");
    fs::create_dir_all(&root).map_err(LabError::file("make", &root))?;
    let place = root.with_extension("lock");
    let lock = File::create(&place).map_err(LabError::file("make", &place))?;
    lock.lock().map_err(LabError::file("lock", &place))?;
    remove_others(&root, pristine)?;
    lay(&root, pristine)?;
    let stopped = match build::compile(&root, &["tool", "lab"]) {
        Ok(_) => None,
        Err(stopped @ NotCompiled::Stopped) => Some(stopped),
        Err(why) => return Err(LabError::Stub { lab: lab.name, words: why.to_string() }),
    };
    copy(&root, directory, &|path| !path.ends_with(OF_THE_COMPILER))?;
    Ok(stopped)
}
