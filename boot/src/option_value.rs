//! Texts inside lists of options.

/// A text as QEMU reads it inside a list of options: commas are doubled.
pub(crate) fn option_value(text: &str) -> String {
    text.replace(',', ",,")
}
