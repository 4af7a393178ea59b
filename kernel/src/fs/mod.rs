//! Files.

pub mod access;
pub mod cpio;
pub mod gzip;
pub mod mount;
pub mod node;
pub mod path;
pub mod poll;
pub mod tree;
