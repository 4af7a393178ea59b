//! A recording of the machine's page references, on its way to a file that `policy --trace` reads: a page's number a line.
//!
//! The file is there under its name once it is whole.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use quire_protocol::recording::pages;
use tempfile::NamedTempFile;

use crate::error::Error;

/// A recording that is under way.
pub(crate) struct Recording {
    path: PathBuf,
    file: NamedTempFile,
    /// What QEMU writes.
    raw: PathBuf,
}

impl Recording {
    /// For the file at `path`; what QEMU writes is kept in `directory`.
    pub(crate) fn new(path: &Path, directory: &Path) -> Result<Self, Error> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let refused = |source| Error::Trace { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(refused(io::ErrorKind::IsADirectory.into()));
        }
        let file = NamedTempFile::new_in(parent).map_err(refused)?;
        Ok(Self { path: path.to_owned(), file, raw: directory.join("references") })
    }

    /// The file for QEMU.
    pub(crate) fn raw(&self) -> &Path {
        &self.raw
    }

    /// Writes the file; says where it is, and what to do with it.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let count = self.write().map_err(|source| Error::Trace { path: self.path.clone(), source })?;
        let path = self.path.display();
        let refused = |error: tempfile::PersistError| Error::Trace { path: self.path.clone(), source: error.error };
        self.file.persist(&self.path).map_err(refused)?;
        eprintln!(
            "quire: {count} page references are in {path}; other policies and sizes: cargo run -- policy --trace {path}"
        );
        Ok(())
    }

    fn write(&self) -> io::Result<usize> {
        let raw = BufReader::new(File::open(&self.raw)?);
        let file = BufWriter::new(self.file.as_file());
        if self.path.extension().is_some_and(|extension| extension == "gz") {
            let mut file = GzEncoder::new(file, Compression::default());
            let count = write_lines(raw, &mut file)?;
            file.finish()?.flush()?;
            return Ok(count);
        }
        write_lines(raw, file)
    }
}

fn write_lines(raw: impl BufRead, mut file: impl Write) -> io::Result<usize> {
    // What cannot be read any more ends it.
    let bytes = raw.bytes().map_while(Result::ok);
    let mut count = 0;
    for page in pages(bytes) {
        writeln!(file, "{page}")?;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read};

    use flate2::read::GzDecoder;
    use quire_protocol::recording::Encoder;

    use super::Recording;

    fn raw(pages: &[u64]) -> Vec<u8> {
        let (mut bytes, mut encoder) = (Vec::new(), Encoder::new());
        for page in pages {
            encoder.encode(*page, |byte| bytes.push(byte));
        }
        bytes
    }

    #[test]
    fn a_recording_becomes_lines_or_compressed_lines() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.trace", "a.trace.gz"] {
            let path = directory.path().join(name);
            let recording = Recording::new(&path, directory.path()).unwrap();
            assert!(!path.exists(), "it is not whole yet");
            fs::write(recording.raw(), raw(&[7, 8, 1 << 60])).unwrap();
            recording.finish().unwrap();
            let (bytes, mut text) = (fs::read(&path).unwrap(), String::new());
            if name.ends_with("gz") {
                GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes).unwrap();
            }
            assert_eq!(text, "7\n8\n1152921504606846976\n");
        }
    }

    #[test]
    fn where_no_file_can_be_is_said_before_the_machine_starts() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path().join("none/trace"), directory.path().to_owned()] {
            let error = Recording::new(&path, directory.path()).err().unwrap().to_string();
            assert!(error.starts_with("--record-trace ") && error.contains(&*path.to_string_lossy()), "{error}");
        }
    }
}
