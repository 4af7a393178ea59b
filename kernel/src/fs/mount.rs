//! What is mounted where.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::node::Handle;

/// One mounted file system.
#[derive(Clone)]
pub struct Mount {
    /// What it was mounted from.
    pub source: String,
    /// Its file system's name.
    pub kind: &'static str,
    /// Where, as `/proc/mounts` says.
    pub path: String,
    /// The directory below it; none for the root.
    covered: Option<Handle>,
    root: Handle,
    /// Mounted by the kernel, for programs that do not mount it themselves.
    pub early: bool,
}

impl Mount {
    /// A file system with this root over a directory.
    pub fn new(source: &str, kind: &'static str, path: &str, covered: Option<Handle>, root: Handle) -> Self {
        Self { source: source.into(), kind, path: path.into(), covered, root, early: false }
    }

    /// What distinguishes the directory below it; none for the root.
    pub fn covered_identity(&self) -> Option<(u64, u64)> {
        self.covered.as_ref().map(|covered| covered.metadata().identity())
    }

    /// Its root.
    pub fn root(&self) -> &Handle {
        &self.root
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
    #[must_use]
    pub fn with(&self, mount: Mount) -> Self {
        let mut mounts = self.0.clone();
        mounts.push(mount);
        Self(mounts)
    }

    /// Without the one whose root is `root`; none if there is none.
    pub fn without(&self, root: &Handle) -> Option<Self> {
        let mut mounts = self.0.clone();
        let identity = root.metadata().identity();
        let position = mounts.iter().rposition(|mount| mount.root.metadata().identity() == identity)?;
        mounts.remove(position);
        Some(Self(mounts))
    }

    /// What is seen where `node` is: the node, or the root of what is mounted over it.
    pub fn covering(&self, mut node: Handle) -> Handle {
        loop {
            let identity = node.metadata().identity();
            let over =
                |mount: &&Mount| mount.covered.as_ref().is_some_and(|under| under.metadata().identity() == identity);
            match self.0.iter().rev().find(over) {
                Some(mount) => node = Arc::clone(&mount.root),
                None => return node,
            }
        }
    }

    /// The mount whose root this is.
    pub fn with_root(&self, root: &Handle) -> Option<&Mount> {
        let identity = root.metadata().identity();
        self.0.iter().rev().find(|mount| mount.root.metadata().identity() == identity)
    }

    /// The directory that the file system with this root is mounted over.
    pub fn covered_by(&self, root: &Handle) -> Option<Handle> {
        self.with_root(root)?.covered.clone()
    }

    /// Whether something is mounted over a directory of the file system with the number `device`.
    pub fn has_mounts_in(&self, device: u64) -> bool {
        self.0.iter().any(|mount| mount.covered.as_ref().is_some_and(|under| under.metadata().device == device))
    }
}
