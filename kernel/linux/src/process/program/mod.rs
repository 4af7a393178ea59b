//! Programs: what a file asks for ([`elf`], [`script`]), and what a program finds in its memory as it begins ([`stack`]). `execute` puts it
//! there.

pub mod elf;
pub mod execute;
pub mod script;
pub mod stack;
pub mod words;
