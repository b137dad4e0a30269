//! The features of a model.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use crate::schema::{
    category::{canonical_category, is_category},
    cell::Missing,
};

/// The format that this code writes and reads.
pub const SCHEMA_FORMAT: u32 = 1;

/// The features of a model, in order. The content of `schema.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureSchema {
    /// [`SCHEMA_FORMAT`].
    pub format: u32,
    /// The features. Names are unique.
    pub features: Vec<Feature>,
    /// Texts that mean a missing value, in addition to the empty text. Absent in bundles of releases without this field.
    #[serde(default, skip_serializing_if = "Missing::is_empty")]
    pub missing: Missing,
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// Its name in requests.
    pub name: String,
    /// Whether a row without it is refused.
    pub required: bool,
    /// Its kind.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// The kind of a feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum FeatureKind {
    /// Numbers, read as `f32`.
    Numeric {
        /// Minimum of the training data, or as declared in the spec.
        min: Option<f64>,
        /// Maximum, likewise.
        max: Option<f64>,
    },
    /// One of a set of categories.
    Categorical {
        /// The categories in [canonical](canonical_category) form, in the order of the model's columns.
        categories: Vec<String>,
    },
}

/// Why a schema is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It has a format that this program does not know.
    #[error("schema has format {0}, this program reads format {SCHEMA_FORMAT}")]
    Format(u32),
    /// It has no features.
    #[error("schema has no features")]
    Empty,
    /// Two features have the same name, or one has none.
    #[error("feature name {0:?} is empty or there twice")]
    Name(String),
    /// The ends of a range are not finite or not in order.
    #[error("feature {0:?} has a range that is not finite or not in order")]
    Range(String),
    /// A category is not canonical or is there twice.
    #[error("feature {0:?} has category {1:?} twice or not in its canonical form")]
    Category(String, String),
}

/// The canonical form of a name: Unicode's composed form (NFC). "é" may be one or two characters, which look the same.
pub fn normalize_name(name: &str) -> Cow<'_, str> {
    if is_nfc(name) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(name.nfc().collect())
    }
}

// === impl FeatureSchema ===

impl FeatureSchema {
    /// A checked schema with these features.
    pub fn new(features: Vec<Feature>) -> Result<Self, SchemaError> {
        let schema = Self {
            format: SCHEMA_FORMAT,
            features,
            missing: Missing::default(),
        };
        schema.check()?;
        Ok(schema)
    }

    /// Checks what serde cannot check. Call it on everything that was read.
    pub fn check(&self) -> Result<(), SchemaError> {
        if self.format != SCHEMA_FORMAT {
            return Err(SchemaError::Format(self.format));
        }
        if self.features.is_empty() {
            return Err(SchemaError::Empty);
        }
        for (index, feature) in self.features.iter().enumerate() {
            let name = &feature.name;
            if name.is_empty() || self.features[..index].iter().any(|other| other.name == *name) {
                return Err(SchemaError::Name(name.clone()));
            }
            match &feature.kind {
                FeatureKind::Numeric { min, max } => {
                    let finite = |end: &Option<f64>| end.is_none_or(f64::is_finite);
                    let ordered = min.zip(*max).is_none_or(|(min, max)| min <= max);
                    if !finite(min) || !finite(max) || !ordered {
                        return Err(SchemaError::Range(name.clone()));
                    }
                }
                FeatureKind::Categorical { categories } => {
                    for (index, category) in categories.iter().enumerate() {
                        if !is_category(category) || categories[..index].contains(category) {
                            return Err(SchemaError::Category(name.clone(), category.clone()));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// The index of the feature with this name, in any Unicode form.
    pub fn position(&self, name: &str) -> Option<usize> {
        let place = |name: &str| self.features.iter().position(|feature| feature.name == name);
        place(name).or_else(|| {
            if name.is_ascii() {
                return None;
            }
            let normal = normalize_name(name);
            let same = |feature: &Feature| normalize_name(&feature.name) == normal;
            self.features.iter().position(same)
        })
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }
}

// === impl Feature ===

impl Feature {
    /// A numeric feature without a known range that may be missing.
    pub fn numeric(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            required: false,
            kind: FeatureKind::Numeric { min: None, max: None },
        }
    }

    /// A categorical feature that may be missing. The categories are made canonical.
    pub fn categorical(name: &str, categories: &[&str]) -> Self {
        let categories = categories
            .iter()
            .map(|word| canonical_category(word).into_owned())
            .collect();
        Self {
            name: name.to_owned(),
            required: false,
            kind: FeatureKind::Categorical { categories },
        }
    }
}
