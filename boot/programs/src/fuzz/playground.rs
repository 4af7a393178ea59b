//! Where a worker does everything: pages of every kind, descriptors of every kind, and a directory.

use std::{
    arch::naked_asm,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    num::NonZeroUsize,
    os::{
        fd::{AsRawFd, IntoRawFd, RawFd},
        unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    },
    path::Path,
    ptr::NonNull,
};

use nix::{
    errno::Errno,
    libc,
    mount::{MntFlags, umount2},
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap, mmap_anonymous},
        resource::{Resource, setrlimit},
    },
};

use super::names::OWN;
use crate::{areas, memory::PAGE};

/// Where the pages lie that are mapped, protected, moved, and read and written by calls.
pub(super) const GROUND: usize = 0x2000_0000_0000;
/// So many are there, or were there, or could be.
pub(super) const GROUND_PAGES: usize = 256;
/// Where the structures lie that calls are given; behind them is nothing.
pub(super) const WORDS: usize = 0x1f00_0000_0000;
/// How many bytes of them.
pub(super) const WORDS_BYTES: usize = 64 * PAGE;
/// Files are kept shorter, in most lives.
pub(super) const LONGEST_FILE: u64 = 2 << 20;
/// The descriptor that the log goes to.
const LOG: RawFd = 900;

/// The descriptors that a worker starts with are below this; it opens others behind.
pub(super) const FIRST_FILES: u64 = 24;

/// The directory of all workers.
pub(super) const PLACE: &str = "/tmp/fuzz";

/// A handler that does nothing.
pub(super) extern "C" fn nothing(_: libc::c_int) {}

/// Where a handler returns to: it calls `rt_sigreturn`.
///
/// # Safety
/// The stack is as the kernel left it for a handler.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn restore() -> ! {
    naked_asm!("mov eax, 15", "syscall", "ud2")
}

/// Pages from `first` on, `count` of them.
fn map(first: usize, count: usize, protection: ProtFlags, flags: MapFlags, file: Option<&File>) -> nix::Result<()> {
    let address = NonZeroUsize::new(first);
    let length = NonZeroUsize::new(count * PAGE).ok_or(Errno::EINVAL)?;
    let flags = flags | MapFlags::MAP_FIXED_NOREPLACE;
    // SAFETY: nothing is mapped there: the kernel says so, or refuses.
    unsafe {
        match file {
            Some(file) => mmap(address, length, protection, flags, file, 0),
            None => mmap_anonymous(address, length, protection, flags),
        }
    }
    .map(drop)
}

/// Maps the pages and opens the descriptors of a life that begins. `directory` is made anew, and current.
pub(super) fn prepare(directory: &str, user: u32, limits_files: bool) -> io::Result<()> {
    let path = format!("{PLACE}/{directory}");
    fs::create_dir(&path)?;
    std::env::set_current_dir(&path)?;
    fs::set_permissions(".", fs::Permissions::from_mode(0o777))?;
    let program = fs::read("/proc/self/exe").map(|bytes| bytes[..PAGE].to_vec()).unwrap_or_default();
    for (name, contents) in [("a", &[b'a'; 3 * PAGE][..]), ("b", b"b"), ("program", &program)] {
        fs::write(name, contents)?;
        fs::set_permissions(name, fs::Permissions::from_mode(0o777))?;
    }
    fs::create_dir_all("d/e")?;
    fs::create_dir("m")?;
    symlink("a", "l")?;
    symlink("loop", "loop")?;
    File::create("sparse")?.set_len(LONGEST_FILE)?;
    for name in ["a", "b", "d", "d/e", "m", "program", "sparse"] {
        nix::unistd::chown(name, Some(user.into()), Some(user.into()))?;
    }
    map_pages()?;
    open_files()?;
    if limits_files {
        setrlimit(Resource::RLIMIT_FSIZE, LONGEST_FILE, LONGEST_FILE)?;
    }
    Ok(())
}

fn map_pages() -> io::Result<()> {
    let (read, write) = (ProtFlags::PROT_READ, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE);
    let at = |page: usize| GROUND + page * PAGE;
    let own = MapFlags::MAP_PRIVATE;
    map(WORDS, WORDS_BYTES / PAGE, write, own, None)?;
    map(at(0), 64, write, own, None)?;
    map(at(64), 16, read, own, None)?;
    map(at(80), 16, ProtFlags::PROT_NONE, own, None)?;
    map(at(96), 32, write, own, None)?;
    let short = OpenOptions::new().read(true).write(true).open("b")?;
    map(at(128), 8, write, MapFlags::MAP_SHARED, Some(&short))?;
    map(at(144), 32, write, MapFlags::MAP_SHARED, None)?;
    map(at(176), 16, write, own, Some(&File::open("sparse")?))?;
    // A third of the pages is there, and a part of those goes to swap.
    for page in [0, 1, 2, 3, 30, 63].into_iter().chain(96..128).chain(150..160).chain(178..182) {
        // SAFETY: the page was mapped for writing above, and no reference to it exists.
        unsafe { std::ptr::with_exposed_provenance_mut::<u8>(at(page)).write(1) };
    }
    let swapped = NonNull::new(std::ptr::with_exposed_provenance_mut(at(96))).ok_or(Errno::EFAULT)?;
    // SAFETY: the pages keep their contents.
    unsafe { madvise(swapped, 32 * PAGE, MmapAdvise::MADV_PAGEOUT) }?;
    Ok(())
}

/// The descriptors that every life begins with, from 3 on. Those that cannot be are closed ones.
fn open_files() -> io::Result<()> {
    // What a program that is started says is not for the log.
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?.into_raw_fd();
    for number in 0..3 {
        duplicate(null, number)?;
    }
    let open = |path: &str, writes: bool| {
        OpenOptions::new().read(true).write(writes).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
    };
    let (from, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK)?;
    let files = [
        open("a", true).ok(),
        open("b", false).ok(),
        open("sparse", true).ok(),
        open(".", false).ok(),
        open("d", false).ok(),
        Some(File::from(from)),
        Some(File::from(to)),
        open("/dev/null", true).ok(),
        open("/dev/zero", true).ok(),
        open("/dev/full", true).ok(),
        open("/dev/urandom", true).ok(),
        // To be read alone, as in `names`.
        open("/dev/console", false).ok(),
        open("/dev/kmsg", false).ok(),
        open("/dev/vda", false).ok(),
        open("/dev/zram1", true).ok(),
        open("/dev/ghostswap", true).ok(),
        open("/proc/self/maps", false).ok(),
        open("/proc/vmstat", false).ok(),
        open("/proc/self/fd", false).ok(),
        open("/sys/block/zram1/comp_algorithm", true).ok(),
        open("/proc/swaps", false).ok(),
    ];
    const { assert!(3 + 21 == FIRST_FILES) };
    // Out of the way first: their numbers are each other's.
    let files: Vec<Option<RawFd>> = files.into_iter().map(|file| file.map(IntoRawFd::into_raw_fd)).collect();
    for (file, number) in files.iter().zip(500..) {
        if let Some(file) = file {
            duplicate(*file, number)?;
        }
    }
    close_range(3, 499);
    for (file, number) in files.iter().zip(3..) {
        if file.is_some() {
            duplicate(497 + number, number)?;
        }
    }
    close_range(500, 600);
    Ok(())
}

fn duplicate(file: RawFd, number: RawFd) -> nix::Result<()> {
    // SAFETY: no value of this program owns the descriptor that is replaced.
    Errno::result(unsafe { libc::dup2(file, number) }).map(drop)
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: the values that owned these descriptors were given up by the caller, or are of files to which nothing is
    // written any more.
    let _ = unsafe { libc::close_range(first, last, 0) };
}

/// Opens what [`say`] writes to: the kernel's log, which no setting of the terminal holds up.
pub(super) fn open_log() -> io::Result<()> {
    let log = OpenOptions::new().write(true).open("/dev/kmsg")?;
    Ok(duplicate(log.as_raw_fd(), LOG)?)
}

/// A line in the log.
pub(super) fn say(line: &str) -> nix::Result<()> {
    // SAFETY: the bytes are there.
    Errno::result(unsafe { libc::write(LOG, line.as_ptr().cast(), line.len()) }).map(drop)
}

/// Takes away what the workers mounted and made below `path`.
pub(super) fn clean(path: &str) -> io::Result<()> {
    // What a worker has mounted on the directory above its own hides both.
    for place in ["", "/shared/d", "/shared"].map(|place| format!("{PLACE}{place}")) {
        unmount(Path::new(&place));
    }
    remove(Path::new(path))
}

/// Detaches all that is mounted at `path`. No list of mounts is asked: one that was made under another root, or in a
/// directory that was moved since, is listed by a path that is not the one from here.
fn unmount(path: &Path) {
    // A link would lead to what is not theirs.
    while umount2(path, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH).is_ok() {}
}

/// Removes what is there, if anything is, and unmounts first what is mounted there or below.
fn remove(path: &Path) -> io::Result<()> {
    unmount(path);
    // A worker may remove it meanwhile.
    remove_unmounted(path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        kind => Err(io::Error::new(kind, format!("{}: {error}", path.display()))),
    })
}

fn remove_unmounted(path: &Path) -> io::Result<()> {
    /// Root's worker may make files there meanwhile.
    const ATTEMPTS: usize = 16;
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    let empty = || {
        fs::read_dir(path)?.try_for_each(|entry| remove(&entry?.path()))?;
        fs::remove_dir(path)
    };
    let is_filled = |outcome: &io::Result<()>| {
        outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::DirectoryNotEmpty)
    };
    (1..ATTEMPTS).map(|_| empty()).find(|outcome| !is_filled(outcome)).unwrap_or_else(empty)
}

/// Removes what root's calls have made in directories that are not a worker's, after `chdir`.
pub(super) fn remove_strays() {
    for directory in ["/", "/bin", "/dev", "/tmp"] {
        let names = OWN.iter().filter(|name| !name.is_empty() && !name.starts_with('.') && !name.contains('/'));
        for path in names.map(|name| format!("{directory}/{name}")) {
            let _ = remove(Path::new(&path));
        }
    }
}

/// Writes a setting; what the kernel says to it is its own affair.
pub(super) fn set(path: &str, value: &str) {
    let _ = OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
}

/// Disables an area, if it is one.
pub(super) fn disable(device: &str) {
    let _ = areas::swapoff(device);
}
