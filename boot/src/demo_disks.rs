//! The disks that the demo needs beside its swap disk, found there by their labels: an ext4 for a swap file, and a file that is two
//! disks, so that what is written to the one changes under the other. They are gone with the run.

use std::{
    fs::{self, File},
    io,
    path::Path,
    process::{Command, Stdio},
};

use clap::Parser;
use quire_boot::{Disk, Error, target};
use tempfile::TempDir;

use crate::mkswap::{MkswapOptions, mkswap};

const FILES: &str = "files.img";
const FILES_SIZE: u64 = 48 << 20;
const FILES_LABEL: &str = "quire-demo";
const CRYPT: &str = "crypt.img";
const CRYPT_LABEL: &str = "quire-demo-crypt";

/// The command line of `mkswap`, through which its options are made.
#[derive(Parser)]
struct Mkswap {
    #[command(flatten)]
    options: MkswapOptions,
}

/// The disks, as long as this value lives.
pub(crate) struct DemoDisks {
    directory: TempDir,
    has_files: bool,
}

impl DemoDisks {
    /// Makes them. Where there is no `mke2fs` there is no disk for files, and the act that needs it says so.
    pub(crate) fn make() -> Result<Self, Error> {
        let runs = target().join("run");
        fs::create_dir_all(&runs).map_err(failed(&runs))?;
        let directory = tempfile::tempdir_in(&runs).map_err(failed(&runs))?;
        let files = directory.path().join(FILES);
        let has_files = make_ext4(&files, FILES_SIZE, FILES_LABEL).map_err(failed(&files))?;
        let crypt = directory.path().join(CRYPT);
        let words = ["mkswap", "--size", "4M", "--label", CRYPT_LABEL].map(Into::into);
        let wanted = Mkswap::parse_from(words.into_iter().chain([crypt.into_os_string()]));
        mkswap(&wanted.options)?;
        Ok(Self { directory, has_files })
    }

    /// As they are attached.
    pub(crate) fn disks(&self) -> Vec<Disk> {
        let file = |name| Disk::file(self.directory.path().join(name));
        let crypt = || file(CRYPT).options("file.locking=off");
        self.has_files.then(|| file(FILES)).into_iter().chain([crypt(), crypt()]).collect()
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action: "make a disk for the demo:", path, source }
}

/// Whether there is an `mke2fs`, and so an ext4 of so many bytes now.
pub(crate) fn make_ext4(path: &Path, size: u64, label: &str) -> io::Result<bool> {
    // Debian's `PATH` of a person does not have the directories of system programs.
    let programs = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(|directory| Path::new(directory).join("mke2fs"));
    let Some(program) = programs.iter().find(|program| program.exists()) else { return Ok(false) };
    File::create(path)?.set_len(size)?;
    let mut mke2fs = Command::new(program);
    mke2fs.args(["-q", "-F", "-t", "ext4", "-L", label]).arg(path).stdin(Stdio::null()).stdout(Stdio::null());
    Ok(mke2fs.stderr(Stdio::null()).status()?.success())
}

#[cfg(test)]
mod tests {
    use quire_swap::header::{Header, Medium, PAGE_SIZE};

    use super::{CRYPT, CRYPT_LABEL, DemoDisks};

    #[test]
    fn the_disks_have_the_labels_by_which_the_demo_finds_them() {
        let disks = DemoDisks::make().unwrap();
        let image = std::fs::read(disks.directory.path().join(CRYPT)).unwrap();
        let medium = Medium { pages: (image.len() / PAGE_SIZE) as u64, is_file: false };
        assert_eq!(Header::parse(image.first_chunk().unwrap(), medium).unwrap().label, *CRYPT_LABEL.as_bytes());
        assert_eq!(disks.disks().len(), 2 + usize::from(disks.has_files));
    }
}
