//! Texts that are too long for their field.

/// Maximum distance in characters between the end and the start of the last word for a cut before that word.
const LONGEST_WORD: usize = 40;

/// Returns the text. If it has more than `most` characters, returns its first words and "…", at most `most` characters in total. A
/// text without spaces near the cut is cut within a word.
pub fn shorten(text: &str, most: usize) -> String {
    if text.char_indices().nth(most).is_none() {
        return text.to_owned();
    }
    let mut chars = text.char_indices().skip(most.saturating_sub(1));
    let Some((end, next)) = chars.next().filter(|_| most > 0) else {
        return String::new();
    };
    let head = &text[..end];
    let word = head.rfind(char::is_whitespace).filter(|at| {
        let tail = head[*at..].chars().count();
        !next.is_whitespace() && !is_joint(next) && tail <= LONGEST_WORD && tail < most / 2
    });
    let head = word.map_or(head, |at| &head[..at]);
    let head = head.trim_end_matches(|letter: char| letter.is_whitespace() || is_joint(letter));
    format!("{head}…")
}

/// Marks that join the parts of a sentence.
fn is_joint(letter: char) -> bool {
    matches!(letter, ',' | ';' | ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_unchanged() {
        assert_eq!(shorten("one two", 7), "one two");
        assert_eq!(shorten("", 0), "");
    }

    #[test]
    fn a_longer_text_ends_at_a_word_with_an_ellipsis() {
        let text = "it has age, sex, cholesterol";
        assert_eq!(shorten(text, 20), "it has age, sex…");
        assert_eq!(shorten(text, 17), "it has age, sex…");
        assert_eq!(shorten(text, 16), "it has age, sex…");
        assert_eq!(shorten(&shorten(text, 20), 20), "it has age, sex…");
    }

    #[test]
    fn a_long_word_is_cut_within() {
        assert_eq!(shorten(&"é".repeat(30), 10), format!("{}…", "é".repeat(9)));
        let text = format!("a {}", "x".repeat(100));
        assert_eq!(shorten(&text, 80).chars().count(), 80);
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(shorten("abc", 0), "");
    }
}
