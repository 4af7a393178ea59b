//! The header's extension: the swap header as a superblock that names the backend its area is made for.
//!
//! It lies in the padding of the SWAPSPACE2 header, where Linux and util-linux look at nothing: to them the area stays
//! plain swap. Offsets count from the start of the padding (byte 1068 of the page); numbers are little-endian whatever
//! the header's own order.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `QUIREEXT` |
//! | 8 | 4 | version of this format, 1 |
//! | 12 | 16 | type of the backend: its name, padded with zeros |
//! | 28 | 4 | version of what that backend stores |
//! | 32 | 4 | length of the options, at most [`OPTIONS_MAX`] |
//! | 36 | 428 | options: UTF-8, `key=value` separated by commas; zeros behind |
//! | 464 | 4 | CRC-32 (IEEE 802.3) of all before |
//!
//! A header without the magic has no extension. One with the magic is believed only as a whole: an unknown version or a
//! wrong sum means that another program's data would be misread, so the area is refused.

use core::fmt;

use crate::header::{PADDING, Page};

/// The most bytes of options.
pub const OPTIONS_MAX: usize = CHECKSUM_OFFSET - OPTIONS_OFFSET;

const MAGIC: &[u8; 8] = b"QUIREEXT";
const VERSION: u32 = 1;

const VERSION_OFFSET: usize = 8;
const TYPE_OFFSET: usize = 12;
const TYPE_VERSION_OFFSET: usize = 28;
const LENGTH_OFFSET: usize = 32;
const OPTIONS_OFFSET: usize = 36;
const CHECKSUM_OFFSET: usize = 464;

/// The name of a type of backend: up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TypeName([u8; 16]);

/// What an extension says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The backend's type.
    pub backend: TypeName,
    /// The version of what the backend stores.
    pub version: u32,
    /// The options that the area was made with.
    pub options: BackendOptions<'a>,
}

/// `key=value` pairs separated by commas; a key alone has an empty value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendOptions<'a>(pub &'a str);

/// Why an extension is refused. Always `EINVAL` to the caller of `swapon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionError {
    /// A version of the format other than 1.
    Version(u32),
    /// The sum does not fit what it is about.
    Checksum {
        /// In the header.
        stored: u32,
        /// Of the header.
        computed: u32,
    },
    /// The options are longer than their field.
    OptionsLength(u32),
    /// The options are not UTF-8.
    OptionsText,
}

impl TypeName {
    /// The version of what a backend of any type stores that programs make areas for, unless told otherwise.
    pub const USUAL_VERSION: u32 = 1;

    /// The name as it is stored; none if it is longer than 16 bytes.
    pub const fn new(name: &str) -> Option<Self> {
        let name = name.as_bytes();
        let mut bytes = [0; 16];
        if name.len() > bytes.len() {
            return None;
        }
        bytes.split_at_mut(name.len()).0.copy_from_slice(name);
        Some(Self(bytes))
    }
}

impl<'a> Extension<'a> {
    /// Reads the extension of the header in `page`, if it has one.
    ///
    /// # Errors
    /// If there is one that cannot be believed.
    pub fn parse(page: &'a Page) -> Result<Option<Self>, ExtensionError> {
        let padding = &page[PADDING];
        if !padding.starts_with(MAGIC) {
            return Ok(None);
        }
        let version = number(padding, VERSION_OFFSET);
        if version != VERSION {
            return Err(ExtensionError::Version(version));
        }
        let (stored, computed) = (number(padding, CHECKSUM_OFFSET), crc32(&padding[..CHECKSUM_OFFSET]));
        if stored != computed {
            return Err(ExtensionError::Checksum { stored, computed });
        }
        let length = number(padding, LENGTH_OFFSET);
        let options = padding[OPTIONS_OFFSET..CHECKSUM_OFFSET].get(..length as usize);
        let options = options.ok_or(ExtensionError::OptionsLength(length))?;
        let mut backend = TypeName([0; 16]);
        backend.0.copy_from_slice(&padding[TYPE_OFFSET..TYPE_VERSION_OFFSET]);
        Ok(Some(Self {
            backend,
            version: number(padding, TYPE_VERSION_OFFSET),
            options: BackendOptions(str::from_utf8(options).map_err(|_| ExtensionError::OptionsText)?),
        }))
    }

    /// Writes the extension into a page that has a header already.
    ///
    /// # Errors
    /// If the options are too long; `page` is unchanged.
    pub fn encode(&self, page: &mut Page) -> Result<(), ExtensionError> {
        let options = self.options.0.as_bytes();
        let length = u32::try_from(options.len()).unwrap_or(u32::MAX);
        if options.len() > OPTIONS_MAX {
            return Err(ExtensionError::OptionsLength(length));
        }
        let padding = &mut page[PADDING];
        padding.fill(0);
        let mut put = |offset: usize, bytes: &[u8]| padding[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, MAGIC);
        put(VERSION_OFFSET, &VERSION.to_le_bytes());
        put(TYPE_OFFSET, &self.backend.0);
        put(TYPE_VERSION_OFFSET, &self.version.to_le_bytes());
        put(LENGTH_OFFSET, &length.to_le_bytes());
        put(OPTIONS_OFFSET, options);
        let checksum = crc32(&padding[..CHECKSUM_OFFSET]);
        padding[CHECKSUM_OFFSET..].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }
}

impl<'a> BackendOptions<'a> {
    /// Whether `text` is one `key=value` pair, as programs are given them that make areas.
    pub fn is_pair(text: &str) -> bool {
        !text.contains(',') && text.split_once('=').is_some_and(|(key, _)| !key.is_empty())
    }

    /// All pairs in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.split(',').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The value of `key`: the last one counts.
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.iter().filter(|(other, _)| *other == key).last().map(|(_, value)| value)
    }
}

fn number(padding: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&padding[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

/// The CRC of Ethernet and gzip, bit by bit: it is needed once for each `swapon`.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let shift = |sum: u32, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ POLYNOMIAL };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), shift))
}

impl fmt::Display for TypeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.0[..length].escape_ascii().fmt(formatter)
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(formatter, "extension of version {version} is not supported, only 1"),
            Self::Checksum { stored, computed } => {
                write!(formatter, "extension has checksum {stored:#010x}, not {computed:#010x}")
            }
            Self::OptionsLength(length) => {
                write!(formatter, "extension with {length} bytes of options, more than {OPTIONS_MAX}")
            }
            Self::OptionsText => formatter.write_str("extension with options that are not UTF-8"),
        }
    }
}

impl core::error::Error for ExtensionError {}
