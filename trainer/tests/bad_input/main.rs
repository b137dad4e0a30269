//! Untrusted data, through the program: each file is trained on by every family, or refused with a sentence.

#![expect(clippy::format_collect, reason = "the files of these tests are small")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod bounds;
mod files;
mod folds;
mod names;
mod sentences;
mod values;

use std::{
    fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use modelward_model::Bundle;
use modelward_wire::{JobResult, Verdict};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any of these takes on a busy machine.
const LONGEST: Duration = Duration::from_mins(2);

/// What the program ended with.
struct Ended {
    dir: TempDir,
    result: JobResult,
}

// === impl Ended ===

impl Ended {
    fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    /// The one violation that there is: its rule, its column and its message.
    fn refusal(&self) -> (&str, &str, &str) {
        let [violation] = self.result.violations.as_slice() else {
            panic!("{:#?}", self.result)
        };
        (&violation.rule, &violation.column, &violation.message)
    }
}

/// A spec of these fields of the training, with all four families and few trees.
fn spec(fields: &Value) -> Value {
    let mut training = json!({
        "dataset": {"configMap": {"name": "d", "key": "d.csv"}},
        "target": {"column": "y"},
        "families": ["LogisticRegression", "RandomForest", "XGBoost", "LightGBM"],
        "hyperparameters": {
            "randomForest": {"nEstimators": 3}, "xgboost": {"nEstimators": 3}, "lightgbm": {"nEstimators": 3, "minDataInLeaf": 5},
        },
        "validation": {"folds": 2, "repeats": 1, "seed": 1},
    });
    for (name, value) in fields.as_object().unwrap() {
        training[name] = value.clone();
    }
    json!({
        "apiVersion": "modelward.io/v1alpha1",
        "kind": "ModelVersion",
        "metadata": {"name": "a-1"},
        "spec": {"model": "a", "source": {"training": training}, "serving": {"access": "Open"}},
    })
}

fn program(arguments: &[&str]) -> (Option<i32>, String, String) {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_modelward-trainer"))
        .args(arguments)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains("panicked"), "{log}");
    assert!(begun.elapsed() < LONGEST, "{:?}: {log}", begun.elapsed());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text, log)
}

/// Trains on this file as a Job does. The end is a result, whatever is wrong.
fn fit(file: impl AsRef<[u8]>, fields: &Value) -> Ended {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("d.csv"), file).unwrap();
    fs::write(path("spec.json"), spec(fields).to_string()).unwrap();
    let (spec, source, out) = (path("spec.json"), path("d.csv"), path("bundle"));
    let (code, text, log) = program(&["fit", "--spec", &spec, "--source", &source, "--out", &out]);
    let result: JobResult = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{code:?}: {log}"));
    assert_eq!(
        code == Some(0),
        result.verdict == Verdict::Succeeded,
        "{result:#?}"
    );
    for violation in &result.violations {
        let text = &violation.message;
        assert!(
            !text.is_empty() && !text.chars().any(char::is_control),
            "{violation:?}"
        );
    }
    assert!(result.digest.is_some() || !dir.path().join("bundle").exists());
    Ended { dir, result }
}

/// Trains on this file, and asserts that every family was evaluated and that the bundle scores every row of it.
fn trained(file: impl AsRef<[u8]>, fields: &Value) -> Ended {
    let ended = fit(file, fields);
    assert_eq!(ended.result.verdict, Verdict::Succeeded, "{:#?}", ended.result);
    let bundle = Bundle::open_any(&ended.bundle()).unwrap();
    bundle.verify_warm_up().unwrap();
    let metrics = fs::read(ended.bundle().join("metrics.json")).unwrap();
    let metrics: Value = serde_json::from_slice(&metrics).unwrap();
    let families = spec(fields)["spec"]["source"]["training"]["families"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(metrics["candidates"].as_array().unwrap().len(), families);
    let path = |name: &str| ended.dir.path().join(name).display().to_string();
    let (dir, csv, spec) = (path("bundle"), path("d.csv"), path("spec.json"));
    let (code, text, log) = program(&["score", "--bundle", &dir, "--csv", &csv, "--spec", &spec]);
    assert_eq!(code, Some(0), "{text}{log}");
    assert_eq!(text.lines().count() as u64, ended.result.rows.unwrap());
    ended
}

/// The rule, the column and the message of the one violation of this file.
fn refused(file: impl AsRef<[u8]>, fields: &Value) -> (String, String, String) {
    let ended = fit(file, fields);
    assert_eq!(ended.result.verdict, Verdict::DataInvalid, "{:#?}", ended.result);
    let (rule, column, message) = ended.refusal();
    (rule.to_owned(), column.to_owned(), message.to_owned())
}

fn assert_refused(file: impl AsRef<[u8]>, fields: &Value, rule: &str, column: &str, message: &str) {
    let found = refused(file, fields);
    assert_eq!(found, (rule.to_owned(), column.to_owned(), message.to_owned()));
}

/// The class of a row that is invented by its number.
fn class(row: usize) -> usize {
    usize::from(row * 7 % 10 > 4)
}

/// So many rows of a number, a cell by the number of the row, and the class.
fn rows(count: usize, header: &str, cell: impl Fn(usize) -> String) -> String {
    let row = |at: usize| format!("{},{},{}\n", at * 13 % 50, cell(at), class(at));
    let rows: String = (0..count).map(row).collect();
    format!("{header}\n{rows}")
}

/// Sixty rows with this cell in one of them, among numbers.
fn with_cell(cell: &str) -> String {
    rows(60, "a,x,y", |at| {
        if at == 3 {
            cell.to_owned()
        } else {
            (at % 7).to_string()
        }
    })
}
