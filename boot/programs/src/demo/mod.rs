//! The demo, a show in acts: `demo [--act N]...`. Each act lets processes use more memory than they can have, with another kind of
//! swap, verifies every byte that comes back, and ends with a table, its conclusion and one figure. What happened is read from
//! the kernel's files, whose names are Linux's.
//!
//! A console that has a size is a person's terminal: progress is a bar in place there, and lines elsewhere. What the kernel logs
//! meanwhile is in `dmesg`, and not on the console.
//!
//! The last line is `quire: demo ok key=value …` or `quire: demo FAILED why`.
//!
//! | module | subject |
//! |---|---|
//! | `acts` | the acts, a file each |
//! | [`needs`] | what acts need of the machine, and what comes of them |
//! | [`stage`] | processes that work on their pages in phases |
//! | [`figures`] | what the kernel's files say |
//! | [`screen`] | words, tables and the bar, in 80 columns |
//! | [`undo`] | what is to be undone, however the show ends |

mod acts;
mod figures;
mod needs;
mod screen;
mod stage;
mod undo;

use std::{
    fs::File,
    io::Read,
    process::ExitCode,
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::pipe,
};

use self::{
    acts::ACTS,
    figures::Figures,
    needs::DISK,
    stage::{Outcome, Tally},
};
use crate::{
    memory::lock_all,
    process::{Child, End},
};

/// The process that plays, for the handler of signals; 0 while there is none.
static PLAYER: AtomicI32 = AtomicI32::new(0);

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some(wanted) = parse(arguments) else {
        eprintln!("usage: demo [--act N]...\n");
        for (act, number) in ACTS.iter().zip(1..) {
            eprintln!("  {number}  {}", act.name);
        }
        return ExitCode::from(2);
    };
    let end = undo::take().map_err(Into::into).and_then(|_list| quietly(|| guarded(|| play(&wanted))));
    match end {
        Ok(End::Exited(status)) => ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)),
        Ok(End::Killed(signal)) => {
            println!("\nquire: demo FAILED it was ended by {signal}");
            // As a shell says it.
            ExitCode::from(u8::try_from(128 + signal as i32).unwrap_or(1))
        }
        Err(error) => {
            println!("\nquire: demo FAILED {error}");
            ExitCode::FAILURE
        }
    }
}

/// The numbers of the acts that are wanted, from 1; all without a word.
fn parse(arguments: &[String]) -> Option<Vec<usize>> {
    let (pairs, []) = arguments.as_chunks() else { return None };
    let number = |[option, value]: &[String; 2]| {
        let number = value.parse().ok().filter(|number| (1..=ACTS.len()).contains(number));
        number.filter(|_| option == "--act")
    };
    let wanted = pairs.iter().map(number).collect::<Option<Vec<usize>>>()?;
    Some(if wanted.is_empty() { (1..=ACTS.len()).collect() } else { wanted })
}

/// Runs `work` while the kernel's lines stay away from the console.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    const CONSOLE_OFF: i32 = 6;
    const CONSOLE_ON: i32 = 7;
    // SAFETY: neither action has an argument in memory. A user who may not do this sees the lines.
    let console = |action| unsafe { libc::klogctl(action, std::ptr::null_mut(), 0) };
    console(CONSOLE_OFF);
    let result = work();
    console(CONSOLE_ON);
    result
}

/// Runs `work` in a process of its own. However that ends, also by a signal to this process, what it had set up is undone; before,
/// what an earlier show has left.
fn guarded(work: impl FnOnce() -> i32) -> Outcome<End> {
    handle_ends(SigHandler::Handler(end_player))?;
    say_undone("An earlier demo was ended in the middle. What it left is undone", &undo::all()?);
    let (ended, alive) = pipe()?;
    let player = Child::start(|| handle_ends(SigHandler::SigDfl).map_or(1, |()| work()))?;
    PLAYER.store(player.0.as_raw(), Ordering::Relaxed);
    let end = player.wait()?;
    // All that the player has started hold this end of the pipe: when none does, none uses what is undone now.
    drop(alive);
    File::from(ended).read_to_end(&mut Vec::new())?;
    let undone = undo::all()?;
    if let End::Killed(_) = end {
        say_undone("\n\nThe demo was ended in the middle. What it had set up is undone", &undone);
    }
    Ok(end)
}

/// Has the signals handled that a person or a system ends a program with.
fn handle_ends(handler: SigHandler) -> nix::Result<()> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the one handler there is makes a system call and touches nothing but an atomic.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Ends the player by the same signal; those that it has started notice that.
extern "C" fn end_player(signal: libc::c_int) {
    let player = PLAYER.load(Ordering::Relaxed);
    if player != 0 {
        // SAFETY: the call touches no memory.
        let _ = unsafe { libc::kill(player, signal) };
    }
}

fn say_undone(when: &str, commands: &[String]) {
    if !commands.is_empty() {
        println!("{when}:\n  {}", commands.join("\n  "));
    }
}

fn play(wanted: &[usize]) -> i32 {
    match acts(wanted) {
        Ok(line) => {
            println!("\n{}", screen::last_line(&format!("quire: demo ok {line}")));
            0
        }
        Err(why) => {
            println!("\nquire: demo FAILED {why}");
            1
        }
    }
}

fn acts(wanted: &[usize]) -> Outcome<String> {
    if !std::fs::exists(DISK)? {
        return Err(format!("there is no {DISK}").into());
    }
    // What is measured here shall not be disturbed by what measures.
    lock_all()?;
    let before = Figures::read(DISK)?;
    let mut tally = Tally::default();
    for number in wanted {
        let act = &ACTS[number - 1];
        screen::announce(*number, ACTS.len(), act.name, act.about);
        let shown = (act.play)()?;
        undo::all()?;
        match shown {
            Ok(done) => tally.add(&done),
            Err(why) => screen::paragraph(&format!("This act is left out: {why}.")),
        }
    }
    let after = Figures::read(DISK)?;
    let Tally { pages, verified, wrong } = tally;
    if wrong > 0 {
        return Err(format!("{wrong} of {verified} bytes did not come back").into());
    }
    let (out, back) = (after.pages_out - before.pages_out, after.pages_in - before.pages_in);
    if out == 0 || back == 0 {
        return Err("nothing was swapped".into());
    }
    Ok(format!("pages={pages} swapped_out={out} swapped_in={back} bytes_verified={verified} bytes_wrong=0"))
}

#[cfg(test)]
mod tests {
    use super::{ACTS, parse};

    #[test]
    fn acts_are_chosen_by_number() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parse(&[]).map(|all| all.len()), Some(ACTS.len()));
        assert_eq!(parse(&words("--act 3 --act 1")), Some(vec![3, 1]));
        for wrong in ["--act", "--act 0", "--act 99", "--act two", "act 1", "1"] {
            assert_eq!(parse(&words(wrong)), None, "{wrong}");
        }
    }
}
