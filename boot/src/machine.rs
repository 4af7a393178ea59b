//! What is booted.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use quire_protocol::{COMMAND_LINE_MAX, FIRMWARE_MEMORY_MIB, MEMORY_LIMIT_WORD, recording::RECORD_TRACE_WORD};

use crate::{disk::Disk, error::Error, initramfs::Initramfs, limits::MEMORY_MIN, observatory::Site, size::Size};

/// A machine to be booted. Starts as 64 MiB of memory, no disks, an empty command line and no time limit.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(crate) memory: Size,
    pub(crate) disks: Vec<Disk>,
    pub(crate) accelerator: Accelerator,
    pub(crate) icount: bool,
    pub(crate) display: bool,
    pub(crate) console: Console,
    pub(crate) initrd: Option<Initrd>,
    append: String,
    /// The tree whose kernel is booted, if it is not the project.
    pub(crate) kernel_tree: Option<PathBuf>,
    /// The port for a debugger that is waited for, 0 for any.
    pub(crate) debugger: Option<u16>,
    pub(crate) qemu_arguments: Vec<String>,
    pub(crate) trace: Option<PathBuf>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) monitor: Option<PathBuf>,
    pub(crate) site: Option<Arc<Site>>,
    pub(crate) heard: Arc<AtomicUsize>,
}

/// Where the initramfs comes from.
#[derive(Clone, Debug)]
pub(crate) enum Initrd {
    File(PathBuf),
    Made(Initramfs),
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU's translator: the same everywhere, and the default.
    Tcg,
    /// The host's processor. Where the host is itself a virtual machine this can be far slower than [`Self::Tcg`].
    Kvm,
}

/// Where the guest's serial line goes, besides into [`Outcome::log`](crate::Outcome::log).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Nowhere.
    Captured,
    /// To standard output.
    Shown,
    /// To standard output, and the terminal's keys go to the guest; Ctrl-A X leaves, Ctrl-A C switches to QEMU's monitor.
    Interactive,
}

impl Machine {
    /// The machine described at [`Machine`].
    #[expect(clippy::new_without_default, reason = "`Machine::new()` starts a sentence; `default()` would not")]
    pub fn new() -> Self {
        Self {
            memory: Size::mebibytes(64),
            disks: Vec::new(),
            accelerator: Accelerator::Tcg,
            icount: false,
            display: false,
            console: Console::Captured,
            initrd: None,
            append: String::new(),
            kernel_tree: None,
            debugger: None,
            qemu_arguments: Vec::new(),
            trace: None,
            timeout: None,
            monitor: None,
            site: None,
            heard: Arc::default(),
        }
    }

    /// Memory that the kernel may use, at least [`MEMORY_MIN`].
    #[must_use]
    pub fn memory(self, memory: Size) -> Self {
        Self { memory, ..self }
    }

    /// One more virtio disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// More words for the kernel's command line.
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        if !self.append.is_empty() && !words.is_empty() {
            self.append.push(' ');
        }
        self.append.push_str(words);
        self
    }

    /// The kernel of another tree than the project, one with all of its crates: it is built there.
    #[must_use]
    pub fn kernel_of(self, tree: impl Into<PathBuf>) -> Self {
        Self { kernel_tree: Some(tree.into()), ..self }
    }

    /// The file at `path` as initramfs, from which the kernel starts programs.
    #[must_use]
    pub fn initrd(self, path: impl Into<PathBuf>) -> Self {
        Self { initrd: Some(Initrd::File(path.into())), ..self }
    }

    /// An initramfs that is made for this run, from which the kernel starts programs.
    #[must_use]
    pub fn initramfs(self, initramfs: Initramfs) -> Self {
        Self { initrd: Some(Initrd::Made(initramfs)), ..self }
    }

    /// What executes the guest's instructions.
    #[must_use]
    pub fn accelerator(self, accelerator: Accelerator) -> Self {
        Self { accelerator, ..self }
    }

    /// The guest's clock counts its instructions: the time-stamp counter advances by 16 with each.
    #[must_use]
    pub fn icount(self) -> Self {
        Self { icount: true, ..self }
    }

    /// The machine has a window (or, where QEMU cannot open one, a VNC server).
    #[must_use]
    pub fn display(self) -> Self {
        Self { display: true, ..self }
    }

    /// Where the serial line goes.
    #[must_use]
    pub fn console(self, console: Console) -> Self {
        Self { console, ..self }
    }

    /// The machine waits for a debugger, on this port or any that is free; the line that starts one is printed.
    #[must_use]
    pub fn wait_for_debugger(self, port: Option<u16>) -> Self {
        Self { debugger: Some(port.unwrap_or(0)), ..self }
    }

    /// Further arguments for QEMU, behind all others.
    #[must_use]
    pub fn qemu_arguments<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.qemu_arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// The pages that are referenced are recorded in the file at `path`, for `policy --trace`; compressed if its name ends in `.gz`.
    #[must_use]
    pub fn record_trace(self, path: impl Into<PathBuf>) -> Self {
        Self { trace: Some(path.into()), ..self }
    }

    /// The machine's memory is a file, which can be looked at: see [`observatory`](crate::observatory). The site is for a machine with
    /// [so much memory](Self::installed_memory).
    #[must_use]
    pub fn observed_at(self, site: Arc<Site>) -> Self {
        Self { site: Some(site), ..self }
    }

    /// While the machine runs, `length` is how many bytes of its log there are.
    #[must_use]
    pub fn heard_in(self, length: Arc<AtomicUsize>) -> Self {
        Self { heard: length, ..self }
    }

    /// How long the guest may take, from power-on.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        Self { timeout: Some(limit), ..self }
    }

    /// QEMU takes commands on a socket at `path`, as JSON (QMP): a program can make the machine pause and go on.
    #[must_use]
    pub fn monitored_at(self, path: impl Into<PathBuf>) -> Self {
        Self { monitor: Some(path.into()), ..self }
    }

    /// The memory of the machine itself: what the kernel may use, or what the firmware needs if that is more, in whole pages.
    pub fn installed_memory(&self) -> Size {
        const PAGE: u64 = 4096;
        let bytes = self.memory.max(Size::mebibytes(FIRMWARE_MEMORY_MIB)).in_bytes();
        Size::bytes(bytes.checked_next_multiple_of(PAGE).unwrap_or(bytes))
    }

    /// The kernel's command line: the words of [`Machine::append`], after those that the machine itself needs: the limit on memory
    /// if the firmware needs more than the kernel may use, and that the kernel is to record.
    pub fn command_line(&self) -> String {
        let is_small = self.memory < Size::mebibytes(FIRMWARE_MEMORY_MIB);
        let limit = is_small.then(|| format!("{MEMORY_LIMIT_WORD}{}", self.memory));
        let record = self.trace.as_ref().map(|_| RECORD_TRACE_WORD.to_owned());
        let words = [limit, record, Some(self.append.clone())].into_iter().flatten().filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Whether the machine can be, as far as that can be said without building or changing anything.
    ///
    /// # Errors
    /// The first thing that is in the way.
    pub fn check(&self) -> Result<(), Error> {
        if self.memory < MEMORY_MIN {
            return Err(Error::MemoryTooSmall(self.memory));
        }
        let length = self.command_line().len();
        if length > COMMAND_LINE_MAX {
            return Err(Error::CommandLineTooLong(length));
        }
        if self.accelerator == Accelerator::Kvm {
            if self.icount {
                return Err(Error::IcountNeedsTcg);
            }
            File::options().read(true).write(true).open("/dev/kvm").map_err(Error::NoKvm)?;
        }
        if let Some(Initrd::File(path)) = &self.initrd {
            check_initrd(path)?;
        }
        self.disks.iter().try_for_each(Disk::check)
    }
}

fn check_initrd(path: &Path) -> Result<(), Error> {
    let refused = |source| Error::Initrd { path: path.to_owned(), source };
    let file = File::open(path).map_err(refused)?;
    if file.metadata().map_err(refused)?.is_file() {
        return Ok(());
    }
    Err(refused(io::Error::other("not a file")))
}

#[cfg(test)]
mod tests {
    use super::{Accelerator, Machine};
    use crate::{Disk, Error, Size};

    #[test]
    fn a_machine_below_what_the_firmware_needs_has_its_limit_in_front() {
        let small = Machine::new().memory(Size::mebibytes(32));
        assert_eq!(small.command_line(), "mem=32M");
        assert_eq!(small.append("scenario=swap").append("quiet").command_line(), "mem=32M scenario=swap quiet");
        assert_eq!(Machine::new().append("scenario=swap").command_line(), "scenario=swap");
    }

    #[test]
    fn impossible_machines_are_refused() {
        let too_small = Machine::new().memory(Size::bytes((8 << 20) - 1));
        assert!(matches!(too_small.check(), Err(Error::MemoryTooSmall(_))));
        assert!(Machine::new().memory(Size::mebibytes(8)).check().is_ok());

        let longest = Machine::new().append(&"x".repeat(2048));
        assert!(longest.check().is_ok());
        assert!(matches!(longest.memory(Size::mebibytes(32)).check(), Err(Error::CommandLineTooLong(2056))));

        let counted = Machine::new().accelerator(Accelerator::Kvm).icount();
        assert!(matches!(counted.check(), Err(Error::IcountNeedsTcg)));

        let without_disk = Machine::new().disk(Disk::file("/does/not/exist"));
        assert!(matches!(without_disk.check(), Err(Error::Disk { .. })));
    }
}
