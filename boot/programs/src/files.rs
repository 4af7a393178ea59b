//! The kernel's files, read as a person would read them.

use std::{fs, io};

use nix::sys::sysinfo::sysinfo;

/// A file's text without the line end; the error says which file it was.
pub(crate) fn text(path: &str) -> io::Result<String> {
    let text = fs::read_to_string(path).map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
    Ok(text.trim_end().to_owned())
}

/// The number behind `name` in a file of names and numbers, such as `/proc/meminfo` and `/proc/vmstat`.
pub(crate) fn number(path: &str, name: &str) -> io::Result<u64> {
    let text = text(path)?;
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()?.trim_end_matches(':') == name).then(|| words.next()?.parse().ok())?
    });
    found.ok_or_else(|| io::Error::other(format!("{path} has no number {name}")))
}

/// All numbers of a file, such as `/sys/block/vda/stat`, in order.
pub(crate) fn numbers(path: &str) -> io::Result<Vec<u64>> {
    Ok(text(path)?.split_whitespace().flat_map(str::parse).collect())
}

/// Writes `value` to a file that the kernel reads at once; the error says which file and value it was.
pub(crate) fn set(path: &str, value: &str) -> io::Result<()> {
    fs::write(path, value).map_err(|error| io::Error::new(error.kind(), format!("{value} to {path}: {error}")))
}

/// Pages in use in all swap areas together.
pub(crate) fn swap_used() -> nix::Result<u64> {
    let info = sysinfo()?;
    Ok((info.swap_total() - info.swap_free()) / 4096)
}
