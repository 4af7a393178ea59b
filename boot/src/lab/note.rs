//! The form of a design note. Whether what it says is true and well thought is for a tutor to read; what is found here is
//! whether there is something to read, and the points are given on that condition.

use super::words::counted;

/// An answer has so many words.
const WORDS_MIN: usize = 40;

/// So many of them differ from one another.
const DIFFERENT_MIN: usize = 25;

/// Judges the answers, each of which stands below a heading of the note: how many of 15 points, and what is missing.
pub(super) fn judge(note: &str) -> (u32, String) {
    let mut sections: Vec<(&str, String)> = Vec::new();
    let mut is_comment = false;
    for line in note.lines() {
        is_comment |= line.trim_start().starts_with("<!--");
        if let Some(heading) = line.strip_prefix("## ") {
            sections.push((heading.trim(), String::new()));
        } else if let Some((_, text)) = sections.last_mut().filter(|_| !is_comment) {
            text.push_str(line);
            text.push('\n');
        }
        is_comment &= !line.contains("-->");
    }
    if sections.len() < 3 {
        return (0, "note.md has fewer than the three headings (`## …`) that it was given with".to_owned());
    }
    let short = sections.iter().filter_map(|(heading, text)| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let mut different = words.clone();
        different.sort_unstable();
        different.dedup();
        let is_short = words.len() < WORDS_MIN || different.len() < DIFFERENT_MIN;
        is_short.then(|| {
            format!("`{heading}` has {} ({} different)", counted(words.len(), "word", "words"), different.len())
        })
    });
    let short: Vec<String> = short.collect();
    let Some(first) = short.first() else { return (15, String::new()) };
    let answered = sections.len() - short.len();
    let words = format!("note.md: {first}; an answer has at least {WORDS_MIN}, {DIFFERENT_MIN} of them different");
    (u32::try_from(15 * answered / sections.len()).unwrap_or(0), words)
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn a_note_is_as_good_as_its_answers_are_many() {
        let answer = (0..45).map(|word| format!("word{word} ")).collect::<Vec<_>>().concat();
        let points = |note: &str| judge(note).0;
        assert_eq!(points(&format!("# Note\n## A\n{answer}\n## B\n{answer}\n## C\n{answer}\n")), 15);
        assert_eq!(points(&format!("## A\n{answer}\n## B\n{answer}\n## C\n<!-- {answer} -->\n")), 10);
        assert_eq!(points(&format!("## A\n{answer}\n## B\n## C\n{}", "the same ".repeat(60))), 5);
        assert_eq!(points("## A\n## B\n## C\n"), 0);
        assert_eq!(points(""), 0);
    }
}
