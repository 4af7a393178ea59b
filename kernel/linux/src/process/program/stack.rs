//! What a program finds on its stack as it begins: its arguments, its environment, and the auxiliary vector, as the System V
//! ABI for x86-64 lays them out.

use alloc::vec::Vec;

use linux_raw_sys::auxvec as linux;
use quire_machine::fallible::{self, NoMemory};

use super::words::Words;

/// What the stack is made of.
pub struct Stack<'a> {
    /// The first address behind it.
    pub top: u64,
    /// The program's path, as it was called (`AT_EXECFN`).
    pub path: &'a [u8],
    /// Its arguments.
    pub arguments: &'a Words,
    /// Its environment.
    pub environment: &'a Words,
    /// Unpredictable bytes (`AT_RANDOM`).
    pub random: [u8; 16],
    /// The auxiliary vector, but for what is on the stack itself.
    pub auxiliary: &'a [(u32, u64)],
}

/// The stack's bytes and where they go.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the first byte goes; the stack pointer.
    pub start: u64,
    /// The bytes from there to the top.
    pub bytes: Vec<u8>,
}

/// What `AT_PLATFORM` says.
const PLATFORM: &[u8] = b"x86_64\0";

impl Stack<'_> {
    /// Lays the stack out.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn lay_out(&self) -> Result<Layout, NoMemory> {
        // From the top down: a zero word, the path, the environment, the arguments, the platform's name, random bytes.
        let path = self.top - 8 - (self.path.len() as u64 + 1);
        let environment = path - self.environment.as_bytes().len() as u64;
        let arguments = environment - self.arguments.as_bytes().len() as u64;
        let platform = arguments - PLATFORM.len() as u64;
        let random = (platform - self.random.len() as u64) & !15;
        let on_stack =
            [(linux::AT_RANDOM, random), (linux::AT_EXECFN, path), (linux::AT_PLATFORM, platform), (linux::AT_NULL, 0)];

        let auxiliary_words = 2 * (self.auxiliary.len() + on_stack.len());
        let words = 1 + self.arguments.count() + 1 + self.environment.count() + 1 + auxiliary_words;
        let start = (random - 8 * words as u64) & !15;

        let mut bytes = fallible::filled(0, (self.top - start) as usize)?;
        let mut put = |at: u64, part: &[u8]| bytes[(at - start) as usize..][..part.len()].copy_from_slice(part);
        let (arguments_at, environment_at) =
            (addresses(self.arguments, arguments), addresses(self.environment, environment));
        let lists = arguments_at.chain([0]).chain(environment_at).chain([0]);
        let auxiliary = self.auxiliary.iter().chain(&on_stack).flat_map(|&(key, value)| [u64::from(key), value]);
        let all = [self.arguments.count() as u64].into_iter().chain(lists).chain(auxiliary);
        for (at, word) in (start..).step_by(8).zip(all) {
            put(at, &word.to_le_bytes());
        }
        put(random, &self.random);
        put(platform, PLATFORM);
        put(arguments, self.arguments.as_bytes());
        put(environment, self.environment.as_bytes());
        put(path, self.path);
        Ok(Layout { start, bytes })
    }
}

/// The address of each word of a list that begins at `address`.
fn addresses(words: &Words, address: u64) -> impl Iterator<Item = u64> {
    words.iter().scan(address, |next, word| {
        let address = *next;
        *next += word.len() as u64 + 1;
        Some(address)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Layout, Stack, Words, linux};

    const TOP: u64 = 0x7fff_ffff_e000;

    fn words(list: &[Vec<u8>]) -> Words {
        let mut words = Words::new();
        for word in list {
            words.push(word).unwrap();
        }
        words
    }

    fn word(layout: &Layout, index: usize) -> u64 {
        u64::from_le_bytes(layout.bytes[8 * index..8 * index + 8].try_into().unwrap())
    }

    fn string(layout: &Layout, address: u64) -> Vec<u8> {
        let bytes = &layout.bytes[(address - layout.start) as usize..];
        bytes.iter().copied().take_while(|&byte| byte != 0).collect()
    }

    proptest! {
        #[test]
        fn a_program_finds_everything(
            arguments in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..20), 0..6),
            environment in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..20), 0..6),
        ) {
            let stack = Stack {
                top: TOP,
                path: b"/bin/program",
                arguments: &words(&arguments),
                environment: &words(&environment),
                random: *b"sixteen bytes!!!",
                auxiliary: &[(linux::AT_PAGESZ, 4096), (linux::AT_ENTRY, 0x40_1000)],
            };
            let layout = stack.lay_out().unwrap();
            prop_assert_eq!(layout.start % 16, 0);
            prop_assert_eq!(layout.start + layout.bytes.len() as u64, TOP);
            prop_assert_eq!(word(&layout, 0), arguments.len() as u64);
            let mut index = 1;
            for list in [arguments, environment] {
                for expected in list {
                    prop_assert_eq!(string(&layout, word(&layout, index)), expected);
                    index += 1;
                }
                prop_assert_eq!(word(&layout, index), 0);
                index += 1;
            }
            let mut auxiliary = std::collections::BTreeMap::new();
            while word(&layout, index) != u64::from(linux::AT_NULL) {
                auxiliary.insert(word(&layout, index) as u32, word(&layout, index + 1));
                index += 2;
            }
            prop_assert_eq!(auxiliary[&linux::AT_PAGESZ], 4096);
            prop_assert_eq!(auxiliary[&linux::AT_ENTRY], 0x40_1000);
            prop_assert_eq!(string(&layout, auxiliary[&linux::AT_EXECFN]), b"/bin/program");
            prop_assert_eq!(string(&layout, auxiliary[&linux::AT_PLATFORM]), b"x86_64");
            let random = (auxiliary[&linux::AT_RANDOM] - layout.start) as usize;
            prop_assert_eq!(&layout.bytes[random..random + 16], b"sixteen bytes!!!");
        }
    }
}
