//! Bounds that a trained model must meet, and their text form.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Decimal, words};

words! {
    /// Rows on which two versions are compared.
    pub enum ComparedRows {
        /// All rows of the snapshot.
        All,
        /// The rows that the champion was not trained on.
        New,
    }
}

/// A bound on a metric, with its direction. It is written as text, such as `atLeast 0.75` or `notWorseThan heart-1 by 0.03 on all
/// rows`. The text is part of bundles and their digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateBound {
    /// The metric must be at least this.
    AtLeast(Decimal),
    /// The metric must be at most this.
    AtMost(Decimal),
    /// The metric may be worse than another version's by at most this margin.
    NotWorseThan {
        /// Name of the other version.
        version: String,
        /// The margin.
        margin: Decimal,
        /// The rows that both versions are measured on.
        rows: ComparedRows,
    },
    /// A text that this release does not know, or a truncated one.
    Other(String),
}

// === impl ComparedRows ===

impl ComparedRows {
    /// The rows as a phrase for messages.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::All => "all rows",
            Self::New => "new rows",
        }
    }
}

// === impl GateBound ===

impl GateBound {
    /// The bound of a gate in a spec. `None` if it sets neither.
    pub fn of_gate(at_least: Option<&Decimal>, at_most: Option<&Decimal>) -> Option<Self> {
        let at_least = at_least.cloned().map(Self::AtLeast);
        at_least.or_else(|| at_most.cloned().map(Self::AtMost))
    }

    /// Whether the bound compares two versions.
    pub const fn is_comparison(&self) -> bool {
        matches!(self, Self::NotWorseThan { .. })
    }

    /// Whether a value meets the bound; `None` if the value alone does not determine it.
    pub fn holds(&self, value: &Decimal) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::NotWorseThan { .. } | Self::Other(_) => None,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(' ')?;
        Some(match kind {
            "atLeast" => Self::AtLeast(rest.parse().ok()?),
            "atMost" => Self::AtMost(rest.parse().ok()?),
            "notWorseThan" => {
                let (version, rest) = rest.split_once(" by ")?;
                let (margin, rows) = rest.split_once(" on ")?;
                Self::NotWorseThan {
                    version: version.to_owned(),
                    margin: margin.parse().ok()?,
                    rows: ComparedRows::ALL
                        .into_iter()
                        .find(|known| known.phrase() == rows)?,
                }
            }
            _ => return None,
        })
    }
}

impl From<&str> for GateBound {
    fn from(text: &str) -> Self {
        Self::read(text).unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl From<String> for GateBound {
    fn from(text: String) -> Self {
        Self::read(&text).unwrap_or(Self::Other(text))
    }
}

impl fmt::Display for GateBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "atLeast {bound}"),
            Self::AtMost(bound) => write!(f, "atMost {bound}"),
            Self::NotWorseThan {
                version,
                margin,
                rows,
            } => write!(f, "notWorseThan {version} by {margin} on {}", rows.phrase()),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for GateBound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GateBound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_is_read_as_it_is_written() {
        let number = |text: &str| text.parse::<Decimal>().unwrap();
        for (text, bound) in [
            ("atLeast 0.750", GateBound::AtLeast(number("0.75"))),
            ("atMost 0.4", GateBound::AtMost(number("0.4"))),
            (
                "notWorseThan heart-1 by 0.03 on new rows",
                GateBound::NotWorseThan {
                    version: "heart-1".into(),
                    margin: number("0.03"),
                    rows: ComparedRows::New,
                },
            ),
        ] {
            assert_eq!(GateBound::from(text), bound);
            assert_eq!(GateBound::from(text).to_string(), text, "to the letter");
        }
        for text in [
            "",
            "atLeast",
            "atLeast much",
            "between 0 and 1",
            "notWorseThan heart-1 by 0.03 on some rows",
        ] {
            assert_eq!(GateBound::from(text), GateBound::Other(text.into()));
        }
    }

    #[test]
    fn what_a_value_says_of_a_bound() {
        let value: Decimal = "0.75".parse().unwrap();
        assert_eq!(GateBound::from("atLeast 0.75").holds(&value), Some(true));
        assert_eq!(GateBound::from("atLeast 0.76").holds(&value), Some(false));
        assert_eq!(GateBound::from("atMost 0.75").holds(&value), Some(true));
        assert_eq!(GateBound::from("atMost 0.74").holds(&value), Some(false));
        assert_eq!(
            GateBound::from("notWorseThan a by 0 on all rows").holds(&value),
            None
        );
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in ".{0,40}|(atLeast|atMost|notWorseThan) [-a-z0-9. ]{0,30}") {
            let json = serde_json::to_string(&text).unwrap();
            let bound: GateBound = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::to_string(&bound).unwrap(), json);
        }
    }
}
