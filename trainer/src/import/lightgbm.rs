//! Models of LightGBM, as `booster.save_model` writes them.

use modelward_model::{
    FeatureSchema,
    family::{
        columns::MODEL_FILE,
        lightgbm::{LIGHTGBM, LightGbm, TEXT_FILE},
        tree::{TreeFile, TreeModel, strip_lightgbm},
    },
    files::json,
};

use super::contract::{ImportError, Loaded, ModelFormat, OutlineEntry, Tolerance};

#[derive(Debug)]
pub(super) struct Text;

const NAME: &str = "LightGBM text";

impl ModelFormat for Text {
    fn name(&self) -> &'static str {
        NAME
    }

    fn recognises(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(b"tree\n") || bytes.starts_with(b"tree\r\n")
    }

    fn outline(&self, bytes: &[u8]) -> Result<Vec<OutlineEntry>, ImportError> {
        let features = TreeModel::outline_lightgbm(bytes).map_err(|error| ImportError::model(NAME, error))?;
        Ok(features.into_iter().map(OutlineEntry::from).collect())
    }

    fn load(&self, bytes: &[u8], schema: &FeatureSchema) -> Result<Loaded, ImportError> {
        let fail = |error| ImportError::model(NAME, error);
        let model = TreeModel::from_lightgbm(bytes, schema).map_err(fail)?;
        let file = TreeFile::new(LIGHTGBM, schema, &model);
        let scorer = LightGbm::scorer(schema, &file, model.clone())
            .map_err(|error| ImportError::model(NAME, error))?;
        Ok(Loaded {
            family: LIGHTGBM,
            scorer: Box::new(scorer),
            trees: Some(model),
            positive_label: None,
            files: vec![
                (MODEL_FILE, json(&file).map_err(ImportError::bundle)?),
                (TEXT_FILE, strip_lightgbm(bytes).to_vec()),
            ],
            tolerance: Tolerance::LastPlace,
        })
    }
}
