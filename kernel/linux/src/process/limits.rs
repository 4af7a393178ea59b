//! Resource limits, as `setrlimit(2)` has them.

use linux_raw_sys::general as linux;

use super::signal::Signal;

/// The most files that a process can have open (Linux: `fs.nr_open`).
pub const FILES_MAX: u64 = 4096;

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource(u8);

impl Resource {
    /// Seconds of processor time.
    pub const CPU: Self = Self(linux::RLIMIT_CPU as u8);
    /// Bytes of a file that is written.
    pub const FILE_SIZE: Self = Self(linux::RLIMIT_FSIZE as u8);
    /// Bytes of stack.
    pub const STACK: Self = Self(linux::RLIMIT_STACK as u8);
    /// Bytes of address space.
    pub const ADDRESS_SPACE: Self = Self(linux::RLIMIT_AS as u8);
    /// Bytes of data, the break included.
    pub const DATA: Self = Self(linux::RLIMIT_DATA as u8);
    /// Bytes that may be locked in memory.
    pub const LOCKED: Self = Self(linux::RLIMIT_MEMLOCK as u8);
    /// File descriptors.
    pub const FILES: Self = Self(linux::RLIMIT_NOFILE as u8);
    /// Processes.
    pub const PROCESSES: Self = Self(linux::RLIMIT_NPROC as u8);
    /// Bytes of a core file: there are none.
    const CORE: Self = Self(linux::RLIMIT_CORE as u8);
    /// Signals that wait, those of all processes of a user together.
    pub const SIGNALS: Self = Self(linux::RLIMIT_SIGPENDING as u8);
    /// Bytes in message queues: there are none.
    const QUEUES: Self = Self(linux::RLIMIT_MSGQUEUE as u8);
    /// Priorities: there are none.
    const NICE: Self = Self(linux::RLIMIT_NICE as u8);
    /// Real-time priorities: there are none.
    const REAL_TIME: Self = Self(linux::RLIMIT_RTPRIO as u8);

    const COUNT: usize = linux::RLIM_NLIMITS as usize;

    /// All, in the order of their numbers, with the names and units of `/proc/PID/limits`.
    pub const NAMES: [(&'static str, &'static str); Self::COUNT] = [
        ("Max cpu time", "seconds"),
        ("Max file size", "bytes"),
        ("Max data size", "bytes"),
        ("Max stack size", "bytes"),
        ("Max core file size", "bytes"),
        ("Max resident set", "bytes"),
        ("Max processes", "processes"),
        ("Max open files", "files"),
        ("Max locked memory", "bytes"),
        ("Max address space", "bytes"),
        ("Max file locks", "locks"),
        ("Max pending signals", "signals"),
        ("Max msgqueue size", "bytes"),
        ("Max nice priority", ""),
        ("Max realtime priority", ""),
        ("Max realtime timeout", "us"),
    ];

    /// The resource of that number, if there is one.
    pub fn new(number: u64) -> Option<Self> {
        (number < Self::COUNT as u64).then_some(Self(number as u8))
    }
}

/// A limit that holds, and the most that it may be raised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: u64 = u64::MAX;

    const fn new(soft: u64, hard: u64) -> Self {
        Self { soft, hard }
    }
}

/// The limits of one process.
#[derive(Clone, Copy, Debug)]
pub struct Limits([Limit; Resource::COUNT]);

impl Limits {
    /// The limit on `resource`.
    pub fn get(&self, resource: Resource) -> Limit {
        self.0[usize::from(resource.0)]
    }

    /// All, in the order of the resources' numbers.
    pub fn all(self) -> impl Iterator<Item = Limit> {
        self.0.into_iter()
    }

    /// What a process is to be told that has used so many seconds of processor time, if it has reached a limit. It is told again
    /// a second later, at what is the limit then, until it is killed (Linux: `check_process_timers`).
    pub fn heed_time(&mut self, seconds: u64) -> Option<Signal> {
        let Limit { soft, hard } = self.get(Resource::CPU);
        if seconds >= hard {
            return Some(Signal::SIGKILL);
        }
        if seconds < soft {
            return None;
        }
        self.set(Resource::CPU, Limit { soft: soft + 1, hard });
        Some(Signal::SIGXCPU)
    }

    /// Replaces the limit on `resource`.
    pub fn set(&mut self, resource: Resource, limit: Limit) {
        self.0[usize::from(resource.0)] = limit;
    }
}

/// Those of Linux's first process, but for what depends on the machine's memory.
impl Default for Limits {
    fn default() -> Self {
        let mut limits = Self([Limit::new(Limit::NONE, Limit::NONE); Resource::COUNT]);
        limits.set(Resource::STACK, Limit::new(8 << 20, Limit::NONE));
        limits.set(Resource::CORE, Limit::new(0, Limit::NONE));
        limits.set(Resource::FILES, Limit::new(1024, FILES_MAX));
        limits.set(Resource::PROCESSES, Limit::new(1024, 1024));
        limits.set(Resource::SIGNALS, Limit::new(1024, 1024));
        limits.set(Resource::LOCKED, Limit::new(8 << 20, 8 << 20));
        for nothing in [Resource::NICE, Resource::REAL_TIME] {
            limits.set(nothing, Limit::new(0, 0));
        }
        limits.set(Resource::QUEUES, Limit::new(819_200, 819_200));
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_uses_more_time_than_it_may_is_told_each_second_then_killed() {
        let mut limits = Limits::default();
        assert_eq!(limits.heed_time(1_000_000), None);
        limits.set(Resource::CPU, Limit { soft: 2, hard: 4 });
        let told: [_; 6] = [0, 1, 2, 2, 3, 4].map(|seconds| limits.heed_time(seconds));
        assert_eq!(told, [None, None, Some(Signal::SIGXCPU), None, Some(Signal::SIGXCPU), Some(Signal::SIGKILL)]);
        limits.set(Resource::CPU, Limit { soft: 3, hard: 3 });
        assert_eq!(limits.heed_time(3), Some(Signal::SIGKILL));
    }
}
