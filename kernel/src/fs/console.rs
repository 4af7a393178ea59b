//! The serial console as a file.

use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;

use super::node::{File, Wait};
use crate::errno::Errno;
use crate::print;

struct Console;

/// Opens the console.
///
/// # Errors
/// None yet.
pub fn open(_flags: u32) -> Result<Arc<dyn File>, Errno> {
    Ok(Arc::new(Console))
}

impl File for Console {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: u64, _: &mut [u8], _: Wait) -> Result<usize, Errno> {
        Ok(0)
    }

    fn write(&self, _: u64, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        print!("{}", String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
}
