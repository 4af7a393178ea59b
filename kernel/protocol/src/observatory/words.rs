//! Structures of 64-bit words that the kernel writes and the launcher reads from the guest's memory.
//!
//! Each is defined once and comes twice: as the kernel has it, of atomic words, and as the launcher has it, of plain ones. That
//! both have the same size and that each word is at the same offset is checked when they are compiled.

/// Defines a structure twice: with atomic words, and with plain words.
macro_rules! words {
    ($(#[$meta:meta])* pub struct $plain:ident, $atomic:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct $plain {
            $($(#[$doc])* pub $field: u64,)*
        }

        #[doc = concat!("[`", stringify!($plain), "`] as it lies in the guest's memory.")]
        #[derive(Debug, Default)]
        #[repr(C)]
        pub struct $atomic {
            $($(#[$doc])* pub $field: core::sync::atomic::AtomicU64,)*
        }

        const _: () = {
            assert!(size_of::<$plain>() == size_of::<$atomic>() && align_of::<$plain>() == align_of::<$atomic>());
            $(assert!(core::mem::offset_of!($plain, $field) == core::mem::offset_of!($atomic, $field));)*
        };

        impl $plain {
            /// How many bytes it takes.
            pub const BYTES: usize = size_of::<Self>();

            /// Its words, in their order.
            pub const fn to_words(&self) -> [u64; size_of::<Self>() / 8] {
                [$(self.$field),*]
            }

            /// The structure that these bytes are; `None` if they are too few.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let (words, _) = bytes.get(..Self::BYTES)?.as_chunks::<8>();
                let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
                Some(Self { $($field: words.next()?,)* })
            }
        }

        impl $atomic {
            /// All words are 0.
            pub const fn new() -> Self {
                Self { $($field: core::sync::atomic::AtomicU64::new(0),)* }
            }

            /// Writes each word.
            pub fn set(&self, value: &$plain) {
                $(self.$field.store(value.$field, core::sync::atomic::Ordering::Relaxed);)*
            }
        }
    };
}

/// Lets the kernel change a structure whose first word is its sequence, so that a reader notices what is half changed.
macro_rules! sequenced {
    ($($plain:ident, $atomic:ident;)*) => {
        $(
            impl $atomic {
                /// Changes all words but the sequence, which says meanwhile that they change. One task does so at a time.
                pub fn publish(&self, value: &$plain) {
                    use core::sync::atomic::{Ordering, fence};
                    let sequence = self.sequence.load(Ordering::Relaxed) | 1;
                    self.sequence.store(sequence, Ordering::Relaxed);
                    fence(Ordering::Release);
                    self.set(&$plain { sequence, ..*value });
                    self.sequence.store(sequence.wrapping_add(1), Ordering::Release);
                }
            }
        )*
    };
}
pub(super) use {sequenced, words};
