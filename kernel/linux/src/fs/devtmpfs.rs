//! `/dev`: a tmpfs with a file for each device (Linux: `drivers/base/devtmpfs.c`).

use alloc::vec::Vec;

use quire_machine::clock;
use quire_machine::fallible::{self, TryVec};
use quire_machine::sync::Once;

use super::node::{Attributes, Device, Entry, Handle, New, NodeKind};
use super::tmpfs::Tmpfs;
use super::tmpfs_options::TmpfsOptions;
use super::{block, device};
use crate::errno::Errno;

/// The kernel's own file systems.
pub(super) const DIRECTORY: TmpfsOptions =
    TmpfsOptions { mode: Some(0o755), blocks: None, inodes: None, user: None, group: None, stays: false };

static DEVICES: Once<Handle> = Once::new();

/// The root of the file system.
///
/// # Errors
/// `ENOMEM`.
pub(super) fn devices() -> Result<&'static Handle, Errno> {
    DEVICES.try_call_once(|| {
        let root = Tmpfs::new(&DIRECTORY)?.root()?;
        for (name, major, minor, permissions) in device::CHARACTERS {
            add_device(&root, name, NodeKind::Character(Device { major, minor }), permissions);
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            let _ =
                root.create(name.as_bytes(), New::Link(target.as_bytes()), Attributes::new(0o777, clock::since_1970()));
        }
        Ok(root)
    })
}

fn add_device(root: &Handle, name: &str, kind: NodeKind, permissions: u32) {
    // One that is there already was made by a program, which may have had its reasons.
    let _ = root.create(name.as_bytes(), New::Node(kind), Attributes::new(permissions, clock::since_1970()));
}

/// Makes `/dev` have a file for every block device, and none for zram devices that are gone.
///
/// # Errors
/// `ENOMEM`.
pub fn add_block_devices() -> Result<(), Errno> {
    let devices = devices()?;
    let there = block::all()?;
    let mut gone: Vec<Vec<u8>> = Vec::new();
    let mut outcome = Ok(());
    let look = &mut |entry: &Entry<'_>| {
        let is_gone = matches!(entry.kind, NodeKind::Block(number) if there.iter().all(|(_, other)| *other != number));
        if is_gone {
            outcome = fallible::copy(entry.name).and_then(|name| gone.try_push(name));
        }
        outcome.is_ok()
    };
    devices.read_directory(0, look)?;
    for name in gone {
        let _ = devices.unlink(&name, false);
    }
    for (path, number) in there {
        add_device(devices, block::name(&path), NodeKind::Block(number), 0o660);
    }
    Ok(outcome?)
}
