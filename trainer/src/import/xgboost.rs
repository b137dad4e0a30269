//! Models of XGBoost, as `booster.save_model` writes them: JSON or UBJSON.

use modelward_model::{
    FeatureSchema,
    family::{
        columns::MODEL_FILE,
        tree::{Output, TreeFile, TreeModel},
        xgboost::{BOOSTER_FILE, XGBOOST, Xgboost},
    },
    files::json,
};

use super::contract::{ImportError, Loaded, ModelFormat, OutlineEntry, Tolerance};

/// JSON.
#[derive(Debug)]
pub(super) struct Json;

/// UBJSON. A bundle has it as JSON: XGBoost decides by the extension of a file's name.
#[derive(Debug)]
pub(super) struct Ubjson;

const JSON: &str = "XGBoost JSON";
const UBJSON: &str = "XGBoost UBJSON";

/// The first key of a model is within this many bytes.
const START: usize = 4096;

impl ModelFormat for Json {
    fn name(&self) -> &'static str {
        JSON
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        let text = bytes.trim_ascii_start();
        // The keys are in any order: "learner" may be the last.
        text.starts_with(b"{") && !is_ubjson(bytes) && contains(text, b"\"learner\"")
    }

    fn outline(&self, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError> {
        outline(JSON, bytes)
    }

    fn load(&self, bytes: &[u8], schema: &FeatureSchema) -> Result<Loaded, ImportError> {
        load(JSON, bytes.to_vec(), schema)
    }
}

impl ModelFormat for Ubjson {
    fn name(&self) -> &'static str {
        UBJSON
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        is_ubjson(bytes) && contains(&bytes[..bytes.len().min(START)], b"learner")
    }

    fn outline(&self, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError> {
        outline(UBJSON, bytes)
    }

    fn load(&self, bytes: &[u8], schema: &FeatureSchema) -> Result<Loaded, ImportError> {
        let fail = |error| ImportError::model(UBJSON, error);
        let direct = TreeModel::from_xgboost(bytes, schema).map_err(fail)?;
        let loaded = load(UBJSON, TreeModel::xgboost_json(bytes).map_err(fail)?, schema)?;
        if loaded.trees.as_ref() != Some(&direct) {
            let what = "its numbers change when they are written as JSON; save the model as model.json";
            return Err(ImportError::model(UBJSON, what));
        }
        Ok(loaded)
    }
}

/// A key of XGBoost's UBJSON begins with its length.
fn is_ubjson(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{L")
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn outline(format: &'static str, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError> {
    let features = TreeModel::outline_xgboost(bytes).map_err(|error| ImportError::model(format, error))?;
    Ok(features.into_iter().map(OutlineEntry::from).collect())
}

fn load(format: &'static str, bytes: Vec<u8>, schema: &FeatureSchema) -> Result<Loaded, ImportError> {
    let model = TreeModel::from_xgboost(&bytes, schema).map_err(|error| ImportError::model(format, error))?;
    if model.output() == Output::Clamp {
        let what = "objective reg:squarederror is a regression; train the model with binary:logistic";
        return Err(ImportError::model(format, what));
    }
    let file = TreeFile::new(XGBOOST, schema, &model);
    let scorer =
        Xgboost::scorer(schema, &file, model.clone()).map_err(|error| ImportError::model(format, error))?;
    Ok(Loaded {
        family: XGBOOST,
        scorer: Box::new(scorer),
        trees: Some(model),
        positive_label: None,
        files: vec![
            (MODEL_FILE, json(&file).map_err(ImportError::bundle)?),
            (BOOSTER_FILE, bytes),
        ],
        tolerance: Tolerance::LastPlace,
    })
}
