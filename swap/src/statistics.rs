//! What is counted, for all areas together and for each one.
//!
//! Counters only grow, so a difference of two snapshots tells what happened between them.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that grows.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of one area, or of all of them since the start.
        #[derive(Debug, Default)]
        pub struct Statistics {
            $($(#[$doc])* pub $name: Counter,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Statistics {
            pub(crate) const fn new() -> Self {
                Self { $($name: Counter(AtomicU64::new(0)),)* }
            }

            /// The counters now.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Pages queued to be written (Linux: `pswpout`).
    pages_out,
    /// Pages read (Linux: `pswpin`).
    pages_in,
    /// Pages found all zero, which are not written (Linux: `swpout_zero`).
    zero_out,
    /// Zero pages that came back (Linux: `swpin_zero`).
    zero_in,
    /// Pages whose write failed.
    failed_writes,
    /// Pages whose read failed.
    failed_reads,
    /// Batches that failed, whichever way they went.
    failed_batches,
    /// Batches handed to a backend to be written.
    write_batches,
    /// Batches handed to a backend to be read.
    read_batches,
    /// Requests that the block backend made to write.
    write_requests,
    /// Requests that the block backend made to read.
    read_requests,
    /// Batches handed over because the next folio belongs to another area or goes the other way.
    flushed_for_another,
    /// Batches handed over because the backend would not merge the next folio.
    flushed_unmergeable,
    /// Batches handed over because they were full.
    flushed_full,
    /// Batches handed over because a task was done gathering.
    flushed_on_request,
    /// Faults that found their page in the swap cache.
    cache_hits,
    /// Faults that had to bring their page in.
    cache_misses,
    /// Pages read ahead of any fault (Linux: `swap_ra`).
    readahead,
    /// Pages read ahead that a fault then wanted (Linux: `swap_ra_hit`).
    readahead_hits,
    /// Clusters told to the device as unused.
    discarded_clusters,
}

/// Adds to a counter of all areas and to the same one of `area`.
macro_rules! count {
    ($area:expr, $name:ident, $number:expr) => {{
        let number = $number;
        $area.statistics().$name.add(number);
        $area.shared().statistics.$name.add(number);
    }};
}
pub(crate) use count;
