//! What only x86-64 has: descriptor tables, traps, page-table words, context switches, and most of the `unsafe`.
//!
//! No policy lives here: the code below says how the processor does a thing, never whether it should.

pub mod apic;
pub mod context;
pub mod cpu;
pub(crate) mod enter;
pub mod fpu;
pub mod gdt;
pub mod page_table;
pub mod registers;
pub mod syscall;
pub mod trap;
pub mod user;
pub mod vectors;
