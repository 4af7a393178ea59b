//! `ioctl(2)` of block devices, in Linux's order of errors (`block/ioctl.c`).

use core::ops::Range;

use linux_raw_sys::ioctl::{
    BLKALIGNOFF, BLKBSZGET, BLKDISCARD, BLKDISCARDZEROES, BLKFLSBUF, BLKGETSIZE, BLKGETSIZE64, BLKIOMIN, BLKPBSZGET,
    BLKROGET, BLKROSET, BLKROTATIONAL, BLKRRPART, BLKSECDISCARD, BLKSSZGET, BLKZEROOUT,
};
use quire_machine::task::is_killed;
use quire_machine::user::Word;
use quire_swap::header::PAGE_SIZE;

use super::{BlockFile, Medium, PAGE, SECTOR, page_buffer, part};
use crate::errno::Errno;
use crate::fs::node::File;
use crate::process::control_block::this;

impl BlockFile {
    pub(super) fn answer(&self, request: u32, argument: Word) -> Result<u64, Errno> {
        let answer = |bytes: &[u8]| Ok(argument.pointer().write_bytes(bytes).map(|()| 0)?);
        match request {
            BLKGETSIZE64 => answer(&self.bytes().to_le_bytes()),
            BLKGETSIZE => answer(&(self.bytes() / u64::from(SECTOR)).to_le_bytes()),
            BLKSSZGET | BLKPBSZGET | BLKIOMIN => answer(&self.medium.sector().to_le_bytes()),
            BLKBSZGET => answer(&(PAGE_SIZE as u32).to_le_bytes()),
            BLKALIGNOFF | BLKDISCARDZEROES => answer(&0_u32.to_le_bytes()),
            BLKROTATIONAL => answer(&u16::from(self.medium.properties().rotational).to_le_bytes()),
            BLKROGET => answer(&u32::from(self.medium.is_read_only()).to_le_bytes()),
            BLKROSET => {
                require_administrator()?;
                let read_only = argument.pointer::<u32>().read()? != 0;
                self.medium.state().set_read_only(read_only);
                Ok(0)
            }
            BLKFLSBUF => {
                require_administrator()?;
                self.sync().map(|()| 0)
            }
            BLKRRPART => {
                require_administrator()?;
                // zram has no partitions (Linux: `GENHD_FL_NO_PART`); on a disk none are looked for here.
                if matches!(self.medium, Medium::Zram(_)) {
                    return Err(Errno::EINVAL);
                }
                let is_free = self.held.is_some() || self.medium.state().claim().is_some();
                if is_free { Ok(0) } else { Err(Errno::EBUSY) }
            }
            BLKDISCARD => {
                self.check_may_write()?;
                if !self.medium.properties().discard {
                    return Err(Errno::EOPNOTSUPP);
                }
                self.check_is_writable()?;
                let bytes = self.range(argument, self.medium.sector())?;
                self.check_no_swap_area()?;
                // Parts of pages stay.
                self.medium.discard(bytes.start.div_ceil(PAGE)..bytes.end / PAGE).map(|()| 0)
            }
            BLKSECDISCARD => {
                self.check_may_write()?;
                Err(Errno::EOPNOTSUPP)
            }
            BLKZEROOUT => {
                self.check_may_write()?;
                self.check_is_writable()?;
                let bytes = self.range(argument, SECTOR)?;
                self.check_no_swap_area()?;
                if bytes.start % u64::from(self.medium.sector()) != 0
                    || bytes.end % u64::from(self.medium.sector()) != 0
                {
                    return Err(Errno::EINVAL);
                }
                self.write_zeros(bytes).map(|()| 0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    /// Whether the descriptor may write.
    fn check_may_write(&self) -> Result<(), Errno> {
        if self.may_write { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Whether the device may be written.
    fn check_is_writable(&self) -> Result<(), Errno> {
        if self.medium.is_read_only() { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// The bytes that `argument` names: two words, offset and length, in whole sectors.
    fn range(&self, argument: Word, sector: u32) -> Result<Range<u64>, Errno> {
        let [start, length]: [u64; 2] = argument.pointer().read()?;
        let end = start.checked_add(length).filter(|end| *end <= self.bytes()).ok_or(Errno::EINVAL)?;
        let sector = u64::from(sector);
        if length == 0 || start % sector != 0 || length % sector != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(start..end)
    }

    fn write_zeros(&self, bytes: Range<u64>) -> Result<(), Errno> {
        if let Medium::Zram(_) = self.medium {
            // In whole pages, which zram frees.
            return self.medium.discard(bytes.start / PAGE..bytes.end / PAGE);
        }
        let (zeros, mut contents) = (page_buffer()?, page_buffer()?);
        let mut at = bytes.start;
        while at < bytes.end {
            if is_killed() {
                return Err(Errno::EINTR);
            }
            let part = part(at, (bytes.end - at) as usize);
            let length = part.within.len();
            self.write_part(&part, &zeros[..length], &mut contents)?;
            at += length as u64;
        }
        Ok(())
    }
}

/// What only the superuser may do with a block device: `EACCES`, where the system calls have `EPERM`.
fn require_administrator() -> Result<(), Errno> {
    if this().identity().is_superuser() { Ok(()) } else { Err(Errno::EACCES) }
}
