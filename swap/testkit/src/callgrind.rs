//! Counts instructions by running the program again under callgrind.

use std::process::Command;

/// Which operation, by its index, this run of the program is to do, and how many times; `None` if it is not one that [`count`] began.
pub fn operation() -> Option<(usize, u64)> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, command, index, times] = &arguments[..] else { return None };
    let number = |word: &str| word.parse().expect("written by this program");
    (command == "run").then(|| (number(index) as usize, number(times)))
}

/// The instructions that a run of this program takes that does operation `index` so many times.
pub fn count(index: usize, times: u32) -> u32 {
    let program = std::env::current_exe().expect("a program knows itself");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", &index.to_string(), &times.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("valgrind is needed: {error}"));
    let report = String::from_utf8_lossy(&output.stderr);
    let collected = report.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, number)| number.trim());
    collected.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("callgrind says: {report}"))
}
