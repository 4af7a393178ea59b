//! Fetching the initramfs from the machine.

use alloc::boxed::Box;
use core::fmt;
use core::ptr::NonNull;

use quire_drivers::fw_cfg::{Descriptor, FwCfgError, LongFile, PortRegisters};
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::archive::{Archive, Window};
use quire_protocol::INITRD_FILE;
use quire_swap::header::PAGE_SIZE;

/// Why it cannot be fetched.
#[derive(Debug)]
pub enum FetchError {
    /// The machine does not give it.
    Device(FwCfgError),
    /// There is no memory for it.
    NoMemory,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "initramfs: {error}"),
            Self::NoMemory => f.write_str("initramfs: too little memory for it"),
        }
    }
}

/// Fetches the initramfs; `None` if the machine has none.
///
/// # Errors
/// [`FetchError`].
#[expect(unsafe_code, reason = "a device with ports of its own writes to frames by their address")]
pub fn fetch() -> Result<Option<Archive>, FetchError> {
    // SAFETY: the command line was read long ago, and nothing else uses the device.
    let mut registers = unsafe { PortRegisters::new() };
    let mut file = match LongFile::open(&mut registers, INITRD_FILE) {
        Ok(file) => file,
        Err(FwCfgError::Absent | FwCfgError::NoFile) => return Ok(None),
        Err(error) => return Err(FetchError::Device(error)),
    };
    let mut archive = Archive::new(Window::Fetched).ok_or(FetchError::NoMemory)?;
    // It stays: a device that does not end a transfer may write to it at any time. The heap lies in the direct map.
    let descriptor = NonNull::from(Box::leak(Box::<Descriptor>::default()));
    let descriptor_address = descriptor.as_ptr().expose_provenance() as u64 - DIRECT_MAP;
    while archive.length() < file.bytes() {
        let frame = archive.grow().ok_or(FetchError::NoMemory)?;
        let bytes = (file.bytes() - archive.length()).min(PAGE_SIZE);
        // SAFETY: the frame was just allocated and no reference to it exists meanwhile; the descriptor is where it is said to be. After
        // an error neither is freed.
        let read = unsafe { file.read_part(&mut registers, descriptor, descriptor_address, frame, bytes as u32) };
        if let Err(error) = read {
            archive.keep();
            return Err(FetchError::Device(error));
        }
        archive.set_length(archive.length() + bytes);
    }
    Ok(Some(archive))
}
