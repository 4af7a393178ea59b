//! `/proc/PID/mounts`, and how paths are shown in columns.

use alloc::string::String;
use core::fmt;

use super::super::synthetic::print;
use super::super::{namespace, tmpfs};
use crate::errno::Errno;

/// `/proc/PID/mounts`
pub(super) fn mounts(out: &mut String) -> Result<(), Errno> {
    for mount in namespace::mounts().all() {
        let (source, path) = (Escaped(&mount.source), Escaped(&mount.path));
        let (kind, options, more) = (mount.kind, mount.options, tmpfs::Shown(mount.root()));
        print(out, format_args!("{source} {path} {kind} {options}{more} 0 0\n"))?;
    }
    Ok(())
}

/// A text in a column: octal numbers in the place of what would look like the column's end.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            ' ' | '\t' | '\n' | '\\' => write!(formatter, "\\{:03o}", u32::from(letter)),
            _ => write!(formatter, "{letter}"),
        })
    }
}
