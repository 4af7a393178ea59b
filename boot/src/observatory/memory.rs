//! The guest's memory: bytes by physical address, and by virtual address of the kernel half.
//!
//! Whatever address the guest names is checked against the file's length: reading elsewhere is an error, never a panic.

use std::{cell::RefCell, collections::HashMap, fs::File, io, os::unix::fs::FileExt};

use super::error::ObservatoryError;

/// Where the kernel's image begins: `quire_machine::address_map`.
pub(crate) const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;

/// The size of a page and of a page table.
pub(super) const PAGE: u64 = 4096;

/// Where QEMU's q35 machine puts memory that does not fit below 4 GiB (`pc_q35_init`): all of it above 2 GiB if there is as
/// much as this.
const SPLIT_FROM: u64 = 0xb000_0000;
const LOW_END: u64 = 0x8000_0000;
const HIGH_START: u64 = 1 << 32;

/// Bytes that can be read at any offset while a machine runs.
pub trait Bytes {
    /// How many there are.
    ///
    /// # Errors
    /// The system's.
    fn length(&self) -> io::Result<u64>;

    /// Fills `bytes` with those from `offset` on.
    ///
    /// # Errors
    /// There are not so many, or the system's.
    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

impl Bytes for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}

impl Bytes for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)?.get(..bytes.len()));
        bytes.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The guest's memory by physical address.
pub(super) struct Physical {
    bytes: Box<dyn Bytes>,
    length: u64,
}

impl Physical {
    pub(super) fn new(bytes: Box<dyn Bytes>) -> Result<Self, ObservatoryError> {
        let length = bytes.length().map_err(|source| ObservatoryError::Read { offset: 0, source })?;
        Ok(Self { bytes, length })
    }

    /// How many bytes there are.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// Fills `bytes` with those from physical `address` on.
    pub(super) fn read(&self, what: &'static str, address: u64, bytes: &mut [u8]) -> Result<(), ObservatoryError> {
        let damaged = |why| ObservatoryError::Damaged { what, address, why };
        let offset = self.offset(address).ok_or(damaged("there is no memory"))?;
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= self.length);
        end.ok_or(damaged("it reaches beyond the end of memory"))?;
        self.bytes.read(offset, bytes).map_err(|source| ObservatoryError::Read { offset, source })
    }

    /// Where in the file the byte at a physical address is.
    fn offset(&self, address: u64) -> Option<u64> {
        let offset = match address {
            HIGH_START.. if self.length >= SPLIT_FROM => (address - HIGH_START).checked_add(LOW_END)?,
            LOW_END.. if self.length >= SPLIT_FROM => return None,
            _ => address,
        };
        (offset < self.length).then_some(offset)
    }

    /// The physical address of a byte of the file.
    pub(super) const fn address_of(&self, offset: u64) -> u64 {
        if self.length >= SPLIT_FROM && offset >= LOW_END { offset - LOW_END + HIGH_START } else { offset }
    }
}

/// The guest's memory by virtual address, as the kernel's page tables have it.
pub(super) struct Virtual<'a> {
    physical: &'a Physical,
    root: u64,
    /// The pages that were translated already.
    known: RefCell<HashMap<u64, u64>>,
}

impl<'a> Virtual<'a> {
    pub(super) fn new(physical: &'a Physical, root: u64) -> Self {
        Self { physical, root, known: RefCell::default() }
    }

    /// How many bytes of memory there are in all: nothing in it is larger.
    pub(super) const fn length(&self) -> u64 {
        self.physical.length
    }

    pub(super) const fn physical(&self) -> &'a Physical {
        self.physical
    }

    /// Fills `bytes` with those from virtual `address` on.
    pub(super) fn read(&self, what: &'static str, address: u64, bytes: &mut [u8]) -> Result<(), ObservatoryError> {
        let (mut address, mut rest) = (address, bytes);
        while !rest.is_empty() {
            let physical = self.translate(what, address)?;
            let length = rest.len().min((PAGE - address % PAGE) as usize);
            let (now, later) = rest.split_at_mut(length);
            self.physical.read(what, physical, now)?;
            rest = later;
            address = address.wrapping_add(length as u64);
        }
        Ok(())
    }

    /// So many bytes from virtual `address` on.
    pub(super) fn bytes(&self, what: &'static str, address: u64, length: u64) -> Result<Vec<u8>, ObservatoryError> {
        let fits = usize::try_from(length).ok().filter(|_| length <= self.length());
        let length = fits.ok_or(ObservatoryError::Damaged { what, address, why: "it is larger than memory" })?;
        let mut bytes = vec![0; length];
        self.read(what, address, &mut bytes)?;
        Ok(bytes)
    }

    /// The word at virtual `address`.
    pub(super) fn word(&self, what: &'static str, address: u64) -> Result<u64, ObservatoryError> {
        let mut bytes = [0; 8];
        self.read(what, address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Text at virtual `address`, without the zeros at its end; what is not UTF-8 or a control character is replaced.
    pub(super) fn text(&self, what: &'static str, address: u64, length: u64) -> Result<String, ObservatoryError> {
        const LONGEST: u64 = 4096;
        let bytes = self.bytes(what, address, length.min(LONGEST))?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        let text = String::from_utf8_lossy(&bytes[..end]);
        Ok(text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect())
    }

    /// The physical address of the byte at virtual `address`.
    pub(super) fn translate(&self, what: &'static str, address: u64) -> Result<u64, ObservatoryError> {
        let page = address / PAGE * PAGE;
        if let Some(physical) = self.known.borrow().get(&page) {
            return Ok(physical + address % PAGE);
        }
        let damaged = |why| ObservatoryError::Damaged { what, address, why };
        let is_canonical = (address.cast_signed() << 16 >> 16).cast_unsigned() == address;
        if !is_canonical {
            return Err(damaged("this is no address"));
        }
        let mut table = self.root;
        for level in (1..=4).rev() {
            let entry = self.entry(what, table, address, level)?;
            if entry & pte::PRESENT == 0 {
                return Err(damaged("nothing is mapped there"));
            }
            if level == 1 || entry & pte::LARGE != 0 {
                let bytes = PAGE << (9 * (level - 1));
                let physical = (entry & pte::ADDRESS & !(bytes - 1)) + page % bytes;
                self.known.borrow_mut().insert(page, physical);
                return Ok(physical + address % PAGE);
            }
            table = entry & pte::ADDRESS;
        }
        Err(damaged("nothing is mapped there"))
    }

    /// The entries on the way to virtual `address`, each with its level, 4 for that of the root, as far as there are tables.
    pub(super) fn walk(&self, what: &'static str, address: u64) -> Result<Vec<(u32, u64)>, ObservatoryError> {
        let (mut entries, mut table) = (Vec::new(), self.root);
        for level in (1..=4).rev() {
            let entry = self.entry(what, table, address, level)?;
            entries.push((level, entry));
            if entry & pte::PRESENT == 0 || level == 1 || entry & pte::LARGE != 0 {
                break;
            }
            table = entry & pte::ADDRESS;
        }
        Ok(entries)
    }

    /// The entry of a table of `level` for virtual `address`.
    fn entry(&self, what: &'static str, table: u64, address: u64, level: u32) -> Result<u64, ObservatoryError> {
        let mut bytes = [0; 8];
        self.physical.read(what, table + pte::index(address, level) * 8, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

/// Page-table entries (Intel SDM volume 3, table 4-20).
pub(super) mod pte {
    /// Something is mapped.
    pub(crate) const PRESENT: u64 = 1;
    /// It may be written.
    pub(crate) const WRITABLE: u64 = 1 << 1;

    /// It was reached.
    pub(crate) const ACCESSED: u64 = 1 << 5;
    /// It was written.
    pub(crate) const DIRTY: u64 = 1 << 6;
    /// A page larger than a table's.
    pub(crate) const LARGE: u64 = 1 << 7;
    /// Where it, or the next table, is.
    pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// The index of an address in a table of `level`, 4 for the root.
    pub(crate) const fn index(address: u64, level: u32) -> u64 {
        address >> (12 + 9 * (level - 1)) & 0x1ff
    }
}

#[cfg(test)]
mod tests {
    use super::{Physical, Virtual};

    #[test]
    fn memory_that_does_not_fit_below_four_gibibytes_goes_on_above() {
        let file = |length| Physical { bytes: Box::new(Vec::new()), length };
        let small = file(64 << 20);
        assert_eq!(
            (small.offset(0), small.offset((64 << 20) - 1), small.offset(64 << 20)),
            (Some(0), Some((64 << 20) - 1), None)
        );
        let large = file(3 << 30);
        assert_eq!((large.offset(0x7fff_ffff), large.offset(0x8000_0000)), (Some(0x7fff_ffff), None));
        assert_eq!((large.offset(1 << 32), large.offset(5 << 30)), (Some(0x8000_0000), None));
        for offset in [0, 5, 0x7fff_ffff, 0x8000_0000, (3 << 30) - 1] {
            assert_eq!(large.offset(large.address_of(offset)), Some(offset));
        }
    }

    #[test]
    fn what_is_not_mapped_or_not_in_the_file_is_an_error() {
        // A root whose first entry leads back to it: at each level the same table.
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(&3_u64.to_le_bytes());
        let physical = Physical::new(Box::new(bytes)).unwrap();
        let memory = Virtual::new(&physical, 0);
        assert_eq!(memory.translate("a word", 5).unwrap(), 5);
        assert_eq!(memory.word("a word", 0).unwrap(), 3);
        for wrong in [4096, 1 << 39, 1 << 47, u64::MAX, 4092] {
            let error = memory.word("a word", wrong).unwrap_err().to_string();
            assert!(error.contains("a word"), "{error}");
        }
        assert!(memory.bytes("too much", 0, u64::MAX).is_err());
        assert!(Virtual::new(&physical, (u64::MAX - 4095) & super::pte::ADDRESS).word("a word", 0).is_err());
    }
}
