//! Files as swap areas: where their blocks are, told once, and that nothing else touches them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_machine::fallible::{self, TryVec};
use quire_machine::log;
use quire_machine::sync::Rank;
use quire_machine::task::Mutex;
use quire_memory::swap;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{ExtentError, FileRun, SwapFile, SwapOnError, SwapOnOptions};
use rsext4::{Ext4Error, FileExtentTarget};

use super::node::{Ext4Node, of};
use crate::errno::Errno;
use crate::fs::node::{Handle, NodeKind};
use crate::swap_area;

/// The files that are swap areas: their volumes stay, also when they are detached from where they were mounted.
static FILES: Mutex<Vec<Handle>> = Mutex::new(Rank::Mounts, Vec::new());

/// The most extents of a swap file: each takes 24 bytes while it is one, and a fault a step more with each doubling.
const EXTENTS_MAX: usize = 1 << 16;

/// Enables the file `node`, which is shown as `path`, as a swap area; returns its index.
///
/// # Errors
/// As `swapon(2)`: `EINVAL` for what is no file of such a file system, `ENOENT` without a name, `EBUSY` if it is an area already;
/// the core's.
pub fn enable(node: &Handle, path: &str, options: SwapOnOptions<'_>) -> Result<u8, Errno> {
    let file = of(node).map_err(|_| Errno::EINVAL)?;
    if node.metadata().kind != NodeKind::File {
        return Err(Errno::EINVAL);
    }
    if node.metadata().links == 0 {
        return Err(Errno::ENOENT);
    }
    FILES.lock().try_push(Arc::clone(node))?;
    file.set_swap_area(Some(fallible::shared_text(path)?))
        .and_then(|()| {
            let enabled = file.enable(path, options);
            if enabled.is_err() {
                file.set_swap_area(None)?;
            }
            enabled
        })
        .inspect_err(|_| forget(node))
}

/// The name of the swap area that a file is, if it is one.
pub fn area_name(node: &Handle) -> Option<Arc<str>> {
    let file = of(node).ok()?;
    file.volume.nodes_in_any_case().get(file.number)?.swap_area.clone()
}

/// The file is no swap area any more: `swapoff` has returned.
///
/// # Errors
/// `EINVAL` for what is no file of such a file system.
pub fn disable(node: &Handle) -> Result<(), Errno> {
    of(node).map_err(|_| Errno::EINVAL)?.set_swap_area(None)?;
    forget(node);
    Ok(())
}

/// Takes a file from the list, once.
fn forget(node: &Handle) {
    let identity = node.metadata().identity();
    let mut files = FILES.lock();
    let position = files.iter().rposition(|file| file.metadata().identity() == identity);
    let gone = position.map(|position| files.swap_remove(position));
    drop(files);
    drop(gone);
}

impl Ext4Node {
    /// The file becomes the swap area of that name, or none.
    fn set_swap_area(&self, name: Option<Arc<str>>) -> Result<(), Errno> {
        let mut nodes = self.volume.nodes_in_any_case();
        let live = nodes.get_mut(self.number).ok_or(Errno::EIO)?;
        if name.is_some() && live.swap_area.is_some() {
            return Err(Errno::EBUSY);
        }
        live.swap_area = name;
        Ok(())
    }

    fn enable(&self, path: &str, options: SwapOnOptions<'_>) -> Result<u8, Errno> {
        let (page, bytes, runs) = self.read_for_swap()?;
        swap_area::check_requests(path, &*self.volume.disk).map_err(|error| error.errno())?;
        let disk = Arc::clone(&self.volume.disk) as _;
        let header = page.first_chunk().ok_or(Errno::EINVAL)?;
        let file = SwapFile { name: path, disk: &disk, header, bytes, runs: &runs };
        let enabled = swap::core().swapon_file(&file, options);
        if let Err(SwapOnError::Extents(ExtentError::Hole { .. })) = enabled {
            log!("swapon", "swapfile has holes");
        }
        Ok(enabled?)
    }

    /// The file's first page, its length and its runs, when all that was written to it is on the disk.
    fn read_for_swap(&self) -> Result<(Vec<u8>, u64, Vec<FileRun>), Errno> {
        let mut page = fallible::filled(0, PAGE_SIZE)?;
        let mut nodes = self.volume.nodes()?;
        let (page, bytes, map) = self.run_in(&mut nodes, move |ext4, number| {
            ext4.sync()?;
            let bytes = ext4.inode(number)?.size;
            ext4.read_inode(number, 0, &mut page)?;
            if bytes == 0 {
                return Err(Ext4Error::invalid_input());
            }
            let map = ext4.inode_extents(number, 0, bytes, FileExtentTarget::Data, EXTENTS_MAX)?;
            Ok((page, bytes, map))
        })?;
        if !map.complete {
            return Err(Errno::EFBIG);
        }
        let runs = map.extents.iter().map(|extent| FileRun {
            offset: extent.logical_start,
            disk_offset: extent.physical_start,
            bytes: extent.length,
        });
        Ok((page, bytes, fallible::collect(runs)?))
    }
}
