//! Limits of a process that its address space heeds.

/// A limit of a process that its address space heeds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_AS`.
    AddressSpace,
    /// `RLIMIT_DATA`.
    Data,
    /// `RLIMIT_DATA` as `brk` has it, which makes no exception for 0.
    Break,
    /// `RLIMIT_STACK`.
    Stack,
    /// `RLIMIT_MEMLOCK`; none for those that may lock all.
    Locked,
}

impl Limit {
    /// How many there are.
    pub(crate) const COUNT: usize = 5;
}
