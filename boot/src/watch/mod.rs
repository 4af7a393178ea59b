//! The picture of a machine, live in a browser and recorded in files.
//!
//! A thread takes a snapshot of the guest's memory ten times a second ([`observatory`](crate::observatory)). What is new in it goes, as
//! one message, to pages that ask for it and into the files that are recorded. The same page shows both: it puts the messages together
//! again, and a recording is the page with the messages behind it.
//!
//! | module | subject |
//! |---|---|
//! | `cells`, `facts` | what is shown of a frame, of a slot, and of everything else |
//! | [`picture`] | what was told last, and what is new |
//! | [`message`], `bytes` | a change as bytes |
//! | `feed` | the messages of a run, for any number of readers |
//! | `control`, `qmp` | pausing and going on |
//! | `session` | the thread that looks |
//! | `server` | the page's server, on this computer alone |
//! | [`page`] | the page: HTML, style and script from `page/` |
//! | `record`, `run_page`, `json`, `trace` | files: the page with a run in it, lines of JSON, a trace for Perfetto |
//! | [`recorder`], [`figure`] | the pictures of a run in memory; a stretch of them as a figure of the book |
//!
//! # Invariants
//!
//! Nothing here can stop the guest but the person at the page: a file that cannot be written and a browser that goes away end themselves.
//! A lock is held while a message is made, never while a page is waited for.

mod bytes;
mod cells;
mod control;
mod facts;
mod feed;
pub mod figure;
mod json;
pub mod message;
pub mod page;
pub mod picture;
mod qmp;
mod record;
pub mod recorder;
mod run_page;
mod server;
mod session;
#[cfg(test)]
mod tests;
mod trace;

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

pub use self::record::RecordingForm;
use self::{
    record::Recording,
    server::Server,
    session::{Shared, Watcher},
};
use crate::error::Error;

/// The port of the page unless another one is asked for.
pub const DEFAULT_PORT: &str = "7878";

/// What is to be seen of a machine, and where.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The port for the page; `None` for no page.
    pub port: Option<u16>,
    /// Files for the run, in the form that their names stand for.
    pub recordings: Vec<PathBuf>,
    /// A file for the run as a trace.
    pub trace: Option<PathBuf>,
}

impl Watch {
    /// Whether anything is to be seen.
    pub fn is_wanted(&self) -> bool {
        self.port.is_some() || !self.recordings.is_empty() || self.trace.is_some()
    }

    /// Makes the files and listens on the port; on another one if that is in use.
    ///
    /// # Errors
    /// A file cannot be made, or there is no port.
    pub fn prepare(&self) -> Result<Prepared, Error> {
        let recordings = self.recordings.iter().map(|path| Recording::create(path));
        let traces = self.trace.iter().map(|path| Recording::trace(path));
        let recordings = recordings.chain(traces).collect::<Result<_, _>>()?;
        // The path of a socket must be short, which that of the project need not be.
        let directory = tempfile::tempdir().map_err(Error::file("make a directory in", std::env::temp_dir()))?;
        Ok(Prepared { listener: self.port.map(listen).transpose()?, recordings, directory })
    }
}

fn listen(port: u16) -> Result<TcpListener, Error> {
    server::listen(port).or_else(|error| {
        let what = if error.kind() == io::ErrorKind::AddrInUse { "in use".into() } else { error.to_string() };
        eprintln!("quire: port {port}: {what}; the page is at a free one instead. To choose another: --watch PORT");
        server::listen(0).map_err(Error::file("listen on", "127.0.0.1"))
    })
}

/// Files are made and the port is taken: the machine can start.
pub struct Prepared {
    listener: Option<TcpListener>,
    recordings: Vec<Recording>,
    directory: TempDir,
}

impl Prepared {
    /// The path of the socket on which QEMU is to take commands.
    pub fn monitor(&self) -> PathBuf {
        self.directory.path().join("qmp")
    }

    /// Begins to look at the machine whose memory is this file.
    ///
    /// # Errors
    /// The system's.
    pub fn start(self, memory: &Path) -> Result<Session, Error> {
        let shared = Arc::new(Shared::default());
        let server = self.listener.map(|listener| {
            let address = listener.local_addr()?;
            let server = Server::start(listener, &shared)?;
            eprintln!("quire: the picture is at http://{address}/");
            Ok(server)
        });
        let server = server.transpose().map_err(Error::file("listen on", "127.0.0.1"))?;
        let watcher = Watcher {
            shared: Arc::clone(&shared),
            memory: memory.to_owned(),
            monitor: self.directory.path().join("qmp"),
            recordings: self.recordings,
        };
        let watcher = thread::spawn(move || watcher.run());
        Ok(Session { shared, watcher, _server: server, _directory: self.directory })
    }
}

/// A machine that is looked at.
pub struct Session {
    shared: Arc<Shared>,
    watcher: JoinHandle<Vec<PathBuf>>,
    _server: Option<Server>,
    _directory: TempDir,
}

impl Session {
    /// The machine has ended: pages get the last picture, files their end. Returns the files that all of the run is in.
    pub fn end(self) -> Vec<PathBuf> {
        self.shared.end();
        // A thread that panicked has said so.
        let files = self.watcher.join().unwrap_or_default();
        self.shared.say_goodbye();
        files
    }
}
