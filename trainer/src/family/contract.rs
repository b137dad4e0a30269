//! What every family has in the trainer: how it is fitted, and what a bundle says of the result.

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc};

use modelward_model::{Family, Scorer, TransformFile};

use super::{parameter::Parameter, parameters::Parameters, space::Dimension};
use crate::{data::dataset::Sample, engine::TrainingRows};

/// How complex the models of a family are, the simplest first.
///
/// Of candidates that differ by chance the simpler one is selected; between families of the same complexity the better one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complexity {
    /// A weighted sum of the features.
    Linear,
    /// Trees that are fitted independently of each other.
    Trees,
    /// Trees that each correct the ones before.
    BoostedTrees,
    /// A vote of several models.
    Ensemble,
}

/// A family with the parameters that it is fitted with.
pub trait TrainableFamily: fmt::Debug + Send + Sync {
    /// What reads its files in a server. The name of the family is from there, so that the two cannot differ.
    fn served(&self) -> &'static dyn Family;

    /// How complex its models are.
    fn complexity(&self) -> Complexity;

    /// The parameters, for `metrics.json`.
    fn parameters(&self) -> Parameters;

    /// What a search varies: hyper-parameters that no spec sets.
    fn space(&self) -> Vec<Dimension> {
        Vec::new()
    }

    /// The family with these values of hyper-parameters.
    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily>;

    /// Learns as [`Self::fit`] does in rounds, and stops where the log loss of `tested` has not fallen for [`PATIENCE`] of them. `None` where
    /// the family has no rounds.
    fn fit_watched(&self, rows: TrainingRows<'_>, tested: Sample<'_>) -> Result<Option<Watched>, FitError> {
        let _ = (rows, tested);
        Ok(None)
    }

    /// Learns from these rows and their classes alone, also how values are prepared. Equal rows give equal files.
    fn fit(&self, rows: TrainingRows<'_>) -> Result<Box<dyn FittedModel>, FitError>;
}

/// A model that was fitted in rounds, with the log loss of other rows after each.
#[derive(Debug)]
pub struct Watched {
    /// The model so far.
    pub model: Box<dyn GrowingModel>,
    /// The log loss after each round.
    pub curve: Vec<f64>,
}

/// A model that is fitted in rounds, as long as its library can add more.
pub trait GrowingModel: fmt::Debug + Send {
    /// The probability of class 1 of each of these rows after the first rounds, as the library has it. `rounds` is not more than were
    /// fitted.
    fn score(&mut self, rounds: u32, sample: Sample<'_>) -> Result<Vec<f64>, FitError>;

    /// The model of the first rounds, exported. Rounds that were not fitted yet are, on the same rows: the result is that of a fit of so
    /// many rounds.
    fn finish(self: Box<Self>, rounds: u32) -> Result<Box<dyn FittedModel>, FitError>;
}

/// Rounds without an improvement after which a fit ends.
pub const PATIENCE: usize = 30;

/// A model that was fitted.
pub trait FittedModel: fmt::Debug + Send + Sync {
    /// What a server makes of its files.
    fn scorer(&self) -> &dyn Scorer;

    /// Compares the scores of these rows by the library that fitted it with those by what was exported, or those by the fitted model with
    /// those by the files of a bundle. A difference is an error that names the row.
    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError>;

    /// Its files of the bundle, in the order of [`Family::files`].
    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error>;

    /// What the declared transforms before it learnt, if there are any.
    fn transforms(&self) -> Option<&TransformFile> {
        None
    }

    /// What the model card says of it.
    fn report(&self) -> ModelReport;
}

/// Why a family was not fitted.
pub type FitError = Box<dyn Error + Send + Sync>;

/// The part of the model card that is about the fitted model. Texts are escaped where they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReport {
    /// What the table shows, and what it was fitted with.
    pub sentence: String,
    /// The headings of the table: of the names of its rows, then of numbers.
    pub headings: Vec<&'static str>,
    /// Its rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
    /// What stands for a missing value, by the name of the feature. Of one that is not here, nothing does.
    pub imputed: BTreeMap<String, String>,
}
