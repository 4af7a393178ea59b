//! The line discipline: what is typed, what a program reads, what the terminal shows.

use linux_raw_sys::general as linux;
use proptest::prelude::*;

use super::discipline::Discipline;
use super::settings::Settings;
use crate::process::signal::Signal;

/// A terminal with what it shows.
struct Terminal {
    discipline: Discipline,
    shown: Vec<u8>,
}

impl Terminal {
    fn new() -> Self {
        Self { discipline: Discipline::new(), shown: Vec::new() }
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut terminal = Self::new();
        let mut settings = *terminal.discipline.settings();
        change(&mut settings);
        terminal.discipline.set_settings(settings);
        terminal
    }

    fn raw() -> Self {
        Self::with(|settings| {
            settings.local &= !(linux::ICANON | linux::ECHO | linux::ISIG);
            settings.input &= !(linux::ICRNL | linux::IXON);
        })
    }

    /// Types `keys`; returns the signals that they mean.
    fn types(&mut self, keys: &[u8]) -> Vec<Signal> {
        let mut show = |bytes: &[u8]| self.shown.extend(bytes);
        keys.iter().filter_map(|&key| self.discipline.receive(key, &mut show)).collect()
    }

    fn writes(&mut self, text: &[u8]) {
        let mut show = |bytes: &[u8]| self.shown.extend(bytes);
        self.discipline.write(text, &mut show);
    }

    /// What a program reads at once, if there is something.
    fn reads(&mut self) -> Option<String> {
        let mut buffer = [0; 5000];
        let can_read = self.discipline.can_read(buffer.len());
        let bytes = self.discipline.read(&mut buffer);
        can_read.then(|| String::from_utf8_lossy(&buffer[..bytes]).into_owned())
    }

    fn shows(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.shown)).expect("it shows text")
    }

    /// What a person sees in the last line: the shown bytes as a terminal with endless lines takes them.
    fn sees(&self) -> String {
        let (mut cells, mut column) = (Vec::new(), 0_usize);
        for &byte in &self.shown {
            match byte {
                b'\n' => cells.clear(),
                b'\r' => column = 0,
                8 => column = column.saturating_sub(1),
                b'\t' => column = (column / 8 + 1) * 8,
                byte => {
                    cells.resize(cells.len().max(column + 1), b' ');
                    cells[column] = byte;
                    column += 1;
                }
            }
        }
        String::from_utf8_lossy(&cells).trim_end().into()
    }
}

fn lines(reads: &[&str]) -> Vec<Option<String>> {
    reads.iter().map(|line| Some((*line).into())).chain([None]).collect()
}

#[test]
fn a_line_is_read_when_it_is_ended_and_not_before() {
    let mut terminal = Terminal::new();
    terminal.types(b"ls");
    assert_eq!(terminal.reads(), None);
    terminal.types(b" -l\rcat\r");
    let reads: Vec<_> = (0..3).map(|_| terminal.reads()).collect();
    assert_eq!(reads, lines(&["ls -l\n", "cat\n"]));
    assert_eq!(terminal.shows(), "ls -l\r\ncat\r\n");
}

#[test]
fn a_line_can_be_read_in_pieces() {
    let mut terminal = Terminal::new();
    terminal.types(b"abcd\nef\n");
    let mut piece = [0; 3];
    assert_eq!((terminal.discipline.read(&mut piece), &piece), (3, b"abc"));
    assert_eq!(terminal.discipline.read(&mut piece), 2, "no more than the line's rest");
    assert_eq!(terminal.reads(), Some("ef\n".into()));
}

#[test]
fn keys_erase_characters_words_and_lines() {
    let mut terminal = Terminal::new();
    terminal.types(b"echo one two\x17x\x7f\x7f\x7f\x08\r");
    assert_eq!(terminal.reads(), Some("echo o\n".into()));
    terminal.types(b"nonsense\x15ls\r");
    assert_eq!(terminal.reads(), Some("ls\n".into()));
}

#[test]
fn erasing_takes_back_what_was_shown() {
    let mut terminal = Terminal::new();
    terminal.writes(b"$ ");
    terminal.types(b"a\tb\x7f\x7f\x16\x01\x7f");
    assert_eq!(terminal.sees(), "$ a");
    // To the tab and no further: the prompt is not the line's.
    terminal.types(b"\x7f\x7f\x7f\x7f");
    assert_eq!(terminal.sees(), "$");
    terminal.types(b"ok");
    assert_eq!(terminal.sees(), "$ ok");
}

#[test]
fn erasing_knows_characters_of_several_bytes() {
    let mut terminal = Terminal::with(|settings| settings.input |= linux::IUTF8);
    terminal.types("aé€".as_bytes());
    assert_eq!(terminal.discipline.readable_bytes(), 0);
    terminal.shown.clear();
    terminal.types(b"\x7f");
    assert_eq!(terminal.shows(), "\x08 \x08", "one place on the screen");
    terminal.types(b"\x7f\r");
    assert_eq!(terminal.reads(), Some("a\n".into()));
}

#[test]
fn the_end_of_file_ends_a_line_without_being_in_it() {
    let mut terminal = Terminal::new();
    terminal.types(b"ab\x04\x04");
    let reads: Vec<_> = (0..3).map(|_| terminal.reads()).collect();
    assert_eq!(reads, lines(&["ab", ""]));
    assert_eq!(terminal.shows(), "ab");
}

#[test]
fn keys_send_signals_and_drop_what_was_typed() {
    let mut terminal = Terminal::new();
    assert_eq!(terminal.types(b"half\x03\x1c\x1a"), [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP]);
    assert_eq!(terminal.shows(), "half^C^\\^Z");
    terminal.types(b"x\r");
    assert_eq!(terminal.reads(), Some("x\n".into()));
    let mut keeps = Terminal::with(|settings| settings.local |= linux::NOFLSH);
    keeps.types(b"a\x03b\r");
    assert_eq!(keeps.reads(), Some("ab\n".into()));
    let mut raw = Terminal::raw();
    assert_eq!(raw.types(b"\x03"), []);
    assert_eq!(raw.reads(), Some("\x03".into()));
}

#[test]
fn a_key_quotes_the_next_one() {
    let mut terminal = Terminal::new();
    assert_eq!(terminal.types(b"\x16\x03\x16\r\r"), []);
    assert_eq!(terminal.reads(), Some("\x03\r\n".into()));
    assert_eq!(terminal.shows(), "^\x08^C^\x08^M\r\n");
}

#[test]
fn a_line_is_shown_again() {
    let mut terminal = Terminal::new();
    terminal.types(b"abc");
    terminal.writes(b"noise\n");
    terminal.types(b"\x12");
    assert_eq!(terminal.shows(), "abcnoise\r\n^R\r\nabc");
}

#[test]
fn output_stops_and_starts() {
    let mut terminal = Terminal::new();
    terminal.types(b"\x13");
    assert!(terminal.discipline.is_stopped());
    terminal.types(b"a");
    assert!(terminal.discipline.is_stopped());
    terminal.types(b"\x11");
    assert!(!terminal.discipline.is_stopped());
    terminal.types(b"\x13\x03");
    assert!(!terminal.discipline.is_stopped(), "a signal starts it too");
    assert_eq!(terminal.shows(), "a^C", "neither is echoed");
}

#[test]
fn without_line_editing_every_byte_can_be_read() {
    let mut terminal = Terminal::raw();
    terminal.types(b"a\r\x7f");
    assert_eq!((terminal.reads(), terminal.shows()), (Some("a\r\x7f".into()), String::new()));
    assert!(!terminal.discipline.can_read(1));
    let mut settings = *terminal.discipline.settings();
    settings.characters[linux::VMIN as usize] = 3;
    terminal.discipline.set_settings(settings);
    terminal.types(b"xy");
    assert_eq!((terminal.discipline.can_read(5), terminal.discipline.can_read(2)), (false, true));
}

#[test]
fn what_was_typed_survives_a_change_of_mode() {
    let mut terminal = Terminal::new();
    terminal.types(b"line\rhalf");
    let cooked = *terminal.discipline.settings();
    let raw = *Terminal::raw().discipline.settings();
    terminal.discipline.set_settings(raw);
    assert_eq!(terminal.discipline.readable_bytes(), 9);
    terminal.discipline.set_settings(cooked);
    assert_eq!(terminal.reads(), Some("line\nhalf".into()));
}

#[test]
fn a_line_has_an_end_however_long_it_is() {
    let mut terminal = Terminal::new();
    terminal.types(&[b'x'; 5000]);
    terminal.types(b"\r");
    assert_eq!(terminal.reads().map(|line| (line.len(), line.ends_with("x\n"))), Some((4096, true)));
}

#[test]
fn nobody_reads_and_it_does_not_grow() {
    let mut terminal = Terminal::new();
    for _ in 0..10_000 {
        terminal.types(b"\r\x04");
    }
    assert!(terminal.discipline.readable_bytes() <= 4096);
    let reads = std::iter::from_fn(|| terminal.reads()).count();
    assert_eq!(reads, 4096, "as many lines as bytes, however short");
}

#[test]
fn output_is_processed_as_it_is_set() {
    let mut terminal = Terminal::new();
    terminal.writes(b"a\tb\nc\r\n");
    assert_eq!(terminal.shows(), "a\tb\r\nc\r\r\n");
    let mut spaces = Terminal::with(|settings| settings.output |= linux::XTABS);
    spaces.writes(b"a\tb");
    assert_eq!(spaces.shows(), "a       b");
    let mut plain = Terminal::with(|settings| settings.output = 0);
    plain.writes(b"a\n");
    assert_eq!(plain.shows(), "a\n");
}

#[test]
fn settings_keep_their_bytes() {
    let bytes = std::array::from_fn(|index| index as u8);
    assert_eq!(Settings::from_bytes(&bytes).to_bytes(), bytes);
}

proptest! {
    /// Whatever is typed and set: nothing panics, nothing grows without end, and what is read was typed.
    #[test]
    fn nothing_that_is_typed_does_harm(
        steps in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<u32>(), any::<u32>(), any::<u32>()), 1..40)
    ) {
        let mut terminal = Terminal::new();
        let (mut typed, mut read) = (0, 0);
        for (keys, input, output, local) in steps {
            let settings = Settings { input, output, local, ..Settings::new() };
            terminal.discipline.set_settings(settings);
            terminal.types(&keys);
            terminal.writes(&keys);
            typed += keys.len();
            prop_assert!(terminal.discipline.readable_bytes() <= 4096);
            let mut buffer = [0; 100];
            read += terminal.discipline.read(&mut buffer);
        }
        prop_assert!(read <= typed);
    }

    /// Erasing a whole line leaves the screen as it was before.
    #[test]
    fn erasing_everything_leaves_the_prompt(prompt in "[a-z]{0,9}", keys in "[a-z\t\u{1}\u{2}]{0,20}") {
        let mut terminal = Terminal::new();
        terminal.writes(prompt.as_bytes());
        terminal.types(keys.as_bytes());
        terminal.types(b"\x15x");
        prop_assert_eq!(terminal.sees(), prompt + "x");
    }
}
