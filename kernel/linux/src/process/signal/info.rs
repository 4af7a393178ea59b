//! What a handler is told about its signal: Linux's `siginfo_t`.

use linux_raw_sys::general as linux;

use super::number::Signal;

/// Why a child's state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildChange {
    /// It called `exit` with this status, of which eight bits count.
    Exited(u8),
    /// A signal ended it.
    Killed(Signal),
    /// A signal stopped it.
    Stopped(Signal),
    /// It goes on.
    Continued,
}

impl ChildChange {
    /// `si_code` and `si_status`.
    pub fn code_and_status(self) -> (u32, u8) {
        match self {
            Self::Exited(status) => (linux::CLD_EXITED, status),
            Self::Killed(signal) => (linux::CLD_KILLED, signal.number()),
            Self::Stopped(signal) => (linux::CLD_STOPPED, signal.number()),
            Self::Continued => (linux::CLD_CONTINUED, Signal::SIGCONT.number()),
        }
    }

    /// The status as `wait4` reports it (`wait.h`).
    pub fn wait_status(self) -> u32 {
        match self {
            Self::Exited(status) => u32::from(status) << 8,
            Self::Killed(signal) => u32::from(signal.number()),
            Self::Stopped(signal) => u32::from(signal.number()) << 8 | 0x7f,
            Self::Continued => 0xffff,
        }
    }
}

/// What is known of a signal that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Info {
    /// The kernel sent it (`SI_KERNEL`).
    Kernel,
    /// A process sent it, by `kill`.
    User {
        /// The sender.
        pid: u32,
        /// Its real user.
        user: u32,
    },
    /// A process sent it to a thread, by `tkill` or `tgkill`.
    Thread {
        /// The sender.
        pid: u32,
        /// Its real user.
        user: u32,
    },
    /// A process sent it with a value, by `rt_sigqueueinfo`; all of it is as the sender says.
    Queued {
        /// `si_code`.
        code: i32,
        /// `si_pid`.
        pid: u32,
        /// `si_uid`.
        uid: u32,
        /// `si_value`.
        value: u64,
    },
    /// A child's state changed.
    Child {
        /// The child.
        pid: u32,
        /// Its real user.
        user: u32,
        /// How.
        change: ChildChange,
    },
    /// An instruction caused it.
    Fault {
        /// `si_code`, which depends on the signal: `SEGV_MAPERR`, `FPE_INTDIV`, ….
        code: u32,
        /// The address that was touched, or the instruction's.
        address: u64,
    },
}

impl Info {
    /// The bytes of the structure.
    pub const BYTES: usize = linux::SI_MAX_SIZE as usize;

    /// What a process queues: Linux's structure, from which code, sender and value are taken.
    pub fn queued(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        Self::Queued {
            code: word(2).cast_signed(),
            pid: word(4),
            uid: word(5),
            value: u64::from(word(6)) | u64::from(word(7)) << 32,
        }
    }

    /// The structure's bytes, for `signal`.
    pub fn to_bytes(self, signal: Signal) -> [u8; Self::BYTES] {
        // Words of four bytes: signal, error number, code, padding, and from the fifth on what depends on the code.
        let (code, rest) = match self {
            Self::Kernel => (linux::SI_KERNEL, [0; 4]),
            Self::User { pid, user } => (linux::SI_USER, [pid, user, 0, 0]),
            Self::Thread { pid, user } => (linux::SI_TKILL.cast_unsigned(), [pid, user, 0, 0]),
            Self::Queued { code, pid, uid, value } => {
                (code.cast_unsigned(), [pid, uid, value as u32, (value >> 32) as u32])
            }
            Self::Child { pid, user, change } => {
                let (code, status) = change.code_and_status();
                (code, [pid, user, u32::from(status), 0])
            }
            Self::Fault { code, address } => (code, [address as u32, (address >> 32) as u32, 0, 0]),
        };
        let mut bytes = [0; Self::BYTES];
        let words = [u32::from(signal.number()), 0, code, 0].into_iter().chain(rest);
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes
    }
}
