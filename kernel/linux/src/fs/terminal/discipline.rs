//! The line discipline: from keys to lines, signals and echo, and from a program's text to what the terminal shows.
//!
//! After Linux's `n_tty`: a line is edited until it is ended, then it can be read, in pieces if need be; without
//! `ICANON` every byte can be read at once. What a program writes and what is echoed go through the same output
//! processing, which knows the column, so that erasing a tab erases what it took.

#![expect(clippy::disallowed_methods, reason = "everything stays below the room that `reserve` makes")]

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::settings::{Settings, control};
use crate::process::signal::Signal;

/// The longest line, its end included; and as much can wait to be read (Linux: `N_TTY_BUF_SIZE`).
const CAPACITY: usize = 4096;
const TAB: usize = 8;
const BELL: u8 = 7;
const BACKSPACE: &[u8] = b"\x08 \x08";

/// Where output goes.
pub type Output<'a> = &'a mut dyn FnMut(&[u8]);

/// One terminal's line discipline.
pub struct Discipline {
    settings: Settings,
    /// The line that is being edited.
    line: Vec<u8>,
    /// What can be read.
    ready: VecDeque<u8>,
    /// How many bytes each line in `ready` has, its end included; an end of file has none, so it is a line of 0. Empty
    /// without line editing.
    lines: VecDeque<u16>,
    /// Where the cursor is, and where it was when the line's echo began.
    column: usize,
    line_column: usize,
    /// The next byte means itself.
    literal: bool,
    /// Output waits for the start character.
    stopped: bool,
}

impl Discipline {
    /// The line discipline of a terminal with its first settings.
    pub const fn new() -> Self {
        Self {
            settings: Settings::new(),
            line: Vec::new(),
            ready: VecDeque::new(),
            lines: VecDeque::new(),
            column: 0,
            line_column: 0,
            literal: false,
            stopped: false,
        }
    }

    /// Makes room for everything that it may hold, so that it allocates nothing from here on.
    pub fn reserve(&mut self) {
        self.line.reserve_exact(CAPACITY);
        self.ready.reserve_exact(CAPACITY);
        self.lines.reserve_exact(CAPACITY);
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. Without line editing a half line can be read; with it again, what is there is a line.
    pub fn set_settings(&mut self, settings: Settings) {
        let (before, after) = (self.settings.edits_lines(), settings.edits_lines());
        self.settings = settings;
        if before && !after {
            self.ready.extend(self.line.drain(..));
            self.lines.clear();
            self.literal = false;
        } else if !before && after && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len() as u16);
        }
        if !self.settings.has_input(linux::IXON) {
            self.stopped = false;
        }
    }

    /// Forgets what was typed and not read.
    pub fn forget_input(&mut self) {
        self.line.clear();
        self.ready.clear();
        self.lines.clear();
    }

    /// Whether output waits.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Stops or starts output.
    pub fn set_stopped(&mut self, stopped: bool) {
        self.stopped = stopped;
    }

    /// How many bytes can be read (`FIONREAD`).
    pub fn readable_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Whether a read that wants `wanted` bytes finds something.
    pub fn can_read(&self, wanted: usize) -> bool {
        if self.settings.edits_lines() {
            !self.lines.is_empty()
        } else {
            self.ready.len() >= wanted.clamp(1, self.settings.least().max(1))
        }
    }

    /// Takes what can be read: at most one line if lines are edited. 0 bytes then mean the end of the file.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let mut bytes = buffer.len().min(self.ready.len());
        if self.settings.edits_lines() {
            let Some(line) = self.lines.front_mut() else { return 0 };
            bytes = bytes.min(usize::from(*line));
            *line -= bytes as u16;
            if *line == 0 {
                self.lines.pop_front();
            }
        }
        for (place, byte) in buffer.iter_mut().zip(self.ready.drain(..bytes)) {
            *place = byte;
        }
        bytes
    }

    /// A byte was typed. Echoes it; returns the signal that it means.
    pub fn receive(&mut self, byte: u8, output: Output<'_>) -> Option<Signal> {
        let byte = if self.settings.has_input(linux::ISTRIP) { byte & 0x7f } else { byte };
        if core::mem::take(&mut self.literal) {
            self.insert(byte, output);
            return None;
        }
        if self.controls_flow(byte) {
            return None;
        }
        if let Some(signal) = self.signal(byte) {
            if !self.settings.has_local(linux::NOFLSH) {
                self.forget_input();
            }
            self.echo(byte, output);
            self.line_column = self.column;
            return Some(signal);
        }
        let byte = match byte {
            b'\r' if self.settings.has_input(linux::IGNCR) => return None,
            b'\r' if self.settings.has_input(linux::ICRNL) => b'\n',
            b'\n' if self.settings.has_input(linux::INLCR) => b'\r',
            byte => byte,
        };
        if self.settings.edits_lines() {
            self.edit(byte, output);
        } else {
            self.insert(byte, output);
        }
        None
    }

    /// Stop and start characters; after a stop any character may start, if it is so set, and one that means a signal does.
    fn controls_flow(&mut self, byte: u8) -> bool {
        if !self.settings.has_input(linux::IXON) {
            return false;
        }
        if self.settings.is(byte, linux::VSTART) {
            self.stopped = false;
            return true;
        }
        if self.settings.is(byte, linux::VSTOP) {
            self.stopped = true;
            return true;
        }
        if self.settings.has_input(linux::IXANY) || self.signal(byte).is_some() {
            self.stopped = false;
        }
        false
    }

    fn signal(&self, byte: u8) -> Option<Signal> {
        let signals =
            [(linux::VINTR, Signal::SIGINT), (linux::VQUIT, Signal::SIGQUIT), (linux::VSUSP, Signal::SIGTSTP)];
        let means = |&(index, _): &(u32, Signal)| self.settings.has_local(linux::ISIG) && self.settings.is(byte, index);
        signals.into_iter().find(means).map(|(_, signal)| signal)
    }

    fn edit(&mut self, byte: u8, output: Output<'_>) {
        let extended = self.settings.has_local(linux::IEXTEN);
        let is = |index| self.settings.is(byte, index);
        if is(linux::VERASE) || byte == control(b'H') && self.settings.characters[linux::VERASE as usize] == 0x7f {
            self.erase_character(output);
        } else if is(linux::VWERASE) && extended {
            self.erase_word(output);
        } else if is(linux::VKILL) {
            self.erase_line(output);
        } else if is(linux::VLNEXT) && extended {
            self.literal = true;
            if self.echoes() && self.settings.has_local(linux::ECHOCTL) {
                self.show(b"^\x08", output);
            }
        } else if is(linux::VREPRINT) && extended && self.echoes() {
            self.echo(byte, output);
            self.show(b"\n", output);
            self.line_column = self.column;
            for index in 0..self.line.len() {
                self.echo(self.line[index], output);
            }
        } else if is(linux::VEOF) {
            if self.has_room(true, output) {
                self.end_line();
            }
        } else if byte == b'\n' || is(linux::VEOL) || is(linux::VEOL2) && extended {
            if !self.has_room(true, output) {
                return;
            }
            if self.echoes() || byte == b'\n' && self.settings.has_local(linux::ECHONL) {
                self.show_or_name(byte, output);
            }
            self.line.push(byte);
            self.end_line();
            self.line_column = self.column;
        } else {
            self.insert(byte, output);
        }
    }

    /// Whether there is room for a byte; one place is kept for the `end` of a line.
    fn has_room(&self, end: bool, output: Output<'_>) -> bool {
        let kept = usize::from(!end);
        let room = self.line.len() + self.ready.len() + kept < CAPACITY && self.lines.len() < CAPACITY;
        if !room && self.settings.has_input(linux::IMAXBEL) {
            output(&[BELL]);
        }
        room
    }

    /// Adds a byte to the line, or to what can be read.
    fn insert(&mut self, byte: u8, output: Output<'_>) {
        if !self.has_room(false, output) {
            return;
        }
        if self.line.is_empty() {
            self.line_column = self.column;
        }
        if self.settings.edits_lines() {
            self.line.push(byte);
        } else {
            self.ready.push_back(byte);
        }
        self.echo(byte, output);
    }

    fn end_line(&mut self) {
        self.lines.push_back(self.line.len() as u16);
        self.ready.extend(self.line.drain(..));
    }

    fn erase_character(&mut self, output: Output<'_>) {
        while let Some(byte) = self.line.pop() {
            // What comes after the first byte of a character in UTF-8.
            let continues = self.settings.has_input(linux::IUTF8) && byte & 0xc0 == 0x80;
            if !continues {
                self.unecho(output);
                return;
            }
        }
    }

    fn erase_word(&mut self, output: Output<'_>) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        while self.line.last().is_some_and(|&byte| !is_word(byte)) {
            self.erase_character(output);
        }
        while self.line.last().is_some_and(|&byte| is_word(byte)) {
            self.erase_character(output);
        }
    }

    fn erase_line(&mut self, output: Output<'_>) {
        if self.settings.has_local(linux::ECHOKE) && self.settings.has_local(linux::ECHOE) {
            while !self.line.is_empty() {
                self.erase_character(output);
            }
            return;
        }
        self.line.clear();
        self.echo(self.settings.characters[linux::VKILL as usize], output);
        if self.settings.has_local(linux::ECHOK) && self.echoes() {
            self.show(b"\n", output);
        }
        self.line_column = self.column;
    }

    fn echoes(&self) -> bool {
        self.settings.has_local(linux::ECHO)
    }

    fn echo(&mut self, byte: u8, output: Output<'_>) {
        if self.echoes() {
            self.show_or_name(byte, output);
        }
    }

    fn show_or_name(&mut self, byte: u8, output: Output<'_>) {
        if self.names(byte) {
            self.show(&[b'^', control(byte)], output);
        } else {
            self.show(&[byte], output);
        }
    }

    /// Whether `byte` is echoed as `^` and a letter.
    fn names(&self, byte: u8) -> bool {
        self.settings.has_local(linux::ECHOCTL) && byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n')
    }

    /// Takes back the echo of what was just taken from the line's end: the cursor goes where the rest of the line ends.
    fn unecho(&mut self, output: Output<'_>) {
        if !self.echoes() {
            return;
        }
        if !self.settings.has_local(linux::ECHOE) {
            let erase = self.settings.characters[linux::VERASE as usize];
            self.show_or_name(erase, output);
            return;
        }
        let end = self.line.iter().fold(self.line_column, |column, &byte| {
            let is_inside = self.settings.has_input(linux::IUTF8) && byte & 0xc0 == 0x80;
            match byte {
                b'\t' => (column / TAB + 1) * TAB,
                byte if self.names(byte) => column + 2,
                byte if byte.is_ascii_control() || is_inside => column,
                _ => column + 1,
            }
        });
        while self.column > end {
            output(BACKSPACE);
            self.column -= 1;
        }
    }

    /// What a program writes, made ready for the terminal.
    pub fn write(&mut self, bytes: &[u8], output: Output<'_>) {
        self.show(bytes, output);
        self.line_column = self.column;
    }

    fn show(&mut self, bytes: &[u8], output: Output<'_>) {
        if !self.settings.has_output(linux::OPOST) {
            output(bytes);
            return;
        }
        let mut rest = bytes;
        while let Some(special) = rest.iter().position(|byte| !(b' '..0x7f).contains(byte)) {
            let (plain, from) = rest.split_at(special);
            self.column += plain.len();
            output(plain);
            self.show_special(from[0], output);
            rest = &from[1..];
        }
        self.column += rest.len();
        output(rest);
    }

    fn show_special(&mut self, byte: u8, output: Output<'_>) {
        match byte {
            b'\n' if self.settings.has_output(linux::ONLCR) => {
                self.column = 0;
                output(b"\r\n");
            }
            b'\n' => {
                if self.settings.has_output(linux::ONLRET) {
                    self.column = 0;
                }
                output(b"\n");
            }
            b'\r' if self.settings.has_output(linux::ONOCR) && self.column == 0 => {}
            b'\r' if self.settings.has_output(linux::OCRNL) => output(b"\n"),
            b'\r' => {
                self.column = 0;
                output(b"\r");
            }
            b'\t' => {
                let spaces = TAB - self.column % TAB;
                self.column += spaces;
                output(if self.settings.has_output(linux::XTABS) { &b"        "[..spaces] } else { b"\t" });
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                output(&[8]);
            }
            byte => {
                let is_inside = self.settings.has_input(linux::IUTF8) && byte & 0xc0 == 0x80;
                if byte >= 0x80 && !is_inside {
                    self.column += 1;
                }
                output(&[byte]);
            }
        }
    }
}

impl Default for Discipline {
    fn default() -> Self {
        Self::new()
    }
}
