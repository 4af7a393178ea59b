//! Access to the user half from the kernel: the only code that may touch a user page, by way of [`UserPtr`] and
//! [`UserRange`], whose methods are here.
//!
//! An access may fault, sleep and swap in. If the fault cannot be served, the fault handler continues at the routine's
//! recovery address and the copy reports failure; nothing is unwound and nothing leaks. With SMAP, the routine sets the
//! alignment-check flag that opens the user half for just its own instructions, and trap entry closes it again.

use core::arch::global_asm;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::user::{Fault, UserPtr, UserRange};

global_asm!(
    ".global quire_user_copy, quire_user_copy_end, quire_user_touch, quire_user_touch_end, quire_user_copy_failed",
    ".global quire_user_load, quire_user_load_end, quire_user_exchange, quire_user_exchange_end",
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
    // rdi address of four bytes, rsi where they go: one load.
    "quire_user_load:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "mov eax, [rdi]",
    "quire_user_load_end:",
    "mov [rsi], eax",
    "xor eax, eax",
    "popfq",
    "ret",
    // rdi address of four bytes, rsi where what was there goes, edx what is expected, ecx what replaces that.
    "quire_user_exchange:",
    "pushfq",
    "pushfq",
    "or dword ptr [rsp], 0x40000",
    "popfq",
    "mov eax, edx",
    "lock cmpxchg [rdi], ecx",
    "quire_user_exchange_end:",
    "mov [rsi], eax",
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
    fn quire_user_load(address: u64, to: *mut u32) -> u64;
    fn quire_user_load_end();
    fn quire_user_exchange(address: u64, found: *mut u32, expected: u32, new: u32) -> u64;
    fn quire_user_exchange_end();
    fn quire_user_copy_failed();
}

/// Where a kernel fault at `instruction` continues if it cannot be served; `None` when the kernel may not fault there.
pub fn recovery_address(instruction: u64) -> Option<u64> {
    let routines = [
        (quire_user_copy as *const (), quire_user_copy_end as *const ()),
        (quire_user_touch as *const (), quire_user_touch_end as *const ()),
        (quire_user_load as *const (), quire_user_load_end as *const ()),
        (quire_user_exchange as *const (), quire_user_exchange_end as *const ()),
    ];
    let may_fault = routines.iter().any(|(start, end)| (*start as u64..*end as u64).contains(&instruction));
    may_fault.then_some(quire_user_copy_failed as *const () as u64)
}

impl UserRange {
    /// Reads as many of its first bytes as `to` takes; `to` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been read.
    pub fn read(self, to: &mut [u8]) -> Result<(), Fault> {
        if to.len() > self.len() {
            return Err(Fault);
        }
        // SAFETY: the destination is a live slice of initialised bytes; the source is in the user half, whose bytes are
        // plain data, and a fault there is recovered from.
        let failed = unsafe { quire_user_copy(to.as_mut_ptr() as u64, self.start().address(), to.len() as u64) };
        if failed == 0 { Ok(()) } else { Err(Fault) }
    }

    /// Writes `from` to its first bytes; `from` must not be longer.
    ///
    /// # Errors
    /// [`Fault`]; part of the bytes may have been written.
    pub fn write(self, from: &[u8]) -> Result<(), Fault> {
        if from.len() > self.len() {
            return Err(Fault);
        }
        // SAFETY: the source is a live slice; the destination is in the user half, which no Rust object of the kernel
        // occupies, and a fault there is recovered from.
        let failed = unsafe { quire_user_copy(self.start().address(), from.as_ptr() as u64, from.len() as u64) };
        if failed == 0 { Ok(()) } else { Err(Fault) }
    }

    /// Makes sure that its first byte, if there is one, can be written now, without changing it: who takes something away
    /// from somewhere, to write it there, would otherwise lose it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn touch(self) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        // SAFETY: the address is in the user half, which no Rust object of the kernel occupies; a fault there is recovered
        // from.
        if unsafe { quire_user_touch(self.start().address()) } == 0 { Ok(()) } else { Err(Fault) }
    }
}

impl UserPtr<u32> {
    /// Reads the number that it points to in one load, so that what another task stores there meanwhile is read as a whole
    /// or not at all. The load orders nothing: whoever needs an order takes a lock around it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn load(self) -> Result<u32, Fault> {
        self.cast::<u8>().range(size_of::<u32>() as u64)?;
        let mut found = 0;
        // SAFETY: `found` outlives the call; the address is in the user half, whose bytes are plain data, and a fault
        // there is recovered from.
        let failed = unsafe { quire_user_load(self.address(), &raw mut found) };
        if failed == 0 { Ok(found) } else { Err(Fault) }
    }

    /// Replaces the number that it points to by `new` if it is `expected`, in one step for all tasks; returns what was
    /// there.
    ///
    /// # Errors
    /// [`Fault`], also if it may only be read.
    pub fn compare_exchange(self, expected: u32, new: u32) -> Result<u32, Fault> {
        self.cast::<u8>().range(size_of::<u32>() as u64)?;
        let mut found = 0;
        // SAFETY: `found` outlives the call; the address is in the user half, which no Rust object of the kernel
        // occupies, and a fault there is recovered from.
        let failed = unsafe { quire_user_exchange(self.address(), &raw mut found, expected, new) };
        if failed == 0 { Ok(found) } else { Err(Fault) }
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
