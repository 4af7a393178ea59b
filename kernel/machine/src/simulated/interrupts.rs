//! Interrupts, as the processor's instructions switch them.

pub use super::cpu::enable_and_hlt;
pub use super::interrupt_flag::{are_enabled, disable, enable};
