//! QEMU as a process: the serial line while it runs, and how it ends.

use std::{
    io::{self, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{OptionalActions, Termios, tcgetattr, tcsetattr},
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    error::Error,
    firmware::FirmwareFilter,
    machine::Console,
    outcome::{Outcome, Status},
    qemu,
};

/// How often the wait looks around: short against a boot, long against a look.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long QEMU may take to put the terminal back in order when it is told to end.
const GRACE: Duration = Duration::from_secs(2);

/// Runs QEMU with `arguments` to the guest's end or to the time limit. How much of the log there is, in bytes, is kept in `heard`.
///
/// # Errors
/// QEMU is missing, or ended before the machine printed anything.
pub fn run(
    arguments: &[String],
    console: Console,
    limit: Option<Duration>,
    heard: &Arc<AtomicUsize>,
) -> Result<Outcome, Error> {
    let stop = stop_flag(console).map_err(Error::file("watch signals for", qemu::PROGRAM))?;
    let _terminal = Terminal::keep(console);
    let started = Instant::now();
    let stdin = if console == Console::Interactive { Stdio::inherit() } else { Stdio::null() };
    let mut qemu = Command::new(qemu::PROGRAM)
        .args(arguments)
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Missing(qemu::PROGRAM),
            _ => Error::file("run", qemu::PROGRAM)(error),
        })?;
    let serial = qemu.stdout.take();
    let heard = Arc::clone(heard);
    let serial =
        thread::spawn(move || serial.map(|serial| follow_serial(serial, console != Console::Captured, &heard)));
    let messages = qemu.stderr.take();
    let messages = thread::spawn(move || messages.map(|mut messages| read_all(&mut messages)));

    let ended = wait(&mut qemu, started, limit, &stop).map_err(Error::file("wait for", qemu::PROGRAM))?;
    let elapsed = started.elapsed();
    // A reader that panicked has nothing to add to the outcome.
    let serial = serial.join().ok().flatten().unwrap_or_default();
    let messages = String::from_utf8_lossy(&messages.join().ok().flatten().unwrap_or_default()).into_owned();
    let log = String::from_utf8_lossy(&serial.kernel).into_owned();

    let status = match ended {
        End::Exited(exit) => Status::of_qemu(exit, &log, &messages),
        End::Stopped => Status::Stopped,
        End::TimedOut(limit) => Status::TimedOut(limit),
    };
    if status.is_qemus_fault() && !serial.heard {
        return Err(Error::Qemu(messages));
    }
    Ok(Outcome { status, log, elapsed, qemu_messages: messages })
}

/// The terminal's settings, put back when this is dropped: QEMU changes them, and cannot put them back if it is killed.
struct Terminal(Option<Termios>);

impl Terminal {
    fn keep(console: Console) -> Self {
        Self(if console == Console::Interactive { tcgetattr(io::stdin()).ok() } else { None })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            // A terminal that has gone needs no settings.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
        }
    }
}

enum End {
    Exited(ExitStatus),
    Stopped,
    TimedOut(Duration),
}

fn wait(qemu: &mut Child, started: Instant, limit: Option<Duration>, stop: &AtomicBool) -> io::Result<End> {
    loop {
        if let Some(exit) = qemu.try_wait()? {
            // QEMU hears the terminal's Ctrl-C too and then ends as if the guest had.
            return Ok(if stop.load(Ordering::Relaxed) { End::Stopped } else { End::Exited(exit) });
        }
        if stop.load(Ordering::Relaxed) {
            end(qemu)?;
            return Ok(End::Stopped);
        }
        if let Some(limit) = limit.filter(|limit| started.elapsed() >= *limit) {
            end(qemu)?;
            return Ok(End::TimedOut(limit));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Asks first, because QEMU has to restore the terminal.
fn end(qemu: &mut Child) -> io::Result<()> {
    kill_process(Pid::from_child(qemu), Signal::TERM)?;
    let asked = Instant::now();
    while asked.elapsed() < GRACE {
        if qemu.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    qemu.kill()?;
    qemu.wait().map(drop)
}

/// Set by the signals that ask a program to end. A captured run leaves them to the program that it is part of.
fn stop_flag(console: Console) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    if console != Console::Captured {
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
    }
    Ok(stop)
}

#[derive(Default)]
struct Serial {
    kernel: Vec<u8>,
    /// Whether anything came, be it from the firmware.
    heard: bool,
}

fn follow_serial(mut output: impl Read, shown: bool, heard: &AtomicUsize) -> Serial {
    let (mut serial, mut filter, mut buffer) = (Serial::default(), FirmwareFilter::default(), [0; 4096]);
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        serial.heard = true;
        let kernel = filter.pass(&buffer[..count]);
        if shown {
            // A reader that went away (`| head`) does not end the guest.
            let mut terminal = io::stdout().lock();
            let _ = terminal.write_all(&kernel).and_then(|()| terminal.flush());
        }
        serial.kernel.extend_from_slice(&kernel);
        heard.store(serial.kernel.len(), Ordering::Relaxed);
    }
    serial
}

fn read_all(output: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read before an error is all there is to tell.
    let _ = output.read_to_end(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{Arc, atomic::Ordering},
        time::Duration,
    };

    use quire_protocol::Verdict;

    use super::run;
    use crate::{Console, Error, Outcome, Status};

    /// `mov dx, 0x3f8`, then `mov al, 'H'` and `out dx, al`, and the same for `'i'`.
    const SAY_HI: &[u8] = &[0xba, 0xf8, 0x03, 0xb0, b'H', 0xee, 0xb0, b'i', 0xee];
    /// `jmp $`
    const HANG: &[u8] = &[0xeb, 0xfe];
    /// `mov al, 0xfe` and `out 0x64, al`: the keyboard controller resets the machine.
    const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64];

    /// `mov al, value` and `out 0xf4, al`
    fn leave_with(verdict: Verdict) -> [u8; 4] {
        [0xb0, verdict.port_value().to_le_bytes()[0], 0xe6, 0xf4]
    }

    /// Runs `code` as the boot sector of a machine with a BIOS, which is there in a fraction of a second.
    fn run_boot_sector(code: &[&[u8]], limit: Option<Duration>, more: &[&str]) -> Result<Outcome, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sector.img");
        let mut sector = [code.concat().as_slice(), HANG].concat();
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        fs::write(&path, sector).unwrap();
        let drive = format!("format=raw,file={}", path.display());
        let exit = "isa-debug-exit,iobase=0xf4,iosize=0x04";
        let machine = ["-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none", "-device", exit, "-drive"];
        let arguments: Vec<String> =
            machine.into_iter().chain([drive.as_str()]).chain(more.iter().copied()).map(str::to_owned).collect();
        let heard = Arc::default();
        let outcome = run(&arguments, Console::Captured, limit, &heard)?;
        assert_eq!(heard.load(Ordering::Relaxed), outcome.log.len());
        Ok(outcome)
    }

    #[test]
    fn a_verdict_ends_the_run_with_the_whole_log() {
        for verdict in Verdict::ALL {
            let outcome = run_boot_sector(&[SAY_HI, &leave_with(verdict)], None, &[]).unwrap();
            assert_eq!((outcome.status, outcome.log.as_str()), (Status::Verdict(verdict), "Hi"));
        }
    }

    #[test]
    fn a_reset_is_no_success() {
        let outcome = run_boot_sector(&[SAY_HI, RESET], None, &[]).unwrap();
        assert_eq!((outcome.status, outcome.log.as_str()), (Status::Reset, "Hi"));
    }

    #[test]
    fn a_guest_that_hangs_is_stopped_at_its_limit() {
        let limit = Duration::from_secs(1);
        let outcome = run_boot_sector(&[HANG], Some(limit), &[]).unwrap();
        assert_eq!(outcome.status, Status::TimedOut(limit));
    }

    #[test]
    fn what_qemu_refuses_is_an_error_in_its_words() {
        let refused = run_boot_sector(&[], None, &["-device", "perpetuum-mobile"]);
        assert!(matches!(&refused, Err(Error::Qemu(words)) if words.contains("perpetuum-mobile")), "{refused:?}");
    }
}
