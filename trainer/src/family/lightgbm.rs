//! Gradient boosting by LightGBM: leaf-wise trees, categories as they are, missing values on a side of their own.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use modelward_crds::Monotone;
use modelward_model::{
    Family, FeatureSchema, Scorer,
    family::{
        columns::MODEL_FILE,
        lightgbm::{self as served, LIGHTGBM, TEXT_FILE},
        tree::{TreeFile, TreeModel, TreeScorer, strip_lightgbm},
    },
    files::json,
};

use super::{
    FitError, FittedModel, ModelReport, Parameter, Parameters, Settings, TrainableFamily,
    trees::{self, Answers, Gain, compare_scores, monotone_constraints, seed_of},
};
use crate::{
    data::dataset::Sample,
    engine::{
        Matrix,
        lightgbm::{Bins, Booster, fit},
    },
};

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct LightGbm {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

/// A fitted model: as the library has it, and as it was exported.
#[derive(Debug)]
struct FittedLightGbm {
    /// One call at a time, as the library asks.
    booster: Mutex<Booster>,
    text: Vec<u8>,
    schema: FeatureSchema,
    file: TreeFile,
    scorer: TreeScorer,
}

// === impl LightGbm ===

impl LightGbm {
    /// The family with what a spec says of it.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.lightgbm.clone().unwrap_or_default();
        let decimal = |value: &Option<_>, default| Parameter::decimal(value.as_ref(), default);
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::integer(given.n_estimators, 100)),
                ("learning_rate", decimal(&given.learning_rate, 0.1)),
                ("num_leaves", Parameter::integer(given.num_leaves, 31)),
                ("max_depth", Parameter::integer(given.max_depth, -1)),
                ("min_data_in_leaf", Parameter::integer(given.min_data_in_leaf, 20)),
                (
                    "min_sum_hessian_in_leaf",
                    decimal(&given.min_sum_hessian_in_leaf, 0.001),
                ),
                ("min_gain_to_split", decimal(&given.min_gain_to_split, 0.0)),
                ("bagging_fraction", decimal(&given.bagging_fraction, 1.0)),
                ("feature_fraction", decimal(&given.feature_fraction, 1.0)),
                ("lambda_l1", decimal(&given.lambda_l1, 0.0)),
                ("lambda_l2", decimal(&given.lambda_l2, 0.0)),
                ("extra_trees", Parameter::Flag(given.extra_trees.unwrap_or(false))),
                ("max_bin", Parameter::integer(given.max_bin, 255)),
            ]),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }
}

impl TrainableFamily for LightGbm {
    fn served(&self) -> &'static dyn Family {
        &served::LightGbm
    }

    fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    fn fit(&self, sample: Sample<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let schema = &sample.data.schema;
        let bins = Bins::new(sample, self.parameters.count("max_bin"))?;
        let mut parameters = vec![
            ("objective", "binary".to_owned()),
            ("metric", "None".to_owned()),
            ("feature_pre_filter", "false".to_owned()),
            ("seed", seed_of(self.seed).to_string()),
        ];
        // Rows are drawn only where the library is asked for it in every round.
        if self.parameters.get("bagging_fraction") != Some(Parameter::Number(1.0)) {
            parameters.push(("bagging_freq", "1".to_owned()));
        }
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", all)));
        parameters.extend(self.parameters.iter().filter(|(name, _)| *name != "n_estimators"));
        let booster = fit(&bins, &parameters, self.parameters.count("n_estimators"))?;

        let text = strip_lightgbm(&booster.to_text()?).to_vec();
        let model = TreeModel::from_lightgbm(&text, schema)?;
        let file = TreeFile::new(LIGHTGBM, schema, &model);
        Ok(Box::new(FittedLightGbm {
            booster: Mutex::new(booster),
            text,
            schema: schema.clone(),
            scorer: served::LightGbm::scorer(schema, &file, model)?,
            file,
        }))
    }
}

// === impl FittedLightGbm ===

impl FittedLightGbm {
    fn answer(&self, matrix: &Matrix) -> Result<Answers, FitError> {
        let booster = self.booster.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Answers {
            raw: booster.raw_scores(matrix)?,
            probabilities: booster.predictions(matrix)?,
        })
    }

    /// What the splits of each feature gained, from the lines of the text that say it.
    fn gains(&self) -> Vec<Gain> {
        let mut gains = vec![Gain::default(); self.schema.features.len()];
        let text = String::from_utf8_lossy(&self.text);
        let mut features: Vec<usize> = Vec::new();
        for line in text.lines() {
            if let Some(list) = line.strip_prefix("split_feature=") {
                features = list.split(' ').filter_map(|word| word.parse().ok()).collect();
            } else if let Some(list) = line.strip_prefix("split_gain=") {
                let of_splits = list.split(' ').filter_map(|word| word.parse::<f64>().ok());
                for (feature, gain) in features.iter().zip(of_splits) {
                    if let Some(of) = gains.get_mut(*feature) {
                        of.gain += gain;
                        of.splits += 1;
                    }
                }
            }
        }
        gains
    }
}

impl FittedModel for FittedLightGbm {
    fn scorer(&self) -> &dyn Scorer {
        &self.scorer
    }

    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError> {
        compare_scores("LightGBM", sample, self.scorer.model(), |matrix| {
            self.answer(matrix)
        })
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(vec![
            (MODEL_FILE, json(&self.file)?),
            (TEXT_FILE, self.text.clone()),
        ])
    }

    fn report(&self) -> ModelReport {
        let sentence = format!(
            "Gradient boosting of {} trees by LightGBM, with what their splits gained.",
            self.file.trees
        );
        trees::report(sentence, &self.schema, &self.gains())
    }
}
