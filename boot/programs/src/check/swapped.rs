//! Pages that have been swapped out, and everything that can happen to them there. They need an enabled swap area, and
//! the machine for themselves: they look at its slots.

use std::{arch::asm, fs, fs::File, io::Read, io::Write, thread::sleep, time::Duration};

use nix::{
    errno::Errno,
    libc,
    sys::{
        mman::{MmapAdvise, ProtFlags},
        resource::{UsageWho, getrusage},
    },
};
use quire_protocol::contents::{Contents, hash};

use super::outcome::{Check, Outcome, require, wait_until};
use crate::{
    files,
    memory::{Memory, PAGE, squeeze},
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("swapped-and-back", and_back),
    ("swapped-over-fork", over_fork),
    ("swapped-shared", shared),
    ("swapped-given-up", given_up),
    ("swapped-resized", resized),
    ("swapped-locked", locked),
    ("swapped-files", files_of_tmpfs),
    ("swapped-registers", registers),
    ("swapped-ten-children", ten_children),
];

pub(super) const PAGES: usize = 1000;

/// Pages with contents, paged out as far as the kernel does it at once.
pub(super) fn paged_out(mut memory: Memory) -> Result<(Memory, Vec<u64>), super::Failure> {
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
    let expected = memory.pages().iter().map(hash).collect();
    require!(files::swap_used()? < files::number("/proc/meminfo", "SwapTotal")? / 4, "there is no swap to spare");
    let used_before = files::swap_used()?;
    memory.page_out()?;
    let used = files::swap_used()? - used_before;
    require!(used >= PAGES as u64 / 2, "{PAGES} pages that went out use {used} slots");
    Ok((memory, expected))
}

pub(super) fn hashes(memory: &mut Memory) -> Vec<u64> {
    memory.pages().iter().map(hash).collect()
}

/// A page that is cleared, found to be zero or cleared again meanwhile leaves the vector registers of its program alone.
fn registers() -> Outcome {
    let mut memory = Memory::private(PAGES)?;
    let mut changed = 0;
    for (page, turn) in memory.pages().iter_mut().zip(1_u64..) {
        let before = turn * 0x0101_0101_0101;
        let (low, high, other): (u64, u64, u64);
        // SAFETY: it writes zero to the page, which is zero, and advises about it; the stack is not used, and the registers that
        // change are given up.
        unsafe {
            asm!(
                "movq xmm0, {before}",
                "punpcklqdq xmm0, xmm0",
                "movdqa xmm1, xmm0",
                "mov byte ptr [rdi], 0",
                "syscall",
                "mov byte ptr [rdi], 0",
                "movq {low}, xmm0",
                "psrldq xmm0, 8",
                "movq {high}, xmm0",
                "psrldq xmm1, 8",
                "movq {other}, xmm1",
                before = in(reg) before, low = out(reg) low, high = out(reg) high, other = out(reg) other,
                inout("rax") libc::SYS_madvise => _, in("rdi") page.as_mut_ptr(), in("rsi") PAGE,
                in("rdx") i64::from(libc::MADV_PAGEOUT), out("rcx") _, out("r11") _, out("xmm0") _, out("xmm1") _,
            );
        }
        changed += u32::from([low, high, other] != [before; 3]);
    }
    require!(changed == 0, "registers changed at {changed} of {PAGES} pages");
    Ok(())
}

fn and_back() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    squeeze()?;
    let here = memory.in_core()?.iter().filter(|&&here| here).count();
    require!(here < PAGES / 4, "{here} of {PAGES} pages are still in memory");
    let faults_before = getrusage(UsageWho::RUSAGE_SELF)?;
    require!(hashes(&mut memory) == expected, "pages came back changed");
    let faults = getrusage(UsageWho::RUSAGE_SELF)?;
    let major = faults.major_page_faults() - faults_before.major_page_faults();
    let all = major + faults.minor_page_faults() - faults_before.minor_page_faults();
    require!(major > 0, "no fault counts as major");
    require!(all.unsigned_abs() <= PAGES as u64 + 20, "{all} faults brought back {PAGES} pages");
    Ok(())
}

fn over_fork() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    let child = |number: u8| {
        Child::start(|| {
            if hashes(&mut memory) != expected {
                return 1;
            }
            memory.pages().iter_mut().step_by(2).for_each(|page| page.fill(number));
            if memory.page_out().is_err() {
                return 2;
            }
            let own = memory.pages().iter().step_by(2).flatten().all(|&byte| byte == number);
            let mut others = memory.pages().iter().map(hash).zip(&expected).skip(1).step_by(2);
            i32::from(!own) + 2 * i32::from(others.any(|(found, expected)| found != *expected))
        })
    };
    let children: Vec<Child> = (1..5).map(child).collect::<Result<_, _>>()?;
    for child in children {
        let end = child.wait()?;
        require!(end == End::Exited(0), "a child found other pages: {end}");
    }
    require!(hashes(&mut memory) == expected, "a child changed its parent's pages");
    Ok(())
}

fn shared() -> Outcome {
    let mut memory = Memory::shared(PAGES)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
    let expected = hashes(&mut memory);
    memory.page_out()?;
    let end = crate::process::end_of(|| {
        let right = hashes(&mut memory) == expected;
        memory.pages().iter_mut().for_each(|page| page.fill(4));
        i32::from(!right || memory.page_out().is_err())
    })?;
    require!(end == End::Exited(0), "a child found other pages: {end}");
    require!(memory.pages().iter().flatten().all(|&byte| byte == 4), "the child's pages did not reach the parent");
    Ok(())
}

/// Who unmaps a page or does not need it gives its slot back, unseen.
fn given_up() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    memory.advise(0..PAGES / 2, MmapAdvise::MADV_DONTNEED)?;
    let pages = memory.pages();
    require!(pages[..PAGES / 2].iter().flatten().all(|&byte| byte == 0), "MADV_DONTNEED left something");
    let kept = pages[PAGES / 2..].iter().map(hash).eq(expected[PAGES / 2..].iter().copied());
    require!(kept, "MADV_DONTNEED of half the pages changed the others");
    memory.page_out()?;
    squeeze()?;
    let are_here = |memory: &Memory| memory.in_core().map(|here| here[PAGES / 2..][..100].iter().all(|&here| here));
    require!(!are_here(&memory)?, "nothing left memory when it was short");
    memory.advise(PAGES / 2..PAGES / 2 + 100, MmapAdvise::MADV_WILLNEED)?;
    // They may still be on their way.
    wait_until("what MADV_WILLNEED brings in", || Ok(are_here(&memory)?))?;
    let kept = memory.pages()[PAGES / 2..].iter().map(hash).eq(expected[PAGES / 2..].iter().copied());
    require!(kept, "MADV_WILLNEED brought other pages in");
    memory.page_out()?;
    Ok(())
}

fn resized() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    let _behind = Memory::private(1)?;
    memory.resize(3 * PAGES)?;
    memory.protect(0..3 * PAGES, ProtFlags::PROT_READ)?;
    require!(hashes(&mut memory)[..PAGES] == expected, "pages changed when they moved");
    memory.protect(0..3 * PAGES, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
    memory.page_out()?;
    memory.resize(PAGES / 2)?;
    require!(hashes(&mut memory) == expected[..PAGES / 2], "pages changed when others went");
    Ok(())
}

fn locked() -> Outcome {
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::mlock(memory.address(0).cast(), PAGES * PAGE) })?;
    let away = memory.in_core()?.iter().filter(|&&here| !here).count();
    require!(away == 0, "{away} pages are not in memory after mlock");
    squeeze()?;
    let away = memory.in_core()?.iter().filter(|&&here| !here).count();
    require!(away == 0, "{away} locked pages left memory when it was short");
    require!(hashes(&mut memory) == expected, "mlock brought back other pages");
    Ok(())
}

/// A file in `/tmp` and a process together need more than the memory.
fn files_of_tmpfs() -> Outcome {
    let total_pages = files::number("/proc/meminfo", "MemTotal")? as usize / 4;
    let used_before = files::swap_used()?;
    let (in_file, in_memory) = (total_pages * 2 / 5, total_pages * 4 / 5);
    let path = "/tmp/check-swapped";
    let mut file = File::create(path)?;
    let mut page = [0; PAGE];
    for number in 0..in_file {
        Contents::Mix.fill(&mut page, number as u64);
        file.write_all(&page)?;
    }
    let mut memory = Memory::private(in_memory)?;
    memory.pages().iter_mut().zip(7..).for_each(|(page, number)| Contents::Mix.fill(page, number));
    require!(files::swap_used()? > used_before, "nothing was swapped");
    let in_core = files::number("/proc/meminfo", "Shmem")? as usize / 4;
    // Which of the two has more in memory is a matter of policy.
    require!(in_core < in_file, "{in_core} of {in_file} pages of the file stayed in memory");
    let (mut file, mut found) = (File::open(path)?, [0; PAGE]);
    for number in 0..in_file {
        Contents::Mix.fill(&mut page, number as u64);
        file.read_exact(&mut found)?;
        require!(found == page, "page {number} of the file has changed");
    }
    for (found, number) in memory.pages().iter().zip(7..) {
        Contents::Mix.fill(&mut page, number);
        require!(*found == page, "page {number} of the process has changed");
    }
    Ok(fs::remove_file(path)?)
}

/// Ten children with 8 MiB each fill, sleep and verify.
fn ten_children() -> Outcome {
    const EACH: usize = (8 << 20) / PAGE;
    let used_before = files::swap_used()?;
    let child = |number: u64| {
        Child::start(move || {
            let Ok(mut memory) = Memory::private(EACH) else { return 1 };
            let contents = |page: usize| number * EACH as u64 + page as u64;
            for (index, page) in memory.pages().iter_mut().enumerate() {
                Contents::Mix.fill(page, contents(index));
            }
            sleep(Duration::from_secs(1));
            let mut expected = [0; PAGE];
            i32::from(memory.pages().iter().enumerate().any(|(index, page)| {
                Contents::Mix.fill(&mut expected, contents(index));
                *page != expected
            }))
        })
    };
    let children: Vec<Child> = (0..10).map(child).collect::<Result<_, _>>()?;
    let mut most = 0;
    for child in children {
        most = most.max(files::swap_used()?);
        let end = child.wait()?;
        require!(end == End::Exited(0), "a child found other bytes than it wrote, or was ended: {end}");
        most = most.max(files::swap_used()?);
    }
    println!("  at most {most} slots were used");
    let total_pages = files::number("/proc/meminfo", "MemTotal")? / 4;
    let needed = (10 * EACH as u64).saturating_sub(total_pages);
    require!(needed == 0 || most > used_before, "no swap was used");
    Ok(())
}
