//! Virtio disks and the files behind them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{FileExt, FileTypeExt},
    path::{Path, PathBuf},
};

use quire_swap::header::{BadPages, Header, PAGE_SIZE};

use crate::{
    error::Error,
    limits::{SWAP_MAX, SWAP_MIN},
    option_value::option_value,
    size::Size,
};

/// The same in every run, so that runs differ in nothing that nobody chose.
const SWAP_UUID: [u8; 16] = *b"\x71\x75\x69\x72\x65\x00\x40\x00\x80\x00swap\x00\x01";
const SWAP_LABEL: [u8; 16] = *b"quire-swap\0\0\0\0\0\0";

/// A virtio disk of the guest, `/dev/vda` for the first, `/dev/vdb` for the second and so on.
#[derive(Clone, Debug)]
pub struct Disk {
    contents: Contents,
    read_only: bool,
    faults: Option<String>,
    /// Empty, or each option after a comma.
    options: String,
}

#[derive(Clone, Debug)]
enum Contents {
    Swap { size: Size, kept_at: Option<PathBuf> },
    File(PathBuf),
    Drive(String),
}

/// A disk as it is given to QEMU.
#[derive(Debug)]
pub struct AttachedDisk {
    /// What follows `if=none,id=…,` in the value of `-drive`.
    pub drive: String,
    /// The swap disk's file, locked until the run is over.
    _lock: Option<File>,
}

impl Disk {
    /// An empty swap area of `size`, rounded down to pages, with a valid SWAPSPACE2 header; gone after the run.
    pub fn swap(size: Size) -> Self {
        Self::of(Contents::Swap { size, kept_at: None })
    }

    /// The image file or block device at `path`, as it is; the guest's writes go there.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Contents::File(path.into()))
    }

    /// Whatever QEMU can make of `drive`, the value of its `-drive` without `if` and `id`:
    /// `driver=null-co,size=64M,latency-ns=1000000`.
    pub fn drive(drive: impl Into<String>) -> Self {
        Self::of(Contents::Drive(drive.into()))
    }

    fn of(contents: Contents) -> Self {
        Self { contents, read_only: false, faults: None, options: String::new() }
    }

    /// Keeps a swap disk's file at `path`, where it is made anew by each run; a second run at the same time is refused.
    #[must_use]
    pub fn kept_at(mut self, path: impl Into<PathBuf>) -> Self {
        if let Contents::Swap { kept_at, .. } = &mut self.contents {
            *kept_at = Some(path.into());
        }
        self
    }

    /// The guest may not write to it.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Puts QEMU's `blkdebug` in front of a swap disk or file with these rules, for example
    /// `inject-error.0.event=none,inject-error.0.errno=5,inject-error.0.sector=16,inject-error.0.iotype=read`.
    #[must_use]
    pub fn faults(mut self, rules: impl Into<String>) -> Self {
        self.faults = Some(rules.into());
        self
    }

    /// Adds to the value of `-drive`, for example `throttling.iops-total=100`.
    #[must_use]
    pub fn options(mut self, options: &str) -> Self {
        self.options.push(',');
        self.options.push_str(options);
        self
    }

    /// Whether the disk can be attached, as far as that can be said without changing anything.
    ///
    /// # Errors
    /// The first thing that is in the way.
    pub fn check(&self) -> Result<(), Error> {
        match &self.contents {
            Contents::Swap { size, .. } if !(SWAP_MIN..=SWAP_MAX).contains(size) => Err(Error::SwapSize(*size)),
            Contents::Swap { .. } | Contents::Drive(_) => Ok(()),
            Contents::File(path) => check_file(path, self.read_only),
        }
    }

    /// Makes what has to be made, temporary files in `directory`, and says how QEMU attaches it as number `index`.
    ///
    /// # Errors
    /// The file cannot be made or is in use.
    pub fn attach(&self, directory: &Path, index: usize) -> Result<AttachedDisk, Error> {
        let (path, lock) = match &self.contents {
            Contents::Swap { size, kept_at } => {
                let path = kept_at.clone().unwrap_or_else(|| directory.join(format!("swap{index}.img")));
                let file = make_swap(&path, *size)?;
                (path, Some(file))
            }
            Contents::File(path) => (path.clone(), None),
            Contents::Drive(drive) => return Ok(AttachedDisk { drive: self.with_options(drive), _lock: None }),
        };
        let file = option_value(&path.to_string_lossy());
        let drive = match &self.faults {
            None => format!("format=raw,file={file},discard=unmap"),
            Some(rules) => {
                format!("driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename={file},{rules}")
            }
        };
        Ok(AttachedDisk { drive: self.with_options(&drive), _lock: lock })
    }

    fn with_options(&self, drive: &str) -> String {
        let read_only = if self.read_only { ",read-only=on" } else { "" };
        format!("{drive}{read_only}{}", self.options)
    }
}

fn check_file(path: &Path, read_only: bool) -> Result<(), Error> {
    let refused = |source| Error::Disk { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(refused)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(Error::NotADisk { path: path.to_owned() });
    }
    OpenOptions::new().read(true).write(!read_only).open(path).map_err(refused)?;
    Ok(())
}

/// A sparse file that holds nothing but the header, locked against other launchers.
fn make_swap(path: &Path, size: Size) -> Result<File, Error> {
    let pages = size.in_bytes() / PAGE_SIZE as u64;
    let last_page = u32::try_from(pages.saturating_sub(1)).map_err(|_| Error::SwapSize(size))?;
    let header = Header { last_page, uuid: SWAP_UUID, label: SWAP_LABEL, bad_pages: BadPages::new(&[]) };
    let mut page = [0; PAGE_SIZE];
    header.encode(&mut page).map_err(|_| Error::SwapSize(size))?;

    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(Error::file("make the swap disk", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(Error::SwapDiskBusy { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(Error::file("lock", path)(error)),
    }
    fill_swap(&file, &page, pages * PAGE_SIZE as u64).map_err(Error::file("write the swap disk", path))?;
    Ok(file)
}

fn fill_swap(file: &File, header: &[u8], length: u64) -> io::Result<()> {
    // Down to nothing first: what an earlier run swapped out goes, and the file is sparse again.
    file.set_len(0)?;
    file.set_len(length)?;
    file.write_all_at(header, 0)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use quire_swap::header::{Header, Medium, PAGE_SIZE};

    use super::{Disk, SWAP_MAX, SWAP_MIN};
    use crate::{Error, Size};

    fn drive(disk: &Disk, directory: &Path) -> String {
        disk.attach(directory, 0).unwrap().drive
    }

    #[test]
    fn a_swap_disk_is_what_the_core_and_util_linux_call_swap() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("swap.img");
        fs::write(&path, vec![0xaa; 1 << 20]).unwrap();
        let disk = Disk::swap(Size::bytes((64 << 10) + 1)).kept_at(&path);
        let _attached = disk.attach(directory.path(), 0).unwrap();

        let image = fs::read(&path).unwrap();
        assert_eq!(image.len(), 64 << 10);
        let header = Header::parse(image.first_chunk().unwrap(), Medium { pages: 16, is_file: false }).unwrap();
        assert_eq!(header.last_page, 15);
        assert!(image[PAGE_SIZE..].iter().all(|&byte| byte == 0), "an earlier run's pages are still there");

        for blkid in ["/sbin/blkid", "/usr/sbin/blkid", "/usr/bin/blkid"].iter().filter(|path| Path::new(path).exists())
        {
            let output = Command::new(blkid).arg("-p").arg(&path).output().unwrap();
            let found = String::from_utf8(output.stdout).unwrap();
            assert!(found.contains("TYPE=\"swap\"") && found.contains("LABEL=\"quire-swap\""), "{found:?}");
        }
    }

    #[test]
    fn a_swap_disk_in_use_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::swap(SWAP_MIN).kept_at(directory.path().join("swap.img"));
        let first = disk.attach(directory.path(), 0).unwrap();
        assert!(matches!(disk.attach(directory.path(), 0), Err(Error::SwapDiskBusy { .. })));
        drop(first);
        // A process that another test starts right now has the lock too until it runs its own program.
        let is_free = || disk.attach(directory.path(), 0).is_ok();
        assert!((0..500).any(|_| is_free() || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            false
        }));
    }

    #[test]
    fn sizes_that_no_header_can_describe_are_refused() {
        for size in [0, SWAP_MIN.in_bytes() - 1, SWAP_MAX.in_bytes() + 1] {
            assert!(matches!(Disk::swap(Size::bytes(size)).check(), Err(Error::SwapSize(_))), "{size}");
        }
        for size in [SWAP_MIN, SWAP_MAX] {
            assert!(Disk::swap(size).check().is_ok(), "{size}");
        }
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Disk::file(directory.path().join("none")).check(), Err(Error::Disk { .. })));
        assert!(matches!(Disk::file(directory.path()).check(), Err(Error::NotADisk { .. })));
        assert!(matches!(Disk::file("/dev/zero").check(), Err(Error::NotADisk { .. })));
    }

    #[test]
    fn qemu_is_told_about_every_wish() {
        let directory = Path::new("/nowhere");
        assert_eq!(drive(&Disk::file("/a,b.img"), directory), "format=raw,file=/a,,b.img,discard=unmap");
        assert_eq!(
            drive(&Disk::file("/a").read_only().options("throttling.iops-total=9"), directory),
            "format=raw,file=/a,discard=unmap,read-only=on,throttling.iops-total=9"
        );
        assert_eq!(
            drive(&Disk::file("/a,b").faults("inject-error.0.event=none"), directory),
            "driver=blkdebug,image.driver=raw,image.file.driver=file,image.file.filename=/a,,b,inject-error.0.event=none"
        );
        assert_eq!(drive(&Disk::drive("driver=null-co,size=1M"), directory), "driver=null-co,size=1M");
    }
}
