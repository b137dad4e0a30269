//! Texts of users within a plan.

use modelward_wire::{Decimal, shorten};

/// Limit on a summary in characters: more than the longest one has.
const SUMMARY: usize = 16_384;

/// Longest name in a summary, in characters. The plan has the full name.
const NAME: usize = 128;

pub(in crate::action) fn listed(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| short(name)).collect();
    names.join(", ")
}

pub(in crate::action) fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return plain(name);
    }
    plain(&name.chars().take(NAME - 1).chain(['…']).collect::<String>())
}

/// Characters that are letters by their class but invisible: Hangul fillers.
const BLANK_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];

/// Text from users, with invisible or misleading characters escaped: control characters, direction marks, unusual
/// spaces.
pub fn plain(text: &str) -> String {
    text.chars().fold(String::new(), |mut plain, letter| {
        let is_blank = BLANK_LETTERS.contains(&letter);
        if letter.is_ascii_graphic()
            || letter == ' '
            || letter == '…'
            || (letter.is_alphanumeric() && !is_blank)
        {
            plain.push(letter);
        } else {
            plain.extend(letter.escape_unicode());
        }
        plain
    })
}

/// Quoted, unless it is a plain name that cannot be mistaken for a part of the sentence.
pub(in crate::action) fn quoted(name: &str) -> String {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "._-~%:[]…".contains(letter);
    if name.chars().all(is_name) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

/// The file name of an address.
pub(in crate::action) fn file(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.rsplit('/').next().unwrap_or(path)
}

pub(in crate::action) fn text(decimal: &Decimal) -> &str {
    decimal.as_str()
}

pub(in crate::action) fn cut(text: &str) -> String {
    shorten(text, SUMMARY)
}
