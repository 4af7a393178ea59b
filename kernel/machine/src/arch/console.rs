//! The serial console.

pub(crate) use quire_drivers::serial::Serial as Console;

/// Opens the console.
pub(crate) fn open() -> Option<Console> {
    // SAFETY: COM1 is at its standard address on every machine that Quire boots on, and the log alone uses it; a panic opens
    // it a second time, when no other processor will write again.
    unsafe { Console::open() }
}
