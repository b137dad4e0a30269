//! Decimal numbers as text.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A finite decimal number written as text: optional minus, up to 12 digits, optional point and up to 12 digits.
///
/// Kubernetes forbids floats in an API, and the text of a float depends on the program that writes it. Two spellings of a number
/// (`0.5`, `0.50`) are equal and compare as numbers. A number is written with the spelling that was read.
#[derive(Clone, Debug)]
pub struct Decimal(String);

/// Why a text is not a [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecimalError(String);

/// The pattern that a text must match, for API schemas.
pub const PATTERN: &str = r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$";

// === impl Decimal ===

impl Decimal {
    /// The pattern that a text must match, for API schemas.
    pub const PATTERN: &'static str = PATTERN;

    /// The number as text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double.
    pub fn to_f64(&self) -> f64 {
        // The text was validated when the value was created, so it always parses.
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Rounds a finite number to `places` digits after the point (at most 12), with the rounding of `format!`.
    ///
    /// Returns `None` for infinities, NaN and numbers with more than 12 digits before the point.
    pub fn rounded(value: f64, places: usize) -> Option<Self> {
        let text = format!("{value:.*}", places.min(12));
        // "-0.0000" would be a second spelling of zero.
        let text = match text.strip_prefix('-') {
            Some(rest) if rest.bytes().all(|b| b == b'0' || b == b'.') => rest.to_owned(),
            _ => text,
        };
        text.parse().ok()
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let fits = |part: &str| (1..=12).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        if fits(whole) && fraction.is_none_or(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(DecimalError(text.to_owned()))
        }
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        // 12 digits and 12 places make 24 digits: exact in an i128, not in a double.
        self.scaled().cmp(&other.scaled())
    }
}

impl Decimal {
    fn scaled(&self) -> i128 {
        let (negative, digits) = match self.0.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, self.0.as_str()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let scaled = whole
            .bytes()
            .chain(fraction.bytes().chain(std::iter::repeat(b'0')).take(12))
            .fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
        if negative { -scaled } else { scaled }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

// === impl DecimalError ===

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a decimal number; write it like \"0.75\"", self.0)
    }
}

impl std::error::Error for DecimalError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn spellings_of_one_number_are_equal() {
        assert_eq!(decimal("0.5"), decimal("0.500"));
        assert_eq!(decimal("-0"), decimal("0.0"));
    }

    #[test]
    fn numbers_are_ordered_as_numbers_and_not_as_text() {
        assert!(decimal("10") > decimal("9.5"));
        assert!(decimal("-2") < decimal("-1.999999999999"));
        assert!(decimal("0.000000000001") > decimal("0"));
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in ["", ".5", "1.", "1e3", "+1", "NaN", "1,5", "1234567890123", "٣"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    #[test]
    fn rounding_never_writes_a_negative_zero() {
        assert_eq!(Decimal::rounded(-0.000_01, 4).unwrap().as_str(), "0.0000");
        assert_eq!(Decimal::rounded(0.815_06, 4).unwrap().as_str(), "0.8151");
        assert_eq!(Decimal::rounded(f64::NAN, 4), None);
    }
}
