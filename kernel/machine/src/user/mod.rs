//! What programs give: numbers whose arithmetic cannot wrap, and memory that is reached only through checked types.
//!
//! A [`Word`] is what a register, or a word of a structure, holds: any of 2⁶⁴ values, so it can be compared but not
//! calculated with. What a call takes it for makes a type of it, once: a [`UserPtr`], a [`UserRange`],
//! a position in a file, a count with a greatest value. All but `access` is pure; the instructions that touch a page are in
//! `arch::user`.

// The tests calculate in `i128`, where nothing of this wraps.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod access;
mod pages;
mod pointer;
mod word;

pub use pages::{NoPages, page_length, pages, pages_around};
pub use pointer::{Fault, UserPtr, UserRange};
pub use word::Word;
