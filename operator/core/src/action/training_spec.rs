//! The hash of everything that a training depends on. Bundles and plans contain it, so its input is written field by field and does not
//! change with the types of the API.

use modelward_crds::{
    AcceptedWindow, CalibrationMethod, CsvFormat, Dataset, FeatureSpec, ModelVersion, PositiveWhen, Target,
    Task, TrainingSource, ValidationSpec,
};
use modelward_wire::{Decimal, Digest};
use serde_json::{Value, json};

use super::{
    canonical,
    plan::content::{ChampionPart, GatePart},
};

/// The hash of everything that a training depends on.
pub fn digest(training: &TrainingSource, of: &ModelVersion) -> Digest {
    let mut datasets = vec![dataset(&training.dataset)];
    for named in &training.additional_datasets {
        let mut one = dataset(&named.dataset);
        one["name"] = named.name.as_str().into();
        datasets.push(one);
    }
    let mut content = json!({
        "model": of.spec.model,
        "datasets": datasets,
        "snapshot": training.snapshot.map(|digest| digest.to_string()),
        "target": target(&training.target),
        "features": training.features.iter().map(feature).collect::<Vec<_>>(),
        "exclude": training.exclude,
        "families": training.families.iter().map(|family| family.as_str()).collect::<Vec<_>>(),
        "validation": {
            "folds": training.validation.folds,
            "repeats": training.validation.repeats,
            "seed": training.validation.seed,
        },
        "selectBy": training.select_by.as_str(),
        "gates": training.gates.iter().map(GatePart::from).collect::<Vec<_>>(),
        "notWorseThan": training.not_worse_than.as_ref().map(ChampionPart::from),
        "reference": training.reference.as_ref().map(window),
    });
    add_validation(&training.validation, &mut content["validation"]);
    add_selection(training, &mut content);
    canonical::digest(&canonical::text(&content))
}

/// How rows are split besides folds, repeats and seed; what is not set is left out.
fn add_validation(validation: &ValidationSpec, content: &mut Value) {
    let ValidationSpec {
        folds: _,
        repeats: _,
        seed: _,
        group_by,
        time_split,
        held_out,
    } = validation;
    if let Some(column) = group_by {
        content["groupBy"] = column.as_str().into();
    }
    if let Some(held_out) = held_out {
        content["heldOut"] = json!({"fraction": held_out.fraction.as_str()});
    }
    if let Some(split) = time_split {
        content["timeSplit"] = json!({"column": split.column, "gapSeconds": split.gap_seconds});
    }
}

/// How models are fitted and selected, as far as the spec sets it: the hash of a training that does not set it stays the same.
fn add_selection(training: &TrainingSource, content: &mut Value) {
    let TrainingSource {
        hyperparameters,
        search,
        ensemble,
        weights,
        calibration,
        threshold,
        expectations,
        transforms,
        custom_trainer,
        // The only task there is.
        task: Task::Binary,
        // In the hash of every training.
        dataset: _,
        additional_datasets: _,
        snapshot: _,
        target: _,
        features: _,
        exclude: _,
        families: _,
        validation: _,
        select_by: _,
        gates: _,
        not_worse_than: _,
        reference: _,
    } = training;
    if let Some(hyperparameters) = hyperparameters {
        content["hyperparameters"] = json!(hyperparameters);
    }
    if let Some(trainer) = custom_trainer {
        content["customTrainer"] = json!(trainer);
    }
    if let Some(search) = search {
        content["search"] = json!(search);
    }
    if let Some(ensemble) = ensemble {
        content["ensemble"] = json!(ensemble);
    }
    if let Some(weights) = weights {
        content["weights"] = json!(weights);
    }
    if *calibration != CalibrationMethod::None {
        content["calibration"] = calibration.as_str().into();
    }
    if !expectations.is_empty() {
        content["expectations"] = json!(expectations);
    }
    if !transforms.is_empty() {
        content["transforms"] = json!(transforms);
    }
    if let Some(threshold) = threshold {
        content["threshold"] = json!(threshold);
    }
}

fn window(window: &AcceptedWindow) -> Value {
    json!({
        "counts": window.counts.to_string(),
        "rows": window.rows,
        "start": window.start_time.0.as_second(),
        "end": window.end_time.0.as_second(),
    })
}

fn dataset(dataset: &Dataset) -> Value {
    let mut content = json!({
        "configMap": dataset.config_map.as_ref().map(|source| json!({"name": source.name, "key": source.key})),
        "claim": dataset.persistent_volume_claim.as_ref().map(|source| {
            json!({"name": source.claim_name, "path": source.path})
        }),
        "uri": dataset.uri,
        "sha256": dataset.sha256.map(|digest| digest.to_string()),
        "csv": csv(&dataset.csv),
    });
    if !dataset.more_files.is_empty() {
        content["moreFiles"] = json!(dataset.more_files);
    }
    if let Some(endpoint) = &dataset.endpoint {
        content["endpoint"] = endpoint.as_str().into();
    }
    if let Some(secret) = &dataset.credentials_secret {
        content["credentialsSecret"] = secret.name.as_str().into();
    }
    content
}

/// What is not set is left out, so that the hash of a training without it stays the same.
fn csv(csv: &CsvFormat) -> Value {
    let mut content = json!({
        "header": csv.header,
        "columns": csv.columns,
        "missing": csv.missing,
        "delimiter": csv.delimiter,
    });
    if csv.decimal != "." {
        content["decimal"] = csv.decimal.as_str().into();
    }
    if let Some(thousands) = &csv.thousands {
        content["thousands"] = thousands.as_str().into();
    }
    if !csv.rename.is_empty() {
        let renamed = csv.rename.iter();
        content["rename"] = renamed
            .map(|one| json!({"from": one.from, "position": one.position, "to": one.to}))
            .collect();
    }
    content
}

fn target(target: &Target) -> Value {
    let mut content = json!({
        "column": target.column,
        "positiveWhen": target.positive_when.as_ref().map(positive),
    });
    if !target.negative_values.is_empty() {
        content["negativeValues"] = json!(target.negative_values);
    }
    content
}

fn positive(positive: &PositiveWhen) -> Value {
    json!({
        "greaterThan": positive.greater_than.as_ref().map(Decimal::as_str),
        "equals": positive.equals,
    })
}

fn feature(feature: &FeatureSpec) -> Value {
    let mut content = json!({
        "name": feature.name,
        "kind": feature.kind,
        "categories": feature.categories,
        "min": feature.range.as_ref().and_then(|range| range.min.as_ref()).map(Decimal::as_str),
        "max": feature.range.as_ref().and_then(|range| range.max.as_ref()).map(Decimal::as_str),
        "required": feature.required,
        "maxMissingRatio": feature.max_missing_ratio.as_ref().map(Decimal::as_str),
    });
    if let Some(monotone) = feature.monotone {
        content["monotone"] = monotone.as_str().into();
    }
    content
}
