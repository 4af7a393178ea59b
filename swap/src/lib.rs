//! The swap core and its backends.

#![no_std]
#![forbid(unsafe_code)]

pub mod errno;
pub mod header;
