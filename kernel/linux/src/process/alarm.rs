//! A process's alarm: `SIGALRM` at a time (`setitimer(2)`, `ITIMER_REAL`).

use core::time::Duration;

/// When `SIGALRM` is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// The time since boot; `None` for never.
    pub deadline: Option<Duration>,
    /// The time from one to the next; zero for only once.
    pub interval: Duration,
}

impl Alarm {
    /// Never.
    pub const NONE: Self = Self { deadline: None, interval: Duration::ZERO };
}
