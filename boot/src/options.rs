//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};
use quire_boot::{Accelerator, Disk, Machine, Size, target};

const EXAMPLES: &str = "\
Examples:
  cargo run                                the demo: 64M of memory, 256M of swap
  cargo run -- --memory 32M --swap 512M    less memory, more swap
  cargo run -- --disk disk.img             your own image as /dev/vda
  cargo run -- --append scenario=list      what else the kernel can do
  cargo run -- --gdb                       stop at power-on and wait for gdb
  cargo run --release -- --icount          measure, with instructions as clock

An image of your own: truncate -s 128M disk.img && mkswap disk.img

Ctrl-A X leaves, Ctrl-A C is QEMU's monitor, Ctrl-A H lists the other keys.

Exit status: 0 success, 1 the guest reported failure, 2 wrong usage or something
missing, 3 crash, 124 timed out, 130 left before the end.";

/// Builds Quire, boots it in QEMU, and ends with the guest's verdict.
#[derive(Debug, Parser)]
#[command(name = "quire", after_help = EXAMPLES, args_conflicts_with_subcommands = true, max_term_width = 100)]
pub(crate) struct Options {
    /// What to do instead of booting.
    #[command(subcommand)]
    pub(crate) task: Option<Task>,

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

    /// An initramfs (cpio newc, plain or gzip) to start programs from
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,

    /// Words for the kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    append: String,

    /// What runs the guest: QEMU's translator or the host's processor
    #[arg(long, value_enum, default_value_t = AcceleratorName::Tcg)]
    accel: AcceleratorName,

    /// Let the guest's clock count instructions: a tick of the time-stamp counter is 1/16 instruction
    #[arg(long)]
    icount: bool,

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

/// What the launcher can do besides booting.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Check formatting, clippy and documentation of every crate, each for its own target; warnings are errors
    Lint,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcceleratorName {
    Tcg,
    Kvm,
}

impl Options {
    /// The machine that the options describe.
    pub(crate) fn machine(&self) -> Machine {
        let mut machine = Machine::new().memory(self.memory).append(&self.append);
        if let Some(size) = self.swap_size() {
            machine = machine.disk(Disk::swap(size).kept_at(target().join("swap.img")));
        }
        for path in &self.disk {
            machine = machine.disk(Disk::file(path));
        }
        if let Some(path) = &self.initrd {
            machine = machine.initrd(path);
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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser, error::ErrorKind};

    use super::Options;

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
            assert_eq!(parse(arguments).unwrap().summary(), format!("memory 64M{disks}"));
        }
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
