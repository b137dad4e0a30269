//! Gradient boosting by XGBoost: trees by histograms, categories as they are, a side of its own for what is missing.

use std::collections::BTreeMap;

use modelward_crds::Monotone;
use modelward_model::{
    Family,
    family::{
        tree::TreeFile,
        xgboost::{self as served, XGBOOST},
    },
};

use super::{
    FitError, FittedModel, Parameter, Parameters, Settings, TrainableFamily,
    booster::grow,
    trees::{monotone_constraints, seed_of},
};
use crate::data::dataset::Sample;

/// The family with its parameters.
#[derive(Clone, Debug)]
pub struct XGBoost {
    parameters: Parameters,
    monotone: BTreeMap<String, Monotone>,
    seed: u64,
}

// === impl XGBoost ===

impl XGBoost {
    /// The family with what a spec says of it.
    pub fn new(settings: &Settings) -> Self {
        let given = settings.hyperparameters.xgboost.clone().unwrap_or_default();
        let decimal = |value: &Option<_>, default| Parameter::decimal(value.as_ref(), default);
        Self {
            parameters: Parameters::new([
                ("n_estimators", Parameter::integer(given.n_estimators, 100)),
                ("learning_rate", decimal(&given.learning_rate, 0.3)),
                ("max_depth", Parameter::integer(given.max_depth, 6)),
                ("min_child_weight", decimal(&given.min_child_weight, 1.0)),
                ("gamma", decimal(&given.gamma, 0.0)),
                ("subsample", decimal(&given.subsample, 1.0)),
                ("colsample_bytree", decimal(&given.colsample_bytree, 1.0)),
                ("reg_alpha", decimal(&given.reg_alpha, 0.0)),
                ("reg_lambda", decimal(&given.reg_lambda, 1.0)),
                ("max_bin", Parameter::integer(given.max_bin, 256)),
            ]),
            monotone: settings.monotone.clone(),
            seed: settings.seed,
        }
    }
}

impl TrainableFamily for XGBoost {
    fn served(&self) -> &'static dyn Family {
        &served::Xgboost
    }

    fn parameters(&self) -> Parameters {
        self.parameters.clone()
    }

    fn fit(&self, sample: Sample<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        let schema = &sample.data.schema;
        let mut parameters = vec![
            ("objective", "binary:logistic".to_owned()),
            ("tree_method", "hist".to_owned()),
            ("seed", seed_of(self.seed).to_string()),
        ];
        let constraints = monotone_constraints(schema, &self.monotone);
        parameters.extend(constraints.map(|all| ("monotone_constraints", format!("({all})"))));
        let of_booster = |name: &str| !matches!(name, "n_estimators" | "max_bin");
        parameters.extend(self.parameters.iter().filter(|(name, _)| of_booster(name)));
        let rounds = self.parameters.count("n_estimators");
        let grown = grow(sample, self.parameters.count("max_bin"), &parameters, rounds)?;

        let file = TreeFile::new(XGBOOST, schema, &grown.model);
        let scorer = served::Xgboost::scorer(schema, &file, grown.model.clone())?;
        let sentence = format!(
            "Gradient boosting of {} trees by XGBoost, with what their splits gained.",
            file.trees
        );
        Ok(Box::new(grown.into_fitted(schema, file, scorer, sentence)))
    }
}
