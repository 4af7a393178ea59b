//! The command line.

use std::{io, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use quire_boot::{Accelerator, Disk, Initramfs, Machine, Size, initramfs, target};
use rustix::termios::tcgetwinsize;

use crate::{lab::LabOptions, mkswap::MkswapOptions, policy::PolicyOptions};

const EXAMPLES: &str = "\
Examples:
  cargo run                                the demo, then a shell: 64M of memory, 256M of swap
  cargo run -- demo --memory 32M           the demo alone, with less memory
  cargo run -- shell --swap 512M           the shell alone, with more swap
  cargo run -- --initrd root.cpio          your own programs
  cargo run -- --disk disk.img             your own image as /dev/vda
  cargo run -- --append scenario=list      what the kernel does without programs
  cargo run -- --gdb                       stop at power-on and wait for gdb
  cargo run --release -- --icount          measure, with instructions as clock

An image of your own: cargo run -- mkswap disk.img --size 128M, or with mkswap(8); one that
nobody can read: cargo run -- mkswap disk.img --size 128M --type crypt

In a terminal: exit or Ctrl-D ends the shell and the machine, Ctrl-A X leaves at once, Ctrl-A C is
QEMU's monitor, Ctrl-A H lists the other keys; Ctrl-C goes to the guest.

Exit status: 0 success, 1 the guest reported failure, 2 wrong usage or something
missing, 3 crash, 124 timed out, 130 left before the end.";

/// Builds Quire, boots it in QEMU, and ends with the guest's verdict.
///
/// In a terminal the demo ends in a shell; otherwise the machine stops when the demo has ended.
#[derive(Debug, Parser)]
#[command(name = "quire", after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Options {
    /// What to do instead.
    #[command(subcommand)]
    pub(crate) task: Option<Task>,

    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

/// The machine, and what its kernel is told.
#[derive(Args, Debug)]
pub(crate) struct MachineOptions {
    /// Memory for the kernel, from 8M up
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    memory: Size,

    /// Size of the swap disk target/swap.img, made anew each time as the first disk; 0 for none
    /// [default: 256M, or none with --disk]
    #[arg(long, value_name = "SIZE")]
    swap: Option<Size>,

    /// An image file or block device as the next virtio disk; can be given several times
    #[arg(long, value_name = "FILE")]
    disk: Vec<PathBuf>,

    /// An initramfs (cpio newc, plain or gzip) to start /init from, instead of one with Quire's own programs
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// Words for the kernel's command line; what follows a lone -- among them are arguments for /init
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true, allow_hyphen_values = true)]
    append: String,

    /// What runs the guest: QEMU's translator or the host's processor
    #[arg(long, value_enum, default_value_t = AcceleratorName::Tcg)]
    accel: AcceleratorName,

    /// Let the guest's clock count instructions: a tick of the time-stamp counter is 1/16 instruction
    #[arg(long)]
    icount: bool,

    /// Record which pages are referenced, for policy --trace; compressed if FILE ends in .gz
    #[arg(long, value_name = "FILE")]
    record_trace: Option<PathBuf>,

    /// Wait for a debugger and print the line that starts one
    #[arg(long)]
    gdb: bool,

    /// Open QEMU's window
    #[arg(long)]
    display: bool,

    /// Stop the guest after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

/// What the launcher can do instead of showing the demo and then a shell.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show the demo and end with its verdict
    Demo(MachineOptions),
    /// Start a shell, without the demo
    Shell(MachineOptions),
    /// Print what swapping costs, in instructions, beside what it costs Linux; with cargo run --release
    Bench,
    /// Try policies of reclaim on traces of page references, without booting: hit ratios as tables and curves
    Policy(PolicyOptions),
    /// Write the initramfs with Quire's own programs to a file; Linux boots with it too
    Initramfs {
        /// The file to be written
        file: PathBuf,
    },
    /// Make a file a swap area, with the type of its backend in the header if that is wanted
    Mkswap(MkswapOptions),
    /// Check that the host's crates and the kernel, for its own target, compile
    Check {
        /// Check the kernel alone
        #[arg(long)]
        kernel: bool,
        /// Further options for cargo check
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Coursework: make a student's tree for a lab, test it, pack it, and grade what was handed in
    Lab(LabOptions),
    /// Check formatting, clippy and documentation of every crate, each for its own target; warnings are errors
    Lint,
    /// Interpret some of the host's tests and look for undefined behaviour; needs rustup's nightly with Miri
    Miri,
}

/// What Quire's own `/init` is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Demo,
    DemoThenShell,
    Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcceleratorName {
    Tcg,
    Kvm,
}

impl MachineOptions {
    /// The machine that the options describe, on which Quire's own `/init` does `act` unless the options say otherwise.
    pub(crate) fn machine(&self, act: Act) -> Machine {
        let mut machine = Machine::new().memory(self.memory).append(&self.append);
        if let Some(size) = self.swap_size() {
            machine = machine.disk(Disk::swap(size).kept_at(target().join("swap.img")));
        }
        for path in &self.disk {
            machine = machine.disk(Disk::file(path));
        }
        machine = match &self.initrd {
            Some(path) => machine.initrd(path),
            None if self.has_word("scenario=") => machine,
            None => self.with_own_programs(machine, act),
        };
        if let Some(path) = &self.record_trace {
            machine = machine.record_trace(path);
        }
        if let AcceleratorName::Kvm = self.accel {
            machine = machine.accelerator(Accelerator::Kvm);
        }
        if self.icount {
            machine = machine.icount();
        }
        if self.display {
            machine = machine.display();
        }
        if self.gdb {
            machine = machine.wait_for_debugger();
        }
        match self.timeout {
            Some(seconds) => machine.timeout(Duration::from_secs(seconds)),
            None => machine,
        }
    }

    fn with_own_programs(&self, machine: Machine, act: Act) -> Machine {
        let initramfs = match initramfs::shell() {
            Some(shell) if act != Act::Demo => Initramfs::new().shell(shell),
            _ => Initramfs::new(),
        };
        let machine = machine.initramfs(initramfs);
        match act {
            _ if self.has_word("--") => machine,
            Act::Demo => machine.append("-- demo"),
            Act::DemoThenShell => machine.append(&window_size()).append("shell=after -- demo"),
            Act::Shell => machine.append(&window_size()),
        }
    }

    /// Whether a word of the kernel's command line begins like this.
    fn has_word(&self, start: &str) -> bool {
        self.append.split_whitespace().any(|word| word.starts_with(start))
    }

    /// The machine in one line.
    pub(crate) fn summary(&self) -> String {
        let swap = self.swap_size().map(|size| format!("swap disk {size}"));
        let disks = self.disk.iter().map(|path| path.display().to_string());
        let disks = swap.into_iter().chain(disks).zip('a'..).map(|(disk, letter)| format!(", /dev/vd{letter} {disk}"));
        format!("memory {}{}", self.memory, disks.collect::<Vec<_>>().concat())
    }

    fn swap_size(&self) -> Option<Size> {
        match self.swap {
            None if self.disk.is_empty() => Some(Size::mebibytes(256)),
            None => None,
            Some(size) => Some(size).filter(|size| size.in_bytes() != 0),
        }
    }
}

/// The terminal's size as words that become the environment of `/init`.
fn window_size() -> String {
    let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    size.map(|size| format!("LINES={} COLUMNS={}", size.ws_row, size.ws_col)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::{Act, Options, Task};

    fn parse(arguments: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(["quire"].iter().chain(arguments))
    }

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn the_swap_disk_comes_first_unless_only_other_disks_are_wanted() {
        for (arguments, disks) in [
            (&[][..], ", /dev/vda swap disk 256M"),
            (&["--swap", "1G"], ", /dev/vda swap disk 1G"),
            (&["--disk", "x", "--disk", "y"], ", /dev/vda x, /dev/vdb y"),
            (&["--disk", "x", "--swap", "8M"], ", /dev/vda swap disk 8M, /dev/vdb x"),
            (&["--swap", "0"], ""),
        ] {
            assert_eq!(parse(arguments).unwrap().machine.summary(), format!("memory 64M{disks}"));
        }
    }

    #[test]
    fn the_demo_takes_the_options_of_the_machine() {
        let Some(Task::Demo(machine)) = parse(&["demo", "--swap", "8M"]).unwrap().task else { panic!("no demo") };
        assert_eq!(machine.summary(), "memory 64M, /dev/vda swap disk 8M");
    }

    #[test]
    fn the_kernel_is_told_what_its_first_program_does() {
        let line = |arguments: &[&str], act| parse(arguments).unwrap().machine.machine(act).command_line();
        assert_eq!(line(&["--append", "quiet"], Act::Demo), "quiet -- demo");
        assert!(line(&[], Act::DemoThenShell).ends_with("shell=after -- demo"));
        assert!(!line(&[], Act::Shell).contains("--"));
        for own in ["scenario=list", "-- check pages", "quiet -- sh"] {
            assert_eq!(line(&["--append", own], Act::Demo), own);
        }
        assert_eq!(line(&["--initrd", "/x", "--append", "a"], Act::DemoThenShell), "a");
    }

    #[test]
    fn a_wrong_value_is_named_with_its_option_and_an_example() {
        for (option, value) in [("--memory", "banana"), ("--swap", "-1"), ("--swap", "1.5G")] {
            let error = parse(&[&format!("{option}={value}")]).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let message = error.to_string();
            for part in [option, value, "64M"] {
                assert!(message.contains(part), "{message}");
            }
        }
        for wrong in [["--timeout", "0"], ["--timeout", "soon"], ["--accel", "warp"], ["--frobnicate", "1"]] {
            let error = parse(&wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(wrong[0]), "{error}");
        }
        assert_eq!(parse(&["--help"]).unwrap_err().kind(), ErrorKind::DisplayHelp);
    }
}
