//! Access to the user half from the kernel: the only code that may touch a user page.
//!
//! An access may fault, sleep and swap in. If the fault cannot be served, the fault handler continues at the routine's
//! recovery address and the copy reports failure; nothing is unwound and nothing leaks. With SMAP, the routine sets the
//! alignment-check flag that opens the user half for just its own instructions, and trap entry closes it again.

use core::arch::global_asm;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::USER_END;
pub use crate::user::Fault;
use crate::user::{UserPtr, UserRange};

global_asm!(
    ".global quire_user_copy, quire_user_copy_end, quire_user_touch, quire_user_touch_end, quire_user_copy_failed",
    // rdi destination, rsi source, rdx bytes; returns the bytes that were not copied.
    "quire_user_copy:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "cld",
    "mov rcx, rdx",
    "shr rcx, 3",
    "and edx, 7",
    "rep movsq",
    "mov ecx, edx",
    "rep movsb",
    "quire_user_copy_end:",
    "xor eax, eax",
    "popfq",
    "ret",
    // rdi address; writes there what is there. Leaves the stack as the copy does.
    "quire_user_touch:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "lock or byte ptr [rdi], 0",
    "quire_user_touch_end:",
    "xor eax, eax",
    "popfq",
    "ret",
    "quire_user_copy_failed:",
    "mov eax, 1",
    "popfq",
    "ret",
);

unsafe extern "C" {
    fn quire_user_copy(destination: u64, source: u64, bytes: u64) -> u64;
    fn quire_user_copy_end();
    fn quire_user_touch(address: u64) -> u64;
    fn quire_user_touch_end();
    fn quire_user_copy_failed();
}

/// Where a kernel fault at `instruction` continues if it cannot be served; `None` when the kernel may not fault there.
pub fn recovery_address(instruction: u64) -> Option<u64> {
    let copy = quire_user_copy as *const () as u64..quire_user_copy_end as *const () as u64;
    let touch = quire_user_touch as *const () as u64..quire_user_touch_end as *const () as u64;
    (copy.contains(&instruction) || touch.contains(&instruction)).then_some(quire_user_copy_failed as *const () as u64)
}

fn is_user(address: u64, bytes: usize) -> bool {
    address.checked_add(bytes as u64).is_some_and(|end| end <= USER_END)
}

/// Copies `from` to the current address space at `address`.
///
/// # Errors
/// [`Fault`]; part of the bytes may have been written.
pub fn write(address: u64, from: &[u8]) -> Result<(), Fault> {
    if !is_user(address, from.len()) {
        return Err(Fault);
    }
    // SAFETY: the source is a live slice; the destination is in the user half, which no Rust object of the kernel
    // occupies, and a fault there is recovered from.
    let failed = unsafe { quire_user_copy(address, from.as_ptr() as u64, from.len() as u64) };
    if failed == 0 { Ok(()) } else { Err(Fault) }
}

/// Copies from the current address space at `address` into `to`.
///
/// # Errors
/// [`Fault`]; part of the bytes may have been read.
pub fn read(address: u64, to: &mut [u8]) -> Result<(), Fault> {
    if !is_user(address, to.len()) {
        return Err(Fault);
    }
    // SAFETY: the destination is a live slice of initialised bytes; the source is in the user half, whose bytes are
    // plain data, and a fault there is recovered from.
    let failed = unsafe { quire_user_copy(to.as_mut_ptr() as u64, address, to.len() as u64) };
    if failed == 0 { Ok(()) } else { Err(Fault) }
}

/// Reads a word of the current address space.
///
/// # Errors
/// [`Fault`].
pub fn read_word(address: u64) -> Result<u64, Fault> {
    let mut word = [0; 8];
    read(address, &mut word)?;
    Ok(u64::from_le_bytes(word))
}

/// Writes a word of the current address space.
///
/// # Errors
/// [`Fault`].
pub fn write_word(address: u64, word: u64) -> Result<(), Fault> {
    write(address, &word.to_le_bytes())
}

/// Makes sure that the byte at `address` can be written now, without changing it: who takes something away from somewhere, to
/// write it there, would otherwise lose it.
///
/// # Errors
/// [`Fault`].
pub fn touch(address: u64) -> Result<(), Fault> {
    if !is_user(address, 1) {
        return Err(Fault);
    }
    // SAFETY: the address is in the user half, which no Rust object of the kernel occupies; a fault there is recovered from.
    if unsafe { quire_user_touch(address) } == 0 { Ok(()) } else { Err(Fault) }
}

impl<T: FromBytes + IntoBytes + Immutable> UserPtr<T> {
    /// Reads what it points to.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(self) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        read(self.address(), value.as_mut_bytes())?;
        Ok(value)
    }
}

impl<T: IntoBytes + Immutable> UserPtr<T> {
    /// Writes what it points to.
    ///
    /// # Errors
    /// [`Fault`]; part of it may have been written.
    pub fn write(self, value: T) -> Result<(), Fault> {
        write(self.address(), value.as_bytes())
    }
}

impl UserPtr<u8> {
    /// Reads the bytes from here on into `to`.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been read.
    pub fn read_bytes(self, to: &mut [u8]) -> Result<(), Fault> {
        read(self.address(), to)
    }

    /// Writes `from` to the bytes from here on.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been written.
    pub fn write_bytes(self, from: &[u8]) -> Result<(), Fault> {
        write(self.address(), from)
    }
}

impl UserRange {
    /// Reads as many of its first bytes as `to` takes; `to` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been read.
    pub fn read(self, to: &mut [u8]) -> Result<(), Fault> {
        if to.len() > self.len() { Err(Fault) } else { read(self.start().address(), to) }
    }

    /// Writes `from` to its first bytes; `from` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been written.
    pub fn write(self, from: &[u8]) -> Result<(), Fault> {
        if from.len() > self.len() { Err(Fault) } else { write(self.start().address(), from) }
    }

    /// Makes sure that its first byte, if there is one, can be written now, without changing it: who takes something away
    /// from somewhere, to write it there, would otherwise lose it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn touch(self) -> Result<(), Fault> {
        if self.is_empty() { Ok(()) } else { touch(self.start().address()) }
    }
}
