//! The terminal that there is.

use core::time::Duration;

use quire_machine::sync::Rank;
use quire_machine::task::Mutex;

use super::discipline::Discipline;
use crate::fs::changes::Changes;

/// The terminal.
pub(super) struct Terminal {
    pub(super) state: Mutex<State>,
    /// There may be something to read, or output may go on.
    pub(super) changes: Changes,
}

pub(super) struct State {
    pub(super) discipline: Discipline,
    /// Rows and columns, and the same in pixels; zeros until they are set.
    pub(super) window: [u16; 4],
    /// When the last byte was typed, as time since boot.
    pub(super) typed: Duration,
}

pub(super) static TERMINAL: Terminal = Terminal {
    state: Mutex::new(Rank::Terminal, State { discipline: Discipline::new(), window: [0; 4], typed: Duration::ZERO }),
    changes: Changes::new(),
};
