//! One thing that is wrong with the data, in words short enough for a status.

use modelward_wire::{MESSAGE_LIMIT, Violation};

pub use modelward_wire::shorten as cut;

/// The rule that a name of the spec breaks which the data does not have.
pub const UNKNOWN_COLUMN: &str = "UnknownColumn";

/// Whether what was read may be quoted in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// It comes from a file of the person who reads the message.
    Yes,
    /// It comes from an address, which may give what that person could not read.
    No,
}

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
        message: cut(&message.into(), MESSAGE_LIMIT),
        count,
        example_row,
    }
}
