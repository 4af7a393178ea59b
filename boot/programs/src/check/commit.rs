//! What the kernel promises in memory: the sum, exactly, and what each mode of `vm.overcommit_memory` refuses. For a machine
//! that does nothing else meanwhile: a guest.

use std::{fs::File, io::Write, ptr};

use nix::{
    errno::Errno,
    libc,
    sys::signal::Signal,
    unistd::{Uid, setuid},
};

use super::{
    bounds::{extend_heap, refused},
    mappings,
    outcome::{Check, Outcome, require, require_success},
};
use crate::{
    files,
    memory::PAGE,
    process::Child,
    raw::{self, ANONYMOUS, READ, READ_WRITE},
};

pub(super) const CHECKS: &[Check] =
    &[("commit-sum", sum), ("commit-guess", guess), ("commit-limit", limit), ("commit-reserves", reserves)];

const MIB: usize = 1 << 20;
const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;

fn committed() -> Result<u64, super::Failure> {
    Ok(files::number("/proc/meminfo", "Committed_AS")?)
}

/// Every way to memory adds to the sum what it may come to use, and everything is gone from it in the end.
fn sum() -> Outcome {
    let before = committed()?;
    require_success("what is promised", || {
        let mut last = committed()?;
        let mut step = |what: &str, more_kib: i64| -> Outcome {
            let now = committed()?;
            let more = now.cast_signed() - last.cast_signed();
            require!(more == more_kib, "{what} added {more} KiB to what is promised, not {more_kib}");
            last = now;
            Ok(())
        };
        let private = raw::map(8 * MIB, READ_WRITE, ANONYMOUS)?;
        step("private memory of 8 MiB", 8192)?;
        raw::map_at(private.wrapping_byte_add(MIB), MIB, READ_WRITE, ANONYMOUS | libc::MAP_FIXED)?;
        step("memory in place of a part", 0)?;
        raw::map_at(private.wrapping_byte_add(MIB), MIB, READ, ANONYMOUS | libc::MAP_FIXED)?;
        step("memory that is only read in place of a part", -1024)?;
        raw::protect(private.wrapping_byte_add(MIB), MIB, READ_WRITE)?;
        step("writing it, too", 1024)?;
        raw::protect(private, 8 * MIB, READ_WRITE)?;
        step("writing what can be written", 0)?;
        raw::unmap(private.wrapping_byte_add(2 * MIB), MIB)?;
        step("a hole of 1 MiB", -1024)?;
        let grown = raw::remap(private, 2 * MIB, 5 * MIB, libc::MREMAP_MAYMOVE, ptr::null_mut())?;
        step("2 MiB that become 5", 3072)?;
        let smaller = raw::remap(grown, 5 * MIB, MIB, 0, ptr::null_mut())?;
        step("5 MiB that become 1", -4096)?;
        raw::advise(smaller, MIB, libc::MADV_DONTNEED)?;
        step("what is not needed", 0)?;
        raw::map(4 * MIB, READ_WRITE, ANONYMOUS | libc::MAP_NORESERVE)?;
        step("memory without reserve", 0)?;
        raw::map(4 * MIB, READ, ANONYMOUS)?;
        step("memory that is only read", 0)?;
        let shared = raw::map(4 * MIB, READ_WRITE, SHARED)?;
        step("shared memory of 4 MiB", 4096)?;
        raw::unmap(shared, 2 * MIB)?;
        step("half of it", 0)?;
        raw::unmap(shared.wrapping_byte_add(2 * MIB), 2 * MIB)?;
        step("the other half", -4096)?;
        let mut file = mappings::file(64)?;
        step("a file of holes", 0)?;
        file.write_all(&vec![1; 16 * PAGE])?;
        step("16 pages of it", 64)?;
        file.set_len(4 * PAGE as u64)?;
        step("a shorter file", -48)?;
        drop(file);
        step("no file", -16)?;
        extend_heap(MIB)?;
        step("a heap that grew and shrank", 0)?;
        let all = 1024 + 5120;
        let held = Child::start(|| {
            // SAFETY: this process only waits for its end.
            unsafe { libc::pause() }
        })?;
        let with_child = committed()?.cast_signed() - last.cast_signed();
        require!(with_child >= all, "a child's copy of {all} KiB added {with_child} KiB to what is promised");
        held.signal(Signal::SIGKILL)?;
        held.wait()?;
        wait_for(last)
    })?;
    wait_for(before)
}

/// A process that has ended gives its memory back in its own time.
fn wait_for(wanted: u64) -> Outcome {
    let mut now = 0;
    for _ in 0..500 {
        now = committed()?;
        if now == wanted {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    require!(false, "{wanted} KiB were promised before, {now} after");
    Ok(())
}

fn set(name: &str, value: u64) -> Outcome {
    Ok(files::set(&format!("/proc/sys/vm/{name}"), &value.to_string())?)
}

/// Does `work` in a mode, then sets all back.
fn in_mode(mode: u64, work: impl FnOnce() -> Outcome) -> Outcome {
    let kept = ["admin_reserve_kbytes", "user_reserve_kbytes"];
    let numbers = kept.map(|name| files::numbers(&format!("/proc/sys/vm/{name}")).unwrap_or_default());
    set("overcommit_memory", mode)?;
    let outcome = require_success("in this mode", work);
    set("overcommit_memory", 0)?;
    set("overcommit_ratio", 50)?;
    for (name, number) in kept.iter().zip(numbers) {
        set(name, number.first().copied().unwrap_or(0))?;
    }
    outcome
}

fn guess() -> Outcome {
    let all = files::number("/proc/meminfo", "MemTotal")? + files::number("/proc/meminfo", "SwapTotal")?;
    let more = (all as usize + 1024) << 10;
    for (flags, what) in [(ANONYMOUS, "private"), (SHARED, "shared")] {
        refused(&format!("{what} memory beyond all there is"), raw::map(more, READ_WRITE, flags), Errno::ENOMEM)?;
        let waived = raw::map(more, READ_WRITE, flags | libc::MAP_NORESERVE)?;
        raw::unmap(waived, more)?;
    }
    let read_only = raw::map(more, READ, ANONYMOUS)?;
    refused("writing it", raw::protect(read_only, more, READ_WRITE), Errno::ENOMEM)?;
    raw::unmap(read_only, more)?;
    in_mode(1, || {
        raw::map(more, READ_WRITE, ANONYMOUS)?;
        Ok(())
    })
}

/// Leaves so much to be promised, in mode 2.
fn leave(kib: u64) -> Outcome {
    let swap = files::number("/proc/meminfo", "SwapTotal")?;
    let limit = committed()? + kib;
    require!(limit > swap, "there is too much swap for this check");
    set("overcommit_kbytes", limit - swap)?;
    let shown = files::number("/proc/meminfo", "CommitLimit")?;
    require!(shown == limit, "the limit is {shown} KiB, and was set to {limit}");
    Ok(())
}

fn limit() -> Outcome {
    in_mode(2, || {
        set("user_reserve_kbytes", 0)?;
        leave(16 << 10)?;
        let private = raw::map(8 * MIB, READ_WRITE, ANONYMOUS)?;
        for (flags, what) in [
            (ANONYMOUS, "private memory"),
            (ANONYMOUS | libc::MAP_NORESERVE, "private memory without reserve"),
            (SHARED, "shared memory"),
            (SHARED | libc::MAP_NORESERVE, "shared memory without reserve"),
        ] {
            refused(what, raw::map(9 * MIB, READ_WRITE, flags), Errno::ENOMEM)?;
        }
        let read_only = raw::map(9 * MIB, READ, ANONYMOUS)?;
        refused("mprotect", raw::protect(read_only, 9 * MIB, READ_WRITE), Errno::ENOMEM)?;
        let grown = raw::remap(private, 8 * MIB, 17 * MIB, libc::MREMAP_MAYMOVE, ptr::null_mut());
        refused("mremap", grown, Errno::ENOMEM)?;
        refused("brk", extend_heap(9 * MIB), Errno::ENOMEM)?;
        raw::map_at(private, 8 * MIB, READ_WRITE, ANONYMOUS | libc::MAP_FIXED)?;
        let mut file: File = mappings::file(0)?;
        let written = file.write_all(&vec![1; 6 * MIB]).and_then(|()| file.write_all(&vec![1; 6 * MIB]));
        let error = written.err().and_then(|error| error.raw_os_error());
        require!(error == Some(Errno::ENOSPC as i32), "a file of 12 MiB gave {error:?}");
        drop(file);
        let more = raw::map(4 * MIB, READ_WRITE, ANONYMOUS)?;
        let forked = Child::start(|| 0);
        require!(forked.err() == Some(Errno::ENOMEM), "a copy of 12 MiB where 4 are left was made");
        raw::unmap(more, 4 * MIB)?;
        raw::unmap(private, 8 * MIB)?;
        Child::start(|| 0)?.wait()?;
        Ok(())
    })
}

/// The last of the limit is the superuser's.
fn reserves() -> Outcome {
    in_mode(2, || {
        set("user_reserve_kbytes", 0)?;
        set("admin_reserve_kbytes", 8 << 10)?;
        leave(12 << 10)?;
        raw::unmap(raw::map(8 * MIB, READ_WRITE, ANONYMOUS)?, 8 * MIB)?;
        setuid(Uid::from_raw(1000))?;
        refused("half of it by a user", raw::map(6 * MIB, READ_WRITE, ANONYMOUS), Errno::ENOMEM)?;
        raw::map(2 * MIB, READ_WRITE, ANONYMOUS)?;
        Ok(())
    })
}
