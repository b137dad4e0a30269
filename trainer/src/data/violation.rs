//! One thing that is wrong with the data, in words short enough for a status.

use modelward_wire::{MESSAGE_LIMIT, Violation};

pub use modelward_wire::shorten as cut;

/// The rule that is broken if the data does not have a name of the spec.
pub const UNKNOWN_COLUMN: &str = "UnknownColumn";

/// Whether what was read may be quoted in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// It comes from a file of the user who reads the message.
    Yes,
    /// It comes from an address, which may return what that user could not read.
    No,
}

/// A violation with its column, for a reader who sees nothing else of it.
pub fn sentence(violation: &Violation) -> String {
    if violation.column.is_empty() {
        violation.message.clone()
    } else {
        format!("{}: {}", visible(&violation.column), violation.message)
    }
}

/// A text that is safe in a terminal: control characters, line breaks and characters that are invisible or change the direction of writing
/// are escaped.
pub fn visible(text: &str) -> String {
    let is_hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars()
        .fold(String::with_capacity(text.len()), |mut shown, letter| {
            if is_hidden(letter) {
                shown.extend(letter.escape_debug());
            } else {
                shown.push(letter);
            }
            shown
        })
}

/// A violation of `column`, or of the whole table if that is empty.
pub fn violation(
    column: &str,
    rule: &str,
    message: impl Into<String>,
    count: u64,
    example_row: Option<u64>,
) -> Violation {
    Violation {
        column: cut(column, 80),
        rule: rule.to_owned(),
        message: cut(&message.into(), MESSAGE_LIMIT),
        count,
        example_row,
    }
}
