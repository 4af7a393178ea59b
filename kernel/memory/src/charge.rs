//! What the kernel keeps because of a program, for as long as it does: VMAs, open files, nodes of files, processes. It is
//! refused while a program can still take what it needs to give something up (`heap::may_keep`), and charged to the program's
//! cgroup (Linux: `obj_cgroup_charge`).
//!
//! # Invariants
//!
//! A cgroup is charged as many pages as the bytes of its charges fill. A charge outlives its cgroup: what is left of an account goes
//! to the cgroup's parent, which was charged all along. The root cgroup has no account.

use crate::cgroup::account::Kept;

/// Bytes of the kernel heap that a cgroup is charged until this is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    _kept: Option<Kept>,
}

impl Charge {
    /// No cgroup is charged.
    pub const NONE: Self = Self { _kept: None };

    /// For an object of `bytes` that the thread that runs this is about to make; reclaims pages of the cgroup whose limit is
    /// reached, and may sleep for that.
    ///
    /// # Errors
    /// [`quire_machine::AllocationError`] when the heap has no room for it, or none of the cgroup's pages can leave.
    pub fn new(bytes: usize) -> Result<Self, quire_machine::AllocationError> {
        if !quire_machine::heap::may_keep(bytes) {
            return Err(quire_machine::AllocationError);
        }
        Ok(Self { _kept: Kept::by_current(bytes)? })
    }
}
