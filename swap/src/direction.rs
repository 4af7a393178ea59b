//! Which way pages go.

/// Which way pages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the area to memory.
    Read,
    /// From memory to the area.
    Write,
}
