//! One boot of one scenario, and what its log says.

use std::{collections::BTreeMap, time::Duration};

use quire_boot::{Machine, Outcome, Status};
use quire_protocol::{LAST_LINE_PREFIX, Verdict};

/// How long a guest may take: far more than any scenario needs on a busy machine.
const LIMIT: Duration = Duration::from_mins(4);

/// A scenario that was run to its end.
#[derive(Debug)]
pub struct Run {
    /// The command line without `scenario=`.
    scenario: String,
    outcome: Outcome,
}

/// What stands in a scenario's last line after `ok`.
#[derive(Debug)]
pub struct Figures<'a> {
    run: &'a Run,
    values: BTreeMap<&'a str, &'a str>,
}

impl Run {
    /// Boots `machine` with `scenario=` and the words of `scenario` on its command line.
    #[track_caller]
    pub fn new(scenario: &str, machine: Machine) -> Self {
        let machine = machine.append(&format!("scenario={scenario}")).timeout(LIMIT);
        let outcome = machine.run().unwrap_or_else(|error| panic!("{scenario} was not booted: {error}"));
        Self { scenario: scenario.to_owned(), outcome }
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

    /// What the last line says after the scenario's name and `result`.
    #[track_caller]
    fn last_line(&self, result: &str) -> &str {
        let name = self.scenario.split_whitespace().next().unwrap_or_default();
        let start = format!("{LAST_LINE_PREFIX}{name} {result} ");
        let last = self.log().lines().last().and_then(|line| line.strip_prefix(&start));
        last.unwrap_or_else(|| self.fail(&format!("its last line does not begin with \"{start}\"")))
    }

    /// Fails the test, with all that is known about the run.
    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        let Self { scenario, outcome: Outcome { status, log, qemu_messages, .. } } = self;
        panic!("scenario={scenario}: {what}\nIt ended with: {status}\n{log}\n{qemu_messages}")
    }
}

impl Figures<'_> {
    /// The number behind `key`.
    #[track_caller]
    pub fn number(&self, key: &str) -> u64 {
        let number = self.values.get(key).and_then(|value| value.parse().ok());
        number.unwrap_or_else(|| self.run.fail(&format!("its last line has no number {key}=")))
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
