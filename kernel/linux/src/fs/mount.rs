//! What is mounted where.
//!
//! A file system is mounted in one place, on a directory of one that was mounted before: so the way up from any directory
//! ends at the root, whatever programs mount. (Linux mounts one in several places.) So the number of a node's file system
//! says what its mount's options let be done with it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, TryVec};

use super::node::{Handle, NodeIdentity};
use crate::errno::Errno;

/// A number for a file system that no other has; those below 16 are given out by hand.
pub fn new_filesystem_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(16);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What may not be done with what is on a mount, by `mount(2)`'s flags. What is open already stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options(u32);

impl Options {
    const NAMES: [(u32, &str); 4] = [
        (linux::MS_RDONLY, "ro"),
        (linux::MS_NOSUID, "nosuid"),
        (linux::MS_NODEV, "nodev"),
        (linux::MS_NOEXEC, "noexec"),
    ];

    /// Those of `flags` that there are.
    pub fn from_flags(flags: u32) -> Self {
        Self(Self::NAMES.iter().fold(0, |known, (flag, _)| known | flag) & flags)
    }

    /// As `f_flags` of `struct statfs` says them, which has the same bits, and that it does.
    pub fn statfs_flags(self) -> u32 {
        const VALID: u32 = 0x20;
        const RELATIVE_ACCESS_TIMES: u32 = 0x1000;
        self.0 | VALID | RELATIVE_ACCESS_TIMES
    }

    /// Nothing can be changed.
    pub fn is_read_only(self) -> bool {
        self.0 & linux::MS_RDONLY != 0
    }

    /// No program acts as its file's owner.
    pub fn ignores_set_ids(self) -> bool {
        self.0 & linux::MS_NOSUID != 0
    }

    /// No device can be opened.
    pub fn has_no_devices(self) -> bool {
        self.0 & linux::MS_NODEV != 0
    }

    /// No program can be run.
    pub fn has_no_programs(self) -> bool {
        self.0 & linux::MS_NOEXEC != 0
    }
}

/// As `/proc/mounts` says them.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_read_only() { "ro" } else { "rw" })?;
        let others = Self::NAMES.iter().skip(1).filter(|(flag, _)| self.0 & flag != 0);
        for (_, name) in others {
            write!(f, ",{name}")?;
        }
        f.write_str(",relatime")
    }
}

fn identity(node: &Handle) -> NodeIdentity {
    node.metadata().identity()
}

/// One mounted file system.
#[derive(Clone)]
pub struct Mount {
    /// What it was mounted from.
    pub source: Arc<str>,
    /// Its file system's name.
    pub kind: &'static str,
    /// Where, as `/proc/mounts` says.
    pub path: Arc<str>,
    /// The directory below it; none for the root.
    covered: Option<(Handle, NodeIdentity)>,
    root: (Handle, NodeIdentity),
    /// Mounted by the kernel, for programs that do not mount it themselves.
    pub early: bool,
    /// What may not be done with what is on it.
    pub options: Options,
}

impl Mount {
    /// A file system with this root over a directory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(
        source: &str,
        kind: &'static str,
        path: &str,
        covered: Option<Handle>,
        root: Handle,
    ) -> Result<Self, Errno> {
        let with_identity = |node: Handle| {
            let identity = identity(&node);
            (node, identity)
        };
        let (covered, root) = (covered.map(with_identity), with_identity(root));
        let (source, path) = (fallible::shared_text(source)?, fallible::shared_text(path)?);
        Ok(Self { source, kind, path, covered, root, early: false, options: Options::default() })
    }

    /// The same, but mounted by a program, from where and with the options that `by` has.
    #[must_use]
    pub fn taken_over(&self, by: &Self) -> Self {
        Self { source: Arc::clone(&by.source), early: false, options: by.options, ..self.clone() }
    }

    /// What distinguishes the directory below it; none for the root.
    pub fn covered_identity(&self) -> Option<NodeIdentity> {
        self.covered.as_ref().map(|(_, identity)| *identity)
    }

    /// Its root.
    pub fn root(&self) -> &Handle {
        &self.root.0
    }
}

/// Every mounted file system, in the order in which they were mounted.
#[derive(Clone, Default)]
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// These.
    pub const fn new(mounts: Vec<Mount>) -> Self {
        Self(mounts)
    }

    /// All of them.
    pub fn all(&self) -> &[Mount] {
        &self.0
    }

    /// With one more.
    ///
    /// # Errors
    /// `EBUSY` if its file system is mounted already; `ENOMEM`.
    pub fn with(&self, mount: Mount) -> Result<Self, Errno> {
        if self.with_root(mount.root()).is_some() {
            return Err(Errno::EBUSY);
        }
        let mut mounts = fallible::copy(&self.0)?;
        mounts.try_push(mount)?;
        Ok(Self(mounts))
    }

    /// Without the one whose root is `root`.
    ///
    /// # Errors
    /// `EINVAL` if there is none; `ENOMEM`.
    pub fn without(&self, root: &Handle) -> Result<Self, Errno> {
        let identity = identity(root);
        let index = self.0.iter().position(|mount| mount.root.1 == identity).ok_or(Errno::EINVAL)?;
        let mut mounts = fallible::copy(&self.0)?;
        mounts.remove(index);
        Ok(Self(mounts))
    }

    /// Without those that are mounted in the file system with the number `device`, and in these.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn without_those_in(mut self, device: u64) -> Result<Self, Errno> {
        let mut gone = fallible::collect([device])?;
        // One that is mounted in another comes after it.
        for mount in &self.0 {
            if mount.covered_identity().is_some_and(|(covered, _)| gone.contains(&covered)) {
                gone.try_push(mount.root.1.0)?;
            }
        }
        self.0.retain(|mount| mount.covered_identity().is_none_or(|(covered, _)| !gone.contains(&covered)));
        Ok(self)
    }

    /// What is seen where `node` is: the node, or the root of what is mounted over it.
    pub fn covering(&self, mut node: Handle) -> Handle {
        let mut place = identity(&node);
        while let Some(over) = self.0.iter().rev().find(|mount| mount.covered_identity() == Some(place)) {
            (node, place) = over.root.clone();
        }
        node
    }

    /// The mount whose root this is.
    pub fn with_root(&self, root: &Handle) -> Option<&Mount> {
        let identity = identity(root);
        self.0.iter().find(|mount| mount.root.1 == identity)
    }

    /// The directory that the file system with this root is mounted over.
    pub fn covered_by(&self, root: &Handle) -> Option<Handle> {
        self.with_root(root)?.covered.as_ref().map(|(covered, _)| Arc::clone(covered))
    }

    /// What may not be done with what is on the file system of that number.
    pub fn options_of(&self, device: u64) -> Options {
        let found = self.0.iter().find(|mount| mount.root.1.0 == device);
        found.map_or(Options::default(), |mount| mount.options)
    }

    /// With other options of the mount whose root is `root`.
    ///
    /// # Errors
    /// `EINVAL` if there is none; `ENOMEM`.
    pub fn with_options(&self, root: &Handle, options: Options) -> Result<Self, Errno> {
        let identity = identity(root);
        let mut mounts = fallible::copy(&self.0)?;
        mounts.iter_mut().find(|mount| mount.root.1 == identity).ok_or(Errno::EINVAL)?.options = options;
        Ok(Self(mounts))
    }

    /// Whether something is mounted over a directory of the file system with the number `device`.
    pub fn has_mounts_in(&self, device: u64) -> bool {
        self.0.iter().any(|mount| mount.covered_identity().is_some_and(|(other, _)| other == device))
    }
}

/// The kinds of file systems that can be mounted without a disk.
pub const FILESYSTEMS: [&str; 6] = ["cgroup2", "devtmpfs", "proc", "ramfs", "sysfs", "tmpfs"];

/// The kind that is on a disk.
pub const ON_DISK: &str = "ext4";

/// The kind with this name.
pub fn filesystem_name(name: &str) -> Option<&'static str> {
    FILESYSTEMS.into_iter().chain([ON_DISK]).find(|kind| *kind == name)
}

#[cfg(test)]
mod tests {
    use linux_raw_sys::general as linux;

    use super::Options;

    #[test]
    fn options_are_shown_as_linux_does() {
        for (flags, expected) in [
            (0, "rw,relatime"),
            (linux::MS_RDONLY | linux::MS_SILENT, "ro,relatime"),
            (linux::MS_NOSUID | linux::MS_NODEV | linux::MS_NOEXEC, "rw,nosuid,nodev,noexec,relatime"),
        ] {
            assert_eq!(Options::from_flags(flags).to_string(), expected);
        }
    }
}
