//! A training by an image as its Job runs it: the files are written, a program trains on them, and what it left is measured and published.
//!
//! The program is the trainer itself, which does not get the held-out rows either: its model of LightGBM is what an image would leave.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use modelward_model::Bundle;
use modelward_wire::{Digest, JobResult, JobStage, Verdict};
use serde_json::{Value, json};

use crate::{ledger::Ledger, sample_data, text};

const COLUMNS: &str = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num";

/// A version of the sample data with this beside dataset and target.
fn version(dir: &Path, name: &str, training: &Value) -> PathBuf {
    let columns: Vec<&str> = COLUMNS.split(' ').collect();
    let mut all = json!({
        "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"},
            "csv": {"header": false, "columns": columns, "missing": ["?"]}},
        "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
        "features": [
            {"name": "sex", "kind": "Categorical", "categories": ["0", "1"]},
            {"name": "cp", "kind": "Categorical", "categories": ["1", "2", "3", "4"]},
            {"name": "ca", "kind": "Numeric"},
        ],
    });
    for (field, value) in training.as_object().unwrap() {
        all[field] = value.clone();
    }
    let object = json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "heart-1"},
        "spec": {"model": "heart", "source": {"training": all}, "serving": {"access": "Open"}},
    });
    let path = dir.join(name);
    fs::write(&path, object.to_string()).unwrap();
    path
}

fn by_image() -> Value {
    json!({
        "customTrainer": {"image": "registry.example/ml/heart:1", "format": "LightGBM"},
        "validation": {"folds": 4, "repeats": 1, "seed": 7, "heldOut": {"fraction": "0.3"}},
    })
}

/// A training whose rows are in the ledger.
struct Training {
    ledger: Ledger,
    spec: PathBuf,
    snapshot: Digest,
}

impl Training {
    fn start(training: &Value) -> Self {
        let ledger = Ledger::start();
        let spec = version(ledger.dir.path(), "spec.json", training);
        let (output, result) = ledger.run(&[
            "snapshot",
            "--spec",
            text(&spec),
            "--source",
            text(&sample_data()),
        ]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
        Self {
            snapshot: result.digest.unwrap(),
            ledger,
            spec,
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        let dir = self.ledger.dir.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// What the image finds.
    fn prepare(&self) -> PathBuf {
        let input = self.dir("input");
        let snapshot = self.snapshot.to_string();
        let arguments = [
            "prepare",
            "--spec",
            text(&self.spec),
            "--snapshot",
            &snapshot,
            "--out",
            text(&input),
        ];
        let output = self.ledger.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        input
    }

    /// A model of the rows that the image finds.
    fn train(&self, input: &Path) -> Vec<u8> {
        self.train_without(&[], input)
    }

    /// The same, which takes these columns for no features.
    fn train_without(&self, exclude: &[&str], input: &Path) -> Vec<u8> {
        let training = json!({
            "exclude": exclude,
            "dataset": {"configMap": {"name": "train", "key": "train.csv"}},
            "target": {"column": "num"}, "families": ["LightGBM"], "validation": {"folds": 2, "repeats": 1},
            "hyperparameters": {"lightgbm": {"nEstimators": 40}},
        });
        let spec = version(self.ledger.dir.path(), "image.json", &training);
        let bundle = self.dir("image");
        let output = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
            .args([
                "fit",
                "--spec",
                text(&spec),
                "--source",
                text(&input.join("train.csv")),
            ])
            .args(["--out", text(&bundle)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::read(bundle.join("lightgbm.txt")).unwrap()
    }

    fn fit(&self, output: &Path) -> JobResult {
        let snapshot = self.snapshot.to_string();
        let arguments = [
            "fit",
            "--spec",
            text(&self.spec),
            "--snapshot",
            &snapshot,
            "--trained",
            text(output),
        ];
        let (ended, result) = self.ledger.run(&arguments);
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(result.stage, JobStage::Fit);
        result
    }

    /// What comes of this file.
    fn fit_of(&self, name: &str, bytes: &[u8]) -> JobResult {
        let output = self.dir("output");
        fs::write(output.join(name), bytes).unwrap();
        self.fit(&output)
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .skip(1)
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn an_image_trains_on_all_rows_but_those_that_its_model_is_measured_on() {
    let job = Training::start(&by_image());
    let input = job.prepare();
    let model = job.train(&input);
    let result = job.fit_of("model.txt", &model);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert_eq!(result.family.as_deref(), Some("LightGBM"));
    let bundle = job.ledger.kept(&result.digest.unwrap());
    let read =
        |name: &str| -> Value { serde_json::from_slice(&fs::read(bundle.join(name)).unwrap()).unwrap() };
    let (info, metrics) = (read("bundle.json"), read("metrics.json"));
    assert_eq!(info["customTrainer"]["image"], "registry.example/ml/heart:1");
    assert_eq!(info["reproducible"], false);
    assert_eq!(metrics["customTrainer"], info["customTrainer"]);
    assert_eq!(metrics["candidates"][0]["folds"].as_array().unwrap().len(), 4);
    let card = fs::read_to_string(bundle.join("model-card.html")).unwrap();
    assert!(
        card.contains("The image registry.example/ml/heart:1 trained it on 212 rows"),
        "the card names it"
    );
    Bundle::open(&bundle, &result.digest.unwrap())
        .unwrap()
        .verify_warm_up()
        .unwrap();

    // Rows that the image got have no score; each of the others has one.
    let (scored, unscored): (Vec<String>, Vec<String>) = lines(&bundle.join("out-of-fold.csv"))
        .into_iter()
        .partition(|line| !line.ends_with(','));
    let trained_on = lines(&input.join("train.csv"));
    assert_eq!((trained_on.len(), unscored.len(), scored.len()), (212, 212, 91));
    assert_eq!(info["customTrainer"]["rows"], 212);
    // No held-out row is among them: the sample data has no two equal rows.
    let source: Vec<String> = fs::read_to_string(sample_data())
        .unwrap()
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    let key = |cells: &str, separator: char| -> Vec<f64> {
        let cells = cells.split(separator).take(5);
        cells
            .map(|cell| cell.parse::<f64>().unwrap_or(f64::MIN))
            .collect()
    };
    let seen: BTreeSet<String> = trained_on
        .iter()
        .map(|line| format!("{:?}", key(line, ',')))
        .collect();
    for line in &scored {
        let row: usize = line.split(',').next().unwrap().parse().unwrap();
        assert!(
            !seen.contains(&format!("{:?}", key(&source[row - 1], ','))),
            "row {row} was held out"
        );
    }
    // Metrics are those of the scores of the held-out rows.
    let areas: Vec<f64> = metrics["candidates"][0]["folds"]
        .as_array()
        .unwrap()
        .iter()
        .map(area)
        .collect();
    let mean = areas.iter().sum::<f64>() / 4.0;
    let reported = result
        .metrics
        .iter()
        .find(|metric| metric.name == "RocAuc")
        .unwrap();
    assert!((reported.mean.to_f64() - mean).abs() < 1e-6);
    let variance = areas
        .iter()
        .map(|area| (area - mean) * (area - mean))
        .sum::<f64>()
        / 3.0;
    let error = (variance / 4.0).sqrt();
    assert!(
        (reported.standard_error.to_f64() - error).abs() < 1e-6,
        "parts share no rows"
    );
}

fn area(fold: &Value) -> f64 {
    fold["metrics"]["RocAuc"].as_f64().unwrap()
}

#[test]
fn the_same_file_gives_the_same_bundle_and_the_same_rows_the_same_files() {
    let job = Training::start(&by_image());
    let input = job.prepare();
    let first = fs::read(input.join("train.parquet")).unwrap();
    let model = job.train(&input);
    let made = job.fit_of("model.txt", &model).digest;
    job.prepare();
    assert_eq!(fs::read(input.join("train.parquet")).unwrap(), first);
    fs::rename(
        job.dir("output").join("model.txt"),
        job.dir("output").join("another-name"),
    )
    .unwrap();
    assert_eq!(job.fit(&job.dir("output")).digest, made);
    assert!(made.is_some());
}

#[test]
fn groups_stay_together_and_the_latest_rows_are_held_out() {
    let grouped = json!({
        "customTrainer": {"image": "heart", "format": "LightGBM"}, "calibration": "Platt", "threshold": {"maximise": "F1"},
        "validation": {"folds": 3, "repeats": 1, "groupBy": "chol", "heldOut": {"fraction": "0.3"}},
    });
    let job = Training::start(&grouped);
    let input = job.prepare();
    let head = fs::read_to_string(input.join("train.csv")).unwrap();
    assert!(
        head.lines().next().unwrap().ends_with(",num,chol"),
        "the image may make folds of groups itself"
    );
    let contract: Value = serde_json::from_slice(&fs::read(input.join("contract.json")).unwrap()).unwrap();
    assert_eq!(contract["groupColumn"], "chol");
    let timed = json!({
        "customTrainer": {"image": "heart", "format": "LightGBM"}, "threshold": {"maximise": "F1"},
        "validation": {"folds": 3, "repeats": 1, "timeSplit": {"column": "age"}, "heldOut": {"fraction": "0.3"}},
    });
    let job = Training::start(&timed);
    let ages = |lines: Vec<String>| -> Vec<f64> {
        lines
            .iter()
            .map(|line| line.rsplit(',').next().unwrap().parse().unwrap())
            .collect()
    };
    let trained = ages(lines(&job.prepare().join("train.csv")));
    let latest = trained.iter().copied().fold(f64::MIN, f64::max) / 1e6;
    let older = fs::read_to_string(sample_data()).unwrap();
    let older = older
        .lines()
        .filter(|line| line.split(',').next().unwrap().parse::<f64>().unwrap() > latest);
    assert_eq!(older.count() + trained.len(), 303, "every later row is held out");
    let model = job.train(&job.dir("input"));
    let result = job.fit_of("model.txt", &model);
    // The column of times is no feature, and the stand-in took it for one.
    assert_eq!(result.verdict, Verdict::ModelRefused);
    assert!(
        result
            .message
            .contains("the model has 13 features, contract.json has 12"),
        "{}",
        result.message
    );
}

#[test]
fn in_the_order_of_time_every_held_out_row_is_measured_where_nothing_is_learnt() {
    let timed = |threshold: Value| {
        json!({
            "customTrainer": {"image": "heart", "format": "LightGBM"}, "threshold": threshold,
            "validation": {"folds": 3, "repeats": 1, "timeSplit": {"column": "age"}, "heldOut": {"fraction": "0.3"}},
        })
    };
    for (threshold, measured) in [(json!({"value": "0.4"}), 3), (json!({"maximise": "F1"}), 2)] {
        let job = Training::start(&timed(threshold));
        let input = job.prepare();
        let model = job.train_without(&["age"], &input);
        let result = job.fit_of("model.txt", &model);
        assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
        let bundle = job.ledger.kept(&result.digest.unwrap());
        let metrics: Value = serde_json::from_slice(&fs::read(bundle.join("metrics.json")).unwrap()).unwrap();
        let folds = metrics["candidates"][0]["folds"].as_array().unwrap();
        let rows: u64 = folds.iter().map(|fold| fold["rows"].as_u64().unwrap()).sum();
        assert_eq!(folds.len(), measured);
        let held_out = 303 - lines(&input.join("train.csv")).len() as u64;
        if measured == 3 {
            assert_eq!(rows, held_out, "no held-out row is wasted");
        } else {
            assert!(rows < held_out, "the first part only teaches");
        }
    }
}

#[test]
fn what_an_image_leaves_beside_a_model_is_refused_with_a_sentence() {
    let job = Training::start(&by_image());
    let input = job.prepare();
    let model = job.train(&input);
    let text_of = String::from_utf8(model.clone()).unwrap();
    let refused = |result: JobResult, words: &str| {
        assert_eq!(result.verdict, Verdict::ModelRefused, "{}", result.message);
        assert_eq!(result.digest, None);
        assert!(result.message.contains(words), "{words}: {}", result.message);
        fs::remove_dir_all(job.dir("output")).unwrap();
    };
    refused(job.fit(&job.dir("output")), "the image left no model");
    fs::write(job.dir("output").join("a.txt"), &model).unwrap();
    refused(job.fit_of("b.txt", &model), "left several files");
    refused(job.fit_of("model.pkl", b"\x80\x04\x95pickle"), "pickle");
    refused(job.fit_of("model", b"hello"), "in no format that is imported");
    refused(
        job.fit_of("model", &model[..model.len() / 2]),
        "cannot be read as LightGBM",
    );
    let other =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/model/tests/trees/xgboost.json"));
    refused(job.fit_of("model.json", &other.unwrap()), "contract.json has 13");
    let made_up: Vec<String> = (0..13).map(|at| format!("Column_{at}")).collect();
    let swapped = text_of.replacen(
        &made_up.join(" "),
        "sex age cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal",
        1,
    );
    assert!(
        swapped.contains("feature_names=sex age"),
        "the names were replaced"
    );
    refused(
        job.fit_of("model.txt", swapped.as_bytes()),
        "feature 1 of the model is \"sex\", in contract.json it is \"age\"",
    );
    // The ledger's token, as it would lie in the Pod.
    let token = job.ledger.dir.path().join("spec.json");
    symlink(&token, job.dir("output").join("model.txt")).unwrap();
    refused(job.fit(&job.dir("output")), "is a link");
}

#[test]
fn scores_that_the_model_does_not_have_here_are_refused() {
    let job = Training::start(&by_image());
    let input = job.prepare();
    let model = job.train(&input);
    let score = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
        .args([
            "score",
            "--bundle",
            text(&job.dir("image")),
            "--csv",
            text(&input.join("train.csv")),
        ])
        .output()
        .unwrap();
    let scores: Vec<String> = String::from_utf8(score.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["probability"].to_string())
        .collect();
    assert_eq!(scores.len(), 212);
    let write = |scores: &[String]| {
        let text = format!("expected\n{}\n", scores.join("\n"));
        fs::write(job.dir("output").join("scores.csv"), text).unwrap();
    };
    write(&scores);
    let result = job.fit_of("model.txt", &model);
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let bundle = job.ledger.kept(&result.digest.unwrap());
    let info: Value = serde_json::from_slice(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    assert_eq!(info["customTrainer"]["comparedRows"], 212);
    let mut wrong = scores.clone();
    wrong[7] = "0.123".to_owned();
    for (scores, words) in [
        (wrong, "the model gives row 8 of the training rows"),
        (vec!["2".to_owned()], "no probability from 0 to 1 in line 2"),
        (vec!["0.5".to_owned(); 213], "more scores than the 212 rows"),
    ] {
        write(&scores);
        let result = job.fit(&job.dir("output"));
        assert_eq!(result.verdict, Verdict::ModelRefused);
        assert!(result.message.contains(words), "{words}: {}", result.message);
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_an_image_runs() {
    let ledger = Ledger::start();
    let few = json!({
        "customTrainer": {"image": "heart", "format": "LightGBM"},
        "validation": {"folds": 20, "repeats": 1, "heldOut": {"fraction": "0.05"}},
    });
    let spec = version(ledger.dir.path(), "spec.json", &few);
    let (_, result) = ledger.run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&sample_data()),
    ]);
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert!(
        result.message.contains("parts of them need at least 20"),
        "{}",
        result.message
    );
    for (change, words) in [
        (json!({"families": ["LightGBM"]}), "remove families"),
        (
            json!({"search": {"trials": 9}}),
            "remove hyperparameters and search",
        ),
        (json!({"ensemble": {}}), "remove ensemble"),
        (
            json!({"weights": {"classes": "Balanced"}}),
            "remove transforms and weights",
        ),
        (json!({"validation": {"repeats": 1}}), "set validation.heldOut"),
    ] {
        let mut training = by_image();
        for (field, value) in change.as_object().unwrap() {
            training[field] = value.clone();
        }
        let spec = version(ledger.dir.path(), "spec.json", &training);
        let output = ledger
            .command(&[
                "prepare",
                "--spec",
                text(&spec),
                "--source",
                text(&sample_data()),
                "--out",
                text(&ledger.dir.path().join("in")),
            ])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let result: JobResult = serde_json::from_slice(&fs::read(ledger.termination_log()).unwrap()).unwrap();
        assert!(result.message.contains(words), "{words}: {}", result.message);
        assert!(!ledger.dir.path().join("in").exists(), "the image finds nothing");
    }
}

#[test]
fn a_fit_of_an_image_says_what_to_run_first_and_another_fit_takes_no_model() {
    let job = Training::start(&by_image());
    let snapshot = job.snapshot.to_string();
    let (_, result) = job
        .ledger
        .run(&["fit", "--spec", text(&job.spec), "--snapshot", &snapshot]);
    assert_eq!(result.verdict, Verdict::SpecInvalid);
    assert!(
        result.message.contains("modelward-trainer prepare"),
        "{}",
        result.message
    );
    let plain = version(job.ledger.dir.path(), "plain.json", &json!({}));
    let output = job.dir("output");
    let (_, result) = job.ledger.run(&[
        "fit",
        "--spec",
        text(&plain),
        "--snapshot",
        &snapshot,
        "--trained",
        text(&output),
    ]);
    assert_eq!(result.verdict, Verdict::SpecInvalid);
    assert!(
        result.message.contains("--trained is for a spec"),
        "{}",
        result.message
    );
}
