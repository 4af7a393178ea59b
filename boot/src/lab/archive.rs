//! What is handed in, as a file or a directory. Nothing is unpacked: the files are read into memory, within limits, and only
//! those that the lab lets one edit are taken.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tar::{Archive, Builder, EntryType, Header};

use super::{
    definition::Lab,
    error::LabError,
    files::{self, Files},
    seed::Id,
    tree::{self, LABEL, Tree},
};

/// More entries than any lab has files.
const ENTRIES_MAX: usize = 300;

/// More bytes than any lab needs.
const BYTES_MAX: u64 = 4 << 20;

/// What a student handed in.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) id: Id,
    /// Those that the lab lets one edit.
    pub(super) files: Files,
    /// What was found beside them.
    pub(super) remarks: Vec<String>,
}

/// Packs what the student may edit.
///
/// # Errors
/// [`LabError`].
pub(super) fn submit() -> Result<ExitCode, LabError> {
    let tree = Tree::find()?;
    let path = tree.root.join(format!("{}-{}.tar.gz", tree.lab.name, tree.id));
    let files = tree.editable();
    pack(&tree, &files, &path).map_err(LabError::file("write", &path))?;
    for name in tree.lab.editable {
        println!("  {name}{}", if files.contains_key(*name) { "" } else { ": is not there, so it is not handed in" });
    }
    println!("packed in {}: hand in this file", path.display());
    Ok(ExitCode::SUCCESS)
}

fn pack(tree: &Tree, files: &Files, path: &Path) -> io::Result<()> {
    let label = std::fs::read(tree.root.join(LABEL))?;
    let mut archive = Builder::new(GzEncoder::new(File::create(path)?, Compression::default()));
    for (name, contents) in [(LABEL, &label)].into_iter().chain(files.iter().map(|(name, data)| (name.as_str(), data)))
    {
        let mut header = Header::new_gnu();
        header.set_size(contents.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, contents.as_slice())?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

/// Reads what was handed in. `pristine` is what every tree of the lab has.
///
/// # Errors
/// Why it is refused, in words.
pub(super) fn read(path: &Path, lab: &Lab, pristine: &Files) -> Result<Submission, String> {
    let files = if path.is_dir() { read_directory(path, lab) } else { read_archive(path) }?;
    take(files, lab, pristine)
}

fn read_archive(path: &Path) -> Result<Files, String> {
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(format!("is no file of at most {} MiB", BYTES_MAX >> 20));
    }
    let file = File::open(path).map_err(unreadable)?;
    // Twice as much as is allowed, so that what is too large is found to be so and not to be damaged.
    let unpacked = GzDecoder::new(file).take(2 * BYTES_MAX + 1024 * ENTRIES_MAX as u64);
    let mut archive = Archive::new(unpacked);
    let no_archive = |error: io::Error| format!("is no archive that `cargo lab submit` made: {error}");
    let (mut files, mut bytes) = (Files::new(), 0);
    for (count, entry) in archive.entries().map_err(no_archive)?.enumerate() {
        let mut entry = entry.map_err(no_archive)?;
        if count == ENTRIES_MAX {
            return Err(format!("holds more than {ENTRIES_MAX} files; a hand-in has a handful"));
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let name = entry.path().ok().and_then(|path| files::plain_name(&path));
        let name = name.ok_or_else(|| format!("holds `{shown}`, which is not below its own directory"))?;
        match kind {
            EntryType::Directory => continue,
            EntryType::Regular => {}
            EntryType::Link | EntryType::Symlink => return Err(format!("holds a link, `{shown}`")),
            _ => return Err(format!("holds `{shown}`, which is neither a file nor a directory")),
        }
        bytes += entry.size();
        if bytes > BYTES_MAX {
            return Err(format!("holds more than {} MiB", BYTES_MAX >> 20));
        }
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).map_err(no_archive)?;
        if files.insert(name, contents).is_some() {
            return Err(format!("holds `{shown}` twice"));
        }
    }
    if files.is_empty() { Err("holds no files".to_owned()) } else { Ok(files) }
}

/// What the lab lets one edit, and what could be meant to do more than that, from a directory that may be a whole tree.
fn read_directory(path: &Path, lab: &Lab) -> Result<Files, String> {
    let others =
        ["Cargo.toml", "lab/Cargo.toml", "lab/build.rs", "lab/src/main.rs", "lab/src/lib.rs", ".cargo/config.toml"];
    let mut files = Files::new();
    for name in lab.editable.iter().copied().chain([LABEL]).chain(others) {
        let mut place = path.to_owned();
        for part in Path::new(name) {
            place.push(part);
            if place.is_symlink() {
                return Err(format!("holds a link, `{name}`"));
            }
        }
        let Ok(metadata) = place.metadata() else { continue };
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return Err(format!("holds `{name}`, which is no file of a reasonable size"));
        }
        let mut contents = Vec::new();
        let file = File::open(&place).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut contents));
        file.map_err(|error| format!("{name} cannot be read: {error}"))?;
        files.insert(name.to_owned(), contents);
    }
    if files.is_empty() { Err(format!("has none of the files of {}", lab.name)) } else { Ok(files) }
}

/// Keeps what the lab lets one edit, and says what else there was.
fn take(mut files: Files, lab: &Lab, pristine: &Files) -> Result<Submission, String> {
    let label = files.remove(LABEL).ok_or_else(|| format!("has no {LABEL}, which says whose it is"))?;
    let label = String::from_utf8_lossy(&label).into_owned();
    let (name, id) = tree::parse_label(&label).ok_or_else(|| format!("has a {LABEL} that does not say whose it is"))?;
    if !name.eq_ignore_ascii_case(lab.name) {
        return Err(format!("is for lab {}, not for {}", name.escape_debug(), lab.name));
    }
    let id = id.parse().map_err(|error: LabError| error.to_string())?;

    let (files, others): (Files, Files) =
        files.into_iter().partition(|(name, _)| lab.editable.contains(&name.as_str()));
    let is_changed = |(name, contents): &(&String, &Vec<u8>)| pristine.get(*name) != Some(contents);
    let others: Vec<&String> = others.iter().filter(is_changed).map(|(name, _)| name).collect();
    let mut remarks = Vec::new();
    if let [first, rest @ ..] = &others[..] {
        let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        remarks.push(format!("touches {}{more}, which this lab does not let one edit: ignored", first.escape_debug()));
    }
    let missing: Vec<&str> = lab.editable.iter().copied().filter(|name| !files.contains_key(*name)).collect();
    if !missing.is_empty() {
        remarks.push(format!("lacks {}: the stub's is graded", missing.join(", ")));
    }
    Ok(Submission { id, files, remarks })
}
