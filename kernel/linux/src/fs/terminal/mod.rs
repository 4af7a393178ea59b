//! The terminal: what is typed becomes lines, signals and echo; what programs write becomes what the terminal shows.
//!
//! There is one, on the serial port. Its pure part is the [`discipline`] with its [`settings`]. Around it: `input`, from
//! the port to the discipline; `file`, what programs read and write; `control`, `ioctl(2)`; and `job`, whose terminal it
//! is and which process group is in the foreground.
//!
//! # Not as in Linux
//!
//! When the leader of the session ends, the foreground group is told to hang up and the terminal is free, but a process that has
//! it open may go on using it. Times between bytes (`VTIME`) end with a timer tick.

pub mod discipline;
pub mod settings;
#[cfg(test)]
mod tests;

mod control;
pub mod file;
pub mod input;
pub mod job;
mod state;
