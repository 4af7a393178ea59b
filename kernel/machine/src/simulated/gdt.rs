//! The selectors that a trap frame holds.

/// The programs' data and stack segment, for ring 3.
pub const USER_DATA: u16 = 0x18 | 3;
/// The programs' code segment, for ring 3.
pub const USER_CODE: u16 = 0x20 | 3;
