//! All policies on one trace, with several amounts of memory.

use std::{
    str::FromStr,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use quire_memory::policy::{Instance, NAMES, replay::Replay};

use super::{full, optimal, trace::Trace};

/// How much memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    Frames(usize),
    /// Of the trace's pages.
    Percent(usize),
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, is_percent) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err("not a number of frames");
        }
        match (digits.parse::<u32>(), is_percent) {
            (Ok(0), _) => Err("no page fits into that"),
            (Ok(percent @ 1..=100), true) => Ok(Self::Percent(percent as usize)),
            (Ok(frames), false) => Ok(Self::Frames(frames as usize)),
            (Ok(_), true) => Err("more than all pages"),
            (Err(_), _) => Err("more frames than there are numbers of frames"),
        }
    }
}

impl Amount {
    /// At least one, and no more than the trace has pages, which is as good.
    fn frames(self, trace: &Trace) -> usize {
        match self {
            Self::Frames(frames) => frames.min(trace.pages.len()),
            Self::Percent(percent) => (trace.pages.len() * percent / 100).max(1),
        }
    }
}

/// Something that decides which page goes.
#[derive(Clone, Copy)]
pub(super) enum Contender {
    /// A policy of the kernel, by its name.
    Kernel(&'static str),
    /// One that sees every access.
    Full(&'static str, full::Make),
    /// The optimum.
    Optimal,
}

const OPTIMAL: &str = "OPT";

/// The names of all contenders.
pub(super) fn names() -> Vec<&'static str> {
    Contender::all().iter().map(Contender::name).collect()
}

impl Contender {
    pub(super) fn all() -> Vec<Self> {
        let kernel = NAMES.iter().copied().map(Self::Kernel);
        let full = full::ALL.iter().map(|(name, make)| Self::Full(name, *make));
        full.chain(kernel).chain([Self::Optimal]).collect()
    }

    /// The contender of that name: ours are in small letters, those that see every access are not.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|contender| contender.name() == name)
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Kernel(name) | Self::Full(name, _) => name,
            Self::Optimal => OPTIMAL,
        }
    }

    pub(super) fn is_kernels(&self) -> bool {
        matches!(self, Self::Kernel(_))
    }

    fn run(self, trace: &Trace, frames: usize, batch: usize) -> Outcome {
        let (references, pages) = (&trace.references, trace.pages.len());
        match self {
            Self::Kernel(name) => replay(name, trace, frames, batch),
            Self::Full(_, make) => {
                let mut memory = make(frames, pages);
                Outcome { hits: references.iter().filter(|page| memory.access(**page)).count(), ..Outcome::default() }
            }
            Self::Optimal => Outcome { hits: optimal::hits(references, frames, pages), ..Outcome::default() },
        }
    }
}

/// What became of a trace under one policy with one amount of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) hits: usize,
    /// Pages whose accessed bits were looked at.
    pub(super) looks: u64,
    /// The same trace with readahead: requests, pages that they read, and those of these that were never wanted.
    pub(super) reads: u64,
    pub(super) pages_read: u64,
    pub(super) in_vain: u64,
}

fn replay(name: &str, trace: &Trace, frames: usize, batch: usize) -> Outcome {
    let run = |replay: Replay| {
        let mut replay = replay.in_batches(batch);
        for page in &trace.references {
            replay.access(trace.pages[*page as usize]);
        }
        replay.counts()
    };
    let replay = || Replay::new(Instance::named(name).expect("it is in the table"), frames);
    let (alone, ahead) = (run(replay()), run(replay().with_readahead()));
    Outcome {
        hits: trace.references.len() - alone.faults as usize,
        looks: alone.looks,
        reads: ahead.reads,
        pages_read: ahead.pages_read,
        in_vain: ahead.in_vain,
    }
}

/// The outcomes of one trace.
pub(super) struct Results {
    /// How many frames there were, and how that was said.
    pub(super) frames: Vec<(usize, Amount)>,
    /// For each policy an outcome for each number of frames.
    pub(super) rows: Vec<(Contender, Vec<Outcome>)>,
}

/// Runs all contenders with all amounts of memory on the trace, on all processors. Those of the kernel look at `batch`
/// pages together.
pub(super) fn run(trace: &Trace, contenders: &[Contender], amounts: &[Amount], batch: usize) -> Results {
    let frames: Vec<_> = amounts.iter().map(|amount| (amount.frames(trace), *amount)).collect();
    let jobs: Vec<_> =
        contenders.iter().flat_map(|contender| frames.iter().map(|(frames, _)| (*contender, *frames))).collect();
    let (next, threads) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, usize::from));
    let work = || {
        let jobs = std::iter::from_fn(|| {
            let number = next.fetch_add(1, Ordering::Relaxed);
            Some((number, *jobs.get(number)?))
        });
        jobs.map(|(number, (contender, frames))| (number, contender.run(trace, frames, batch))).collect::<Vec<_>>()
    };
    let mut outcomes: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no policy panics")).collect()
    });
    outcomes.sort_unstable_by_key(|(number, _)| *number);
    let outcomes: Vec<_> = outcomes.into_iter().map(|(_, outcome)| outcome).collect();
    let rows = contenders.iter().copied().zip(outcomes.chunks(frames.len()).map(<[_]>::to_vec)).collect();
    Results { frames, rows }
}
