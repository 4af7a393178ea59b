//! The student's store, and beside it what it has to hold: commands are done on both, and what is wrong is said at once.

use std::collections::BTreeMap;

use super::pages::{self, BYTES, Contents, WORDS};
use crate::lab::{script::NOT_POSSIBLE, subject::Subject};

const NEW: u8 = 0;
const STORE: u8 = 1;
const LOAD: u8 = 2;
const FREE: u8 = 3;
const STATE: u8 = 4;

/// A store may keep so much beside the heap to find its pages: so much in all, and for each page that it was ever given.
const INDEX: u64 = 16 << 10;
const INDEX_OF_PAGE: u64 = 256;

/// What the store has taken, and what it has cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Bytes of the heap.
    pub(super) used: u64,
    /// Bytes of all memory, the heap's included.
    pub(super) held: u64,
    /// Words that were read or written, ever.
    pub(super) touched: u64,
    /// Those of them that were read from the heap.
    read_back: u64,
}

/// The store at work.
pub(super) struct Bench<'a> {
    subject: &'a mut Subject,
    limit: u64,
    /// The most pages that there were.
    most: u64,
    /// Words that had been read from the heap when this store was new.
    read_before: u64,
    /// What was stored last under each key, by its name.
    pages: BTreeMap<u32, String>,
}

impl<'a> Bench<'a> {
    /// A new store, with a heap of so many bytes.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(subject: &'a mut Subject, limit: u64) -> Result<Self, String> {
        let mut bench = Self { subject, limit, most: 0, read_before: 0, pages: BTreeMap::new() };
        bench.heap(limit)?;
        Ok(bench)
    }

    fn tell(&mut self, kind: u8, number: u64) {
        self.subject.tell(&[kind]);
        self.subject.tell(&number.to_le_bytes());
    }

    /// Begins anew, with a heap of so many bytes.
    fn heap(&mut self, limit: u64) -> Result<(), String> {
        self.limit = limit;
        self.most = 0;
        self.pages.clear();
        self.tell(NEW, limit);
        self.ask::<1>()?;
        self.read_before = self.state()?.read_back;
        Ok(())
    }

    /// The keys with what is stored under them.
    pub(super) fn pages(&self) -> impl Iterator<Item = (u32, &str)> {
        self.pages.iter().map(|(key, name)| (*key, name.as_str()))
    }

    /// What the store has taken.
    ///
    /// # Errors
    /// There is no answer, or it has taken more than it may.
    pub(super) fn state(&mut self) -> Result<State, String> {
        self.tell(STATE, 0);
        let answer: [u8; 32] = self.ask()?;
        let number = |at: usize| u64::from_le_bytes(answer[at..at + 8].try_into().unwrap_or_default());
        let state = State { used: number(0), held: number(8), touched: number(16), read_back: number(24) };
        let most = self.limit.saturating_add(INDEX + INDEX_OF_PAGE * self.most);
        if state.held > most {
            return Err(format!(
                "holds {} bytes, {} of them from the heap: with a heap of {} bytes and {} pages there may be {most}. What a page consists of belongs into the heap",
                state.held, state.used, self.limit, self.most
            ));
        }
        Ok(state)
    }

    fn ask<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.subject.ask(&[])
    }

    /// Does a command, and says what came of it.
    ///
    /// # Errors
    /// The store has no answer, or one that is wrong whatever the command expects.
    pub(super) fn answer(&mut self, command: &str) -> Result<String, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let numbers: Vec<u64> = words.iter().skip(1).map_while(|word| word.parse().ok()).collect();
        let key = numbers.first().and_then(|key| u32::try_from(*key).ok());
        let not_possible = Ok(NOT_POSSIBLE.to_owned());
        match (*words.first().unwrap_or(&""), key, words.len()) {
            ("heap", _, 2) if !numbers.is_empty() => {
                self.heap(numbers[0])?;
                Ok("yes".to_owned())
            }
            ("store", Some(key), 3..) => match pages::contents(&words[2..]) {
                Some(contents) => self.store(key, &contents, words[2..].join(" ")),
                None => not_possible,
            },
            ("load", Some(key), 2) => self.load(key),
            ("free", Some(key), 2) => {
                self.pages.remove(&key);
                self.tell(FREE, key.into());
                self.ask::<1>()?;
                Ok("yes".to_owned())
            }
            ("used", _, 1) => Ok(self.state()?.used.to_string()),
            ("used-at-most" | "held-at-most", _, 2) if !numbers.is_empty() => {
                let state = self.state()?;
                let bytes = if words[0] == "used-at-most" { state.used } else { state.held };
                Ok(if bytes <= numbers[0] { "yes".to_owned() } else { format!("no: {bytes}") })
            }
            ("compared-at-least", _, 2) if !numbers.is_empty() => {
                let read = self.state()?.read_back - self.read_before;
                Ok(if read >= numbers[0] { "yes".to_owned() } else { format!("no: {read}") })
            }
            _ => not_possible,
        }
    }

    fn store(&mut self, key: u32, contents: &Contents, name: String) -> Result<String, String> {
        let before = self.state()?;
        self.tell(STORE, key.into());
        for word in contents {
            self.subject.tell(&word.to_le_bytes());
        }
        let [is_stored] = self.ask()?;
        if is_stored == 1 {
            self.pages.insert(key, name);
            self.most = self.most.max(self.pages.len() as u64);
            self.state()?;
            return Ok("yes".to_owned());
        }
        let after = self.state()?;
        if after.used != before.used {
            return Err(format!(
                "says that it is full, and has {} bytes of the heap in use, where it had {} before: nothing may change then",
                after.used, before.used
            ));
        }
        if before.used + BYTES <= self.limit {
            return Err(format!(
                "says that it is full, but {} of the heap's {} bytes are in use: the page as it is would fit",
                before.used, self.limit
            ));
        }
        Ok("full".to_owned())
    }

    fn load(&mut self, key: u32) -> Result<String, String> {
        self.tell(LOAD, key.into());
        let [is_there] = self.ask()?;
        let bytes: [u8; 8 * WORDS] = self.ask()?;
        if is_there != 1 {
            return Ok("nothing".to_owned());
        }
        let Some(name) = self.pages.get(&key) else { return Ok("a page".to_owned()) };
        let expected = pages::contents(&name.split_whitespace().collect::<Vec<_>>()).unwrap_or([0; WORDS]);
        let words = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let wrong = words.zip(expected).enumerate().find(|(_, (word, expected))| word != expected);
        Ok(match wrong {
            None => "right".to_owned(),
            Some((at, (word, expected))) => {
                format!("wrong: word {at} of `{name}` is {word:#x} and was stored as {expected:#x}")
            }
        })
    }
}
