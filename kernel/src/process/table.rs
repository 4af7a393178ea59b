//! The table of processes, by number.

use alloc::sync::Arc;
use alloc::vec::Vec;

use intrusive_collections::{KeyAdapter, RBTree, intrusive_adapter};

use super::Process;
use crate::sync::{Rank, SpinLock};

mod adapter {
    #![expect(clippy::expl_impl_clone_on_copy, reason = "inside the library's macro")]
    use super::{Arc, Process, intrusive_adapter};
    use intrusive_collections::RBTreeAtomicLink;

    intrusive_adapter!(pub(super) ByNumber = Arc<Process>: Process { link => RBTreeAtomicLink });
}
use adapter::ByNumber;

impl KeyAdapter<'_> for ByNumber {
    type Key = u32;
    fn get_key(&self, process: &Process) -> u32 {
        process.pid
    }
}

static TABLE: SpinLock<RBTree<ByNumber>> = SpinLock::new(Rank::Processes, RBTree::new(ByNumber::NEW));

/// The process of that number, also when it is a zombie.
pub fn find(pid: u32) -> Option<Arc<Process>> {
    TABLE.lock().find(&pid).clone_pointer()
}

/// Every process, by number.
pub fn all() -> Vec<Arc<Process>> {
    // Counted and collected apart, because nothing is allocated under the lock; whoever comes in between is not meant.
    let mut processes = Vec::with_capacity(TABLE.lock().iter().count());
    let table = TABLE.lock();
    let mut cursor = table.front();
    while let Some(process) = cursor.clone_pointer().filter(|_| processes.len() < processes.capacity()) {
        processes.push(process);
        cursor.move_next();
    }
    processes
}
