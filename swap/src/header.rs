//! The first page of a swap area: the SWAPSPACE2 header, read and written to the byte.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1024 | boot block, never touched |
//! | 1024 | 4 | version, 1 |
//! | 1028 | 4 | last page of the area, counted from this one as 0 |
//! | 1032 | 4 | number of bad pages, at most [`BAD_PAGES_MAX`] |
//! | 1036 | 16 | UUID |
//! | 1052 | 16 | label, padded with zeros |
//! | 1068 | 468 | padding |
//! | 1536 | 4 each | bad pages |
//! | 4086 | 10 | `SWAPSPACE2` |
//!
//! Numbers are in the byte order of the machine that made the area; a reader recognises the other order by the version
//! (Linux `read_swap_header`, util-linux `swapheader.h`). Everything here comes from a disk: nothing in it is believed
//! before it is checked, and a refusal names the field and its value.

use core::fmt;

pub use crate::page::{PAGE_SIZE, Page};

/// How many bad pages fit between their offset and the magic.
pub const BAD_PAGES_MAX: u32 = ((MAGIC_OFFSET - BAD_PAGES_OFFSET) / 4) as u32;

/// Where the padding lies; a typed header keeps its extension there.
pub const PADDING: core::ops::Range<usize> = LABEL_OFFSET + 16..BAD_PAGES_OFFSET;

const MAGIC: &[u8; 10] = b"SWAPSPACE2";
const VERSION: u32 = 1;

const VERSION_OFFSET: usize = 1024;
const LAST_PAGE_OFFSET: usize = 1028;
const BAD_PAGE_COUNT_OFFSET: usize = 1032;
const UUID_OFFSET: usize = 1036;
const LABEL_OFFSET: usize = 1052;
const BAD_PAGES_OFFSET: usize = 1536;
const MAGIC_OFFSET: usize = PAGE_SIZE - MAGIC.len();

/// What an area's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The area's last page; the area has `last_page` pages beside the header, the bad ones included. A page number of
    /// 32 bits reaches 16 TiB, so no header can ask for more slots than a swap entry can name.
    pub last_page: u32,
    /// Identifies the area.
    pub uuid: [u8; 16],
    /// The label, padded with zeros.
    pub label: [u8; 16],
    /// Pages that must never be used.
    pub bad_pages: BadPages<'a>,
}

/// The list of bad pages, as it lies in the header or as a slice.
#[derive(Clone, Copy, Debug)]
pub struct BadPages<'a>(Numbers<'a>);

#[derive(Clone, Copy, Debug)]
enum Numbers<'a> {
    Slice(&'a [u32]),
    Page(&'a [[u8; 4]], ByteOrder),
}

/// The order of bytes in a header's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteOrder {
    Little,
    Big,
}

/// What the header lies on; some rules depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Pages of the device or file; 0 if unknown, which skips the check of the area's length.
    pub pages: u64,
    /// Whether it is a regular file, where bad pages make no sense.
    pub is_file: bool,
}

/// Why a header is refused. Always `EINVAL` to the caller of `swapon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// The device has no page that could hold one.
    NoPage,
    /// No `SWAPSPACE2` at its offset: not swap, or made for another page size.
    Magic([u8; 10]),
    /// A version other than 1.
    Version(u32),
    /// `last_page` is 0.
    Empty,
    /// The area ends beyond the device.
    BeyondDevice {
        /// The header's last page.
        last_page: u32,
        /// Pages of the device.
        device_pages: u64,
    },
    /// Bad pages on a regular file.
    BadPagesOnFile(u32),
    /// More bad pages than fit into the header.
    TooManyBadPages(u32),
    /// A bad page is 0, the header itself.
    BadPageIsHeader,
    /// A bad page lies beyond the area.
    BadPageBeyondEnd {
        /// The bad page.
        page: u32,
        /// The header's last page.
        last_page: u32,
    },
    /// A bad page is listed twice.
    BadPageTwice(u32),
    /// Every page is bad.
    NothingUsable {
        /// The header's last page, equal to the number of bad pages.
        last_page: u32,
    },
}

impl<'a> Header<'a> {
    /// Reads and checks the header in `page`, in Linux's order of checks.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn parse(page: &'a Page, medium: Medium) -> Result<Self, HeaderError> {
        let magic = array(page, MAGIC_OFFSET);
        if &magic != MAGIC {
            return Err(HeaderError::Magic(magic));
        }
        let order = match array(page, VERSION_OFFSET) {
            [1, 0, 0, 0] => ByteOrder::Little,
            [0, 0, 0, 1] => ByteOrder::Big,
            other => return Err(HeaderError::Version(u32::from_le_bytes(other))),
        };
        let last_page = order.number(array(page, LAST_PAGE_OFFSET));
        let bad_page_count = order.number(array(page, BAD_PAGE_COUNT_OFFSET));
        if order == ByteOrder::Big && bad_page_count > BAD_PAGES_MAX {
            return Err(HeaderError::TooManyBadPages(bad_page_count));
        }
        if last_page == 0 {
            return Err(HeaderError::Empty);
        }
        if medium.pages != 0 && u64::from(last_page) >= medium.pages {
            return Err(HeaderError::BeyondDevice { last_page, device_pages: medium.pages });
        }
        if bad_page_count != 0 && medium.is_file {
            return Err(HeaderError::BadPagesOnFile(bad_page_count));
        }
        let (listed, _) = page[BAD_PAGES_OFFSET..MAGIC_OFFSET].as_chunks();
        let Some(listed) = listed.get(..bad_page_count as usize) else {
            return Err(HeaderError::TooManyBadPages(bad_page_count));
        };
        let header = Self {
            last_page,
            uuid: array(page, UUID_OFFSET),
            label: array(page, LABEL_OFFSET),
            bad_pages: BadPages(Numbers::Page(listed, order)),
        };
        header.check_bad_pages()?;
        Ok(header)
    }

    /// Writes the header into `page` in little-endian order, as `mkswap` does: the boot block stays as it is, padding
    /// and unused entries of the list of bad pages become zero.
    ///
    /// # Errors
    /// What [`Header::parse`] would refuse on a device that is large enough; `page` is unchanged.
    pub fn encode(&self, page: &mut Page) -> Result<(), HeaderError> {
        if self.last_page == 0 {
            return Err(HeaderError::Empty);
        }
        if self.bad_pages.len() > BAD_PAGES_MAX as usize {
            return Err(HeaderError::TooManyBadPages(u32::try_from(self.bad_pages.len()).unwrap_or(u32::MAX)));
        }
        self.check_bad_pages()?;
        page[VERSION_OFFSET..].fill(0);
        put(page, VERSION_OFFSET, &VERSION.to_le_bytes());
        put(page, LAST_PAGE_OFFSET, &self.last_page.to_le_bytes());
        put(page, BAD_PAGE_COUNT_OFFSET, &(self.bad_pages.len() as u32).to_le_bytes());
        put(page, UUID_OFFSET, &self.uuid);
        put(page, LABEL_OFFSET, &self.label);
        for (position, bad) in self.bad_pages.iter().enumerate() {
            put(page, BAD_PAGES_OFFSET + 4 * position, &bad.to_le_bytes());
        }
        put(page, MAGIC_OFFSET, MAGIC);
        Ok(())
    }

    fn check_bad_pages(&self) -> Result<(), HeaderError> {
        let last_page = self.last_page;
        for (position, page) in self.bad_pages.iter().enumerate() {
            if page == 0 {
                return Err(HeaderError::BadPageIsHeader);
            }
            if page > last_page {
                return Err(HeaderError::BadPageBeyondEnd { page, last_page });
            }
            if self.bad_pages.iter().take(position).any(|earlier| earlier == page) {
                return Err(HeaderError::BadPageTwice(page));
            }
        }
        // All of them are different and inside the area, so as many as the area has pages means all.
        if self.bad_pages.len() == last_page as usize {
            return Err(HeaderError::NothingUsable { last_page });
        }
        Ok(())
    }
}

impl<'a> BadPages<'a> {
    /// The bad pages in `pages`.
    pub fn new(pages: &'a [u32]) -> Self {
        Self(Numbers::Slice(pages))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self.0 {
            Numbers::Slice(pages) => pages.len(),
            Numbers::Page(pages, _) => pages.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their numbers, in the order in which they are listed.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let numbers = self.0;
        (0..self.len()).map(move |position| match numbers {
            Numbers::Slice(pages) => pages[position],
            Numbers::Page(pages, order) => order.number(pages[position]),
        })
    }
}

impl PartialEq for BadPages<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for BadPages<'_> {}

impl ByteOrder {
    fn number(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPage => formatter.write_str("the device is shorter than a header"),
            Self::Magic(found) => write!(formatter, "magic is \"{}\", not SWAPSPACE2", found.escape_ascii()),
            Self::Version(version) => write!(formatter, "version {version} is not supported, only 1"),
            Self::Empty => formatter.write_str("last_page is 0: the swap area is empty"),
            Self::BeyondDevice { last_page, device_pages } => {
                write!(formatter, "last_page {last_page} is beyond the device of {device_pages} pages")
            }
            Self::BadPagesOnFile(count) => write!(formatter, "nr_badpages is {count} on a regular file"),
            Self::TooManyBadPages(count) => write!(formatter, "nr_badpages {count} is more than {BAD_PAGES_MAX}"),
            Self::BadPageIsHeader => formatter.write_str("badpages lists page 0, the header"),
            Self::BadPageBeyondEnd { page, last_page } => {
                write!(formatter, "badpages lists page {page}, beyond last_page {last_page}")
            }
            Self::BadPageTwice(page) => write!(formatter, "badpages lists page {page} twice"),
            Self::NothingUsable { last_page } => write!(formatter, "badpages lists all {last_page} pages"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// `N` bytes of a page. The offsets are this module's constants, so the range is always inside.
fn array<const N: usize>(page: &Page, offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&page[offset..offset + N]);
    bytes
}

fn put(page: &mut Page, offset: usize, bytes: &[u8]) {
    page[offset..offset + bytes.len()].copy_from_slice(bytes);
}
