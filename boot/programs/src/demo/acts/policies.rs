//! One order of touches under two policies, each in a cgroup of its own, at the same time.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::Duration,
};

use nix::unistd::Pid;
use quire_protocol::contents::Xorshift;

use crate::demo::needs::{DISK, Shown, enough_memory};
use crate::{
    cgroup::Cgroup,
    demo::{
        screen::{self, Bar, tenths},
        stage::{Outcome, Tally},
        undo,
    },
    files,
    memory::Shared,
    process::{Child, End, end_without},
    touches::touch_all,
};

/// Shows the policy of cgroups that are made from now on, in brackets, and is written to choose another.
const POLICY: &str = "/sys/kernel/mm/reclaim/policy";

/// Pages that are touched again and again: they fit.
const HOT: u64 = 300;
/// Pages of the loop: they do not.
const LOOP: u64 = 800;
const FRAMES: u64 = 600;
const TOUCHES: u64 = 20_000;

/// What a process under one policy has done so far.
#[derive(Default)]
struct Progress {
    touched: AtomicU64,
    pages: AtomicU64,
    reads: AtomicU64,
    wrong: AtomicU64,
}

pub(super) fn play() -> Shown {
    if let Err(why) = enough_memory()? {
        return Ok(Err(why));
    }
    let Ok(shown) = files::text(POLICY) else { return Ok(Err(format!("this kernel has no {POLICY}"))) };
    let usual = shown.split_whitespace().find_map(|name| name.strip_prefix('[')?.strip_suffix(']'));
    let usual = usual.ok_or("no policy is chosen")?;
    let policies = ["fifo", if usual == "fifo" { "reuse" } else { usual }];
    undo::enable(DISK, 0)?;
    let progress = Shared::new([Progress::default(), Progress::default()])?;
    let mut cgroups = Vec::new();
    for policy in policies {
        undo::set(POLICY, policy, usual)?;
        cgroups.push(undo::cgroup(&format!("demo-{policy}"))?);
    }
    files::set(POLICY, usual)?;
    let (mut children, watcher) = (Vec::new(), Pid::this());
    for (cgroup, progress) in cgroups.iter().zip(&*progress) {
        children.push(Child::start(|| i32::from(walk(cgroup, progress, watcher).is_err()))?);
    }
    let of_both =
        |count: fn(&Progress) -> &AtomicU64| progress.iter().map(|each| count(each).load(Ordering::Relaxed)).sum();
    let mut bar = Bar::new(2 * TOUCHES);
    while !children.is_empty() {
        sleep(Duration::from_millis(10));
        bar.show(of_both(|progress| &progress.touched), "touches")?;
        let mut running = Vec::new();
        for child in children {
            match child.has_ended()? {
                None => running.push(child),
                Some(End::Exited(0)) => {}
                Some(end) => return Err(format!("a process was ended: {end}").into()),
            }
        }
        children = running;
    }
    drop(bar);
    let reads: [u64; 2] = std::array::from_fn(|policy| progress[policy].reads.load(Ordering::Relaxed));
    let row = |what: &str, values: [String; 2]| {
        let [first, second] = values;
        [what.to_owned(), first, second]
    };
    screen::table(
        ["", policies[0], policies[1]],
        &[
            row("touches", [TOUCHES, TOUCHES].map(|touches| touches.to_string())),
            row("touches that had to read", reads.map(|reads| reads.to_string())),
            row("the same, in % of all touches", reads.map(|reads| tenths(reads * 1000, TOUCHES))),
        ],
    );
    let [fifo, other] = reads;
    screen::paragraph(&format!(
        "fifo lets go what came first, though it is used all the time. {} sees which pages are used again: it keeps them, \
         and as much of the loop as there is room for beside them.",
        policies[1]
    ));
    screen::remember(&format!(
        "{} times as many reads under {} as under {}.",
        tenths(fifo * 10, other),
        policies[0],
        policies[1]
    ));
    let [pages, wrong] = [of_both(|progress| &progress.pages), of_both(|progress| &progress.wrong)];
    Ok(Ok(Tally { pages, verified: 2 * TOUCHES * size_of::<u64>() as u64, wrong: wrong * size_of::<u64>() as u64 }))
}

/// Touches the pages in their order, the hot ones and the loop's in turn.
fn walk(cgroup: &Cgroup, progress: &Progress, watcher: Pid) -> Outcome {
    let mut random = Xorshift(1);
    let references: Vec<u64> =
        (0..TOUCHES).map(|touch| if touch % 2 == 0 { random.draw() % HOT } else { HOT + touch / 2 % LOOP }).collect();
    let touched = touch_all(&references, FRAMES, cgroup, || {
        if progress.touched.fetch_add(1, Ordering::Relaxed).is_multiple_of(64) {
            end_without(watcher);
        }
    })?;
    let counts = [(&progress.pages, touched.pages as u64), (&progress.reads, touched.major)];
    for (count, number) in counts {
        count.store(number, Ordering::Relaxed);
    }
    progress.wrong.store(touched.wrong as u64, Ordering::Relaxed);
    Ok(())
}
