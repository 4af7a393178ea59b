//! What the kernel does wrong on purpose ends in a report that a person can read, not in a silent reset.

use quire_boot::{Machine, Status};
use quire_protocol::Verdict;
use quire_tests::Run;

/// The scenario panics, and its report has all of `parts` and the place in the code.
fn report(scenario: &str, parts: &[&str]) {
    let run = Run::new(scenario, Machine::new());
    run.require_status(Status::Verdict(Verdict::Panic));
    for part in ["kernel panic: ", "  at kernel/", "  in thread "].iter().chain(parts) {
        run.require(run.log().contains(part), &format!("its report lacks \"{part}\""));
    }
}

/// What every report of a processor exception shows.
const REGISTERS: [&str; 4] = ["rip ", "rsp ", "error 0x", "rax "];

#[test]
fn a_panic_says_why() {
    report("panic", &["as it was asked to"]);
}

#[test]
fn a_stack_overflow_is_reported_with_its_thread() {
    report("stack-overflow", &[&REGISTERS[..], &["kernel stack overflow: bottomless", "guard page"]].concat());
}

#[test]
fn a_null_pointer_is_reported() {
    report("null-pointer", &[&REGISTERS[..], &["page fault at 0x0000000000000008: read"]].concat());
}

#[test]
fn code_cannot_be_written() {
    report("write-to-code", &[&REGISTERS[..], &["page fault at 0xffffffff", "write; the page's protection"]].concat());
}

#[test]
fn data_cannot_be_executed() {
    report("execute-data", &[&REGISTERS[..], &["instruction fetch; the page's protection"]].concat());
}
