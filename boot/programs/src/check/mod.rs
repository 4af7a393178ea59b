//! `check [--beside] [NAME…]`: what the kernel promises programs, those that behave and those that do not.
//!
//! Each check runs in a process of its own, so that one that dies or hangs is only itself wrong; a line says how it went,
//! and the last line counts them. When the process has gone, no more slots may be in use than before it, unless `--beside`
//! says that other programs are there, which may be swapped as well. `check` without a name lists them; a name also stands
//! for every check that begins with it and a hyphen.

mod answers;
mod bad;
mod bounds;
mod busy;
mod calls;
mod commit;
mod console;
mod damaged;
mod descriptors;
mod disk;
mod elf;
mod files;
mod found;
mod frames;
mod futexes;
mod group_swap;
mod handlers;
mod heap;
mod huge;
mod killed;
mod kpage;
mod large_folios;
mod limited;
mod limits;
mod locks;
mod log_random;
mod mappings;
mod memory_files;
mod numbers;
mod outcome;
mod pages;
mod permissions;
mod place;
mod reclaim;
mod rules;
mod setting;
mod settings;
mod signals;
mod starve;
mod swap_files;
mod swapped;
mod times;
mod trouble;
mod users;

use std::process::ExitCode;

use nix::unistd::alarm;

use self::outcome::{Check, Failure, Outcome, require, wait_until};
use crate::{
    files::swap_used,
    memory::lock_all,
    process::{Child, End},
};

/// Against a check that never ends: far longer than any takes on a slow and busy machine.
const LIMIT_SECONDS: u32 = 900;
fn checks() -> impl Iterator<Item = &'static Check> {
    [
        answers::CHECKS,
        bad::CHECKS,
        bounds::CHECKS,
        calls::CHECKS,
        busy::CHECKS,
        commit::CHECKS,
        console::CHECKS,
        damaged::CHECKS,
        disk::CHECKS,
        descriptors::CHECKS,
        elf::CHECKS,
        files::CHECKS,
        found::CHECKS,
        frames::CHECKS,
        group_swap::CHECKS,
        futexes::CHECKS,
        handlers::CHECKS,
        heap::CHECKS,
        huge::CHECKS,
        huge::COUNTED_CHECKS,
        killed::CHECKS,
        large_folios::CHECKS,
        kpage::CHECKS,
        limited::CHECKS,
        limited::SWAP_CHECKS,
        limits::CHECKS,
        locks::CHECKS,
        log_random::CHECKS,
        mappings::CHECKS,
        memory_files::CHECKS,
        numbers::CHECKS,
        pages::CHECKS,
        permissions::CHECKS,
        reclaim::CHECKS,
        rules::CHECKS,
        settings::CHECKS,
        signals::CHECKS,
        starve::CHECKS,
        swap_files::CHECKS,
        swapped::CHECKS,
        times::CHECKS,
        trouble::CHECKS,
        users::CHECKS,
    ]
    .into_iter()
    .flatten()
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let (is_beside_others, names) = match arguments {
        [option, names @ ..] if option == "--beside" => (true, names),
        names => (false, names),
    };
    if names.is_empty() {
        checks().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    if let [option, number] = names
        && option == "--raise"
    {
        return ExitCode::from(signals::raise_number(number).unsigned_abs() as u8);
    }
    if names == ["--ids"] {
        let said = users::ids();
        println!("{}", said.as_deref().unwrap_or("unknown"));
        return ExitCode::from(u8::from(said.is_err()));
    }
    let is_meant =
        |check: &str, name: &str| check == name || check.strip_prefix(name).is_some_and(|rest| rest.starts_with('-'));
    if let Some(unknown) = names.iter().find(|name| !checks().any(|(check, _)| is_meant(check, name))) {
        println!("quire: check FAILED there is no check {unknown}");
        return ExitCode::FAILURE;
    }
    let meant = checks().filter(|(check, _)| names.iter().any(|name| is_meant(check, name)));
    // What is swapped out of this process must not count.
    if let Err(error) = lock_all() {
        println!("check: its own memory is not locked: {error}");
    }
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, check) in meant {
        match run(*check, is_beside_others) {
            Ok(()) => {
                println!("check {name} ok");
                passed += 1;
            }
            Err(Failure(why)) => {
                println!("check {name} FAILED: {why}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        println!("quire: check ok checks={passed}");
        ExitCode::SUCCESS
    } else {
        println!("quire: check FAILED {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

/// Runs a check in a process of its own, ended by a signal if it takes too long, and counts slots before and after.
fn run(check: fn() -> Outcome, is_beside_others: bool) -> Outcome {
    let used_before = swap_used()?;
    let own = || {
        alarm::set(LIMIT_SECONDS);
        match check() {
            Ok(()) => 0,
            Err(Failure(why)) => {
                println!("  {why}");
                1
            }
        }
    };
    let end = Child::start(own)?.wait()?;
    require!(end == End::Exited(0), "{end}");
    let mut used = used_before;
    let all_back = wait_until("slots to come back", || {
        used = swap_used()?;
        Ok(used <= used_before || is_beside_others)
    });
    require!(all_back.is_ok(), "{used_before} slots were used before, {used} after");
    Ok(())
}
