//! What memory knows of a process.

use alloc::sync::Arc;

use quire_memory::upcall;

use super::control_block::{INIT, Process};
use super::signal::{Info, Signal};
use super::table;

impl upcall::Process for Process {
    fn pid(&self) -> u32 {
        Self::pid(self)
    }

    fn memory(&self) -> Option<Arc<dyn upcall::Memory>> {
        self.space().map(|space| space as _)
    }

    fn memory_cgroup(&self) -> u8 {
        Self::memory_cgroup(self)
    }

    fn oom_score_adjustment(&self) -> i32 {
        Self::oom_score_adjustment(self)
    }

    fn is_immortal(&self) -> bool {
        Self::pid(self) == INIT
    }

    fn borrows_memory(&self) -> bool {
        let lent = table::find(self.parent()).and_then(|parent| parent.space());
        lent.zip(self.space()).is_some_and(|(lent, own)| Arc::ptr_eq(&lent, &own))
    }

    fn is_killed(&self) -> bool {
        self.standing().is_killed()
    }

    fn kill(&self) {
        // A signal that is not a real-time one always finds room.
        let _ = table::send_to(self, Signal::SIGKILL, Info::Kernel);
    }
}
