//! What programs can set about a terminal: `termios(3)`.

use linux_raw_sys::general as linux;

/// How many special characters there are.
const CHARACTERS: usize = 19;

/// A terminal's settings, in the form of Linux's `struct termios` of the system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `c_iflag`: what happens to what is typed.
    pub input: u32,
    /// `c_oflag`: what happens to what is written.
    pub output: u32,
    /// `c_cflag`: the line; kept, and of no effect on a virtual one.
    pub control: u32,
    /// `c_lflag`: line editing, echo, signals.
    pub local: u32,
    /// `c_line`.
    pub line: u8,
    /// `c_cc`.
    pub characters: [u8; CHARACTERS],
}

impl Settings {
    /// The bytes of the structure.
    pub const BYTES: usize = 36;

    /// Those of a terminal at first (Linux: `tty_std_termios` and `INIT_C_CC`), on a serial line.
    pub const fn new() -> Self {
        let mut characters = [0; CHARACTERS];
        characters[linux::VINTR as usize] = control(b'C');
        characters[linux::VQUIT as usize] = control(b'\\');
        characters[linux::VERASE as usize] = 0x7f;
        characters[linux::VKILL as usize] = control(b'U');
        characters[linux::VEOF as usize] = control(b'D');
        characters[linux::VMIN as usize] = 1;
        characters[linux::VSTART as usize] = control(b'Q');
        characters[linux::VSTOP as usize] = control(b'S');
        characters[linux::VSUSP as usize] = control(b'Z');
        characters[linux::VREPRINT as usize] = control(b'R');
        characters[linux::VDISCARD as usize] = control(b'O');
        characters[linux::VWERASE as usize] = control(b'W');
        characters[linux::VLNEXT as usize] = control(b'V');
        Self {
            input: linux::ICRNL | linux::IXON,
            output: linux::OPOST | linux::ONLCR,
            control: linux::B115200 | linux::CS8 | linux::CREAD | linux::HUPCL | linux::CLOCAL,
            local: linux::ISIG
                | linux::ICANON
                | linux::ECHO
                | linux::ECHOE
                | linux::ECHOK
                | linux::ECHOCTL
                | linux::ECHOKE
                | linux::IEXTEN,
            line: 0,
            characters,
        }
    }

    /// The settings that a program's `bytes` say.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        debug_assert!(rest.is_empty());
        let mut characters = [0; CHARACTERS];
        characters.copy_from_slice(&bytes[17..]);
        Self { input: word(0), output: word(1), control: word(2), local: word(3), line: bytes[16], characters }
    }

    /// The structure's bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let words = [self.input, self.output, self.control, self.local];
        for (place, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    pub(super) fn edits_lines(&self) -> bool {
        self.has_local(linux::ICANON)
    }

    pub(super) fn has_local(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    pub(super) fn has_input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    pub(super) fn has_output(&self, flag: u32) -> bool {
        self.output & flag == flag
    }

    /// `VTIME`: how long to wait for more.
    pub(super) fn patience(&self) -> core::time::Duration {
        core::time::Duration::from_millis(100 * u64::from(self.characters[linux::VTIME as usize]))
    }

    /// `VMIN`.
    pub(super) fn least(&self) -> usize {
        usize::from(self.characters[linux::VMIN as usize])
    }

    /// Whether `byte` is the special character at `index`; 0 switches one off.
    pub(super) fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.characters[index as usize] == byte
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

/// The character that the control key makes of `letter`.
pub(super) const fn control(letter: u8) -> u8 {
    letter ^ 0x40
}
