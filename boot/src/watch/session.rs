//! Looking at a machine from its start to its end: a thread that takes snapshots, gives them to the page and to the files, and
//! makes the machine pause and go on as the page wants.

use std::{
    mem,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{
    control::{Awaited, Command, Pace, SLICE},
    feed::{Answer, Feed},
    qmp::Qmp,
    record::Recording,
};
use crate::observatory::{Observatory, ObservatoryError, event::Event};

/// How long there is from one picture to the next.
const TICK: Duration = Duration::from_millis(90);

/// How long the memory may be unreadable before that is said: a kernel that starts publishes itself piece by piece.
const BLIND: Duration = Duration::from_secs(5);

/// The time from one look to the next while there is no kernel: looking for one means to read all of memory.
const TICK_BEFORE_START: Duration = Duration::from_millis(500);

/// How long the machine runs before it is stopped to see whether what is waited for has happened.
const STEP: Duration = Duration::from_micros(500);

/// How long a page that has not said that it closes may be silent: a browser lets one that is hidden ask once a minute.
const SILENCE: Duration = Duration::from_mins(3);

/// How long after a page has closed another one may come: the same, when it is loaded again.
const RETURN: Duration = Duration::from_secs(5);

/// How long pages that are open may take to fetch the last picture.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the page and the thread that looks share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    feed: Feed,
    machine: MachineState,
    commands: Vec<Command>,
    /// When a page last asked, and whether it then had everything.
    asked: Option<(Instant, bool)>,
    /// When no page is taken to be open any longer, unless one asks before.
    deserted: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum MachineState {
    /// Its kernel has not published itself.
    #[default]
    Starting,
    Running,
    Paused,
    /// It runs until something happens.
    Waiting,
    Ended,
}

impl MachineState {
    /// The word for the page.
    const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }
}

impl Shared {
    /// For a page: the messages from a number on, and the word for what the machine does.
    pub(super) fn since(&self, from: Option<u64>) -> (Answer, &'static str) {
        let mut state = self.lock();
        let answer = state.feed.since(from);
        let now = Instant::now();
        state.asked = Some((now, from == Some(answer.next)));
        state.deserted = Some(now + SILENCE);
        let word = state.machine.word();
        drop(state);
        self.changed.notify_all();
        (answer, word)
    }

    /// A page wants something of the machine.
    ///
    /// # Errors
    /// What to tell the person instead.
    pub(super) fn command(&self, command: Command) -> Result<(), String> {
        let mut state = self.lock();
        if state.machine == MachineState::Ended {
            return Err("The machine has ended: what it did can be looked at with the slider below.".into());
        }
        state.commands.push(command);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// A page closes.
    pub(super) fn leave(&self) {
        self.lock().deserted = Some(Instant::now() + RETURN);
    }

    /// Whether there was a page and is none any longer.
    fn is_deserted(&self) -> bool {
        self.lock().deserted.is_some_and(|deserted| deserted <= Instant::now())
    }

    /// The machine has ended.
    pub(super) fn end(&self) {
        self.lock().machine = MachineState::Ended;
        self.changed.notify_all();
    }

    /// Waits until pages that are open have the last picture.
    pub(super) fn say_goodbye(&self) {
        let end = Instant::now() + FAREWELL;
        let mut state = self.lock();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let is_open = state.asked.is_some_and(|(when, has_all)| when.elapsed() < FAREWELL && !has_all);
            if !is_open {
                return;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked left complete messages.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own.
pub(super) struct Watcher {
    pub(super) shared: Arc<Shared>,
    /// The memory file.
    pub(super) memory: PathBuf,
    /// QEMU's socket.
    pub(super) monitor: PathBuf,
    pub(super) recordings: Vec<Recording>,
}

impl Watcher {
    /// Looks until the machine has ended. Returns the files that all of the run is in.
    pub(super) fn run(self) -> Vec<PathBuf> {
        let observatory = match Observatory::open(&self.memory) {
            Ok(observatory) => observatory,
            Err(error) => {
                eprintln!("quire: there is nothing to see: {error}");
                return Vec::new();
            }
        };
        let mut looking = Looking {
            shared: self.shared,
            observatory,
            recordings: self.recordings,
            monitor: self.monitor,
            qmp: None,
            pace: Pace::Slower(1),
            factor: 1,
            is_stopped: false,
            events: Vec::new(),
            pictured: Instant::now(),
            tick: TICK_BEFORE_START,
            blind: None,
        };
        while !looking.has_ended() {
            looking.obey();
            looking.go_on_if_deserted();
            looking.turn();
        }
        looking.picture();
        looking.recordings.into_iter().filter_map(Recording::finish).collect()
    }
}

struct Looking {
    shared: Arc<Shared>,
    observatory: Observatory,
    recordings: Vec<Recording>,
    monitor: PathBuf,
    qmp: Option<Qmp>,
    pace: Pace,
    /// What "slower" was set to, for when the machine goes on.
    factor: u32,
    is_stopped: bool,
    /// Events that are in no picture yet.
    events: Vec<Event>,
    /// When the last picture was made.
    pictured: Instant,
    /// How long there is until the next one.
    tick: Duration,
    /// Since when the memory cannot be read, and whether that was said.
    blind: Option<(Instant, bool)>,
}

impl Looking {
    fn has_ended(&self) -> bool {
        self.shared.lock().machine == MachineState::Ended
    }

    /// Does what pages have asked for.
    fn obey(&mut self) {
        let commands = mem::take(&mut self.shared.lock().commands);
        for command in commands {
            self.pace = match command {
                Command::Pause => Pace::Paused,
                Command::Continue => Pace::Slower(self.factor),
                Command::Slower(factor) => {
                    self.factor = factor;
                    if let Pace::Slower(_) = self.pace { Pace::Slower(factor) } else { self.pace }
                }
                Command::Until(awaited) => {
                    // What has happened so far is not waited for.
                    self.stop();
                    self.look();
                    Pace::Until(awaited)
                }
            };
            match self.pace {
                Pace::Paused => {
                    self.stop();
                    self.picture();
                }
                Pace::Slower(_) => self.go_on(),
                Pace::Until(_) => {}
            }
        }
    }

    /// A page that paused the machine, or made it slower, and closed cannot let it go on.
    fn go_on_if_deserted(&mut self) {
        if self.pace == Pace::Slower(1) || !self.shared.is_deserted() {
            return;
        }
        eprintln!("quire: the picture is closed: the guest goes on at full speed");
        (self.pace, self.factor) = (Pace::Slower(1), 1);
        self.go_on();
    }

    /// Lets the machine run for a while, and makes a picture when it is time.
    fn turn(&mut self) {
        match self.pace {
            Pace::Paused => {
                // QEMU may not have been there yet when it was asked for.
                self.stop();
                self.wait(self.tick);
            }
            Pace::Slower(1) => self.wait(self.tick.saturating_sub(self.pictured.elapsed())),
            Pace::Slower(factor) => {
                self.go_on();
                thread::sleep(SLICE);
                self.stop();
                self.picture_if_time();
                self.wait(SLICE * (factor - 1));
            }
            Pace::Until(awaited) => self.step(awaited),
        }
        self.picture_if_time();
    }

    fn step(&mut self, awaited: Awaited) {
        self.go_on();
        thread::sleep(STEP);
        self.stop();
        let known = self.events.len();
        self.look();
        if awaited.is_among(&self.events[known..]) {
            self.pace = Pace::Paused;
            self.picture();
        }
    }

    /// Waits for a command, for a time.
    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut state = self.shared.lock();
        while state.commands.is_empty() && state.machine != MachineState::Ended {
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else { return };
            (state, _) = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn picture_if_time(&mut self) {
        if self.pictured.elapsed() >= self.tick {
            self.picture();
        }
    }

    /// Takes in what has happened, without a picture.
    fn look(&mut self) {
        if let Ok(events) = self.observatory.events() {
            self.events.extend(events);
        }
    }

    /// Makes a picture, for pages and files.
    fn picture(&mut self) {
        self.pictured = Instant::now();
        let snapshot = self.observatory.read();
        let mut state = self.shared.lock();
        // Also where nothing can be seen: a machine that was stopped halfway through a change has to be told to go on.
        let is_there = snapshot.is_ok() || state.machine != MachineState::Starting;
        if is_there && state.machine != MachineState::Ended {
            state.machine = match self.pace {
                Pace::Paused if self.is_stopped => MachineState::Paused,
                Pace::Paused | Pace::Slower(_) => MachineState::Running,
                Pace::Until(_) => MachineState::Waiting,
            };
        }
        let mut snapshot = match snapshot {
            Ok(snapshot) => snapshot,
            Err(error) => {
                drop(state);
                return self.cannot_see(&error);
            }
        };
        self.tick = TICK;
        self.blind = None;
        self.events.append(&mut snapshot.events);
        snapshot.events = mem::take(&mut self.events);
        let change = state.feed.push(&snapshot, self.is_stopped);
        drop(state);
        self.shared.changed.notify_all();
        if let Some(change) = change {
            for recording in &mut self.recordings {
                recording.write(&change);
            }
        }
    }

    fn cannot_see(&mut self, error: &ObservatoryError) {
        // A kernel that starts is not there yet; what changes all the time is seen the next time.
        if matches!(error, ObservatoryError::NoKernel | ObservatoryError::Restless(_)) {
            return;
        }
        let (since, is_said) = *self.blind.get_or_insert((Instant::now(), false));
        if !is_said && since.elapsed() > BLIND {
            eprintln!("quire: the picture stands still: {error}. The guest goes on");
            self.blind = Some((since, true));
        }
    }

    fn stop(&mut self) {
        if !self.is_stopped && self.tell(Qmp::stop) {
            self.is_stopped = true;
        }
    }

    fn go_on(&mut self) {
        if self.is_stopped && self.tell(Qmp::go_on) {
            self.is_stopped = false;
        }
    }

    /// Tells QEMU something. Whether it has done it.
    fn tell(&mut self, what: impl Fn(&mut Qmp) -> std::io::Result<()>) -> bool {
        if self.qmp.is_none() {
            self.qmp = Qmp::connect(&self.monitor).ok();
        }
        let Some(qmp) = &mut self.qmp else { return false };
        let is_done = what(qmp).is_ok();
        if !is_done {
            // QEMU ends, most likely.
            self.qmp = None;
        }
        is_done
    }
}
