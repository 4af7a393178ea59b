//! `fuzz SEED COUNT [only USER] [from NUMBER]`: system calls with arguments at random, right and nearly right, as root and
//! as an ordinary user, while memory is short and a verifier looks after its pages.
//!
//! Each call is a line in the log before it is made: `fuzz SEED USER NUMBER name(arguments)`. Which call that is follows
//! from those three alone. `only guest from 5120` makes the guest's calls again from that number on, without root's between
//! them; a life begins with every [`worker::LIFE`]th.
//!
//! Afterwards slots, page tables and frames have to be back where they were. What is not tried has its reason where it is
//! left out: [`calls::LEFT_OUT_FOR_ROOT`], [`names`], and the process numbers of those who watch.
//!
//! | module | subject |
//! |---|---|
//! | [`draw`] | choices from a seed |
//! | [`calls`] | the calls, and the kinds of their arguments |
//! | [`arguments`] | an argument of each kind |
//! | [`names`] | paths, settings, options |
//! | [`playground`] | the pages, descriptors and files that calls are about |
//! | [`worker`] | the process that makes them |
//! | [`verifier`] | the process that finds its pages as they were |

mod arguments;
mod calls;
mod draw;
mod names;
mod playground;
mod users;
mod verifier;
mod worker;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollTimeout, poll},
    sys::{
        signal::{SigHandler, Signal, signal},
        termios::{FlowArg, tcflow},
        wait::WaitPidFlag,
    },
    unistd::Pid,
};

use self::{
    names::SETTINGS,
    playground::{PLACE, clean, disable, remove_strays, set},
    users::{USERS, User},
    worker::{Ended, LIFE},
};
use crate::{
    books::settled,
    files,
    init::mount_at,
    memory::{Shared, lock_all},
    process::{Child, wait_for_any},
};

/// How often the watcher looks after its workers.
const LOOK_EVERY: u8 = 5;
/// A worker that sleeps in one call for so many looks is ended.
const PATIENCE: u32 = 4;
/// A call that works so long is ended as well.
const LONGEST_CALL: Duration = Duration::from_secs(5);
/// Against waiting for ever: a process that lives so long after SIGKILL is the finding.
const LONGEST_DEATH: Duration = Duration::from_mins(5);
/// So many lives of a worker that could not begin, one after the other.
const FALSE_STARTS: u32 = 1000;

struct Options {
    seed: u64,
    count: u64,
    from: u64,
    users: &'static [User],
}

impl Options {
    fn parse(words: &[String]) -> Option<Self> {
        let [seed, count, rest @ ..] = words else { return None };
        let (seed, count) = (seed.parse().ok()?, count.parse().ok()?);
        let mut options = Self { seed, count, from: 0, users: &USERS };
        for pair in rest.chunks(2) {
            match pair {
                [word, number] if word == "from" => options.from = number.parse().ok()?,
                [word, name] if word == "only" => {
                    let place = USERS.iter().position(|user| user.name == name)?;
                    options.users = &USERS[place..=place];
                }
                _ => return None,
            }
        }
        Some(options)
    }
}

pub(crate) fn main(words: &[String]) -> ExitCode {
    let Some(options) = Options::parse(words) else {
        eprintln!("usage: fuzz SEED COUNT [only root|guest] [from NUMBER]");
        return ExitCode::from(2);
    };
    if !is_alone() {
        eprintln!("fuzz: it writes, mounts and kills as it comes: only as root, on a Quire of its own");
        return ExitCode::from(2);
    }
    let outcome = run(&options);
    // One of the calls may have stopped the terminal's output.
    let _ = tcflow(io::stdout(), FlowArg::TCOON);
    match outcome {
        Ok(line) => {
            println!("\nquire: fuzz ok {line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("\nquire: fuzz FAILED {why}");
            ExitCode::FAILURE
        }
    }
}

/// Whether there is nothing that could be lost.
fn is_alone() -> bool {
    let is_quire = fs::read_to_string("/proc/sys/kernel/version").is_ok_and(|version| version.starts_with("Quire"));
    is_quire && nix::unistd::geteuid().is_root()
}

fn run(options: &Options) -> Result<String, Box<dyn Error>> {
    // What is swapped out of this process must not count, and nothing that a call does to the terminal may stop it.
    lock_all()?;
    set("/proc/self/oom_score_adj", "-1000");
    for ignored in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU]
    {
        // SAFETY: ignoring runs no code of this program.
        unsafe { signal(ignored, SigHandler::SigIgn) }?;
    }
    // The end of a child interrupts the watcher's pause.
    // SAFETY: the handler does nothing.
    unsafe { signal(Signal::SIGCHLD, SigHandler::Handler(playground::nothing)) }?;
    // Each call is to be in the log.
    set("/proc/sys/kernel/printk_devkmsg", "on");
    let settings = Settings::now();
    make_devices();
    // What the kernel makes once, it makes now.
    let first = Options { seed: options.seed ^ 0xffff, count: 2 * LIFE, from: 0, users: &USERS };
    play(&first, &settings)?;
    let before = settled(None)?;
    let swapped_before = files::number("/proc/vmstat", "pswpout")?;
    let Tally { calls, lives, stuck, rounds, verifiers } = play(options, &settings)?;
    let swapped = files::number("/proc/vmstat", "pswpout")? - swapped_before;
    let after = settled(Some(before))?;
    if after.slots > before.slots || after.page_tables_kib > before.page_tables_kib {
        return Err(format!("before there were {before:?}, after {after:?}").into());
    }
    Ok(format!(
        "seed={} calls={calls} lives={lives} stuck={stuck} verified={rounds} verifiers={verifiers} swapped_out={swapped} \
         free_kib_before={} free_kib_after={}",
        options.seed, before.free_kib, after.free_kib
    ))
}

/// A second zram device, to be written to, as the first is for swap, and a group of processes.
fn make_devices() {
    let _ = fs::create_dir("/sys/fs/cgroup/fuzz");
    if !fs::exists("/dev/zram1").unwrap_or(false) {
        let _ = fs::read_to_string("/sys/class/zram-control/hot_add");
    }
    set("/sys/block/zram1/disksize", "4M");
}

/// The settings of the machine as they were.
struct Settings(Vec<(&'static str, String)>);

impl Settings {
    fn now() -> Self {
        let of_machine = SETTINGS.iter().filter(|path| path.starts_with("/proc/sys/") || path.contains("/zswap/"));
        Self(of_machine.filter_map(|path| Some((*path, files::text(path).ok()?))).collect())
    }

    /// A worker may have unmounted from within what they are reached by.
    fn restore(&self) {
        for (kind, place) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
            // Each is mounted once: this does nothing while it is.
            let _ = mount_at(kind, place);
        }
        self.0.iter().for_each(|(path, value)| set(path, value));
    }
}

#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    lives: u64,
    /// How many lives the watcher ended.
    stuck: u64,
    /// How often the verifier found all its pages right.
    rounds: u64,
    /// How many there were: the machine may have run out of memory.
    verifiers: u64,
}

/// What the processes tell the watcher.
#[derive(Debug, Default)]
struct Board {
    /// For each worker the number behind the call that it makes.
    next: [AtomicU64; USERS.len()],
    rounds: AtomicU64,
}

/// A worker as the watcher sees it.
struct Watched {
    user: User,
    place: usize,
    end: u64,
    child: Option<Child>,
    /// The call at the last look, how many looks it has slept, since when it is there.
    call: u64,
    sleeps: u32,
    since: Instant,
    killed: Option<Instant>,
    false_starts: u32,
}

/// Makes the directory of all workers, and what they share, unless they are there.
fn make_place() -> io::Result<()> {
    /// Root's worker is at work meanwhile, and can take a part away again.
    const ATTEMPTS: usize = 16;
    let gone = |made: &io::Result<()>| made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    (1..ATTEMPTS).map(|_| try_make_place()).find(|made| !gone(made)).unwrap_or_else(try_make_place)
}

fn try_make_place() -> io::Result<()> {
    let shared = ["", "/shared", "/shared/d"].map(|path| format!("{PLACE}{path}"));
    if shared.iter().all(|path| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())) {
        return Ok(());
    }
    // Something else is there, or mounted there.
    clean(PLACE)?;
    let named = |path: &str, made: io::Result<()>| {
        made.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    };
    for path in &shared {
        named(path, fs::create_dir(path))?;
    }
    // The inner one first: from then on the other worker may remove it.
    let open = |path: &String| named(path, fs::set_permissions(path, fs::Permissions::from_mode(0o777)));
    shared[1..].iter().rev().try_for_each(open)
}

fn play(options: &Options, settings: &Settings) -> Result<Tally, Box<dyn Error>> {
    clean(PLACE)?;
    make_place()?;
    let board = Shared::new(Board::default())?;
    let each = options.count / options.users.len() as u64;
    let mut workers: Vec<Watched> = options
        .users
        .iter()
        .zip(0..)
        .map(|(user, place)| Watched {
            user: *user,
            place,
            end: options.from + each,
            child: None,
            call: options.from,
            sleeps: 0,
            since: Instant::now(),
            killed: None,
            false_starts: 0,
        })
        .collect();
    board.next.iter().for_each(|next| next.store(options.from, Ordering::Relaxed));
    let (mut tally, mut verifier) = (Tally::default(), None);
    let outcome = loop {
        if verifier.is_none() {
            verifier = start_verifier(&board)?;
            tally.verifiers += u64::from(verifier.is_some());
        }
        if let Err(why) = look(options.seed, &board, settings, &mut workers, &mut verifier, &mut tally) {
            break Err(why);
        }
        let is_over = workers.iter().all(|worker| worker.child.is_none() && worker.next(&board) >= worker.end);
        // At the end every page is looked at once more.
        if is_over && board.rounds.load(Ordering::Relaxed) > tally.rounds {
            break Ok(());
        }
        if !is_over {
            tally.rounds = board.rounds.load(Ordering::Relaxed);
        }
        pause();
    };
    tally.calls = each * workers.len() as u64;
    tally.rounds = board.rounds.load(Ordering::Relaxed);
    let all_ended = end_all(workers.iter().filter_map(|worker| worker.child).chain(verifier));
    outcome.and(all_ended)?;
    tidy(settings)?;
    Ok(tally)
}

impl Watched {
    fn next(&self, board: &Board) -> u64 {
        board.next[self.place].load(Ordering::Relaxed)
    }

    /// Begins the next life. Without memory for a process there is none yet.
    fn start(&mut self, seed: u64, board: &Board) {
        let (user, end, next) = (self.user, self.end, &board.next[self.place]);
        self.child = Child::start(|| {
            set("/proc/self/oom_score_adj", "0");
            worker::live(seed, user, next, end)
        })
        .ok();
        (self.call, self.sleeps, self.since, self.killed) = (self.next(board), 0, Instant::now(), None);
    }
}

fn start_verifier(board: &Board) -> io::Result<Option<Child>> {
    // More than there is, together with those of the other kinds.
    let pages = (files::number("/proc/meminfo", "MemTotal")? / 4) as usize;
    Ok(Child::start(|| {
        set("/proc/self/oom_score_adj", "-900");
        verifier::verify(pages, &board.rounds)
    })
    .ok())
}

/// Sees who has ended, starts who is to go on, and ends who does not.
fn look(
    seed: u64,
    board: &Board,
    settings: &Settings,
    workers: &mut [Watched],
    verifier: &mut Option<Child>,
    tally: &mut Tally,
) -> Result<(), Box<dyn Error>> {
    // Without any child there is none that has ended.
    while let Ok(Some((ended, status))) = ended() {
        if verifier.is_some_and(|child| child.0 == ended) {
            *verifier = None;
            if status == verifier::WRONG {
                return Err("the verifier found a wrong page".into());
            }
        }
        if let Some(worker) = workers.iter_mut().find(|worker| worker.child.is_some_and(|child| child.0 == ended)) {
            worker.child = None;
            worker.false_starts = if status == Ended::Unprepared as i32 { worker.false_starts + 1 } else { 0 };
            if worker.false_starts > FALSE_STARTS {
                return Err(format!("{} could not begin {FALSE_STARTS} times", worker.user.name).into());
            }
        }
    }
    for worker in workers {
        if worker.child.is_none() && worker.next(board) < worker.end {
            if worker.user.number == 0 {
                settings.restore();
            }
            clean(&format!("{PLACE}/{}", worker.user.name))?;
            // Root may have moved it away from within.
            make_place()?;
            worker.start(seed, board);
            tally.lives += 1;
        }
        watch(worker, board, tally)?;
    }
    Ok(())
}

/// Ends a worker whose call waits, or does not come to its end.
fn watch(worker: &mut Watched, board: &Board, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let Some(child) = worker.child else { return Ok(()) };
    let next = worker.next(board);
    if let Some(killed) = worker.killed {
        if killed.elapsed() > LONGEST_DEATH {
            let call = next.saturating_sub(1);
            return Err(format!("{} is not dead in call {call}, which was killed", worker.user.name).into());
        }
        return Ok(());
    }
    if next != worker.call {
        (worker.call, worker.sleeps, worker.since) = (next, 0, Instant::now());
        return Ok(());
    }
    worker.sleeps = if is_asleep(child.0) { worker.sleeps + 1 } else { 0 };
    let is_long = worker.since.elapsed() > LONGEST_CALL;
    if worker.sleeps >= PATIENCE || is_long {
        if is_long {
            println!("fuzz: {} is long in call {}", worker.user.name, next.saturating_sub(1));
        }
        child.signal(Signal::SIGKILL)?;
        worker.killed = Some(Instant::now());
        tally.stuck += 1;
    }
    Ok(())
}

/// Whether a process waits, for a signal as well, or is stopped.
fn is_asleep(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let letter = state.rsplit(") ").next().and_then(|rest| rest.chars().next());
    matches!(letter, Some('S' | 'T' | 't'))
}

/// A child that has ended, with its status. There are others than those that were started: a call may give its child to the
/// caller's parent.
fn ended() -> nix::Result<Option<(Pid, i32)>> {
    wait_for_any(WaitPidFlag::WNOHANG)
}

/// A moment, or until a child ends.
fn pause() {
    let _ = poll(&mut [], PollTimeout::from(LOOK_EVERY));
}

/// Ends these and waits for all children.
fn end_all(children: impl Iterator<Item = Child>) -> Result<(), Box<dyn Error>> {
    for child in children {
        child.signal(Signal::SIGKILL)?;
    }
    let start = Instant::now();
    while ended() != Err(Errno::ECHILD) {
        if start.elapsed() > LONGEST_DEATH {
            return Err("a killed process does not end".into());
        }
        pause();
    }
    Ok(())
}

/// Puts back what calls may have changed and is not their process's.
fn tidy(settings: &Settings) -> io::Result<()> {
    settings.restore();
    for device in ["/dev/zram0", "/dev/ghostswap"] {
        disable(device);
    }
    for device in
        fs::read_dir("/sys/block").map_err(|error| io::Error::other(format!("/sys/block: {error}")))?.flatten()
    {
        if device.file_name().to_string_lossy().starts_with("zram") {
            set(&format!("{}/reset", device.path().display()), "1");
        }
    }
    let _ = fs::remove_dir("/sys/fs/cgroup/fuzz");
    make_devices();
    remove_strays();
    clean(PLACE)?;
    io::stdout().flush()
}
