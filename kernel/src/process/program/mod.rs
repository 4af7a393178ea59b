//! Programs: what a file asks for ([`elf`], [`script`]), and what a program finds in its memory as it begins ([`stack`]).

pub mod elf;
pub mod script;
pub mod stack;
mod words;

pub use words::{TooLong, Words};
