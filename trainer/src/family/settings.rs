//! The settings of a spec for every family.

use std::collections::BTreeMap;

use modelward_crds::{Hyperparameters, Monotone, TrainingSource};

/// The settings of a spec for every family.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Hyper-parameters.
    pub hyperparameters: Hyperparameters,
    /// How the probability of class 1 may change with a feature, by its name.
    pub monotone: BTreeMap<String, Monotone>,
    /// Seed of the libraries' random choices.
    pub seed: u64,
}

// === impl Settings ===

impl Settings {
    /// The settings of this training.
    pub fn new(training: &TrainingSource) -> Self {
        let constraints = training.features.iter();
        let constraints = constraints.filter_map(|feature| Some((feature.name.clone(), feature.monotone?)));
        Self {
            hyperparameters: training.hyperparameters.as_deref().cloned().unwrap_or_default(),
            monotone: constraints.collect(),
            seed: u64::try_from(training.validation.seed).unwrap_or(0),
        }
    }
}
