//! What the kernel does wrong on purpose ends in a report that a person can read, not in a silent reset, and in a machine that can be
//! asked where it happened.

use std::{fs, io::Write, os::unix::net::UnixStream, path::Path, sync::Arc, thread, time::Duration};

use quire_boot::{Machine, Status, observatory::Site, project};
use quire_protocol::Verdict;
use quire_tests::{Run, launcher::run_in};

const CRASHES: &str = "kernel/src/scenario/crashes.rs";

/// The place in the code that has these words, as `inspect` shows it.
fn place_of(words: &str) -> String {
    let text = fs::read_to_string(project().join(CRASHES)).unwrap();
    let line = text.lines().position(|line| line.contains(words)).unwrap_or_else(|| panic!("no line with {words}"));
    format!("{CRASHES}:{}", line + 1)
}

/// A scenario on a machine that can be looked at.
fn observed(scenario: &str, machine: Machine) -> (Run, Arc<Site>) {
    let site = Arc::new(Site::new(machine.installed_memory()).unwrap());
    (Run::new(scenario, machine.observed_at(Arc::clone(&site))), site)
}

/// The scenario panics, and its report has all of `parts` and the place in the code; `inspect` finds the function and the line.
fn report(scenario: &str, parts: &[&str], function: &str, words: &str) {
    let (run, site) = observed(scenario, Machine::new());
    run.require_status(Status::Verdict(Verdict::Panic));
    for part in ["kernel panic: ", "  at kernel/", "  in thread "].iter().chain(parts) {
        run.require(run.log().contains(part), &format!("its report lacks \"{part}\""));
    }
    let (called_by, place) = (run.log().split("\n  called by\n").nth(1).unwrap_or_default(), place_of(words));
    run.require(
        called_by.contains(function) && called_by.contains(&place),
        &format!("its report does not end with {function} at {place}"),
    );
    let parts = ["kernel panic in ", " panicked\n", function, &place, "frames free", "events, the last"];
    run.require_inspected(&site, &[], &parts);
}

/// What every report of a processor exception shows.
const REGISTERS: [&str; 4] = ["rip ", "rsp ", "error 0x", "rax "];

#[test]
fn a_panic_says_why() {
    report("panic", &["as it was asked to"], "quire_kernel::scenario::crashes::panic\n", "panic!(");
}

#[test]
fn a_stack_overflow_is_reported_with_its_thread() {
    let parts = [&REGISTERS[..], &["kernel stack overflow: bottomless", "guard page"]].concat();
    report("stack-overflow", &parts, "quire_kernel::scenario::crashes::stack_overflow::deeper (", "deeper(depth + 1)");
}

#[test]
fn a_null_pointer_is_reported() {
    let parts = [&REGISTERS[..], &["page fault at 0x0000000000000008: read"]].concat();
    report("null-pointer", &parts, "quire_kernel::scenario::crashes::null_pointer\n", "asm!(\"mov {}, [{}]\"");
}

#[test]
fn code_cannot_be_written() {
    let parts = [&REGISTERS[..], &["page fault at 0xffffffff", "write; the page's protection"]].concat();
    report("write-to-code", &parts, "quire_kernel::scenario::crashes::write_to_code\n", "mov byte ptr");
}

#[test]
fn data_cannot_be_executed() {
    let parts = [&REGISTERS[..], &["instruction fetch; the page's protection"]].concat();
    report("execute-data", &parts, "quire_kernel::scenario::crashes::execute_data\n", "call {}");
}

/// It is asked while it hangs, and then told to end.
#[test]
fn a_hang_can_be_asked_where_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let monitor = directory.path().join("monitor");
    let machine = Machine::new().append("scenario=hang").monitored_at(&monitor).timeout(Duration::from_mins(20));
    let site = Arc::new(Site::new(machine.installed_memory()).unwrap());
    let machine = machine.observed_at(Arc::clone(&site));
    let run = thread::spawn(move || machine.run());
    let parts = ["main[1] does not run", "quire_kernel::scenario::crashes::hang\n", &place_of("time::sleep(")];
    loop {
        // Until it has booted, there is nothing to be asked.
        let said = run_in(Path::new("/"), &["inspect", "--machine", site.directory().to_str().unwrap()]);
        if parts.iter().all(|part| said.guest.contains(part)) {
            break;
        }
        assert!(!run.is_finished(), "the machine has ended, and inspect said {said:#?}");
        thread::sleep(Duration::from_millis(100));
    }
    // QEMU reads what it is told while the line is open.
    let mut line = UnixStream::connect(&monitor).unwrap();
    line.write_all(b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n").unwrap();
    run.join().unwrap().unwrap();
}
