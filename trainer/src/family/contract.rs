//! What every family has in the trainer: how it is fitted, and what a bundle says of the result.

use std::{collections::BTreeMap, error::Error, fmt};

use modelward_model::{Family, Scorer};
use serde::{Serialize, Serializer};

use crate::data::dataset::Sample;

/// A family with the parameters that it is fitted with.
pub trait TrainableFamily: fmt::Debug + Send + Sync {
    /// What reads its files in a server. The name of the family is from there, so that the two cannot differ.
    fn served(&self) -> &'static dyn Family;

    /// The parameters, for `metrics.json`.
    fn parameters(&self) -> Parameters;

    /// Learns from these rows and their classes alone, also how values are prepared. Equal rows give equal files.
    fn fit(&self, sample: Sample<'_>) -> Result<Box<dyn FittedModel>, FitError>;
}

/// A model that was fitted.
pub trait FittedModel: fmt::Debug + Send + Sync {
    /// What a server makes of its files.
    fn scorer(&self) -> &dyn Scorer;

    /// Its files of the bundle, in the order of [`Family::files`].
    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error>;

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

/// Names and values of parameters, in the order in which they are written.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters(Vec<(&'static str, Parameter)>);

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A word.
    Text(&'static str),
    /// A number.
    Number(f64),
    /// A number of things.
    Count(u64),
}

// === impl Parameters ===

impl Parameters {
    /// These parameters, in this order.
    pub fn new(parameters: impl Into<Vec<(&'static str, Parameter)>>) -> Self {
        Self(parameters.into())
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_in_their_order() {
        let parameters = Parameters::new([
            ("penalty", Parameter::Text("l2")),
            ("c", Parameter::Number(1.0)),
            ("a", Parameter::Count(3)),
        ]);
        assert_eq!(
            serde_json::to_string(&parameters).unwrap(),
            r#"{"penalty":"l2","c":1.0,"a":3}"#
        );
    }
}
