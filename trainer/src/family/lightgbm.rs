//! Gradient boosting by LightGBM: leaf-wise trees, native categories, and a default direction for missing values.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use modelward_crds::Monotone;
use modelward_model::{
    Family, FeatureSchema, Scorer,
    family::{
        columns::MODEL_FILE,
        lightgbm::{self as served, LIGHTGBM, TEXT_FILE},
        tree::{TreeFile, TreeModel, TreeScorer},
    },
    files::json,
};

use super::{
    Complexity, Dimension, FitError, FittedModel, GrowingModel, ModelReport, PATIENCE, Parameter, Parameters,
    Settings, TrainableFamily, Watched,
    trees::{self, Answers, BLOCK, Gain, compare_scores, monotone_constraints, seed_of},
};
use crate::{
    data::dataset::Sample,
    engine::{
        Matrix, TrainingRows,
        lightgbm::{Bins, Booster, Growing},
    },
};

/// What a search varies: the space of TabArena's LightGBM.
const SPACE: [Dimension; 8] = [
    Dimension::log("learning_rate", 0.005, 0.1),
    Dimension::whole_log("num_leaves", 2.0, 200.0),
    Dimension::whole_log("min_data_in_leaf", 1.0, 64.0),
    Dimension::linear("feature_fraction", 0.4, 1.0),
    Dimension::linear("bagging_fraction", 0.7, 1.0),
    Dimension::flags("extra_trees"),
    Dimension::log("lambda_l1", 0.0001, 1.0),
    Dimension::log("lambda_l2", 0.0001, 2.0),
];

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct LightGbm {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

/// A fitted model: as in the library, and as exported.
#[derive(Debug)]
struct FittedLightGbm {
    /// One call at a time, as the library requires.
    booster: Mutex<Booster>,
    /// The library's rounds that it has of it, if not all.
    rounds: Option<u32>,
    text: Vec<u8>,
    schema: FeatureSchema,
    file: TreeFile,
    scorer: TreeScorer,
}

/// A model while it grows.
#[derive(Debug)]
struct GrowingLightGbm {
    growing: Growing,
    schema: FeatureSchema,
}

// === impl LightGbm ===

impl LightGbm {
    /// The family with the settings of a spec.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.lightgbm.clone().unwrap_or_default();
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::Integer(100)),
                ("learning_rate", Parameter::Number(0.1)),
                ("num_leaves", Parameter::Integer(31)),
                ("max_depth", Parameter::Integer(-1)),
                ("min_data_in_leaf", Parameter::Integer(20)),
                ("min_sum_hessian_in_leaf", Parameter::Number(0.001)),
                ("min_gain_to_split", Parameter::Number(0.0)),
                ("bagging_fraction", Parameter::Number(1.0)),
                ("feature_fraction", Parameter::Number(1.0)),
                ("lambda_l1", Parameter::Number(0.0)),
                ("lambda_l2", Parameter::Number(0.0)),
                ("extra_trees", Parameter::Flag(false)),
                ("max_bin", Parameter::Integer(255)),
            ])
            .given("n_estimators", Parameter::integer(given.n_estimators))
            .given("learning_rate", Parameter::decimal(given.learning_rate.as_ref()))
            .given("num_leaves", Parameter::integer(given.num_leaves))
            .given("max_depth", Parameter::integer(given.max_depth))
            .given("min_data_in_leaf", Parameter::integer(given.min_data_in_leaf))
            .given(
                "min_sum_hessian_in_leaf",
                Parameter::decimal(given.min_sum_hessian_in_leaf.as_ref()),
            )
            .given(
                "min_gain_to_split",
                Parameter::decimal(given.min_gain_to_split.as_ref()),
            )
            .given(
                "bagging_fraction",
                Parameter::decimal(given.bagging_fraction.as_ref()),
            )
            .given(
                "feature_fraction",
                Parameter::decimal(given.feature_fraction.as_ref()),
            )
            .given("lambda_l1", Parameter::decimal(given.lambda_l1.as_ref()))
            .given("lambda_l2", Parameter::decimal(given.lambda_l2.as_ref()))
            .given("extra_trees", given.extra_trees.map(Parameter::Flag))
            .given("max_bin", Parameter::integer(given.max_bin)),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }
}

impl LightGbm {
    /// The parameters as the library takes them.
    fn of_booster(&self, sample: Sample<'_>, metric: &str) -> Vec<(&'static str, String)> {
        let schema = &sample.data.schema;
        let mut parameters = vec![
            ("objective", "binary".to_owned()),
            ("metric", metric.to_owned()),
            ("feature_pre_filter", "false".to_owned()),
            ("seed", seed_of(self.seed).to_string()),
        ];
        // Rows are drawn only if the library is asked for it in every round.
        if self.parameters.get("bagging_fraction") != Some(Parameter::Number(1.0)) {
            parameters.push(("bagging_freq", "1".to_owned()));
        }
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", all)));
        parameters.extend(self.parameters.iter().filter(|(name, _)| *name != "n_estimators"));
        // The library refuses to draw no rows.
        let least = 1.000_001 / sample.len().max(1) as f64;
        if let Some(Parameter::Number(share)) = self.parameters.get("bagging_fraction")
            && share < least
        {
            parameters.retain(|(name, _)| *name != "bagging_fraction");
            parameters.push(("bagging_fraction", least.min(1.0).to_string()));
        }
        parameters
    }
}

impl TrainableFamily for LightGbm {
    fn served(&self) -> &'static dyn Family {
        &served::LightGbm
    }

    fn complexity(&self) -> Complexity {
        Complexity::BoostedTrees
    }

    fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    fn space(&self) -> Vec<Dimension> {
        self.parameters.free(&SPACE)
    }

    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily> {
        Arc::new(Self {
            parameters: self.parameters.clone().with_all(values),
            ..self.clone()
        })
    }

    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let schema = &rows.sample.data.schema;
        let bins = rows.lightgbm_bins(self.parameters.count("max_bin"))?;
        let parameters = self.of_booster(rows.sample, "None");
        let mut growing = Growing::new(bins, None, &parameters)?;
        growing.grow(self.parameters.count("n_estimators"))?;
        Ok(Box::new(FittedLightGbm::new(growing, None, schema)?))
    }

    fn fit_watched(&self, rows: TrainingRows<'_>, tested: Sample<'_>) -> Result<Option<Watched>, FitError> {
        let max_bin = self.parameters.count("max_bin");
        let bins = rows.lightgbm_bins(max_bin)?;
        let evaluated = match rows.shared {
            Some(shared) => shared.lightgbm_tested(tested, &bins, max_bin)?,
            None => Arc::new(Bins::of_reference(tested, &bins)?),
        };
        let parameters = self.of_booster(rows.sample, "binary_logloss");
        let rounds = self.parameters.rounds("n_estimators");
        let mut growing = Growing::new(bins, Some(evaluated), &parameters)?;
        let curve = growing.grow_watched(rounds, PATIENCE)?;
        let schema = rows.sample.data.schema.clone();
        Ok(Some(Watched {
            model: Box::new(GrowingLightGbm { growing, schema }),
            curve,
        }))
    }
}

// === impl GrowingLightGbm ===

impl GrowingModel for GrowingLightGbm {
    fn score(&mut self, rounds: u32, sample: Sample<'_>) -> Result<Vec<f64>, FitError> {
        let mut scores = Vec::with_capacity(sample.rows.len());
        for rows in sample.rows.chunks(BLOCK) {
            let matrix = Matrix::gather(Sample { rows, ..sample });
            scores.extend(self.growing.predictions(&matrix, rounds)?);
        }
        Ok(scores)
    }

    fn finish(mut self: Box<Self>, rounds: u32) -> Result<Box<dyn FittedModel>, FitError> {
        self.growing.grow(rounds)?;
        let rounds = self.growing.rounds_of(rounds);
        Ok(Box::new(FittedLightGbm::new(
            self.growing,
            Some(rounds),
            &self.schema,
        )?))
    }
}

// === impl FittedLightGbm ===

impl FittedLightGbm {
    fn new(growing: Growing, rounds: Option<u32>, schema: &FeatureSchema) -> Result<Self, FitError> {
        let booster = growing.into_booster();
        let text = booster.to_text(rounds)?;
        let model = TreeModel::from_lightgbm(&text, schema)?;
        let file = TreeFile::new(LIGHTGBM, schema, &model);
        Ok(Self {
            booster: Mutex::new(booster),
            rounds,
            text,
            schema: schema.clone(),
            scorer: served::LightGbm::scorer(schema, &file, model)?,
            file,
        })
    }

    fn answer(&self, matrix: &Matrix) -> Result<Answers, FitError> {
        let booster = self.booster.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Answers {
            raw: booster.raw_scores(matrix, self.rounds)?,
            probabilities: booster.predictions(matrix, self.rounds)?,
        })
    }

    /// The gain of the splits of each feature, from the lines of the text.
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
            "The model has {} gradient-boosted trees of LightGBM. The table shows the gain of their splits.",
            self.file.trees
        );
        trees::report(sentence, &self.schema, &self.gains())
    }
}
