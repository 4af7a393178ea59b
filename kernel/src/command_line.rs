//! The kernel's command line: words separated by white space, most of them `key=value`, as on Linux.
//!
//! Unknown words are ignored, as Linux ignores them; a word that is known but whose value makes no sense is an error,
//! because the one who wrote it expected something to happen.
//!
//! What stands behind `--` is for the first process, and so is what the kernel does not know, as on Linux: words become
//! arguments, `name=value` becomes environment. A name with a dot in it is a module's alone.

use core::fmt;

use quire_linux::process::program::words::InitWords;
use quire_protocol::recording::RECORD_TRACE_WORD;

/// What is not handed on to the first process: the kernel's own keys, and those of Linux's that are common.
const KNOWN: &[&str] = &[
    "mem",
    "scenario",
    "swapon",
    "swap",
    "pages",
    "contents",
    "policy",
    "thp_anon",
    "trace",
    "frames",
    RECORD_TRACE_WORD,
    "events",
    "init",
    "rdinit",
    "console",
    "root",
    "rootfstype",
    "ro",
    "rw",
    "quiet",
    "debug",
    "loglevel",
    "panic",
    "earlyprintk",
    "mitigations",
    "nokaslr",
    "lpj",
    "tsc",
    "nosmp",
];

/// A command line, looked up by key.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    line: &'a str,
}

/// A known word with a value that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue<'a> {
    /// The word's key.
    pub key: &'a str,
    /// What stood behind the equals sign.
    pub value: &'a str,
    /// What would have been right.
    pub expected: &'static str,
}

impl fmt::Display for BadValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: {}={}: expected {}", self.key, self.value, self.expected)
    }
}

impl<'a> CommandLine<'a> {
    /// Looks at `line`.
    pub const fn new(line: &'a str) -> Self {
        Self { line }
    }

    /// The line as it came.
    pub const fn as_str(&self) -> &'a str {
        self.line
    }

    /// The kernel's part.
    fn words(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.line.split_whitespace().take_while(|&word| word != "--")
    }

    /// What it says of the first process: `rdinit=`, or `init=`, and what is handed on.
    pub fn for_init(&self) -> InitWords<'a> {
        let mut words = InitWords { program: self.value("rdinit").or(self.value("init")), ..InitWords::default() };
        for word in ["HOME=/", "TERM=linux"] {
            words.push_environment(word);
        }
        for word in self.words() {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            match value {
                _ if KNOWN.contains(&name) || name.contains('.') => {}
                Some(_) => words.push_environment(word),
                None => words.push_argument(word),
            }
        }
        self.line
            .split_whitespace()
            .skip_while(|&word| word != "--")
            .skip(1)
            .for_each(|word| words.push_argument(word));
        words
    }

    /// Whether the word is there by itself.
    pub fn has(&self, word: &str) -> bool {
        self.words().any(|other| other == word)
    }

    /// Every value of `key`, in order.
    pub fn values(&self, key: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.words().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The last value of `key`: a later word overrides an earlier one.
    pub fn value(&self, key: &'a str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// The console's level, as the last word says that is about it.
    ///
    /// # Errors
    /// [`BadValue`] when the level is no number.
    pub fn console_level(&self) -> Result<Option<i32>, BadValue<'a>> {
        // Linux: `CONSOLE_LOGLEVEL_QUIET`, `CONSOLE_LOGLEVEL_DEBUG`.
        let level = |word: &'a str| match (word, word.strip_prefix("loglevel=")) {
            ("quiet", _) => Some(Ok(4)),
            ("debug", _) => Some(Ok(10)),
            (_, value) => value.map(|value| {
                value.parse().map_err(|_| BadValue { key: "loglevel", value, expected: "a whole number" })
            }),
        };
        self.words().filter_map(level).last().transpose()
    }

    /// Whether events are noted for those who look from outside: unless it says `events=off`.
    ///
    /// # Errors
    /// [`BadValue`] when it says something else.
    pub fn events(&self) -> Result<bool, BadValue<'a>> {
        match self.value("events") {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(value) => Err(BadValue { key: "events", value, expected: "on or off" }),
        }
    }

    /// The last value of `key` as a size in bytes.
    ///
    /// # Errors
    /// [`BadValue`] when it is no size.
    pub fn size(&self, key: &'a str) -> Result<Option<u64>, BadValue<'a>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        quire_compressed::size(value).map(Some).ok_or(BadValue { key, value, expected: "a size such as 32M" })
    }

    /// The last value of `key` as a whole number.
    ///
    /// # Errors
    /// [`BadValue`] when it is no number.
    pub fn number(&self, key: &'a str) -> Result<Option<u64>, BadValue<'a>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| BadValue { key, value, expected: "a whole number" })
    }
}

#[cfg(test)]
mod tests {
    use super::{BadValue, CommandLine};

    #[test]
    fn a_later_word_overrides_and_lists_keep_their_order() {
        let line = CommandLine::new("mem=64M swapon=/dev/vda,5 quiet mem=32M  swapon=/dev/vdb");
        assert_eq!(line.size("mem"), Ok(Some(32 << 20)));
        assert_eq!(line.values("swapon").collect::<Vec<_>>(), ["/dev/vda,5", "/dev/vdb"]);
        assert_eq!(line.value("scenario"), None);
        assert_eq!(line.value("swap"), None, "a key is a whole word");
        assert!(line.has("quiet") && !line.has("mem"));
    }

    #[test]
    fn the_first_process_gets_what_the_kernel_does_not_know() {
        let line = CommandLine::new("mem=32M init=/bin/sh LANG=C zswap.enabled=1 single -- -c mem=1 swapon=/dev/vda");
        let words = line.for_init();
        assert_eq!(words.program, Some("/bin/sh"));
        assert_eq!(words.arguments.iter().collect::<Vec<_>>(), [&b"single"[..], b"-c", b"mem=1", b"swapon=/dev/vda"]);
        assert_eq!(words.environment.iter().collect::<Vec<_>>(), [&b"HOME=/"[..], b"TERM=linux", b"LANG=C"]);
        assert_eq!(line.size("mem"), Ok(Some(32 << 20)));
        assert_eq!(line.value("swapon"), None);
        assert_eq!(CommandLine::new("rdinit=/a init=/b").for_init().program, Some("/a"));
    }

    #[test]
    fn the_last_word_about_the_console_counts() {
        let level = |line: &'static str| CommandLine::new(line).console_level();
        assert_eq!(level("mem=32M -- quiet"), Ok(None));
        assert_eq!(level("loglevel=7 quiet"), Ok(Some(4)));
        assert_eq!(level("quiet loglevel=8"), Ok(Some(8)));
        assert_eq!(level("quiet debug"), Ok(Some(10)));
        assert_eq!(level("loglevel="), Err(BadValue { key: "loglevel", value: "", expected: "a whole number" }));
    }

    #[test]
    fn nonsense_is_named() {
        let bad = CommandLine::new("mem=banana").size("mem").unwrap_err();
        assert_eq!(bad, BadValue { key: "mem", value: "banana", expected: "a size such as 32M" });
        let events = ["", "events=on events=off", "events=on", "events=no"].map(|line| CommandLine::new(line).events());
        let no = Err(BadValue { key: "events", value: "no", expected: "on or off" });
        assert_eq!(events, [Ok(true), Ok(false), Ok(true), no]);
        assert_eq!(bad.to_string(), "command line: mem=banana: expected a size such as 32M");
    }
}
