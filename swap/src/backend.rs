//! Which backend an area gets: the header's choice, else the driver's, else the block backend.

use alloc::sync::Arc;
use core::fmt;

use crate::disk::{BlockBackend, Disk, SynchronousBlockBackend};
use crate::extension::{BackendOptions, Extension, TypeName};
use crate::heap::{self, NoMemory};
use crate::machine::Machine;
use crate::ops::SwapOps;
use crate::swap::Swap;

/// A type of backend that headers can name.
pub trait BackendType<M: Machine>: Send + Sync {
    /// The versions of stored data that it understands.
    fn versions(&self) -> core::ops::RangeInclusive<u32>;

    /// The options that `swapon` may set differently from the header.
    fn overridable(&self) -> &[&str] {
        &[]
    }

    /// A backend for an area on `disk`.
    ///
    /// # Errors
    /// If an option is unknown or has a wrong value, or memory does not suffice.
    fn open(&self, disk: &Arc<dyn Disk<M>>, settings: &Settings<'_>) -> Result<Arc<dyn SwapOps<M>>, BackendError>;
}

/// The options of a backend: those of the header, where `swapon` did not override them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// The version of what is stored.
    pub version: u32,
    header: BackendOptions<'a>,
    swapon: BackendOptions<'a>,
}

/// Why an area gets no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendError {
    /// The header names a type that nobody registered.
    UnknownType(TypeName),
    /// The header names a version that its type does not understand.
    UnknownVersion(TypeName, u32),
    /// There is no such option, or it cannot have that value; the option is cut off after 16 bytes.
    Option(TypeName),
    /// `swapon` sets an option that only the header may; the option is cut off after 16 bytes.
    NotOverridable(TypeName),
    /// No memory for the backend.
    NoMemory,
}

/// The type that an area without an extension has.
pub const BLOCK_TYPE: &str = "block";

/// Its one version: a page of the area is a page of the disk.
const BLOCK_VERSION: u32 = 1;

/// The block backend's one option: `auto` lets the device say whether it is synchronous, `no` treats it as if it were not.
const SYNCHRONOUS: &str = "synchronous";

impl<'a> Settings<'a> {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.swapon.get(key).or_else(|| self.header.get(key))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.header.iter().chain(self.swapon.iter()).map(|(key, _)| key)
    }
}

impl BackendError {
    /// The error for the option `key`.
    pub fn option(key: &str) -> Self {
        Self::Option(cut(key))
    }
}

impl<M: Machine> Swap<M> {
    pub(crate) fn backend(
        &self,
        disk: &Arc<dyn Disk<M>>,
        extension: Option<Extension<'_>>,
        overrides: BackendOptions<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        let block = Extension {
            backend: const { TypeName::new(BLOCK_TYPE).unwrap() },
            version: BLOCK_VERSION,
            options: BackendOptions(""),
        };
        let Extension { backend, version, options } = extension.unwrap_or(block);
        let settings = Settings { version, header: options, swapon: overrides };
        let check = |versions: core::ops::RangeInclusive<u32>, overridable: &[&str]| {
            if !versions.contains(&version) {
                return Err(BackendError::UnknownVersion(backend, version));
            }
            match overrides.iter().find(|(key, _)| !overridable.contains(key)) {
                Some((key, _)) => Err(BackendError::NotOverridable(cut(key))),
                None => Ok(()),
            }
        };
        if backend == block.backend {
            check(BLOCK_VERSION..=BLOCK_VERSION, &[SYNCHRONOUS])?;
            return self.block_backend(disk, &settings);
        }
        let opener = self.types.find(|name| TypeName::new(name) == Some(backend));
        let opener = opener.ok_or(BackendError::UnknownType(backend))?;
        check(opener.versions(), opener.overridable())?;
        opener.open(disk, &settings)
    }

    fn block_backend(
        &self,
        disk: &Arc<dyn Disk<M>>,
        settings: &Settings<'_>,
    ) -> Result<Arc<dyn SwapOps<M>>, BackendError> {
        if let Some(key) = settings.keys().find(|key| *key != SYNCHRONOUS) {
            return Err(BackendError::option(key));
        }
        let synchronous = match settings.get(SYNCHRONOUS) {
            None | Some("auto") => disk.properties().synchronous,
            Some("no") => false,
            Some(_) => return Err(BackendError::option(SYNCHRONOUS)),
        };
        let driver = self.drivers.find(|name| name == disk.driver().0);
        if let Some(ops) = driver.and_then(|driver| driver.swap_ops(disk)) {
            return Ok(ops);
        }
        Ok(if synchronous {
            heap::arc::<M, _>(SynchronousBlockBackend(Arc::clone(disk)))?
        } else {
            heap::arc::<M, _>(BlockBackend::new(Arc::clone(disk)))?
        })
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
            Self::Option(key) => write!(formatter, "the backend has no option \"{key}\" or not with this value"),
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
