//! What a person wants of the machine: that it pauses, goes on, runs slower, or goes on until something happens.

use std::{str::FromStr, time::Duration};

use crate::observatory::event::{Event, What};

/// How long the machine runs at a time when it runs slower.
pub(super) const SLICE: Duration = Duration::from_millis(10);

/// The greatest factor of "slower".
const SLOWEST: u32 = 1000;

/// How the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Not at all.
    Paused,
    /// So many times slower than it could; 1 for as fast as it can.
    Slower(u32),
    /// Until this happens; then it pauses.
    Until(Awaited),
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A page fault is served.
    Fault,
    /// A reclaim pass ends.
    Reclaim,
    /// A page goes out.
    PageOut,
}

impl Awaited {
    /// Whether one of `events` is it.
    pub(super) fn is_among(self, events: &[Event]) -> bool {
        events.iter().any(|event| match event.what {
            What::Fault { .. } => self == Self::Fault,
            What::Reclaim { .. } => self == Self::Reclaim,
            What::PageOut { .. } => self == Self::PageOut,
            _ => false,
        })
    }
}

/// What the page can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Stop.
    Pause,
    /// Go on, as fast as before.
    Continue,
    /// From now on so many times slower.
    Slower(u32),
    /// Go on until then.
    Until(Awaited),
}

impl FromStr for Command {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        match words.split_once(' ').unwrap_or((words, "")) {
            ("pause", "") => Ok(Self::Pause),
            ("continue", "") => Ok(Self::Continue),
            ("until", "fault") => Ok(Self::Until(Awaited::Fault)),
            ("until", "reclaim") => Ok(Self::Until(Awaited::Reclaim)),
            ("until", "page-out") => Ok(Self::Until(Awaited::PageOut)),
            ("slower", factor) => match factor.parse() {
                Ok(factor @ 1..=SLOWEST) => Ok(Self::Slower(factor)),
                _ => Err(format!("slower takes a factor from 1 to {SLOWEST}, as in: slower 5")),
            },
            _ => {
                Err("a command is pause, continue, slower FACTOR, until fault, until reclaim or until page-out".into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Awaited, Command};

    #[test]
    fn commands_are_words_and_wrong_ones_are_answered_with_the_right_ones() {
        assert_eq!("pause".parse(), Ok(Command::Pause));
        assert_eq!("until page-out".parse(), Ok(Command::Until(Awaited::PageOut)));
        assert_eq!("slower 1000".parse(), Ok(Command::Slower(1000)));
        for wrong in ["", "slower", "slower 0", "slower 1001", "slower -1", "until", "until now", "pause now", "quit"] {
            let refused = wrong.parse::<Command>().unwrap_err();
            assert!(refused.contains("slower"), "{wrong}: {refused}");
        }
    }
}
