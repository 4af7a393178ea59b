//! What the system and the machine are called (`uname(2)`, `/proc/sys/kernel`).

use quire_machine::sync::Snapshot;

use crate::errno::Errno;

/// What `uname` calls the system. C libraries refuse to run on anything older than what they were built for, and scripts
/// look for this name, so both are those of the Linux whose behaviour is the reference; the version tells the truth.
pub const SYSTEM: &str = "Linux";
/// The release (`/proc/sys/kernel/osrelease`).
pub const RELEASE: &str = "6.12.0-quire";
/// The version.
pub const VERSION: &str = concat!("Quire ", env!("CARGO_PKG_VERSION"));

/// The bytes of a name, the zero at its end included.
pub const NAME_BYTES: usize = 65;

static HOST_NAME: Snapshot<HostName> = Snapshot::new(HostName::new(b"quire"));

/// A name of at most 64 bytes.
#[derive(Clone, Copy)]
pub struct HostName {
    bytes: [u8; NAME_BYTES],
    length: usize,
}

impl HostName {
    const fn new(name: &[u8]) -> Self {
        let mut bytes = [0; NAME_BYTES];
        bytes.split_at_mut(name.len()).0.copy_from_slice(name);
        Self { bytes, length: name.len() }
    }

    /// The name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The machine's name.
pub fn host_name() -> HostName {
    HOST_NAME.get()
}

/// Gives the machine a name.
///
/// # Errors
/// `EINVAL` for one of more than 64 bytes.
pub fn set_host_name(name: &[u8]) -> Result<(), Errno> {
    if name.len() >= NAME_BYTES {
        return Err(Errno::EINVAL);
    }
    HOST_NAME.replace(HostName::new(name));
    Ok(())
}
