//! The order in which spinning locks are taken.

/// Defines [`Rank`], and the lists of its values.
macro_rules! ranks {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// The ranks of the core's locks and of backends' own, lowest first. See the table in the crate's documentation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Rank {
            $($(#[$meta])* $name,)*
        }

        impl Rank {
            /// Every rank, lowest first.
            pub const ALL: &[Self] = &[$(Self::$name),*];
            /// Every rank with its name, lowest first.
            pub const NAMES: &[(Self, &str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

ranks! {
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
