//! Files by their names, as they are read from a directory.

use std::{collections::BTreeMap, fs, path::Path};

use crate::error::Error;

/// Files by their paths in a tree.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Adds the file, or the files in the directory, under the name; what is built, in `target`, is not part of a tree.
///
/// # Errors
/// [`Error::File`].
pub fn collect(path: &Path, name: &str, files: &mut Files) -> Result<(), Error> {
    if !path.is_dir() {
        files.insert(name.to_owned(), fs::read(path).map_err(Error::file("read", path))?);
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(Error::file("read", path))? {
        let entry = entry.map_err(Error::file("read", path))?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file != "target" {
            let name = if name.is_empty() { file } else { format!("{name}/{file}") };
            collect(&entry.path(), &name, files)?;
        }
    }
    Ok(())
}
