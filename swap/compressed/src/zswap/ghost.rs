//! The ghost device as a swap area: zswap is all that keeps its pages.

use alloc::sync::Arc;

use quire_swap::{Deviceless, SwapOnError, SwapOnOptions, ghost, heap};

use super::cache::Zswap;
use super::ops::Layer;
use crate::machine::PoolMachine;

impl<M: PoolMachine> Zswap<M> {
    /// Enables the ghost device as a swap area of so many pages, which is rounded down to whole clusters. Returns its index.
    ///
    /// # Errors
    /// See [`SwapOnError`]: the device can be enabled once.
    pub fn swapon_ghost(self: &Arc<Self>, pages: u64, options: SwapOnOptions<'_>) -> Result<u8, SwapOnError> {
        let ops = heap::arc::<M, _>(Layer::new(self, None))?;
        self.swap.swapon_without_disk(&Deviceless { name: ghost::PATH, slots: pages, ops }, options)
    }
}
