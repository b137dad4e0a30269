//! What every family has in the trainer: how it is fitted, and what a bundle says about the result.

use std::{collections::BTreeMap, error::Error, fmt, sync::Arc};

use modelward_model::{Family, Scorer, TransformFile};

use super::{parameter::Parameter, parameters::Parameters, space::Dimension};
use crate::{data::dataset::Sample, engine::TrainingRows, transform::ColumnOutline};

/// How complex the models of a family are, the simplest first.
///
/// Of candidates that differ only by chance, the simpler one is selected; of families of the same complexity, the better one.
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

/// How wide the rows are that a family is fitted on: what its fits need memory for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Widths {
    /// The columns that it reads.
    pub columns: usize,
    /// Those that declared transforms leave, which are held beside the data: all or none.
    pub derived: usize,
    /// The columns that it computes with if it encodes what it reads, otherwise 0.
    pub encoded: usize,
}

/// A family with the parameters that it is fitted with.
pub trait TrainableFamily: fmt::Debug + Send + Sync {
    /// What reads its files in a server. The name of the family comes from there, so that the two cannot differ.
    fn served(&self) -> &'static dyn Family;

    /// How complex its models are.
    fn complexity(&self) -> Complexity;

    /// The parameters, for `metrics.json`.
    fn parameters(&self) -> Parameters;

    /// What a search varies: hyper-parameters that no spec sets.
    fn space(&self) -> Vec<Dimension> {
        Vec::new()
    }

    /// How wide rows of these columns are in its fits.
    fn widths(&self, columns: &[ColumnOutline]) -> Widths {
        Widths {
            columns: columns.len(),
            ..Widths::default()
        }
    }

    /// The family with these values of hyper-parameters.
    fn with(&self, values: &[(&'static str, Parameter)]) -> Arc<dyn TrainableFamily>;

    /// Learns like [`Self::fit`] in rounds, and stops when the log loss of `tested` has not fallen for [`PATIENCE`] of them. `None` if
    /// the family has no rounds.
    fn fit_watched(&self, rows: TrainingRows<'_>, tested: Sample<'_>) -> Result<Option<Watched>, FitError> {
        let _ = (rows, tested);
        Ok(None)
    }

    /// Learns only from these rows and their classes, including how values are prepared. Equal rows give equal files.
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

/// A model that is fitted in rounds and to which its library can still add more.
pub trait GrowingModel: fmt::Debug + Send {
    /// The probability of class 1 of each of these rows after the first rounds, by the library. `rounds` is not more than were
    /// fitted.
    fn score(&mut self, rounds: u32, sample: Sample<'_>) -> Result<Vec<f64>, FitError>;

    /// The model of the first rounds, exported. Rounds that were not fitted yet are fitted on the same rows: the result is that of a fit of
    /// this many rounds.
    fn finish(self: Box<Self>, rounds: u32) -> Result<Box<dyn FittedModel>, FitError>;
}

/// Rounds without an improvement after which a fit ends.
pub const PATIENCE: usize = 30;

/// A model that was fitted.
pub trait FittedModel: fmt::Debug + Send + Sync {
    /// What a server scores rows with.
    fn scorer(&self) -> &dyn Scorer;

    /// Compares the scores of these rows by the library that fitted it with those of the exported model, or those of the fitted model with
    /// those of the files of a bundle. A difference is an error that names the row.
    fn check_parity(&self, sample: Sample<'_>) -> Result<(), FitError>;

    /// Its files of the bundle, in the order of [`Family::files`].
    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error>;

    /// What the declared transforms before it learnt, if any.
    fn transforms(&self) -> Option<&TransformFile> {
        None
    }

    /// What the model card says about it.
    fn report(&self) -> ModelReport;
}

/// Why a family was not fitted.
pub type FitError = Box<dyn Error + Send + Sync>;

/// The part of the model card that is about the fitted model. Texts are escaped where they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelReport {
    /// What the table shows, and what it was fitted with.
    pub sentence: String,
    /// The headings of the table: first of the names of its rows, then of numbers.
    pub headings: Vec<&'static str>,
    /// Its rows, each as long as the headings.
    pub rows: Vec<Vec<String>>,
    /// What a missing value is imputed as, by the name of the feature. Features that are not here are not imputed.
    pub imputed: BTreeMap<String, String>,
}

// === impl Widths ===

impl Widths {
    /// The greater one of each number.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            columns: self.columns.max(other.columns),
            derived: self.derived.max(other.derived),
            encoded: self.encoded.max(other.encoded),
        }
    }
}
