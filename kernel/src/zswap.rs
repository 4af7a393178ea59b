//! zswap on this machine: it is started, its parameters are set by the command line as on Linux, and a thread writes cold
//! pages back.
//!
//! `zswap.NAME=VALUE` writes VALUE to the parameter NAME; `zswap.enabled=1` comes before `swapon=` whatever the order of
//! the words.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use quire_compressed::zswap::{Zswap, ZswapError};
use quire_linux::errno::Errno;
use quire_linux::fs::devices;
use quire_machine::physical;
use quire_machine::task;
use quire_memory::AllocationError;
use quire_memory::swap;
use quire_memory::swap::happening::Happening;
use quire_swap::RegistryError;

use crate::command_line::CommandLine;

/// Pages are to be written back.
static SHRINK: Happening = Happening::new();

/// Why zswap is not ready.
#[derive(Debug)]
pub enum ZswapStartError {
    /// No memory for its tables, or it is started already.
    Registry(RegistryError),
    /// A parameter does not exist, or refuses its value.
    Parameter(String, ZswapError),
    /// No memory for the thread.
    Thread(AllocationError),
}

impl fmt::Display for ZswapStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(error) => write!(f, "no zswap: {}", Errno::from(*error)),
            Self::Parameter(word, error) => write!(f, "command line: {word}: {}: {error}", Errno::from(*error)),
            Self::Thread(error) => write!(f, "no thread for zswap: {error}"),
        }
    }
}

/// Puts zswap before swap and sets its parameters.
///
/// # Errors
/// [`ZswapStartError`].
#[expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "once, as the kernel starts")]
pub fn start(command_line: CommandLine<'static>) -> Result<(), ZswapStartError> {
    let zswap = Zswap::start(swap::core(), physical::managed_frames() as u64).map_err(ZswapStartError::Registry)?;
    devices::set_zswap(Arc::clone(&zswap));
    let words = command_line.as_str().split_whitespace();
    let parameters = words.filter_map(|word| word.strip_prefix("zswap.")?.split_once('='));
    for (name, value) in parameters {
        zswap.set(name, value).map_err(|error| ZswapStartError::Parameter(format!("zswap.{name}={value}"), error))?;
    }
    let work = move || {
        // What it frees is what others wait for.
        task::current().running().set_reclaims();
        SHRINK.whenever(|| _ = zswap.shrink());
    };
    task::spawn("zswap", work).map(drop).map_err(ZswapStartError::Thread)
}

/// Wakes the thread that writes pages back.
pub(crate) fn wake() {
    SHRINK.happened();
}

/// Few frames are free.
pub fn memory_is_low() {
    if let Some(zswap) = devices::zswap() {
        zswap.memory_is_low();
    }
}
