//! How much of something may be in use: the blocks and the nodes of a file system (Linux: `max_blocks`, `used_blocks` and
//! their like in `struct shmem_sb_info`).

use core::sync::atomic::{AtomicU64, Ordering};

/// A limit, and what is in use of it. Both change at any time, without a lock.
#[derive(Debug)]
pub struct Quota {
    used: AtomicU64,
    /// 0 for none.
    limit: AtomicU64,
}

impl Quota {
    /// Nothing is in use; `limit` is 0 for none.
    pub const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit: AtomicU64::new(limit) }
    }

    /// What is in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit; 0 for none.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// What can still be taken; as much as can be if there is no limit.
    pub fn free(&self) -> u64 {
        match self.limit() {
            0 => u64::MAX,
            limit => limit.saturating_sub(self.used()),
        }
    }

    /// Takes `number`, or nothing if that is more than there is; says whether it did.
    #[must_use]
    pub fn take(&self, number: u64) -> bool {
        let fits = |used: u64| {
            let used = used.checked_add(number)?;
            let limit = self.limit();
            (limit == 0 || used <= limit).then_some(used)
        };
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Takes `number` of what is in use already, whatever the limit is.
    pub fn take_anyway(&self, number: u64) {
        self.used.fetch_add(number, Ordering::Relaxed);
    }

    /// Releases what was taken.
    pub fn release(&self, number: u64) {
        let before = self.used.fetch_sub(number, Ordering::Relaxed);
        debug_assert!(before >= number, "{number} of {before} are released");
    }

    /// Whether the limit can become `limit`: not below what is in use, and not where there was none before.
    pub fn allows_limit(&self, limit: u64) -> bool {
        limit == 0 || self.limit() > 0 && self.used() <= limit
    }

    /// Sets the limit; 0 for none.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Quota;

    #[test]
    fn no_more_is_taken_than_there_is() {
        let quota = Quota::new(3);
        assert!(quota.take(2) && !quota.take(2) && quota.take(1) && !quota.take(1));
        assert_eq!((quota.used(), quota.free()), (3, 0));
        quota.take_anyway(2);
        assert_eq!((quota.used(), quota.free()), (5, 0));
        quota.release(4);
        assert_eq!(quota.free(), 2);
        assert!(!quota.take(u64::MAX));
    }

    #[test]
    fn without_a_limit_there_is_always_more() {
        let quota = Quota::new(0);
        assert!(quota.take(1 << 40));
        assert_eq!(quota.free(), u64::MAX);
    }

    #[test]
    fn a_limit_is_not_set_below_what_is_in_use() {
        let quota = Quota::new(10);
        assert!(quota.take(5));
        assert!(!quota.allows_limit(4) && quota.allows_limit(5) && quota.allows_limit(0));
        quota.set_limit(0);
        assert!(!quota.allows_limit(100), "not where there was none");
    }
}
