//! Gradient boosting by XGBoost: trees by histograms, native categories, and a default direction for missing values.

use std::{collections::BTreeMap, sync::Arc};

use modelward_crds::Monotone;
use modelward_model::{
    Family, FeatureSchema,
    family::xgboost::{self as served, XGBOOST},
};

use super::{
    Complexity, Dimension, FitError, FittedModel, Parameter, Parameters, Settings, TrainableFamily, Watched,
    booster::{Kind, grow, grow_watched},
    trees::{monotone_constraints, seed_of},
};
use crate::{data::dataset::Sample, engine::TrainingRows};

/// What a search varies: the space of TabArena's XGBoost.
const SPACE: [Dimension; 5] = [
    Dimension::log("learning_rate", 0.005, 0.1),
    Dimension::whole("max_depth", 4.0, 10.0),
    Dimension::log("min_child_weight", 0.001, 5.0),
    Dimension::linear("subsample", 0.6, 1.0),
    Dimension::linear("colsample_bytree", 0.6, 1.0),
];

const KIND: Kind = Kind {
    name: XGBOOST,
    scorer: served::Xgboost::scorer,
    sentence: |trees| {
        format!(
            "The model has {trees} gradient-boosted trees of XGBoost. The table shows the gain of their splits."
        )
    },
};

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct XGBoost {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

// === impl XGBoost ===

impl XGBoost {
    /// The family with the settings of a spec.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.xgboost.clone().unwrap_or_default();
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::Integer(100)),
                ("learning_rate", Parameter::Number(0.3)),
                ("max_depth", Parameter::Integer(6)),
                ("min_child_weight", Parameter::Number(1.0)),
                ("gamma", Parameter::Number(0.0)),
                ("subsample", Parameter::Number(1.0)),
                ("colsample_bytree", Parameter::Number(1.0)),
                ("reg_alpha", Parameter::Number(0.0)),
                ("reg_lambda", Parameter::Number(1.0)),
                ("max_bin", Parameter::Integer(256)),
            ])
            .given("n_estimators", Parameter::integer(given.n_estimators))
            .given("learning_rate", Parameter::decimal(given.learning_rate.as_ref()))
            .given("max_depth", Parameter::integer(given.max_depth))
            .given(
                "min_child_weight",
                Parameter::decimal(given.min_child_weight.as_ref()),
            )
            .given("gamma", Parameter::decimal(given.gamma.as_ref()))
            .given("subsample", Parameter::decimal(given.subsample.as_ref()))
            .given(
                "colsample_bytree",
                Parameter::decimal(given.colsample_bytree.as_ref()),
            )
            .given("reg_alpha", Parameter::decimal(given.reg_alpha.as_ref()))
            .given("reg_lambda", Parameter::decimal(given.reg_lambda.as_ref()))
            .given("max_bin", Parameter::integer(given.max_bin)),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }
}

impl XGBoost {
    /// The parameters as the library takes them.
    fn of_booster(&self, schema: &FeatureSchema) -> Vec<(&'static str, String)> {
        let mut parameters = vec![
            ("objective", "binary:logistic".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("seed", seed_of(self.seed).to_string()),
        ];
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", format!("({all})"))));
        let of_booster = |name: &str| !matches!(name, "n_estimators" | "max_bin");
        parameters.extend(self.parameters.iter().filter(|(name, _)| of_booster(name)));
        parameters
    }
}

impl TrainableFamily for XGBoost {
    fn served(&self) -> &'static dyn Family {
        &served::Xgboost
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
        let parameters = self.of_booster(&rows.sample.data.schema);
        let rounds = self.parameters.count("n_estimators");
        grow(KIND, rows, self.parameters.count("max_bin"), &parameters, rounds)
    }

    fn fit_watched(&self, rows: TrainingRows<'_>, tested: Sample<'_>) -> Result<Option<Watched>, FitError> {
        let parameters = self.of_booster(&rows.sample.data.schema);
        let rounds = self.parameters.rounds("n_estimators");
        let max_bin = self.parameters.count("max_bin");
        grow_watched(KIND, (rows, tested), max_bin, &parameters, rounds).map(Some)
    }
}
