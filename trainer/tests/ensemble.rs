//! An ensemble of four families on the heart data, made by the program: what is in its bundle, what it answers, and what of it is refused
//! when it is damaged.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::{
    error::Error as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use modelward_model::{
    Bundle, Calibration, Derivation, Family, FamilyFiles, FeatureSchema, Row, Scorer, TransformFile,
    family::{
        columns::MODEL_FILE,
        ensemble::{ENSEMBLE_FILE, EnsembleFile, MEMBER_FAMILIES, member_file},
    },
    files::{DirBuilder, json},
};
use modelward_trainer::data::snapshot;
use modelward_wire::ManifestKind;
use serde_json::{Value, json};
use tempfile::TempDir;

const TRAINER: &str = env!("CARGO_BIN_EXE_modelward-trainer");

/// Everything that is learnt from scores, and a vote in any case.
const ALWAYS: &str = "      families: [LogisticRegression, RandomForest, XGBoost, LightGBM]
      ensemble: {maxMembers: 4, use: Always}
      calibration: Platt
      threshold: {maximise: F1}
";

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(TRAINER);
    command
        .args(arguments)
        .env("RUST_LOG", "error")
        .env("NO_COLOR", "1");
    command.output().unwrap()
}

/// The heart sample with these families, and fewer folds if nothing is said of them.
fn spec(dir: &Path, training: &str) -> PathBuf {
    let sample = fs::read_to_string(samples().join("heart-1.yaml")).unwrap();
    let folds = "      validation: {folds: 5, repeats: 10, seed: 7}\n";
    let quick = "      validation: {folds: 4, repeats: 2, seed: 7}\n";
    let quick = if training.contains("validation:") {
        ""
    } else {
        quick
    };
    let text = sample
        .replace(folds, quick)
        .replace("      families: [LogisticRegression]\n", training);
    assert!(text.contains(training) && !text.contains(folds));
    let path = dir.join("spec.yaml");
    fs::write(&path, text).unwrap();
    path
}

/// Trains, and returns the result with the directory of the bundle.
fn fit(dir: &Path, training: &str, threads: &str) -> (Value, PathBuf) {
    let (spec, data) = (spec(dir, training), samples().join("heart-disease/cleveland.csv"));
    let out = dir.join(format!("bundle-{threads}"));
    let output = run(&[
        "fit",
        "--spec",
        text(&spec),
        "--source",
        text(&data),
        "--out",
        text(&out),
        "--threads",
        threads,
    ]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (serde_json::from_slice(&output.stdout).unwrap(), out)
}

struct Trained {
    _temp: TempDir,
    result: Value,
    bundle: PathBuf,
}

/// The bundle of [`ALWAYS`], made once for all tests of a process.
fn trained() -> &'static Trained {
    static TRAINED: OnceLock<Trained> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let temp = tempfile::tempdir().unwrap();
        let (result, bundle) = fit(temp.path(), ALWAYS, "2");
        Trained {
            _temp: temp,
            result,
            bundle,
        }
    })
}

fn read_json(bundle: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(bundle.join(name)).unwrap()).unwrap()
}

/// A member as a bundle of its own would score: its files by the names of its family, and its calibration.
struct Alone {
    weight: f64,
    scorer: std::sync::Arc<dyn Scorer>,
    calibration: Option<Calibration>,
}

fn members(bundle: &Path, schema: &FeatureSchema) -> Vec<Alone> {
    let file: EnsembleFile = serde_json::from_value(read_json(bundle, ENSEMBLE_FILE)).unwrap();
    let alone = file.members.into_iter().enumerate().map(|(at, member)| {
        let family: &dyn Family = MEMBER_FAMILIES.find(&member.family).unwrap();
        let names = family.files().iter();
        let files = names.map(|name| {
            (
                *name,
                fs::read(bundle.join(member_file(at, name).unwrap())).unwrap(),
            )
        });
        let files: Vec<(&'static str, Vec<u8>)> = files.collect();
        let scorer = family
            .load(&FamilyFiles::of_bytes(family, &files), schema)
            .unwrap();
        Alone {
            weight: f64::from(member.weight),
            scorer,
            calibration: member.calibration,
        }
    });
    alone.collect()
}

fn vote(members: &[Alone], row: &Row) -> f64 {
    let total: f64 = members.iter().map(|member| member.weight).sum();
    let probability = |member: &Alone| {
        let score = member.scorer.score(row);
        member.calibration.as_ref().map_or(score, |by| by.apply(score))
    };
    let sum: f64 = members
        .iter()
        .map(|member| member.weight * probability(member))
        .sum();
    sum / total
}

/// The rows of the heart data as the snapshot of a spec has them.
fn rows(dir: &Path, training: &str) -> (FeatureSchema, Vec<Row>) {
    let (spec, data) = (spec(dir, training), samples().join("heart-disease/cleveland.csv"));
    let out = dir.join("snapshot");
    let made = run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&data),
        "--out",
        text(&out),
    ]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let snapshot = snapshot::open(&out, None).unwrap();
    (snapshot.data.schema.clone(), snapshot.data.rows().collect())
}

#[test]
fn the_vote_of_four_families_on_the_heart_data_is_that_of_its_members() {
    let trained = trained();
    let bundle = Bundle::open_any(&trained.bundle).unwrap();
    assert_eq!(bundle.verify_warm_up().unwrap(), 33);
    assert_eq!(bundle.info().family, "Ensemble");
    assert_eq!(trained.result["family"], "Ensemble");
    let temp = tempfile::tempdir().unwrap();
    let (schema, rows) = rows(temp.path(), ALWAYS);
    let members = members(&trained.bundle, &schema);
    assert!((2..=4).contains(&members.len()));
    assert!(members.iter().all(|member| member.calibration.is_some()));
    for row in &rows {
        assert_eq!(bundle.score(row).to_bits(), vote(&members, row).to_bits());
    }
    let mut together = Vec::new();
    bundle.score_into(&rows, &mut together);
    for (row, score) in rows.iter().zip(together) {
        assert_eq!(bundle.score(row).to_bits(), score.to_bits());
    }
}

#[test]
fn the_bundle_is_the_same_with_one_thread_and_with_two() {
    let temp = tempfile::tempdir().unwrap();
    let (_, one) = fit(temp.path(), ALWAYS, "1");
    let manifest = |dir: &Path| fs::read(dir.join("manifest.json")).unwrap();
    assert_eq!(manifest(&one), manifest(&trained().bundle));
}

#[test]
fn members_and_weights_are_in_every_file_that_describes_the_bundle() {
    let bundle = &trained().bundle;
    let ensemble = read_json(bundle, ENSEMBLE_FILE);
    let described = |members: &Value| -> Vec<(String, u64)> {
        let members = members.as_array().unwrap().iter();
        let one = |member: &Value| {
            let family = member["family"].as_str().unwrap().to_owned();
            (family, member["weight"].as_u64().unwrap())
        };
        members.map(one).collect()
    };
    let members = described(&ensemble["members"]);
    assert_eq!(members.iter().map(|(_, weight)| weight).sum::<u64>(), 20);
    assert_eq!(ensemble["totalWeight"], 20);
    assert_eq!(described(&read_json(bundle, "bundle.json")["members"]), members);
    let metrics = read_json(bundle, "metrics.json");
    let candidates = metrics["candidates"].as_array().unwrap();
    let families: Vec<&str> = candidates
        .iter()
        .map(|one| one["family"].as_str().unwrap())
        .collect();
    assert_eq!(
        families,
        [
            "LogisticRegression",
            "RandomForest",
            "XGBoost",
            "LightGBM",
            "Ensemble"
        ]
    );
    assert_eq!(described(&candidates[4]["members"]), members);
    assert_eq!(candidates[4]["folds"].as_array().unwrap().len(), 8);
    assert!(candidates[..4].iter().all(|one| one.get("members").is_none()));
    assert_eq!(metrics["selected"], "Ensemble");
    assert!(metrics["reason"].as_str().unwrap().contains("always used"));
    assert_eq!(metrics["importance"]["features"].as_array().unwrap().len(), 13);
    let card = fs::read_to_string(bundle.join("model-card.html")).unwrap();
    for (family, weight) in &members {
        assert!(card.contains(&format!("{family} ({weight} of 20)")), "{card}");
    }
    assert!(card.contains("Each member is calibrated by the method Platt"));
    assert!(
        !bundle.join("calibration.json").exists(),
        "the vote is not calibrated"
    );
    let mlmodel = fs::read_to_string(bundle.join("MLmodel")).unwrap();
    assert!(
        mlmodel.contains("member-1-model: \"member-1-model.json\""),
        "{mlmodel}"
    );
    // Drift is judged by scores as they are served.
    let reference = read_json(bundle, "reference.json");
    assert!(reference["bins"]["score"].is_object(), "{reference}");
}

#[test]
fn a_bundle_of_an_ensemble_is_scored_and_imported_as_it_is() {
    let (temp, bundle) = (tempfile::tempdir().unwrap(), &trained().bundle);
    let rows = temp.path().join("rows.json");
    fs::write(
        &rows,
        json!([{"age": 63, "sex": 1, "cp": 4, "thalach": 120}, {"ca": 3}]).to_string(),
    )
    .unwrap();
    let scored = run(&["score", "--bundle", text(bundle), "--rows", text(&rows)]);
    assert!(
        scored.status.success(),
        "{}",
        String::from_utf8_lossy(&scored.stderr)
    );
    let opened = Bundle::open_any(bundle).unwrap();
    let (row, _) = opened
        .schema()
        .read_json(json!({"ca": 3}).as_object().unwrap())
        .unwrap();
    let lines = String::from_utf8(scored.stdout).unwrap();
    let second: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!(
        second["probability"].as_f64().unwrap().to_bits(),
        opened.score(&row).to_bits()
    );
    let out = temp.path().join("copy");
    let imported = run(&["import", "--model", text(bundle), "--out", text(&out)]);
    assert!(
        imported.status.success(),
        "{}{}",
        String::from_utf8_lossy(&imported.stdout),
        String::from_utf8_lossy(&imported.stderr)
    );
    let manifest = |dir: &Path| fs::read(dir.join("manifest.json")).unwrap();
    assert_eq!(manifest(&out), manifest(bundle));
}

/// The bundle with another content of one file, under a digest of its own.
fn with_file(change: &str, bytes: &[u8], dir: &Path) -> PathBuf {
    let bundle = &trained().bundle;
    let out = dir.join("changed");
    let mut files = DirBuilder::new(ManifestKind::Bundle);
    for entry in &Bundle::open_any(bundle).unwrap().manifest().files {
        let kept = fs::read(bundle.join(&entry.path)).unwrap();
        files = files.with(
            &entry.path,
            if entry.path == change {
                bytes.to_vec()
            } else {
                kept
            },
        );
    }
    files.write(&out).unwrap();
    out
}

#[test]
fn a_damaged_ensemble_is_refused_with_the_file_and_what_is_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let refuse = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut content = read_json(&trained().bundle, name);
        change(&mut content);
        let dir = with_file(name, &json(&content).unwrap(), temp.path());
        let error = Bundle::open_any(&dir).unwrap_err();
        assert_eq!(error.file(), Some(name), "{error}");
        error.source().map_or(error.to_string(), ToString::to_string)
    };
    let sentence = refuse(ENSEMBLE_FILE, &|file| file["totalWeight"] = 21.into());
    assert_eq!(sentence, "the weights add up to 20, totalWeight is 21");
    let sentence = refuse("bundle.json", &|file| {
        file["members"].as_array_mut().unwrap().remove(0);
    });
    assert!(
        sentence.starts_with("bundle.json: the members with their weights are "),
        "{sentence}"
    );
    let model = member_file(1, MODEL_FILE).unwrap();
    let sentence = refuse(model, &|file| file["family"] = "Oracle".into());
    assert!(sentence.contains("family \"Oracle\""), "{sentence}");
    // A bundle of which a bit was flipped on the way is refused before anything is parsed.
    let dir = with_file("none", &[], temp.path());
    let path = dir.join(ENSEMBLE_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&path, bytes).unwrap();
    let scored = run(&["score", "--bundle", text(&dir), "--rows", "-"]);
    assert_eq!(scored.status.code(), Some(1));
    let error = String::from_utf8_lossy(&scored.stderr).into_owned();
    assert!(error.contains("ensemble.json has digest"), "{error}");
}

#[test]
fn an_ensemble_that_is_hardly_better_gives_way_to_a_simpler_family() {
    let temp = tempfile::tempdir().unwrap();
    let training = "      families: [LogisticRegression, XGBoost]\n      ensemble: {}\n";
    let (result, bundle) = fit(temp.path(), training, "2");
    let metrics = read_json(&bundle, "metrics.json");
    let reason = metrics["reason"].as_str().unwrap();
    assert_eq!(result["family"], "LogisticRegression", "{reason}");
    let is_compared = metrics["candidates"].as_array().unwrap().len() == 3;
    assert!(is_compared || reason.contains("there is no ensemble"), "{reason}");
    assert!(result["message"].as_str().unwrap().contains(reason));
    assert!(!bundle.join(ENSEMBLE_FILE).exists());
}

#[test]
fn an_ensemble_behind_transforms_derives_each_row_as_its_members_do() {
    let temp = tempfile::tempdir().unwrap();
    let training = "      families: [LogisticRegression, LightGBM]
      ensemble: {maxMembers: 3, use: Always}
      calibration: Platt
      search: {trials: 8, seed: 2}
      validation: {folds: 4, repeats: 2, seed: 7, heldOut: {fraction: '0.2'}}
      transforms:
        - {name: chol-known, type: Impute, column: chol, strategy: Median}
        - {name: sex-rate, type: TargetEncode, column: sex}
        - {name: pulse-by-age, type: Ratio, columnA: thalach, columnB: age, keep: true}
";
    let (result, bundle) = fit(temp.path(), training, "2");
    assert_eq!(result["family"], "Ensemble", "{}", result["message"]);
    let opened = Bundle::open_any(&bundle).unwrap();
    let file: TransformFile = serde_json::from_value(read_json(&bundle, "declared-transforms.json")).unwrap();
    let (schema, rows) = rows(temp.path(), training);
    let derivation = Derivation::new(&schema, &file).unwrap();
    let members = members(&bundle, derivation.schema());
    assert!(members.len() <= 3);
    for row in &rows {
        let expected = vote(&members, &derivation.derive(row));
        assert_eq!(opened.score(row).to_bits(), expected.to_bits());
    }
    let metrics = read_json(&bundle, "metrics.json");
    assert_eq!(metrics["heldOut"]["rows"], 61);
    let area = metrics["heldOut"]["metrics"]["RocAuc"].as_f64().unwrap();
    assert!((0.8..1.0).contains(&area), "{area}");
    assert_eq!(metrics["trials"].as_array().unwrap().len(), 8);
}
