//! Swap areas in trouble: a disk that reads nothing any more, and a `swapoff` that cannot go on. These checks need
//! `/dev/vda` as their swap area, and the machine for themselves.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::{
        mman::MmapAdvise,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
    unistd::{pipe, read, write},
};
use quire_protocol::contents::{Contents, hash};

use super::{
    outcome::{Check, Outcome, alarm_every, require, require_killed},
    swapped::{PAGES, hashes, paged_out},
};
use crate::{
    areas, files,
    memory::{Memory, lock_all, squeeze},
    process::{Child, End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("trouble-lost-pages", lost_pages),
    ("trouble-swapoff-interrupted", swapoff_interrupted),
    ("trouble-swapoff-without-room", swapoff_without_room),
];

const AREA: &str = "/dev/vda";

/// The disk takes pages and does not give them back: who needs one gets SIGBUS, and others go on.
fn lost_pages() -> Outcome {
    let mut kept = Memory::private(PAGES)?;
    lock_all()?;
    kept.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
    let expected = hashes(&mut kept);
    require_killed(Signal::SIGBUS, "reading a page that its disk has lost", || {
        // What it has already stays in memory: only the pages that it looks for shall be lost.
        // SAFETY: locking changes no contents.
        if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) } != 0 {
            return 1;
        }
        let out = Memory::private(PAGES).map_err(Into::into).and_then(paged_out);
        let Ok((mut memory, expected)) = out else { return 2 };
        if squeeze().is_err() {
            return 3;
        }
        let populated = memory.advise(0..PAGES, MmapAdvise::MADV_POPULATE_READ);
        if populated != Err(Errno::EFAULT) || memory.lock() != Err(Errno::ENOMEM) {
            return 4;
        }
        i32::from(hashes(&mut memory) == expected)
    })?;
    require!(hashes(&mut kept) == expected, "pages of another process have changed");
    Ok(areas::disable(AREA)?)
}

static ALARMS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

/// `swapoff(2)`; its error as an exit status.
fn swap_off() -> i32 {
    areas::swapoff(AREA).err().map_or(0, |error| error as i32)
}

/// [`swap_off`] while an alarm comes every other millisecond, to a handler that would let other calls go on.
fn swap_off_with_alarms() -> i32 {
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler uses an atomic only.
    let is_handled = unsafe { sigaction(Signal::SIGALRM, &action) }.is_ok();
    if is_handled && alarm_every(Duration::from_millis(2)).is_ok() { swap_off() } else { -1 }
}

fn is_enabled() -> std::io::Result<bool> {
    Ok(files::text("/proc/swaps")?.lines().any(|line| line.starts_with(AREA)))
}

fn swapoff_interrupted() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    squeeze()?;
    let mut end = end_of(swap_off_with_alarms)?;
    // On a machine where no alarm came in time: once more, with everything out again.
    while end == End::Exited(0) {
        areas::enable(AREA, 5)?;
        memory.page_out()?;
        squeeze()?;
        end = end_of(swap_off_with_alarms)?;
    }
    require!(end == End::Exited(Errno::EINTR as i32), "a swapoff that is interrupted gave {end}, not EINTR");
    require!(is_enabled()?, "the area has gone all the same");
    areas::disable(AREA)?;
    require!(!is_enabled()?, "the area is still there");
    require!(hashes(&mut memory) == expected, "pages came back changed");
    Ok(areas::enable(AREA, 5)?)
}

/// What is in the area does not fit into memory, and the other area keeps nothing: the area stays, and nobody dies for it.
fn swapoff_without_room() -> Outcome {
    let pages = files::number("/proc/meminfo", "MemTotal")? as usize / 4 * 5 / 4;
    let ((reader, writer), (answers, answer)) = (pipe()?, pipe()?);
    let holder = Child::start(|| {
        let Ok(mut memory) = Memory::private(pages) else { return 1 };
        memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
        if write(&answer, b"x").is_err() || read(&reader, &mut [0]).is_err() {
            return 2;
        }
        let mut expected = [0; crate::memory::PAGE];
        i32::from(memory.pages().iter().zip(0..).any(|(page, number)| {
            Contents::Text.fill(&mut expected, number);
            hash(page) != hash(&expected)
        }))
    })?;
    read(&answers, &mut [0])?;
    let end = end_of(swap_off)?;
    write(&writer, b"x")?;
    let held = holder.wait()?;
    require!(end == End::Exited(Errno::ENOMEM as i32), "a swapoff without room gave {end}, not ENOMEM");
    require!(is_enabled()?, "the area has gone all the same");
    require!(held == End::Exited(0), "whoever has its pages there gave {held}");
    Ok(())
}
