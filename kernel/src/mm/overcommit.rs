//! Whether memory may be promised that may not be there (Linux: `mm/util.c`, `__vm_enough_memory`).

use core::sync::atomic::{AtomicU8, Ordering};

use super::physical;
use crate::swap;

/// `vm.overcommit_memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Overcommit {
    /// Refuse only what could not fit if nothing else existed.
    Guess = 0,
    /// Refuse nothing.
    Always = 1,
    /// Refuse what does not fit into what is free now.
    Never = 2,
}

static MODE: AtomicU8 = AtomicU8::new(Overcommit::Guess as u8);

/// The mode.
pub fn mode() -> Overcommit {
    match MODE.load(Ordering::Relaxed) {
        1 => Overcommit::Always,
        2 => Overcommit::Never,
        _ => Overcommit::Guess,
    }
}

/// Sets the mode.
pub fn set_mode(mode: Overcommit) {
    MODE.store(mode as u8, Ordering::Relaxed);
}

/// Whether `pages` more private, writable pages may be mapped.
///
/// Linux's strict mode keeps a sum of all promises; Quire's compares with what is free, which a program that maps and does not
/// touch can exceed.
pub fn allows(pages: u64) -> bool {
    let (total, free) = swap::core().totals();
    match mode() {
        Overcommit::Always => true,
        Overcommit::Guess => pages <= physical::managed_frames() as u64 + total,
        Overcommit::Never => pages <= physical::free_frames() as u64 + free,
    }
}
