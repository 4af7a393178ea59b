//! Images with an ext4, made and checked by e2fsprogs.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::Image;

/// What is put into an image.
#[derive(Debug)]
pub struct Contents(TempDir);

impl Contents {
    /// Nothing.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a file.
    #[must_use]
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        fs::write(self.0.path().join(name), bytes).unwrap();
        self
    }

    /// With a swap file made by `mkswap` on a file of `made` bytes, of which so many first ones are no hole, and which has `bytes`
    /// in the end.
    #[must_use]
    pub fn swap(self, name: &str, made: u64, filled: usize, bytes: u64) -> Self {
        let path = self.0.path().join(name);
        fs::write(&path, vec![b'x'; filled]).unwrap();
        let set_length = |bytes| fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
        set_length(made);
        let output = run("mkswap", &[], &path).expect("mkswap is part of util-linux");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        set_length(bytes);
        self
    }
}

impl Default for Contents {
    fn default() -> Self {
        Self::new()
    }
}

/// An image of `pages` pages with these contents, and further options for `mke2fs`. None, and a line that says so, if there is no
/// `mke2fs`: no test can be done then.
pub fn ext4(pages: u64, contents: &Contents, options: &[&str]) -> Option<Image> {
    let image = Image::empty(pages);
    let directory = contents.0.path().to_str().expect("temporary directories have plain names");
    let options = [&["-q", "-F", "-t", "ext4", "-d", directory], options].concat();
    let Some(output) = run("mke2fs", &options, image.path()) else {
        println!("skipped: there is no mke2fs; ./setup installs e2fsprogs");
        return None;
    };
    assert!(output.status.success(), "mke2fs {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(image)
}

/// Fails the test unless `e2fsck` finds nothing wrong with the image, and no journal that has to be replayed.
#[track_caller]
pub fn require_clean(image: &Image) {
    let Output { status, stdout, .. } = run("e2fsck", &["-f", "-n"], image.path()).expect("where mke2fs is, e2fsck is");
    let said = String::from_utf8_lossy(&stdout);
    assert!(status.success() && !said.contains("skipping journal recovery"), "{said}");
}

/// Runs a system program on the image, if there is one of that name: Debian's `PATH` of a person does not have them.
fn run(program: &str, options: &[&str], image: &Path) -> Option<Output> {
    let directories = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let program = directories.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())?;
    Some(Command::new(program).args(options).arg(image).output().unwrap())
}
