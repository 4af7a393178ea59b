//! The time that nodes are marked with.

use core::time::Duration;

use crate::task::time;

/// Now, since 1970 as far as the machine knows.
pub fn now() -> Duration {
    time::since_1970()
}
