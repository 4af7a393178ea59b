//! QEMU's monitor for programs (QMP): the machine stops and goes on.

use std::{
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde_json::{Value, json};

/// How long QEMU may take to answer: it does at once unless the host is very busy.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// Nothing listens there yet, or what answers is no QEMU.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        // QEMU begins: with its version.
        qmp.line()?;
        qmp.execute("qmp_capabilities")?;
        Ok(qmp)
    }

    /// The machine stands still when this returns.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.execute("stop")
    }

    /// The machine goes on.
    pub(super) fn go_on(&mut self) -> io::Result<()> {
        self.execute("cont")
    }

    fn execute(&mut self, command: &str) -> io::Result<()> {
        writeln!(self.stream.get_mut(), "{}", json!({ "execute": command }))?;
        loop {
            let answer = self.line()?;
            // Events come between.
            if answer.get("return").is_some() {
                return Ok(());
            }
            if let Some(error) = answer.pointer("/error/desc") {
                return Err(io::Error::other(error.as_str().unwrap_or("QEMU refused").to_owned()));
            }
        }
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_str(&line).map_err(io::Error::other)
    }
}
