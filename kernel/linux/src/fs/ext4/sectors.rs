//! A disk as the crate sees it: bytes in sectors, moved a page at a time.
//!
//! Each transfer goes through a page that was made beforehand, so that no write fails for want of memory in the middle of
//! what the journal has to have whole.

use alloc::boxed::Box;
use alloc::sync::Arc;

use quire_machine::arch::cpu;
use quire_machine::fallible;
use quire_machine::running::Running;
use quire_swap::IoError;
use quire_swap::header::{PAGE_SIZE, Page};
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};

use super::layout::Unreadable;
use crate::errno::Errno;
use crate::fs::block::SECTOR;
use crate::fs::devices::BlockDevice;

/// A disk, read and written at any byte.
pub(super) struct Sectors {
    disk: Arc<dyn BlockDevice>,
    page: Box<Page>,
    /// Which page of the disk `page` holds, while nothing else can write there.
    held: Option<u64>,
}

impl Sectors {
    pub(super) fn new(disk: &Arc<dyn BlockDevice>) -> Result<Self, Errno> {
        Ok(Self { disk: Arc::clone(disk), page: fallible::boxed([0; PAGE_SIZE])?, held: None })
    }

    /// The disk's size.
    pub(super) fn bytes(&self) -> u64 {
        self.disk.pages().saturating_mul(PAGE_SIZE as u64)
    }

    fn load(&mut self, page: u64) -> Result<(), IoError> {
        if self.held != Some(page) {
            self.held = None;
            self.disk.read_page(page, &mut self.page)?;
            self.held = Some(page);
        }
        Ok(())
    }

    /// Calls `each` with the page, the part of it and the part of `bytes` that belong together, for `bytes` bytes from `offset` on.
    fn each_part(
        &mut self,
        offset: u64,
        bytes: usize,
        mut each: impl FnMut(&mut Self, u64, usize, core::ops::Range<usize>) -> Result<(), IoError>,
    ) -> Result<(), Unreadable> {
        if offset.checked_add(bytes as u64).is_none_or(|end| end > self.bytes()) {
            return Err(Unreadable);
        }
        let mut done = 0;
        while done < bytes {
            let at = offset + done as u64;
            let within = (at % PAGE_SIZE as u64) as usize;
            let length = (PAGE_SIZE - within).min(bytes - done);
            each(self, at / PAGE_SIZE as u64, within, done..done + length).map_err(|_| Unreadable)?;
            done += length;
        }
        Ok(())
    }

    /// Reads bytes; those of one page after another are read from the disk once, until [`Self::forget`].
    pub(super) fn read_bytes(&mut self, offset: u64, bytes: &mut [u8]) -> Result<(), Unreadable> {
        self.each_part(offset, bytes.len(), |this, page, within, range| {
            this.load(page)?;
            let length = range.len();
            bytes[range].copy_from_slice(&this.page[within..within + length]);
            Ok(())
        })
    }

    fn write_bytes(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Unreadable> {
        self.each_part(offset, bytes.len(), |this, page, within, range| {
            if range.len() < PAGE_SIZE {
                this.load(page)?;
            }
            this.held = None;
            this.page[within..within + range.len()].copy_from_slice(&bytes[range]);
            this.disk.write_pages(page, core::slice::from_ref(&this.page))
        })
    }

    /// From here on the disk may be written by others.
    pub(super) fn forget(&mut self) {
        self.held = None;
    }
}

fn offset(sector: SectorId) -> Ext4Result<u64> {
    sector.raw().checked_mul(SECTOR.into()).ok_or_else(Ext4Error::io)
}

impl BlockIo for Sectors {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        self.forget();
        self.read_bytes(offset(sector)?, buffer).map_err(|_| Ext4Error::io())
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        debug_assert!(cpu::with_running(Running::is_in_file_system).unwrap_or(true), "the crate works unmarked");
        self.forget();
        self.write_bytes(offset(sector)?, buffer).map_err(|_| Ext4Error::io())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR, self.bytes() / u64::from(SECTOR))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { read_only: self.disk.properties().read_only, flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        match self.disk.flush() {
            // It keeps nothing in a cache of its own.
            Ok(()) | Err(IoError::Unsupported) => Ok(()),
            Err(_) => Err(Ext4Error::io()),
        }
    }
}
