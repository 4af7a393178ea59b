//! `stress SECONDS [SEED]`: processes that fork, send each other signals and exit at random while memory is short.
//!
//! Each fills pages, verifies them, forks children that verify their copies, gives pages up, sends signals to others and
//! ends at some point or is ended. Afterwards slots and page tables have to be back where they were, and frames too on a
//! kernel that counts them all.

use std::{
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        mman::MmapAdvise,
        signal::{SigHandler, Signal, signal},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
};
use quire_protocol::contents::{Contents, Xorshift, hash};

use crate::{
    books::settled,
    files,
    memory::{Memory, lock_all},
    process::Child,
};

/// How many run at once, besides those that they fork.
const PROCESSES: usize = 8;
/// The exit status of one that found a wrong byte.
const WRONG: i32 = 9;

#[derive(Debug, Default)]
struct Tally {
    started: u64,
    exited: u64,
    killed: u64,
    signals: u64,
    wrong: u64,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let numbers: Vec<u64> = arguments.iter().flat_map(|number| number.parse()).collect();
    let (seconds, seed) = match numbers[..] {
        [seconds] if arguments.len() == 1 => (seconds, 1),
        [seconds, seed] if arguments.len() == 2 => (seconds, seed),
        _ => {
            eprintln!("usage: stress SECONDS [SEED]");
            return ExitCode::from(2);
        }
    };
    match run(Duration::from_secs(seconds), seed) {
        Ok(line) => {
            println!("quire: stress ok {line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("quire: stress FAILED {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(time: Duration, seed: u64) -> Result<String, Box<dyn std::error::Error>> {
    // What is swapped out of this process must not count; what the kernel makes once, it makes now.
    lock_all()?;
    let pages = files::number("/proc/meminfo", "MemTotal")? / 4 * 2 / PROCESSES as u64;
    play(Duration::from_secs(1), seed ^ 0xffff, pages)?;
    let before = settled(None)?;
    let swapped_before = files::number("/proc/vmstat", "pswpout")?;
    let tally = play(time, seed, pages)?;
    let after = settled(Some(before))?;
    let swapped = files::number("/proc/vmstat", "pswpout")? - swapped_before;
    let Tally { started, exited, killed, signals, wrong } = tally;
    if wrong > 0 {
        return Err(format!("{wrong} processes found wrong bytes").into());
    }
    // A page that was swapped out before may have been brought back by who waits beside this.
    if after.slots > before.slots || after.page_tables_kib != before.page_tables_kib {
        let cached = files::number("/proc/meminfo", "SwapCached")?;
        return Err(format!("before there were {before:?}, after {after:?}, {cached} KiB in memory as well").into());
    }
    if swapped == 0 {
        return Err("nothing was swapped".into());
    }
    Ok(format!(
        "processes={started} exited={exited} killed={killed} signals={signals} swapped_out={swapped} \
         free_kib_before={} free_kib_after={}",
        before.free_kib, after.free_kib
    ))
}

fn play(time: Duration, seed: u64, pages: u64) -> nix::Result<Tally> {
    let mut random = Xorshift(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut tally, mut running) = (Tally::default(), Vec::new());
    let start = Instant::now();
    while start.elapsed() < time {
        while running.len() < PROCESSES {
            let own = random.draw() | 1;
            match Child::start(|| work(own, pages)) {
                Ok(child) => running.push(child),
                // Memory is short: that is what this is about.
                Err(Errno::EAGAIN | Errno::ENOMEM) => break,
                Err(error) => return Err(error),
            }
            tally.started += 1;
        }
        sleep(Duration::from_millis(random.draw() % 40));
        if let Some(child) = running.get((random.draw() % PROCESSES as u64) as usize) {
            let signals = [Signal::SIGUSR1, Signal::SIGSTOP, Signal::SIGCONT, Signal::SIGTERM, Signal::SIGKILL];
            let chance = [0, 0, 0, 0, 1, 2, 2, 2, 3, 4];
            let number: usize = chance[(random.draw() % chance.len() as u64) as usize];
            child.signal(signals[number])?;
            tally.signals += 1;
        }
        running.retain(|child| !has_ended(*child, WaitPidFlag::WNOHANG, &mut tally));
    }
    for child in &running {
        child.signal(Signal::SIGKILL)?;
    }
    for child in running {
        has_ended(child, WaitPidFlag::empty(), &mut tally);
    }
    Ok(tally)
}

fn has_ended(child: Child, flags: WaitPidFlag, tally: &mut Tally) -> bool {
    match waitpid(child.0, Some(flags)) {
        Ok(WaitStatus::Exited(_, status)) => {
            tally.exited += 1;
            tally.wrong += u64::from(status == WRONG);
        }
        Ok(WaitStatus::Signaled(..)) => tally.killed += 1,
        _ => return false,
    }
    true
}

extern "C" fn nothing(_: nix::libc::c_int) {}

/// One process: at most `most` pages, some dozens of things to do.
fn work(seed: u64, most: u64) -> i32 {
    // SAFETY: the handler does nothing.
    if unsafe { signal(Signal::SIGUSR1, SigHandler::Handler(nothing)) }.is_err() {
        return 1;
    }
    let mut random = Xorshift(seed);
    let pages = (most / 8 + random.draw() % (most - most / 8)) as usize;
    let Ok(mut memory) = Memory::private(pages) else { return 1 };
    let first = random.draw() >> 16;
    for (page, number) in memory.pages().iter_mut().zip(first..) {
        Contents::Mix.fill(page, number);
    }
    let mut expected: Vec<u64> = memory.pages().iter().map(hash).collect();
    for _ in 0..random.draw() % 40 {
        let from = (random.draw() % pages as u64) as usize;
        let to = (from + 1 + (random.draw() % 64) as usize).min(pages);
        let done = match random.draw() % 8 {
            0 => memory.page_out(),
            1 => memory.advise(from..to, MmapAdvise::MADV_DONTNEED).map(|()| expected[from..to].fill(0)),
            2 => memory.advise(from..to, MmapAdvise::MADV_WILLNEED),
            3 => {
                for (page, expected) in memory.pages()[from..to].iter_mut().zip(&mut expected[from..to]) {
                    Contents::Text.fill(page, random.draw());
                    *expected = hash(page);
                }
                Ok(())
            }
            4 => fork_and_verify(&mut memory, &expected, random.draw()),
            _ => Ok(()),
        };
        let right = memory.pages()[from..to].iter().map(hash).eq(expected[from..to].iter().copied());
        if !right {
            return WRONG;
        }
        if done.is_err() {
            return 1;
        }
    }
    if memory.pages().iter().map(hash).ne(expected.iter().copied()) { WRONG } else { 0 }
}

/// A child verifies some of its copy of the pages, writes to some, and ends one way or the other; some are not waited
/// for, and become orphans.
fn fork_and_verify(memory: &mut Memory, expected: &[u64], chance: u64) -> nix::Result<()> {
    let step = 1 + (chance % 7) as usize;
    let child = Child::start(|| {
        let mut pages = memory.pages().iter_mut().zip(expected).step_by(step);
        let wrong = pages.any(|(page, expected)| {
            let right = hash(page) == *expected;
            page[9] ^= 1;
            !right
        });
        if wrong { WRONG } else { 0 }
    });
    match child {
        Ok(child) if chance & 0x300 == 0 => child.signal(Signal::SIGKILL),
        Ok(child) if chance & 0x400 == 0 => match child.wait()? {
            crate::process::End::Exited(WRONG) => crate::process::exit(WRONG),
            _ => Ok(()),
        },
        Ok(_) | Err(Errno::EAGAIN | Errno::ENOMEM) => Ok(()),
        Err(error) => Err(error),
    }
}
