//! Waiting for a word of memory: what is woken, by whom, and what is refused. Tasks that wait are processes, which share
//! memory or find each other by a file.

use std::{
    fs::{self, OpenOptions},
    os::fd::AsRawFd,
    ptr,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::MmapAdvise,
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
    unistd::getpid,
};

use super::outcome::{Check, Outcome, require};
use crate::{
    memory::{Memory, PAGE, Shared},
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("futexes-refused", refused),
    ("futexes-time-out", time_out),
    ("futexes-shared", shared),
    ("futexes-by-file", by_file),
    ("futexes-private-apart", private_apart),
    ("futexes-bits", bits),
    ("futexes-requeued", requeued),
    ("futexes-woken-and-changed", woken_and_changed),
    ("futexes-interrupted", interrupted),
    ("futexes-killed", killed),
    ("futexes-robust", robust),
    ("futexes-swapped", swapped),
];

const PRIVATE: i32 = libc::FUTEX_PRIVATE_FLAG;
const SECOND: libc::timespec = libc::timespec { tv_sec: 1, tv_nsec: 0 };

/// The call as it is; the last three mean what the operation says.
fn futex(
    word: *const u32,
    operation: i32,
    value: u32,
    timeout: usize,
    other: *const u32,
    value3: u32,
) -> nix::Result<i32> {
    // SAFETY: the kernel checks every address; a word that it changes nothing of is only compared.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, operation, value, timeout, other, value3) };
    Errno::result(result).map(|count| count as i32)
}

fn wait(word: &AtomicU32, operation: i32, value: u32, timeout: Option<&libc::timespec>) -> nix::Result<i32> {
    let timeout = timeout.map_or(ptr::null(), ptr::from_ref);
    futex(word.as_ptr(), operation, value, timeout as usize, ptr::null(), u32::MAX)
}

fn wake(word: &AtomicU32, most: i32) -> nix::Result<i32> {
    futex(word.as_ptr(), libc::FUTEX_WAKE, most.cast_unsigned(), 0, ptr::null(), 0)
}

/// Calls `attempt` until it says that something was done: who is to be woken may not wait yet.
fn until_done(mut attempt: impl FnMut() -> nix::Result<i32>) -> nix::Result<i32> {
    loop {
        match attempt()? {
            0 => std::thread::yield_now(),
            done => return Ok(done),
        }
    }
}

/// A child that waits for `word` as long as that is 0.
fn waiter(word: &'static AtomicU32, operation: i32) -> nix::Result<Child> {
    Child::start(move || i32::from(wait(word, operation, 0, None) != Ok(0)))
}

/// A word that the children to come see as well, for as long as this process lives.
fn shared_word() -> nix::Result<&'static AtomicU32> {
    Ok(Box::leak(Box::new(Shared::new(AtomicU32::new(0))?)))
}

fn refused() -> Outcome {
    let words = [AtomicU32::new(7), AtomicU32::new(7)];
    let word = words[0].as_ptr().cast_const();
    let unaligned = word.wrapping_byte_add(1);
    let nowhere = ptr::without_provenance::<u32>(0x1000);
    let kernel = ptr::without_provenance::<u32>(usize::MAX - 7);
    let bad_time = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    let negative = libc::timespec { tv_sec: -1, tv_nsec: 0 };
    let (bad_time, negative) = (ptr::from_ref(&bad_time) as usize, ptr::from_ref(&negative) as usize);
    let none = ptr::null();
    let expected = [
        ("another value", futex(word, libc::FUTEX_WAIT, 8, 0, none, 0), Errno::EAGAIN),
        ("another value, private", futex(word, libc::FUTEX_WAIT | PRIVATE, 8, 0, none, 0), Errno::EAGAIN),
        ("no bits to wait for", futex(word, libc::FUTEX_WAIT_BITSET, 8, 0, none, 0), Errno::EINVAL),
        ("no bits to wake", futex(word, libc::FUTEX_WAKE_BITSET, 1, 0, none, 0), Errno::EINVAL),
        ("a word across others", futex(unaligned, libc::FUTEX_WAIT, 8, 0, none, 0), Errno::EINVAL),
        ("waking across others", futex(unaligned, libc::FUTEX_WAKE | PRIVATE, 1, 0, none, 0), Errno::EINVAL),
        ("no memory", futex(nowhere, libc::FUTEX_WAIT, 0, 0, none, 0), Errno::EFAULT),
        ("no memory, private", futex(nowhere, libc::FUTEX_WAIT | PRIVATE, 0, 0, none, 0), Errno::EFAULT),
        ("waking no memory", futex(nowhere, libc::FUTEX_WAKE, 1, 0, none, 0), Errno::EFAULT),
        ("the kernel's memory", futex(kernel, libc::FUTEX_WAIT | PRIVATE, 0, 0, none, 0), Errno::EFAULT),
        ("waking the kernel's", futex(kernel, libc::FUTEX_WAKE | PRIVATE, 1, 0, none, 0), Errno::EFAULT),
        ("no timeout there", futex(word, libc::FUTEX_WAIT, 7, 0x1000, none, 0), Errno::EFAULT),
        ("no such time", futex(word, libc::FUTEX_WAIT, 7, bad_time, none, 0), Errno::EINVAL),
        ("a negative time", futex(word, libc::FUTEX_WAIT, 7, negative, none, 0), Errno::EINVAL),
        (
            "that clock for WAIT",
            futex(word, libc::FUTEX_WAIT | libc::FUTEX_CLOCK_REALTIME, 8, 0, none, 0),
            Errno::ENOSYS,
        ),
        (
            "that clock for WAKE",
            futex(word, libc::FUTEX_WAKE | libc::FUTEX_CLOCK_REALTIME, 8, 0, none, 0),
            Errno::ENOSYS,
        ),
        ("moving after a change", futex(word, libc::FUTEX_CMP_REQUEUE, 1, 1, words[1].as_ptr(), 8), Errno::EAGAIN),
        ("waking less than none", futex(word, libc::FUTEX_REQUEUE, u32::MAX, 1, words[1].as_ptr(), 0), Errno::EINVAL),
        ("moving less than none", futex(word, libc::FUTEX_REQUEUE, 1, usize::MAX, words[1].as_ptr(), 0), Errno::EINVAL),
        ("moving to no memory", futex(word, libc::FUTEX_REQUEUE, 1, 1, nowhere, 0), Errno::EFAULT),
        ("changing no memory", futex(word, libc::FUTEX_WAKE_OP, 1, 1, nowhere, 0), Errno::EFAULT),
        ("changing across others", futex(word, libc::FUTEX_WAKE_OP, 1, 1, unaligned, 0), Errno::EINVAL),
        ("operation 2", futex(word, 2, 1, 0, none, 0), Errno::ENOSYS),
        ("operation 77", futex(word, 77, 1, 0, none, 0), Errno::ENOSYS),
    ];
    for (what, found, error) in expected {
        require!(found == Err(error), "{what} gave {found:?}, not {error}");
    }
    // Private words are not looked at when they are woken.
    let unread = futex(nowhere, libc::FUTEX_WAKE | PRIVATE, 1, 0, none, 0);
    require!(unread == Ok(0), "waking a private word without memory gave {unread:?}");
    // What may only be read belongs to nobody in particular.
    let mut page = Memory::private(1)?;
    page.touch(0);
    page.protect(0..1, nix::sys::mman::ProtFlags::PROT_READ)?;
    let read_only = futex(page.address(0).cast(), libc::FUTEX_WAKE, 1, 0, none, 0);
    require!(read_only == Err(Errno::EFAULT), "waking a read-only private word as if shared gave {read_only:?}");
    Ok(())
}

fn now(clock: i32) -> libc::timespec {
    let mut now = SECOND;
    // SAFETY: the place is a `timespec`.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now
}

fn time_out() -> Outcome {
    const TENTH: i64 = 100_000_000;
    let word = AtomicU32::new(0);
    let later = |clock| {
        let now = now(clock);
        let nanoseconds = now.tv_nsec + TENTH;
        libc::timespec { tv_sec: now.tv_sec + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 }
    };
    let bitset = libc::FUTEX_WAIT_BITSET;
    let waits = [
        ("WAIT", libc::FUTEX_WAIT, libc::timespec { tv_sec: 0, tv_nsec: TENTH }, true),
        ("WAIT_BITSET", bitset | PRIVATE, later(libc::CLOCK_MONOTONIC), true),
        ("WAIT_BITSET by the clock", bitset | libc::FUTEX_CLOCK_REALTIME, later(libc::CLOCK_REALTIME), true),
        ("WAIT for no time", libc::FUTEX_WAIT, libc::timespec { tv_sec: 0, tv_nsec: 0 }, false),
        ("WAIT_BITSET until long ago", bitset, SECOND, false),
        ("WAIT_BITSET until 1970", bitset | libc::FUTEX_CLOCK_REALTIME, SECOND, false),
    ];
    for (what, operation, mut timeout, is_to_last) in waits {
        if is_to_last && operation != libc::FUTEX_WAIT {
            let clock =
                if operation & libc::FUTEX_CLOCK_REALTIME == 0 { libc::CLOCK_MONOTONIC } else { libc::CLOCK_REALTIME };
            timeout = later(clock);
        }
        let before = Instant::now();
        let found = wait(&word, operation, 0, Some(&timeout));
        require!(found == Err(Errno::ETIMEDOUT), "{what} gave {found:?}");
        let least = Duration::from_millis(if is_to_last { 90 } else { 0 });
        require!(before.elapsed() >= least, "{what} ended after {:?}", before.elapsed());
    }
    Ok(())
}

fn shared() -> Outcome {
    let word = shared_word()?;
    let children = [(); 3].map(|()| waiter(word, libc::FUTEX_WAIT));
    let none = wake(&AtomicU32::new(0), 9)?;
    require!(none == 0, "{none} waited for a word that no one knows");
    let first = until_done(|| wake(word, 1))?;
    require!(first == 1, "{first} were woken, not 1");
    // 0 is as good as 1.
    let second = until_done(|| wake(word, 0))?;
    require!(second == 1, "{second} were woken with none asked for, not 1");
    until_done(|| wake(word, i32::MAX))?;
    for child in children {
        let end = child?.wait()?;
        require!(end == End::Exited(0), "a waiter: {end}");
    }
    Ok(())
}

/// One call changes a word, wakes those that wait for another, and those that wait for the first if it was as expected.
fn woken_and_changed() -> Outcome {
    let (word, other) = (shared_word()?, shared_word()?);
    let change =
        |operation: i32| futex(word.as_ptr(), libc::FUTEX_WAKE_OP, 1, 1, other.as_ptr(), operation.cast_unsigned());
    let same = libc::FUTEX_OP(libc::FUTEX_OP_SET, 0, libc::FUTEX_OP_CMP_EQ, 0);
    let children = [word, other].map(|word| waiter(word, libc::FUTEX_WAIT));
    let mut woken = 0;
    while woken < 2 {
        woken += until_done(|| change(same))?;
    }
    for child in children {
        let end = child?.wait()?;
        require!(end == End::Exited(0), "a waiter: {end}");
    }
    let child = waiter(other, libc::FUTEX_WAIT)?;
    let not_for_it = change(libc::FUTEX_OP(libc::FUTEX_OP_SET, 0, libc::FUTEX_OP_CMP_NE, 0))?;
    require!(not_for_it == 0, "{not_for_it} were woken though the word was another");
    until_done(|| wake(other, 1))?;
    let end = child.wait()?;
    require!(end == End::Exited(0), "the last waiter: {end}");
    for (operation, outcome, then) in [
        (libc::FUTEX_OP(libc::FUTEX_OP_ADD, -1, libc::FUTEX_OP_CMP_GT, 0), Ok(0), u32::MAX),
        (libc::FUTEX_OP(libc::FUTEX_OP_ADD, 1, libc::FUTEX_OP_CMP_GE, 0), Ok(0), 0),
        (libc::FUTEX_OP(libc::FUTEX_OP_OR | libc::FUTEX_OP_OPARG_SHIFT, 5, libc::FUTEX_OP_CMP_NE, 0), Ok(0), 32),
        (libc::FUTEX_OP(7, 0, libc::FUTEX_OP_CMP_EQ, 0), Err(Errno::ENOSYS), 32),
        (libc::FUTEX_OP(libc::FUTEX_OP_XOR, 33, 15, 0), Err(Errno::ENOSYS), 1),
    ] {
        let found = change(operation);
        require!((found, other.load(SeqCst)) == (outcome, then), "{operation:#x} gave {found:?}, {other:?}");
    }
    Ok(())
}

/// A file mapped twice, at different addresses, is one word; a private mapping of it is another.
fn by_file() -> Outcome {
    let path = format!("/tmp/check-futex-{}", std::process::id());
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    file.set_len(2 * PAGE as u64)?;
    let map = |flags, offset: usize| {
        let offset = offset.cast_signed() as libc::off_t;
        let (length, protection) = (PAGE, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: the kernel chooses a place where nothing is.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file.as_raw_fd(), offset) };
        // SAFETY: it is mapped until this process ends, and a page is large enough.
        unsafe { start.cast::<AtomicU32>().add(10).as_ref() }.filter(|_| start != libc::MAP_FAILED)
    };
    let one = map(libc::MAP_SHARED, PAGE).ok_or(Errno::ENOMEM)?;
    let child = waiter(one, libc::FUTEX_WAIT)?;
    let other = map(libc::MAP_SHARED, PAGE).ok_or(Errno::ENOMEM)?;
    let elsewhere = map(libc::MAP_SHARED, 0).ok_or(Errno::ENOMEM)?;
    let copy = map(libc::MAP_PRIVATE, PAGE).ok_or(Errno::ENOMEM)?;
    let wrong = [wake(elsewhere, 9)?, wake(copy, 9)?];
    let woken = until_done(|| wake(other, 9))?;
    let end = child.wait()?;
    fs::remove_file(path)?;
    require!(wrong == [0, 0], "another page or a private copy woke {wrong:?}");
    require!(woken == 1 && end == End::Exited(0), "{woken} woken by another mapping; the waiter: {end}");
    Ok(())
}

/// A child has the same address and does not share it; one word used in both ways is two.
fn private_apart() -> Outcome {
    let word: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(0)));
    let shared = shared_word()?;
    let child = waiter(word, libc::FUTEX_WAIT)?;
    let own = waiter(shared, libc::FUTEX_WAIT | PRIVATE)?;
    let known = waiter(shared, libc::FUTEX_WAIT)?;
    until_done(|| wake(shared, 9))?;
    let end = known.wait()?;
    require!(end == End::Exited(0), "the waiter for the shared word: {end}");
    let woken = [wake(word, 9)?, wake(shared, 9)?];
    for child in [child, own] {
        child.signal(Signal::SIGKILL)?;
        let end = child.wait()?;
        require!(end == End::Killed(Signal::SIGKILL), "a waiter that nobody could wake: {end}");
    }
    require!(woken == [0, 0], "what others have by themselves was woken: {woken:?}");
    Ok(())
}

fn bits() -> Outcome {
    let word = shared_word()?;
    let child = |bits: u32| {
        Child::start(move || {
            let found = futex(word.as_ptr(), libc::FUTEX_WAIT_BITSET, 0, 0, ptr::null(), bits);
            i32::from(found != Ok(0))
        })
    };
    let wake = |bits: u32| futex(word.as_ptr(), libc::FUTEX_WAKE_BITSET, 9, 0, ptr::null(), bits);
    let (first, second) = (child(0b0110)?, child(0b1000)?);
    let woken = until_done(|| wake(0b0100))?;
    let end = first.wait()?;
    require!(woken == 1 && end == End::Exited(0), "{woken} with that bit; the waiter: {end}");
    let none = wake(0b0111)?;
    until_done(|| wake(0b1100))?;
    let end = second.wait()?;
    require!(none == 0 && end == End::Exited(0), "{none} without that bit; the waiter: {end}");
    Ok(())
}

fn requeued() -> Outcome {
    for operation in [libc::FUTEX_REQUEUE, libc::FUTEX_CMP_REQUEUE] {
        let (from, to) = (shared_word()?, shared_word()?);
        let children = [(); 4].map(|()| waiter(from, libc::FUTEX_WAIT));
        let call = |wake: u32, more: usize| futex(from.as_ptr(), operation, wake, more, to.as_ptr(), 0);
        // One is woken and two are moved, as they come.
        let mut done = until_done(|| call(1, 0))?;
        while done < 3 {
            done += call(0, 1)?;
        }
        require!(done == 3, "{done} were woken or moved, not 3");
        until_done(|| wake(from, 9))?;
        let moved = wake(to, 9)?;
        require!(moved == 2, "{moved} waited where two were moved to");
        for child in children {
            let end = child?.wait()?;
            require!(end == End::Exited(0), "a waiter: {end}");
        }
    }
    Ok(())
}

static HANDLED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: i32) {
    HANDLED.store(true, SeqCst);
}

/// A handler ends a wait, unless it says otherwise; one with an end ends in any case. Without a handler both go on.
fn interrupted() -> Outcome {
    let word = shared_word()?;
    let ready = shared_word()?;
    let hour = libc::timespec { tv_sec: 3600, tv_nsec: 0 };
    let cases = [
        ("no end, SA_RESTART", SaFlags::SA_RESTART, None, Ok(0)),
        ("no end", SaFlags::empty(), None, Err(Errno::EINTR)),
        ("an end, SA_RESTART", SaFlags::SA_RESTART, Some(hour), Err(Errno::EINTR)),
        ("an end", SaFlags::empty(), Some(hour), Err(Errno::EINTR)),
    ];
    for (what, flags, timeout, expected) in cases {
        ready.store(0, SeqCst);
        let child = Child::start(|| {
            let action = SigAction::new(SigHandler::Handler(note), flags, SigSet::empty());
            // SAFETY: the handler only stores to an atomic.
            if unsafe { sigaction(Signal::SIGUSR1, &action) }.is_err() {
                return 2;
            }
            ready.store(1, SeqCst);
            let found = wait(word, libc::FUTEX_WAIT, 0, timeout.as_ref());
            i32::from(found != expected || !HANDLED.load(SeqCst))
        })?;
        while ready.load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        sleeps(child)?;
        // Neither a stop nor going on from it is seen.
        child.signal(Signal::SIGSTOP)?;
        child.signal(Signal::SIGCONT)?;
        sleeps(child)?;
        child.signal(Signal::SIGUSR1)?;
        if expected == Ok(0) {
            sleeps(child)?;
            until_done(|| wake(word, 1))?;
        }
        let end = child.wait()?;
        require!(end == End::Exited(0), "{what}: {end}");
    }
    Ok(())
}

/// Waits until the child sleeps, as `/proc` says, with no signal to be handled.
fn sleeps(child: Child) -> Outcome {
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.0))?;
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        match state {
            Some('S') => return Ok(()),
            Some('R' | 'T') => std::thread::yield_now(),
            other => require!(false, "a child that should sleep is in state {other:?}"),
        }
    }
}

fn killed() -> Outcome {
    let word = shared_word()?;
    let child = waiter(word, libc::FUTEX_WAIT)?;
    child.signal(Signal::SIGKILL)?;
    let end = child.wait()?;
    require!(end == End::Killed(Signal::SIGKILL), "a waiter that was killed: {end}");
    let left = wake(word, 9)?;
    require!(left == 0, "{left} wait that have gone");
    Ok(())
}

/// Linux's `struct robust_list_head`, and one entry with its futex.
#[repr(C)]
struct Robust {
    list: usize,
    offset: isize,
    pending: usize,
    entry: usize,
    futex: AtomicU32,
}

fn robust() -> Outcome {
    let locks = Box::leak(Box::new(Shared::new([AtomicU32::new(0), AtomicU32::new(0)])?));
    let (lock, other) = (&locks[0], &locks[1]);
    let died = libc::FUTEX_OWNER_DIED;
    for how in ["exit", "SIGKILL", "pending"] {
        lock.store(0, SeqCst);
        let child = Child::start(|| {
            let head =
                Box::leak(Box::new(Robust { list: 0, offset: 0, pending: 0, entry: 0, futex: AtomicU32::new(0) }));
            let start = ptr::from_mut(head) as usize;
            let entry = ptr::from_ref(&head.entry) as usize;
            (head.list, head.entry) = if how == "pending" { (start, 0) } else { (entry, start) };
            head.pending = if how == "pending" { entry } else { 0 };
            head.offset = (lock.as_ptr() as isize).wrapping_sub(entry.cast_signed());
            // SAFETY: the list stays as long as the process; of another length it would be refused.
            let wrong = unsafe { libc::syscall(libc::SYS_set_robust_list, start, 23) };
            if wrong != -1 || Errno::last() != Errno::EINVAL {
                return 2;
            }
            // SAFETY: as above.
            if unsafe { libc::syscall(libc::SYS_set_robust_list, start, 24) } != 0 {
                return 3;
            }
            let (mut found, mut length) = (0_usize, 0_usize);
            // SAFETY: there is a word for each of the two.
            let told = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut found, &raw mut length) };
            if told != 0 || (found, length) != (start, 24) {
                return 4;
            }
            lock.store(getpid().as_raw().cast_unsigned() | libc::FUTEX_WAITERS, SeqCst);
            other.store(1, SeqCst);
            if how == "SIGKILL" {
                loop {
                    std::thread::yield_now();
                }
            }
            0
        })?;
        let owner = child.0.as_raw().cast_unsigned() | libc::FUTEX_WAITERS;
        if how == "SIGKILL" {
            while lock.load(SeqCst) != owner {
                std::thread::yield_now();
            }
            let waiter = Child::start(|| match wait(lock, libc::FUTEX_WAIT, owner, None) {
                Ok(0) => 0,
                _ => 1,
            })?;
            sleeps(waiter)?;
            child.signal(Signal::SIGKILL)?;
            let end = waiter.wait()?;
            require!(end == End::Exited(0), "who waited for the lock of one that was killed: {end}");
            require!(child.wait()? == End::Killed(Signal::SIGKILL), "the owner was not killed");
        } else {
            let end = child.wait()?;
            require!(end == End::Exited(0), "the owner, {how}: {end}");
        }
        let found = lock.load(SeqCst);
        require!(found == died | libc::FUTEX_WAITERS, "{how}: the lock of a dead process is {found:#x}");
    }
    // Whose list is another's is told only to those who may look.
    let mut place = [0_usize; 2];
    // SAFETY: there are two words.
    let unknown = unsafe { libc::syscall(libc::SYS_get_robust_list, 999_999, &raw mut place[0], &raw mut place[1]) };
    require!(unknown == -1 && Errno::last() == Errno::ESRCH, "the list of no process gave {unknown}");
    Ok(())
}

/// The page of a word goes to swap while it is waited for, where there is any; it is the same word.
fn swapped() -> Outcome {
    let mut memory = Memory::shared(1)?;
    memory.touch(0);
    // SAFETY: the page is mapped until the end of this check, after which no one uses the word.
    let word: &'static AtomicU32 = unsafe { &*memory.address(0).cast() };
    word.store(0, SeqCst);
    let child = waiter(word, libc::FUTEX_WAIT)?;
    sleeps(child)?;
    memory.advise(0..1, MmapAdvise::MADV_PAGEOUT)?;
    let woken = until_done(|| wake(word, 1))?;
    let end = child.wait()?;
    require!(woken == 1 && end == End::Exited(0), "{woken} woken; the waiter: {end}");
    Ok(())
}
