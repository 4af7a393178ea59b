//! A run in a file: the page with the run in it, lines of JSON, or a trace.
//!
//! What goes wrong with a file ends its recording, with one line that says so; neither the guest nor the other files notice.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use flate2::{Compression, write::GzEncoder};

use super::{json, picture::Change, run_page::RunPage, trace::Trace};
use crate::error::Error;

/// A file that a run is recorded in.
pub(super) struct Recording {
    path: PathBuf,
    began: Instant,
    /// `None` once something went wrong.
    form: Option<Form>,
}

/// What it becomes.
enum Form {
    Page(Box<RunPage<BufWriter<File>>>),
    Lines(GzEncoder<BufWriter<File>>),
    Trace(Box<Trace<BufWriter<File>>>),
}

/// Which form a file's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingForm {
    /// The page with the run in it: `.html`.
    Page,
    /// Lines of JSON, compressed: `.json.gz`.
    Lines,
}

impl RecordingForm {
    /// The form that `path` stands for.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let forms = [(".html", Self::Page), (".json.gz", Self::Lines)];
        forms.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, form)| form)
    }
}

impl Recording {
    /// Makes the file.
    ///
    /// # Errors
    /// It cannot be made, or its name has no form.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let form = RecordingForm::of(path).ok_or_else(|| Error::RecordingForm { path: path.to_owned() })?;
        let made = make(path).and_then(|file| {
            Ok(match form {
                RecordingForm::Page => Form::Page(Box::new(RunPage::new(file)?)),
                RecordingForm::Lines => Form::Lines(GzEncoder::new(file, Compression::default())),
            })
        });
        Ok(Self { path: path.to_owned(), began: Instant::now(), form: Some(made.map_err(refused("--record", path))?) })
    }

    /// Makes the file of a trace.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn trace(path: &Path) -> Result<Self, Error> {
        let made = make(path).and_then(Trace::new).map_err(refused("--trace", path))?;
        Ok(Self { path: path.to_owned(), began: Instant::now(), form: Some(Form::Trace(Box::new(made))) })
    }

    /// Takes in what is new.
    pub(super) fn write(&mut self, change: &Change) {
        let written = match &mut self.form {
            Some(Form::Page(page)) => page.write(change, self.began.elapsed()),
            Some(Form::Lines(file)) => json::write(file, change),
            Some(Form::Trace(trace)) => trace.write(change),
            None => Ok(()),
        };
        if let Err(error) = written {
            self.give_up(&error);
        }
    }

    /// Writes what is still to be written. Returns the file if all of the run is in it.
    pub(super) fn finish(mut self) -> Option<PathBuf> {
        let finished = match self.form.take()? {
            Form::Page(page) => page.finish(self.began.elapsed()).and_then(|mut file| file.flush()),
            Form::Lines(file) => file.finish().and_then(|mut file| file.flush()),
            Form::Trace(trace) => trace.finish(),
        };
        match finished {
            Ok(()) => Some(self.path),
            Err(error) => {
                self.give_up(&error);
                None
            }
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        let path = self.path.display();
        eprintln!(
            "quire: {path}: {error}: what was recorded so far is kept; make room, or record to another disk. The guest goes on"
        );
        self.form = None;
    }
}

fn make(path: &Path) -> io::Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new)
}

fn refused(option: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Recording { option, path, source }
}
