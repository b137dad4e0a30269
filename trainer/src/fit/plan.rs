//! What to train, taken from the spec.

use std::{sync::Arc, time::Duration};

use modelward_crds::{CalibrationMethod, EnsembleUse, MetricName, TrainingSource};

use crate::{
    data::row_columns::{Groups, RowColumns},
    family::{self, Settings, TrainableFamily},
    fit::{threshold::ThresholdRule, weights::Weighting},
    transform::{TransformedFamily, Transforms},
};

/// What to train.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Families to try, the simplest first. None if an image trains: its one model is measured on parts of the held-out rows.
    pub families: Vec<Arc<dyn TrainableFamily>>,
    /// Folds of each repeat.
    pub folds: usize,
    /// How often the folds are drawn.
    pub repeats: usize,
    /// Seed of the folds.
    pub seed: u64,
    /// What is never separated by a fold.
    pub split_by: SplitBy,
    /// The share of rows that is held out of the evaluation.
    pub held_out: Option<f64>,
    /// The metric that selects.
    pub select_by: MetricName,
    /// How much rows count in a fit.
    pub weighting: Weighting,
    /// How scores become probabilities.
    pub calibration: CalibrationMethod,
    /// How the threshold is chosen.
    pub threshold: ThresholdRule,
    /// A search over hyper-parameters; without one each family is tried once.
    pub search: Option<SearchPlan>,
    /// An ensemble of the candidates, as one more candidate.
    pub ensemble: Option<EnsemblePlan>,
}

/// An ensemble of the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnsemblePlan {
    /// The most members; at least 2.
    pub max_members: usize,
    /// When it is selected.
    pub use_when: EnsembleUse,
}

/// What is never separated by a fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplitBy {
    /// Rows with the same values.
    #[default]
    Rows,
    /// Groups of rows, by a column of the data.
    Groups,
    /// The order of time: models are tested on later rows than they were fitted on.
    Time {
        /// Between the last row that a model is fitted on and the first that it is tested on, in microseconds.
        gap: i64,
    },
}

/// A search over the hyper-parameters of all families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlan {
    /// Trials over all families, at least one of each.
    pub trials: usize,
    /// Seed of the proposals.
    pub seed: u64,
    /// No fold is started after this time, except of the first trial of each family. A search that it ended cannot be repeated.
    pub time_limit: Option<Duration>,
}

// === impl SplitBy ===

impl SplitBy {
    /// How rows are split, in words.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Rows => "repeated stratified folds",
            Self::Groups => "repeated stratified folds of groups",
            Self::Time { .. } => {
                "blocks in the order of time, each tested by a model of the blocks before it"
            }
        }
    }

    /// How chance decides, in words.
    pub fn shuffle(self) -> &'static str {
        match self {
            Self::Rows => "SplitMix64, Fisher-Yates a class, dealt in turn",
            Self::Groups => {
                "SplitMix64, Fisher-Yates the groups, the largest first to the fold that keeps classes most even"
            }
            Self::Time { .. } => "none",
        }
    }
}

// === impl Plan ===

impl Plan {
    /// What a checked spec asks for.
    pub fn new(training: &TrainingSource) -> Self {
        let count = |number: i32| usize::try_from(number).unwrap_or(1).max(1);
        let settings = Settings::new(training);
        // The declaration begins with the simplest.
        let mut families = match training.custom_trainer {
            Some(_) => Vec::new(),
            None => training.families.clone(),
        };
        families.sort_unstable();
        let transforms = Arc::new(Transforms::new(&training.transforms, settings.seed));
        let families = families.iter().map(|of| {
            let family = family::of(*of, &settings);
            if training.transforms.is_empty() {
                return family;
            }
            Arc::new(TransformedFamily::new(family, Arc::clone(&transforms))) as Arc<dyn TrainableFamily>
        });
        Self {
            families: families.collect(),
            folds: count(training.validation.folds).max(2),
            repeats: count(training.validation.repeats),
            seed: u64::try_from(training.validation.seed).unwrap_or(0),
            split_by: match (&training.validation.group_by, &training.validation.time_split) {
                (_, Some(split)) => SplitBy::Time {
                    gap: split.gap_seconds.saturating_mul(1_000_000),
                },
                (Some(_), None) => SplitBy::Groups,
                (None, None) => SplitBy::Rows,
            },
            held_out: training
                .validation
                .held_out
                .as_ref()
                .map(|held_out| held_out.fraction.to_f64()),
            select_by: training.select_by,
            weighting: Weighting::new(training.weights.as_ref()),
            calibration: training.calibration,
            threshold: ThresholdRule::new(training.threshold.as_ref()),
            search: training.search.as_ref().map(|search| SearchPlan {
                trials: count(search.trials),
                seed: u64::try_from(search.seed).unwrap_or(0),
                time_limit: search
                    .time_limit_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map(Duration::from_secs),
            }),
            ensemble: training.ensemble.as_ref().map(|ensemble| EnsemblePlan {
                max_members: count(ensemble.max_members),
                use_when: ensemble.use_when,
            }),
        }
    }

    /// Whether one model, which no fold is fitted for, is measured on parts of the held-out rows.
    pub fn has_one_model(&self) -> bool {
        self.families.is_empty()
    }

    /// The groups of rows that no fold separates, if rows are split by groups.
    pub fn groups<'a>(&self, columns: &'a RowColumns) -> Option<&'a Groups> {
        match self.split_by {
            SplitBy::Groups => columns.groups.as_ref(),
            SplitBy::Rows | SplitBy::Time { .. } => None,
        }
    }

    /// How rows are split, in words.
    pub fn kind(&self) -> &'static str {
        match self.split_by {
            SplitBy::Time { .. } if self.has_one_model() => {
                "blocks of the held-out rows in the order of time, one model"
            }
            SplitBy::Groups if self.has_one_model() => {
                "stratified parts of groups of the held-out rows, one model"
            }
            SplitBy::Rows if self.has_one_model() => "stratified parts of the held-out rows, one model",
            split_by => split_by.kind(),
        }
    }

    /// The formula of the standard error of a metric.
    pub fn standard_error(&self) -> &'static str {
        if self.has_one_model() {
            "sd / sqrt(J), parts of the held-out rows"
        } else {
            "sd * sqrt(1/J + n_test/n_train), Nadeau and Bengio 2003"
        }
    }

    /// Whether a fold's calibration, threshold or weights of an ensemble are learnt from the scores of other folds.
    pub fn learns_from_scores(&self) -> bool {
        self.calibration != CalibrationMethod::None || self.threshold.is_learnt() || self.ensemble.is_some()
    }

    /// Whether a fold's calibration and threshold are learnt from the other one.
    pub fn learns_from(&self, fold: usize, other: usize) -> bool {
        match self.split_by {
            SplitBy::Rows | SplitBy::Groups => other != fold,
            SplitBy::Time { .. } => other < fold,
        }
    }

    /// Whether a fold is measured. In the order of time, the first one has no earlier one to learn from.
    pub fn measures(&self, fold: usize) -> bool {
        let SplitBy::Time { .. } = self.split_by else {
            return true;
        };
        fold > 0 || !self.learns_from_scores()
    }

    /// The rows that a model is tested on for each row that it is fitted on: the mean over the measured folds. 0 for one model, whose folds
    /// share no training.
    pub fn test_to_train(&self) -> f64 {
        if self.has_one_model() {
            return 0.0;
        }
        let SplitBy::Time { .. } = self.split_by else {
            return 1.0 / (self.folds as f64 - 1.0).max(1.0);
        };
        let measured: Vec<f64> = (0..self.folds)
            .filter(|fold| self.measures(*fold))
            .map(|fold| 1.0 / (fold as f64 + 1.0))
            .collect();
        measured.iter().sum::<f64>() / measured.len().max(1) as f64
    }
}
