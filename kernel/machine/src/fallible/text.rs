//! Texts that grow while there is memory.

use alloc::string::String;
use core::fmt;

use super::ask::ask;
use crate::no_memory::NoMemory;

/// What [`String`] does when it grows, each of which may fail.
#[expect(clippy::missing_errors_doc, reason = "each fails with NoMemory, as the trait says")]
pub trait TryText {
    /// Adds `text` at the end.
    fn try_push_str(&mut self, text: &str) -> Result<(), NoMemory>;

    /// Adds formatted text at the end; some of it may be there after a failure.
    fn try_format(&mut self, text: fmt::Arguments<'_>) -> Result<(), NoMemory>;
}

impl TryText for String {
    #[expect(clippy::disallowed_methods, reason = "the room has been made")]
    fn try_push_str(&mut self, text: &str) -> Result<(), NoMemory> {
        if self.capacity() - self.len() < text.len() {
            // It may double, with both copies there for a moment.
            ask(2 * self.capacity() + text.len())?;
            self.try_reserve(text.len()).map_err(|_| NoMemory)?;
        }
        self.push_str(text);
        Ok(())
    }

    fn try_format(&mut self, text: fmt::Arguments<'_>) -> Result<(), NoMemory> {
        struct Growing<'a>(&'a mut String);

        impl fmt::Write for Growing<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.try_push_str(text).map_err(|NoMemory| fmt::Error)
            }
        }

        fmt::write(&mut Growing(self), text).map_err(|fmt::Error| NoMemory)
    }
}

/// Bytes as text, with U+FFFD for what is none.
pub struct Lossy<'a>(pub &'a [u8]);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            f.write_str(if chunk.invalid().is_empty() { "" } else { "\u{fffd}" })
        })
    }
}

/// Formatted text.
///
/// # Errors
/// [`NoMemory`]
pub fn text(text: fmt::Arguments<'_>) -> Result<String, NoMemory> {
    let mut out = String::new();
    out.try_format(text)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Lossy, TryText, text};

    #[test]
    fn texts_are_formatted_and_grow() {
        let mut out = text(format_args!("{}-{:02}", 1, 2)).unwrap();
        out.try_push_str("!").unwrap();
        assert_eq!(out, "1-02!");
        assert_eq!(text(format_args!("{}", Lossy(b"a\xffb"))).unwrap(), "a\u{fffd}b");
    }
}
