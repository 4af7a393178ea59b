//! Settings of the kernel's that a check changes.

use std::io;

use crate::files;

/// A setting that is put back when this goes.
pub(super) struct Setting {
    path: &'static str,
    pub(super) before: String,
}

impl Setting {
    /// Sets it. Where a file shows what can be chosen, what was set before is in brackets.
    pub(super) fn set(path: &'static str, value: &str) -> io::Result<Self> {
        let said = files::text(path)?;
        let before = said.split(['[', ']']).nth(1).unwrap_or(&said).to_owned();
        files::set(path, value)?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // What could be set once can be set again.
        let _ = files::set(self.path, &self.before);
    }
}
