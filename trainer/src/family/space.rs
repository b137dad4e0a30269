//! What a search varies.

use modelward_model::math::{exp, ln};

use super::parameter::Parameter;

/// A hyper-parameter that a search varies, with its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dimension {
    /// The library's name for it.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a hyper-parameter that a search tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Numbers between two ends.
    Numbers {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// Whether equal factors are equally likely, instead of equal differences.
        log: bool,
        /// Whether they are whole.
        whole: bool,
    },
    /// Yes and no.
    Flags,
}

// === impl Dimension ===

impl Dimension {
    /// Numbers, with equal differences equally likely.
    pub(super) const fn linear(name: &'static str, low: f64, high: f64) -> Self {
        Self::numbers(name, (low, high), false, false)
    }

    /// Numbers, with equal factors equally likely.
    pub(super) const fn log(name: &'static str, low: f64, high: f64) -> Self {
        Self::numbers(name, (low, high), true, false)
    }

    /// Whole numbers, each equally likely.
    pub(super) const fn whole(name: &'static str, low: f64, high: f64) -> Self {
        Self::numbers(name, (low, high), false, true)
    }

    /// Whole numbers, with equal factors equally likely.
    pub(super) const fn whole_log(name: &'static str, low: f64, high: f64) -> Self {
        Self::numbers(name, (low, high), true, true)
    }

    /// Yes and no.
    pub(super) const fn flags(name: &'static str) -> Self {
        Self {
            name,
            values: Values::Flags,
        }
    }

    const fn numbers(name: &'static str, (low, high): (f64, f64), log: bool, whole: bool) -> Self {
        Self {
            name,
            values: Values::Numbers {
                low,
                high,
                log,
                whole,
            },
        }
    }

    /// The ends of the scale that a search works on: at first every place between them is equally likely.
    pub fn scale(self) -> (f64, f64) {
        match self.values {
            Values::Numbers {
                low, high, log: true, ..
            } => (ln(low), ln(high)),
            // Each whole number has the same part of the scale.
            Values::Numbers {
                low,
                high,
                whole: true,
                ..
            } => (low - 0.5, high + 0.5),
            Values::Numbers { low, high, .. } => (low, high),
            Values::Flags => (0.0, 2.0),
        }
    }

    /// The value at a place of the scale.
    pub fn value(self, place: f64) -> Parameter {
        match self.values {
            Values::Numbers {
                low,
                high,
                log,
                whole,
            } => {
                let number = if log { exp(place) } else { place };
                if whole {
                    Parameter::Integer(number.round().clamp(low, high) as i64)
                } else {
                    // A person would write six digits at most, and more mean nothing.
                    Parameter::Number(to_six_digits(number.clamp(low, high)))
                }
            }
            Values::Flags => Parameter::Flag(place >= 1.0),
        }
    }
}

fn to_six_digits(number: f64) -> f64 {
    format!("{number:.5e}").parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_scale_are_the_ends_of_the_values() {
        let rate = Dimension::log("learning_rate", 0.005, 0.1);
        let (low, high) = rate.scale();
        assert_eq!(rate.value(low), Parameter::Number(0.005));
        assert_eq!(rate.value(high), Parameter::Number(0.1));
        assert_eq!(
            rate.value(f64::midpoint(low, high)),
            Parameter::Number(0.022_360_7)
        );
        let depth = Dimension::whole("max_depth", 4.0, 10.0);
        let (low, high) = depth.scale();
        assert_eq!(
            [depth.value(low), depth.value(high)],
            [Parameter::Integer(4), Parameter::Integer(10)]
        );
        let flag = Dimension::flags("extra_trees");
        assert_eq!(
            [flag.value(0.3), flag.value(1.7)],
            [Parameter::Flag(false), Parameter::Flag(true)]
        );
    }
}
