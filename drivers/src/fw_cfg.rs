//! QEMU's firmware configuration device: small files handed to the guest.
//!
//! The interface is QEMU's `docs/specs/fw_cfg.rst`: a selector port, a data port that yields the selected item byte by
//! byte, and a directory of named items. Nothing the device says is trusted: sizes and counts are bounded.

use x86_64::instructions::port::Port;

const SELECTOR_PORT: u16 = 0x510;
const DATA_PORT: u16 = 0x511;

/// The item that holds the four bytes of [`SIGNATURE`].
const SIGNATURE_ITEM: u16 = 0;
const SIGNATURE: [u8; 4] = *b"QEMU";
/// The item that lists the files.
const DIRECTORY_ITEM: u16 = 0x19;
/// QEMU has a few dozen files; a device that claims more than this is not believed.
const MAX_FILES: u32 = 1024;
/// The length of a file's name in the directory, its terminating zero included.
const NAME_BYTES: usize = 56;

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FwCfgError {
    /// There is no such device: this is not QEMU, or not a PC.
    #[error("there is no fw_cfg device")]
    Absent,
    /// The device has no file of that name.
    #[error("there is no such file")]
    NoFile,
    /// The file is longer than the caller wants.
    #[error("the file has {bytes} bytes, the most allowed is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
}

/// The device's two registers.
pub trait Registers {
    /// Chooses an item and goes to its first byte.
    fn select(&mut self, item: u16);
    /// The next byte of the chosen item, 0 beyond its end.
    fn next_byte(&mut self) -> u8;
}

/// The registers of a PC.
#[derive(Debug)]
pub struct PortRegisters(());

impl PortRegisters {
    /// # Safety
    ///
    /// Nothing else uses the device while this exists.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

impl Registers for PortRegisters {
    fn select(&mut self, item: u16) {
        // SAFETY: the port is fw_cfg's or nobody's, and choosing an item touches no memory.
        unsafe { Port::new(SELECTOR_PORT).write(item) }
    }

    fn next_byte(&mut self) -> u8 {
        // SAFETY: as above; without a device the bus reads as ones.
        unsafe { Port::new(DATA_PORT).read() }
    }
}

/// Reads the whole file called `name` into the front of `buffer`; returns how long it is. Needs no heap, since the command
/// line can say how much memory there is to make one of.
///
/// # Errors
///
/// There is no device, no such file, or the file does not fit into `buffer`.
pub fn read_file(registers: &mut impl Registers, name: &str, buffer: &mut [u8]) -> Result<usize, FwCfgError> {
    registers.select(SIGNATURE_ITEM);
    if next_bytes(registers) != SIGNATURE {
        return Err(FwCfgError::Absent);
    }
    let (item, bytes) = find(registers, name).ok_or(FwCfgError::NoFile)?;
    let max = buffer.len();
    let file = buffer.get_mut(..bytes).ok_or(FwCfgError::TooLong { bytes, max })?;
    registers.select(item);
    file.fill_with(|| registers.next_byte());
    Ok(bytes)
}

/// The item and size of a file.
fn find(registers: &mut impl Registers, name: &str) -> Option<(u16, usize)> {
    registers.select(DIRECTORY_ITEM);
    let files = u32::from_be_bytes(next_bytes(registers));
    for _ in 0..files.min(MAX_FILES) {
        let bytes = u32::from_be_bytes(next_bytes(registers));
        let item = u16::from_be_bytes(next_bytes(registers));
        let _reserved: [u8; 2] = next_bytes(registers);
        let entry: [u8; NAME_BYTES] = next_bytes(registers);
        if entry.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
            return Some((item, bytes as usize));
        }
    }
    None
}

fn next_bytes<const N: usize>(registers: &mut impl Registers) -> [u8; N] {
    core::array::from_fn(|_| registers.next_byte())
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::{DIRECTORY_ITEM, FwCfgError, MAX_FILES, Registers, SIGNATURE, SIGNATURE_ITEM, read_file};

    /// A device with these items; a file's item is 0x20 plus its place.
    struct Device {
        items: Vec<(u16, Vec<u8>)>,
        rest: vec::IntoIter<u8>,
        bytes_read: usize,
    }

    impl Device {
        fn new(claimed_files: u32, files: &[(&str, &[u8])]) -> Self {
            let mut items = vec![(SIGNATURE_ITEM, SIGNATURE.to_vec())];
            let mut directory = claimed_files.to_be_bytes().to_vec();
            for (item, (name, content)) in (0x20u16..).zip(files) {
                directory.extend(u32::try_from(content.len()).expect("short").to_be_bytes());
                directory.extend(item.to_be_bytes());
                directory.extend([0; 2]);
                directory.extend(name.as_bytes());
                directory.extend(vec![0; 56 - name.len()]);
                items.push((item, content.to_vec()));
            }
            items.push((DIRECTORY_ITEM, directory));
            Self { items, rest: Vec::new().into_iter(), bytes_read: 0 }
        }
    }

    impl Registers for Device {
        fn select(&mut self, item: u16) {
            let content = self.items.iter().find(|(number, _)| *number == item);
            self.rest = content.map(|(_, content)| content.clone()).unwrap_or_default().into_iter();
        }

        fn next_byte(&mut self) -> u8 {
            self.bytes_read += 1;
            self.rest.next().unwrap_or(0)
        }
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let files: [(&str, &[u8]); 3] =
            [("opt/quire", b"short"), ("opt/quire/a", b"this one"), ("opt/quire/ab", b"no")];
        let mut device = Device::new(3, &files);
        let mut buffer = [b'-'; 10];
        assert_eq!(read_file(&mut device, "opt/quire/a", &mut buffer), Ok(8));
        assert_eq!(&buffer, b"this one--");
        assert_eq!(read_file(&mut device, "opt/quire/a", &mut [0; 7]), Err(FwCfgError::TooLong { bytes: 8, max: 7 }));
        assert_eq!(read_file(&mut device, "opt", &mut buffer), Err(FwCfgError::NoFile));
    }

    #[test]
    fn a_device_that_is_absent_or_lies_is_no_trouble() {
        let mut absent = Device::new(1, &[("a", b"content")]);
        absent.items[0].1 = vec![0xff; 4];
        assert_eq!(read_file(&mut absent, "a", &mut [0; 100]), Err(FwCfgError::Absent));

        let mut endless = Device::new(u32::MAX, &[]);
        assert_eq!(read_file(&mut endless, "a", &mut [0; 100]), Err(FwCfgError::NoFile));
        assert!(endless.bytes_read <= 8 + 64 * MAX_FILES as usize);
    }
}
