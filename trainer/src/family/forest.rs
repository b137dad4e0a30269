//! Random forest, grown by XGBoost: one round of many trees, each on its own draw of the rows and each split on its own draw of the
//! features.
//!
//! The trees are grown for the squared error, so that a leaf is the share of class 1 among its rows and the forest the mean of these
//! shares. XGBoost's logistic objective would make one Newton step of it, whose probabilities stay near the middle.

use std::collections::BTreeMap;

use modelward_crds::Monotone;
use modelward_model::{
    Family,
    family::{
        forest::{self as served, RANDOM_FOREST},
        tree::TreeFile,
    },
};

use super::{
    FitError, FittedModel, Parameter, Parameters, Settings, TrainableFamily,
    booster::grow,
    trees::{monotone_constraints, seed_of},
};
use crate::data::dataset::Sample;

/// The share of features that a split chooses among where the spec says nothing: the square root of their number.
const SQUARE_ROOT: &str = "sqrt";

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct RandomForest {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

// === impl RandomForest ===

impl RandomForest {
    /// The family with what a spec says of it.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.random_forest.clone().unwrap_or_default();
        let decimal = |value: &Option<_>, default| Parameter::decimal(value.as_ref(), default);
        let colsample = match &given.colsample_bynode {
            Some(share) => Parameter::Number(share.to_f64()),
            None => Parameter::Text(SQUARE_ROOT),
        };
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::integer(given.n_estimators, 100)),
                ("max_depth", Parameter::integer(given.max_depth, 12)),
                ("min_child_weight", decimal(&given.min_child_weight, 1.0)),
                ("subsample", decimal(&given.subsample, 0.632)),
                ("colsample_bynode", colsample),
                ("max_bin", Parameter::integer(given.max_bin, 256)),
            ]),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }

    /// The parameters as the library takes them for data of so many features.
    fn of_booster(&self, features: usize) -> Vec<(&'static str, String)> {
        let trees = self.parameters.count("n_estimators").to_string();
        let mut parameters = vec![
            ("objective", "reg:squarederror".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("base_score", "0".to_owned()),
            ("reg_lambda", "0".to_owned()),
            ("learning_rate", "1".to_owned()),
            ("num_parallel_tree", trees),
            ("seed", seed_of(self.seed).to_string()),
        ];
        parameters.extend(self.parameters.iter().filter_map(|(name, value)| match name {
            "n_estimators" | "max_bin" => None,
            "colsample_bynode" if value == SQUARE_ROOT => {
                Some((name, (1.0 / (features.max(1) as f64).sqrt()).to_string()))
            }
            _ => Some((name, value)),
        }));
        parameters
    }
}

impl TrainableFamily for RandomForest {
    fn served(&self) -> &'static dyn Family {
        &served::RandomForest
    }

    fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    fn fit(&self, sample: Sample<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let schema = &sample.data.schema;
        let mut parameters = self.of_booster(schema.features.len());
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", format!("({all})"))));
        let grown = grow(sample, self.parameters.count("max_bin"), &parameters, 1)?;

        let file = TreeFile::new(RANDOM_FOREST, schema, &grown.model);
        let scorer = served::RandomForest::scorer(schema, &file, grown.model.clone())?;
        let sentence = format!(
            "Random forest of {} trees, with what their splits gained.",
            file.trees
        );
        Ok(Box::new(grown.into_fitted(schema, file, scorer, sentence)))
    }
}
