//! The first serial port, the kernel's console.
//!
//! Works from the first instruction on: it needs no memory, no interrupt and no clock. The kernel's log lock guards it.

use core::fmt;

use uart_16550::{BaudRate, Config, Uart16550, Uart16550Tty, backend::PioBackend};

/// COM1's I/O port, the same on every PC.
const COM1: u16 = 0x3f8;

/// A serial port that ends lines the way terminals expect.
#[derive(Debug)]
pub struct Serial(Uart16550Tty<PioBackend>);

impl Serial {
    /// COM1 at 115200 baud, 8 bits, no parity, with its FIFOs on and its interrupts off, if there is such a port.
    ///
    /// # Safety
    ///
    /// Nothing else uses COM1 from here on.
    pub unsafe fn open() -> Option<Self> {
        // SAFETY: the ports are COM1's, and the caller keeps others away from them.
        let mut port = unsafe { Uart16550::new_port(COM1) }.ok()?;
        port.init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT }).ok()?;
        Some(Self(Uart16550Tty::from_inner(port)))
    }

    /// The next byte that arrived, if one did; never waits.
    pub fn receive(&mut self) -> Option<u8> {
        self.0.inner_mut().try_receive_byte().ok()
    }

    /// Sends bytes as they are; waits for the port as long as that takes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.inner_mut().send_bytes_exact(bytes);
    }
}

impl fmt::Write for Serial {
    /// Waits for the port as long as it takes to send the text; a line feed becomes carriage return and line feed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }
}
