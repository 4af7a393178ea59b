//! Files that never have a name where a program could find it: memory that an open file stands for (`memfd_create(2)`;
//! Linux: `mm/memfd.c`, `shmem_file_setup`).
//!
//! They are files of a tmpfs that is mounted nowhere, unlinked before any process sees them.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::fallible::{TryVec, with_capacity};
use quire_machine::sync::Once;

use super::access;
use super::node::{Attributes, Handle, New, NodeKind};
use super::open::OpenFile;
use super::tmpfs::Tmpfs;
use super::tmpfs_options::TmpfsOptions;
use crate::errno::Errno;
use crate::process::credentials::Credentials;

/// As on Linux, where memory cgroups are what limits them.
const WITHOUT_LIMITS: TmpfsOptions =
    TmpfsOptions { blocks: Some(0), inodes: Some(0), mode: Some(0o700), user: None, group: None, stays: false };

static ROOT: Once<Handle> = Once::new();
static LAST_NUMBER: AtomicU64 = AtomicU64::new(0);

/// An empty file of its own, open to be read and written; `name` is for those who ask what is open.
///
/// # Errors
/// `ENFILE`, `ENOMEM`, `ENOSPC`.
pub fn new(name: &[u8], credentials: &Credentials) -> Result<Arc<OpenFile>, Errno> {
    const BEFORE: &[u8] = b"/memfd:";
    const BEHIND: &[u8] = b" (deleted)";
    let mut shown = with_capacity(BEFORE.len() + name.len() + BEHIND.len())?;
    for part in [BEFORE, name, BEHIND] {
        shown.try_extend(part.iter().copied())?;
    }
    let root = ROOT.try_call_once(|| Tmpfs::new(&WITHOUT_LIMITS)?.root())?;
    let own_name = LAST_NUMBER.fetch_add(1, Ordering::Relaxed).to_ne_bytes();
    let wanted = Attributes::new(0o777, clock::since_1970());
    let attributes = access::new_attributes(credentials, &root.metadata().attributes, NodeKind::File, wanted);
    let node = root.create(&own_name, New::Node(NodeKind::File), attributes)?;
    root.unlink(&own_name, false)?;
    let file = node.open(linux::O_RDWR)?;
    OpenFile::new(node, file, &shown, linux::O_RDWR | linux::O_LARGEFILE, credentials)
}
