//! Processes: their beginning, their end and those who wait for it, what they may use and have used.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use linux_raw_sys::general as linux;
use quire_machine::address_map::USER_END;
use quire_machine::arch::bases;
use quire_machine::clock;
use quire_machine::log;
use quire_machine::power;
use quire_machine::task;
use quire_machine::user::{UserPtr, Word};
use quire_protocol::Verdict;

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::user_data;
use crate::errno::Errno;
use crate::process::control_block::{Process, this};
use crate::process::exit;
use crate::process::limits::{FILES_MAX, Limit, Resource};
use crate::process::program::execute::{self, Request};
use crate::process::program::words::Words;
use crate::process::signal::{ChildChange, Info, Signal};
use crate::process::start::{self, CloneRequest};
use crate::process::table;
use crate::process::usage::Usage;
use crate::process::wanted::{Wanted, Which};

pub(super) const CALLS: Calls = &[
    (linux::__NR_clone, clone),
    (linux::__NR_fork, fork),
    (linux::__NR_vfork, vfork),
    (linux::__NR_execve, execve),
    (linux::__NR_exit, exit),
    (linux::__NR_exit_group, exit),
    (linux::__NR_wait4, wait4),
    (linux::__NR_waitid, waitid),
    (linux::__NR_set_tid_address, set_tid_address),
    (linux::__NR_arch_prctl, arch_prctl),
    (linux::__NR_prlimit64, prlimit64),
    (linux::__NR_getrlimit, getrlimit),
    (linux::__NR_setrlimit, setrlimit),
    (linux::__NR_getrusage, getrusage),
    (linux::__NR_times, times),
    (linux::__NR_sched_yield, sched_yield),
    (linux::__NR_sched_getaffinity, sched_getaffinity),
    (linux::__NR_setpgid, setpgid),
    (linux::__NR_getpgid, getpgid),
    (linux::__NR_getpgrp, getpgrp),
    (linux::__NR_setsid, setsid),
    (linux::__NR_getsid, getsid),
    (linux::__NR_reboot, reboot),
];

fn clone(arguments: &Arguments<'_>) -> Outcome {
    let [flags, stack, parent_number, child_number, thread_storage, _] = arguments.words();
    // As on Linux, what the upper half of the flags holds means nothing here.
    let request = CloneRequest {
        flags: flags.low(),
        stack: stack.bits(),
        parent_number: parent_number.pointer(),
        child_number: child_number.pointer(),
        thread_storage: thread_storage.bits(),
    };
    start::clone(&request, arguments.frame().get()).map(u64::from)
}

fn fork(arguments: &Arguments<'_>) -> Outcome {
    let request = CloneRequest { flags: linux::SIGCHLD, ..CloneRequest::default() };
    start::clone(&request, arguments.frame().get()).map(u64::from)
}

fn vfork(arguments: &Arguments<'_>) -> Outcome {
    let flags = linux::CLONE_VM | linux::CLONE_VFORK | linux::SIGCHLD;
    let request = CloneRequest { flags, ..CloneRequest::default() };
    start::clone(&request, arguments.frame().get()).map(u64::from)
}

fn execve(arguments: &Arguments<'_>) -> Outcome {
    let [path, words, environment, ..] = arguments.words();
    let path = user_data::path(path)?;
    let program = execute::open(&path)?;
    let stack = this().limit(Resource::STACK).soft / 4;
    let mut room = stack.clamp(Words::LEAST_ROOM as u64, Words::MOST_ROOM as u64) as usize;
    let mut words = read_list(words, &mut room)?;
    if words.count() == 0 {
        // As on Linux, so that no program mistakes its environment for arguments.
        words.push(b"")?;
    }
    let environment = read_list(environment, &mut room)?;
    let request = Request { program, path, arguments: words, environment };
    execute::execute(request, arguments.frame()).map(|()| 0)
}

/// A list of strings that ends with a null pointer; a null pointer itself is an empty list. The strings and their pointers are
/// taken from `room` (Linux: `bprm_stack_limits`).
fn read_list(list: Word, room: &mut usize) -> Result<Words, Errno> {
    let mut words = Words::new();
    let Some(list) = list.optional::<Word>() else { return Ok(words) };
    for index in 0.. {
        let address = list.element(index).read()?;
        if address.is_zero() {
            break;
        }
        let word = user_data::string(address, Words::WORD_MAX.min(*room), Errno::E2BIG)?;
        *room = room.checked_sub(word.len() + 1 + size_of::<Word>()).ok_or(Errno::E2BIG)?;
        words.push(&word)?;
    }
    Ok(words)
}

fn exit(arguments: &Arguments<'_>) -> Outcome {
    exit::end_current(ChildChange::Exited(arguments.word(0).low() as u8))
}

fn wait4(arguments: &Arguments<'_>) -> Outcome {
    const KNOWN: u32 =
        linux::WNOHANG | linux::WUNTRACED | linux::WCONTINUED | linux::__WALL | linux::__WCLONE | linux::__WNOTHREAD;
    let [pid, status, options, usage, ..] = arguments.words();
    let options = options.low();
    if options & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let which = match pid.int() {
        -1 => Which::Any,
        0 => Which::Group(this().group()),
        i32::MIN => return Err(Errno::ESRCH),
        pid if pid < 0 => Which::Group(pid.unsigned_abs()),
        pid => Which::Number(pid.unsigned_abs()),
    };
    let wanted = Wanted {
        which,
        ends: true,
        stops: options & linux::WUNTRACED != 0,
        continuations: options & linux::WCONTINUED != 0,
        leave: false,
    };
    let Some((child, change)) = exit::wait(&wanted, options & linux::WNOHANG != 0)? else { return Ok(0) };
    if let Some(status) = status.optional() {
        status.write(change.wait_status())?;
    }
    if let Some(usage) = usage.optional() {
        usage.write(usage_words(&usage_of_ended(&child)))?;
    }
    Ok(u64::from(child.pid()))
}

fn waitid(arguments: &Arguments<'_>) -> Outcome {
    const KNOWN: u32 = linux::WNOHANG
        | linux::WNOWAIT
        | linux::WEXITED
        | linux::WSTOPPED
        | linux::WCONTINUED
        | linux::__WALL
        | linux::__WCLONE
        | linux::__WNOTHREAD;
    let [kind, id, info, options, usage, _] = arguments.words();
    let options = options.low();
    let has = |flag: u32| options & flag != 0;
    if options & !KNOWN != 0 || !has(linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED) {
        return Err(Errno::EINVAL);
    }
    let which = match kind.low() {
        linux::P_ALL => Which::Any,
        linux::P_PID if id.int() > 0 => Which::Number(id.low()),
        linux::P_PGID if id.int() == 0 => Which::Group(this().group()),
        linux::P_PGID if id.int() > 0 => Which::Group(id.low()),
        _ => return Err(Errno::EINVAL),
    };
    let wanted = Wanted {
        which,
        ends: has(linux::WEXITED),
        stops: has(linux::WSTOPPED),
        continuations: has(linux::WCONTINUED),
        leave: has(linux::WNOWAIT),
    };
    let found = exit::wait(&wanted, has(linux::WNOHANG))?;
    if let Some(info) = info.optional() {
        let bytes = match &found {
            Some((child, change)) => {
                let user = child.identity().user.real;
                Info::Child { pid: child.pid(), user, change: *change }.to_bytes(Signal::SIGCHLD)
            }
            None => [0; Info::BYTES],
        };
        info.write(bytes)?;
    }
    if let (Some((child, _)), Some(usage)) = (found, usage.optional()) {
        usage.write(usage_words(&usage_of_ended(&child)))?;
    }
    Ok(0)
}

fn set_tid_address(arguments: &Arguments<'_>) -> Outcome {
    let process = this();
    process.clear_number_at(arguments.word(0).pointer());
    Ok(u64::from(process.pid()))
}

fn arch_prctl(arguments: &Arguments<'_>) -> Outcome {
    // Linux: arch/x86/include/uapi/asm/prctl.h.
    const SET_GS: u64 = 0x1001;
    const SET_FS: u64 = 0x1002;
    const GET_FS: u64 = 0x1003;
    const GET_GS: u64 = 0x1004;
    let [code, address, ..] = arguments.words();
    match code.bits() {
        SET_FS | SET_GS if address.bits() >= USER_END => return Err(Errno::EPERM),
        SET_FS => bases::set_fs(address.bits()),
        SET_GS => bases::set_gs(address.bits()),
        GET_FS => address.pointer().write(bases::fs())?,
        GET_GS => address.pointer().write(bases::gs())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn prlimit64(arguments: &Arguments<'_>) -> Outcome {
    let [pid, resource, new, old, ..] = arguments.words();
    limit(pid, resource, new, old)
}

fn limit(pid: Word, resource: Word, new: Word, old: Word) -> Outcome {
    let this = this();
    let new = new.optional::<[u64; 2]>().map(UserPtr::read).transpose()?;
    let process = process_or_this(pid)?;
    let who = this.identity();
    if process.pid() != this.pid() && !who.may_limit(&process.identity()) {
        return Err(Errno::EPERM);
    }
    let resource = Resource::new(resource.low().into()).ok_or(Errno::EINVAL)?;
    let before = process.limit(resource);
    if let Some([soft, hard]) = new {
        if soft > hard {
            return Err(Errno::EINVAL);
        }
        if resource == Resource::FILES && hard > FILES_MAX {
            return Err(Errno::EPERM);
        }
        if hard > before.hard && !who.is_superuser() {
            return Err(Errno::EPERM);
        }
        process.set_limit(resource, Limit { soft, hard });
    }
    if let Some(old) = old.optional() {
        old.write([before.soft, before.hard])?;
    }
    Ok(0)
}

fn getrlimit(arguments: &Arguments<'_>) -> Outcome {
    let [resource, old, ..] = arguments.words();
    limit(Word::ZERO, resource, Word::ZERO, old)
}

fn setrlimit(arguments: &Arguments<'_>) -> Outcome {
    let [resource, new, ..] = arguments.words();
    limit(Word::ZERO, resource, new, Word::ZERO)
}

fn getrusage(arguments: &Arguments<'_>) -> Outcome {
    const SELF: i32 = 0;
    const CHILDREN: i32 = -1;
    const THREAD: i32 = 1;
    let process = this();
    let words = match arguments.word(0).int() {
        SELF | THREAD => {
            if let Some(space) = process.space() {
                process.usage.most_resident.fetch_max(space.usage().peak as u64, Ordering::Relaxed);
            }
            usage_words(&process.usage)
        }
        CHILDREN => usage_words(&process.children_usage),
        _ => return Err(Errno::EINVAL),
    };
    arguments.word(1).pointer().write(words)?;
    Ok(0)
}

/// What a child has used that was waited for, with its own children.
fn usage_of_ended(child: &Arc<Process>) -> Usage {
    let usage = Usage::default();
    usage.add(&child.usage);
    usage.add(&child.children_usage);
    usage
}

/// Linux's `struct rusage`.
fn usage_words(usage: &Usage) -> [u64; 18] {
    const MICROSECONDS: u64 = 1_000_000;
    let get = |counter: &core::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let ticks_a_second = u64::from(clock::TICKS_PER_SECOND);
    let time = |ticks: u64| [ticks / ticks_a_second, ticks % ticks_a_second * (MICROSECONDS / ticks_a_second)];
    let mut words = [0; 18];
    words[..2].copy_from_slice(&time(get(&usage.user_ticks)));
    words[2..4].copy_from_slice(&time(get(&usage.system_ticks)));
    // In KiB.
    words[4] = get(&usage.most_resident) * 4;
    words[8] = get(&usage.minor_faults);
    words[9] = get(&usage.major_faults);
    words
}

fn times(arguments: &Arguments<'_>) -> Outcome {
    /// Ticks of this call a second, whatever the timer's are (`USER_HZ`).
    const HERTZ: u64 = 100;
    let process = this();
    let clock = |ticks: &core::sync::atomic::AtomicU64| {
        ticks.load(Ordering::Relaxed) * HERTZ / u64::from(clock::TICKS_PER_SECOND)
    };
    if let Some(to) = arguments.word(0).optional() {
        let (own, children) = (&process.usage, &process.children_usage);
        let ticks = [&own.user_ticks, &own.system_ticks, &children.user_ticks, &children.system_ticks].map(clock);
        to.write(ticks)?;
    }
    Ok(clock::since_boot().as_millis() as u64 * HERTZ / 1000)
}

fn sched_yield(_: &Arguments<'_>) -> Outcome {
    task::yield_now();
    Ok(0)
}

/// One processor is started.
fn sched_getaffinity(arguments: &Arguments<'_>) -> Outcome {
    const MASK_BYTES: u32 = 8;
    let [pid, bytes, mask, ..] = arguments.words();
    let bytes = bytes.low();
    if bytes < MASK_BYTES || bytes % MASK_BYTES != 0 {
        return Err(Errno::EINVAL);
    }
    process_or_this(pid)?;
    mask.pointer().write(1_u64)?;
    Ok(MASK_BYTES.into())
}

fn setpgid(arguments: &Arguments<'_>) -> Outcome {
    let this = this();
    let [pid, group, ..] = arguments.words().map(Word::low);
    let pid = if pid == 0 { this.pid() } else { pid };
    let group = if group == 0 { pid } else { group };
    if group.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    table::set_group(&this, pid, group).map(|()| 0)
}

/// The process of that number, or the caller for 0.
fn process_or_this(pid: Word) -> Result<Arc<Process>, Errno> {
    if pid.low() == 0 { Ok(this()) } else { table::find(pid.low()).ok_or(Errno::ESRCH) }
}

fn getpgid(arguments: &Arguments<'_>) -> Outcome {
    process_or_this(arguments.word(0)).map(|process| u64::from(process.group()))
}

fn getpgrp(_: &Arguments<'_>) -> Outcome {
    Ok(u64::from(this().group()))
}

fn setsid(_: &Arguments<'_>) -> Outcome {
    table::start_session(&this()).map(u64::from)
}

fn getsid(arguments: &Arguments<'_>) -> Outcome {
    process_or_this(arguments.word(0)).map(|process| u64::from(process.session()))
}

fn reboot(arguments: &Arguments<'_>) -> Outcome {
    require_superuser()?;
    let [first, second, command, ..] = arguments.words().map(Word::low);
    let second_is_known = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000].contains(&second);
    if first != 0xfee1_dead || !second_is_known {
        return Err(Errno::EINVAL);
    }
    let what = match command {
        0x0123_4567 => "restart",
        0xcdef_0123 => "halt",
        0x4321_fedc => "power off",
        // What Ctrl-Alt-Del does: there is no such keyboard.
        0x89ab_cdef | 0 => return Ok(0),
        _ => return Err(Errno::EINVAL),
    };
    log!("init", "{} asks for: {what}", this());
    power::off(Verdict::Success)
}
