//! Putting together the files of a bundle.

use std::fmt::Write as _;

use askama::Template;
use modelward_crds::{Gate, MetricName};
use modelward_model::{
    BUNDLE_FORMAT, BundleError, BundleInfo, DirBuilder, FeatureKind, Row, Value, WarmUp, bundle::file,
    files::json,
};
use modelward_wire::{Decimal, Digest, GateResult, ManifestKind, MetricValue, SourceRecord};
use serde::Serialize;

use crate::{
    data::snapshot::Snapshot,
    family::{ModelReport, Parameters},
    fit::{
        compare::Comparison,
        reference::{self, ReferenceError, Window},
        train::{Candidate, Plan, THRESHOLD, Trained},
    },
};

/// Rows of the warm-up sample, beside one in which everything that may be missing is.
const WARM_UP_ROWS: usize = 32;

/// Why a bundle could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// A part cannot be written as JSON.
    #[error("a part of the bundle cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The model card cannot be rendered.
    #[error("the model card cannot be rendered")]
    Card(#[from] askama::Error),
    /// A row of the snapshot cannot be read back as a request would be.
    #[error("the warm-up sample cannot be recorded")]
    WarmUp(#[from] BundleError),
    /// The training data cannot be counted.
    #[error("the drift reference cannot be made")]
    Reference(#[from] ReferenceError),
    /// The threshold cannot be written as a decimal number.
    #[error("the threshold {0} cannot be written as a decimal number")]
    Threshold(f64),
}

/// The content of `metrics.json`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricsFile<'a> {
    format: u32,
    folds: FoldsInfo,
    threshold: Decimal,
    select_by: &'static str,
    selected: &'static str,
    gates: &'a [Gate],
    #[serde(skip_serializing_if = "Option::is_none")]
    not_worse_than: Option<&'a Comparison>,
    candidates: Vec<CandidateInfo<'a>>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FoldsInfo {
    kind: &'static str,
    folds: usize,
    repeats: usize,
    seed: u64,
    shuffle: &'static str,
    standard_error: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInfo<'a> {
    family: &'static str,
    parameters: &'a Parameters,
    metrics: Vec<MetricInfo>,
    folds: Vec<FoldInfo>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricInfo {
    name: &'static str,
    mean: f64,
    standard_error: f64,
}

#[derive(Clone, Debug, Serialize)]
struct FoldInfo {
    repeat: usize,
    fold: usize,
    rows: usize,
    metrics: serde_json::Map<String, serde_json::Value>,
}

/// The page for people. askama escapes what comes from the data.
#[derive(Template)]
#[template(path = "model-card.html")]
struct Card<'a> {
    model: &'a str,
    family: &'a str,
    positive_when: &'a str,
    threshold: &'a Decimal,
    rows: u64,
    positive_rows: u64,
    snapshot: String,
    sources: &'a [SourceRecord],
    folds: usize,
    repeats: usize,
    seed: u64,
    select_by: &'static str,
    candidates: Vec<CardCandidate>,
    comparison: Option<&'a Comparison>,
    window: Option<CardWindow>,
    features: Vec<CardFeature<'a>>,
    /// Whether anything stands for the missing values of a feature.
    imputes: bool,
    report: &'a ModelReport,
}

struct CardWindow {
    rows: i64,
    start: String,
    end: String,
}

struct CardCandidate {
    family: &'static str,
    selected: bool,
    metrics: Vec<MetricValue>,
}

struct CardFeature<'a> {
    name: &'a str,
    kind: &'static str,
    values: String,
    required: bool,
    missing: String,
    imputed: Option<&'a str>,
}

/// The decision threshold as it is reported and served.
pub fn threshold() -> Result<Decimal, AssembleError> {
    Decimal::rounded(THRESHOLD, 1).ok_or(AssembleError::Threshold(THRESHOLD))
}

/// Every gate with its outcome, and that of the comparison with the champion.
pub fn outcomes(candidate: &Candidate, gates: &[Gate], comparison: Option<&Comparison>) -> Vec<GateResult> {
    let mut outcomes = candidate.gates(gates);
    outcomes.extend(comparison.into_iter().flat_map(Comparison::gates));
    outcomes
}

/// What a bundle has beside what every one has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// The sha256 of the training that the spec asks for.
    pub training: Option<Digest>,
    /// What came of comparing with the champion, where there is one.
    pub comparison: Option<&'a Comparison>,
    /// The window that traffic is compared with, where it is not the training data.
    pub window: Option<&'a Window>,
    /// The rows that the champion was not trained on.
    pub new_rows: &'a [usize],
}

/// The files of a bundle. The same snapshot, plan, gates and extras give the same bytes.
pub fn build(
    model: &str,
    snapshot: &Snapshot,
    plan: &Plan,
    gates: &[Gate],
    trained: &Trained,
    extras: Extras<'_>,
) -> Result<DirBuilder, AssembleError> {
    let candidate = &trained.candidates[trained.selected];
    let threshold = threshold()?;
    let info = BundleInfo {
        format: BUNDLE_FORMAT,
        model: model.to_owned(),
        family: candidate.family.to_owned(),
        threshold,
        snapshot: snapshot.digest,
        rows: snapshot.info.rows,
        positive_rows: snapshot.info.positive_rows,
        target: snapshot.info.target.clone(),
        selected_by: plan.select_by.as_str().to_owned(),
        metrics: candidate.reported.clone(),
        gates: outcomes(candidate, gates, extras.comparison),
        training: extras.training,
    };
    let warm_up = WarmUp::record(
        &snapshot.data.schema,
        trained.fitted.scorer(),
        &warm_up_rows(snapshot),
    )?;
    let reference = match extras.window {
        Some(window) => window.with_scores(snapshot.data.len(), extras.new_rows, candidate)?,
        None => reference::reference(&snapshot.data, candidate)?,
    };
    let of_family = trained.fitted.files()?;
    let mlmodel = mlmodel(snapshot, &info, of_family.iter().map(|(name, _)| *name))?;
    let mut files = DirBuilder::new(ManifestKind::Bundle)
        .with(file::INFO, json(&info)?)
        .with(file::SCHEMA, json(&snapshot.data.schema)?)
        .with(file::WARM_UP, json(&warm_up)?)
        .with(
            file::METRICS,
            json(&metrics_file(
                plan,
                gates,
                trained,
                &info.threshold,
                extras.comparison,
            ))?,
        )
        .with(file::OUT_OF_FOLD, out_of_fold(snapshot, candidate))
        .with(file::REFERENCE, json(&reference)?)
        .with(file::CARD, card(snapshot, plan, trained, &info, extras)?)
        .with(file::MLMODEL, mlmodel);
    for (name, bytes) in of_family {
        files = files.with(name, bytes);
    }
    Ok(match extras.window {
        Some(window) => files.with(file::ACCEPTED_WINDOW, json(&window.accepted)?),
        None => files,
    })
}

/// Rows at equal distances over the snapshot, and one that misses everything it may.
fn warm_up_rows(snapshot: &Snapshot) -> Vec<Row> {
    let rows = &snapshot.data.rows;
    let count = WARM_UP_ROWS.min(rows.len());
    let mut sample: Vec<Row> = (0..count)
        .map(|at| rows[at * rows.len() / count].clone())
        .collect();
    if let Some(first) = sample.first() {
        let features = &snapshot.data.schema.features;
        let values = features.iter().zip(first.values());
        sample.push(Row::new(
            values
                .map(|(f, v)| if f.required { *v } else { Value::Missing })
                .collect(),
        ));
    }
    sample
}

fn metrics_file<'a>(
    plan: &Plan,
    gates: &'a [Gate],
    trained: &'a Trained,
    threshold: &Decimal,
    not_worse_than: Option<&'a Comparison>,
) -> MetricsFile<'a> {
    let candidates = trained.candidates.iter().map(|candidate| CandidateInfo {
        family: candidate.family,
        parameters: &candidate.parameters,
        metrics: MetricName::ALL
            .iter()
            .zip(&candidate.estimates)
            .map(|(name, estimate)| MetricInfo {
                name: name.as_str(),
                mean: estimate.mean,
                standard_error: estimate.standard_error,
            })
            .collect(),
        folds: candidate
            .folds
            .iter()
            .map(|fold| FoldInfo {
                repeat: fold.repeat,
                fold: fold.fold,
                rows: fold.rows.len(),
                metrics: MetricName::ALL
                    .iter()
                    .zip(fold.metrics)
                    .map(|(name, value)| (name.as_str().to_owned(), value.into()))
                    .collect(),
            })
            .collect(),
    });
    MetricsFile {
        format: BUNDLE_FORMAT,
        folds: FoldsInfo {
            kind: "repeated stratified folds",
            folds: plan.folds,
            repeats: plan.repeats,
            seed: plan.seed,
            shuffle: "SplitMix64, Fisher-Yates a class, dealt in turn",
            standard_error: "sd * sqrt(1/J + n_test/n_train), Nadeau and Bengio 2003",
        },
        threshold: threshold.clone(),
        select_by: plan.select_by.as_str(),
        selected: trained.candidates[trained.selected].family,
        gates,
        not_worse_than,
        candidates: candidates.collect(),
    }
}

/// One line a row and repeat, in the order of repeats, then rows. 17 digits name a double exactly.
fn out_of_fold(snapshot: &Snapshot, candidate: &Candidate) -> String {
    let data = &snapshot.data;
    let mut scores: Vec<(usize, usize, usize, f64)> = candidate
        .folds
        .iter()
        .flat_map(|fold| {
            let rows = fold.rows.iter().zip(&fold.scores);
            rows.map(|(row, score)| (fold.repeat, *row, fold.fold, *score))
        })
        .collect();
    scores.sort_by_key(|(repeat, row, ..)| (*repeat, *row));
    let hashes: Vec<String> = (0..data.len()).map(|row| data.row_hash(row)).collect();
    let mut text = "row,row_hash,repeat,fold,label,score\n".to_owned();
    for (repeat, row, fold, score) in scores {
        let label = u8::from(data.labels[row]);
        let _ = writeln!(
            text,
            "{},{},{repeat},{fold},{label},{score:.16e}",
            row + 1,
            hashes[row]
        );
    }
    text
}

fn card(
    snapshot: &Snapshot,
    plan: &Plan,
    trained: &Trained,
    info: &BundleInfo,
    extras: Extras<'_>,
) -> Result<String, askama::Error> {
    let report = trained.fitted.report();
    let features = snapshot.data.schema.features.iter().map(|feature| {
        let (kind, values) = match &feature.kind {
            FeatureKind::Numeric { min, max } => {
                let end = |end: &Option<f64>| end.map_or("…".to_owned(), |end| end.to_string());
                ("Numeric", format!("{} to {}", end(min), end(max)))
            }
            FeatureKind::Categorical { categories } => ("Categorical", categories.join(", ")),
        };
        let missing = snapshot
            .info
            .columns
            .iter()
            .find(|column| column.name == feature.name);
        CardFeature {
            name: &feature.name,
            kind,
            values,
            required: feature.required,
            missing: missing.map_or("unknown".to_owned(), |column| column.missing.to_string()),
            imputed: report.imputed.get(&feature.name).map(String::as_str),
        }
    });
    Card {
        model: &info.model,
        family: &info.family,
        positive_when: &info.target.positive_when,
        threshold: &info.threshold,
        rows: info.rows,
        positive_rows: info.positive_rows,
        snapshot: info.snapshot.to_string(),
        sources: &snapshot.info.sources,
        folds: plan.folds,
        repeats: plan.repeats,
        seed: plan.seed,
        select_by: plan.select_by.as_str(),
        candidates: trained
            .candidates
            .iter()
            .enumerate()
            .map(|(index, candidate)| CardCandidate {
                family: candidate.family,
                selected: index == trained.selected,
                metrics: candidate.reported.clone(),
            })
            .collect(),
        comparison: extras.comparison,
        window: extras.window.map(|window| CardWindow {
            rows: window.accepted.rows,
            start: window.accepted.start_time.0.to_string(),
            end: window.accepted.end_time.0.to_string(),
        }),
        features: features.collect(),
        imputes: !report.imputed.is_empty(),
        report: &report,
    }
    .render()
}

/// `MLflow`'s description without its clock, run id and uuid, which would make each digest new.
fn mlmodel<'a>(
    snapshot: &Snapshot,
    info: &BundleInfo,
    of_family: impl Iterator<Item = &'a str>,
) -> Result<String, serde_json::Error> {
    let inputs: Vec<serde_json::Value> = snapshot
        .data
        .schema
        .features
        .iter()
        .map(|feature| {
            let kind = match feature.kind {
                FeatureKind::Numeric { .. } => "float",
                FeatureKind::Categorical { .. } => "string",
            };
            serde_json::json!({"name": feature.name, "type": kind, "required": feature.required})
        })
        .collect();
    let outputs = serde_json::json!([{"name": "probability", "type": "double", "required": true}]);
    // A JSON text is a YAML text: names from the data need no escaping of their own.
    let text = |value: &serde_json::Value| serde_json::to_string(&value.to_string());
    let quoted = |value: &str| serde_json::to_string(value);
    let mut files = String::new();
    for name in std::iter::once(file::SCHEMA).chain(of_family) {
        let key = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let _ = writeln!(files, "    {key}: {}", quoted(name)?);
    }
    Ok(format!(
        "flavors:\n  modelward:\n    bundle_format: {BUNDLE_FORMAT}\n    family: {}\n{files}    \
         threshold: {}\nmetadata:\n  model: {}\n  snapshot: {}\nsignature:\n  inputs: {}\n  outputs: {}\n",
        quoted(&info.family)?,
        quoted(info.threshold.as_str())?,
        quoted(&info.model)?,
        quoted(&info.snapshot.to_string())?,
        text(&inputs.into())?,
        text(&outputs)?,
    ))
}

#[cfg(test)]
mod tests {
    use modelward_model::{
        Bundle, TargetInfo, encode::TRANSFORMS_FILE, family::logistic::MODEL_FILE, sha256,
    };

    use super::*;
    use crate::{
        data::{check::Checked, dataset::Dataset, snapshot},
        fit::train::{
            tests::{data, plan},
            train,
        },
    };

    fn frozen(data: Dataset) -> Snapshot {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        let target = TargetInfo {
            column: "y".into(),
            positive_when: "y is 1".into(),
        };
        let checked = Checked {
            dataset: data,
            columns: Vec::new(),
        };
        snapshot::build(&checked, vec![], target, vec![])
            .unwrap()
            .write(&dir)
            .unwrap();
        snapshot::open(&dir, None).unwrap()
    }

    fn built(threads: usize) -> DirBuilder {
        let snapshot = frozen(data());
        let trained = train(&snapshot.data, &plan(), threads, &|_| ()).unwrap();
        build("heart", &snapshot, &plan(), &[], &trained, Extras::default()).unwrap()
    }

    #[test]
    fn the_server_opens_it_and_scores_as_the_trainer_did() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let (_, digest) = built(1).write(&dir).unwrap();
        let bundle = Bundle::open(&dir, &digest).unwrap();
        assert_eq!(bundle.verify_warm_up().unwrap(), WARM_UP_ROWS + 1);
        let trained = train(&data(), &plan(), 1, &|_| ()).unwrap();
        for row in &data().rows {
            assert_eq!(
                bundle.score(row).to_bits(),
                trained.fitted.scorer().score(row).to_bits()
            );
        }
    }

    #[test]
    fn the_same_snapshot_and_plan_have_the_same_digest_whatever_the_threads() {
        let digest = |threads| built(threads).manifest().unwrap().2;
        assert_eq!(digest(1), digest(1));
        assert_eq!(digest(1), digest(4));
    }

    /// Files of a bundle have these digests, the snapshot's being fixed.
    fn assert_digests<const N: usize>(expected: [(&str, &str); N]) {
        let snapshot = Snapshot {
            digest: sha256(b"snapshot"),
            ..frozen(data())
        };
        let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
        let files = build("heart", &snapshot, &plan(), &[], &trained, Extras::default()).unwrap();
        let (manifest, ..) = files.manifest().unwrap();
        let found = expected.map(|(name, _)| (name, manifest.file(name).unwrap().sha256.to_string()));
        assert_eq!(found, expected.map(|(name, hex)| (name, format!("sha256:{hex}"))));
    }

    #[test]
    fn files_without_the_last_digits_of_the_solver_are_pinned() {
        assert_digests([
            (
                file::INFO,
                "e7ee725c95fd2051d2c4d8aecdd5371b655449c48c3703a87acc6c1c5af3b173",
            ),
            (
                file::SCHEMA,
                "d1cc66db079384587d7309bca313acc04fdfeb56f1e7535458b2f4df0e8853d0",
            ),
            (
                TRANSFORMS_FILE,
                "b13f41865793862432286333b1db1b185d00570c33d743649e9d818d93a5cab1",
            ),
            (
                file::CARD,
                "1846a7e8ce1ad337a4462185037cb3e9a9caeab87d4d33011568f518dadf1af9",
            ),
            (
                file::MLMODEL,
                "9830392b8f3f7fd301efc58bdbebe2222fd701e53655581641605a0f4fa0990f",
            ),
        ]);
    }

    /// The solver uses the C library's `exp`, whose last bits differ between libraries and between processors.
    #[cfg(all(target_arch = "x86_64", target_os = "linux", target_env = "gnu"))]
    #[test]
    fn files_with_the_last_digits_of_the_solver_are_pinned_on_one_platform() {
        if !std::arch::is_x86_feature_detected!("fma") {
            return;
        }
        assert_digests([
            (
                MODEL_FILE,
                "68f4290e90afbfe264200fa33581cf853afabdb057eb0da0e9dab6614d7c7ae6",
            ),
            (
                file::WARM_UP,
                "a286faa2d115e551551261917df8d31707f6d6c47a0b4a8d2a3e1a5fc08a26ea",
            ),
            (
                file::METRICS,
                "61fadbd34094e0b7fd2ca8e896d3d3cbfc355ee44c86164c097ae5e82a5e2235",
            ),
            (
                file::OUT_OF_FOLD,
                "f2a9b1dd118f73b6ab294056f5a13fb3373396bf65b9056faf18b9108c3c3e47",
            ),
            (
                file::REFERENCE,
                "3981c9d133eb45b1e34147c37a4f35b3f11ad761d3229f528a586df1ffe4ff0c",
            ),
        ]);
    }

    #[test]
    fn out_of_fold_scores_read_back_to_the_same_bits() {
        let snapshot = frozen(data());
        let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
        let text = out_of_fold(&snapshot, &trained.candidates[0]);
        assert_eq!(text.lines().count(), 1 + 3 * 60);
        let line: Vec<&str> = text.lines().nth(1).unwrap().split(',').collect();
        let fold = trained.candidates[0]
            .folds
            .iter()
            .find(|fold| fold.rows.contains(&0))
            .unwrap();
        let at = fold.rows.iter().position(|row| *row == 0).unwrap();
        assert_eq!(
            line[5].parse::<f64>().unwrap().to_bits(),
            fold.scores[at].to_bits()
        );
    }

    #[test]
    fn names_from_the_data_cannot_break_out_of_the_card_or_the_yaml() {
        let mut evil = data();
        evil.schema.features[0].name = "<script>alert(1)</script>\"\n- x: 'y".into();
        let snapshot = frozen(evil);
        let trained = train(&snapshot.data, &plan(), 1, &|_| ()).unwrap();
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        build("heart", &snapshot, &plan(), &[], &trained, Extras::default())
            .unwrap()
            .write(&dir)
            .unwrap();
        let card = std::fs::read_to_string(dir.join(file::CARD)).unwrap();
        assert!(!card.contains("<script>"), "{card}");
        let yaml = std::fs::read_to_string(dir.join(file::MLMODEL)).unwrap();
        let parsed: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        let inputs: serde_json::Value =
            serde_json::from_str(parsed["signature"]["inputs"].as_str().unwrap()).unwrap();
        assert_eq!(inputs[0]["name"], snapshot.data.schema.features[0].name);
        for word in ["utc_time", "run_id", "uuid"] {
            assert!(!yaml.contains(word));
        }
    }
}
