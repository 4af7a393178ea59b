//! A run, from the checks to the outcome.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use quire_protocol::Verdict;

use crate::{
    build,
    disk::{AttachedDisk, Disk},
    error::Error,
    guest,
    machine::{Console, Initrd, Machine},
    no_tpm,
    observatory::panic_report::of_panic,
    outcome::{Outcome, Status},
    project::{project, target},
    qemu,
    recording::Recording,
};

impl Machine {
    /// Builds kernel and image if they are not fresh, boots, and returns when the guest has ended or its time is over.
    ///
    /// # Errors
    /// There was no run: something is wrong with the machine, missing on the host, or does not build.
    pub fn run(&self) -> Result<Outcome, Error> {
        self.check()?;
        let firmware = no_tpm::without_wait(&qemu::firmware()?)?;
        let artefacts = self.kernel_tree.as_deref().map_or_else(build::build, build::build_of)?;

        let runs = target().join("run");
        fs::create_dir_all(&runs).map_err(Error::file("make", &runs))?;
        let directory = tempfile::tempdir_in(&runs).map_err(Error::file("make a directory in", &runs))?;
        let attach = |(index, disk): (usize, &Disk)| disk.attach(directory.path(), index);
        let disks = self.disks.iter().enumerate().map(attach).collect::<Result<Vec<AttachedDisk>, Error>>()?;
        let initrd = self.initrd.as_ref().map(|initrd| initrd.place(directory.path())).transpose()?;
        let debugger_port = self.debugger.map(free_port).transpose()?;

        let trace = self.trace.as_deref().map(|path| Recording::new(path, directory.path())).transpose()?;
        let recorded = trace.as_ref().map(Recording::raw);

        if let Some(site) = &self.site {
            site.set_kernel(&artefacts.kernel)?;
        }
        let arguments =
            qemu::arguments(self, &firmware, &artefacts, initrd.as_deref(), &disks, recorded, debugger_port);
        if let Some(port) = debugger_port {
            announce_debugger(&artefacts.kernel, port);
        } else if self.console != Console::Captured {
            eprintln!("quire: the UEFI firmware starts the kernel; it is silent for a moment");
        }
        let mut outcome = guest::run(&arguments, self.console, self.timeout, &self.heard)?;
        if outcome.status == Status::Verdict(Verdict::Panic) {
            self.complete_report(&mut outcome.log);
        }
        trace.map(Recording::finish).transpose()?;
        Ok(outcome)
    }

    /// The kernel has no table of its functions' names, which would cost memory: its report gets its backtrace here.
    fn complete_report(&self, log: &mut String) {
        let Some(backtrace) = self.site.as_deref().and_then(of_panic) else { return };
        if self.console != Console::Captured {
            print!("{backtrace}");
        }
        log.push_str(&backtrace);
    }
}

impl Initrd {
    /// The file for QEMU, made in `directory` if it has to be.
    fn place(&self, directory: &Path) -> Result<PathBuf, Error> {
        match self {
            Self::File(path) => Ok(path.clone()),
            Self::Made(initramfs) => {
                let path = directory.join("initramfs.cpio");
                fs::write(&path, initramfs.pack()?).map_err(Error::file("write", &path))?;
                Ok(path)
            }
        }
    }
}

/// The port, any that is free for 0, if nothing listens there.
fn free_port(port: u16) -> Result<u16, Error> {
    let free = TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let named = format!("127.0.0.1:{port}; --gdb alone takes a port that is free");
    free.map(|address| address.port()).map_err(Error::file("listen for a debugger on", named))
}

fn announce_debugger(kernel: &Path, port: u16) {
    eprintln!("quire: waiting for a debugger; in another terminal:");
    let (kernel, scripts) = (kernel.display(), project().join("boot/gdb/quire-gdb.py"));
    let scripts = scripts.display();
    eprintln!("  gdb '{kernel}' -x '{scripts}' -ex 'target remote :{port}' -ex 'hbreak _start' -ex continue");
}
