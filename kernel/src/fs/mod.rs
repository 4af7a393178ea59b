//! Files.

pub mod cpio;
pub mod gzip;
