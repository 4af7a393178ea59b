//! One boot of one scenario or program, and what its log says.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use quire_boot::{Initramfs, Machine, Outcome, Status, initramfs, observatory::Site, project};
use quire_protocol::{LAST_LINE_PREFIX, Verdict};

use crate::launcher::{self, Ended};

/// Against a guest that never ends: the longest takes a minute on an idle machine, and others are ten times slower.
const LIMIT: Duration = Duration::from_mins(20);

/// A scenario or program that was run to its end.
#[derive(Debug)]
pub struct Run {
    /// What the kernel was told to run.
    words: String,
    /// What stands in its last line.
    name: String,
    outcome: Outcome,
}

/// What stands in the last line of a scenario or program after `ok`.
#[derive(Debug)]
pub struct Figures<'a> {
    run: &'a Run,
    values: BTreeMap<&'a str, &'a str>,
}

impl Run {
    /// Boots `machine` with `scenario=` and the words of `scenario` on its command line.
    #[track_caller]
    pub fn new(scenario: &str, machine: Machine) -> Self {
        let name = scenario.split_whitespace().next().unwrap_or_default();
        Self::of(name, &format!("scenario={scenario}"), machine)
    }

    /// Boots `machine` with Quire's own programs, of which process 1 runs `command`.
    #[track_caller]
    pub fn program(command: &str, machine: Machine) -> Self {
        let name = command.split_whitespace().next().unwrap_or_default();
        Self::of(name, &format!("-- {command}"), machine.initramfs(Initramfs::new()))
    }

    /// Boots `machine` with the shell as process 1, which runs `script`, one of `tests/guest`.
    #[track_caller]
    pub fn script(script: &str, machine: Machine) -> Self {
        let mut initramfs = with_shell();
        for name in [script, "expect"] {
            let path = project().join(format!("tests/guest/{name}.sh"));
            let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            initramfs = initramfs.file(&format!("tests/{name}.sh"), 0o755, text);
        }
        Self::of(script, &format!("rdinit=/bin/busybox -- sh /tests/{script}.sh"), machine.initramfs(initramfs))
    }

    /// Boots `machine` with Quire's own programs and the shell, which runs these lines; the last line is about `name`.
    #[track_caller]
    pub fn lines(name: &str, lines: String, machine: Machine) -> Self {
        let initramfs = with_shell().file(&format!("tests/{name}.sh"), 0o755, lines);
        Self::of(name, &format!("-- sh /tests/{name}.sh"), machine.initramfs(initramfs))
    }

    /// Boots `machine` with these words on its command line; the last line is about `name`.
    #[track_caller]
    pub fn of(name: &str, words: &str, machine: Machine) -> Self {
        let outcome = machine.append(words).timeout(LIMIT).run();
        let outcome = outcome.unwrap_or_else(|error| panic!("{words} was not booted: {error}"));
        let run = Self { words: words.to_owned(), name: name.to_owned(), outcome };
        run.require(run.lines_with("] stack: ").next().is_none(), "a thread used nearly all of its stack");
        run
    }

    /// Everything that the guest wrote to its serial line.
    pub fn log(&self) -> &str {
        &self.outcome.log
    }

    /// The lines of the log with `part` in them.
    pub fn lines_with<'a>(&'a self, part: &'a str) -> impl Iterator<Item = &'a str> {
        self.log().lines().filter(move |line| line.contains(part))
    }

    /// Fails the test unless `holds`.
    #[track_caller]
    pub fn require(&self, holds: bool, what: &str) {
        if !holds {
            self.fail(what);
        }
    }

    /// Fails the test unless the guest ended like this.
    #[track_caller]
    pub fn require_status(&self, status: Status) {
        self.require(self.outcome.status == status, &format!("it should have ended with: {status}"));
    }

    /// Fails the test unless `inspect`, asked `question` about the machine that was observed at `site`, says all of `parts`. Returns
    /// all that it says.
    #[track_caller]
    pub fn require_inspected(&self, site: &Site, question: &[&str], parts: &[&str]) -> String {
        let machine = ["inspect", "--machine", site.directory().to_str().unwrap_or_default()];
        let Ended { status, guest: said, messages } =
            launcher::run_in(Path::new("/"), &[&machine[..], question].concat());
        self.require(status == Some(0), &format!("inspect {question:?} failed: {messages}"));
        for part in parts {
            self.require(said.contains(part), &format!("inspect {question:?} does not say \"{part}\":\n{said}"));
        }
        said
    }

    /// What the scenario found; it must have succeeded.
    #[track_caller]
    pub fn figures(&self) -> Figures<'_> {
        self.require_status(Status::Verdict(Verdict::Success));
        let words = self.last_line("ok").split_whitespace();
        Figures { run: self, values: words.filter_map(|word| word.split_once('=')).collect() }
    }

    /// Why the scenario failed; it must have failed by itself, and have said so.
    #[track_caller]
    pub fn failure(&self) -> &str {
        self.require_status(Status::Verdict(Verdict::Failure));
        self.last_line("FAILED")
    }

    /// What the last line says after the name and `result`. The kernel may have spoken after a program.
    #[track_caller]
    fn last_line(&self, result: &str) -> &str {
        let start = format!("{LAST_LINE_PREFIX}{} {result} ", self.name);
        let mut said = self.log().lines().rev().skip_while(|line| line.starts_with('['));
        let last = said.next().and_then(|line| line.strip_prefix(&start));
        last.unwrap_or_else(|| self.fail(&format!("its last line does not begin with \"{start}\"")))
    }

    /// Fails the test, with all that is known about the run.
    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let Self { words, outcome: Outcome { status, log, qemu_messages, .. }, .. } = self;
        panic!("{words}: {what}\nIt ended with: {status}\n{log}\n{qemu_messages}")
    }
}

/// Quire's own programs and this machine's busybox, which `./setup` installs.
#[track_caller]
fn with_shell() -> Initramfs {
    let Some(shell) = initramfs::shell() else { panic!("there is no static busybox: run ./setup") };
    Initramfs::new().shell(shell)
}

impl Figures<'_> {
    /// The number behind `key`.
    #[track_caller]
    pub fn number(&self, key: &str) -> u64 {
        let number = self.values.get(key).and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| self.run.fail(&format!("its last line has no number {key}=")))
    }

    /// All numbers with their keys.
    pub fn numbers(&self) -> Vec<(String, u64)> {
        self.values.iter().filter_map(|(key, value)| Some(((*key).to_owned(), value.parse().ok()?))).collect()
    }

    /// Fails the test unless the number behind `key` is `expected`.
    #[track_caller]
    pub fn require_exactly(&self, key: &str, expected: u64) {
        self.run.require(self.number(key) == expected, &format!("{key} is not {expected}"));
    }

    /// Fails the test unless the number behind `key` is `least` or more.
    #[track_caller]
    pub fn require_at_least(&self, key: &str, least: u64) {
        self.run.require(self.number(key) >= least, &format!("{key} is less than {least}"));
    }
}
