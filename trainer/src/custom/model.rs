//! The model that an image left, as a family's.

use std::collections::BTreeMap;

use modelward_crds::{CustomFormat, CustomTrainer};
use modelward_model::{
    CustomTrainerInfo, Feature, FeatureKind, FeatureSchema, Scorer,
    family::{lightgbm::LIGHTGBM, onnx::ONNX, tree::OutlineKind, xgboost::XGBOOST},
    sha256,
};

use crate::{
    custom::{left::Left, scores},
    data::dataset::{Dataset, Sample},
    family::{FitError, FittedModel, ModelReport},
    import::{ImportError, Loaded, OutlineEntry, detect::detect_format},
};

/// A model that an image left, checked.
#[derive(Debug)]
pub struct CustomModel {
    family: &'static str,
    scorer: Box<dyn Scorer>,
    files: Vec<(&'static str, Vec<u8>)>,
    /// What the bundle says about its training.
    pub info: CustomTrainerInfo,
}

/// Reads what an image left for these data. `training` are the rows that it was trained on, in the order of its files. Files may be as large as the
/// memory allows: the bytes of each are dropped once it is read.
pub fn load(
    trainer: &CustomTrainer,
    left: Left,
    data: &Dataset,
    training: &[usize],
) -> Result<CustomModel, ImportError> {
    let Left { model, scores } = left;
    let expected = scores
        .map(|bytes| scores::parse(bytes, training.len()))
        .transpose()?;
    let format = detect_format(&model)?;
    check_features(&format.outline(&model)?, &data.schema)?;
    let loaded = format.load(&model, &data.schema)?;
    let file = sha256(&model);
    drop(model);
    if loaded.family != family_of(trainer.format) {
        return Err(ImportError::Refused(format!(
            "the image left a model of {}, source.training.customTrainer.format asks for {}",
            format.name(),
            trainer.format
        )));
    }
    let expected = expected.unwrap_or_default();
    scores::compare(&expected, &loaded, data, training)?;
    let info = CustomTrainerInfo {
        image: trainer.image.clone(),
        format: format.name().to_owned(),
        file,
        rows: training.len() as u64,
        compared_rows: expected.len() as u64,
    };
    let Loaded {
        family,
        scorer,
        files,
        ..
    } = loaded;
    Ok(CustomModel {
        family,
        scorer,
        files,
        info,
    })
}

fn family_of(format: CustomFormat) -> &'static str {
    match format {
        CustomFormat::LightGBM => LIGHTGBM,
        CustomFormat::XGBoost => XGBOOST,
        CustomFormat::Onnx => ONNX,
    }
}

/// The features of the model have to be those of the data, in their order.
fn check_features(outline: &[OutlineEntry], schema: &FeatureSchema) -> Result<(), ImportError> {
    let refuse = |what: String| Err(ImportError::Refused(what));
    if outline.len() != schema.features.len() {
        return refuse(format!(
            "the model has {} features, contract.json has {}: train on all of them, in their order",
            outline.len(),
            schema.features.len()
        ));
    }
    for (at, (entry, feature)) in outline.iter().zip(&schema.features).enumerate() {
        let name = &feature.name;
        if let Some(found) = entry.name.as_ref().filter(|found| !is_named(found, name)) {
            return refuse(format!(
                "feature {} of the model is {found:?}, in contract.json it is {name:?}: keep the order of the features",
                at + 1
            ));
        }
        if let Some(what) = wrong_kind(entry, feature) {
            return refuse(format!("the feature {name:?} {what}"));
        }
        if entry.required && !feature.required {
            return refuse(format!(
                "the model needs a value of the feature {name:?} in each row: declare it required, or impute it in the model"
            ));
        }
    }
    Ok(())
}

/// Libraries write `_` for characters that they do not allow in names.
fn is_named(found: &str, name: &str) -> bool {
    let mangle = |name: &str| -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        name.chars().map(plain).collect()
    };
    found == name || mangle(found) == mangle(name)
}

/// What is wrong with how the model takes a feature.
fn wrong_kind(entry: &OutlineEntry, feature: &Feature) -> Option<String> {
    match (&entry.kind, &feature.kind) {
        (OutlineKind::Categorical { .. }, FeatureKind::Numeric { .. }) => {
            Some("is Numeric in contract.json, and the model splits it by categories".to_owned())
        }
        // LightGBM says nothing about a feature that it does not use.
        (OutlineKind::Numeric(Some(_)), FeatureKind::Categorical { .. }) => Some(
            "is Categorical in contract.json, and the model takes it as a number: declare its codes as categorical".to_owned(),
        ),
        (OutlineKind::Categorical { codes, words }, FeatureKind::Categorical { categories }) => {
            let other = words.as_ref().filter(|words| *words != categories);
            if other.is_some() {
                return Some("has other categories in the model than in contract.json, or in another order".to_owned());
            }
            (*codes > categories.len()).then(|| {
                format!(
                    "has {codes} codes in the model and {} categories in contract.json",
                    categories.len()
                )
            })
        }
        (OutlineKind::Numeric(_), _) => None,
    }
}

// === impl CustomModel ===

impl CustomModel {
    /// The name of its family.
    pub fn family(&self) -> &'static str {
        self.family
    }
}

impl FittedModel for CustomModel {
    fn scorer(&self) -> &dyn Scorer {
        &*self.scorer
    }

    /// The library that fitted it is in the image: its scores were compared when the file was read.
    fn check_parity(&self, _sample: Sample<'_>) -> Result<(), FitError> {
        Ok(())
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(self.files.clone())
    }

    fn report(&self) -> ModelReport {
        let CustomTrainerInfo {
            image,
            format,
            file,
            rows,
            compared_rows,
        } = &self.info;
        let compared = match compared_rows {
            0 => "The image left no scores for a comparison.".to_owned(),
            _ if compared_rows == rows => {
                "Its scores for the rows that the image got match those that the image left.".to_owned()
            }
            _ => format!(
                "Its scores for {compared_rows} of the rows that the image got match those that the image left."
            ),
        };
        ModelReport {
            sentence: format!(
                "The image {image} trained it on {rows} rows. Every metric on this page is computed by the trainer, on rows that the image did not \
                 get. The file was checked when it was read. {compared}"
            ),
            headings: vec!["Format of the file", "sha256"],
            rows: vec![vec![format.clone(), file.to_string()]],
            imputed: BTreeMap::new(),
        }
    }
}
