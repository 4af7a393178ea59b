//! Signals by number, and sets of them.

use core::fmt;
use core::ops::{BitAnd, BitOr, Not};

use linux_raw_sys::general as linux;

/// How many signals there are; they are numbered from 1.
pub const SIGNALS: usize = 64;

/// A signal's number, from 1 to [`SIGNALS`]; the constants have the names of `signal(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(u8);

macro_rules! names {
    ($($name:ident)*) => {
        #[expect(missing_docs, reason = "signal(7) says what each one means")]
        impl Signal {
            $(pub const $name: Self = Self(linux::$name as u8);)*

            /// The name, as in `signal.h`; real-time signals have none.
            fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

names! {
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM
    SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO
    SIGPWR SIGSYS
}

/// What a signal does to a process that has said nothing about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// Ends it. Those that make Linux write a core file are among these: there are no core files.
    Terminate,
    /// Nothing.
    Ignore,
    /// Stops it until it is continued.
    Stop,
    /// Continues it, which happens when the signal is sent.
    Continue,
}

impl Signal {
    /// The signal of that number, if there is one.
    pub fn new(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|&number| number != 0 && usize::from(number) <= SIGNALS).map(Self)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether each one that is sent arrives, in order; of the others one at a time is pending.
    pub const fn is_real_time(self) -> bool {
        self.0 as u32 >= linux::SIGRTMIN
    }

    /// Its place in a table of all signals.
    pub(super) const fn index(self) -> usize {
        self.0 as usize - 1
    }

    /// What it does to a process that has said nothing about it (`signal(7)`, "Standard signals").
    pub fn default_action(self) -> DefaultAction {
        match self {
            Self::SIGCHLD | Self::SIGURG | Self::SIGWINCH => DefaultAction::Ignore,
            Self::SIGCONT => DefaultAction::Continue,
            signal if Set::STOPS.contains(signal) => DefaultAction::Stop,
            _ => DefaultAction::Terminate,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

/// A set of signals: signal `n` is bit `n - 1`, as in the kernel's `sigset_t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Set(u64);

impl Set {
    /// No signal.
    pub const EMPTY: Self = Self(0);
    /// Those that nothing can block, ignore or handle.
    pub const UNSTOPPABLE: Self = Self::of(&[Signal::SIGKILL, Signal::SIGSTOP]);
    /// Those that stop a process by default.
    pub const STOPS: Self = Self::of(&[Signal::SIGSTOP, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]);
    /// Those that an instruction causes; they are delivered before others.
    pub const SYNCHRONOUS: Self =
        Self::of(&[Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGFPE, Signal::SIGSYS]);

    /// Those that end a process as it is found, for a core file to be written on Linux.
    pub const FOR_CORE_FILES: Self = Self::of(&[
        Signal::SIGQUIT,
        Signal::SIGILL,
        Signal::SIGTRAP,
        Signal::SIGABRT,
        Signal::SIGBUS,
        Signal::SIGFPE,
        Signal::SIGSEGV,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGSYS,
    ]);

    /// The set that `bits` say.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set's bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set of `signals`.
    pub const fn of(signals: &[Signal]) -> Self {
        let (mut bits, mut index) = (0, 0);
        while index < signals.len() {
            bits |= 1 << signals[index].index();
            index += 1;
        }
        Self(bits)
    }

    /// Whether `signal` is in it.
    pub const fn contains(self, signal: Signal) -> bool {
        self.0 & 1 << signal.index() != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Puts `signal` in.
    pub fn insert(&mut self, signal: Signal) {
        self.0 |= 1 << signal.index();
    }

    /// Takes `signal` out.
    pub fn remove(&mut self, signal: Signal) {
        self.0 &= !(1 << signal.index());
    }

    /// What is in it, by number.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=SIGNALS as u8).map(Signal).filter(move |&signal| self.contains(signal))
    }
}

impl BitAnd for Set {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Set {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Not for Set {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}
