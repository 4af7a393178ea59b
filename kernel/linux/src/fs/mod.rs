//! Files: what programs see of the kernel.
//!
//! # From a path to bytes
//!
//! A path is walked ([`path`]) from directory to directory, over symbolic links and mounts, to a [`node::Node`]; opening
//! that gives a [`node::File`], which a process's table numbers (`open`). The nodes come from four kinds of file systems:
//!
//! | kind | where | made of |
//! |---|---|---|
//! | `tmpfs` | `/`, `/dev` | a [`tree`] of names; contents in memory objects, which swap; at first those of the initramfs |
//! | `synthetic` | `/proc`, `/sys`, `/sys/fs/cgroup` | lists of functions that make text |
//! | `pipe` | nowhere | pipes without a name |
//! | [`ext4`] | where a program mounts it | what is on a disk |
//!
//! [`lock`] alone knows who has locked which bytes of a file.
//!
//! A device's node only has its number; `device` knows what opening it means. `devices` has what the kernel found and started;
//! `devtmpfs` names it in `/dev`, `sys` shows it in `/sys`, `block` opens it.
//!
//! What is in `node`, `path`, `mount`, `access`, `lock`, `open` and `namespace` knows of no process: a process has its own
//! descriptors and location. The file systems are above processes, whose signals, limits and credentials they look at.
//!
//! # The initramfs
//!
//! `initramfs` gets the archive from the kernel, inflates what is compressed ([`gzip`]), reads it ([`cpio`]) and unpacks it into the
//! root. The files' bytes stay in the archive until they are written.
//!
//! # Locks
//!
//! All sleep, rank above those of memory, and are never held while a device works ([`ext4`] says why its own may be), user memory
//! is touched, or a handle is dropped that may be the last: dropping one takes the lock of its tree.

pub mod access;
pub mod block;
pub mod cgroup;
pub mod changes;
pub mod cpio;
pub mod device;
pub mod devices;
pub mod devtmpfs;
pub mod ext4;
pub mod ghost;
pub mod gzip;
pub mod initramfs;
pub mod kmsg;
pub mod limit;
pub mod lock;
pub mod memory_file;
pub mod mount;
pub mod namespace;
pub mod node;
pub mod open;
pub mod path;
pub mod pipe;
mod pipe_contents;
pub mod pipe_room;
pub mod poll;
pub mod position;
pub mod proc;
pub mod special;
pub mod start;
pub mod synthetic;
pub mod sys;
pub mod terminal;
pub mod tmpfs;
pub mod tmpfs_options;
pub mod tree;
