//! Where reclaim has a page, for those who look from outside.

/// Where reclaim has a page.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as Linux shows them")]
pub struct ListState {
    /// In a list.
    pub listed: bool,
    /// In one that is protected for the time being.
    pub active: bool,
    /// It has to stay.
    pub unevictable: bool,
    /// It can go without being written.
    pub droppable: bool,
}
