//! Files of answers: lines `name = value`, and comments.

/// The value behind a name; none where there is nothing.
pub(super) fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let value = pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
    value.filter(|value| !value.is_empty())
}
