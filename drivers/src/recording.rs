//! QEMU's `isa-debugcon`: where a recording of page references leaves.

use quire_protocol::recording::RECORDING_PORT;
use x86_64::instructions::port::Port;

/// Adds a byte to the recording. Without the device it is lost.
pub fn write(byte: u8) {
    // SAFETY: the port belongs to isa-debugcon and nothing else; a write touches no memory.
    unsafe { Port::new(RECORDING_PORT).write(byte) };
}
