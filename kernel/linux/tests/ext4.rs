//! Damaged images of ext4: none ends the crate that reads them, and what it takes of the heap was asked for before.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]

use std::alloc::{GlobalAlloc, Layout as Block, System};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, process};

use rsext4::{
    BlockIo, Clock, DeviceCapabilities, DeviceGeometry, DirectoryCursor, Ext4, Ext4Error, Ext4Result, Ext4Timestamp,
    FileExtentTarget, FileName, FilePermissions, InodeNumber, MountOptions, MountServices, MutationContext,
    NoopObserver, RenameOptions, SectorId,
};

#[allow(dead_code, unreachable_pub, reason = "of the module only what a mount asks is used here")]
#[path = "../src/fs/ext4/layout.rs"]
mod layout;

use layout::{Layout, LayoutError, Mapping, Unreadable};

/// Counts what is taken of the heap.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static COUNTING: Counting = Counting;

// SAFETY: the system's allocator does the work.
#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, block: Block) -> *mut u8 {
        MOST.fetch_max(TAKEN.fetch_add(block.size(), Relaxed) + block.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(block) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, block: Block) {
        TAKEN.fetch_sub(block.size(), Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, block) }
    }
}

/// A disk in memory.
#[derive(Clone)]
struct Disk(Rc<RefCell<Vec<u8>>>);

const SECTOR: u64 = 512;

impl Disk {
    fn copy(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Unreadable> {
        let disk = self.0.borrow();
        let start = usize::try_from(offset).map_err(|_| Unreadable)?;
        bytes.copy_from_slice(disk.get(start..start.saturating_add(bytes.len())).ok_or(Unreadable)?);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.0.borrow().len() as u64
    }

    fn mapping(&self, layout: &Layout, inode: u32) -> Result<Mapping, Unreadable> {
        layout.mapping(inode, &mut |offset, bytes: &mut [u8]| self.copy(offset, bytes))
    }
}

fn offset(sector: SectorId) -> Ext4Result<u64> {
    sector.raw().checked_mul(SECTOR).ok_or_else(Ext4Error::io)
}

impl BlockIo for Disk {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        self.copy(offset(sector)?, buffer).map_err(|_| Ext4Error::io())
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        let start = usize::try_from(offset(sector)?).map_err(|_| Ext4Error::io())?;
        let mut disk = self.0.borrow_mut();
        disk.get_mut(start..start.saturating_add(buffer.len())).ok_or_else(Ext4Error::io)?.copy_from_slice(buffer);
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR as u32, self.bytes() / SECTOR)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        Ok(())
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        Ok(Ext4Timestamp::new(1_700_000_000, 0))
    }
}

/// Everything that the kernel asks of a file system, as far as it goes; returns what may be taken of the heap for it.
fn use_all_of(disk: &Disk) -> Result<usize, LayoutError> {
    let layout = Layout::read(disk.bytes(), &mut |offset, bytes: &mut [u8]| disk.copy(offset, bytes))?;
    let journal = layout.journal.map_or(Ok(Mapping::default()), |journal| disk.mapping(&layout, journal))?;
    let mut most = layout.mount_bytes(journal);
    // The kernel would refuse it for want of memory.
    if most > 64 << 20 {
        return Ok(most);
    }
    let services = MountServices::new(Still, (), NoopObserver);
    let Ok(mut ext4) = Ext4::mount(disk.clone(), services, MountOptions::read_write()) else { return Ok(most) };
    let root = ext4.root_inode();
    let mut buffer = vec![0; 16 << 10];
    most += buffer.len();
    let mut may = |inode: InodeNumber| {
        let bytes = disk.mapping(&layout, inode.raw()).map_or(usize::MAX, |mapping| mapping.bytes());
        most = most.max(layout.mount_bytes(journal) + (16 << 10) + bytes.min(64 << 20));
        bytes <= 64 << 20
    };
    if !may(root) {
        return Ok(most);
    }
    let (mut cursor, mut found) = (DirectoryCursor::Start, Vec::new());
    while let Ok(entries) = ext4.read_directory(root, cursor, 16)
        && let Some(last) = entries.last()
        && found.len() < 60
    {
        cursor = last.next_cursor;
        found.extend(entries.iter().map(|entry| entry.inode));
    }
    for inode in found {
        if !may(inode) {
            continue;
        }
        if ext4.inode(inode).is_ok_and(|info| info.is_directory()) {
            let _ = ext4.read_directory(inode, DirectoryCursor::Start, 16);
            let _ = ext4.lookup_child(inode, FileName::new(b"f7").unwrap());
        } else {
            for offset in [0, 16 << 10, 1 << 30] {
                let _ = ext4.read_inode(inode, offset, &mut buffer);
            }
            let _ = ext4.inode_extents(inode, 0, i64::MAX as u64, FileExtentTarget::Data, 1 << 16);
        }
    }
    let context = MutationContext::new(0, 0, 0, 0);
    let name = |name: &'static [u8]| FileName::new(name).unwrap();
    if let Ok(file) = ext4.create_regular_file(context, root, name(b"made"), FilePermissions::new(0o600).unwrap()) {
        let _ = (0..16).try_for_each(|part| ext4.write_inode(file.number, part << 14, &buffer));
        let _ = ext4.truncate_inode(file.number, 5000);
    }
    let _ = ext4.create_directory(context, root, name(b"new"), FilePermissions::new(0o755).unwrap());
    let _ = ext4.rename(root, name(b"new"), root, name(b"renamed"), RenameOptions::REPLACE);
    for (file, is_directory) in [(&b"made"[..], false), (b"text", false), (b"large", false), (b"renamed", true)] {
        let file = FileName::new(file).unwrap();
        match ext4.lookup_child(root, file) {
            Ok(Some(info)) if may(info.number) => {}
            _ => continue,
        }
        let outcome = if is_directory { ext4.remove_empty_directory(root, file) } else { ext4.unlink(root, file) };
        if let Ok(outcome) = outcome
            && outcome.requires_reap()
        {
            let _ = ext4.truncate_inode(outcome.inode, 0);
            let _ = ext4.reap_unlinked_inode(outcome.inode);
        }
    }
    let _ = ext4.sync();
    let _ = ext4.unmount();
    Ok(most)
}

/// An image with a few files; none if there is no `mke2fs`.
fn image(number: usize, bytes: u64, options: &[&str]) -> Option<Vec<u8>> {
    let program = ["/usr/sbin/mke2fs", "/sbin/mke2fs"].into_iter().find(|path| Path::new(path).exists())?;
    let directory = env::temp_dir().join(format!("quire-ext4-{}-{number}", process::id()));
    let contents = directory.join("contents");
    fs::create_dir_all(contents.join("directory")).unwrap();
    fs::write(contents.join("text"), "text\n").unwrap();
    fs::write(contents.join("large"), vec![b'l'; 300_000]).unwrap();
    (0..40).for_each(|file| fs::write(contents.join(format!("directory/f{file}")), "file").unwrap());
    let path = directory.join("image");
    fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    let made =
        Command::new(program).args(["-q", "-F", "-t", "ext4", "-d"]).arg(&contents).args(options).arg(&path).status();
    assert!(made.unwrap().success());
    let image = fs::read(&path).unwrap();
    fs::remove_dir_all(directory).unwrap();
    Some(image)
}

/// Runs `QUIRE_EXT4_CASES` cases of each kind of image, 60 without that.
#[test]
fn damaged_images_are_refused_or_read_in_the_memory_that_was_asked_for() {
    const KINDS: [(u64, &[&str]); 4] = [
        (16 << 20, &["-b", "4096"]),
        (8 << 20, &["-b", "4096", "-O", "^has_journal,^metadata_csum,^64bit"]),
        (32 << 20, &["-b", "1024", "-g", "1024", "-O", "^metadata_csum"]),
        (4 << 20, &["-b", "1024", "-O", "^has_journal,^metadata_csum,^64bit,^extents"]),
    ];
    let cases = env::var("QUIRE_EXT4_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60_u64);
    for (number, (bytes, options)) in KINDS.into_iter().enumerate() {
        let Some(image) = image(number, bytes, options) else {
            println!("skipped: there is no mke2fs; ./setup installs e2fsprogs");
            return;
        };
        let used: Vec<usize> =
            (0..image.len()).step_by(1024).filter(|at| image[*at..at + 1024].iter().any(|byte| *byte != 0)).collect();
        for case in 0..cases {
            let mut state = (case + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut random = |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state % below as u64) as usize
            };
            let mut damaged = image.clone();
            // The first case is the image as it is.
            for _ in 0..if case == 0 { 0 } else { 1 + random(6) } {
                let place = used[if random(3) == 0 { 1 } else { random(used.len()) }] + random(256) * 4;
                let word = [0, 1, u32::MAX, 0x7fff_ffff, 0xffff, random(1 << 32) as u32, 1 << random(32)][random(7)];
                let old = u32::from_le_bytes(*damaged[place..].first_chunk().unwrap());
                let new = if random(2) == 0 { word } else { old ^ 1 << random(32) };
                damaged[place..place + 4].copy_from_slice(&new.to_le_bytes());
            }
            let disk = Disk(Rc::new(RefCell::new(damaged)));
            let before = TAKEN.load(Relaxed);
            MOST.store(before, Relaxed);
            let allowed = use_all_of(&disk);
            let taken = MOST.load(Relaxed) - before;
            assert!(case > 0 || allowed.is_ok(), "{allowed:?}");
            // What is refused by its superblock takes nothing.
            let allowed = allowed.unwrap_or(0) + (8 << 10);
            assert!(taken <= allowed, "case {case} of {options:?} took {taken} bytes, and {allowed} were asked for");
        }
    }
}
