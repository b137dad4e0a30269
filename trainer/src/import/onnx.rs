//! Models of scikit-learn, as skl2onnx exports them.

use modelward_model::{
    Family as _, FamilyFiles, FeatureSchema, Row, Scorer,
    family::{
        columns::MODEL_FILE,
        onnx::{ONNX, ONNX_FILE, Onnx, OnnxFile, OnnxModel},
        tree::OutlineKind,
    },
    files::json,
};

use super::contract::{ImportError, Loaded, ModelFormat, OutlineEntry, Tolerance};

#[derive(Debug)]
pub(super) struct SklearnOnnx;

const NAME: &str = "ONNX";

/// Versions of the format.
const VERSIONS: std::ops::RangeInclusive<u8> = 3..=31;

/// A scorer that is shared.
#[derive(Debug)]
struct Shared(std::sync::Arc<dyn Scorer>);

impl Scorer for Shared {
    fn score(&self, row: &Row) -> f64 {
        self.0.score(row)
    }
}

impl ModelFormat for SklearnOnnx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        // Its first field is the version of the format.
        matches!(bytes, [0x08, version, ..] if VERSIONS.contains(version))
    }

    fn outline(&self, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError> {
        let model = OnnxModel::read(bytes).map_err(|error| ImportError::model(NAME, error))?;
        let features = model.features().iter();
        Ok(features
            .map(|feature| OutlineEntry {
                name: feature.name.clone(),
                kind: OutlineKind::Numeric(None),
                required: feature.required,
            })
            .collect())
    }

    fn load(&self, bytes: &[u8], schema: &FeatureSchema) -> Result<Loaded, ImportError> {
        let model = OnnxModel::read(bytes).map_err(|error| ImportError::model(NAME, error))?;
        let file = OnnxFile::new(schema, &model, bytes);
        let files = vec![
            (MODEL_FILE, json(&file).map_err(ImportError::bundle)?),
            (ONNX_FILE, bytes.to_vec()),
        ];
        let scorer = Onnx.load(&FamilyFiles::of_bytes(&Onnx, &files), schema);
        Ok(Loaded {
            family: ONNX,
            scorer: Box::new(Shared(scorer.map_err(|error| ImportError::model(NAME, error))?)),
            trees: None,
            positive_label: Some(model.labels()[1].clone()),
            files,
            tolerance: Tolerance::Millionth,
        })
    }
}
