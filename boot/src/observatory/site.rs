//! Where a machine's memory is on the host, while it runs and, if it ended badly, afterwards.
//!
//! A site is a directory below `target/machines`: the memory file `memory`, the kernel's ELF file `kernel` with its symbols, and, when
//! the machine has ended, how it did in `end`. Its directory is locked while its launcher runs. What a machine leaves is kept until the
//! next one is observed, so that never more than the last one's memory is.
//!
//! The memory file itself is in `/dev/shm` if there is room: a file on a disk would be written there whenever the guest writes.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::statvfs;

use crate::{error::Error, outcome::Status, project::target, size::Size};

/// A file system in memory, as POSIX shared memory has it on Linux.
const IN_MEMORY: &str = "/dev/shm";

/// A machine's place on the host.
#[derive(Debug)]
pub struct Site {
    directory: PathBuf,
    /// Locked as long as this is there.
    _lock: File,
    is_kept: AtomicBool,
}

impl Site {
    /// A place for a machine with so much memory. What ended machines have left is removed.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn new(memory: Size) -> Result<Self, Error> {
        let sites = sites();
        fs::create_dir_all(&sites).map_err(Error::file("make", &sites))?;
        Self::ended()?.iter().for_each(|ended| remove(ended));
        let directory = tempfile::Builder::new().prefix("machine-").tempdir_in(&sites);
        let directory = directory.map_err(Error::file("make a directory in", &sites))?.keep();
        let path = directory.join("lock");
        let lock = File::create(&path).map_err(Error::file("make", &path))?;
        lock.lock().map_err(Error::file("lock", &path))?;
        let site = Self { directory, _lock: lock, is_kept: AtomicBool::new(false) };
        site.make_memory(memory)?;
        Ok(site)
    }

    fn make_memory(&self, size: Size) -> Result<(), Error> {
        let path = self.memory();
        let make = |path: &Path| File::create(path).and_then(|file| file.set_len(size.in_bytes()));
        if has_room(Path::new(IN_MEMORY), size) {
            let place = Path::new(IN_MEMORY).join(format!("quire-{}", name(&self.directory)));
            // A link first: what it leads to is removed with it.
            symlink(&place, &path).map_err(Error::file("make", &path))?;
        }
        make(&path).map_err(Error::file("make the memory file", &path))
    }

    /// The machine's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The memory file, for [`Observatory::open`](super::Observatory::open).
    pub fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }

    /// The ELF file of the kernel that the machine runs, once it does.
    pub fn kernel(&self) -> PathBuf {
        self.directory.join("kernel")
    }

    /// Notes which kernel the machine runs: it may be built again before it is asked for.
    pub(crate) fn set_kernel(&self, kernel: &Path) -> Result<(), Error> {
        let place = self.kernel();
        let linked = fs::hard_link(kernel, &place).or_else(|_| fs::copy(kernel, &place).map(drop));
        linked.map_err(Error::file("keep the kernel as", &place))
    }

    /// The machine has ended: after a good end nothing is kept, otherwise what to do is said.
    pub fn end(&self, status: Status) -> Option<String> {
        if status.is_success() {
            return None;
        }
        // Without it the memory can be looked at as well.
        let _ = fs::write(self.directory.join("end"), format!("{status}\n"));
        self.is_kept.store(true, Ordering::Relaxed);
        Some(format!(
            "the machine's memory is kept until the next run, in {}: cargo run -- inspect says why it stopped",
            self.directory.display()
        ))
    }

    /// The directories of machines that have ended, the last one last.
    ///
    /// # Errors
    /// [`Error::File`].
    fn ended() -> Result<Vec<PathBuf>, Error> {
        Ok(all()?.into_iter().filter(|directory| !is_running(directory)).collect())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Relaxed) {
            remove(&self.directory);
        }
    }
}

/// Where the directories are.
fn sites() -> PathBuf {
    target().join("machines")
}

/// The directories of all machines, the last one last.
///
/// # Errors
/// [`Error::File`].
pub fn all() -> Result<Vec<PathBuf>, Error> {
    let sites = sites();
    let entries = match fs::read_dir(&sites) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", sites)(error)),
    };
    // One that goes meanwhile is none.
    let mut found: Vec<_> =
        entries.flatten().filter_map(|entry| Some((entry.metadata().ok()?.created().ok()?, entry.path()))).collect();
    found.sort();
    Ok(found.into_iter().map(|(_, directory)| directory).collect())
}

/// Whether the launcher of the machine with this directory runs.
pub fn is_running(directory: &Path) -> bool {
    let lock = File::open(directory.join("lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn remove(directory: &Path) {
    // What cannot be removed is tried again before the next run.
    if let Ok(memory) = fs::read_link(directory.join("memory")) {
        let _ = fs::remove_file(memory);
    }
    let _ = fs::remove_dir_all(directory);
}

fn name(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether a file of this size fits, with as much again to spare for others.
fn has_room(directory: &Path, size: Size) -> bool {
    statvfs(directory).is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) / 2 >= size.in_bytes())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use quire_protocol::Verdict;

    use super::{Site, is_running};
    use crate::{Size, Status};

    #[test]
    fn memory_is_kept_after_a_bad_end_alone() {
        let good = Site::new(Size::mebibytes(1)).unwrap();
        let (directory, memory) = (good.directory().to_owned(), fs::canonicalize(good.memory()).unwrap());
        assert!(is_running(&directory));
        assert_eq!(fs::metadata(&memory).unwrap().len(), 1 << 20);
        assert_eq!(good.end(Status::Verdict(Verdict::Success)), None);
        drop(good);
        assert!(!directory.exists() && !memory.exists());

        let bad = Site::new(Size::mebibytes(1)).unwrap();
        let (directory, memory) = (bad.directory().to_owned(), fs::canonicalize(bad.memory()).unwrap());
        let said = bad.end(Status::TimedOut(Duration::from_secs(1))).unwrap();
        assert!(said.contains("cargo run -- inspect") && said.contains(directory.to_str().unwrap()), "{said}");
        drop(bad);
        assert!(memory.exists() && !is_running(&directory));
        drop(Site::new(Size::mebibytes(1)).unwrap());
        assert!(!directory.exists() && !memory.exists(), "until the next run");
    }
}
