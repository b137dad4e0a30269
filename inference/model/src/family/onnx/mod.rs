//! Trees and linear models of scikit-learn, exported to ONNX by skl2onnx: `model.json` and `model.onnx`, the original file.
//!
//! ```python
//! onnx = skl2onnx.to_onnx(model, X[:1].astype(numpy.float32))
//! open("model.onnx", "wb").write(onnx.SerializeToString())
//! ```
//!
//! The graph is not executed. Its nodes are followed once, when the file is read, and the result is a classifier with its columns.
//! Single-precision numbers of ONNX are added in double precision, as in scikit-learn, so scores are closer to those of scikit-learn than
//! the scores of a single-precision runtime. They are within 1e-6, because thresholds and weights of the file are in single precision.

mod classifier;
mod columns;
mod error;
mod file;
mod graph;
mod linear;
mod model;
mod sums;
mod trees;
mod wire;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::{
    error::OnnxError,
    model::{MAX_ONNX_BYTES, OnnxFeature, OnnxModel},
};
use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::{CLASSES, Head, MODEL_FILE},
};
use crate::schema::{FeatureSchema, Row};

/// The family's name in `bundle.json` and `model.json`. It can be imported, but not trained.
pub const ONNX: &str = "Onnx";

/// The file of the exporter.
pub const ONNX_FILE: &str = "model.onnx";

/// The format that this code writes and reads.
pub const ONNX_FORMAT: u32 = 1;

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct Onnx;

/// The content of `model.json`: what the exporter's file does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnnxFile {
    /// [`ONNX_FORMAT`].
    pub format: u32,
    /// [`ONNX`].
    pub family: String,
    /// The two classes, `[0, 1]`. Scores are probabilities of the second.
    pub classes: [u8; 2],
    /// Their names in the exporter's file.
    pub labels: [String; 2],
    /// Names of the features, which the exporter's file may not have.
    pub features: Vec<String>,
    /// Length of the exporter's file, because a file that is cut after a message looks complete.
    pub bytes: usize,
}

/// A model that is ready to score.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxScorer(OnnxModel);

// === impl OnnxFile ===

impl OnnxFile {
    /// The description of the model in these bytes.
    pub fn new(schema: &FeatureSchema, model: &OnnxModel, bytes: &[u8]) -> Self {
        Self {
            format: ONNX_FORMAT,
            family: ONNX.to_owned(),
            classes: CLASSES,
            labels: model.labels().clone(),
            features: schema.names().map(ToOwned::to_owned).collect(),
            bytes: bytes.len(),
        }
    }
}

// === impl Onnx ===

impl Family for Onnx {
    fn name(&self) -> &'static str {
        ONNX
    }

    fn files(&self) -> &'static [&'static str] {
        &[MODEL_FILE, ONNX_FILE]
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        let file: OnnxFile = files.parse(MODEL_FILE)?;
        let head = Head {
            format: file.format,
            family: &file.family,
            classes: file.classes,
            columns: &file.features,
        };
        head.check_features(ONNX, ONNX_FORMAT, schema)
            .map_err(|error| FamilyError::invalid(MODEL_FILE, error))?;
        let bytes = files.bytes(ONNX_FILE)?;
        if bytes.len() != file.bytes {
            let what = format!("it has {} bytes, {MODEL_FILE} states {}", bytes.len(), file.bytes);
            return Err(FamilyError::invalid(ONNX_FILE, what));
        }
        let read = OnnxModel::read(&bytes).and_then(|model| model.check(schema).map(|()| model));
        let model = read.map_err(|error| FamilyError::invalid(ONNX_FILE, error))?;
        if *model.labels() != file.labels {
            let what = format!(
                "it has the classes {:?}, {ONNX_FILE} has {:?}",
                file.labels,
                model.labels()
            );
            return Err(FamilyError::invalid(MODEL_FILE, what));
        }
        Ok(Arc::new(OnnxScorer(model)))
    }
}

// === impl OnnxScorer ===

impl Scorer for OnnxScorer {
    fn score(&self, row: &Row) -> f64 {
        self.0.probability(row)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::{family::conformance, files::json, schema::Feature};

    #[test]
    fn the_family_does_what_is_asked_of_every_one() {
        for name in [
            "decision-tree",
            "imputed-logistic",
            "chosen-columns",
            "double-trees",
        ] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx");
            let bytes = fs::read(folder.join(format!("{name}.onnx"))).unwrap();
            let model = OnnxModel::read(&bytes).unwrap();
            let features = model.features().iter().enumerate().map(|(at, feature)| Feature {
                required: feature.required,
                ..Feature::numeric(&format!("x{at}"))
            });
            let schema = FeatureSchema::new(features.collect()).unwrap();
            let file = OnnxFile::new(&schema, &model, &bytes);
            let files = [(MODEL_FILE, json(&file).unwrap()), (ONNX_FILE, bytes)];
            conformance::check(&Onnx, &schema, &files).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
