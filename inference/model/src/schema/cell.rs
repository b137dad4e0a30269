//! One value of a row, and its meaning for a feature: the same for files, JSON objects and tensors.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::schema::category::{
    bool_category, canonical_category, double_category, single_category, truth_category,
};

/// One value of a table or tensor. Numbers keep their type: a 64-bit code may have no exact double, and 0.1 as a 32-bit float is a
/// different double than 0.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Missing,
    /// A 64-bit number. NaN is missing.
    Number(f64),
    /// A 32-bit number. NaN is missing.
    Single(f32),
    /// An integer.
    Integer(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A string. It is a wrong type for a numeric feature, because readers of text files parse numbers first.
    Text(&'a str),
    /// True or false.
    Bool(bool),
}

/// Texts that a training declares as missing values. The empty text is always one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Missing {
    texts: Vec<String>,
    /// The texts that are numbers: `-999` also means `-999.0`.
    numbers: Vec<f64>,
}

/// The finite number in a text: digits with sign, point and exponent, and nothing else (no `inf`, no `NaN`). The sign may also be the
/// minus sign U+2212.
pub fn number(text: &str) -> Option<f64> {
    let plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
    if text.bytes().all(plain) {
        return text.parse().ok().filter(|number: &f64| number.is_finite());
    }
    text.contains(MINUS)
        .then(|| text.replace(MINUS, "-"))
        .and_then(|text| number(&text))
}

/// The typographic minus sign.
const MINUS: char = '\u{2212}';

// === impl Cell ===

impl<'a> Cell<'a> {
    /// The value of a text in a file for a numeric feature: its number, if it is one.
    pub fn of_numeric_text(text: &'a str) -> Self {
        number(text).map_or(Self::Text(text), Self::Number)
    }

    /// The cell, or `Missing` if it means a missing value.
    pub(super) fn present(self, missing: &Missing) -> Self {
        let absent = match self {
            Self::Missing => true,
            Self::Text(text) => missing.has_text(text),
            Self::Bool(_) => false,
            Self::Single(number) => number.is_nan() || missing.has_single(number),
            Self::Number(_) | Self::Integer(_) | Self::Unsigned(_) => {
                let number = self.as_number().unwrap_or(f64::NAN);
                number.is_nan() || missing.has_number(number)
            }
        };
        if absent { Self::Missing } else { self }
    }

    /// Its number as a double.
    pub(super) fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Single(number) => Some(f64::from(number)),
            Self::Integer(number) => Some(number as f64),
            Self::Unsigned(number) => Some(number as f64),
            Self::Missing | Self::Text(_) | Self::Bool(_) => None,
        }
    }

    /// Its canonical category. `None` if it cannot be one of these.
    pub(super) fn category(self, categories: &'a [String]) -> Option<Cow<'a, str>> {
        Some(match self {
            Self::Missing => return None,
            Self::Text(text) => text_category(categories, text),
            Self::Number(number) => double_category(number),
            Self::Single(number) => single_category(number),
            Self::Integer(number @ 0..10) => double_category(number as f64),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Unsigned(number) => Cow::Owned(number.to_string()),
            Self::Bool(value) => Cow::Borrowed(bool_category(categories, value)?),
        })
    }
}

/// The category of a text. If the categories do not have it, a typographic minus and `True` for `true` are also tried.
fn text_category<'a>(categories: &'a [String], text: &'a str) -> Cow<'a, str> {
    let word = canonical_category(text);
    let written = text.trim();
    // A bundle of an earlier version may have a number as its file has it: `.5`.
    if matches!(word, Cow::Owned(_)) && categories.iter().any(|known| known == written) {
        return Cow::Borrowed(written);
    }
    let is_minus = word.starts_with(MINUS) && number(&word).is_some();
    let truth = truth_category(categories, &word);
    if truth.is_none() && !is_minus || categories.iter().any(|known| *known == word) {
        return word;
    }
    if let Some(known) = truth {
        return Cow::Borrowed(known);
    }
    Cow::Owned(canonical_category(&word.replace(MINUS, "-")).into_owned())
}

// === impl Missing ===

impl Missing {
    /// These texts, without surrounding white space.
    pub fn new<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut missing = Self::default();
        for text in texts {
            let text = text.as_ref().trim();
            if !text.is_empty() && !missing.texts.iter().any(|known| known == text) {
                missing.numbers.extend(number(text));
                missing.texts.push(text.to_owned());
            }
        }
        missing
    }

    /// Whether only the empty text is a missing value.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether a text is empty or one of these, as a text or as a number.
    pub fn has_text(&self, text: &str) -> bool {
        let text = text.trim();
        text.is_empty()
            || self.texts.iter().any(|known| known == text)
            || !self.numbers.is_empty() && number(text).is_some_and(|number| self.has_number(number))
    }

    /// Whether a number is one of these.
    pub fn has_number(&self, number: f64) -> bool {
        self.numbers.contains(&number)
    }

    /// Whether a single-precision number is one of these in single precision, because -99.9 as a double is not a 32-bit float.
    pub fn has_single(&self, number: f32) -> bool {
        self.numbers.iter().any(|known| *known as f32 == number)
    }

    /// The texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

impl From<Vec<String>> for Missing {
    fn from(texts: Vec<String>) -> Self {
        Self::new(texts)
    }
}

impl From<Missing> for Vec<String> {
    fn from(missing: Missing) -> Self {
        missing.texts
    }
}
