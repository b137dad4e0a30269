//! Random forest, grown by XGBoost: one round of many trees, each on its own draw of the rows and each split on its own draw of the
//! features.
//!
//! The trees are grown for the squared error, so that a leaf is the share of class 1 among its rows and the forest the mean of these
//! shares. XGBoost's logistic objective would make one Newton step of it, whose probabilities stay near the middle.

use std::{collections::BTreeMap, sync::Arc};

use modelward_crds::Monotone;
use modelward_model::{
    Family,
    family::forest::{self as served, RANDOM_FOREST},
};

use super::{
    Complexity, Dimension, FitError, FittedModel, Parameter, Parameters, Settings, TrainableFamily,
    booster::{Kind, grow},
    trees::{monotone_constraints, seed_of},
};
use crate::engine::TrainingRows;

/// The share of features that a split chooses among if the spec says nothing: the square root of their number.
const SQUARE_ROOT: &str = "sqrt";

/// What a search varies: the share of features as TabArena's, and how far trees grow.
const SPACE: [Dimension; 3] = [
    Dimension::linear("colsample_bynode", 0.1, 1.0),
    Dimension::whole("max_depth", 4.0, 20.0),
    Dimension::log("min_child_weight", 1.0, 20.0),
];

const KIND: Kind = Kind {
    name: RANDOM_FOREST,
    scorer: served::RandomForest::scorer,
    sentence: |trees| {
        format!("The model is a random forest of {trees} trees. The table shows the gain of their splits.")
    },
};

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct RandomForest {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

// === impl RandomForest ===

impl RandomForest {
    /// The family with the settings of a spec.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.random_forest.clone().unwrap_or_default();
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::Integer(100)),
                ("max_depth", Parameter::Integer(12)),
                ("min_child_weight", Parameter::Number(1.0)),
                ("subsample", Parameter::Number(0.632)),
                ("colsample_bynode", Parameter::Text(SQUARE_ROOT)),
                // With 256, deep trees spend most of their time on bins of few rows; docs/benchmarks.md has the comparison.
                ("max_bin", Parameter::Integer(64)),
            ])
            .given("n_estimators", Parameter::integer(given.n_estimators))
            .given("max_depth", Parameter::integer(given.max_depth))
            .given(
                "min_child_weight",
                Parameter::decimal(given.min_child_weight.as_ref()),
            )
            .given("subsample", Parameter::decimal(given.subsample.as_ref()))
            .given(
                "colsample_bynode",
                Parameter::decimal(given.colsample_bynode.as_ref()),
            )
            .given("max_bin", Parameter::integer(given.max_bin)),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }

    /// The parameters as the library takes them for data with this many features.
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

    fn complexity(&self) -> Complexity {
        Complexity::Trees
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
        let mut parameters = self.of_booster(schema.features.len());
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", format!("({all})"))));
        grow(KIND, rows, self.parameters.count("max_bin"), &parameters, 1)
    }
}
