//! The first serial port, the kernel's console.
//!
//! Works from the first instruction on: it needs no memory, no interrupt and no clock. The kernel's log lock guards it.

use core::fmt;

use uart_16550::{BaudRate, Config, Uart16550, Uart16550Tty, backend::PioBackend, spec::registers::IER};

/// COM1, whose I/O ports are here on every PC. Used through [`SerialPort::com1`] only.
// SAFETY: the ports are COM1's; the caller of `com1` keeps others away from them.
const COM1: Uart16550<PioBackend> = match unsafe { Uart16550::new_port(0x3f8) } {
    Ok(uart) => uart,
    Err(_) => panic!("the ports end below 64 KiB"),
};

/// A serial port that ends lines the way terminals expect.
#[derive(Debug)]
pub struct SerialPort(Uart16550Tty<PioBackend>);

impl SerialPort {
    /// COM1 as the firmware left it, usable for output in QEMU even before [`initialise`](Self::initialise).
    ///
    /// # Safety
    ///
    /// Nothing else uses COM1 for as long as this exists.
    pub const unsafe fn com1() -> Self {
        Self(Uart16550Tty::from_inner(COM1))
    }

    /// Sets 115200 baud, 8 bits, no parity, and switches the FIFOs on; false if there is no such port.
    pub fn initialise(&mut self) -> bool {
        self.0.inner_mut().init(Config { baud_rate: BaudRate::Baud115200, ..Config::DEFAULT }).is_ok()
    }

    /// The next byte that arrived, if one did; never waits.
    pub fn receive(&mut self) -> Option<u8> {
        self.0.inner_mut().try_receive_byte().ok()
    }

    /// Makes the port raise its interrupt (ISA line 4) when bytes have arrived.
    pub fn enable_receive_interrupt(&mut self) {
        self.0.inner_mut().enable_interrupts(IER::DATA_READY);
    }
}

impl fmt::Write for SerialPort {
    /// Waits for the port as long as it takes to send the text; a line feed becomes carriage return and line feed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }
}
