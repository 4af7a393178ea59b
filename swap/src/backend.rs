//! Types of backends, and the options that an area gives them.

use alloc::sync::Arc;
use core::fmt;

use crate::disk::Disk;
use crate::extension::{BackendOptions, TypeName};
use crate::header::BadPages;
use crate::heap::NoMemory;
use crate::machine::Machine;
use crate::ops::SwapOps;

/// A type of backend that headers can name.
pub trait BackendType<M: Machine>: Send + Sync {
    /// The versions of stored data that it understands.
    fn versions(&self) -> core::ops::RangeInclusive<u32>;

    /// Whether `swapon` may set the option differently from the header, as far as this type is concerned.
    fn is_overridable(&self, _key: &str) -> bool {
        false
    }

    /// Whether a file can be its area: it moves pages of its own slots alone, by the area's extents.
    fn works_in_file(&self) -> bool {
        false
    }

    /// A backend for an area.
    ///
    /// # Errors
    /// If an option is unknown or has a wrong value, or memory does not suffice.
    fn open(&self, opening: &Opening<'_, M>, settings: &Settings<'_>) -> Result<Arc<dyn SwapOps<M>>, BackendError>;
}

/// The area that a backend is opened for.
pub struct Opening<'a, M: Machine> {
    /// Its disk.
    pub disk: &'a Arc<dyn Disk<M>>,
    /// The pages that its header speaks of, the header's own included.
    pub pages: u64,
    /// Those of them that must not be used.
    pub bad_pages: BadPages<'a>,
    /// The area is a file: its pages are where its extents say, and the others of the disk belong to its file system.
    pub is_file: bool,
    pub(crate) types: &'a dyn Types<M>,
}

/// Where backends are opened by their types.
pub(crate) trait Types<M: Machine> {
    fn open(
        &self,
        opening: &Opening<'_, M>,
        backend: TypeName,
        settings: &Settings<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError>;
}

impl<M: Machine> Opening<'_, M> {
    /// The backend of this type for the same area, to hand batches on to.
    ///
    /// # Errors
    /// As for an area whose header names that type with these settings.
    pub fn below(&self, backend: &str, settings: &Settings<'_>) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        self.types.open(self, cut(backend), settings)
    }
}

/// The options of a backend: those of the header, where `swapon` did not override them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// The version of what is stored.
    pub version: u32,
    header: BackendOptions<'a>,
    swapon: BackendOptions<'a>,
    /// Options that belong to backends above.
    hidden: [&'a [&'a str]; 2],
}

/// Why an area gets no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendError {
    /// The header names a type that is not registered.
    UnknownType(TypeName),
    /// The header names a version that its type does not understand.
    UnknownVersion(TypeName, u32),
    /// The header names a type that only a whole disk can have ([`BackendType::works_in_file`]).
    NotInFile(TypeName),
    /// There is no such option, or it cannot have that value; the option is cut off after 16 bytes.
    Option(TypeName),
    /// The header lists so many bad pages, and the type cannot do without any.
    BadPages(usize),
    /// The area has so many pages, and needs this many.
    TooSmall {
        /// Those of the header.
        pages: u64,
        /// The fewest that will do.
        least: u64,
    },
    /// `swapon` sets an option that only the header may; the option is cut off after 16 bytes.
    NotOverridable(TypeName),
    /// No memory for the backend.
    NoMemory,
}

/// The type that an area without an extension has.
pub const BLOCK_TYPE: &str = "block";

impl<'a> Settings<'a> {
    pub(crate) fn new(version: u32, header: BackendOptions<'a>, swapon: BackendOptions<'a>) -> Self {
        Self { version, header, swapon, hidden: [&[]; 2] }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        if self.is_hidden(key) {
            return None;
        }
        self.swapon.get(key).or_else(|| self.header.get(key))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.header.iter().chain(self.swapon.iter()).map(|(key, _)| key).filter(|key| !self.is_hidden(key))
    }

    /// Those of `swapon`.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = &'a str> {
        self.swapon.iter().map(|(key, _)| key).filter(|key| !self.is_hidden(key))
    }

    /// What is left for a backend of `version` below one that has the options `keys`, and below at most one more.
    #[must_use]
    pub fn for_below(self, version: u32, keys: &'a [&'a str]) -> Self {
        let [above, _] = self.hidden;
        Self { version, hidden: [keys, above], ..self }
    }

    fn is_hidden(&self, key: &str) -> bool {
        self.hidden.iter().any(|keys| keys.contains(&key))
    }
}

impl BackendError {
    /// The error for the option `key`.
    pub fn option(key: &str) -> Self {
        Self::Option(cut(key))
    }

    /// The error for the option `key` that only the header may set.
    pub(crate) fn not_overridable(key: &str) -> Self {
        Self::NotOverridable(cut(key))
    }
}

fn cut(key: &str) -> TypeName {
    TypeName::new(&key[..key.floor_char_boundary(16)]).unwrap_or(const { TypeName::new("").unwrap() })
}

impl fmt::Display for BackendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(name) => write!(formatter, "backend type \"{name}\" is not known"),
            Self::UnknownVersion(name, version) => {
                write!(formatter, "version {version} of backend type \"{name}\" is not known")
            }
            Self::NotInFile(name) => write!(formatter, "backend type \"{name}\" cannot be in a file"),
            Self::Option(key) => write!(formatter, "the backend has no option \"{key}\" or not with this value"),
            Self::BadPages(count) => write!(formatter, "nr_badpages is {count}: the backend needs every page"),
            Self::TooSmall { pages, least } => {
                write!(formatter, "last_page {} is too small: the backend needs {least} pages", pages.saturating_sub(1))
            }
            Self::NotOverridable(key) => write!(formatter, "option \"{key}\" cannot be set by swapon"),
            Self::NoMemory => formatter.write_str("no memory for the backend"),
        }
    }
}

impl core::error::Error for BackendError {}

impl From<NoMemory> for BackendError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
