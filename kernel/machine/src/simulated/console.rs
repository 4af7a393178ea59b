//! The serial console: what it is sent is the test's output, and nothing arrives.

use std::fmt;
use std::io::Write;

/// The console.
#[derive(Debug)]
pub struct Console(());

/// Opens the console.
pub fn open() -> Option<Console> {
    Some(Console(()))
}

impl Console {
    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        // Not by `stdout`, which a test's output is not captured from.
        std::print!("{}", String::from_utf8_lossy(bytes));
        let _ = std::io::stdout().flush();
    }

    /// A byte that has arrived.
    pub fn receive(&mut self) -> Option<u8> {
        None
    }
}

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        std::print!("{text}");
        Ok(())
    }
}
