//! Files.

pub mod cpio;
pub mod gzip;
pub mod node;
pub mod poll;
pub mod tree;
