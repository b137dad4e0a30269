//! Numbers with a unique text that parses to the same bits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A finite number, written as the shortest plain decimal text that parses to the same bits (`"2.3"`, `"63"`).
///
/// There is no negative zero, which would be a second text for zero.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub struct Exact<T>(T);

/// A sum of fixed-point numbers in units of 2⁻³², written as the number of units in decimal text.
///
/// It is text because JSON parsers may read numbers above 2⁵³ as doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FixedSum(pub u128);

/// A float that can be [`Exact`].
pub trait Float: Copy + PartialEq + fmt::Display + FromStr {
    /// Whether it is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// The number, with negative zero replaced by zero.
    #[must_use]
    fn unsigned_zero(self) -> Self;
}

// === impl Exact ===

impl<T: Float> Exact<T> {
    /// The number, or `None` if it is infinite or NaN.
    pub fn new(value: T) -> Option<Self> {
        value.is_finite().then(|| Self(value.unsigned_zero()))
    }

    /// A number that is known to be finite and not a negative zero.
    pub(crate) const fn of(value: T) -> Self {
        Self(value)
    }

    /// The number.
    pub fn get(self) -> T {
        self.0
    }
}

impl Float for f32 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn unsigned_zero(self) -> Self {
        // -0.0 + 0.0 is 0.0. Other numbers do not change.
        self + 0.0
    }
}

impl Float for f64 {
    fn is_finite(self) -> bool {
        self.is_finite()
    }

    fn unsigned_zero(self) -> Self {
        self + 0.0
    }
}

impl<T: fmt::Display> fmt::Debug for Exact<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<T: fmt::Display> Serialize for Exact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `Display` of a float gives the shortest text that parses to the same float, without an exponent.
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Float> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().ok().and_then(Self::new).ok_or_else(|| {
            de::Error::custom(format_args!(
                "{text:?} is not a finite number; write it like \"2.3\""
            ))
        })
    }
}

// === impl FixedSum ===

impl FixedSum {
    /// Units in one.
    pub const SCALE: u64 = 1 << 32;

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / Self::SCALE as f64
    }
}

impl Serialize for FixedSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FixedSum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            de::Error::custom(format_args!(
                "{text:?} is not a sum; write it as a whole number like \"4294967296\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_a_finite_number_is_refused() {
        for text in ["\"NaN\"", "\"inf\"", "\"1e999\"", "\"\"", "1.5"] {
            assert!(serde_json::from_str::<Exact<f64>>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<FixedSum>("\"-1\"").is_err());
    }

    #[test]
    fn zero_has_one_spelling() {
        let text = serde_json::to_string(&Exact::new(-0.0_f32)).unwrap();
        assert_eq!(text, "\"0\"");
    }

    proptest! {
        #[test]
        fn any_number_survives_its_text_bit_for_bit(small: f32, large: f64) {
            let small = Exact::new(small).unwrap();
            let back: Exact<f32> = serde_json::from_slice(&serde_json::to_vec(&small).unwrap()).unwrap();
            prop_assert_eq!(back.get().to_bits(), small.get().to_bits());
            let large = Exact::new(large).unwrap();
            let back: Exact<f64> = serde_json::from_slice(&serde_json::to_vec(&large).unwrap()).unwrap();
            prop_assert_eq!(back.get().to_bits(), large.get().to_bits());
        }

        #[test]
        fn any_sum_survives_its_text(units: u128) {
            let text = serde_json::to_string(&FixedSum(units)).unwrap();
            prop_assert_eq!(serde_json::from_str::<FixedSum>(&text).unwrap(), FixedSum(units));
        }
    }
}
