//! What an import is asked to do, by the command line and by the spec.

use anyhow::{Context as _, bail, ensure};
use modelward_crds::{ArtifactSource, CsvFormat, FeatureSpec, ModelSample, Target};
use modelward_model::normalize_name;
use modelward_wire::Decimal;

use crate::{
    command::arguments::ImportArgs,
    fit::threshold::ThresholdRule,
    spec::{ImportSpec, is_model_name},
};

/// How a bundle is made of a model, and how its sample is read.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Name of the model; a bundle has its own.
    pub(super) name: Option<String>,
    /// The probability from which the class is 1; a bundle has its own.
    pub(super) threshold: Decimal,
    pub(super) target: Option<Target>,
    pub(super) features: Vec<FeatureSpec>,
    pub(super) exclude: Vec<String>,
    pub(super) csv: CsvFormat,
    /// The columns with the expected scores, if they are named.
    pub(super) expected: Option<String>,
    pub(super) expected_raw: Option<String>,
    /// Where the model and the sample are, by the spec.
    pub(super) artifact: Option<ArtifactSource>,
    /// A name or a threshold on the command line, which a bundle cannot take.
    pub(super) renames: bool,
    /// Whether the sample must have the target: it is named on the command line.
    pub(super) needs_target: bool,
}

// === impl Request ===

impl Request {
    pub(super) fn new(args: &ImportArgs, spec: Option<ImportSpec>) -> anyhow::Result<Self> {
        let threshold = find_threshold(args, spec.as_ref())?;
        let (name, sample, csv, artifact) = match spec {
            None => (None, ModelColumns::default(), CsvFormat::default(), None),
            Some(ImportSpec::Training(spec)) => {
                let training = spec.training;
                let columns = ModelColumns {
                    target: Some(training.target),
                    features: training.features,
                    exclude: training.exclude,
                    ..ModelColumns::default()
                };
                (Some(spec.model), columns, training.dataset.csv, None)
            }
            Some(ImportSpec::Artifact { model, artifact }) => {
                let sample = artifact.sample.as_deref();
                let columns = sample.map(ModelColumns::from).unwrap_or_default();
                let csv = sample
                    .map(|sample| sample.dataset.csv.clone())
                    .unwrap_or_default();
                (Some(model), columns, csv, Some(*artifact))
            }
        };
        let normalized = |name: &String| normalize_name(name).into_owned();
        let given = args.target.as_ref().map(|column| Target {
            column: normalized(column),
            positive_when: None,
            negative_values: Vec::new(),
        });
        let mut exclude = sample.exclude;
        exclude.extend(args.exclude.iter().map(normalized));
        Ok(Self {
            name: args.name.clone().or(name),
            threshold,
            needs_target: given.is_some(),
            target: given.or(sample.target),
            features: sample.features,
            exclude,
            csv,
            expected: args.expected.clone().or(sample.expected),
            expected_raw: args.expected_raw.clone().or(sample.expected_raw),
            artifact,
            renames: args.name.is_some() || args.threshold.is_some(),
        })
    }

    /// The name of the model, which a file does not have.
    pub(super) fn valid_name(&self) -> anyhow::Result<&str> {
        let name = self.name.as_deref();
        let name = name.context("set --name or --spec: they name the model that it is a version of")?;
        ensure!(
            is_model_name(name),
            "the name {name:?} is not valid: write at most 40 lower-case letters, digits and '-', starting with a letter"
        );
        Ok(name)
    }
}

fn find_threshold(args: &ImportArgs, spec: Option<&ImportSpec>) -> anyhow::Result<Decimal> {
    let (training, given) = match spec {
        Some(ImportSpec::Training(spec)) => (spec.training.threshold.as_ref(), None),
        Some(ImportSpec::Artifact { artifact, .. }) => (None, artifact.threshold.clone()),
        None => (None, None),
    };
    let threshold = match (&args.threshold, given, ThresholdRule::new(training)) {
        (Some(text), ..) => text
            .parse()
            .map_err(|_| anyhow::anyhow!("--threshold {text:?} is not a decimal number"))?,
        (None, Some(given), _) | (None, None, ThresholdRule::Value(given)) => given,
        (None, None, ThresholdRule::Default) => ThresholdRule::half(),
        _ => bail!(
            "threshold.maximise and threshold.cost are learnt from folds, which an imported model does not have: set \
             threshold.value or --threshold"
        ),
    };
    ensure!(
        (0.0..=1.0).contains(&threshold.to_f64()),
        "the threshold {threshold} is not between 0 and 1"
    );
    Ok(threshold)
}

/// What a spec says about the columns of a sample.
#[derive(Default)]
struct ModelColumns {
    target: Option<Target>,
    features: Vec<FeatureSpec>,
    exclude: Vec<String>,
    expected: Option<String>,
    expected_raw: Option<String>,
}

impl From<&ModelSample> for ModelColumns {
    fn from(sample: &ModelSample) -> Self {
        Self {
            target: sample.target.clone(),
            features: sample.features.clone(),
            exclude: sample.exclude.clone(),
            expected: sample.expected.clone(),
            expected_raw: sample.expected_raw.clone(),
        }
    }
}
