//! The swap core on this machine.
//!
//! | module | what |
//! |---|---|
//! | `core`, `references` | the core itself; releasing what a PTE owned |
//! | `machine` | what the core asks of the machine: frames, locks, time, lines for a person |
//! | `swapoff`, [`leaving`] | swapping in all that an area holds, and who gives way when it does not fit |
//! | `work` | what the core puts off because its caller cannot sleep |
//! | `pool` | frames and a thread for compressed pages |
//! | [`happening`] | waiting for what the core says |

pub use self::core::{Name, Plug, Quire, core, statistics, total_pages, used_pages};
pub use self::leaving::{Patience, disables_swap};

mod core;
pub mod happening;
pub mod leaving;
mod machine;
mod pool;
pub mod references;
pub mod swapoff;
pub(crate) mod work;
