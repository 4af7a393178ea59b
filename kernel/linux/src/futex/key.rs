//! What a futex word is known by.

use core::hash::{Hash, Hasher};

/// A word in memory, the same for all tasks that reach it (Linux: `union futex_key`).
///
/// `O` is a counted reference to an object: as long as a key has it, no other object can be taken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key<O> {
    /// At this address of this space, by `FUTEX_PRIVATE_FLAG`.
    Private {
        /// The number of the address space.
        space: u32,
        /// The word's address.
        address: u64,
    },
    /// A word of private memory that is used as if it were shared: Linux keeps the two apart.
    Anonymous {
        /// The number of the address space.
        space: u32,
        /// The word's address.
        address: u64,
    },
    /// A word of shared memory, wherever it is mapped and whether or not its page is in memory.
    Shared {
        /// What is mapped.
        object: O,
        /// The word's place in it, in bytes.
        offset: u64,
    },
}

/// What objects are told apart by while they live.
pub trait Numbered: Eq {
    /// The object's number.
    fn number(&self) -> u32;
}

impl<O: Numbered> Hash for Key<O> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (kind, number, place) = match self {
            Self::Private { space, address } => (0, *space, *address),
            Self::Anonymous { space, address } => (1, *space, *address),
            Self::Shared { object, offset } => (2, object.number(), *offset),
        };
        state.write_u64(u64::from(number) << 2 | kind);
        state.write_u64(place);
    }
}
