//! The command line.

use std::{ffi::OsString, io, path::PathBuf, time::Duration};

use clap::{Arg, Args, CommandFactory, Parser, Subcommand, ValueEnum};
use quire_boot::{Accelerator, Disk, Initramfs, Machine, Size, initramfs, target};
use rustix::termios::tcgetwinsize;

use crate::{
    book::BookOptions,
    faults::{self, Fault, Slow},
    inspect::InspectOptions,
    lab::LabOptions,
    mkswap::MkswapOptions,
    policy::PolicyOptions,
    watch_options::WatchOptions,
};

const EXAMPLES: &str = "\
Examples:
  cargo run                                the demo, then a shell: 64M of memory, 256M of swap
  cargo run -- demo --memory 32M           the demo alone, with less memory
  cargo run -- demo --act 3                one act of it: zram before the disk
  cargo run -- shell --swap 512M           the shell alone, with more swap
  cargo run -- --initrd root.cpio          your own programs
  cargo run -- --disk disk.img             your own image as /dev/vda
  cargo run -- --append scenario=list      what the kernel does without programs
  cargo run -- --watch                     watch it in a browser
  cargo run -- demo --record demo.html     the demo in a file that any browser opens
  cargo run -- inspect                     look into a machine that runs, or that ended badly
  cargo run -- --fault read:1000 --append scenario=poison
                                           a disk that cannot read its page 1000
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
    pub(crate) acts: Acts,

    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

/// The demo and its machine.
#[derive(Args, Debug)]
pub(crate) struct DemoOptions {
    #[command(flatten)]
    pub(crate) acts: Acts,

    #[command(flatten)]
    pub(crate) machine: MachineOptions,
}

/// Which acts of the demo are shown: all unless some are named.
#[derive(Args, Debug, Default)]
pub(crate) struct Acts {
    /// Show this act of the demo alone, from 1 to 7; can be given several times
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    act: Vec<u8>,
}

impl Acts {
    /// As arguments of the guest's demo.
    fn words(&self) -> String {
        self.act.iter().map(|act| format!("--act {act}")).collect::<Vec<_>>().join(" ")
    }
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

    /// Have a disk fail requests: `[DISK:]read|write|discard|flush[:PAGE]`, as in read:1000 for what touches page 1000 of the first
    /// disk, or vdb:write for all writes of the second; can be given several times
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,

    /// Have a disk serve so many requests a second: `[DISK:]REQUESTS`, as in 300 or vdb:300; can be given several times
    #[arg(long, value_name = "REQUESTS")]
    slow: Vec<Slow>,

    /// Further arguments for QEMU, as it documents them, with spaces between; can be given several times
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    qemu: Vec<String>,

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

    /// The port on which the debugger is waited for, as with --gdb [default: any that is free]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    gdb_port: Option<u16>,

    /// Open QEMU's window
    #[arg(long)]
    display: bool,

    /// Stop the guest after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,

    #[command(flatten)]
    pub(crate) picture: WatchOptions,
}

/// What the launcher can do instead of showing the demo and then a shell.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show the demo and end with its verdict
    Demo(DemoOptions),
    /// Start a shell, without the demo
    Shell(MachineOptions),
    /// Print what swapping costs, in instructions, beside what it costs Linux; with cargo run --release
    Bench,
    /// Try policies of reclaim on traces of page references, without booting: hit ratios as tables and curves
    Policy(PolicyOptions),
    /// Look into a machine that runs, or has ended badly: why it stopped, its memory, its swap areas
    Inspect(InspectOptions),
    /// Write the initramfs with Quire's own programs to a file; Linux boots with it too
    Initramfs {
        /// The file to be written
        file: PathBuf,
    },
    /// Make a file a swap area, with the type of its backend in the header if that is wanted
    Mkswap(MkswapOptions),
    /// Build the book about Quire, with the documentation of its code, and open it
    Book(BookOptions),
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
    ///
    /// # Errors
    /// A fault of a disk that is not there, acts of a demo that is not shown, a word that is meant otherwise.
    pub(crate) fn machine(&self, act: Act, acts: &Acts) -> Result<Machine, String> {
        if !acts.act.is_empty() && !self.shows_demo(act) {
            return Err("--act is for the demo, which --initrd, scenario= and -- in --append replace".to_owned());
        }
        let swap = self.swap_size().map(|size| Disk::swap(size).kept_at(target().join("swap.img")));
        let disks = swap.into_iter().chain(self.disk.iter().map(Disk::file)).collect();
        let mut machine = Machine::new().memory(self.memory);
        for disk in faults::apply(disks, &self.fault, &self.slow)? {
            machine = machine.disk(disk);
        }
        machine = match &self.initrd {
            Some(path) => machine.append(&self.append).initrd(path),
            None if self.has_word("scenario=") => machine.append(&self.append),
            None => self.with_own_programs(machine, act)?.append(&acts.words()),
        };
        for arguments in &self.qemu {
            machine = machine.qemu_arguments(arguments.split_whitespace());
        }
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
        if self.gdb || self.gdb_port.is_some() {
            machine = machine.wait_for_debugger(self.gdb_port);
        }
        Ok(match self.timeout {
            Some(seconds) => machine.timeout(Duration::from_secs(seconds)),
            None => machine,
        })
    }

    /// Whether the guest shows the demo with `act`, as far as its programs are the launcher's.
    fn shows_demo(&self, act: Act) -> bool {
        act != Act::Shell && self.initrd.is_none() && !self.has_word("scenario=") && !self.has_word("--")
    }

    /// Whether the demo is shown and has a disk to swap to, beside which it wants others.
    pub(crate) fn wants_demo_disks(&self, act: Act) -> bool {
        self.shows_demo(act) && (self.swap_size().is_some() || !self.disk.is_empty())
    }

    /// The kernel would hand a bare word on to the first program as an argument, as Linux does, and that would take it for the
    /// command that it is to run.
    fn refuse_bare_words(&self) -> Result<(), String> {
        const KERNELS: [&str; 9] =
            ["quiet", "debug", "ro", "rw", "nokaslr", "nosmp", "earlyprintk", "rootwait", "noswap"];
        let mut words = self.append.split_whitespace().take_while(|word| *word != "--");
        words.find(|word| !word.contains(['=', '.']) && !KERNELS.contains(word)).map_or(Ok(()), |word| {
            Err(format!(
                "--append: {word:?} is a bare word, which says nothing to the kernel: its words are KEY=VALUE, as in --append \
                 scenario={word}, and a command for the guest comes behind --, as in --append \"-- {word}\""
            ))
        })
    }

    fn with_own_programs(&self, machine: Machine, act: Act) -> Result<Machine, String> {
        self.refuse_bare_words()?;
        let initramfs = match initramfs::shell() {
            Some(shell) if act != Act::Demo => Initramfs::new().shell(shell),
            _ => Initramfs::new(),
        };
        // In front, as nothing can follow a lone --.
        let machine = machine.initramfs(initramfs).append(&window_size()).append(&self.append);
        Ok(match act {
            _ if self.has_word("--") => machine,
            Act::Demo => machine.append("-- demo"),
            Act::DemoThenShell => machine.append("shell=after -- demo"),
            Act::Shell => machine,
        })
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

/// The terminal's size as words that become the environment of `/init`, which tells the guest's console, so that programs know
/// that a person looks on; nothing where output is no terminal.
fn window_size() -> String {
    let Ok(size) = tcgetwinsize(io::stdout()) else { return String::new() };
    // A terminal that does not know its size is as large as they all once were.
    let (rows, columns) = if size.ws_row > 0 && size.ws_col > 0 { (size.ws_row, size.ws_col) } else { (24, 80) };
    format!("LINES={rows} COLUMNS={columns}")
}

/// The arguments with the name of the task in front of the options that stand before it: `--gdb shell` is `shell --gdb`.
pub(crate) fn task_first(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let command = Options::command();
    let mut place = 1;
    while let Some(argument) = arguments.get(place).map(|argument| argument.to_string_lossy().into_owned()) {
        let Some(option) = argument.strip_prefix("--") else {
            if command.find_subcommand(&argument).is_some() {
                arguments[1..=place].rotate_right(1);
            }
            break;
        };
        let known = command.get_arguments().find(|known| known.get_long() == Some(option));
        let takes_value = known.is_some_and(|known| known.get_action().takes_values());
        let needs_none = known.and_then(Arg::get_num_args).is_some_and(|number| number.min_values() == 0);
        let next = arguments.get(place + 1).map(|next| next.to_string_lossy());
        let is_none = next.is_some_and(|next| next.starts_with("--") || command.find_subcommand(&*next).is_some());
        place += 1 + usize::from(takes_value && !(needs_none && is_none));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::{Act, Options, Task, task_first};

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
        let Some(Task::Demo(demo)) = parse(&["demo", "--swap", "8M"]).unwrap().task else { panic!("no demo") };
        assert_eq!(demo.machine.summary(), "memory 64M, /dev/vda swap disk 8M");
    }

    #[test]
    fn the_kernel_is_told_what_its_first_program_does() {
        // In a terminal the words begin with its size.
        let try_line = |arguments: &[&str], act| {
            let Options { machine, acts, .. } = parse(arguments).unwrap();
            machine.machine(act, &acts).map(|machine| machine.command_line())
        };
        let line = |arguments: &[&str], act| try_line(arguments, act).unwrap();
        assert!(line(&["--append", "quiet"], Act::Demo).ends_with("quiet -- demo"));
        assert!(line(&[], Act::DemoThenShell).ends_with("shell=after -- demo"));
        assert!(
            line(&["--act", "3", "--act", "1"], Act::DemoThenShell).ends_with("shell=after -- demo --act 3 --act 1")
        );
        assert!(!line(&[], Act::Shell).contains("--"));
        for own in ["scenario=list", "-- check pages", "quiet -- sh"] {
            assert!(line(&["--append", own], Act::Demo).ends_with(own));
        }
        assert_eq!(line(&["--initrd", "/x", "--append", "a"], Act::DemoThenShell), "a");
        for (wrong, named) in [
            (&["--append", "swapon=/dev/vda stress 20"][..], "\"stress\" is a bare word"),
            (&["--act", "1", "--append", "-- check pages"], "--act is for the demo"),
            (&["--fault", "vdb:read"], "/dev/vdb"),
        ] {
            let refused = try_line(wrong, Act::Demo).unwrap_err();
            assert!(refused.contains(named), "{refused}");
        }
    }

    #[test]
    fn options_may_stand_before_the_task() {
        let first = |words: &str| {
            let words = task_first(format!("quire {words}").split_whitespace().map(Into::into).collect());
            words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(first("--gdb shell"), "shell --gdb");
        assert_eq!(first("--memory 32M --gdb demo --swap 8M"), "demo --memory 32M --gdb --swap 8M");
        assert_eq!(first("--append demo"), "--append demo");
        assert_eq!(first("--memory=32M shell"), "shell --memory=32M");
        assert_eq!(first("--gdb nonsense"), "--gdb nonsense");
        assert_eq!(first("--watch demo"), "demo --watch");
        assert_eq!(first("--watch 8080 demo"), "demo --watch 8080");
        assert_eq!(first("--watch --gdb shell"), "shell --watch --gdb");
        assert_eq!(first(""), "");
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
        for wrong in [
            ["--timeout", "0"],
            ["--timeout", "soon"],
            ["--accel", "warp"],
            ["--frobnicate", "1"],
            ["--act", "8"],
            ["--fault", "reed"],
            ["--slow", "0"],
            ["--gdb-port", "0"],
        ] {
            let error = parse(&wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(wrong[0]), "{error}");
        }
        assert_eq!(parse(&["--help"]).unwrap_err().kind(), ErrorKind::DisplayHelp);
    }
}
