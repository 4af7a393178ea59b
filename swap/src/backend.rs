//! Types of backends, and the options that an area gives them.

use alloc::sync::Arc;
use core::fmt;

use crate::disk::Disk;
use crate::extension::{BackendOptions, TypeName};
use crate::heap::NoMemory;
use crate::machine::Machine;
use crate::ops::SwapOps;

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
    /// The header names a type that is not registered.
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

impl<'a> Settings<'a> {
    pub(crate) fn new(version: u32, header: BackendOptions<'a>, swapon: BackendOptions<'a>) -> Self {
        Self { version, header, swapon }
    }

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
