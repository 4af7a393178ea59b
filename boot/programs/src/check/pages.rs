//! Mappings and what may be done with them, whether or not there is swap.

use std::{
    fs,
    hint::black_box,
    ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering},
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void, siginfo_t},
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags},
        resource::{Resource, UsageWho, getrusage, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
    unistd::{pipe, read, write},
};
use quire_protocol::contents::{Contents, hash};

use super::outcome::{Check, Outcome, require, require_killed, require_success};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{Child, End, exit},
};

pub(super) const CHECKS: &[Check] = &[
    ("pages-zero-at-first", zero_at_first),
    ("pages-protection", protection),
    ("pages-fault-address", fault_address),
    ("pages-unmapped", unmapped),
    ("pages-resized", resized),
    ("pages-advice", advice),
    ("pages-in-core", in_core),
    ("pages-locked", locked),
    ("pages-copied-on-write", copied_on_write),
    ("pages-written-after-fork", written_at_once),
    ("pages-shared", shared),
    ("pages-of-a-file", of_files),
    ("pages-break", program_break),
    ("pages-limit", limit),
    ("pages-faults-counted", faults_counted),
    ("pages-wrong-calls", wrong_calls),
    ("pages-floating-point", floating_point),
];

fn zero_at_first() -> Outcome {
    let mut memory = Memory::private(300)?;
    require!(memory.pages().iter().flatten().all(|&byte| byte == 0), "a page that nobody wrote is not zero");
    drop(memory);
    for _ in 0..2 {
        let mut memory = Memory::private(300)?;
        // Written first: what is only read need not have memory of its own.
        (0..300).for_each(|page| memory.touch(page));
        let is_new = |page: &[u8; PAGE]| page[0] == 1 && page[1..].iter().all(|&byte| byte == 0);
        require!(memory.pages().iter().all(is_new), "a page has an older one's bytes");
        memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
    }
    Ok(())
}

fn protection() -> Outcome {
    let mut memory = Memory::private(3)?;
    memory.pages().iter_mut().for_each(|page| page.fill(7));
    memory.protect(1..2, ProtFlags::PROT_READ)?;
    require!(memory.pages()[1][9] == 7, "a page lost its contents when it became read-only");
    require_killed(Signal::SIGSEGV, "writing to a read-only page", || {
        memory.touch(1);
        0
    })?;
    require_killed(Signal::SIGSEGV, "writing to a page that was just written and is read-only now", || {
        if memory.protect(1..2, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).is_err() {
            return 1;
        }
        memory.touch(1);
        if memory.protect(1..2, ProtFlags::PROT_READ).is_err() {
            return 2;
        }
        memory.touch(1);
        0
    })?;
    memory.protect(1..2, ProtFlags::PROT_NONE)?;
    require_killed(Signal::SIGSEGV, "reading a page that may not be read", || i32::from(memory.pages()[1][9]))?;
    memory.protect(0..3, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
    memory.touch(1);
    require!(memory.pages()[1][..2] == [1, 7], "a page lost its contents on the way");
    Ok(())
}

static FAULT_ADDRESS: AtomicUsize = AtomicUsize::new(0);
static FAULT_CODE: AtomicI32 = AtomicI32::new(0);

/// Keeps what the signal says, and ends the process: returning would fault again.
extern "C" fn on_fault(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: a handler with SA_SIGINFO gets the signal's description.
    let (address, code) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
    let right = address == FAULT_ADDRESS.load(Ordering::Relaxed) && code == FAULT_CODE.load(Ordering::Relaxed);
    exit(if right { 7 } else { 8 });
}

fn fault_address() -> Outcome {
    const MAPERR: i32 = 1;
    const ACCERR: i32 = 2;
    let mut memory = Memory::private(2)?;
    memory.protect(1..2, ProtFlags::PROT_READ)?;
    for (address, code) in [(memory.address(1) as usize + 24, ACCERR), (0x1230, MAPERR)] {
        let end = crate::process::end_of(|| {
            FAULT_ADDRESS.store(address, Ordering::Relaxed);
            FAULT_CODE.store(code, Ordering::Relaxed);
            let action = SigAction::new(SigHandler::SigAction(on_fault), SaFlags::SA_SIGINFO, SigSet::empty());
            // SAFETY: the handler only reads atomics and leaves.
            if unsafe { sigaction(Signal::SIGSEGV, &action) }.is_err() {
                return 9;
            }
            // SAFETY: none: the fault is what is wanted.
            unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(1) };
            0
        })?;
        require!(end == End::Exited(7), "the handler of a fault at {address:#x} saw another address or code: {end}");
    }
    Ok(())
}

fn unmapped() -> Outcome {
    let mut memory = Memory::private(8)?;
    memory.pages().iter_mut().zip(1..).for_each(|(page, number)| page.fill(number));
    require_killed(Signal::SIGSEGV, "reading a page that was unmapped", || {
        // It is known to the processor.
        memory.touch(3);
        // SAFETY: the page is this value's, and this process does not come as far as using it.
        if unsafe { libc::munmap(memory.address(3).cast(), PAGE) } != 0 {
            return 1;
        }
        i32::from(memory.pages()[3][0])
    })?;
    // What is unmapped twice, or was never there, is no error.
    require_success("unmapping a hole", || {
        for _ in 0..2 {
            // SAFETY: as above; the pages left and right are looked at below.
            Errno::result(unsafe { libc::munmap(memory.address(2).cast(), 4 * PAGE) })?;
        }
        let (left, right) = (memory.address(1), memory.address(6));
        // SAFETY: these two pages were not unmapped.
        let found = unsafe { (left.read_volatile(), right.read_volatile()) };
        require!(found == (2, 7), "the pages beside a hole hold {found:?}");
        exit(0)
    })
}

fn resized() -> Outcome {
    let mut memory = Memory::private(16)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
    let expected: Vec<u64> = memory.pages().iter().map(hash).collect();
    // Something behind it makes it move at some size.
    let _behind: Vec<Memory> = (0..4).flat_map(|_| Memory::private(1)).collect();
    for pages in [20, 500, 16] {
        memory.resize(pages)?;
        let found: Vec<u64> = memory.pages()[..16].iter().map(hash).collect();
        require!(found == expected, "pages changed when there were {pages} of them");
    }
    require_killed(Signal::SIGSEGV, "reading what was cut off", || {
        // SAFETY: none: there is nothing, which is what is being checked.
        i32::from(unsafe { memory.address(16).read_volatile() })
    })?;
    memory.resize(64)?;
    require!(memory.pages()[16..].iter().flatten().all(|&byte| byte == 0), "a page that came back is not zero");
    Ok(())
}

fn advice() -> Outcome {
    let mut memory = Memory::private(8)?;
    memory.pages().iter_mut().for_each(|page| page.fill(9));
    memory.advise(2..4, MmapAdvise::MADV_DONTNEED)?;
    let first: Vec<u8> = memory.pages().iter().map(|page| page[77]).collect();
    require!(first == [9, 9, 0, 0, 9, 9, 9, 9], "after MADV_DONTNEED of two pages there is {first:?}");
    for advice in [MmapAdvise::MADV_WILLNEED, MmapAdvise::MADV_COLD, MmapAdvise::MADV_PAGEOUT, MmapAdvise::MADV_NORMAL]
    {
        memory.advise(4..8, advice)?;
        require!(memory.pages()[4..].iter().flatten().all(|&byte| byte == 9), "{advice:?} changed a page");
    }
    memory.advise(5..7, MmapAdvise::MADV_FREE)?;
    // Pages given away hold what they held or zero, and keep what is written to them from now on.
    let pages = memory.pages();
    require!(pages[5..7].iter().all(|page| matches!(page[0], 0 | 9)), "MADV_FREE made other bytes");
    require!([4, 7].iter().all(|&beside| pages[beside] == [9; PAGE]), "MADV_FREE changed a page beside");
    pages[5..7].iter_mut().for_each(|page| page.fill(5));
    memory.advise(4..8, MmapAdvise::MADV_PAGEOUT)?;
    require!(memory.pages()[5..7].iter().flatten().all(|&byte| byte == 5), "a page written after MADV_FREE was lost");
    let of_shared = Memory::shared(1)?.advise(0..1, MmapAdvise::MADV_FREE);
    require!(of_shared == Err(Errno::EINVAL), "MADV_FREE of shared memory: {of_shared:?}");
    Ok(())
}

fn in_core() -> Outcome {
    let mut memory = Memory::private(4)?;
    memory.touch(1);
    memory.touch(3);
    let states = memory.in_core()?;
    require!(states == [false, true, false, true], "mincore says {states:?}");
    Ok(())
}

fn locked() -> Outcome {
    let mut memory = Memory::private(4)?;
    let start = memory.address(0);
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::mlock(start.cast(), 4 * PAGE) })?;
    require!(memory.in_core()?.iter().all(|&here| here), "a locked page is not in memory");
    let refused = memory.page_out();
    require!(refused == Err(Errno::EINVAL), "paging out locked pages gave {refused:?}, not EINVAL");
    // SAFETY: as above.
    Errno::result(unsafe { libc::munlock(start.cast(), 4 * PAGE) })?;
    memory.page_out()?;
    require!(memory.pages().iter().flatten().all(|&byte| byte == 0), "a page changed");
    Ok(())
}

fn copied_on_write() -> Outcome {
    let mut memory = Memory::private(64)?;
    memory.pages().iter_mut().for_each(|page| page.fill(1));
    let children = (2..6_u8).map(|number| {
        Child::start(|| {
            let mut right = memory.pages().iter().flatten().all(|&byte| byte == 1);
            memory.pages().iter_mut().for_each(|page| page.fill(number));
            right &= memory.pages().iter().flatten().all(|&byte| byte == number);
            i32::from(!right)
        })
    });
    let children: Vec<Child> = children.collect::<Result<_, _>>()?;
    memory.pages()[..32].iter_mut().for_each(|page| page.fill(9));
    for child in children {
        let end = child.wait()?;
        require!(end == End::Exited(0), "a child saw another's pages: {end}");
    }
    let sum: u32 = memory.pages().iter().map(|page| u32::from(page[5])).sum();
    require!(sum == 32 * 9 + 32, "the parent's pages were changed by a child");
    Ok(())
}

/// What the parent writes as soon as it comes back from `fork` the child does not see, though the processor knew these
/// pages as writable a moment ago.
fn written_at_once() -> Outcome {
    let mut memory = Memory::private(64)?;
    let (reader, writer) = pipe()?;
    memory.pages().iter_mut().for_each(|page| page.fill(1));
    let child = Child::start(|| {
        let told = read(&reader, &mut [0]);
        i32::from(told != Ok(1) || memory.pages().iter().flatten().any(|&byte| byte != 1))
    })?;
    memory.pages().iter_mut().for_each(|page| page.fill(2));
    write(&writer, b"x")?;
    let end = child.wait()?;
    require!(end == End::Exited(0), "a child saw what its parent wrote after fork: {end}");
    Ok(())
}

fn shared() -> Outcome {
    let mut memory = Memory::shared(16)?;
    memory.pages()[0].fill(1);
    let end = crate::process::end_of(|| {
        if memory.pages()[0][0] != 1 {
            return 1;
        }
        memory.pages().iter_mut().for_each(|page| page.fill(3));
        0
    })?;
    require!(end == End::Exited(0), "the child did not see the parent's page: {end}");
    require!(memory.pages().iter().flatten().all(|&byte| byte == 3), "the parent does not see the child's pages");
    Ok(())
}

fn of_files() -> Outcome {
    // The program, of which much is in memory already, and a file of which nothing need be.
    ["/proc/self/exe", "/etc/passwd"].into_iter().try_for_each(of_a_file)
}

/// Maps a file privately.
fn of_a_file(path: &str) -> Outcome {
    let bytes = fs::read(path)?;
    let file = fs::File::open(path)?;
    let pages = bytes.len().div_ceil(PAGE);
    let map = |pages: usize| {
        let length = (pages * PAGE).try_into().map_err(|_| Errno::EINVAL)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing is; the mapping stays to the process's end.
        unsafe { nix::sys::mman::mmap(None, length, protection, nix::sys::mman::MapFlags::MAP_PRIVATE, &file, 0) }
    };
    let start = map(pages)?.cast::<u8>();
    // SAFETY: the pages are mapped to the end of the file's last one; nobody writes to a program that runs.
    let mapped = unsafe { std::slice::from_raw_parts(start.as_ptr(), pages * PAGE) };
    require!(mapped[..bytes.len()] == bytes, "the mapping does not hold the file");
    require!(mapped[bytes.len()..].iter().all(|&byte| byte == 0), "behind the file's end there is something");
    // SAFETY: the first page is mapped; no reference to it is used after this.
    unsafe { start.write_volatile(b'!') };
    require!(fs::read(path)?[0] == bytes[0], "writing to a private mapping changed the file");
    let beyond = map(pages + 2)?.cast::<u8>();
    require_killed(Signal::SIGBUS, "reading beyond a file's last page", || {
        // SAFETY: none: there is no page, which is what is being checked.
        i32::from(unsafe { beyond.as_ptr().wrapping_add(pages * PAGE).read_volatile() })
    })
}

fn program_break() -> Outcome {
    // SAFETY: the callers look where the break is, or are alone with it and do not allocate any more.
    let set_break = |end: usize| unsafe { libc::syscall(libc::SYS_brk, end) }.unsigned_abs() as usize;
    // In a child: the allocator of this process shall not meet the break where it did not leave it.
    require_success("moving the break", || {
        let start = set_break(0);
        for pages in [1, 700, 3] {
            let end = set_break(start + pages * PAGE);
            require!(end == start + pages * PAGE, "the break is at {end:#x}, not {:#x}", start + pages * PAGE);
            let last = ptr::with_exposed_provenance_mut::<u8>(end - 1);
            // SAFETY: the byte before the break belongs to the program.
            unsafe { last.write_volatile(pages as u8) };
        }
        let end = set_break(start + 700 * PAGE);
        // SAFETY: as above.
        let again = unsafe { ptr::with_exposed_provenance::<u8>(end - 1).read_volatile() };
        require!(again == 0, "what was beyond the break came back as {again}");
        set_break(start + 3 * PAGE);
        let refused = set_break(1 << 46);
        require!(refused == start + 3 * PAGE, "an impossible break gave {refused:#x}");
        exit(0)
    })
}

fn limit() -> Outcome {
    require_success("a limit of the address space", || {
        const MIB: usize = (1 << 20) / PAGE;
        // SAFETY: nothing is allocated from the heap until the process ends, which is at once.
        let set_break = |end: usize| unsafe { libc::syscall(libc::SYS_brk, end) }.unsigned_abs() as usize;
        let map = |pages| Memory::map(pages, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE);
        // As much as there is, and 16 MiB: little enough to be had on any machine.
        let limit = (files::number("/proc/self/status", "VmSize")? << 10) + (16 << 20);
        setrlimit(Resource::RLIMIT_AS, limit, limit)?;
        let refused = map(24 * MIB).map(drop);
        require!(refused == Err(Errno::ENOMEM), "mapping more than the limit gave {refused:?}, not ENOMEM");
        let mut memory = map(MIB)?;
        let refused = memory.resize(24 * MIB);
        require!(refused == Err(Errno::ENOMEM), "growing beyond the limit gave {refused:?}, not ENOMEM");
        let start = set_break(0);
        let end = set_break(start + 24 * MIB * PAGE);
        require!(end == start, "the break went beyond the limit");
        map(8 * MIB).map(drop)?;
        exit(0)
    })
}

fn faults_counted() -> Outcome {
    const PAGES: usize = 256;
    /// More than there are when a kernel takes pages of the program itself away in between.
    const TRIES: usize = 8;
    let faults = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.minor_page_faults());
    let mut counts = Vec::new();
    for _ in 0..TRIES {
        let mut memory = Memory::private(PAGES)?;
        memory.advise(0..PAGES, MmapAdvise::MADV_NOHUGEPAGE)?;
        let before = faults()?;
        (0..PAGES).for_each(|page| memory.touch(page));
        counts.push(faults()? - before);
    }
    // The program's own pages can only add to it, and not each time.
    let least = counts.iter().min().copied().unwrap_or(0);
    require!((256..=260).contains(&least), "touching {PAGES} pages counted {counts:?} faults");
    Ok(())
}

fn wrong_calls() -> Outcome {
    let page = PAGE;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let fixed = private | libc::MAP_FIXED;
    for (what, expected, place, length, flags, descriptor) in [
        ("no length", Errno::EINVAL, 0, 0, private, -1),
        ("neither shared nor private", Errno::EINVAL, 0, page, libc::MAP_ANONYMOUS, -1),
        ("a place between pages", Errno::EINVAL, 0x40_0001, page, fixed, -1),
        ("a place in the kernel's half", Errno::ENOMEM, 0xffff_8000_0000_0000, page, fixed, -1),
        ("more than there can be", Errno::ENOMEM, 0, 1 << 48, private, -1),
        ("a file that is not open", Errno::EBADF, 0, page, libc::MAP_PRIVATE, 99),
    ] {
        let place = ptr::with_exposed_provenance_mut(place);
        // SAFETY: each of the calls is refused.
        let mapped = unsafe { libc::mmap(place, length, libc::PROT_READ, flags, descriptor, 0) };
        let error = Errno::last();
        require!(
            mapped == libc::MAP_FAILED && error == expected,
            "mapping {what}: {mapped:?}, {error}, not {expected}"
        );
    }
    let memory = Memory::private(3)?;
    // SAFETY: the middle page is not used.
    Errno::result(unsafe { libc::munmap(memory.address(1).cast(), page) })?;
    let (start, length) = (memory.address(0).cast(), 3 * page);
    // SAFETY: the pages stay readable, and are not written.
    let protected = Errno::result(unsafe { libc::mprotect(start, length, libc::PROT_READ) });
    require!(protected == Err(Errno::ENOMEM), "mprotect over a hole gave {protected:?}, not ENOMEM");
    // SAFETY: the advice changes no contents.
    let advised = Errno::result(unsafe { libc::madvise(start, length, libc::MADV_COLD) });
    require!(advised == Err(Errno::ENOMEM), "madvise over a hole gave {advised:?}, not ENOMEM");
    Ok(())
}

/// Processes that take turns keep their registers.
fn floating_point() -> Outcome {
    let compute = |start: u32| {
        let mut sum = f64::from(start);
        for step in 1..3_000_000_u32 {
            sum = black_box(sum + f64::from(start) / f64::from(step));
        }
        sum.to_bits()
    };
    let alone: Vec<u64> = (1..4).map(compute).collect();
    let children =
        alone.iter().zip(1..).map(|(expected, start)| Child::start(move || i32::from(compute(start) != *expected)));
    for child in children.collect::<Result<Vec<Child>, _>>()? {
        let end = child.wait()?;
        require!(end == End::Exited(0), "a sum came out differently beside others: {end}");
    }
    Ok(())
}
