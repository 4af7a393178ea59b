//! `swapon=` words of the command line.

use alloc::vec::Vec;
use core::fmt;

use quire_linux::swap_area::{self, EnableError};
use quire_memory::swap;
use quire_swap::extension::BackendOptions;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Discard, SwapOffError, SwapOnOptions, ghost};

use crate::command_line::CommandLine;
use crate::zram;

/// The areas that [`enable`] enabled.
#[derive(Debug)]
pub struct Enabled(Vec<u8>);

/// Why swap was not enabled.
#[derive(Debug)]
pub enum SwapOnWordError<'a> {
    /// What follows the path is no option.
    Option(&'a str),
    /// The device cannot be enabled.
    Device(EnableError<'a>),
}

impl fmt::Display for SwapOnWordError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(word) => write!(
                f,
                "swapon={word}: expected PATH, then any of ,PRIORITY (0 to 32767) ,discard ,discard=once ,discard=pages, \
                 ,size=SIZE (to 16T) for /dev/ghostswap, and last ,KEY=VALUE for the area's backend"
            ),
            Self::Device(error) => error.fmt(f),
        }
    }
}

/// Enables what `swapon=PATH[,PRIORITY][,discard[=once|pages]][,size=SIZE][,KEY=VALUE]...` words name, in their order; without any, `/dev/vda`.
///
/// # Errors
/// [`SwapOnWordError`] for the first that cannot be enabled; those before it stay enabled.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn enable(command_line: CommandLine<'static>) -> Result<Enabled, SwapOnWordError<'static>> {
    let mut words: Vec<&str> = command_line.values("swapon").collect();
    if words.is_empty() {
        words.push("/dev/vda");
    }
    let mut enabled = Enabled(Vec::new());
    for word in words {
        let (path, options, size) = parse_swapon(word).ok_or(SwapOnWordError::Option(word))?;
        zram::prepare_for_swap(path);
        enabled.0.push(swap_area::enable(path, options, size).map_err(SwapOnWordError::Device)?);
    }
    Ok(enabled)
}

/// The path and the options of a `swapon=` word, with the names that `swapon(8)` gives them, and the size of the ghost device.
fn parse_swapon(word: &str) -> Option<(&str, SwapOnOptions<'_>, Option<u64>)> {
    let (path, mut rest) = first_part(word);
    let mut options = SwapOnOptions::default();
    let mut size = None;
    while let Some(here) = rest {
        let (part, behind) = first_part(here);
        rest = behind;
        if let Some(bytes) = part.strip_prefix("size=").filter(|_| path == ghost::PATH) {
            size = Some(quire_compressed::size(bytes).filter(|bytes| (1..=MOST_BYTES).contains(bytes))?);
            continue;
        }
        match part {
            "discard" => options.discard = Discard::Both,
            "discard=once" => options.discard = Discard::Once,
            "discard=pages" => options.discard = Discard::Pages,
            _ if part.contains('=') && !part.starts_with("discard") && path != ghost::PATH => {
                options.backend = BackendOptions(here);
                break;
            }
            priority => options.priority = Some(priority.parse().ok().filter(|priority| *priority >= 0)?),
        }
    }
    Some((path, options, size))
}

/// What is before the first comma, and what is behind it.
fn first_part(words: &str) -> (&str, Option<&str>) {
    words.split_once(',').map_or((words, None), |(first, rest)| (first, Some(rest)))
}

/// The largest ghost area.
const MOST_BYTES: u64 = ghost::MOST_PAGES * PAGE_SIZE as u64;

impl Enabled {
    /// The areas, in the order in which they were enabled.
    pub fn areas(&self) -> &[u8] {
        &self.0
    }

    /// Disables the areas again, the last one first. One that is not enabled any more is left out.
    ///
    /// # Errors
    /// [`SwapOffError`] when one stays.
    pub fn disable(self) -> Result<(), SwapOffError> {
        self.0.into_iter().rev().filter(|area| swap::core().area(*area).is_some()).try_for_each(swap::swapoff::disable)
    }
}
