//! Arguments by their kind: right ones, nearly right ones, and any.
//!
//! They lie at fixed addresses, so that the same choice is the same number each time.

use std::{fmt::Write, ptr};

use nix::libc;

use super::{
    draw::Draw,
    names::{OTHERS, OWN, READ_ONLY},
    playground::{FIRST_FILES, GROUND, GROUND_PAGES, LONGEST_FILE, WORDS, WORDS_BYTES, nothing, restore},
};
use crate::memory::PAGE;

/// What an argument is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A descriptor.
    File,
    /// A descriptor of the worker's own file.
    OwnFile,
    /// The terminal's descriptor.
    Terminal,
    /// A directory's descriptor, or the current directory.
    Directory,
    /// Any path.
    Path,
    /// A path that the worker may change, or take away.
    Own,
    /// One of these texts.
    Text(&'static [&'static str]),
    /// Memory to be read or written.
    Buffer,
    /// A structure of so many words.
    Words(usize),
    /// Buffers with their lengths.
    Vectors,
    /// Pointers to texts, with a null at the end.
    Strings,
    /// A time, for the most part a short one.
    Time,
    /// What to do on a signal.
    Action,
    /// Number, pointer or structure.
    Argument,
    /// How many bytes.
    Length,
    /// A place in a file.
    Offset,
    /// Any number, for the most part an edge.
    Number,
    /// A number below this, or an edge.
    Small(u64),
    /// This number, or an edge.
    Exactly(u64),
    /// Some of these bits.
    Bits(&'static [u64]),
    /// The same for opening: what is only to be read is only read.
    OpenBits(&'static [u64]),
    /// One of these numbers, or an edge.
    One(&'static [u64]),
    /// What a signal is sent to: the worker, its group, or nothing.
    Target,
    /// The worker, or no process.
    Process,
    /// A signal's number.
    Signal,
    /// A user or group.
    Id,
    /// Permissions.
    Mode,
    /// The address of a page.
    Address,
    /// How many bytes of pages.
    Span,
}

/// The arguments of one call, and the same for a person.
pub(super) struct Arguments {
    pub(super) values: [u64; 6],
    pub(super) text: String,
    draw: Draw,
    /// How much of the memory for structures is used.
    used: usize,
    /// Whether the path that was chosen is one that must not be written.
    is_read_only: bool,
}

impl Arguments {
    /// Chooses arguments of these kinds, and puts what they point to where it has to be.
    pub(super) fn choose(kinds: &[Kind], draw: Draw) -> Self {
        let mut chosen = Self { values: [0; 6], text: String::with_capacity(256), draw, used: 0, is_read_only: false };
        for (place, kind) in kinds.iter().enumerate() {
            if place > 0 {
                chosen.text.push_str(", ");
            }
            let before = chosen.text.len();
            let value = chosen.one(*kind);
            chosen.values[place] = value;
            if chosen.text.len() == before {
                let _ = write!(chosen.text, "{value:#x}");
            }
        }
        chosen
    }

    /// One argument. Those that are no number in the eyes of a person say what they are.
    fn one(&mut self, kind: Kind) -> u64 {
        match kind {
            Kind::File if self.draw.one_in(12) => self.draw.pick(&[!0, 1 << 31, 0, 1, 2, 1023, 1024, 1 << 32 | 5]),
            Kind::File if self.draw.one_in(4) => FIRST_FILES + self.draw.below(16),
            Kind::File => 3 + self.draw.below(FIRST_FILES - 3),
            Kind::OwnFile => 3 + self.draw.below(3),
            Kind::Terminal => 14,
            Kind::Directory if self.draw.one_in(3) => self.one(Kind::File),
            Kind::Directory => self.draw.pick(&[libc::AT_FDCWD.cast_unsigned().into(), !99, 6, 7]),
            Kind::Path => self.path(),
            Kind::Own => {
                let name = self.draw.pick(OWN);
                self.named(name)
            }
            Kind::Text(texts) => {
                let text = self.draw.pick(texts);
                self.named(text)
            }
            Kind::Buffer => self.buffer(),
            Kind::Words(count) => self.words(count),
            Kind::Vectors => self.vectors(),
            Kind::Strings => self.strings(),
            Kind::Time => self.time(),
            Kind::Action => self.action(),
            Kind::Argument => match self.draw.below(4) {
                0 => self.buffer(),
                1 => self.words(8),
                2 => self.draw.below(64),
                _ => self.draw.edge(),
            },
            Kind::Length => match self.draw.below(8) {
                0 => self.draw.edge(),
                1 => self.draw.below(1 << 20),
                _ => self.draw.below(9000),
            },
            Kind::Offset => match self.draw.below(4) {
                0 => self.draw.edge(),
                1 => self.draw.below(LONGEST_FILE / PAGE as u64) * PAGE as u64,
                _ => self.draw.below(20000),
            },
            Kind::Number => self.draw.edge(),
            Kind::Small(_) | Kind::Exactly(_) | Kind::One(_) if self.draw.one_in(16) => self.draw.edge(),
            Kind::Small(end) => self.draw.below(end),
            Kind::Exactly(value) => value,
            Kind::One(values) => self.draw.pick(values),
            Kind::Bits(_) | Kind::OpenBits(_) if self.draw.one_in(16) && !self.is_read_only => self.draw.edge(),
            Kind::OpenBits(_) if self.is_read_only => (libc::O_NONBLOCK | libc::O_NOCTTY) as u64,
            Kind::OpenBits(bits) => self.bits(bits) | libc::O_NONBLOCK as u64,
            Kind::Bits(bits) => self.bits(bits),
            Kind::Target => match self.draw.below(8) {
                0 => 0,
                1 => (1_u64 << 31).wrapping_neg(),
                2 => self.own_process().wrapping_neg(),
                _ => self.one(Kind::Process),
            },
            Kind::Process => match self.draw.below(8) {
                // None is -1 as an `int`: root's `kill` would meet those that watch.
                0 => self.draw.pick(&[0, 32_768, 1 << 31, 99_999, i64::MAX as u64 ^ 1 << 31]),
                1..4 => 0,
                _ => self.own_process(),
            },
            // Those that end the process come less often.
            Kind::Signal => match self.draw.below(16) {
                0 => self.draw.edge(),
                1 => 1 + self.draw.below(64),
                _ => self.draw.pick(&[0, 17, 18, 23, 28, 17, 18, 23]),
            },
            Kind::Id => self.draw.pick(&[0, 1000, 1000, 1001, 65534, !0, u64::from(u32::MAX), 1 << 31]),
            Kind::Mode => self.draw.pick(&[0o777, 0o644, 0o600, 0, 0o7777, 0o1777, 0o4755, !0]),
            Kind::Address => self.address(),
            Kind::Span => match self.draw.below(12) {
                0 => self.draw.edge(),
                1 => self.draw.pick(&[1 << 30, 1 << 36, 40_000 << 30, 1 << 46, 1 << 47]),
                2 => self.draw.below(64 * PAGE as u64),
                _ => self.draw.below(64) * PAGE as u64,
            },
        }
    }

    fn own_process(&mut self) -> u64 {
        self.text.push_str("self");
        u64::from(std::process::id())
    }

    fn bits(&mut self, bits: &[u64]) -> u64 {
        (0..self.draw.below(4)).fold(0, |all, _| all | self.draw.pick(bits))
    }

    /// One of the pages that the worker does everything with, or an address beside a page.
    fn address(&mut self) -> u64 {
        let page = GROUND as u64 + self.draw.below(GROUND_PAGES as u64) * PAGE as u64;
        match self.draw.below(16) {
            0 => self.draw.edge(),
            1 => page + self.draw.below(PAGE as u64),
            2 => 0,
            _ => page,
        }
    }

    /// Memory of every kind, or none.
    fn buffer(&mut self) -> u64 {
        match self.draw.below(12) {
            0 => self.bad_address(),
            1 => self.address() + PAGE as u64 - self.draw.below(16),
            2 => self.address(),
            _ => GROUND as u64 + self.draw.below(60 * PAGE as u64),
        }
    }

    fn bad_address(&mut self) -> u64 {
        const KERNEL: u64 = 0xffff_ffff_8000_0000;
        self.draw.pick(&[
            0,
            1,
            8,
            !0,
            !7,
            1 << 47,
            (1 << 47) - 8,
            1 << 63,
            0xffff_8000_0000_0000,
            KERNEL,
            KERNEL + 0x20_0000,
        ])
    }

    /// Room for so many bytes: in most cases there is, in some only for the first of them.
    fn room(&mut self, bytes: usize) -> usize {
        if self.draw.one_in(24) {
            return WORDS + WORDS_BYTES - self.draw.below(bytes as u64 + 1) as usize;
        }
        let place = self.used;
        self.used += bytes.next_multiple_of(16);
        assert!(self.used < WORDS_BYTES / 2, "the memory for structures is full");
        WORDS + place
    }

    /// Writes `bytes` as far as there is memory at `address`.
    fn put(address: usize, bytes: &[u8]) -> u64 {
        let room = (WORDS + WORDS_BYTES).saturating_sub(address).min(bytes.len());
        // SAFETY: the memory for structures is this process's alone, no reference to it exists, and `room` ends with it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), ptr::with_exposed_provenance_mut(address), room) };
        address as u64
    }

    fn put_words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Self::put(self.room(bytes.len()), &bytes)
    }

    fn words(&mut self, count: usize) -> u64 {
        if self.draw.one_in(8) {
            return self.buffer();
        }
        let words: Vec<u64> = (0..count)
            .map(|_| match self.draw.below(4) {
                0 => self.draw.edge(),
                1 => GROUND as u64 + self.draw.below(60 * PAGE as u64),
                2 => self.draw.below(64),
                _ => 0,
            })
            .collect();
        let _ = write!(self.text, "{words:x?}");
        self.put_words(&words)
    }

    fn vectors(&mut self) -> u64 {
        if self.draw.one_in(16) {
            return self.bad_address();
        }
        let vectors: Vec<u64> = (0..8)
            .flat_map(|_| {
                let length = if self.draw.one_in(16) { self.draw.edge() } else { self.draw.below(5000) };
                [self.buffer(), length]
            })
            .collect();
        let _ = write!(self.text, "{vectors:x?}");
        self.put_words(&vectors)
    }

    /// A path: it is what is opened or looked at.
    fn path(&mut self) -> u64 {
        let name = match self.draw.below(16) {
            0 => return self.bad_address(),
            1 => {
                let length = self.draw.pick(&[255, 256, 4094, 4095, 4096, 4097, 7000]);
                let part = self.draw.pick(&["x", "./", "d/../", "/", "x/"]);
                let path: Vec<u8> = part.bytes().cycle().take(length).chain([0]).collect();
                let _ = write!(self.text, "\"{part}\"*{length}");
                return Self::put(self.room(path.len()), &path);
            }
            2 => {
                self.is_read_only = true;
                self.draw.pick(READ_ONLY)
            }
            3..9 => self.draw.pick(OTHERS),
            _ => self.draw.pick(OWN),
        };
        self.named(name)
    }

    fn named(&mut self, name: &str) -> u64 {
        let _ = write!(self.text, "{name:?}");
        let text: Vec<u8> = name.bytes().chain([0]).collect();
        Self::put(self.room(text.len()), &text)
    }

    /// Few, many, long ones, none, and some that are no texts.
    fn strings(&mut self) -> u64 {
        let count = self.draw.pick(&[0, 1, 2, 3, 40]);
        let mut pointers: Vec<u64> = Vec::new();
        for _ in 0..count {
            pointers.push(match self.draw.below(24) {
                0 => self.bad_address(),
                1 => self.address(),
                _ => Self::put(self.room(8), b"word\0"),
            });
        }
        pointers.push(if self.draw.one_in(24) { self.draw.edge() } else { 0 });
        let _ = write!(self.text, "{pointers:x?}");
        self.put_words(&pointers)
    }

    fn time(&mut self) -> u64 {
        match self.draw.below(8) {
            0 => self.words(2),
            1 => 0,
            _ => {
                let nanoseconds = self.draw.below(3_000_000);
                self.put_words(&[0, nanoseconds])
            }
        }
    }

    /// What the kernel takes for a `sigaction`: handler, flags, where to return from it, mask.
    fn action(&mut self) -> u64 {
        const RESTORER: u64 = 0x0400_0000;
        let handler = match self.draw.below(8) {
            0 => self.draw.edge(),
            1 | 2 => 0,
            3 => 1,
            _ => nothing as extern "C" fn(libc::c_int) as usize as u64,
        };
        let flags = self.bits(&[1, 2, 4, 0x0800_0000, 0x1000_0000, 0x4000_0000, 0x8000_0000]) | RESTORER;
        let restorer = if self.draw.one_in(16) {
            self.draw.edge()
        } else {
            restore as unsafe extern "C" fn() -> ! as usize as u64
        };
        let mask = self.draw.edge();
        let _ = write!(self.text, "{{handler {}, {flags:#x}}}", if handler > 1 << 16 { "h" } else { "-" });
        self.put_words(&[handler, flags, restorer, mask])
    }
}
