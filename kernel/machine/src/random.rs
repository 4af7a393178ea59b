//! Random numbers for programs and for the kernel: `ChaCha20`, seeded once.
//!
//! The seed comes from the processor's own generator where it has one (`rdrand`), and always from how long small pieces of
//! work take by the time-stamp counter. On a machine without `rdrand` that is little: nothing that must stay secret should
//! rest on it.

use core::arch::asm;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::clock;
use crate::sync::{Rank, SpinLock};

static GENERATOR: SpinLock<Option<ChaCha20Rng>> = SpinLock::new(Rank::Random, None);

/// How many measurements go into a word of the seed.
const MEASUREMENTS: u32 = 64;

/// Fills `bytes` with random ones.
pub fn fill(bytes: &mut [u8]) {
    GENERATOR.lock().get_or_insert_with(|| ChaCha20Rng::from_seed(seed())).fill_bytes(bytes);
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for word in seed.as_chunks_mut::<8>().0 {
        *word = (hardware().unwrap_or(0) ^ jitter()).to_le_bytes();
    }
    seed
}

/// A word from the processor's generator, if it has one that answers.
fn hardware() -> Option<u64> {
    const RDRAND: u32 = 1 << 30;
    /// Intel's manual: ten attempts in a row do not fail on a working processor.
    const ATTEMPTS: u32 = 10;
    if core::arch::x86_64::__cpuid(1).ecx & RDRAND == 0 {
        return None;
    }
    (0..ATTEMPTS).find_map(|_| {
        let (word, answered): (u64, u8);
        // SAFETY: the processor has the instruction, which changes nothing but its result and the flags.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) word, out(reg_byte) answered, options(nomem, nostack)) };
        (answered == 1).then_some(word)
    })
}

fn jitter() -> u64 {
    (0..MEASUREMENTS).fold(0, |word: u64, _| {
        // The multiplier of Knuth's MMIX generator spreads each measurement over the word.
        word.rotate_left(7).wrapping_mul(6_364_136_223_846_793_005) ^ clock::counter()
    })
}
