//! The trainer as a Job runs it: the real program, the sample data, and a ledger that can be made to fail.
//!
//! The ledger here keeps artifacts in memory and answers as the real one does; the story on the cluster has the real
//! one. It is a fake because a real one cannot be made to answer 503 twice or to flip a byte.

#![expect(clippy::unwrap_used, reason = "what tests share may panic too")]

mod custom_trainer;
mod import;
mod interrupted;
mod ledger;
mod retrain;
mod roles;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use axum::http::StatusCode;
use modelward_model::Bundle;
use modelward_wire::{JobStage, Progress, Verdict};

use crate::ledger::{Ledger, TRAINER};

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/samples")
}

fn sample_spec() -> PathBuf {
    samples().join("heart-1.yaml")
}

fn sample_data() -> PathBuf {
    samples().join("heart-disease/cleveland.csv")
}

/// A spec with quick folds, changed by `change`.
fn spec(dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let text = std::fs::read_to_string(sample_spec())
        .unwrap()
        .replace("repeats: 10", "repeats: 2");
    let path = dir.join("spec.yaml");
    std::fs::write(&path, change(text)).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// === tests ===

#[test]
fn two_jobs_make_a_bundle_that_the_server_can_open() {
    let ledger = Ledger::start();
    let (spec, data) = (sample_spec(), sample_data());
    let (output, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    assert!(output.status.success());
    assert_eq!(
        (result.stage, result.verdict, result.rows),
        (JobStage::Snapshot, Verdict::Succeeded, Some(303))
    );
    assert_eq!(ledger.recorded(), result);

    let digest = result.digest.unwrap().to_string();
    let (output, result) = ledger.run(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
    assert!(output.status.success());
    assert_eq!(
        (result.stage, result.verdict),
        (JobStage::Fit, Verdict::Succeeded),
        "{}",
        result.message
    );
    assert_eq!(ledger.recorded(), result);
    assert_eq!(result.family.as_deref(), Some("LogisticRegression"));
    assert_eq!((result.metrics.len(), result.gates.len()), (10, 1));
    let f1: f64 = result
        .metrics
        .iter()
        .find(|metric| metric.name == "F1")
        .unwrap()
        .mean
        .to_f64();
    assert!((0.80..0.83).contains(&f1), "{f1}");

    // Written to disk from what the ledger keeps, as an inference Pod would.
    let bundle = result.digest.unwrap();
    let dir = ledger.kept(&bundle);
    let state = ledger.state.lock().unwrap();
    let opened = Bundle::open(&dir, &bundle).unwrap();
    assert_eq!(opened.verify_warm_up().unwrap(), 33);
    assert_eq!(opened.info().snapshot.map(|of| of.to_string()), Some(digest));
    // What the operator compares with what it asked for.
    let asked = modelward_trainer::spec::read(&spec).unwrap().training;
    let asked = modelward_trainer::spec::training_digest(&asked).unwrap();
    assert_eq!(opened.info().training, Some(asked));
    assert_eq!(opened.info().gates, result.gates);
    assert_eq!(opened.info().metrics, result.metrics);
    let progress: Progress =
        serde_json::from_slice(&state.posted["jobs/hospital/11111111-2222/progress"]).unwrap();
    assert_eq!(progress.percent, 100);
    // Nothing that was made on the way stays behind.
    let left: Vec<_> = std::fs::read_dir(ledger.dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 3, "token, termination message, bundle: {left:?}");
}

#[test]
fn a_ledger_that_is_away_for_a_moment_is_asked_again() {
    let ledger = Ledger::start();
    ledger.state.lock().unwrap().failures = [503, 500, 429]
        .map(|code| StatusCode::from_u16(code).unwrap())
        .into();
    let (spec, data) = (sample_spec(), sample_data());
    let (output, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    assert!(output.status.success());
    assert_eq!(result.verdict, Verdict::Succeeded);
    assert_eq!(ledger.recorded(), result);
}

#[test]
fn a_proxy_of_the_environment_never_sees_the_token_for_the_ledger() {
    let ledger = Ledger::start();
    let proxy = Ledger::start();
    let (spec, data) = (sample_spec(), sample_data());
    let mut command = ledger.command(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    command
        .env("HTTP_PROXY", &proxy.url)
        .env("http_proxy", &proxy.url);
    assert!(command.output().unwrap().status.success());
    assert_eq!(ledger.recorded().verdict, Verdict::Succeeded);
    assert!(proxy.state.lock().unwrap().calls.is_empty());
}

#[test]
fn a_second_run_sends_its_blobs_again_so_that_a_rotted_copy_heals() {
    let ledger = Ledger::start();
    let (spec, data) = (sample_spec(), sample_data());
    let arguments = ["snapshot", "--spec", text(&spec), "--source", text(&data)];
    let (_, first) = ledger.run(&arguments);
    ledger.state.lock().unwrap().calls.clear();
    let (_, again) = ledger.run(&arguments);
    assert_eq!(first.digest, again.digest);
    let calls = ledger.state.lock().unwrap().calls.clone();
    let sent = |call: &&String| call.starts_with("PUT") && call.contains("/blobs/");
    assert!(calls.iter().any(|call| sent(&call)), "{calls:?}");
}

#[test]
fn a_refusal_for_good_fails_the_job_with_its_reason_and_without_a_result() {
    let ledger = Ledger::start();
    ledger.state.lock().unwrap().failures = [StatusCode::PAYLOAD_TOO_LARGE].into();
    let (spec, data) = (sample_spec(), sample_data());
    let output = ledger
        .command(&["snapshot", "--spec", text(&spec), "--source", text(&data)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = std::fs::read_to_string(ledger.termination_log()).unwrap();
    assert!(said.contains("413") && !said.starts_with('{'), "{said}");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("413") && log.contains("made to fail"), "{log}");
}

#[test]
fn a_snapshot_that_arrives_with_a_flipped_bit_is_never_trained_on() {
    let ledger = Ledger::start();
    let (spec, data) = (sample_spec(), sample_data());
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    ledger.state.lock().unwrap().flip = true;
    let digest = result.digest.unwrap().to_string();
    let output = ledger
        .command(&["fit", "--spec", text(&spec), "--snapshot", &digest])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("data.parquet has digest"), "{log}");
}

#[test]
fn data_that_break_rules_are_a_result_with_every_violation() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| {
        text.replace(
            "- {name: ca, kind: Numeric}",
            "- {name: ca, kind: Numeric, required: true}\n        - {name: cats, kind: Numeric}",
        )
        .replace(
            "cleveland.csv}",
            &format!("cleveland.csv}}\n        sha256: sha256:{}", "0".repeat(64)),
        )
    });
    let (output, result) = ledger.run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&sample_data()),
    ]);
    assert!(output.status.success(), "a verdict is a result");
    assert_eq!(result.verdict, Verdict::DataInvalid);
    let rules: Vec<&str> = result
        .violations
        .iter()
        .map(|violation| violation.rule.as_str())
        .collect();
    assert_eq!(rules, ["Sha256", "UnknownColumn", "Required"]);
    assert_eq!((result.violations_total, result.violations[2].count), (3, 4));
    assert_eq!(result.digest, None);
    assert!(ledger.state.lock().unwrap().objects.is_empty());
}

#[test]
fn an_absent_source_is_distinguished_from_a_wrong_one() {
    let ledger = Ledger::start();
    let spec = sample_spec();
    let (output, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", "/nonexistent.csv"]);
    assert!(output.status.success());
    assert_eq!(result.verdict, Verdict::DataNotFound);
    for content in [&b""[..], b"\n\n", b"\xff\xfe\x00", b"PK\x03\x04\0\0", b"1;2;3\n"] {
        let file = ledger.dir.path().join("wrong.csv");
        std::fs::write(&file, content).unwrap();
        let (output, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&file)]);
        assert!(output.status.success());
        assert_eq!(result.verdict, Verdict::DataInvalid, "{content:?}");
        assert!(!result.violations.is_empty());
    }
}

#[test]
fn failed_gates_say_which_number_is_on_the_wrong_side() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| {
        text.replace(
            r#"- {metric: F1, atLeast: "0.75"}"#,
            r#"- {metric: F1, atLeast: "0.99"}
        - {metric: LogLoss, atMost: "0.1"}"#,
        )
    });
    let (_, result) = ledger.run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&sample_data()),
    ]);
    let digest = result.digest.unwrap().to_string();
    let (output, result) = ledger.run(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
    assert!(output.status.success());
    assert_eq!(result.verdict, Verdict::GatesFailed);
    assert!(result.message.starts_with("F1 0.8"), "{}", result.message);
    assert!(
        result.message.contains("is under the gate 0.99; LogLoss 0.3"),
        "{}",
        result.message
    );
    assert!(
        result.message.ends_with("is over the gate 0.1"),
        "{}",
        result.message
    );
    assert!(result.digest.is_some(), "the bundle is published all the same");
}

/// Rows of two columns and a target, and the spec for them.
fn tiny(dir: &Path, dataset: &str, rest: &str) -> PathBuf {
    let text = format!(
        "apiVersion: modelward.io/v1alpha1\nkind: ModelVersion\nmetadata: {{name: tiny-1}}\nspec:\n  model: tiny\n  \
         serving: {{access: Open}}\n  source:\n    training:\n      dataset: {dataset}\n      target: {{column: y}}\n      \
         families: [LogisticRegression]\n      validation: {{folds: 2, repeats: 2}}\n      \
         gates: [{{metric: F1, atLeast: \"0.99\"}}]\n{rest}"
    );
    let path = dir.join("tiny.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_training_on_too_few_rows_for_verdicts_on_drift_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let spec = tiny(temp.path(), "{configMap: {name: d, key: d.csv}}", "");
    let text_of = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, text_of.replace("0.99", "0.1")).unwrap();
    let data = temp.path().join("d.csv");
    let ledger = Ledger::start();
    for (rows, warns) in [(80, true), (100, false)] {
        let lines = (0..rows).map(|row| format!("{row},{},{}\n", row * 7 % 10, u8::from(row * 3 >= rows)));
        std::fs::write(&data, format!("a,b,y\n{}", lines.collect::<String>())).unwrap();
        let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
        let digest = result.digest.unwrap().to_string();
        let (_, result) = ledger.run(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
        assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
        let warning = ". The reference has 80 rows and at least 100 are needed to judge drift: no drift verdict will be given. Train on more rows.";
        assert_eq!(result.message.ends_with(warning), warns, "{}", result.message);
    }
}

#[test]
fn a_gate_that_fails_on_six_rows_says_that_they_are_too_few() {
    let temp = tempfile::tempdir().unwrap();
    let spec = tiny(temp.path(), "{configMap: {name: d, key: d.csv}}", "");
    let data = temp.path().join("d.csv");
    std::fs::write(&data, "a,b,y\n1,5,0\n2,1,1\n3,4,0\n4,2,1\n5,3,1\n6,6,0\n").unwrap();
    let ledger = Ledger::start();
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec), "--source", text(&data)]);
    let digest = result.digest.unwrap().to_string();
    let (_, result) = ledger.run(&["fit", "--spec", text(&spec), "--snapshot", &digest]);
    assert_eq!(result.verdict, Verdict::GatesFailed);
    let expected = "6 rows, 3 of them of the smaller class, are too few to judge a model";
    assert!(result.message.contains(expected), "{}", result.message);
    assert!(
        result.message.contains("add rows until there are 50"),
        "{}",
        result.message
    );
}

#[test]
fn a_job_reads_no_address_of_its_own_node_or_of_refused_ranges_unless_that_is_allowed() {
    let page = "<!doctype html><title>Sign in, secret</title>";
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}/data.csv", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len());
        }
    });
    let temp = tempfile::tempdir().unwrap();
    let spec = tiny(temp.path(), &format!("{{uri: '{uri}'}}"), "");
    let ledger = Ledger::start();
    let (_, result) = ledger.run(&["snapshot", "--spec", text(&spec)]);
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert!(
        result.message.contains("datasets are not read from 127.0.0.1"),
        "{}",
        result.message
    );

    // Allowed, it is read, and it is no CSV; nothing of it is in the result.
    let mut command = ledger.command(&["snapshot", "--spec", text(&spec)]);
    command.env("MODELWARD_ALLOW_SOURCES", "10.0.0.0/8,127.0.0.1/32");
    assert!(command.output().unwrap().status.success());
    let result = ledger.recorded();
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert!(result.message.contains("web page (HTML)"), "{}", result.message);
    assert!(!format!("{result:?}").contains("secret"), "{result:?}");

    // What the settings refuse is refused like the node's own, and nothing is connected to.
    let spec = tiny(temp.path(), "{uri: 'http://192.0.2.7/data.csv'}", "");
    let mut command = ledger.command(&["snapshot", "--spec", text(&spec)]);
    command.env("MODELWARD_DENY_SOURCES", "10.96.0.0/12,192.0.2.0/24");
    assert!(command.output().unwrap().status.success());
    let result = ledger.recorded();
    assert!(
        result
            .message
            .contains("192.0.2.7 (in 192.0.2.0/24, which the operator's settings refuse)"),
        "{}",
        result.message
    );
}

#[test]
fn data_that_are_larger_than_the_limit_are_refused_with_the_setting_that_raises_it() {
    let temp = tempfile::tempdir().unwrap();
    let spec = tiny(temp.path(), "{configMap: {name: d, key: d.csv}}", "");
    let data = temp.path().join("d.csv");
    let lines = (0..100_000).map(|row| format!("{row},{},{}\n", row * 7 % 1013, u8::from(row * 3 % 7 > 3)));
    std::fs::write(&data, format!("a,b,y\n{}", lines.collect::<String>())).unwrap();
    let ledger = Ledger::start();
    let arguments = ["snapshot", "--spec", text(&spec), "--source", text(&data)];
    let mut command = ledger.command(&arguments);
    assert!(
        command
            .env("MODELWARD_MAX_DATASET_MIB", "1")
            .output()
            .unwrap()
            .status
            .success()
    );
    let result = ledger.recorded();
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert_eq!(result.violations[0].rule, "Size");
    assert!(
        result.violations[0].message.ends_with(
            "is larger than 1048576 bytes; the Helm value trainer.maxDatasetMiB, or --max-dataset-mib, raises the limit"
        ),
        "{:?}",
        result.violations
    );
    let mut command = ledger.command(&arguments);
    assert!(
        command
            .env("MODELWARD_MAX_DATASET_MIB", "2")
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(ledger.recorded().rows, Some(100_000));
    let output = ledger
        .command(&arguments)
        .env("MODELWARD_MAX_DATASET_MIB", "4096")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("4096 is not in 1..=4095"), "{said}");
}

#[test]
fn a_spec_that_cannot_be_is_a_verdict() {
    let ledger = Ledger::start();
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| text.replace("folds: 5", "folds: 99"));
    let (output, result) = ledger.run(&[
        "snapshot",
        "--spec",
        text(&spec),
        "--source",
        text(&sample_data()),
    ]);
    assert!(output.status.success());
    assert_eq!(result.verdict, Verdict::SpecInvalid);
    assert!(
        result.message.contains("validation.folds is 99"),
        "{}",
        result.message
    );
}

#[test]
fn the_same_data_and_spec_give_the_same_digest_in_any_process_with_any_threads() {
    assert_same_digest(&["1", "2", "7"], |text| text);
}

#[test]
fn a_search_over_four_families_gives_the_same_digest_with_one_thread_and_with_two() {
    let families = "families: [LogisticRegression, RandomForest, XGBoost, LightGBM]\n      search: {trials: 30, seed: 1}";
    assert_same_digest(&["1", "2"], |text| {
        text.replace("families: [LogisticRegression]", families)
    });
}

/// Fits the sample with each of these numbers of threads.
fn assert_same_digest(threads: &[&str], change: impl Fn(String) -> String) {
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), change);
    let digests: Vec<Vec<u8>> = threads
        .iter()
        .map(|threads| {
            let out = temp.path().join(format!("bundle-{threads}"));
            let output = Command::new(TRAINER)
                .args(["fit", "--spec", text(&spec), "--source", text(&sample_data())])
                .args(["--out", text(&out), "--threads", threads])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            std::fs::read(out.join("manifest.json")).unwrap()
        })
        .collect();
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn scores_on_the_command_line_are_those_of_the_library() {
    let temp = tempfile::tempdir().unwrap();
    let spec = spec(temp.path(), |text| text);
    let out = temp.path().join("bundle");
    let fit = Command::new(TRAINER)
        .args([
            "fit",
            "--spec",
            text(&spec),
            "--source",
            text(&sample_data()),
            "--out",
            text(&out),
        ])
        .output()
        .unwrap();
    assert!(fit.status.success());
    let bundle = Bundle::open_any(&out).unwrap();

    let rows = serde_json::json!([
        {"age": 63, "sex": 1, "cp": 1.0, "trestbps": 145, "thal": 2},
        {"age": "old", "colour": 3},
        7,
    ]);
    let file = temp.path().join("rows.json");
    std::fs::write(&file, rows.to_string()).unwrap();
    let scored = Command::new(TRAINER)
        .args(["score", "--bundle", text(&out), "--rows", text(&file)])
        .output()
        .unwrap();
    assert_eq!(scored.status.code(), Some(2), "a row was refused");
    let lines: Vec<serde_json::Value> = String::from_utf8(scored.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (row, _) = bundle.schema().read_json(rows[0].as_object().unwrap()).unwrap();
    assert_eq!(
        lines[0]["probability"].as_f64().unwrap().to_bits(),
        bundle.score(&row).to_bits()
    );
    assert!(
        lines[0]["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("\"thal\" is 2"),
        "{}",
        lines[0]
    );
    assert_eq!(lines[1]["errors"].as_array().unwrap().len(), 2);
    assert_eq!(lines.len(), 3);

    let scored = Command::new(TRAINER)
        .args([
            "score",
            "--bundle",
            text(&out),
            "--csv",
            text(&sample_data()),
            "--spec",
            text(&spec),
        ])
        .output()
        .unwrap();
    assert!(
        scored.status.success(),
        "{}",
        String::from_utf8_lossy(&scored.stderr)
    );
    assert_eq!(String::from_utf8(scored.stdout).unwrap().lines().count(), 303);
}
