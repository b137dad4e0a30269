//! Reads a `ModelVersion`, and refuses contradictions.

mod custom_trainer;
mod families;
mod import;
mod names;
mod transforms;

use std::{borrow::Cow, collections::BTreeSet, fs, io, ops::RangeInclusive, path::Path};

use modelward_crds::{
    AcceptedWindow, Champion, CsvFormat, Dataset, FeatureKind, ModelVersion, NamedDataset, PositiveWhen,
    RetrainingSpec, Source, Target, TrainingSource, ValidationSpec,
};
use modelward_model::{canonical_category, normalize_name, sha256};
use modelward_wire::Digest;

pub use self::{
    import::{ImportSpec, read_import},
    names::is_model_name,
};
use crate::data::{
    bucket::is_bucket,
    source::{MAX_FILES, shown},
};

/// The largest spec: Kubernetes accepts no larger object.
const MAX_SPEC_BYTES: u64 = 2 << 20;

/// The most additional datasets: an approver would not read a longer list.
const MAX_ADDITIONAL: usize = 8;

/// Shares of rows that may be held out.
const HELD_OUT: RangeInclusive<f64> = 0.01..=0.5;

/// More distinct words than this are an identifier, not a category.
pub const MAX_CATEGORIES: usize = 256;

/// The largest gap, a hundred years: a longer one is a mistake.
const MAX_GAP_SECONDS: i64 = 3_153_600_000;

/// What a `ModelVersion` says about its training.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the model that it is a version of.
    pub model: String,
    /// Data, target, features, and how the result is selected and gated.
    pub training: TrainingSource,
    /// Features that `monitoring.tolerances` names.
    pub tolerances: Vec<String>,
    /// [`training_digest`] of the training as it was written; in [`Self::training`] names of columns are in their composed form.
    pub digest: Digest,
}

/// Why a file is not a usable `ModelVersion`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The file cannot be read.
    #[error("cannot read the spec {path}")]
    Read {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is larger than any object may be.
    #[error("the spec {path} has {bytes} bytes, at most {MAX_SPEC_BYTES} are read")]
    TooLarge {
        /// Its path.
        path: String,
        /// Its size.
        bytes: u64,
    },
    /// It is neither YAML nor JSON, or lacks a field.
    #[error("the spec does not parse: {0}")]
    Parse(String),
    /// It is an object of another kind.
    #[error("the spec is {found}, expected a ModelVersion of modelward.io/v1alpha1")]
    Kind {
        /// Its `apiVersion` and `kind`.
        found: String,
    },
    /// It serves an existing bundle.
    #[error("source.artifact serves the bundle {0} as it is: there is nothing to train or to import")]
    Artifact(Digest),
    /// It imports a model.
    #[error(
        "source.artifact names a model that was trained elsewhere: there is nothing to train; modelward-trainer import makes its bundle"
    )]
    Import,
    /// It can be parsed, but contradicts itself. The message has every contradiction.
    #[error("the spec is not valid: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

/// Reads and checks a `ModelVersion` in YAML or JSON.
pub fn read(path: &Path) -> Result<Spec, SpecError> {
    parse(&read_text(path)?)
}

fn read_text(path: &Path) -> Result<String, SpecError> {
    let name = path.display().to_string();
    let error = |source| SpecError::Read {
        path: name.clone(),
        source,
    };
    let bytes = fs::metadata(path).map_err(error)?.len();
    if bytes > MAX_SPEC_BYTES {
        return Err(SpecError::TooLarge { path: name, bytes });
    }
    fs::read_to_string(path).map_err(error)
}

/// Parses and checks a `ModelVersion` in YAML or JSON.
pub fn parse(text: &str) -> Result<Spec, SpecError> {
    of_version(parse_version(text)?)
}

fn no_source() -> SpecError {
    SpecError::Invalid(vec![
        "source must set exactly one of training and artifact".to_owned(),
    ])
}

fn parse_version(text: &str) -> Result<ModelVersion, SpecError> {
    let value: serde_json::Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| SpecError::Parse(error.to_string()))?
    } else {
        // A column may be named `y` or `no`: only `true` and `false` are booleans.
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| SpecError::Parse(error.to_string()))?
    };
    let field = |name: &str| {
        value
            .get(name)
            .and_then(|text| text.as_str())
            .unwrap_or("(absent)")
    };
    if (field("apiVersion"), field("kind")) != ("modelward.io/v1alpha1", "ModelVersion") {
        let found = format!("apiVersion {:?}, kind {:?}", field("apiVersion"), field("kind"));
        return Err(SpecError::Kind { found });
    }
    let version: ModelVersion =
        serde_json::from_value(value).map_err(|error| SpecError::Parse(error.to_string()))?;
    Ok(version)
}

/// The training of a `ModelVersion`, checked.
fn of_version(version: ModelVersion) -> Result<Spec, SpecError> {
    let mut wrong = Vec::new();
    names::check(&version, &mut wrong);
    let Source { training, artifact } = version.spec.source;
    let mut training = match (training, artifact) {
        (Some(training), None) => training,
        (None, Some(artifact)) => return Err(artifact.bundle.map_or(SpecError::Import, SpecError::Artifact)),
        _ => return Err(no_source()),
    };
    if let Some(retraining) = &version.spec.retraining {
        check_retraining(retraining, &training, &mut wrong);
    }
    let digest = training_digest(&training).map_err(|error| SpecError::Parse(error.to_string()))?;
    normalize_names(&mut training);
    check(&training, wrong)?;
    let tolerances = version.spec.monitoring.tolerances;
    let tolerances = tolerances
        .into_iter()
        .map(|tolerance| normalize_name(&tolerance.feature).into_owned())
        .collect();
    Ok(Spec {
        model: version.spec.model,
        training,
        tolerances,
        digest,
    })
}

/// Converts names of columns to the composed form, in which names of tables are read too.
fn normalize_names(training: &mut TrainingSource) {
    let names = std::iter::once(&mut training.target.column)
        .chain(&mut training.exclude)
        .chain(training.features.iter_mut().map(|feature| &mut feature.name))
        .chain(&mut training.validation.group_by)
        .chain(
            training
                .weights
                .iter_mut()
                .flat_map(|weights| &mut weights.column),
        )
        .chain(
            training
                .validation
                .time_split
                .iter_mut()
                .map(|split| &mut split.column),
        )
        .chain(training.transforms.iter_mut().flat_map(|transform| {
            let columns = [
                &mut transform.column,
                &mut transform.column_a,
                &mut transform.column_b,
            ];
            columns.into_iter().flatten()
        }))
        .chain(training.expectations.iter_mut().flat_map(|expectation| {
            let columns = [
                &mut expectation.column,
                &mut expectation.column_a,
                &mut expectation.column_b,
            ];
            let lists = [&mut expectation.column_list, &mut expectation.column_set];
            let of_lists = lists.into_iter().flatten().flatten();
            columns.into_iter().flatten().chain(of_lists)
        }));
    for name in names {
        if let Cow::Owned(normal) = normalize_name(name) {
            *name = normal;
        }
    }
}

/// The sha256 of a training as JSON, as the operator computes it from the spec that it wrote.
pub fn training_digest(training: &TrainingSource) -> serde_json::Result<Digest> {
    Ok(sha256(&serde_json::to_vec(training)?))
}

/// Checks what the API server checks too, because a local file was never sent to one. Adds to what is already `wrong`.
fn check(training: &TrainingSource, mut wrong: Vec<String>) -> Result<(), SpecError> {
    check_dataset("dataset", &training.dataset, &mut wrong);
    check_additional(&training.additional_datasets, &mut wrong);
    check_target(&training.target, &mut wrong);
    check_features(training, &mut wrong);
    check_validation(&training.validation, &mut wrong);
    check_row_columns(training, &mut wrong);
    check_time_split(training, &mut wrong);
    if training.families.is_empty() {
        wrong.push("families must name at least one family".to_owned());
    }
    if let Some(twice) = twice(training.families.iter()) {
        wrong.push(format!("families names {} twice", twice.as_str()));
    }
    families::check(training, &mut wrong);
    custom_trainer::check(training, &mut wrong);
    transforms::check(training, &mut wrong);
    crate::data::expectations::check::check(training, &mut wrong);
    for gate in &training.gates {
        if gate.at_least.is_some() == gate.at_most.is_some() {
            wrong.push(format!(
                "gate {} must set exactly one of atLeast and atMost",
                gate.metric.as_str()
            ));
        }
    }
    if let Some(twice) = twice(training.gates.iter().map(|gate| gate.metric)) {
        wrong.push(format!("gates names {} twice", twice.as_str()));
    }
    if let Some(champion) = &training.not_worse_than {
        check_champion(champion, &mut wrong);
    }
    if let Some(window) = &training.reference {
        check_window(window, &mut wrong);
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(SpecError::Invalid(wrong))
    }
}

fn check_additional(datasets: &[NamedDataset], wrong: &mut Vec<String>) {
    if datasets.len() > MAX_ADDITIONAL {
        wrong.push(format!(
            "additionalDatasets has {} entries, at most {MAX_ADDITIONAL} are read",
            datasets.len()
        ));
    }
    if let Some(twice) = twice(datasets.iter().map(|named| &named.name)) {
        wrong.push(format!("additionalDatasets names {twice:?} twice"));
    }
    for NamedDataset { name, dataset } in datasets {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=40).contains(&name.len())
            || !name.bytes().all(plain)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            wrong.push(format!(
                "additionalDatasets has the name {name:?}, it must be 1 to 40 lower-case letters, digits and '-'"
            ));
        }
        check_dataset(&format!("additional dataset {name:?}"), dataset, wrong);
    }
}

/// A retraining reads both lists, unless it leaves out the training data. A new dataset replaces one of the same name.
fn check_retraining(retraining: &RetrainingSpec, training: &TrainingSource, wrong: &mut Vec<String>) {
    if !retraining.include_training_data {
        return;
    }
    let both = training.additional_datasets.iter().chain(&retraining.datasets);
    let names: BTreeSet<&str> = both.map(|named| named.name.as_str()).collect();
    if names.len() > MAX_ADDITIONAL {
        wrong.push(format!(
            "retraining.datasets and source.training.additionalDatasets have {} names together, at most {MAX_ADDITIONAL} are read: \
             remove some, or set retraining.includeTrainingData to false",
            names.len()
        ));
    }
}

fn check_dataset(place: &str, dataset: &Dataset, wrong: &mut Vec<String>) {
    let sources = [
        dataset.config_map.is_some(),
        dataset.uri.is_some(),
        dataset.persistent_volume_claim.is_some(),
    ];
    if sources.into_iter().filter(|set| *set).count() != 1 {
        wrong.push(format!(
            "{place} must set exactly one of configMap, uri and persistentVolumeClaim"
        ));
    }
    if let Some(uri) = &dataset.uri
        && !uri.starts_with("http://")
        && !uri.starts_with("https://")
        && !is_bucket(uri)
    {
        wrong.push(format!(
            "{place}: uri must start with http:// or https://, or with s3://, gs:// or az://"
        ));
    }
    let scheme = |wanted: fn(&str) -> bool| dataset.uri.as_deref().is_some_and(wanted);
    if dataset.endpoint.is_some() && !scheme(|uri| uri.starts_with("s3://")) {
        wrong.push(format!(
            "{place}: endpoint is the server of an s3:// address; remove it"
        ));
    }
    if dataset.credentials_secret.is_some() && !scheme(is_bucket) {
        wrong.push(format!(
            "{place}: credentialsSecret is for addresses that begin with s3://, gs:// or az://; remove it"
        ));
    }
    check_more_files(place, dataset, wrong);
    let csv = &dataset.csv;
    if !csv.header && csv.columns.is_empty() {
        wrong.push(format!(
            "{place}: csv.columns must be set if the file has no header"
        ));
    }
    if let Some(twice) = twice(csv.columns.iter()) {
        wrong.push(format!("{place}: csv.columns names {twice:?} twice"));
    }
    if !matches!(csv.delimiter.as_str(), "," | ";" | "|" | "\t") {
        wrong.push(format!(
            "{place}: csv.delimiter must be a comma, a semicolon, a bar or a tab"
        ));
    }
    check_notation(place, csv, wrong);
    check_rename(place, csv, wrong);
}

fn check_more_files(place: &str, dataset: &Dataset, wrong: &mut Vec<String>) {
    if dataset.more_files.len() >= MAX_FILES {
        wrong.push(format!(
            "{place}: moreFiles has {} entries, at most {} are read",
            dataset.more_files.len(),
            MAX_FILES - 1
        ));
    }
    if let Some(twice) = twice(dataset.files()) {
        wrong.push(format!("{place}: moreFiles names {:?} twice", shown(twice)));
    }
    let Some(uri) = &dataset.uri else { return };
    let host = |uri: &str| uri.split('/').take(3).map(str::to_owned).collect::<Vec<_>>();
    if let Some(other) = dataset.more_files.iter().find(|file| host(file) != host(uri)) {
        wrong.push(format!(
            "{place}: moreFiles has {:?}, which has another scheme or host than {:?}; make files of another host one of \
             additionalDatasets",
            shown(other),
            shown(uri)
        ));
    }
}

fn check_notation(place: &str, csv: &CsvFormat, wrong: &mut Vec<String>) {
    if !matches!(csv.decimal.as_str(), "." | ",") {
        wrong.push(format!("{place}: csv.decimal must be \".\" or \",\""));
    }
    match csv.thousands.as_deref() {
        Some(thousands) if thousands == csv.decimal => wrong.push(format!(
            "{place}: csv.thousands and csv.decimal must be different characters"
        )),
        None | Some("," | "." | " " | "'" | "_") => {}
        Some(_) => wrong.push(format!(
            "{place}: csv.thousands must be one of \",\", \".\", \" \", \"'\" and \"_\""
        )),
    }
}

fn check_rename(place: &str, csv: &CsvFormat, wrong: &mut Vec<String>) {
    if !csv.header && !csv.rename.is_empty() {
        wrong.push(format!(
            "{place}: csv.rename is for files with a header; csv.columns names the columns of a file without one"
        ));
    }
    for rename in &csv.rename {
        if rename.from.is_some() == rename.position.is_some() {
            wrong.push(format!(
                "{place}: csv.rename to {:?} must set exactly one of from and position",
                rename.to
            ));
        }
        if rename.to.trim().is_empty() {
            wrong.push(format!("{place}: csv.rename has an empty name in to"));
        }
    }
}

fn check_champion(champion: &Champion, wrong: &mut Vec<String>) {
    if !(1..=45).contains(&champion.version.chars().count()) {
        wrong.push("notWorseThan.version must have 1 to 45 characters".to_owned());
    }
    if !(0.0..1.0).contains(&champion.margin.to_f64()) {
        wrong.push(format!(
            "notWorseThan.margin is {}, it must be 0 or more and below 1",
            champion.margin
        ));
    }
}

fn check_window(window: &AcceptedWindow, wrong: &mut Vec<String>) {
    if window.rows < 1 {
        wrong.push(format!(
            "reference.rows is {}, it must be at least 1",
            window.rows
        ));
    }
    if window.start_time >= window.end_time {
        wrong.push("reference.endTime must be after reference.startTime".to_owned());
    }
}

fn check_target(target: &Target, wrong: &mut Vec<String>) {
    if let Some(PositiveWhen { greater_than, equals }) = &target.positive_when
        && greater_than.is_some() == equals.is_some()
    {
        wrong.push("target.positiveWhen must set exactly one of greaterThan and equals".to_owned());
    }
    if target.negative_values.is_empty() {
        return;
    }
    let positive = target
        .positive_when
        .as_ref()
        .and_then(|when| when.equals.as_deref());
    let Some(positive) = positive.map(canonical_category) else {
        wrong.push("target.negativeValues may be set beside target.positiveWhen.equals only".to_owned());
        return;
    };
    let negative = target
        .negative_values
        .iter()
        .map(|value| canonical_category(value));
    if negative.clone().any(|value| value == positive) {
        wrong.push(format!(
            "target.negativeValues names {positive:?}, which is class 1"
        ));
    }
    if let Some(twice) = twice(negative) {
        wrong.push(format!("target.negativeValues names {twice:?} twice"));
    }
}

fn check_features(training: &TrainingSource, wrong: &mut Vec<String>) {
    if let Some(twice) = twice(training.features.iter().map(|feature| &feature.name)) {
        wrong.push(format!("features names {twice:?} twice"));
    }
    for feature in &training.features {
        let name = &feature.name;
        if *name == training.target.column {
            wrong.push(format!("{name:?} is the target and cannot be a feature"));
        }
        if training.exclude.contains(name) {
            wrong.push(format!("{name:?} is in features and in exclude"));
        }
        let numeric = feature.kind == FeatureKind::Numeric;
        if numeric && feature.categories.is_some() {
            wrong.push(format!("feature {name:?} is Numeric and cannot have categories"));
        }
        if let Some(categories) = &feature.categories {
            if categories.is_empty() {
                wrong.push(format!("feature {name:?} has an empty list of categories"));
            }
            if categories.len() > MAX_CATEGORIES {
                wrong.push(format!(
                    "feature {name:?} has {} categories, at most {MAX_CATEGORIES} are read",
                    categories.len()
                ));
            }
            if let Some(twice) = twice(categories.iter().map(|category| canonical_category(category))) {
                wrong.push(format!("feature {name:?} has category {twice:?} twice"));
            }
        }
        if let Some(range) = &feature.range {
            if !numeric {
                wrong.push(format!("feature {name:?} is Categorical and cannot have a range"));
            }
            if range
                .min
                .as_ref()
                .zip(range.max.as_ref())
                .is_some_and(|(min, max)| min > max)
            {
                wrong.push(format!("feature {name:?} has a range whose min is above its max"));
            }
        }
        if let Some(ratio) = &feature.max_missing_ratio
            && !(0.0..=1.0).contains(&ratio.to_f64())
        {
            wrong.push(format!(
                "feature {name:?} has maxMissingRatio {ratio}, it must be between 0 and 1"
            ));
        }
    }
}

fn check_validation(validation: &ValidationSpec, wrong: &mut Vec<String>) {
    if !(2..=20).contains(&validation.folds) {
        wrong.push(format!(
            "validation.folds is {}, it must be 2 to 20",
            validation.folds
        ));
    }
    if !(1..=100).contains(&validation.repeats) {
        wrong.push(format!(
            "validation.repeats is {}, it must be 1 to 100",
            validation.repeats
        ));
    }
    if let Some(held_out) = &validation.held_out
        && !HELD_OUT.contains(&held_out.fraction.to_f64())
    {
        wrong.push(format!(
            "validation.heldOut.fraction is {}, it must be 0.01 to 0.5",
            held_out.fraction
        ));
    }
    if validation.seed < 0 {
        wrong.push(format!(
            "validation.seed is {}, it must not be negative",
            validation.seed
        ));
    }
}

fn check_time_split(training: &TrainingSource, wrong: &mut Vec<String>) {
    let validation = &training.validation;
    let Some(split) = &validation.time_split else {
        return;
    };
    if validation.group_by.is_some() {
        wrong.push(
            "validation.groupBy and validation.timeSplit cannot be set together: a group may have rows in several blocks of time"
                .to_owned(),
        );
    }
    if validation.repeats != 1 {
        wrong.push(format!(
            "validation.repeats is {}, it must be 1 with validation.timeSplit: rows have one order in time",
            validation.repeats
        ));
    }
    if !(0..=MAX_GAP_SECONDS).contains(&split.gap_seconds) {
        wrong.push(format!(
            "validation.timeSplit.gapSeconds is {}, it must be 0 to {MAX_GAP_SECONDS}",
            split.gap_seconds
        ));
    }
    if validation.folds < 3 && training.learns_from_scores() {
        wrong.push(
            "validation.timeSplit with a calibration, a chosen threshold or an ensemble needs validation.folds of at least 3: they are learnt from earlier \
             folds"
                .to_owned(),
        );
    }
}

/// A column has one role.
fn check_row_columns(training: &TrainingSource, wrong: &mut Vec<String>) {
    let mut taken: Vec<(&str, &String)> = Vec::new();
    for (field, column) in training.row_columns() {
        if column.trim().is_empty() {
            wrong.push(format!("{field} must name a column"));
        }
        if *column == training.target.column {
            wrong.push(format!("{field} names {column:?}, which is the target"));
        }
        if training.features.iter().any(|feature| feature.name == *column) {
            wrong.push(format!(
                "{column:?} is in features, and {field} names it: such a column is not a feature"
            ));
        }
        if let Some((other, _)) = taken.iter().find(|(_, name)| *name == column) {
            wrong.push(format!("{field} and {other} both name {column:?}"));
        }
        taken.push((field, column));
    }
}

fn twice<T: Ord + Clone>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|item| !seen.insert(item.clone()))
}

/// When a row is of class 1, in words.
pub fn positive_when(target: &Target) -> String {
    let column = &target.column;
    match &target.positive_when {
        Some(PositiveWhen {
            greater_than: Some(bound),
            ..
        }) => format!("{column} > {bound}"),
        Some(PositiveWhen {
            equals: Some(text), ..
        }) => format!("{column} is {text:?}"),
        _ => format!("{column} is 1"),
    }
}

/// The name of the dataset in the spec, which does not depend on where the file is read from. Parts of an address that may be
/// secret (user, password, query) are left out.
pub fn source_name(dataset: &Dataset) -> String {
    let first = first_file_name(dataset);
    match dataset.more_files.len() {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn first_file_name(dataset: &Dataset) -> String {
    if let Some(source) = &dataset.config_map {
        return format!("configMap {}/{}", source.name, source.key);
    }
    if let Some(source) = &dataset.persistent_volume_claim {
        return format!("persistentVolumeClaim {}/{}", source.claim_name, source.path);
    }
    dataset
        .uri
        .as_deref()
        .map(crate::data::source::shown)
        .unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const HEART: &str = r#"
apiVersion: modelward.io/v1alpha1
kind: ModelVersion
metadata: {name: heart-1}
spec:
  model: heart
  source:
    training:
      dataset:
        configMap: {name: heart-disease, key: cleveland.csv}
        csv: {header: false, columns: [age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal, num], missing: ["?"]}
      target: {column: num, positiveWhen: {greaterThan: "0"}}
      features: [{name: sex, kind: Categorical}, {name: cp, kind: Categorical}, {name: ca, kind: Numeric}]
      families: [LogisticRegression]
      validation: {folds: 5, repeats: 10, seed: 7}
      selectBy: F1
      gates: [{metric: F1, atLeast: "0.75"}]
  serving: {replicas: {min: 2, max: 4}, access: Open}
"#;

    /// The sample, then a file behind an address, then one on a volume.
    pub(crate) fn three_datasets() -> Spec {
        let more = "      additionalDatasets:\n        - {name: online, dataset: {uri: 'https://example.org/more.csv'}}\n        - \
                    {name: volume, dataset: {persistentVolumeClaim: {claimName: data, path: last.csv}}}\n      target:";
        parse(&HEART.replace("      target:", more)).unwrap()
    }

    #[test]
    fn yaml_and_json_of_one_object_are_equal() {
        let yaml = parse(HEART).unwrap();
        let object: ModelVersion = serde_saphyr::from_str(HEART).unwrap();
        let json = parse(&serde_json::to_string(&object).unwrap()).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(positive_when(&yaml.training.target), "num > 0");
        assert_eq!(
            source_name(&yaml.training.dataset),
            "configMap heart-disease/cleveland.csv"
        );
    }

    #[test]
    fn an_artifact_is_not_trained_and_the_error_says_so() {
        let bundle = format!("sha256:{}", "ab".repeat(32));
        let text = format!(
            "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: heart-2}}\nspec:\n  model: heart\n  \
             source: {{artifact: {{bundle: '{bundle}'}}}}\n  serving: {{access: Open}}\n"
        );
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("source.artifact") && error.contains(&bundle),
            "{error}"
        );
        let neither = text.replace(&format!("{{artifact: {{bundle: '{bundle}'}}}}"), "{}");
        let error = parse(&neither).unwrap_err().to_string();
        assert!(error.contains("exactly one of training and artifact"), "{error}");
    }

    #[test]
    fn what_a_retraining_adds_is_checked_too() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let more = format!(
            "      additionalDatasets:\n        - {{name: hungarian, dataset: {{configMap: {{name: h, key: h.csv}}}}}}\n      \
             notWorseThan: {{version: heart-1, bundle: '{digest}'}}\n      \
             reference: {{counts: '{digest}', rows: 147, startTime: '2026-11-23T10:00:00Z', endTime: '2026-11-23T11:00:00Z'}}\n  \
             serving:"
        );
        let good = HEART.replace("  serving:", &more);
        let training = parse(&good).unwrap().training;
        assert_eq!(training.datasets().count(), 2);
        assert_eq!(training.not_worse_than.unwrap().margin, "0.03".parse().unwrap());
        let bad = good
            .replace("name: hungarian", "name: Hungarian")
            .replace("{configMap: {name: h, key: h.csv}}", "{csv: {header: false}}")
            .replace("version: heart-1,", "version: heart-1, margin: '1.5',")
            .replace("rows: 147", "rows: 0")
            .replace("T11:00", "T09:00");
        let error = parse(&bad).unwrap_err().to_string();
        for part in [
            "\"Hungarian\"",
            "exactly one of configMap",
            "csv.columns must be set",
            "margin is 1.5",
            "rows is 0",
            "endTime must be after",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn a_retraining_that_would_read_too_many_datasets_is_refused() {
        let list = |names: std::ops::Range<u8>| -> String {
            let dataset =
                |at: u8| format!("{{name: d{at}, dataset: {{uri: 'https://example.com/{at}.csv'}}}}");
            names.map(dataset).collect::<Vec<_>>().join(", ")
        };
        let with = |names, more: &str| {
            let additional = format!("      additionalDatasets: [{}]\n      target:", list(0..7));
            let text = HEART.replace("      target:", &additional);
            parse(&format!(
                "{text}  retraining: {{datasets: [{}]{more}}}\n",
                list(names)
            ))
        };
        let error = with(7..9, "").unwrap_err().to_string();
        assert!(
            error.contains("have 9 names together, at most 8 are read"),
            "{error}"
        );
        assert!(with(6..8, "").is_ok(), "a dataset of the same name is replaced");
        assert!(with(7..9, ", includeTrainingData: false").is_ok());
    }

    #[test]
    fn every_contradiction_is_reported_at_once() {
        let text = HEART
            .replace("folds: 5", "folds: 1")
            .replace(
                "key: cleveland.csv}",
                "key: cleveland.csv}\n        uri: https://example.org/x.csv",
            )
            .replace("{name: sex,", "{name: num,")
            .replace(r#"atLeast: "0.75""#, r#"atLeast: "0.75", atMost: "1""#);
        let error = parse(&text).unwrap_err().to_string();
        for part in [
            "validation.folds",
            "exactly one of configMap",
            "\"num\" is the target",
            "gate F1",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn a_column_has_one_role() {
        let with = |validation: &str| parse(&HEART.replace("{folds: 5, repeats: 10, seed: 7}", validation));
        let good = with("{groupBy: \"age\"}").unwrap().training;
        assert!(!good.is_feature("age") && good.is_feature("chol"));
        for (validation, part) in [
            (
                "{groupBy: num}",
                "validation.groupBy names \"num\", which is the target",
            ),
            (
                "{groupBy: cp}",
                "\"cp\" is in features, and validation.groupBy names it",
            ),
            (
                "{groupBy: age}\n      weights: {column: age}",
                "weights.column and validation.groupBy both name \"age\"",
            ),
            (
                "{folds: 5}\n      weights: {column: num}",
                "weights.column names \"num\", which is the target",
            ),
            (
                "{groupBy: age, timeSplit: {column: chol, gapSeconds: -1}}",
                "validation.groupBy and validation.timeSplit cannot be set together",
            ),
            ("{timeSplit: {column: chol, gapSeconds: -1}}", "gapSeconds is -1"),
            (
                "{timeSplit: {column: chol}}",
                "validation.repeats is 10, it must be 1",
            ),
            (
                "{folds: 2, repeats: 1, timeSplit: {column: chol}}\n      calibration: Platt",
                "needs validation.folds of at least 3",
            ),
            (
                "{heldOut: {fraction: '0.9'}}",
                "heldOut.fraction is 0.9, it must be 0.01 to 0.5",
            ),
            ("{groupBy: ' '}", "validation.groupBy must name a column"),
        ] {
            let error = with(validation).unwrap_err().to_string();
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn how_a_file_is_written_and_the_values_of_the_target_are_checked() {
        let written = |csv: &str, target: &str| {
            let start = HEART.find("csv: {").unwrap() + "csv: ".len();
            let end = start + HEART[start..].find('}').unwrap() + 1;
            let text = format!("{}{csv}{}", &HEART[..start], &HEART[end..]);
            parse(&text.replace("{greaterThan: \"0\"}", target))
        };
        let good = written(
            "{decimal: ',', thousands: ' ', rename: [{position: 1, to: row}]}",
            "{equals: sick}, negativeValues: [well]",
        );
        assert_eq!(good.unwrap().training.target.negative_values, ["well"]);
        let error = written(
            "{header: false, columns: [a], decimal: ';', thousands: x, rename: [{to: ' '}]}",
            "{equals: '1'}, negativeValues: ['1.0', '0', '0.0']",
        );
        let error = error.unwrap_err().to_string();
        for part in [
            "csv.decimal must be",
            "csv.thousands must be",
            "csv.rename is for files with a header",
            "exactly one of from and position",
            "empty name in to",
            "names \"1\", which is class 1",
            "names \"0\" twice",
        ] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        let error = written(
            "{decimal: ',', thousands: ','}",
            "{greaterThan: '0'}, negativeValues: ['0']",
        );
        let error = error.unwrap_err().to_string();
        for part in ["different characters", "beside target.positiveWhen.equals"] {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
    }

    #[test]
    fn names_are_read_in_their_composed_form_and_the_digest_is_that_of_what_was_written() {
        let apart = HEART.replace("name: ca,", "name: \"a\u{302}ge\",");
        let version = parse(&apart).unwrap();
        assert_eq!(version.training.features[2].name, "\u{e2}ge");
        assert_ne!(version.digest, training_digest(&version.training).unwrap());
        let version = parse(HEART).unwrap();
        assert_eq!(version.digest, training_digest(&version.training).unwrap());
    }

    #[test]
    fn names_in_expectations_are_read_in_their_composed_form() {
        let mut training: TrainingSource = serde_json::from_value(serde_json::json!({
            "dataset": {"configMap": {"name": "a", "key": "a.csv"}}, "target": {"column": "y"},
            "expectations": [
                {"type": "ExpectColumnToExist", "column": "e\u{301}"},
                {"type": "ExpectColumnPairValuesToBeEqual", "columnA": "e\u{301}", "columnB": "o\u{308}"},
                {"type": "ExpectTableColumnsToMatchSet", "columnSet": ["x", "e\u{301}"]},
                {"type": "ExpectTableColumnsToMatchOrderedList", "columnList": ["e\u{301}", "x"]},
            ],
        }))
        .unwrap();
        normalize_names(&mut training);
        let [one, pair, set, list] = training.expectations.as_slice() else {
            panic!("four expectations");
        };
        let text = |name: &Option<String>| name.clone().unwrap();
        assert_eq!(text(&one.column), "\u{e9}");
        assert_eq!(
            (text(&pair.column_a), text(&pair.column_b)),
            ("\u{e9}".into(), "\u{f6}".into())
        );
        assert_eq!(set.column_set.clone().unwrap(), ["x", "\u{e9}"]);
        assert_eq!(list.column_list.clone().unwrap(), ["\u{e9}", "x"]);
    }

    #[test]
    fn a_column_may_be_named_like_a_boolean_of_old() {
        let version = parse(&HEART.replace("column: num", "column: y")).unwrap();
        assert_eq!(version.training.target.column, "y");
    }

    #[test]
    fn another_kind_is_named_in_the_error() {
        let error = parse("apiVersion: apps/v1\nkind: Deployment\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("apps/v1") && error.contains("Deployment"),
            "{error}"
        );
    }

    #[test]
    fn an_unknown_field_is_named_in_the_error() {
        let error = parse(&HEART.replace("selectBy", "selectedBy"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("selectedBy"), "{error}");
    }

    #[test]
    fn what_is_no_yaml_is_refused_without_panic() {
        for text in ["", "\t", "{", "[1, 2", "a: b: c", "\u{0}"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
