//! The order in which spinning locks are taken.

/// The ranks of the core's locks and of backends' own, lowest first. See the table in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// Making a leaf of a [`Sparse`](crate::Sparse) array.
    Sparse,
    /// A backend's own lock, which may be taken under all of the core's; so may the three that follow.
    Backend1,
    /// As above.
    Backend2,
    /// As above.
    Backend3,
    /// As above.
    Backend4,
    /// The pool of batches.
    BatchPool,
    /// Which areas there are, in the order in which they are tried.
    Priorities,
    /// An area's lists of clusters.
    Lists,
    /// A cluster whose slot is freed with the slot that it belongs to, in another area whose cluster is locked.
    InnerCluster,
    /// One cluster: its table and all that its slots mean.
    Cluster,
    /// The registry of block drivers' swap operations.
    Registry,
    /// A driver's own lock, under which the core may be called; so is the one that follows.
    Driver1,
    /// As above.
    Driver2,
}

impl Rank {
    /// Every rank, lowest first.
    pub const ALL: &[Self] = &[
        Self::Sparse,
        Self::Backend1,
        Self::Backend2,
        Self::Backend3,
        Self::Backend4,
        Self::BatchPool,
        Self::Priorities,
        Self::Lists,
        Self::InnerCluster,
        Self::Cluster,
        Self::Registry,
        Self::Driver1,
        Self::Driver2,
    ];
}
