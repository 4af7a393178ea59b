//! Settings of the kernel's that a check changes.

use std::io;

use crate::files;

/// What is set, of what a file says: where it shows what can be chosen, that is in brackets.
pub(super) fn chosen(said: &str) -> &str {
    said.split(['[', ']']).nth(1).unwrap_or(said)
}

/// A setting that is put back when this goes.
pub(super) struct Setting {
    path: &'static str,
    pub(super) before: String,
}

impl Setting {
    /// Sets it.
    pub(super) fn set(path: &'static str, value: &str) -> io::Result<Self> {
        let said = files::text(path)?;
        let before = chosen(&said).to_owned();
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
