//! How many pages pipes may have room for, one pipe and all of a user's together (`pipe(7)`, "/proc files").

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_machine::fallible::TryMap;
use quire_machine::sync::Rank;
use quire_machine::task::Mutex;
use quire_swap::header::PAGE_SIZE;

use crate::errno::Errno;
use crate::process::control_block::this;

/// For how many pages a new pipe has room.
const USUAL: usize = 16;
/// The same for a user whose pipes have too much already.
const LEAST: usize = 2;

/// `fs.pipe-max-size`, in bytes.
static MAX_BYTES: AtomicUsize = AtomicUsize::new(1 << 20);
/// `fs.pipe-user-pages-soft`: pipes beyond are small ones; 0 for no limit.
pub static SOFT: AtomicUsize = AtomicUsize::new(16 << 10);
/// `fs.pipe-user-pages-hard`: there are none beyond; 0 for no limit.
pub static HARD: AtomicUsize = AtomicUsize::new(0);

/// The pages that the pipes of each user have room for.
static USERS: Mutex<BTreeMap<u32, usize>> = Mutex::new(Rank::PipeRoom, BTreeMap::new());

/// What one pipe counts for among its user's.
pub(super) struct PipeRoom {
    user: u32,
    pages: usize,
}

/// The bytes of a pipe that is to have `bytes` (Linux: `round_pipe_size`).
fn rounded(bytes: u64) -> Result<usize, Errno> {
    if bytes > 1 << 31 {
        return Err(Errno::EINVAL);
    }
    Ok((bytes as usize).max(PAGE_SIZE).next_power_of_two())
}

/// `fs.pipe-max-size`.
pub fn max_bytes() -> usize {
    MAX_BYTES.load(Ordering::Relaxed)
}

/// Sets `fs.pipe-max-size`.
///
/// # Errors
/// `EINVAL`.
pub fn set_max_bytes(bytes: u64) -> Result<(), Errno> {
    MAX_BYTES.store(rounded(bytes)?, Ordering::Relaxed);
    Ok(())
}

/// Whether so many pages of a user's pipes are more than `limit`, and the limit holds for the process that is served.
fn exceeds(pages: usize, limit: &AtomicUsize) -> bool {
    let limit = limit.load(Ordering::Relaxed);
    limit != 0 && pages > limit && !this().identity().is_superuser()
}

impl PipeRoom {
    /// That of a new pipe of the process that is served.
    ///
    /// # Errors
    /// `ENFILE` beyond the user's hard limit, `ENOMEM`.
    pub(super) fn new() -> Result<Self, Errno> {
        let mut room = Self { user: this().identity().user.real, pages: 0 };
        if exceeds(room.count(USUAL)?, &SOFT) {
            room.count(LEAST)?;
        }
        if exceeds(room.of_user(), &HARD) {
            return Err(Errno::ENFILE);
        }
        Ok(room)
    }

    /// For how many pages there is room.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// The same for `bytes` bytes at least, if `resize` can make it so (Linux: `pipe_set_size`).
    ///
    /// # Errors
    /// `EINVAL` for what no pipe can have; `EPERM` for an ordinary user beyond a limit; those of `resize`.
    pub(super) fn set(&mut self, bytes: u64, resize: impl FnOnce(usize) -> Result<(), Errno>) -> Result<(), Errno> {
        let bytes = rounded(bytes)?;
        let (before, pages) = (self.pages, bytes / PAGE_SIZE);
        let grows = pages > before;
        if grows && bytes > max_bytes() && !this().identity().is_superuser() {
            return Err(Errno::EPERM);
        }
        let of_user = self.count(pages)?;
        let result = if grows && (exceeds(of_user, &HARD) || exceeds(of_user, &SOFT)) {
            Err(Errno::EPERM)
        } else {
            resize(pages)
        };
        if result.is_err() {
            self.count(before)?;
        }
        result
    }

    /// Counts for so many pages from now on; returns how many all pipes of the user count for.
    fn count(&mut self, pages: usize) -> Result<usize, Errno> {
        let mut users = USERS.lock();
        let others = users.get(&self.user).map_or(0, |all| all - self.pages);
        if others + pages == 0 {
            users.remove(&self.user);
        } else {
            users.insert_if_memory(self.user, others + pages)?;
        }
        self.pages = pages;
        Ok(others + pages)
    }

    fn of_user(&self) -> usize {
        USERS.lock().get(&self.user).copied().unwrap_or(0)
    }
}

impl Drop for PipeRoom {
    fn drop(&mut self) {
        // Less is not refused: there is an entry, which is changed or goes.
        let _ = self.count(0);
    }
}
