//! What stands before the backends of areas (Linux, up to 6.5: `struct frontswap_ops`): a cache such as zswap.

use alloc::sync::Arc;
use core::ops::Range;

use crate::area::Area;
use crate::heap::NoMemory;
use crate::machine::Machine;
use crate::ops::SwapOps;
use crate::users::{SwapOffError, Users};

/// A layer before the backends of areas.
pub trait Frontswap<M: Machine>: Send + Sync {
    /// Asked at `swapon`, for an area whose own backend is `below`: the backend that the area gets.
    ///
    /// # Errors
    /// [`NoMemory`].
    fn before(self: Arc<Self>, below: Arc<dyn SwapOps<M>>) -> Result<Arc<dyn SwapOps<M>>, NoMemory>;

    /// Asked at `swapoff`: takes the pages back that are in these slots of `leaving` but belong to slots of other areas.
    ///
    /// # Errors
    /// If memory does not suffice, or `users` give up.
    fn take_back(&self, leaving: &Arc<Area<M>>, slots: Range<u64>, users: &dyn Users) -> Result<(), SwapOffError>;
}
