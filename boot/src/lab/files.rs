//! Files by their names: read from a directory, and laid into one.

use std::{
    fs,
    path::{Component, Path},
};

pub(super) use quire_boot::files::{Files, collect};
use quire_boot::find_project;

use super::error::LabError;

/// Quire's directory.
///
/// # Errors
/// [`LabError::NoProject`].
pub(super) fn project() -> Result<&'static Path, LabError> {
    find_project().ok().filter(|project| project.join("labs").is_dir()).ok_or(LabError::NoProject)
}

/// Makes the directory hold these files. A file that is as it should be is not touched, so that nothing is compiled again
/// for it.
///
/// # Errors
/// [`LabError::File`].
pub(super) fn lay(root: &Path, files: &Files) -> Result<(), LabError> {
    for (name, contents) in files {
        let path = root.join(name);
        if fs::read(&path).is_ok_and(|old| old == *contents) {
            continue;
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(LabError::file("make", directory))?;
        }
        fs::write(&path, contents).map_err(LabError::file("write", &path))?;
    }
    Ok(())
}

/// Removes what is in the directory and not among these files, but for what was built.
///
/// # Errors
/// [`LabError::File`].
pub(super) fn remove_others(root: &Path, files: &Files) -> Result<(), LabError> {
    let mut found = Files::new();
    collect(root, "", &mut found)?;
    for name in found.keys().filter(|name| !files.contains_key(*name)) {
        let path = root.join(name);
        fs::remove_file(&path).map_err(LabError::file("remove", &path))?;
    }
    Ok(())
}

/// Whether a path from outside stays below the directory that it is joined to, as the name of a file there.
pub(super) fn plain_name(path: &Path) -> Option<String> {
    let mut name = String::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => {
                name.push_str(if name.is_empty() { "" } else { "/" });
                name.push_str(part.to_str()?);
            }
            _ => return None,
        }
    }
    Some(name)
}
