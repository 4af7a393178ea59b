//! ext4: a file system on a disk that Linux mounts too.
//!
//! The format is the business of the crate `rsext4`; what is here fits it into this kernel. `layout` measures what it is about
//! to read, `sectors` is its disk, `volume` the thread that it runs in and the nodes that are in use, `node` what names lead to,
//! and `swap_file` what makes a file a swap area.
//!
//! # Why rsext4
//!
//! | crate | writes | tells blocks | journal | `unsafe` | corrupt images |
//! |---|---|---|---|---|---|
//! | `ext4-view` 1.0 | no | no | replays | none | errors |
//! | `ext4plus` 0.1-rc | yes, "on ramdisks" | no | reads alone | none | errors |
//! | `rsext4` 0.9 | yes | yes | writes and replays | four blocks: CRC32C by instruction, two casts | errors |
//! | `efs` 0.5 | ext2 alone | no | no | none | not tried: its licence is the GPL |
//! | `embedded-sdmmc` 0.10 | FAT | no | | none | not tried: FAT has no holes, owners or links |
//!
//! rsext4 works on inodes by number, as nodes do here; its tests hold what it writes to `e2fsck`; and the tests of this module found
//! no panic in images with damaged bytes and words, with overflow checks on.
//!
//! # Memory and stack
//!
//! It takes memory by ways that cannot fail: at most a few hundred KiB and what follows from the number of groups and from what the
//! directories and files in use map. That is measured on the disk before it reads it, and asked for before each
//! operation, which fails with `ENOMEM` instead. A disk whose journal holds another inode of the journal, with more blocks, is not
//! found out so. It uses more stack than a system call has: each volume has a thread with a deeper one.
//!
//! # What is not there
//!
//! There is no page cache: what is read comes from the disk, and what was written is on it, or in its journal, when the call
//! returns. So files cannot be mapped (`ENODEV`), and programs on it not run (`EACCES`). Extended attributes, quotas, encryption
//! and resizing are not offered. A file system that needs a feature that the crate lacks is not mounted.
//!
//! # Locks
//!
//! A volume has one sleeping lock, for its nodes and for its thread's attention, which is held while the disk works: nothing
//! that completes a request of a disk, and nothing that reclaims memory, ever takes it. Swapping to a file takes
//! none of this: its blocks are known.
//!
//! Both that thread and the one that has the lock are in a file system ([`InFileSystem`](quire_machine::in_file_system::InFileSystem)):
//! if they reclaim, nothing goes to a swap backend that would come back here, and wait for them. None of the kernel's would, and
//! neither thread takes memory but from the kernel heap, which never reclaims: the rule is for backends that write to files.

mod layout;
mod node;
mod sectors;
mod swap_file;
mod volume;

pub use node::{mount, sync_all};
pub use swap_file::{area_name, disable, enable};
