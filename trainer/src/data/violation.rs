//! One thing that is wrong with the data, in words short enough for a status.

use modelward_wire::Violation;

/// A violation of `column`, or of the whole table where that is empty.
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
        message: cut(&message.into(), 240),
        count,
        example_row,
    }
}

/// The text, or its first characters and an ellipsis where it has more than `most`.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
