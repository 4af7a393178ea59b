//! A student's code as a process that is asked questions.
//!
//! Its program is the lab's own `main.rs` over the student's crate. Questions and answers go through a socket that is its
//! standard input; what it prints is shown when it ends before its time, and decides nothing. It has limits: of memory, of
//! processor time, no files to write, and where the machine allows that no network.

use std::{
    fs,
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Resource;

use super::build::limit;

/// Processor time for one check, in seconds: many times what a right answer takes.
pub(super) const SECONDS_MAX: u64 = 5;

/// The same for a check after one that took all of that: it is likely to hang where the other did.
pub(super) const SECONDS_AFTER_HANG: u64 = 1;

/// What is said of a check that took all of its time.
pub(super) const HANGS: &str = "of processor time without an answer: an endless loop?";

/// How long it may wait for something, neither running nor ready to run, before it answers.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// So often it is looked at while there is no answer.
const LOOK: Duration = Duration::from_secs(1);

/// The most looks: on a machine that does other things too, processor time can take very long.
const LOOKS_MAX: u32 = 1200;

const MEMORY_MAX: u64 = 512 << 20;

/// Signals of Linux: the end of processor time, and an end without a reason.
const SIGXCPU: i32 = 24;
const SIGKILL: i32 = 9;

const PRINTED_MAX: u64 = 64 << 10;

/// The process.
pub(super) struct Subject {
    child: Child,
    socket: UnixStream,
    printed: Option<JoinHandle<String>>,
    questions: Vec<u8>,
    /// What has come of answers and was not looked at.
    answers: Vec<u8>,
    seconds: u64,
}

/// Where `unshare` is, if this machine lets it take the network away.
fn without_network() -> Option<&'static str> {
    const UNSHARE: &str = "/usr/bin/unshare";
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    let try_it = || {
        let mut command = Command::new(UNSHARE);
        command.args(["-rn", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    ALLOWED.get_or_init(try_it).then_some(UNSHARE)
}

/// What holds a student's code, in a line.
pub(super) fn confinement() -> String {
    let network = match without_network() {
        Some(_) => "no network",
        None => {
            "the network is not taken away, since `unshare -rn` is not allowed here: only the language keeps code from it"
        }
    };
    format!("each check: {SECONDS_MAX} s of processor time, {} MiB, no files, {network}", MEMORY_MAX >> 20)
}

impl Subject {
    /// Starts the program, for so many seconds of processor time.
    ///
    /// # Errors
    /// It could not be started, in words.
    pub(super) fn start(program: &Path, seconds: u64) -> Result<Self, String> {
        let failed = |error: io::Error| format!("the lab's program cannot be started: {error}");
        let (socket, other) = UnixStream::pair().map_err(failed)?;
        socket.set_read_timeout(Some(LOOK)).map_err(failed)?;
        socket.set_write_timeout(Some(WAIT_MAX)).map_err(failed)?;
        let mut command = match without_network() {
            Some(unshare) => {
                let mut command = Command::new(unshare);
                command.arg("-rn").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.env_clear().current_dir("/").stdin(OwnedFd::from(other)).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        // It waits for the first question, so none of the student's code has run.
        for (resource, most) in
            [(Resource::Cpu, seconds), (Resource::As, MEMORY_MAX), (Resource::Fsize, 0), (Resource::Core, 0)]
        {
            limit(&child, resource, most);
        }
        let pipe = child.stderr.take();
        let printed = thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                _ = pipe.by_ref().take(PRINTED_MAX).read_to_end(&mut bytes);
                _ = io::copy(&mut pipe, &mut io::sink());
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Ok(Self { child, socket, printed: Some(printed), questions: Vec::new(), answers: Vec::new(), seconds })
    }

    /// Says something that needs no answer. It is sent with the next question, or when there is enough.
    pub(super) fn tell(&mut self, message: &[u8]) {
        self.questions.extend_from_slice(message);
    }

    /// Asks a question.
    ///
    /// # Errors
    /// Why there was no answer, in words.
    pub(super) fn ask<const BYTES: usize>(&mut self, question: &[u8]) -> Result<[u8; BYTES], String> {
        self.tell(question);
        let mut answer = [0; BYTES];
        let questions = std::mem::take(&mut self.questions);
        let asked = self.socket.write_all(&questions).and_then(|()| self.receive(BYTES));
        match asked {
            Ok(()) => {
                answer.copy_from_slice(&self.answers[..BYTES]);
                self.answers.drain(..BYTES);
                Ok(answer)
            }
            Err(_) => Err(self.why_it_is_silent()),
        }
    }

    /// Waits until so many bytes of answers are there.
    fn receive(&mut self, bytes: usize) -> io::Result<()> {
        let mut part = [0; 4096];
        let (mut looks, mut waited) = (0, Duration::ZERO);
        while self.answers.len() < bytes {
            match self.socket.read(&mut part) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.answers.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    looks += 1;
                    waited = if self.is_running() { Duration::ZERO } else { waited + LOOK };
                    if waited >= WAIT_MAX || looks == LOOKS_MAX {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether it runs, or would if there were a processor for it: then it is its processor time that ends it.
    fn is_running(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('R'))
    }

    /// Asks a question that is a line, and so is its answer.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) fn ask_line(&mut self, question: &str) -> Result<String, String> {
        const LINE_MAX: usize = 1000;
        self.tell(question.as_bytes());
        let mut answer = self.ask::<1>(b"\n")?.to_vec();
        while answer.last() != Some(&b'\n') && answer.len() < LINE_MAX {
            answer.extend(self.ask::<1>(b"")?);
        }
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Why there was no answer.
    fn why_it_is_silent(&mut self) -> String {
        // One that is over has closed its end; one that is not has had its time.
        let hangs = matches!(self.child.try_wait(), Ok(None)) && !self.ends_soon();
        _ = self.child.kill();
        let status = self.child.wait().ok();
        let printed = self.printed.take().and_then(|reader| reader.join().ok()).unwrap_or_default();
        if hangs {
            return format!("did not answer for {} s: it waits for something that never comes", WAIT_MAX.as_secs());
        }
        if let Some((_, panic)) = printed.split_once("panicked at ") {
            let mut lines = panic.lines();
            let place = lines.next().unwrap_or_default().trim_end_matches(':');
            let message: Vec<&str> = lines.take_while(|line| !line.starts_with("note: ")).take(4).collect();
            return format!("panicked at {place}: {}", message.join(" ").trim());
        }
        match status.map(|status| (status.signal(), status.code())) {
            Some((Some(SIGXCPU | SIGKILL), _)) => {
                format!("used more than {} s {HANGS}", self.seconds)
            }
            _ if printed.contains("memory allocation of") => {
                format!("wanted more than {} MiB of memory", MEMORY_MAX >> 20)
            }
            _ if printed.contains("overflowed its stack") => "overflowed its stack: endless recursion?".to_owned(),
            Some((_, Some(code))) => format!("ended with status {code} before it had answered"),
            _ => format!("ended before it had answered: {}", printed.lines().next().unwrap_or("without a word")),
        }
    }

    /// Whether a process whose socket is closed is over soon.
    fn ends_soon(&mut self) -> bool {
        (0..200).any(|_| {
            thread::sleep(Duration::from_millis(10));
            !matches!(self.child.try_wait(), Ok(None))
        })
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
