//! Files.

pub mod access;
#[cfg(target_os = "none")]
pub mod block;
#[cfg(target_os = "none")]
pub mod changes;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
pub mod cpio;
#[cfg(target_os = "none")]
pub mod device;
pub mod gzip;
#[cfg(target_os = "none")]
pub mod kmsg;
pub mod mount;
pub mod node;
#[cfg(target_os = "none")]
pub mod open;
pub mod path;
#[cfg(target_os = "none")]
pub mod pipe;
pub mod poll;
pub mod tree;
