//! What the kernel keeps because of a program, for as long as it does: VMAs, open files, nodes of files, processes. It is
//! refused while a program can still take what it needs to give something up (`heap::may_keep`), and charged to the program's
//! cgroup (Linux: `obj_cgroup_charge`).
//!
//! # Invariants
//!
//! A cgroup is charged as many pages as the bytes of its charges fill. A charge outlives its cgroup: what is left of an account goes
//! to the cgroup's parent, which was charged all along. The root cgroup has no account.

use quire_machine::task::is_killed;
use quire_machine::{AllocationError, heap};

pub use crate::cgroup::account::Charge;
use crate::cgroup::counts::{CgroupEvent, note};
use crate::reclaim;

impl Charge {
    /// For an object of `bytes` that the thread that runs this is about to make; reclaims pages of the cgroup whose limit is
    /// reached, and may sleep for that.
    ///
    /// # Errors
    /// [`AllocationError`] when the heap has no space for it, or none of the cgroup's pages can leave.
    pub fn new(bytes: usize) -> Result<Self, AllocationError> {
        if !heap::may_keep(bytes) {
            return Err(AllocationError);
        }
        loop {
            let full = match Self::try_new(bytes) {
                Ok(charge) => return Ok(charge),
                Err(full) => full,
            };
            note(full, CgroupEvent::Max);
            if is_killed() || !reclaim::shrink_cgroup(full) {
                return Err(AllocationError);
            }
        }
    }
}
