//! The block layer and the device drivers.
