//! A model that was read of an ONNX file.

use super::{classifier::Classifier, error::OnnxError, file::File, graph::follow};
use crate::schema::{FeatureKind, FeatureSchema, Row};

/// No file may be larger.
pub const MAX_ONNX_BYTES: usize = 512 << 20;

/// A classifier of two classes, every index of which was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxModel {
    classifier: Classifier,
    features: Vec<OnnxFeature>,
}

/// A feature of a model: a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnnxFeature {
    /// Its name, where it is an input of its own. Exporters write `_` for what is no letter, digit or `_`.
    pub name: Option<String>,
    /// Whether nothing stands for a missing value, so that a row must have it.
    pub required: bool,
}

// === impl OnnxModel ===

impl OnnxModel {
    /// Reads a file: one classifier of two classes with the operators that skl2onnx puts around it. Every other operator is refused by
    /// its name, as are functions, external data and control flow.
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

    /// The two classes as the file names them: scores are of the second.
    pub fn labels(&self) -> &[String; 2] {
        &self.classifier.labels
    }

    /// The probability of the second class, within 0 and 1.
    pub fn probability(&self, row: &Row) -> f64 {
        self.classifier.score(row)
    }

    /// Checks that the features of a schema are those of the model: numbers, with those required that the model needs.
    pub(super) fn check(&self, schema: &FeatureSchema) -> Result<(), OnnxError> {
        let (found, expected) = (self.features.len(), schema.features.len());
        if found != expected {
            let what = format!("the model has {found} features, the schema has {expected}");
            return Err(OnnxError::file(what));
        }
        for (of_model, feature) in self.features.iter().zip(&schema.features) {
            let name = &feature.name;
            if !matches!(feature.kind, FeatureKind::Numeric { .. }) {
                let what = format!("feature {name:?} is not numeric, and the model takes numbers");
                return Err(OnnxError::file(what));
            }
            if of_model.required && !feature.required {
                let what = format!(
                    "feature {name:?} is not required, and the model has nothing for a missing value"
                );
                return Err(OnnxError::file(what));
            }
        }
        Ok(())
    }
}
