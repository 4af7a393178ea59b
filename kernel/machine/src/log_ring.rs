//! The last lines of the log, in memory that is there from the first line on.
//!
//! A line is its length in two bytes, its time in microseconds in eight, its level in one, and its text. Lines have numbers, from 0; the
//! oldest go to make room for the newest.

use core::time::Duration;

/// The room for lines, in bytes.
pub const BYTES: usize = 16 << 10;
/// The longest text of a line; what is beyond is cut off.
pub const TEXT_MAX: usize = 1000;
const HEADER: usize = 11;

/// A line that is still kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// When it was written, since boot.
    pub time: Duration,
    /// Its level, in Linux's numbers.
    pub level: u8,
    /// How much of its text was copied, in bytes.
    pub length: usize,
}

/// The last lines.
#[derive(Debug)]
pub struct Ring {
    bytes: [u8; BYTES],
    /// Where the oldest line begins, and how many bytes are in use from there on.
    start: usize,
    used: usize,
    /// The number of the oldest line, and of the next one.
    oldest: u64,
    next: u64,
    /// How long the line is that is being written.
    text: usize,
}

impl Ring {
    /// No lines.
    pub const fn new() -> Self {
        Self { bytes: [0; BYTES], start: 0, used: 0, oldest: 0, next: 0, text: 0 }
    }

    /// Begins a line.
    pub fn begin(&mut self, time: Duration, level: u8) {
        while self.used + HEADER + TEXT_MAX > BYTES {
            self.forget_oldest();
        }
        self.text = 0;
        self.put(self.used + 2, &(time.as_micros() as u64).to_le_bytes());
        self.put(self.used + 10, &[level]);
    }

    /// Appends to the line.
    pub fn push(&mut self, text: &[u8]) {
        let text = &text[..text.len().min(TEXT_MAX - self.text)];
        self.put(self.used + HEADER + self.text, text);
        self.text += text.len();
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.put(self.used, &(self.text as u16).to_le_bytes());
        self.used += HEADER + self.text;
        self.next += 1;
    }

    /// Copies the oldest line of those with number `from` or more, as far as `text` has room.
    pub fn line(&self, from: u64, text: &mut [u8]) -> Option<Kept> {
        let mut at = 0;
        for number in self.oldest..self.next {
            let length = self.length_at(at);
            if number >= from {
                let (mut time, mut level) = ([0; 8], [0]);
                self.get(at + 2, &mut time);
                self.get(at + 10, &mut level);
                let (time, [level]) = (Duration::from_micros(u64::from_le_bytes(time)), level);
                let length = length.min(text.len());
                self.get(at + HEADER, &mut text[..length]);
                return Some(Kept { number, time, level, length });
            }
            at += HEADER + length;
        }
        None
    }

    fn forget_oldest(&mut self) {
        let length = HEADER + self.length_at(0);
        self.start = (self.start + length) % BYTES;
        self.used -= length;
        self.oldest += 1;
    }

    fn length_at(&self, at: usize) -> usize {
        let mut length = [0; 2];
        self.get(at, &mut length);
        usize::from(u16::from_le_bytes(length))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            self.bytes[(self.start + at + index) % BYTES] = *byte;
        }
    }

    fn get(&self, at: usize, bytes: &mut [u8]) {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = self.bytes[(self.start + at + index) % BYTES];
        }
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Kept, Ring, TEXT_MAX};

    proptest! {
        #[test]
        fn the_newest_lines_are_kept_whole(
            lines in prop::collection::vec((0u64..1 << 40, 0u8..8, prop::collection::vec(any::<u8>(), 0..1200)), 0..100)
        ) {
            let mut ring = Ring::new();
            for (time, level, text) in &lines {
                ring.begin(Duration::from_micros(*time), *level);
                let (first, second) = text.split_at(text.len() / 2);
                ring.push(first);
                ring.push(second);
                ring.end();
            }
            let mut buffer = [0; TEXT_MAX];
            let mut from = 0;
            let mut kept = 0;
            while let Some(Kept { number, time, level, length }) = ring.line(from, &mut buffer) {
                let (micros, written_level, text) = &lines[usize::try_from(number).expect("few lines")];
                prop_assert_eq!((time, level), (Duration::from_micros(*micros), *written_level));
                prop_assert_eq!(&buffer[..length], &text[..text.len().min(TEXT_MAX)]);
                prop_assert!(from == 0 || number == from, "no gaps");
                from = number + 1;
                kept += 1;
            }
            prop_assert!(lines.is_empty() || from == lines.len() as u64, "the newest is there");
            prop_assert!(kept >= lines.len().min(13), "as many as there is room for");
        }
    }
}
