//! Files by their names, as they are read from a directory.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
};

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

/// Copies what is wanted of a directory, with its times; below a directory that is not wanted, nothing is.
///
/// # Errors
/// [`Error::File`].
pub fn copy(from: &Path, to: &Path, is_wanted: &dyn Fn(&Path) -> bool) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::file("make", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let (path, place) = (entry.path(), to.join(entry.file_name()));
        if !is_wanted(&path) {
            continue;
        }
        if path.is_dir() {
            copy(&path, &place, is_wanted)?;
            continue;
        }
        fs::copy(&path, &place).map_err(Error::file("copy", &path))?;
        let written = path.metadata().and_then(|metadata| metadata.modified());
        let dated = written.and_then(|written| File::open(&place)?.set_modified(written));
        dated.map_err(Error::file("date", &place))?;
    }
    Ok(())
}
