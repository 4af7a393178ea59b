//! The interrupt vectors that are taken.

/// The timer's vector.
pub const TIMER: u8 = 0x20;
/// The first vector that devices may be given.
pub const FIRST_DEVICE: u8 = 0x30;
/// How many vectors devices may be given.
pub const DEVICES: u8 = 32;
/// The local APIC's spurious vector.
pub const SPURIOUS: u8 = 0xff;
