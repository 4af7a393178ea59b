//! Where the FS and the GS segment of a processor's program begin.

use std::sync::atomic::{AtomicU64, Ordering};

use super::cpu::{self, MOST_PROCESSORS};

static BASES: [[AtomicU64; 2]; MOST_PROCESSORS] = [const { [const { AtomicU64::new(0) }; 2] }; MOST_PROCESSORS];

fn base(segment: usize) -> &'static AtomicU64 {
    &BASES[cpu::this().number()][segment]
}

/// Where FS begins.
pub fn fs() -> u64 {
    base(0).load(Ordering::Relaxed)
}

/// Has FS begin at `base`.
pub fn set_fs(base: u64) {
    self::base(0).store(base, Ordering::Relaxed);
}

/// Where GS begins.
pub fn gs() -> u64 {
    base(1).load(Ordering::Relaxed)
}

/// Has GS begin at `base`.
pub fn set_gs(base: u64) {
    self::base(1).store(base, Ordering::Relaxed);
}
