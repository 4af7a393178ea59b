//! What is to be seen of the machine, as options.

use std::path::PathBuf;

use clap::Args;
use quire_boot::watch::{DEFAULT_PORT, Watch};

/// The options of the picture.
#[derive(Args, Debug)]
#[command(next_help_heading = "The picture")]
pub(crate) struct WatchOptions {
    /// Show memory, swap and what happens, live in a browser at 127.0.0.1
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = DEFAULT_PORT)]
    watch: Option<u16>,

    /// Record the run: FILE.html is the page with the run in it, FILE.json.gz is for programs; can be given several times
    #[arg(long, value_name = "FILE")]
    record: Vec<PathBuf>,

    /// Record the run as a trace for Perfetto (ui.perfetto.dev) or Chrome
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

impl WatchOptions {
    /// What is to be seen.
    pub(crate) fn watch(&self) -> Watch {
        Watch { port: self.watch, recordings: self.record.clone(), trace: self.trace.clone() }
    }
}
