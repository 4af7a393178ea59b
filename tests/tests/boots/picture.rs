//! The picture in a browser, of a machine whose shell a test types into: it agrees with what the guest says of itself.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use quire_boot::observatory::FrameKind;
use quire_protocol::observatory::event::EventKind;
use quire_tests::{Browser, launcher};
use rexpect::session::{PtySession, spawn_command};
use serde_json::Value;

/// Against an answer that never comes, in milliseconds. The first one waits for the kernel to be built.
const LIMIT: u64 = 1_200_000;
const PROMPT: &str = "quire:~# ";

/// Pages for a program: more than there is room for. At its end some slots stay in use, for what was pushed out.
const TOO_MANY: u32 = 7000;

/// How often the guest's own figures and the picture's are compared before they are said to differ: what a shell has just done
/// may still be on its way to be freed when it prints them.
const COMPARISONS: usize = 10;

/// A machine with a shell that is shown.
struct Shown {
    shell: PtySession,
    url: String,
}

impl Shown {
    fn start(options: &[&str]) -> Self {
        let mut launcher = Command::new(launcher::program());
        launcher.args(["shell", "--memory", "32M", "--swap", "64M", "--watch", "0"]).args(options);
        let mut shell = spawn_command(launcher, Some(LIMIT)).expect("the launcher starts");
        let (_, url) = shell.exp_regex("http://127.0.0.1:[0-9]+/").expect("the launcher says where the picture is");
        let mut shown = Self { shell, url };
        shown.sees(PROMPT);
        shown
    }

    /// Waits for a text; returns what came before.
    fn sees(&mut self, text: &str) -> String {
        self.shell.exp_string(text).unwrap_or_else(|error| panic!("waiting for {text:?}: {error}"))
    }

    fn types(&mut self, line: &str) {
        self.shell
            .send(line)
            .and_then(|_| self.shell.send("\r"))
            .and_then(|_| self.shell.flush())
            .expect("the launcher listens");
        // The line as it is echoed.
        self.sees("\n");
    }

    /// Types a command and waits for its end; returns what it printed.
    fn does(&mut self, command: &str) -> String {
        self.types(command);
        self.sees(PROMPT)
    }

    /// A file of the guest, read by the shell itself: another program would have frames of its own meanwhile.
    fn reads(&mut self, file: &str) -> String {
        self.does(&format!("while read line; do echo \"$line\"; done <{file}"))
    }
}

/// The number in the line that begins with `name`, of a file like `/proc/meminfo`.
fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number in {line}"))
}

/// How many frames the legend says there are of each kind.
fn counts(browser: &Browser) -> BTreeMap<String, u64> {
    let counts = browser.run(
        "return Object.fromEntries([...document.querySelectorAll('[data-kind]')].map(
            (row) => [row.dataset.kind, Number(row.querySelector('b').dataset.count)]))",
    );
    let Value::Object(counts) = counts else { panic!("no legend: {counts}") };
    counts.into_iter().map(|(kind, count)| (kind, count.as_u64().unwrap_or(u64::MAX))).collect()
}

/// The machine stands still, and the page shows it as it is.
fn pause(browser: &Browser) {
    browser.press(" ");
    browser.wait_for("quire.machine === 'paused' && quire.tape.isAtEnd && document.body.dataset.torn === '0'");
    browser.wait_for("Number(document.body.dataset.position) === quire.tape.position && !quire.isStale");
}

fn go_on(browser: &Browser) {
    browser.press(" ");
    browser.wait_for("quire.machine === 'running'");
}

/// The browser; without one, why the test is skipped is said.
fn browser() -> Option<Browser> {
    Browser::start().map_err(|missing| eprintln!("skipped: {missing}")).ok()
}

#[test]
fn the_picture_says_what_the_guest_says_and_a_recording_says_it_again() {
    let Some(browser) = browser() else { return };
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("run.html");
    let mut shown = Shown::start(&["--record", recording.to_str().unwrap()]);
    browser.open(&shown.url);
    browser.wait_for("quire.tape.state.facts !== null");
    shown.does("mkswap /dev/vda && swapon /dev/vda");
    shown.does(&format!("swbench {TOO_MANY} text random"));

    let (time, live) = equal_figures(&browser, &mut shown);
    go_on(&browser);
    shown.types(&format!("while swbench {TOO_MANY} text seq; do :; done"));
    a_followed_page_goes_out_and_comes_back(&browser);
    the_machine_goes_on_until_the_next(&browser);
    shown.shell.send_control('c').expect("the launcher listens");
    shown.sees(PROMPT);
    a_closed_page_leaves_no_machine_paused(&browser, &mut shown);
    shown.types("exit");
    shown.sees("the run is in");
    shown.shell.exp_eof().expect("the launcher ends");

    browser.go_offline();
    let path = fs::canonicalize(&recording).unwrap();
    browser.open(&format!("file://{}#at={time}", path.display()));
    browser.wait_for("quire.tape.position > 0 && !quire.isStale");
    assert_eq!(counts(&browser), live, "the recording at the same moment");
    at_a_moment_there_is_one_state(&browser);
}

/// The legend's and the areas' figures are those of `/proc/meminfo` and `/proc/swaps`. Returns the moment, in seconds, and the legend's.
fn equal_figures(browser: &Browser, shown: &mut Shown) -> (f64, BTreeMap<String, u64>) {
    let mut differences = Vec::new();
    for _ in 0..COMPARISONS {
        let (memory, swaps) = (shown.reads("/proc/meminfo"), shown.reads("/proc/swaps"));
        pause(browser);
        let counts = counts(browser);
        let frames = |name: &str| figure(&memory, name) / 4;
        let sum = |kinds: &[&str]| kinds.iter().map(|kind| counts[*kind]).sum::<u64>();
        let number =
            |expression: &str| browser.run(&format!("return Number({expression})")).as_u64().unwrap_or(u64::MAX);
        let pages = ["active", "inactive", "file", "shared", "writeback", "swapcache"];
        let guests = [
            ("managed", frames("MemTotal:"), number("document.getElementById('free').dataset.managed")),
            ("free", frames("MemFree:"), sum(&["free", "reserve"])),
            ("page tables", frames("PageTables:"), counts["pagetable"]),
            ("in the swap cache", frames("SwapCached:"), sum(&["writeback", "swapcache"])),
            ("pages", frames("AnonPages:") + frames("Cached:"), sum(&pages)),
            ("slots in use", used_slots(&swaps), number("document.querySelector('.area h3').dataset.used")),
            ("slots shown as used", used_slots(&swaps), number(USED_SLOTS)),
        ];
        differences = guests.into_iter().filter(|(_, guest, page)| guest != page).collect();
        if differences.is_empty() {
            let time = browser.run("return quire.tape.state.facts.time / 1e6");
            return (time.as_f64().unwrap_or_default(), counts);
        }
        go_on(browser);
    }
    panic!("what, the guest's, the page's: {differences:?}");
}

/// How many slots of the only area are drawn as used in one way or another: neither free nor bad.
const USED_SLOTS: &str = "[...quire.tape.state.areas.values()].flatMap((slots) => [...slots.kind]).filter(
    (kind) => kind !== 0 && kind !== 4).length";

/// What is used of the only swap area, in slots.
fn used_slots(swaps: &str) -> u64 {
    let line = swaps.lines().find(|line| line.starts_with("/dev/vda")).unwrap_or_else(|| panic!("no area in {swaps}"));
    line.split_whitespace().nth(3).and_then(|word| word.parse::<u64>().ok()).unwrap_or_else(|| panic!("{line}")) / 4
}

/// A page of a program that uses more than there is. The program may end before its page was out and in, and of a page's life those
/// events may be lost that came faster than they were read: then another one is followed.
fn a_followed_page_goes_out_and_comes_back(browser: &Browser) {
    const CAME_BACK: &str = "(() => {
        const places = quire.detail.journey.map(({ place }) => place);
        const out = places.findIndex((place) => place?.slot !== undefined);
        return out >= 0 && places.slice(out).some((place) => place?.frame !== undefined);
    })()";
    const HAS_LIFE: &str = "document.querySelectorAll('#life li').length > 1";
    for follows in 1.. {
        assert!(follows < FOLLOWED_MAX, "of {follows} pages none was seen to come back with its events");
        pause_while_it_swaps(browser);
        // One in the middle.
        browser.run(&format!(
            "const {{ frames }} = quire.tape.state;
             const {{ thread }} = {SWAPPING};
             const pages = [...frames.thread.keys()].filter((frame) => frames.thread[frame] === thread);
             pages.sort((one, other) => frames.page[one] - frames.page[other]);
             quire.detail.choose({{ frame: pages[pages.length >> 1] }});"
        ));
        browser.press("w");
        browser.wait_for("quire.detail.followed !== null");
        go_on(browser);
        browser.wait_for(&format!("{CAME_BACK} || quire.detail.journey.at(-1).place === null"));
        if browser.run(&format!("return {CAME_BACK}")) == Value::Bool(true) {
            browser.wait_for("document.querySelectorAll('#journey li').length > 1");
            if browser.run(&format!("return {HAS_LIFE}")) == Value::Bool(true) {
                break;
            }
        }
        browser.press(ESCAPE);
    }
    browser.press(ESCAPE);
    browser.wait_for("quire.detail.followed === null");
}

/// How many pages are followed until one has been out and in under the eyes of the picture.
const FOLLOWED_MAX: usize = 100;

/// The key, as `WebDriver` has it.
const ESCAPE: &str = "\u{e00c}";

/// A program that uses more than there is, in the middle of its work.
const SWAPPING: &str =
    "quire.tape.state.facts.tasks.find((task) => task.name.startsWith('swbench') && task.resident > 2000)";

/// One after the other runs: the machine stands still when one is in the middle.
fn pause_while_it_swaps(browser: &Browser) {
    loop {
        browser.wait_for(SWAPPING);
        pause(browser);
        if browser.run(&format!("return Boolean({SWAPPING})")) == Value::Bool(true) {
            return;
        }
        go_on(browser);
    }
}

/// What a person waits for is in the picture with which the machine stands still.
fn the_machine_goes_on_until_the_next(browser: &Browser) {
    pause_while_it_swaps(browser);
    for (key, kind) in [("f", EventKind::Fault), ("r", EventKind::Reclaim), ("o", EventKind::PageOut)] {
        let kind = kind as u8;
        let before = browser.run("return quire.tape.length");
        browser.press(key);
        browser.wait_for(&format!("quire.tape.length > {before} && quire.machine === 'paused' && quire.tape.isAtEnd"));
        browser.wait_for(&format!("[...quire.tape.events({before})].some(([event]) => event.kind === {kind})"));
    }
    go_on(browser);
}

/// Whichever way has led there.
fn at_a_moment_there_is_one_state(browser: &Browser) {
    let kinds = FrameKind::ALL.len();
    let differ = browser.run(&format!(
        "const {{ tape }} = quire;
         const at = (position) => {{ tape.seek(position); return tape.state.frames.countByKind({kinds}).join(); }};
         const moments = [...Array(20).keys()].map((moment) => Math.floor(moment * tape.length / 20));
         const there = moments.map(at);
         const back = moments.toReversed().map(at).toReversed();
         return moments.filter((_, moment) => there[moment] !== back[moment]).length;"
    ));
    assert_eq!(differ, 0, "moments that differ when they are come to from behind");
}

fn a_closed_page_leaves_no_machine_paused(browser: &Browser, shown: &mut Shown) {
    pause(browser);
    browser.open("about:blank");
    shown.does("true");
}

#[test]
fn what_cannot_be_recorded_or_inspected_is_said_with_what_to_do() {
    for (arguments, part) in [
        (["--record", "/does/not/exist/run.html"], "make its directory first"),
        (["--record", "run.mp4"], "--record run.html"),
        (["--trace", "/does/not/exist/run.json"], "make its directory first"),
        (["--watch", "70000"], "--watch"),
        (["inspect", "--machine=/does/not/exist"], "a run that ended badly says where"),
        (["inspect", "--machine=/dev"], "cannot open the memory file /dev/memory"),
    ] {
        let ended = launcher::run_alone_in(Path::new("."), &arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.messages);
        assert!(ended.messages.contains(part), "{arguments:?}: {}", ended.messages);
    }
}
