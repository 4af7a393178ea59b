//! Openings through which an object may be written, and programs that run from it.

use alloc::sync::Arc;

use super::Object;
use super::write_count::Busy;

/// An opening of a file through which its object may be written.
pub struct Writer(Arc<Object>);

impl Writer {
    /// One more.
    ///
    /// # Errors
    /// [`Busy`] while the object is executed.
    pub fn new(object: Arc<Object>) -> Result<Self, Busy> {
        object.writers.enter(1)?;
        Ok(Self(object))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writers.leave(1);
    }
}

/// A program that runs from an object.
pub struct Executed(Arc<Object>);

impl Executed {
    /// One more.
    ///
    /// # Errors
    /// [`Busy`] while the object may be written.
    pub fn new(object: Arc<Object>) -> Result<Self, Busy> {
        object.writers.enter(-1)?;
        Ok(Self(object))
    }
}

impl Drop for Executed {
    fn drop(&mut self) {
        self.0.writers.leave(-1);
    }
}
