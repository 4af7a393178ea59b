//! The stack that a process sets aside for handlers: `sigaltstack(2)`.

use linux_raw_sys::general as linux;

/// A stack for handlers, in the form of Linux's `stack_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlternateStack {
    /// Its lowest address.
    pub base: u64,
    /// `SS_AUTODISARM`, and `SS_DISABLE` when there is none.
    pub flags: u32,
    /// Its bytes.
    pub bytes: u64,
}

/// Why a stack for handlers was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlternateStackError {
    /// The process runs on the one that it has.
    InUse,
    /// Flags that there are not.
    Flags,
    /// A signal's frame does not fit.
    TooSmall,
}

impl AlternateStack {
    /// The bytes of the structure.
    pub const BYTES: usize = 24;
    /// No stack.
    pub const NONE: Self = Self { base: 0, flags: linux::SS_DISABLE, bytes: 0 };

    /// The stack that a program's `bytes` say.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |index: usize| u64::from_le_bytes(words[index]);
        Self { base: word(0), flags: word(1) as u32, bytes: word(2) }
    }

    /// The structure's bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.base, u64::from(self.flags), self.bytes];
        for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// Whether `stack_pointer` is in it. One that disarms itself is never in use: it is gone while a handler runs.
    pub fn holds(self, stack_pointer: u64) -> bool {
        self.flags & linux::SS_AUTODISARM == 0 && stack_pointer > self.base && stack_pointer - self.base <= self.bytes
    }

    /// What the process is told of it, whose stack pointer is `stack_pointer`.
    #[must_use]
    pub fn seen_from(self, stack_pointer: u64) -> Self {
        let in_use = if self.holds(stack_pointer) { linux::SS_ONSTACK } else { 0 };
        Self { flags: self.flags | in_use, ..self }
    }

    /// Puts `new` in its place, if it can hold `frame_bytes`.
    ///
    /// # Errors
    /// [`AlternateStackError`].
    pub fn replace(&mut self, new: Self, stack_pointer: u64, frame_bytes: u64) -> Result<(), AlternateStackError> {
        if self.holds(stack_pointer) {
            return Err(AlternateStackError::InUse);
        }
        match new.flags & !linux::SS_AUTODISARM {
            linux::SS_DISABLE => *self = Self { flags: new.flags, ..Self::NONE },
            0 | linux::SS_ONSTACK if new.bytes < frame_bytes.max(u64::from(linux::MINSIGSTKSZ)) => {
                return Err(AlternateStackError::TooSmall);
            }
            0 | linux::SS_ONSTACK => *self = Self { flags: new.flags & linux::SS_AUTODISARM, ..new },
            _ => return Err(AlternateStackError::Flags),
        }
        Ok(())
    }

    /// Where a frame begins to grow down when a handler that wants this stack is called at `stack_pointer`; `None` when
    /// it has to stay where it is.
    pub(super) fn top_for(self, stack_pointer: u64) -> Option<u64> {
        (self.bytes != 0 && !self.holds(stack_pointer)).then(|| self.base.wrapping_add(self.bytes))
    }
}
