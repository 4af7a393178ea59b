//! What a `wait` waits for (`wait4(2)`, `waitid(2)`).

use super::control_block::Process;

/// Which children a `wait` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    Any,
    /// The one of this number.
    Number(u32),
    /// Those of this group.
    Group(u32),
}

/// What a `wait` waits for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the options of wait4(2), each by itself")]
pub struct Wanted {
    /// At which children.
    pub which: Which,
    /// Their ends.
    pub ends: bool,
    /// Their stops.
    pub stops: bool,
    /// That they go on.
    pub continuations: bool,
    /// Whether the next `wait` is to find the change again.
    pub leave: bool,
}

impl Wanted {
    /// Whether `child` is meant.
    pub(super) fn means(&self, child: &Process) -> bool {
        match self.which {
            Which::Any => true,
            Which::Number(pid) => child.pid() == pid,
            Which::Group(group) => child.group() == group,
        }
    }
}
