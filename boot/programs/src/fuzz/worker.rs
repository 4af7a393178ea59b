//! A worker: one user's process that makes calls, says each before it is made, and is started again when it dies.
//!
//! What a call is follows from seed, user and the call's number alone; what it meets follows from the calls before it in the
//! same life, which begins at a multiple of [`LIFE`] or behind the call that ended the one before.

use std::{
    arch::asm,
    io,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    libc::{self, c_long},
    unistd::{Gid, Uid, setgid, setgroups, setresuid, setsid},
};

use super::{
    arguments::Arguments,
    calls::{CALLS, Call, How, LEFT_OUT_FOR_ROOT},
    draw::Draw,
    names::{HEADERS, LARGE_VALUES, SETTINGS, VALUES},
    playground,
    users::User,
};
use crate::areas;

/// How many calls a process makes before a new one with everything in its place goes on.
pub(super) const LIFE: u64 = 256;

/// How a life ended that no call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Ended {
    /// All calls of a life, or of the worker, were made.
    Whole = 50,
    /// The pages and descriptors could not be made ready: memory is short.
    Unprepared = 51,
    /// The log's descriptor was closed by a call.
    Mute = 52,
}

/// Makes calls from number `next` on, until this life or all calls before `end` are over.
pub(super) fn live(seed: u64, user: User, next: &AtomicU64, end: u64) -> i32 {
    let first = next.load(Ordering::Relaxed);
    if let Err(error) = prepare(user, first / LIFE) {
        println!("fuzz: {} cannot begin at {first}: {error}", user.name);
        return Ended::Unprepared as i32;
    }
    let end = end.min((first / LIFE + 1) * LIFE);
    for number in first..end {
        let mut draw = Draw::new(seed, user.number.into(), number);
        let said = |text: &str| playground::say(&format!("fuzz {seed} {} {number} {text}", user.name)).is_ok();
        // A new life goes on behind this call, if it ends this one.
        next.store(number + 1, Ordering::Relaxed);
        let was_said = match draw.below(24) {
            0 => set_something(&mut draw, said),
            1 => make_header(&mut draw, said),
            2 => call_any_number(&mut draw, user, said),
            _ => call_listed(&mut draw, said),
        };
        if !was_said {
            return Ended::Mute as i32;
        }
    }
    Ended::Whole as i32
}

fn prepare(user: User, life: u64) -> io::Result<()> {
    setsid()?;
    playground::prepare(user.name, user.number, life.is_multiple_of(2))?;
    playground::open_log()?;
    if user.number != 0 {
        setgroups(&[])?;
        setgid(Gid::from_raw(user.number))?;
        let number = Uid::from_raw(user.number);
        setresuid(number, number, number)?;
    }
    Ok(())
}

/// A call with arguments of the right kinds.
fn call_listed(draw: &mut Draw, said: impl FnOnce(&str) -> bool) -> bool {
    let Call { name, number, arguments, how } = listed(draw);
    let Arguments { values, text, .. } = Arguments::choose(arguments, *draw);
    if !said(&format!("{name}({text})")) {
        return false;
    }
    match how {
        How::Forks => call_that_forks(number, values),
        How::Often | How::Seldom => call(number, values),
    }
    true
}

fn listed(draw: &mut Draw) -> Call {
    loop {
        let call = draw.pick(CALLS);
        if call.how != How::Seldom || draw.one_in(24) {
            return call;
        }
    }
}

/// A call by any number that is not in the list, with any arguments.
fn call_any_number(draw: &mut Draw, user: User, said: impl FnOnce(&str) -> bool) -> bool {
    let number = if draw.one_in(8) { draw.edge().cast_signed() } else { draw.below(512).cast_signed() };
    let is_listed = |number: c_long| CALLS.iter().any(|call| call.number == number);
    let is_left_out = user.number == 0 && LEFT_OUT_FOR_ROOT.iter().any(|(left_out, _)| *left_out == number);
    let values = std::array::from_fn(|_| draw.edge());
    if is_listed(number) || is_left_out {
        return true;
    }
    if !said(&format!("call {number}({values:x?})")) {
        return false;
    }
    call(number, values);
    true
}

/// Writes something to one of the kernel's settings.
fn set_something(draw: &mut Draw, said: impl FnOnce(&str) -> bool) -> bool {
    let path = draw.pick(SETTINGS);
    let stands_large = ["/sys/block/", "/sys/fs/cgroup/fuzz/memory"].iter().any(|start| path.starts_with(start));
    let value = if stands_large && draw.one_in(4) { draw.pick(LARGE_VALUES) } else { draw.pick(VALUES) };
    // Another number may be that of a process that watches.
    let value = if path.ends_with("cgroup.procs") && value.parse::<u32>().is_ok() { "0" } else { value };
    if !said(&format!("set({path}, {value:?})")) {
        return false;
    }
    playground::set(path, value);
    true
}

/// Writes a swap header to a device, as `mkswap`.
fn make_header(draw: &mut Draw, said: impl FnOnce(&str) -> bool) -> bool {
    let (device, pages) = (draw.pick(HEADERS), draw.pick(&[256, 1024, 10, 4096]));
    if !said(&format!("mkswap({device}, {pages})")) {
        return false;
    }
    // A device without a size, or one that only root may write to, has no header.
    let _ = areas::make(device, pages);
    true
}

/// Makes the call, whatever it does to this process.
fn call(number: c_long, with: [u64; 6]) {
    // SAFETY: none: a call may take away what this program needs, which then ends by a signal and is started again. The
    // caller holds no reference to what the arguments point to.
    unsafe {
        asm!(
            "syscall",
            inout("rax") number => _, inout("rdi") with[0] => _, inout("rsi") with[1] => _, inout("rdx") with[2] => _, inout("r10") with[3] => _,
            inout("r8") with[4] => _, inout("r9") with[5] => _, out("rcx") _, out("r11") _,
        );
    }
}

/// The same for a call that makes a process: the child ends at once, without its stack, which may be its parent's.
fn call_that_forks(number: c_long, with: [u64; 6]) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor edi, edi",
            "mov eax, {exit}",
            "syscall",
            "ud2",
            "2:",
            exit = const libc::SYS_exit_group,
            inout("rax") number => _, inout("rdi") with[0] => _, inout("rsi") with[1] => _, inout("rdx") with[2] => _, inout("r10") with[3] => _,
            inout("r8") with[4] => _, inout("r9") with[5] => _, out("rcx") _, out("r11") _,
        );
    }
}
