//! Opening what is opened alike in every file system that has it: all but regular files.

use alloc::sync::Arc;

use quire_machine::fallible;

use super::node::{File, Metadata, NodeKind};
use super::{device, open, pipe};
use crate::errno::Errno;

/// The open node with this metadata; `None` for a regular file, which its file system opens.
///
/// # Errors
/// As those of `open(2)`; `ENXIO` for a socket, `ELOOP` for a link.
pub fn open_special(metadata: &Metadata, flags: u32) -> Result<Option<Arc<dyn File>>, Errno> {
    Ok(Some(match metadata.kind {
        NodeKind::Directory => fallible::shared(open::OpenDirectory)?,
        NodeKind::Character(_) | NodeKind::Block(_) => device::open(metadata.kind, flags)?,
        NodeKind::Pipe => pipe::open_named(metadata.identity(), flags)?,
        NodeKind::Socket => return Err(Errno::ENXIO),
        NodeKind::Link => return Err(Errno::ELOOP),
        NodeKind::File => return Ok(None),
    }))
}
