//! Warnings and errors of rows, as sentences of bounded length for any input.

use std::fmt;

use crate::schema::feature::{FeatureKind, FeatureSchema};

/// Maximum number of characters of quoted names and texts from outside.
pub(super) const MAX_QUOTED: usize = 80;

/// A message lists at most this many names or categories, each truncated to [`MAX_LISTED_CHARS`], and counts the rest.
const MAX_LISTED: usize = 20;

/// Maximum number of characters of a name or category in a list.
const MAX_LISTED_CHARS: usize = 32;

/// A warning about a row that was scored.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// A number outside the range of the training data.
    OutOfRange {
        /// The feature's name.
        feature: String,
        /// The number.
        value: f32,
        /// The minimum, if known.
        min: Option<f64>,
        /// The maximum, if known.
        max: Option<f64>,
    },
    /// A category that is not in the training data.
    UnknownCategory {
        /// The feature's name.
        feature: String,
        /// The canonical category, truncated to 80 characters.
        value: String,
    },
}

/// Why a row cannot be scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The row has a name that is not a feature.
    #[error("unknown feature {}", Quoted(name))]
    UnknownFeature {
        /// The name, truncated to 200 characters.
        name: String,
    },
    /// A value has a wrong type.
    #[error("{} must be {expected}, found {found}", Quoted(feature))]
    WrongType {
        /// The feature's name.
        feature: String,
        /// What was found, such as `the text "old"`.
        found: String,
        /// What was expected, such as `a number`.
        expected: &'static str,
    },
    /// An infinite number, or one that a 32-bit float cannot hold.
    #[error(
        "{} is {value}, beyond the range of a 32-bit float (about ±3.4e38)",
        Quoted(feature)
    )]
    TooLarge {
        /// The feature's name.
        feature: String,
        /// The number.
        value: f64,
    },
    /// A required feature has no value.
    #[error("{} is required and has no value", Quoted(feature))]
    Required {
        /// The feature's name.
        feature: String,
    },
    /// A row does not have one cell for each feature.
    #[error("the row has {found} values, the model takes {expected}")]
    Count {
        /// Number of cells.
        found: usize,
        /// Number of features.
        expected: usize,
    },
}

/// A text from outside in quotes, escaped and truncated.
pub(super) struct Quoted<'a>(pub(super) &'a str);

// === impl FeatureSchema ===

impl FeatureSchema {
    /// The first names, truncated, and the number of further ones.
    pub fn list_names(&self) -> String {
        listed(self.features.iter().map(|feature| feature.name.as_str()))
    }

    /// A warning as one sentence, with the categories of the feature. Its length is bounded for any input.
    pub fn describe_warning(&self, warning: &Warning) -> String {
        let kind = self
            .features
            .iter()
            .find(|feature| feature.name == warning.feature())
            .map(|feature| &feature.kind);
        match (warning, kind) {
            (Warning::UnknownCategory { .. }, Some(FeatureKind::Categorical { categories })) => {
                let known = listed(categories.iter().map(String::as_str));
                format!("{warning} (known: {known})")
            }
            _ => warning.to_string(),
        }
    }

    /// An error as one sentence, with the names of the features. Its length is bounded for any input.
    pub fn describe_error(&self, error: &RowError) -> String {
        match error {
            RowError::UnknownFeature { .. } => format!("{error}; expected one of {}", self.list_names()),
            _ => error.to_string(),
        }
    }
}

// === impl Warning ===

impl Warning {
    /// The feature.
    pub fn feature(&self) -> &str {
        match self {
            Self::OutOfRange { feature, .. } | Self::UnknownCategory { feature, .. } => feature,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange {
                feature,
                value,
                min,
                max,
            } => {
                write!(
                    f,
                    "{} is {value}, outside the range known from training (",
                    Quoted(feature)
                )?;
                match (min, max) {
                    (Some(min), Some(max)) => write!(f, "{min} to {max}")?,
                    (Some(min), None) => write!(f, "at least {min}")?,
                    (None, Some(max)) => write!(f, "at most {max}")?,
                    (None, None) => f.write_str("unknown")?,
                }
                f.write_str(")")
            }
            Self::UnknownCategory { feature, value } => write!(
                f,
                "{} is {}, a category unknown from training",
                Quoted(feature),
                Quoted(value)
            ),
        }
    }
}

// === impl RowError ===

impl RowError {
    /// The feature or the unknown name. `None` if the error is about the whole row.
    pub fn feature(&self) -> Option<&str> {
        match self {
            Self::UnknownFeature { name: feature, .. }
            | Self::WrongType { feature, .. }
            | Self::TooLarge { feature, .. }
            | Self::Required { feature } => Some(feature),
            Self::Count { .. } => None,
        }
    }
}

// === impl Quoted ===

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_QUOTED) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

/// The first names or categories of a list, truncated, and the number of further ones.
fn listed<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for name in names.by_ref().take(MAX_LISTED) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        match name.char_indices().nth(MAX_LISTED_CHARS) {
            None => list.push_str(name),
            Some((end, _)) => list.extend([&name[..end], "…"]),
        }
    }
    if names.len() > 0 {
        list.extend([" and ", &names.len().to_string(), " more"]);
    }
    list
}
