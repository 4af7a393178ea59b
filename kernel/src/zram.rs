//! zram on this machine: the driver is started, and the command line makes devices ready as files in `/sys` do on Linux.
//!
//! `zram0.NAME=VALUE` writes VALUE to the attribute NAME of `/dev/zram0`, which is there from the start, in the order of
//! the words, with commas for spaces; `disksize` comes after what Linux accepts only before it. `swapon=/dev/zram0` writes a swap header to a
//! device that has none yet, as `mkswap` would.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use quire_compressed::zram::{Control, ZramDisk, ZramError};
use quire_linux::errno::Errno;
use quire_linux::fs::devices;
use quire_machine::fallible;
use quire_memory::swap::{self, Quire};
use quire_swap::header::{BadPages, Header, PAGE_SIZE};
use quire_swap::{IoError, RegistryError, page};

use crate::command_line::CommandLine;

/// Why zram is not ready.
#[derive(Debug)]
pub enum ZramStartError {
    /// Its swap operations cannot be registered.
    Registry(RegistryError),
    /// There is no memory for the first device.
    NoDevice(ZramError),
    /// The device refuses a value.
    Attribute(String, ZramError),
}

impl fmt::Display for ZramStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => write!(f, "zram cannot be registered with swap: {}", Errno::from(*error)),
            Self::NoDevice(error) => write!(f, "no /dev/zram0: {error}"),
            Self::Attribute(word, error) => write!(f, "command line: {word}: {}: {error}", Errno::from(*error)),
        }
    }
}

/// Registers zram with swap, adds `/dev/zram0`, and writes to its attributes what the command line says.
///
/// # Errors
/// [`ZramStartError`]: without swap operations there is no zram.
#[expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "once, as the kernel starts")]
pub fn start(command_line: CommandLine<'static>) -> Result<(), ZramStartError> {
    let control = Control::start(swap::core()).map_err(ZramStartError::Registry)?;
    control.hot_add().map_err(ZramStartError::NoDevice)?;
    devices::set_zram(control);
    let words = || command_line.as_str().split_whitespace().filter_map(attribute);
    let before_size = |name| {
        const FIRST: [&str; 5] =
            ["comp_algorithm", "recomp_algorithm", "algorithm_params", "backing_dev", "compressed_writeback"];
        FIRST.contains(&name)
    };
    let (first, then) = (words().filter(|word| before_size(word.1)), words().filter(|word| !before_size(word.1)));
    first.chain(then).try_for_each(|(device, name, value)| {
        let zram = devices::zram(device).ok_or(ZramError::NoDevice);
        zram.and_then(|zram| zram.store(name, &value.replace(',', " ")))
            .map_err(|error| ZramStartError::Attribute(format!("{device}.{name}={value}"), error))
    })
}

/// The device, the attribute and the value of a word of the command line, if it is for zram.
fn attribute(word: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let (place, value) = word.split_once('=')?;
    let (device, name) = place.split_once('.')?;
    device.starts_with("zram").then_some((device, name, value))
}

/// The device with this path for swap, if it is one and has a size; it gets a header if it has none.
pub fn open_for_swap(path: &str) -> Option<Arc<ZramDisk<Quire>>> {
    prepare_for_swap(path);
    devices::zram(path)?.open()
}

/// Gives the device with this path a swap header, if it is a zram device with a size and has none.
pub fn prepare_for_swap(path: &str) {
    if let Some(disk) = devices::zram(path).and_then(|device| device.open()) {
        // Without a header, or unreadable: `swapon` says what it finds.
        let _ = make_swap(&disk);
    }
}

fn make_swap(disk: &ZramDisk<Quire>) -> Result<(), IoError> {
    let mut page = fallible::boxed([0; PAGE_SIZE]).map_err(|_| IoError::NoMemory)?;
    disk.read(0, &mut page)?;
    if !page::is_zero(&page) {
        return Ok(());
    }
    let last_page = u32::try_from(disk.pages().saturating_sub(1)).map_err(|_| IoError::Unsupported)?;
    let header = Header { last_page, uuid: [0; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
    header.encode(&mut page).map_err(|_| IoError::Unsupported)?;
    disk.write(0, &page)
}
