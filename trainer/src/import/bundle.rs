//! The bundle of a model that was imported.

use askama::Template;
use modelward_crds::MetricName;
use modelward_model::{
    BUNDLE_FORMAT, BundleInfo, DirBuilder, FeatureKind, ImportInfo, TargetInfo, WarmUp, bundle::file,
    files::json,
};
use modelward_wire::{Decimal, Digest, ManifestKind};
use serde_json::{Map, Value, json as object};

use crate::{
    data::dataset::Dataset,
    fit::{
        bundle::{mlmodel::mlmodel, warm_up_rows},
        metrics::metrics,
        reference::reference_of_scores,
    },
    import::{
        compare::Compared,
        contract::{ImportError, Loaded},
        sample::Sample,
    },
};

/// The head of the file of scores, which no fold gave.
const OUT_OF_FOLD: &str = "row,row_hash,repeat,fold,label,score\n";

/// What a bundle says besides its model.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// Name of the model that it is a version of.
    pub model: &'a str,
    /// The probability from which the class is 1.
    pub threshold: Decimal,
    /// What is predicted.
    pub target: TargetInfo,
    /// The name of the format of its file.
    pub format: &'static str,
    /// The sha256 of the file.
    pub file: Digest,
    /// The sha256 of the sample.
    pub sample: Digest,
}

/// The metrics of the rows whose class is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleMetrics {
    /// Rows.
    pub rows: usize,
    /// Rows of class 1.
    pub positive_rows: usize,
    /// By name.
    pub values: Vec<(&'static str, f64)>,
}

#[derive(Template)]
#[template(path = "imported-card.html")]
struct Card<'a> {
    model: &'a str,
    family: &'a str,
    format: &'a str,
    file: String,
    sample: String,
    rows: usize,
    positive_when: &'a str,
    threshold: &'a Decimal,
    compared: &'a Compared,
    difference: String,
    metrics: Option<&'a SampleMetrics>,
    features: Vec<CardFeature<'a>>,
}

struct CardFeature<'a> {
    name: &'a str,
    kind: &'static str,
    values: String,
    required: bool,
}

/// The metrics of the rows whose class is known, if there are rows of both classes.
pub fn measure(sample: &Sample, scores: &[f64], threshold: &Decimal) -> Option<SampleMetrics> {
    let known = sample
        .labels
        .iter()
        .zip(scores)
        .filter_map(|(label, score)| Some(((*label)?, *score)));
    let (labels, scores): (Vec<bool>, Vec<f64>) = known.unzip();
    let positive_rows = labels.iter().filter(|label| **label).count();
    if positive_rows == 0 || positive_rows == labels.len() {
        return None;
    }
    let values = metrics(&labels, &scores, threshold.to_f64());
    Some(SampleMetrics {
        rows: labels.len(),
        positive_rows,
        values: MetricName::ALL
            .iter()
            .map(|name| name.as_str())
            .zip(values)
            .collect(),
    })
}

/// The files of the bundle. The same model, sample and description give the same bytes.
pub fn build(
    description: &Description<'_>,
    sample: &Sample,
    loaded: &Loaded,
    scores: &[f64],
    compared: &Compared,
) -> Result<DirBuilder, ImportError> {
    let threshold = &description.threshold;
    let measured = measure(sample, scores, threshold);
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        model: description.model.to_owned(),
        family: loaded.family.to_owned(),
        threshold: threshold.clone(),
        snapshot: None,
        rows: sample.rows.len() as u64,
        positive_rows: sample.labels.iter().filter(|label| **label == Some(true)).count() as u64,
        target: description.target.clone(),
        selected_by: String::new(),
        // The scores in a bundle are out of fold, and an imported model has no folds.
        metrics: Vec::new(),
        gates: Vec::new(),
        training: None,
        reproducible: true,
        imported: Some(ImportInfo {
            format: description.format.to_owned(),
            file: description.file,
            sample: description.sample,
        }),
        custom_trainer: None,
        members: Vec::new(),
    };
    let labels = sample.labels.iter().map(|label| *label == Some(true)).collect();
    let data = Dataset::from_rows(sample.schema.clone(), &sample.rows, labels);
    let warm_up = WarmUp::record(&sample.schema, &*loaded.scorer, &warm_up_rows(&data));
    let reference = reference_of_scores(&data, scores, threshold.to_f64(), &sample.declared);
    let names = loaded.files.iter().map(|(name, _)| *name);
    let card = render_card(description, sample, loaded, compared, measured.as_ref());
    let mut files = DirBuilder::new(ManifestKind::Bundle)
        .with(file::INFO, json(&info).map_err(ImportError::bundle)?)
        .with(file::SCHEMA, json(&sample.schema).map_err(ImportError::bundle)?)
        .with(
            file::WARM_UP,
            json(&warm_up.map_err(ImportError::bundle)?).map_err(ImportError::bundle)?,
        )
        .with(
            file::METRICS,
            json(&metrics_file(description, loaded, compared, measured.as_ref()))
                .map_err(ImportError::bundle)?,
        )
        .with(file::OUT_OF_FOLD, OUT_OF_FOLD)
        .with(
            file::REFERENCE,
            json(&reference.map_err(ImportError::bundle)?).map_err(ImportError::bundle)?,
        )
        .with(file::CARD, card.map_err(ImportError::bundle)?)
        .with(
            file::MLMODEL,
            mlmodel(&sample.schema, &info, names).map_err(ImportError::bundle)?,
        );
    for (name, bytes) in &loaded.files {
        files = files.with(name, bytes.clone());
    }
    Ok(files)
}

/// Has the fields of a trained model's file, with no candidate.
fn metrics_file(
    description: &Description<'_>,
    loaded: &Loaded,
    compared: &Compared,
    measured: Option<&SampleMetrics>,
) -> Value {
    let metrics = measured.map(|measured| {
        let values: Map<String, Value> = measured
            .values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        object!({"rows": measured.rows, "positiveRows": measured.positive_rows, "metrics": values})
    });
    object!({
        "format": BUNDLE_FORMAT,
        "folds": {"kind": "none", "folds": 0, "repeats": 0, "seed": 0},
        "threshold": {"value": description.threshold, "rule": "given"},
        "selectBy": "",
        "selected": loaded.family,
        "reason": format!("imported from {}", description.format),
        "candidates": [],
        "compared": compared,
        "sample": metrics,
    })
}

fn render_card(
    description: &Description<'_>,
    sample: &Sample,
    loaded: &Loaded,
    compared: &Compared,
    metrics: Option<&SampleMetrics>,
) -> Result<String, askama::Error> {
    let features = sample.schema.features.iter().map(|feature| {
        let (kind, values) = match &feature.kind {
            FeatureKind::Numeric { min: None, max: None } => ("Numeric", "not stated".to_owned()),
            FeatureKind::Numeric { min, max } => {
                let end = |end: &Option<f64>| end.map_or("…".to_owned(), |end| (end as f32).to_string());
                ("Numeric", format!("{} to {}", end(min), end(max)))
            }
            FeatureKind::Categorical { categories } => {
                let shown = categories[..categories.len().min(12)].join(", ");
                let more = categories.len().saturating_sub(12);
                let text = if more == 0 {
                    shown
                } else {
                    format!("{shown} and {more} more")
                };
                ("Categorical", text)
            }
        };
        CardFeature {
            name: &feature.name,
            kind,
            values,
            required: feature.required,
        }
    });
    Card {
        model: description.model,
        family: loaded.family,
        format: description.format,
        file: description.file.to_string(),
        sample: description.sample.to_string(),
        rows: sample.rows.len(),
        positive_when: &description.target.positive_when,
        threshold: &description.threshold,
        compared,
        difference: format!("{:.1e}", compared.largest_difference),
        metrics,
        features: features.collect(),
    }
    .render()
}
