//! The pictures of a run in memory, each with how much the machine had said by then: what figures are made of ([`figure`](super::figure)).
//!
//! The machine stands still while a picture is taken, so none is missing however much happens; its clock does not notice.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    picture::{Change, Picture},
    qmp::Qmp,
};
use crate::{
    error::Error,
    machine::Machine,
    observatory::{Observatory, Site, Snapshot},
};

/// How long there is from one look to the next while there is no kernel: looking for one means to read all of memory.
const TICK_BEFORE_START: Duration = Duration::from_millis(500);

/// What was new in a picture.
#[derive(Debug)]
pub struct Taken {
    pub(super) change: Change,
    /// How many bytes of the log there were.
    pub(super) heard: usize,
}

/// A thread that takes pictures of a machine.
#[derive(Debug)]
pub struct Recorder {
    has_ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Taken>>,
    _directory: TempDir,
}

impl Recorder {
    /// Begins to look at a machine that is yet to start, each time that it has run for a `tick`. Returns the machine, made ready for that.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn start(machine: Machine, tick: Duration) -> Result<(Self, Machine), Error> {
        // The path of a socket must be short, which that of the project need not be.
        let directory = tempfile::tempdir().map_err(Error::file("make a directory in", std::env::temp_dir()))?;
        let (site, monitor) = (Arc::new(Site::new(machine.installed_memory())?), directory.path().join("qmp"));
        let (has_ended, heard) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (memory, is_over, length) = (site.memory(), Arc::clone(&has_ended), Arc::clone(&heard));
        let machine = machine.observed_at(site).monitored_at(&monitor).heard_in(heard);
        let thread = thread::spawn(move || record(&memory, monitor, &length, tick, &is_over));
        Ok((Self { has_ended, thread, _directory: directory }, machine))
    }

    /// The machine has ended: all pictures of it.
    pub fn end(self) -> Vec<Taken> {
        self.has_ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // A thread that panicked has said so.
        self.thread.join().unwrap_or_default()
    }
}

fn record(memory: &Path, monitor: PathBuf, heard: &AtomicUsize, tick: Duration, has_ended: &AtomicBool) -> Vec<Taken> {
    let mut taken = Vec::new();
    let observatory = match Observatory::open(memory) {
        Ok(observatory) => observatory,
        Err(error) => {
            eprintln!("quire: there is nothing to see: {error}");
            return taken;
        }
    };
    let (mut camera, mut picture) = (Camera { observatory, monitor, qmp: None }, Picture::default());
    loop {
        let (began, is_last) = (Instant::now(), has_ended.load(Ordering::Relaxed));
        // One that could not be taken is made up for by the next.
        if let Some((snapshot, heard)) = camera.take(heard) {
            taken.push(Taken { change: picture.advance(&snapshot, false), heard });
        }
        if is_last {
            return taken;
        }
        let wait = if taken.is_empty() { TICK_BEFORE_START.saturating_sub(began.elapsed()) } else { tick };
        thread::park_timeout(wait);
    }
}

struct Camera {
    observatory: Observatory,
    /// QEMU's socket.
    monitor: PathBuf,
    qmp: Option<Qmp>,
}

impl Camera {
    /// What there is to be seen, and how much was heard.
    fn take(&mut self, heard: &AtomicUsize) -> Option<(Snapshot, usize)> {
        self.qmp = self.qmp.take().or_else(|| Qmp::connect(&self.monitor).ok());
        // Where QEMU does not answer it has ended, or has not begun.
        self.qmp = self.qmp.take().and_then(|mut qmp| qmp.stop().is_ok().then_some(qmp));
        let snapshot = self.observatory.read().ok();
        let heard = heard.load(Ordering::Relaxed);
        self.qmp = self.qmp.take().and_then(|mut qmp| qmp.go_on().is_ok().then_some(qmp));
        Some((snapshot?, heard))
    }
}
