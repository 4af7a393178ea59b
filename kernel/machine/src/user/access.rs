//! The kernel's accesses to what programs' pointers lead to. They may fault, sleep and swap in.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Fault, UserPtr, UserRange};
use crate::arch::user;

impl UserRange {
    /// Reads as many of its first bytes as `to` takes; `to` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been read.
    pub fn read(self, to: &mut [u8]) -> Result<(), Fault> {
        if to.len() > self.len() {
            return Err(Fault);
        }
        if user::copy_from(self.start().address(), to) { Ok(()) } else { Err(Fault) }
    }

    /// Writes `from` to its first bytes; `from` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been written.
    pub fn write(self, from: &[u8]) -> Result<(), Fault> {
        if from.len() > self.len() {
            return Err(Fault);
        }
        if user::copy_to(self.start().address(), from) { Ok(()) } else { Err(Fault) }
    }

    /// Reads as many of its first bytes as `to` takes, or those before the first page that cannot be read; returns how many.
    ///
    /// # Errors
    /// [`Fault`] if there are none; and as [`Self::read`].
    pub fn read_some(self, to: &mut [u8]) -> Result<usize, Fault> {
        if self.read(to).is_ok() {
            return Ok(to.len());
        }
        let mut rest = self.first(to.len());
        let mut bytes = 0_usize;
        while !rest.is_empty() {
            let end = bytes.saturating_add(rest.in_first_page());
            let part = to.get_mut(bytes..end).ok_or(Fault)?;
            if rest.read(part).is_err() {
                break;
            }
            rest = rest.behind(part.len());
            bytes = end;
        }
        if bytes > 0 { Ok(bytes) } else { Err(Fault) }
    }

    /// Makes sure that its bytes can be written now, without changing them, or those before the first page that cannot; returns how
    /// many. Who takes something away from somewhere, to write it there, would otherwise lose it.
    ///
    /// # Errors
    /// [`Fault`] if there are none although it is not empty.
    pub fn writable(self) -> Result<usize, Fault> {
        let mut rest = self;
        while !rest.is_empty() && user::touch(rest.start().address()) {
            rest = rest.behind(rest.in_first_page());
        }
        self.len().checked_sub(rest.len()).filter(|bytes| *bytes > 0 || self.is_empty()).ok_or(Fault)
    }
}

impl UserPtr<u32> {
    /// Reads the number that it points to in one load, so that what another task stores there meanwhile is read as a whole
    /// or not at all. The load orders nothing: a caller that needs an order takes a lock around it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn load(self) -> Result<u32, Fault> {
        self.cast::<u8>().range(size_of::<u32>() as u64)?;
        user::load(self.address()).ok_or(Fault)
    }

    /// Replaces the number that it points to by `new` if it is `expected`, in one step for all tasks; returns what was
    /// there.
    ///
    /// # Errors
    /// [`Fault`], also if it may only be read.
    pub fn compare_exchange(self, expected: u32, new: u32) -> Result<u32, Fault> {
        self.cast::<u8>().range(size_of::<u32>() as u64)?;
        user::compare_exchange(self.address(), expected, new).ok_or(Fault)
    }
}

impl UserPtr<u8> {
    /// Reads the bytes from here on into `to`.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been read.
    pub fn read_bytes(self, to: &mut [u8]) -> Result<(), Fault> {
        self.range(to.len() as u64)?.read(to)
    }

    /// Writes `from` to the bytes from here on.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been written.
    pub fn write_bytes(self, from: &[u8]) -> Result<(), Fault> {
        self.range(from.len() as u64)?.write(from)
    }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Reads what it points to.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(self) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        self.cast::<u8>().read_bytes(value.as_mut_bytes())?;
        Ok(value)
    }
}

impl<T: IntoBytes + Immutable + Copy> UserPtr<T> {
    /// Writes what it points to.
    ///
    /// # Errors
    /// [`Fault`]; part of it may have been written.
    pub fn write(self, value: T) -> Result<(), Fault> {
        self.cast::<u8>().write_bytes(value.as_bytes())
    }
}
