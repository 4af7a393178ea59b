//! Scripts: files that begin with `#!` and name the program that reads them.

/// The bytes of a file in which its first line must end (Linux: `BINPRM_BUF_SIZE`).
pub const LINE_MAX: usize = 256;

/// The first line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'a> {
    /// The path of the program that reads it.
    pub interpreter: &'a [u8],
    /// All that stands behind it, as one argument.
    pub argument: Option<&'a [u8]>,
}

impl<'a> Script<'a> {
    /// Looks at a file's first bytes; `None` when it is no script or names no program.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let line = bytes.strip_prefix(b"#!")?;
        let line = &line[..line.len().min(LINE_MAX - 2)];
        let end = line.iter().position(|&byte| byte == b'\n' || byte == 0);
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let whole = line[..end.unwrap_or(line.len())].trim_ascii();
        let name_end = whole.iter().position(is_blank);
        // Without the line's end, the name may go on beyond what was read.
        if whole.is_empty() || end.is_none() && name_end.is_none() && line.len() == LINE_MAX - 2 {
            return None;
        }
        let (interpreter, rest) = whole.split_at(name_end.unwrap_or(whole.len()));
        Some(Self { interpreter, argument: Some(rest.trim_ascii()).filter(|rest| !rest.is_empty()) })
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX, Script};

    #[test]
    fn a_script_names_its_interpreter_and_one_argument() {
        let script = Script::parse(b"#! /bin/busybox sh -e \nrest").unwrap();
        assert_eq!(script, Script { interpreter: b"/bin/busybox", argument: Some(b"sh -e") });
        assert_eq!(Script::parse(b"#!/bin/sh\n").unwrap(), Script { interpreter: b"/bin/sh", argument: None });
        assert_eq!(Script::parse(b"#!/bin/sh").unwrap().interpreter, b"/bin/sh");
    }

    #[test]
    fn what_names_no_program_is_no_script() {
        for bytes in [&b""[..], b"#", b"#!", b"#!\n/bin/sh", b"#! \t\n", b"\x7fELF"] {
            assert_eq!(Script::parse(bytes), None);
        }
        let mut long = b"#!/".to_vec();
        long.resize(2 * LINE_MAX, b'x');
        assert_eq!(Script::parse(&long), None);
    }
}
