//! Which algorithms a device compresses with: the attributes `comp_algorithm`, `recomp_algorithm` and
//! `algorithm_params`.
//!
//! What goes out is compressed by LZ4. Up to three more algorithms, in the order of their priorities, can compress again
//! what proved worth the time: deflate, at any of its levels. Deflate is not offered as the first one, because its
//! workspace of more than 300 KiB would be needed for every processor.

use quire_swap::heap::{self, NoMemory};

use super::error::ZramError;
use crate::machine::PoolMachine;

/// The algorithm of priority 0.
const FIRST: &str = "lz4";
/// The algorithm of the other priorities.
const STRONGER: &str = "deflate";
/// Longer names are refused before they are looked at (Linux: `CRYPTO_MAX_ALG_NAME`).
const NAME_MAX: usize = 128;
/// Priorities, the first included (Linux: `ZRAM_MAX_COMPS`).
pub(super) const PRIORITIES: u8 = 4;
/// The level without a parameter, as in zlib.
const LEVEL: u8 = 6;
const MOST_LEVEL: u8 = 9;

/// The levels of the stronger algorithms by priority, from 1; `None` where none was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Algorithms {
    levels: [Option<u8>; PRIORITIES as usize - 1],
}

/// The words of a value: each a key and what it is to be.
pub(super) fn pairs(value: &str) -> impl Iterator<Item = Result<(&str, &str), ZramError>> {
    value.split_ascii_whitespace().map(|word| word.split_once('=').ok_or(ZramError::Invalid))
}

impl Algorithms {
    pub(super) const NONE: Self = Self { levels: [None; PRIORITIES as usize - 1] };

    /// Whether anything can be compressed again.
    pub(super) fn any(self) -> bool {
        self.highest() > 0
    }

    /// The highest priority that has an algorithm.
    pub(super) fn highest(self) -> u8 {
        (1..PRIORITIES).rev().find(|priority| self.level(*priority).is_some()).unwrap_or(0)
    }

    /// The level of the algorithm of this priority.
    pub(super) fn level(self, priority: u8) -> Option<u8> {
        *self.levels.get(usize::from(priority).checked_sub(1)?)?
    }

    /// The lowest priority of the algorithm with this name, if it is not the first.
    pub(super) fn priority_of(self, name: &str) -> Option<u8> {
        (1..PRIORITIES).find(|priority| name == STRONGER && self.level(*priority).is_some())
    }

    /// What `comp_algorithm` says: the algorithms that there are, with the chosen one in brackets.
    pub(super) fn show_first<M: PoolMachine>(text: &mut heap::Text<M>) -> Result<(), NoMemory> {
        text.print(format_args!("[{FIRST}]\n"))
    }

    /// Checks a value for `comp_algorithm`.
    pub(super) fn check_first(name: &str) -> Result<(), ZramError> {
        check(name, FIRST)
    }

    /// What `recomp_algorithm` says: a line for each priority that has an algorithm.
    pub(super) fn show_stronger<M: PoolMachine>(self, text: &mut heap::Text<M>) -> Result<(), NoMemory> {
        let set = (1..PRIORITIES).filter(|priority| self.level(*priority).is_some());
        set.into_iter().try_for_each(|priority| text.print(format_args!("#{priority}: [{STRONGER}]\n")))
    }

    /// What these become by writing `algo=NAME priority=NUMBER` to `recomp_algorithm`.
    pub(super) fn with_stronger(mut self, value: &str) -> Result<Self, ZramError> {
        let (mut name, mut priority) = (None, 1);
        for pair in pairs(value) {
            match pair? {
                ("algo", algorithm) => name = Some(algorithm),
                ("priority", number) => priority = number.parse().map_err(|_| ZramError::Invalid)?,
                _ => return Err(ZramError::Invalid),
            }
        }
        let name = name.ok_or(ZramError::Invalid)?;
        let level = usize::checked_sub(priority, 1).and_then(|index| self.levels.get_mut(index));
        let level = level.ok_or(ZramError::Invalid)?;
        check(name, STRONGER)?;
        *level = Some(LEVEL);
        Ok(self)
    }

    /// What these become by writing `algo=NAME` or `priority=NUMBER`, and `level=NUMBER`, to `algorithm_params`. LZ4 has
    /// no parameters here, and deflate none but its level: the window is always larger than a page.
    pub(super) fn with_parameters(mut self, value: &str) -> Result<Self, ZramError> {
        let (mut priority, mut wanted) = (Some(0), LEVEL);
        for pair in pairs(value) {
            match pair? {
                ("algo", algorithm) => priority = self.priority_of(algorithm),
                ("priority", number) => priority = number.parse().ok(),
                ("level", "-1") => wanted = LEVEL,
                ("level", number) => wanted = number.parse().map_err(|_| ZramError::Invalid)?,
                _ => return Err(ZramError::Invalid),
            }
        }
        let level = priority.and_then(|priority: u8| self.levels.get_mut(usize::from(priority).checked_sub(1)?));
        let level = level.filter(|level| level.is_some()).ok_or(ZramError::Invalid)?;
        if wanted > MOST_LEVEL {
            return Err(ZramError::Invalid);
        }
        *level = Some(wanted);
        Ok(self)
    }
}

fn check(name: &str, known: &str) -> Result<(), ZramError> {
    match name {
        _ if name.len() >= NAME_MAX => Err(ZramError::TooLong),
        _ if name == known => Ok(()),
        _ => Err(ZramError::Invalid),
    }
}
