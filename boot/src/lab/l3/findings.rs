//! What a student says about the machines: `A.place = swap/src/FILE.rs:FUNCTION`, and `A.fault = ` a sentence.

use std::collections::HashMap;

/// The fewest words of a sentence that says what is wrong.
const WORDS_MIN: usize = 8;

/// What was said, by machine and subject.
pub(super) struct Findings<'a>(HashMap<&'a str, &'a str>);

impl<'a> Findings<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        Self(pairs.map(|(key, value)| (key.trim(), value.trim())).collect())
    }

    fn get(&self, letter: &str, subject: &str) -> Option<&'a str> {
        self.0.get(format!("{letter}.{subject}").as_str()).copied().filter(|value| !value.is_empty())
    }

    /// The one place that is named.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(super) fn place(&self, letter: &str) -> Result<&'a str, String> {
        let place = self.get(letter, "place").ok_or_else(|| {
            format!("findings.txt names no place for machine {letter}: `{letter}.place = swap/src/FILE.rs:FUNCTION`")
        })?;
        let is_one = place.split_once(':').is_some_and(|(_, function)| !function.contains([' ', ',', ':', ';']));
        if is_one {
            return Ok(place);
        }
        Err(format!("findings.txt, {letter}.place: `{place}` is not one place, as in swap/src/FILE.rs:FUNCTION"))
    }

    /// The sentence about a machine.
    ///
    /// # Errors
    /// It is missing, or too short to say anything.
    pub(super) fn sentence(&self, letter: &str) -> Result<&'a str, String> {
        let sentence = self.get(letter, "fault").unwrap_or_default();
        if sentence.split_whitespace().count() >= WORDS_MIN {
            return Ok(sentence);
        }
        Err(format!("findings.txt, {letter}.fault: say in a sentence of at least {WORDS_MIN} words what is wrong"))
    }
}

#[cfg(test)]
mod tests {
    use super::Findings;

    #[test]
    fn a_place_is_one_function_and_a_sentence_has_words() {
        let text = "# A.place = x\nA.place = swap/src/a.rs:f\nB.place=swap/src/a.rs:f, swap/src/a.rs:g\nA.fault = one two three four five six seven eight\nB.fault = no\n";
        let findings = Findings::read(text);
        assert_eq!(findings.place("A"), Ok("swap/src/a.rs:f"));
        assert!(findings.place("B").unwrap_err().contains("is not one place"));
        assert!(findings.place("C").unwrap_err().contains("names no place for machine C"));
        assert!(findings.sentence("A").is_ok() && findings.sentence("B").is_err() && findings.sentence("C").is_err());
    }
}
