//! How the driver uses the device's queue.

/// The device's only queue.
pub(super) const QUEUE: u16 = 0;

/// The most requests in flight. QEMU's queue has 256 places by default; the driver may use fewer.
pub const QUEUE_SIZE: usize = 64;
