//! The sample: its version, its data, and its first rows as requests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ObjectMeta;
use modelward_crds::{
    Gate, MetricName, ModelVersion, ModelVersionSpec, ReplicaBounds, Season, TrainingSource, ValidationSpec,
};
use serde_json::{Map, Value};

use crate::cluster::repository;

/// The columns of the features, in the order of the files.
const FEATURES: [&str; 13] = [
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca",
    "thal",
];
/// The maximum window length, so that no window closes during a story.
const WEEK: i32 = 604_800;

/// The sample's version under another name.
pub fn version(name: &str) -> Result<ModelVersion> {
    read_version("heart-1.yaml", name)
}

/// The sample's imported version under another name, with one Pod.
pub fn imported(name: &str) -> Result<ModelVersion> {
    let mut version = read_version("heart-imported.yaml", name)?;
    one_pod_of(&mut version.spec, "heart");
    Ok(version)
}

/// The version in a sample file, under another name and with the longest window.
fn read_version(file: &str, name: &str) -> Result<ModelVersion> {
    let path = path(file);
    let mut version: ModelVersion =
        serde_saphyr::from_str(&read(&path)?).with_context(|| path.display().to_string())?;
    version.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    version.spec.monitoring.window_seconds = WEEK;
    version.spec.monitoring.season = Season::None;
    Ok(version)
}

/// The ConfigMap that the sample's version names, with both data sets.
pub fn data() -> Result<ConfigMap> {
    config_map("heart-disease", ["cleveland.csv", "hungarian.csv"])
}

/// The ConfigMap that the sample's imported version names: the model, and rows with the model's scores.
pub fn model() -> Result<ConfigMap> {
    config_map("heart-model", ["model.txt", "sample.csv"])
}

/// The files of a folder of the samples.
fn config_map(folder: &str, files: [&str; 2]) -> Result<ConfigMap> {
    let files = files.map(|key| Ok((key.to_owned(), read(&path(folder).join(key))?)));
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(folder.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(files.into_iter().collect::<Result<_>>()?),
        ..ConfigMap::default()
    })
}

/// A data set of the sample.
pub fn csv(name: &str) -> Result<String> {
    read(&path("heart-disease").join(name))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The first rows of the Cleveland data without the target, as the array that `/predict` expects.
pub fn rows(count: usize) -> Result<Value> {
    let text = csv("cleveland.csv")?;
    let row = |line: &str| {
        let cells = FEATURES
            .iter()
            .zip(line.split(','))
            .map(|(name, cell)| Ok(((*name).to_owned(), cell_as_json(cell)?)));
        cells.collect::<Result<Map<_, _>>>().map(Value::Object)
    };
    text.lines().take(count).map(row).collect()
}

fn cell_as_json(cell: &str) -> Result<Value> {
    if cell == "?" {
        return Ok(Value::Null);
    }
    serde_json::from_str(cell).with_context(|| format!("{cell:?} is not a number"))
}

fn path(name: &str) -> PathBuf {
    repository().join("manifests/samples").join(name)
}

// === edits of a version ===

/// The training of a version that is created from the sample.
pub fn training(spec: &mut ModelVersionSpec) -> Result<&mut TrainingSource> {
    let training = spec.source.training.as_mut();
    training.context("the sample's version is trained")
}

/// Two folds once instead of five folds ten times, for a version whose score does not matter.
pub fn quick(spec: &mut ModelVersionSpec) -> Result<()> {
    let validation = &mut training(spec)?.validation;
    *validation = ValidationSpec {
        folds: 2,
        repeats: 1,
        ..validation.clone()
    };
    Ok(())
}

/// A short training with the split of this seed.
pub fn seeded(seed: i64) -> impl FnOnce(&mut ModelVersionSpec) -> Result<()> {
    move |spec| {
        quick(spec)?;
        training(spec)?.validation.seed = seed;
        Ok(())
    }
}

/// A short training with a gate that this data cannot pass.
pub fn gated_too_high(spec: &mut ModelVersionSpec) -> Result<()> {
    quick(spec)?;
    training(spec)?.gates = vec![Gate {
        metric: MetricName::F1,
        standard_errors: None,
        at_least: Some("0.99".parse()?),
        at_most: None,
    }];
    Ok(())
}

/// One Pod, for a model with this name.
pub fn one_pod_of(spec: &mut ModelVersionSpec, model: &str) {
    model.clone_into(&mut spec.model);
    spec.serving.replicas = ReplicaBounds { min: 1, max: 1 };
}
