//! Lines of the log that a device or a program can cause again and again: ten in five seconds, then none, and then again
//! (Linux: `lib/ratelimit.c`, with its defaults).
//!
//! # Invariants
//!
//! One word is the whole state, so a line is decided on without a lock, by whichever task comes first.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::machine::{Level, Machine};

/// How long the lines of a burst count together (Linux: `DEFAULT_RATELIMIT_INTERVAL`).
const INTERVAL: Duration = Duration::from_secs(5);
/// The lines that are written in this time (Linux: `DEFAULT_RATELIMIT_BURST`).
const BURST: u8 = 10;

/// How many lines of one kind were written lately, and how many were not.
#[derive(Debug, Default)]
pub struct RateLimit(AtomicU64);

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is written; so many before it were not, of which none has been told yet.
    Written {
        /// The lines that were left out.
        suppressed: u32,
    },
    /// It is left out.
    LeftOut,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// When the burst began, in milliseconds; wraps.
    begin: u32,
    /// Lines since then; 0 before the first ever.
    written: u8,
    /// At most `MOST_SUPPRESSED`.
    suppressed: u32,
}

const MOST_SUPPRESSED: u32 = (1 << 24) - 1;

impl State {
    const fn from_word(word: u64) -> Self {
        Self { begin: (word >> 32) as u32, written: (word >> 24) as u8, suppressed: word as u32 & MOST_SUPPRESSED }
    }

    const fn to_word(self) -> u64 {
        (self.begin as u64) << 32 | (self.written as u64) << 24 | self.suppressed as u64
    }

    /// The state after a line at `now`, and what becomes of the line.
    fn after(self, now: u32) -> (Self, Line) {
        let is_over = u128::from(now.wrapping_sub(self.begin)) > INTERVAL.as_millis();
        if self.written == 0 || is_over {
            let line = Line::Written { suppressed: self.suppressed };
            return (Self { begin: now, written: 1, suppressed: 0 }, line);
        }
        if self.written < BURST {
            return (Self { written: self.written + 1, ..self }, Line::Written { suppressed: 0 });
        }
        let suppressed = (self.suppressed + 1).min(MOST_SUPPRESSED);
        (Self { suppressed, ..self }, Line::LeftOut)
    }
}

impl RateLimit {
    /// Nothing was written yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What becomes of a line at `now`, by a clock that never goes back.
    pub fn line(&self, now: Duration) -> Line {
        let now = now.as_millis() as u32;
        let step = |word| Some(State::from_word(word).after(now).0.to_word());
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_else(|word| word);
        State::from_word(before).after(now).1
    }

    /// Writes a line, or counts it; the next that is written says of `what` how many were not.
    /// Writes a line, unless there were too many lately.
    pub fn log<M: Machine>(&self, what: &str, level: Level, message: fmt::Arguments<'_>) {
        let Line::Written { suppressed } = self.line(M::now()) else { return };
        if suppressed > 0 {
            M::log(Level::Warning, format_args!("{what}: {suppressed} lines suppressed"));
        }
        M::log(level, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Line = Line::Written { suppressed: 0 };

    fn at(limit: &RateLimit, milliseconds: u64) -> Line {
        limit.line(Duration::from_millis(milliseconds))
    }

    #[test]
    fn ten_lines_in_five_seconds_and_then_again() {
        let limit = RateLimit::new();
        for line in 0..10 {
            assert_eq!(at(&limit, 1000 + line), WRITTEN, "line {line}");
        }
        for late in [1010, 3000, 6000] {
            assert_eq!(at(&limit, late), Line::LeftOut, "the burst began at 1000");
        }
        assert_eq!(at(&limit, 6001), Line::Written { suppressed: 3 });
        for line in 1..10 {
            assert_eq!(at(&limit, 6001), WRITTEN, "line {line} of the second burst");
        }
        assert_eq!(at(&limit, 6001), Line::LeftOut);
    }

    #[test]
    fn a_burst_that_was_not_used_up_is_forgotten() {
        let limit = RateLimit::new();
        for second in 0..100 {
            assert_eq!(at(&limit, second * 600), WRITTEN);
        }
    }

    #[test]
    fn the_clock_may_wrap_and_the_count_does_not() {
        let limit = RateLimit::new();
        let wraps = u64::from(u32::MAX);
        (0..10).for_each(|_| assert_eq!(at(&limit, wraps - 1000), WRITTEN));
        assert_eq!(at(&limit, wraps + 3000), Line::LeftOut);
        assert_eq!(at(&limit, wraps + 5000), Line::Written { suppressed: 1 });
        let full = State { begin: 7, written: BURST, suppressed: MOST_SUPPRESSED };
        assert_eq!(full.after(8), (full, Line::LeftOut));
        assert_eq!(State::from_word(full.to_word()), full);
    }
}
