//! What programs name: words, and lists of them.

use quire_machine::user::{self, UserPtr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A futex word as a program names it.
#[derive(Clone, Copy, Debug)]
pub struct FutexWord {
    /// Where it is.
    pub address: UserPtr<u32>,
    /// Only tasks of the same address space use it (`FUTEX_PRIVATE_FLAG`).
    pub is_private: bool,
}

/// Linux's `struct robust_list_head`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Head {
    /// The first entry; the head itself ends the list.
    pub(super) list: user::Word,
    /// From an entry to its futex, in bytes.
    pub(super) futex_offset: user::Word,
    /// The entry that is being put into the list, or taken out.
    pub(super) pending: user::Word,
}
