//! `cargo run --release -- bench`: what swapping costs, beside what it costs Linux.
//!
//! The guest's clock counts instructions, so the figures are the same on every machine; a span that waits for a disk is
//! told by its median. The guest's program `bench` makes each kind of swap ready and runs `swbench` on it.

use std::{collections::BTreeMap, error, sync::Arc};

use quire_boot::{
    Disk, Error, Initramfs, Machine, Outcome, Size,
    observatory::{Observatory, Site},
};

use crate::demo_disks::DemoDisks;

/// Ticks of the time-stamp counter for an instruction.
const TICKS: u64 = 16;
/// Ticks in a hundredth of a second, the unit of `/proc/stat`.
const TICKS_A_HUNDREDTH: u64 = 10_000_000;

/// Guest instructions a page on Linux 7.3-rc7: page-out, and fault back in as mean, median and 99th percentile. 256 MiB,
/// one processor, `mitigations=off`, zram with lz4, `page-cluster` 0, 4,096 pages in random order.
const LINUX: [(&str, [u64; 4]); 5] = [
    ("text", [65_070, 32_550, 31_840, 47_670]),
    ("zero", [7_300, 7_170, 6_640, 22_040]),
    ("same", [10_090, 8_790, 8_260, 23_660]),
    ("random", [28_300, 10_210, 9_320, 24_730]),
    ("mix", [53_230, 26_580, 31_350, 47_450]),
];

/// The same for a fault that finds its page in the swap cache: the median.
const LINUX_IN_CACHE: u64 = 2_340;
/// Of 4,096 pages that come from a disk in order, with `page-cluster` 3: how many faults read, and how many find the page.
const LINUX_FROM_DISK: [u64; 2] = [597, 3_511];

/// 300 MiB of others.
const FLAT_OTHERS: u64 = 76_800;

/// What is measured at two sizes, the scenario's name for it, and what it costs Linux beside 300 MiB of others.
const FLAT: [(&str, &str, &str); 7] = [
    ("first touch in a full cgroup of 4 MiB, others 0/300 MiB", "cgroup_touch", "15,865"),
    ("refault there", "cgroup_refault", "30,086"),
    ("removal of that cgroup", "cgroup_removal", ""),
    ("refault, with 1 and 63 cgroups", "cgroup_crowd", ""),
    ("page-out of one's own page, 1/200 forked relatives", "rmap", ""),
    ("unmapping 1,000/8,000 pages in swap", "unmap", ""),
    ("swapoff, 1,000/8,000 pages in swap", "swapoff", ""),
];

/// A line of `key=value` words that a program printed.
type Line = BTreeMap<String, String>;

/// Boots a machine for each kind of swap and prints the tables.
///
/// # Errors
/// A machine does not boot.
pub(crate) fn bench() -> Result<bool, Box<dyn error::Error>> {
    let mut whole = true;
    for (title, program) in [("zram", "zram"), ("ghost swap, in zswap", "ghost")] {
        let lines = measure(program)?;
        whole &= lines.len() == LINUX.len();
        print_contents(title, &lines);
    }
    let disk = measure("disk")?;
    let faults = measure("faults")?;
    whole &= disk.len() == 3 && faults.len() == 1;
    print_disk(&disk);
    let memory = figures("memory-cost", "", Machine::new().disk(Disk::swap(Size::mebibytes(64))))?;
    whole &= !memory.is_empty();
    if let [faults] = &faults[..] {
        println!("\n{:52} {:>8} {:>8}", "instructions a page", "Quire", "at most");
        for (what, cost, most) in [
            ("first touch of an anonymous page, clearing included", instructions(faults, "first_touch"), 1500),
            ("fork of a process with 16 MiB resident", instructions(faults, "fork"), 150),
            ("reclaim of a page that need not be written", number(&memory, "scan"), 700),
            ("an event, for those who look from outside", number(&memory, "event"), 40),
        ] {
            println!("{what:52} {cost:>8} {most:>8}");
        }
    }
    let start = start()?;
    whole &= start.is_some();
    if let Some(start) = start {
        println!(
            "\nfrom the kernel's first instruction to /init: {} thousand instructions, at most 1500",
            start / 1000
        );
    }
    let demos = [demo("events=on")?, demo("events=off")?];
    whole &= demos.iter().all(Option::is_some);
    if let [Some(noted), Some(unnoted)] = &demos {
        println!("{}", noted.share(number(&memory, "event"), unnoted));
    }
    let machine = Machine::new().memory(Size::mebibytes(512)).disk(Disk::swap(Size::mebibytes(512)));
    let flat = figures("flat-cost", &format!("pages={FLAT_OTHERS} swapon=/dev/vda"), machine)?;
    whole &= !flat.is_empty();
    println!("\n{:52} {:>8} {:>8} {:>8}", "instructions a page", "small", "large", "Linux");
    for (what, name, linux) in FLAT {
        let [small, large] = ["small", "large"].map(|size| number(&flat, &format!("{name}_{size}")));
        println!("{what:52} {small:>8} {large:>8} {linux:>8}");
    }
    Ok(whole)
}

/// What a machine's kernel says that counts instructions; shown if it ends badly.
fn log(what: &str, machine: Machine) -> Result<String, Error> {
    eprintln!("quire: measuring {what}");
    let Outcome { status, log, .. } = machine.icount().run()?;
    if !status.is_success() {
        eprintln!("{log}\nquire: {what}: {status}");
    }
    Ok(log)
}

/// How many instructions come before those of process 1, as the kernel's log has it, whose time begins with the first; nothing
/// if it does not start.
fn start() -> Result<Option<u64>, Error> {
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(64))).initramfs(Initramfs::new());
    let log = log("the start", machine.append("-- check pages-zero-at-first"))?;
    let line = log.lines().find(|line| line.contains("] init: /init runs"));
    let time =
        line.and_then(|line| line.strip_prefix('[')?.split(']').next()?.trim().replace('.', "").parse::<u64>().ok());
    Ok(time.map(|microseconds| microseconds * TICKS_A_HUNDREDTH / 10_000 / TICKS))
}

/// The demo from its boot to its end.
struct Demo {
    events: u64,
    instructions: u64,
}

impl Demo {
    /// What its events are of its instructions, if one takes so many; and how many the demo takes that notes none.
    fn share(&self, instructions: u64, unnoted: &Self) -> String {
        let hundredths = (self.events * instructions * 10_000).checked_div(self.instructions).unwrap_or(0);
        let (whole, part) = (hundredths / 100, hundredths % 100);
        let [millions, without] = [self, unnoted].map(|demo| demo.instructions / 1_000_000);
        format!(
            "\nof {millions} million instructions of the demo, its {} events are {whole}.{part:02} %, at most 2; without any it \
             takes {without} million, and two runs differ by a hundredth",
            self.events
        )
    }
}

/// Nothing if it failed. How long the processor worked is what the timer found: its hundredths of a second are many.
fn demo(words: &str) -> Result<Option<Demo>, Box<dyn error::Error>> {
    eprintln!("quire: measuring the demo, {words}");
    let disks = DemoDisks::make()?;
    let machine = Machine::new().disk(Disk::swap(Size::mebibytes(256))).icount();
    let machine = disks.disks().into_iter().fold(machine, Machine::disk).initramfs(Initramfs::new());
    let site = Arc::new(Site::new(machine.installed_memory())?);
    let Outcome { status, log, .. } =
        machine.observed_at(Arc::clone(&site)).append(&format!("{words} -- bench demo")).run()?;
    let busy = log.lines().find_map(|line| line.strip_prefix("demo busy=")?.parse::<u64>().ok());
    let Some(busy) = busy.filter(|_| status.is_success()) else {
        eprintln!("{log}\nquire: the demo: {status}");
        return Ok(None);
    };
    let events = Observatory::open(&site.memory())?.read()?.noted_events;
    Ok(Some(Demo { events, instructions: busy * TICKS_A_HUNDREDTH / TICKS }))
}

/// What a scenario of the kernel's has found, in instructions; nothing if it failed. It measures what no program can have done by
/// itself: reclaim of pages whose slots still have their contents, in which no backend has a part, or what there is beside a cgroup.
fn figures(scenario: &str, words: &str, machine: Machine) -> Result<Line, Error> {
    let log = log(scenario, machine.append(&format!("scenario={scenario} {words}")))?;
    let said = format!("quire: {scenario} ok ");
    let words = log.lines().filter_map(|line| line.strip_prefix(&said)).flat_map(str::split_whitespace);
    Ok(words.filter_map(|word| word.split_once('=')).map(owned).collect())
}

/// What the guest's program printed about one kind of swap; its log if it failed.
fn measure(program: &str) -> Result<Vec<Line>, Error> {
    let machine = Machine::new().memory(Size::mebibytes(256)).disk(Disk::swap(Size::mebibytes(512)));
    let log = log(program, machine.initramfs(Initramfs::new()).append(&format!("-- bench {program}")))?;
    let lines = log.lines().filter(|line| line.ends_with(" ticks/page"));
    Ok(lines.map(|line| line.split_whitespace().filter_map(|word| word.split_once('=')).map(owned).collect()).collect())
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn number(line: &Line, key: &str) -> u64 {
    line.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn instructions(line: &Line, key: &str) -> u64 {
    number(line, key) / TICKS
}

fn print_contents(title: &str, lines: &[Line]) {
    println!("\n{title}: instructions a page, Linux's zram in brackets");
    println!("{:8} {:>18} {:>18} {:>18} {:>18} {:>5}", "content", "page-out", "fault, mean", "p50", "p99", "bad");
    for line in lines {
        let content = line.get("content").map_or("", String::as_str);
        let linux = LINUX.iter().find(|(name, _)| *name == content).map_or([0; 4], |(_, figures)| *figures);
        let columns = ["out", "in", "p50", "p99"].into_iter().zip(linux);
        let columns: Vec<String> =
            columns.map(|(key, linux)| format!("{:>18}", format!("{} ({linux})", instructions(line, key)))).collect();
        println!("{content:8} {} {:>5}", columns.join(" "), number(line, "bad"));
    }
}

fn print_disk(lines: &[Line]) {
    println!("\na disk, page-cluster 3, 4,096 pages of text");
    let [cached, in_order, at_random] = lines else { return };
    let [read, found] = LINUX_FROM_DISK;
    println!(
        "in order: {} faults read ({read}), {} found the page ({found})",
        number(in_order, "majflt"),
        number(in_order, "minflt")
    );
    println!("at random: {} faults read, {} found the page", number(at_random, "majflt"), number(at_random, "minflt"));
    println!(
        "a fault that finds its page in the swap cache: {} instructions, median ({LINUX_IN_CACHE}); bad={}",
        instructions(if number(cached, "majflt") * 2 < number(cached, "minflt") { cached } else { in_order }, "p50"),
        lines.iter().map(|line| number(line, "bad")).sum::<u64>()
    );
}
