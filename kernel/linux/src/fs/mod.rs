//! Files: what programs see of the kernel.
//!
//! # From a path to bytes
//!
//! A path is walked ([`path`]) from directory to directory, over symbolic links and mounts, to a [`node::Node`]; opening
//! that gives a [`node::File`], which a process's table numbers (`open`). The nodes come from three kinds of file systems:
//!
//! | kind | where | made of |
//! |---|---|---|
//! | `tmpfs` | `/`, `/dev` | a [`tree`] of names; contents in memory objects, which swap; at first those of the initramfs |
//! | `synthetic` | `/proc`, `/sys`, `/sys/fs/cgroup` | lists of functions that make text |
//! | `pipe` | nowhere | pipes without a name |
//!
//! [`lock`] alone knows who has locked which bytes of a file.
//!
//! A device's node only has its number; `device` knows what opening it means.
//!
//! # The initramfs
//!
//! `initramfs` fetches the archive, inflates what is compressed ([`gzip`]), reads it ([`cpio`]) and unpacks it into the
//! root. The files' bytes stay in the archive until they are written.
//!
//! # Locks
//!
//! All sleep, rank above those of memory, and are never held while a device works, user memory is touched, or a handle is
//! dropped that may be the last: dropping one takes the lock of its tree.

pub mod access;
#[cfg(target_os = "none")]
pub mod block;
#[cfg(target_os = "none")]
pub mod cgroup;
#[cfg(target_os = "none")]
pub mod changes;
pub mod cpio;
#[cfg(target_os = "none")]
pub mod device;
#[cfg(target_os = "none")]
pub mod devices;
#[cfg(target_os = "none")]
pub mod devtmpfs;
pub mod ghost;
pub mod gzip;
#[cfg(target_os = "none")]
pub mod initramfs;
#[cfg(target_os = "none")]
pub mod kmsg;
#[cfg(target_os = "none")]
pub mod limit;
pub mod lock;
#[cfg(target_os = "none")]
pub mod memory_file;
pub mod mount;
#[cfg(target_os = "none")]
pub mod namespace;
pub mod node;
#[cfg(target_os = "none")]
pub mod open;
pub mod path;
#[cfg(target_os = "none")]
pub mod pipe;
pub mod poll;
pub mod position;
#[cfg(target_os = "none")]
pub mod proc;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod synthetic;
#[cfg(target_os = "none")]
pub mod sys;
pub mod terminal;
#[cfg(target_os = "none")]
pub mod tmpfs;
pub mod tmpfs_options;
pub mod tree;
