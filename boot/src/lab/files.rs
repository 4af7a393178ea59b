//! Files by their names: read from a directory, and laid into one.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path},
};

use super::error::LabError;

/// Files by their paths in a tree.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// Adds the file, or the files in the directory, under the name.
pub(super) fn collect(path: &Path, name: &str, files: &mut Files) -> Result<(), LabError> {
    if !path.is_dir() {
        files.insert(name.to_owned(), fs::read(path).map_err(LabError::file("read", path))?);
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(LabError::file("read", path))? {
        let entry = entry.map_err(LabError::file("read", path))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        // What is built is not part of a tree, and neither are tests whose subject is elsewhere.
        if file != "target" {
            let name = if name.is_empty() { file } else { format!("{name}/{file}") };
            collect(&entry.path(), &name, files)?;
        }
    }
    Ok(())
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
