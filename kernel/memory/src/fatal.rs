//! Why a task cannot go on.

/// Why a task cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A page could not be read back from swap (Linux: SIGBUS).
    ReadFailed(quire_swap::Entry),
    /// No frame could be had for it (Linux: the out-of-memory killer's SIGKILL).
    OutOfMemory,
    /// Its process was killed by then, or its memory has been taken away for that: nothing is served any more.
    Killed,
    /// It touched an address that it has not mapped (Linux: SIGSEGV).
    NotMapped(u64),
    /// It did with an address what its mapping does not allow (Linux: SIGSEGV).
    NotAllowed(u64),
    /// It touched a page that its object has not (Linux: SIGBUS).
    BeyondObject(u64),
    /// The file system of what is mapped there is full.
    NoSpace(u64),
}
