//! The value of one hyper-parameter.

use modelward_wire::Decimal;
use serde::Serialize;

/// The value of a hyper-parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A word.
    Text(&'static str),
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A whole number.
    Integer(i64),
}

// === impl Parameter ===

impl Parameter {
    /// A decimal number of a spec.
    pub(super) fn decimal(value: Option<&Decimal>) -> Option<Self> {
        value.map(|value| Self::Number(value.to_f64()))
    }

    /// A whole number of a spec.
    pub(super) fn integer(value: Option<i32>) -> Option<Self> {
        value.map(|value| Self::Integer(i64::from(value)))
    }
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => flag.fmt(f),
            // Without an exponent, and with as many digits as name the number.
            Self::Number(number) => number.fmt(f),
            Self::Integer(number) => number.fmt(f),
        }
    }
}
