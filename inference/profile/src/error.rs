//! Why a window cannot be judged.

use crate::{counts::CountsError, number::Exact};

/// Why a window cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// The reference cannot be used.
    #[error("the reference does not fit the bins")]
    Reference(#[source] CountsError),
    /// The window cannot be used.
    #[error("the window does not fit the bins")]
    Window(#[source] CountsError),
    /// A number of the rule is out of its range.
    #[error("the rule's {field} is {value:?}, it must be above 0 and {}", if *.at_most_one { "at most 1" } else { "below 1" })]
    Rule {
        /// Its name.
        field: String,
        /// Its value.
        value: Exact<f64>,
        /// Whether 1 is allowed.
        at_most_one: bool,
    },
    /// Windows are not in chronological order, or one is there twice.
    #[error("the windows are not in chronological order, each once and before the end")]
    Order,
    /// The season of the rule has length 0.
    #[error("the rule's season has a length of 0 seconds")]
    Season,
    /// The rule sets a tolerance for a feature that is not there.
    #[error("the rule sets a tolerance for {0:?}, which is not a feature of the model")]
    UnknownFeature(String),
}
