//! How far a file may be written: to the greatest position, and to the process's `RLIMIT_FSIZE`, beyond which it is sent
//! `SIGXFSZ` (Linux: `generic_write_check_limits` and `inode_newsize_ok`).

use super::position::Position;
use crate::errno::Errno;
use crate::process::control_block::current;
use crate::process::limits::{Limit, Resource};
use crate::process::signal::{Info, Signal};
use crate::process::table;

/// The limit of the process that is served; kernel threads have none.
fn limit() -> u64 {
    current().map_or(Limit::NONE, |process| process.limit(Resource::FILE_SIZE).soft)
}

/// The process wants to go beyond its limit.
fn refuse() -> Errno {
    if let Some(process) = current() {
        // Not a real-time signal: there is always room for it.
        let _ = table::send_to(&process, Signal::SIGXFSZ, Info::Kernel);
    }
    Errno::EFBIG
}

/// How many of `bytes` bytes may be written from `start` on.
///
/// # Errors
/// `EFBIG` if not even one may, although there is one.
pub fn writable(start: Position, bytes: usize) -> Result<usize, Errno> {
    if bytes == 0 {
        return Ok(0);
    }
    // A limit that is no `loff_t` is below every position, as on Linux.
    let end = match limit() {
        Limit::NONE => Position::MAX,
        limit => Position::new(limit).filter(|end| start < *end).ok_or_else(refuse)?,
    };
    let room = end.get() - start.get();
    if room == 0 { Err(Errno::EFBIG) } else { Ok(bytes.min(room as usize)) }
}

/// Whether a file of `old` bytes may become one of `new`.
///
/// # Errors
/// `EFBIG`.
pub fn check_new_length(old: u64, new: Position) -> Result<(), Errno> {
    if new.get() > old && new.get() > limit() { Err(refuse()) } else { Ok(()) }
}
