//! Random numbers for programs and for the kernel: `ChaCha20`, seeded once.
//!
//! The seed comes from the processor's own generator where it has one (`rdrand`), and always from how long small pieces of
//! work take by the time-stamp counter. On a machine without `rdrand` that is little: nothing that must stay secret should
//! rest on it.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::arch::cpu;
use crate::clock;
use crate::sync::{Rank, SpinLock};

static GENERATOR: SpinLock<Option<ChaCha20Rng>> = SpinLock::new(Rank::Random, None);

/// How many measurements go into a word of the seed.
const MEASUREMENTS: u32 = 64;

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    GENERATOR.lock().get_or_insert_with(|| ChaCha20Rng::from_seed(seed())).fill_bytes(bytes);
}

/// Forgets the generator: what it gives next depends on the machine alone.
#[cfg(not(target_os = "none"))]
pub(crate) fn forget() {
    *GENERATOR.lock() = None;
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for word in seed.as_chunks_mut::<8>().0 {
        *word = (cpu::random_word().unwrap_or(0) ^ jitter()).to_le_bytes();
    }
    seed
}

fn jitter() -> u64 {
    (0..MEASUREMENTS).fold(0, |word: u64, _| {
        // The multiplier of Knuth's MMIX generator spreads each measurement over the word.
        word.rotate_left(7).wrapping_mul(6_364_136_223_846_793_005) ^ clock::counter()
    })
}
