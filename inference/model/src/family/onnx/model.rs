//! A model that was read from an ONNX file.

use super::{classifier::Classifier, error::OnnxError, file::File, graph::follow};
use crate::schema::{FeatureKind, FeatureSchema, Row};

/// Maximum size of a file.
pub const MAX_ONNX_BYTES: usize = 512 << 20;

/// A binary classifier with checked indices.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    classifier: Classifier,
    features: Vec<OnnxFeature>,
}

/// A feature of a model: a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxFeature {
    /// Its name, if it is a separate input. Exporters replace other characters than letters, digits and `_` by `_`.
    pub name: Option<String>,
    /// Whether a row must have it, because the model has no replacement for a missing value.
    pub required: bool,
}

// === impl OnnxModel ===

impl OnnxModel {
    /// Reads a file: one binary classifier with the operators that skl2onnx puts around it. Other operators, functions, external data
    /// and control flow are refused, and the error names them.
    pub fn read(bytes: &[u8]) -> Result<Self, OnnxError> {
        if bytes.len() > MAX_ONNX_BYTES {
            let what = format!("it has {} bytes, at most {MAX_ONNX_BYTES} are read", bytes.len());
            return Err(OnnxError::file(what));
        }
        let followed = follow(&File::read(bytes)?)?;
        let feature = |(name, required)| OnnxFeature { name, required };
        Ok(Self {
            classifier: followed.classifier,
            features: followed.features.into_iter().map(feature).collect(),
        })
    }

    /// The features, in the order of the inputs.
    pub fn features(&self) -> &[OnnxFeature] {
        &self.features
    }

    /// The names of the two classes in the file. Scores are probabilities of the second.
    pub fn labels(&self) -> &[String; 2] {
        &self.classifier.labels
    }

    /// The probability of the second class, within 0 and 1.
    pub fn probability(&self, row: &Row) -> f64 {
        self.classifier.score(row)
    }

    /// Checks that the features of a schema match the model: they must be numeric, and required if the model needs them.
    pub(super) fn check(&self, schema: &FeatureSchema) -> Result<(), OnnxError> {
        let (found, expected) = (self.features.len(), schema.features.len());
        if found != expected {
            let what = format!("the model has {found} features, but the schema has {expected}");
            return Err(OnnxError::file(what));
        }
        for (of_model, feature) in self.features.iter().zip(&schema.features) {
            let name = &feature.name;
            if !matches!(feature.kind, FeatureKind::Numeric { .. }) {
                let what = format!("feature {name:?} is not numeric, but the model takes numbers");
                return Err(OnnxError::file(what));
            }
            if of_model.required && !feature.required {
                let what = format!(
                    "feature {name:?} is not required, but the model has no replacement for a missing value"
                );
                return Err(OnnxError::file(what));
            }
        }
        Ok(())
    }
}
