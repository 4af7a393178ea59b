//! Signals: what is sent to processes, and what they do about it (`signal(7)`).
//!
//! # The way of a signal
//!
//! Sending puts it among its process's pending ones, unless it would do nothing, and wakes the process if it is not
//! blocked. On its way out to ring 3 the process takes the next one ([`Signals::take_next`]): a handler is called by a frame on
//! the program's stack that holds the registers ([`frame`]), `rt_sigreturn` puts them back; without a handler the process
//! ends, stops, or goes on as if nothing had been. Standard signals coalesce; real-time signals queue up to a bound. All
//! state is in [`Signals`], which knows nothing of threads or memory and allocates nothing.
//!
//! # Not as in Linux
//!
//! A process is one thread, so signals to a thread are signals to its process. Nothing writes core files: the status of a
//! process that `SIGSEGV` ended has no core flag.

mod action;
mod alternate;
pub mod frame;
mod info;
mod number;
mod pending;
mod state;
#[cfg(test)]
mod tests;

pub use action::Action;
pub use alternate::{AlternateStack, AlternateStackError};
pub use info::{ChildChange, Info};
pub use number::{DefaultAction, SIGNALS, Set, Signal};
pub use pending::QueueFull;
pub use state::{Delivery, Sent, Signals, Standing};
