//! Whose a process is, and how many processes one user may have.

use core::sync::atomic::Ordering;

use super::control_block::Process;
use super::credentials::{Credentials, SUPERUSER};
use super::limits::Resource;
use super::table;

impl Process {
    /// It has other credentials from now on.
    pub fn set_credentials(&self, credentials: Credentials) {
        let user = credentials.identity().user.real;
        if user != self.identity().user.real {
            let is_full = user != SUPERUSER && table::count_of_user(user) > self.limit(Resource::PROCESSES).soft;
            self.is_one_too_many.store(is_full, Ordering::Relaxed);
        }
        let new = credentials.identity();
        let old = self.credentials.replace(credentials);
        if !old.acts_as(&new) {
            self.set_private(true);
        }
        if let Some(space) = self.space() {
            self.apply_limits(&space);
        }
    }

    /// Whether its user had too many processes already when it became that user's, and still has (Linux:
    /// `PF_NPROC_EXCEEDED`).
    pub(super) fn is_one_too_many(&self) -> bool {
        let most = self.limit(Resource::PROCESSES).soft;
        let is = self.is_one_too_many.load(Ordering::Relaxed) && table::count_of_user(self.identity().user.real) > most;
        self.is_one_too_many.store(is, Ordering::Relaxed);
        is
    }
}
