//! Traces of page references, and the forms in which they are read.
//!
//! | format | a line |
//! |---|---|
//! | `page` | a page's number, decimal |
//! | `arc` | `START LENGTH IGNORED NUMBER`, decimal: the pages from the first on, as in the traces of the ARC paper |
//! | `lackey` | `valgrind --tool=lackey --trace-mem=yes`: ` L ADDRESS,SIZE`, hexadecimal and decimal; also `S`, `M` and `I` |
//! | `perf` | `perf mem report --dump-raw-samples`: the fourth of its columns is the address; or `perf script -F addr`: an address alone |
//!
//! The first line that says something tells which it is. Empty lines, those that begin with `#`, and valgrind's own,
//! which begin with `==`, say nothing. A file may be compressed by gzip or xz.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use quire_swap::header::PAGE_SIZE;
use thiserror::Error;

/// The most references of a trace.
const REFERENCES_MAX: usize = 1 << 27;
/// The most bytes of a line.
const LINE_MAX: u64 = 4096;

/// Page references in their order.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: String,
    /// Each page by its place among the different pages.
    pub(super) references: Vec<u32>,
    /// The numbers of the different pages.
    pub(super) pages: Vec<u64>,
}

/// Why a file is no trace.
#[derive(Debug, Error)]
pub(crate) enum TraceError {
    /// It cannot be opened, read or decompressed.
    #[error("--trace {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// A line is not what the first one promised.
    #[error("--trace {}: line {line} {what}", path.display())]
    Line { path: PathBuf, line: usize, what: &'static str },
    /// It has no line that says something.
    #[error("--trace {}: not a single page is referenced", path.display())]
    Empty { path: PathBuf },
}

/// What is wrong with a line.
type Wrong = &'static str;

const NOT_TEXT: Wrong = "is not a line of text";
const TOO_MANY: Wrong = "goes beyond the 134217728 references that a trace can have";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Page,
    Arc,
    Lackey,
    PerfColumns,
    PerfAddress,
}

impl Trace {
    /// The trace of these pages.
    pub(super) fn new(name: &str, pages: impl IntoIterator<Item = u64>) -> Self {
        let mut gathered = Gathered::default();
        pages.into_iter().for_each(|page| gathered.add(page));
        gathered.into_trace(name)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TraceError`].
    pub(super) fn read(path: &Path) -> Result<Self, TraceError> {
        let unreadable = |source| TraceError::Unreadable { path: path.to_owned(), source };
        let mut lines = open(path).map_err(unreadable)?;
        let (mut gathered, mut format, mut line) = (Gathered::default(), None, Vec::new());
        for number in 1.. {
            let wrong = |what| TraceError::Line { path: path.to_owned(), line: number, what };
            line.clear();
            let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).map_err(|_| wrong(NOT_TEXT))?;
            if line.len() as u64 == LINE_MAX {
                return Err(wrong(NOT_TEXT));
            }
            if says_something(text) {
                let format = *format.get_or_insert_with(|| Format::of(text));
                let pages = format.pages(text).map_err(wrong)?;
                if pages.end - pages.start > (REFERENCES_MAX - gathered.references.len()) as u64 {
                    return Err(wrong(TOO_MANY));
                }
                pages.for_each(|page| gathered.add(page));
            }
        }
        if gathered.references.is_empty() {
            return Err(TraceError::Empty { path: path.to_owned() });
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.trim_end_matches(".xz").trim_end_matches(".gz").trim_end_matches(".txt");
        Ok(gathered.into_trace(name))
    }
}

/// References that are being read.
#[derive(Default)]
struct Gathered {
    references: Vec<u32>,
    pages: Vec<u64>,
    numbers: HashMap<u64, u32>,
}

impl Gathered {
    /// There are fewer references than 32-bit numbers.
    fn add(&mut self, page: u64) {
        let next = self.pages.len() as u32;
        let number = *self.numbers.entry(page).or_insert(next);
        if number == next {
            self.pages.push(page);
        }
        self.references.push(number);
    }

    fn into_trace(self, name: &str) -> Trace {
        Trace { name: name.to_owned(), references: self.references, pages: self.pages }
    }
}

/// The lines of a file, decompressed.
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let start = file.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else if start.starts_with(b"\xfd7zXZ\0") {
        Box::new(BufReader::new(XzReader::new(file, true)))
    } else {
        Box::new(file)
    })
}

fn says_something(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && !line.starts_with("==")
}

impl Format {
    /// The format of a file whose first line this is.
    fn of(line: &str) -> Self {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("I" | "L" | "S" | "M"), _) => Self::Lackey,
            (Some(word), None) if is_decimal(word) => Self::Page,
            (Some(_), None) => Self::PerfAddress,
            _ if line.contains("0x") => Self::PerfColumns,
            _ => Self::Arc,
        }
    }

    /// The pages that a line references, in their order.
    fn pages(self, line: &str) -> Result<Range<u64>, Wrong> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (self, &words[..]) {
            (Self::Page, [page]) => one(decimal(page).ok_or("is not the number of a page")?),
            (Self::Page, _) => Err("is not the number of a page"),
            (Self::Arc, [start, length, _, _]) => {
                const WRONG: Wrong = "is not START LENGTH IGNORED NUMBER in decimal numbers";
                let (start, length) = (decimal(start).ok_or(WRONG)?, decimal(length).ok_or(WRONG)?);
                Ok(start..start.checked_add(length).ok_or("ends behind the last page that there can be")?)
            }
            (Self::Arc, _) => Err("is not START LENGTH IGNORED NUMBER"),
            (Self::Lackey, ["I" | "L" | "S" | "M", access]) => {
                const WRONG: Wrong = "is not an access of valgrind's lackey, as in L 1ffeffe7c8,8";
                let (address, size) = access.split_once(',').ok_or(WRONG)?;
                let (address, size) = (hexadecimal(address).ok_or(WRONG)?, decimal(size).ok_or(WRONG)?);
                let last = address.checked_add(size.clamp(1, PAGE_SIZE as u64) - 1).ok_or(WRONG)?;
                Ok(address / PAGE_SIZE as u64..last / PAGE_SIZE as u64 + 1)
            }
            (Self::Lackey, _) => Err("is not an access of valgrind's lackey, as in L 1ffeffe7c8,8"),
            (Self::PerfColumns, [_, _, _, address, ..]) | (Self::PerfAddress, [address]) => {
                one(hexadecimal(address).ok_or("has no address")? / PAGE_SIZE as u64)
            }
            (Self::PerfColumns | Self::PerfAddress, _) => Err("has no address"),
        }
    }
}

fn one(page: u64) -> Result<Range<u64>, Wrong> {
    page.checked_add(1).map(|end| page..end).ok_or("is not the number of a page")
}

fn is_decimal(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Without a sign, which the standard library's parser allows.
fn decimal(word: &str) -> Option<u64> {
    word.parse().ok().filter(|_| is_decimal(word))
}

fn hexadecimal(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(',');
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
mod tests;
