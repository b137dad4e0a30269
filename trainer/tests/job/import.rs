//! The import of a model as its Job runs it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse as _};
use modelward_model::{Bundle, family::tree_case, sha256};
use modelward_wire::{JobResult, JobStage, Verdict};
use serde_json::{Value, json};

use crate::{ledger::Ledger, text};

fn model_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../inference/model/tests/trees/xgboost.json")
}

/// The rows of that model with the probabilities that its library gave, in the column `p`, and a column `id`.
fn sample() -> String {
    let case = fs::read(model_file().with_extension("case.json")).unwrap();
    let csv = tree_case::to_csv(&serde_json::from_slice(&case).unwrap()).unwrap();
    csv.replacen(",expected,expected_raw\n", ",p,id\n", 1)
}

/// Where the model and the sample are, as a spec names them.
fn mounted() -> (Value, Value) {
    let file = json!({"configMap": {"name": "heart-model", "key": "model.json"}});
    (
        file,
        json!({"configMap": {"name": "heart-model", "key": "sample.csv"}}),
    )
}

fn spec(ledger: &Ledger, artifact: &Value) -> PathBuf {
    let object = json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "heart-1"},
        "spec": {"model": "heart", "source": {"artifact": artifact}, "serving": {"access": "Open"}},
    });
    let path = ledger.dir.path().join("spec.json");
    fs::write(&path, object.to_string()).unwrap();
    path
}

fn artifact(file: &Value, sample: &Value) -> Value {
    json!({"file": file, "sample": {"dataset": sample, "expected": "p", "exclude": ["id"]}, "threshold": "0.4"})
}

/// Runs the Job with these files mounted.
fn run(ledger: &Ledger, artifact: &Value, model: &Path, sample: &str) -> JobResult {
    let path = ledger.dir.path().join("sample.csv");
    fs::write(&path, sample).unwrap();
    let spec = spec(ledger, artifact);
    let (output, result) = ledger.run(&[
        "import",
        "--spec",
        text(&spec),
        "--model",
        text(model),
        "--sample",
        text(&path),
    ]);
    assert!(output.status.success(), "{output:?}");
    result
}

/// A server of files; the address of its folder.
fn serve(files: Vec<(&'static str, Vec<u8>)>) -> (String, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let files: BTreeMap<&str, Vec<u8>> = files.into_iter().collect();
    let answer = |State(files): State<BTreeMap<&'static str, Vec<u8>>>, uri: axum::http::Uri| async move {
        let path = uri.path_and_query().unwrap().as_str();
        match files.get(path) {
            Some(bytes) => bytes.clone().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    };
    let router = Router::new().fallback(answer).with_state(files);
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, runtime)
}

/// Runs the Job without a mounted file; it may read from this machine.
fn run_from_addresses(ledger: &Ledger, artifact: &Value) -> JobResult {
    let spec = spec(ledger, artifact);
    let output = ledger
        .command(&["import", "--spec", text(&spec)])
        .env("MODELWARD_ALLOW_SOURCES", "127.0.0.0/8")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&fs::read(ledger.termination_log()).unwrap()).unwrap()
}

#[test]
fn a_mounted_model_becomes_a_bundle_in_the_store() {
    let ledger = Ledger::start();
    let (file, rows) = mounted();
    let result = run(&ledger, &artifact(&file, &rows), &model_file(), &sample());
    assert_eq!(
        (result.stage, result.verdict),
        (JobStage::Import, Verdict::Succeeded),
        "{}",
        result.message
    );
    assert_eq!(ledger.recorded(), result);
    assert!(
        result
            .message
            .starts_with("imported XGBoost from XGBoost JSON: 48 rows of the sample score as expected"),
        "{}",
        result.message
    );
    let imported = result.imported.unwrap();
    assert_eq!(imported.file, sha256(&fs::read(model_file()).unwrap()));
    assert_eq!(imported.sample, Some(sha256(sample().as_bytes())));
    let digest = result.digest.unwrap();
    let bundle = Bundle::open(&ledger.kept(&digest), &digest).unwrap();
    let info = bundle.info();
    assert_eq!(
        (info.model.as_str(), info.threshold.as_str(), info.rows),
        ("heart", "0.4", 48)
    );
    // What the operator compares with the result.
    let stated = info.imported.as_ref().unwrap();
    assert_eq!(
        (stated.file, Some(stated.sample)),
        (imported.file, imported.sample)
    );
    assert_eq!(stated.format, imported.format);
}

#[test]
fn addresses_are_read_by_the_job_and_give_the_same_bundle() {
    let ledger = Ledger::start();
    let (file, rows) = mounted();
    let mounted = run(&ledger, &artifact(&file, &rows), &model_file(), &sample());
    let model = fs::read(model_file()).unwrap();
    let (url, _server) = serve(vec![("/m", model.clone()), ("/s.csv", sample().into_bytes())]);
    let pinned = json!({"uri": format!("{url}/m"), "sha256": sha256(&model)});
    let found = run_from_addresses(
        &ledger,
        &artifact(&pinned, &json!({"uri": format!("{url}/s.csv")})),
    );
    assert_eq!(found.verdict, Verdict::Succeeded, "{}", found.message);
    assert_eq!(found.digest, mounted.digest);

    let other = json!({"uri": format!("{url}/m"), "sha256": sha256(b"another")});
    let found = run_from_addresses(
        &ledger,
        &artifact(&other, &json!({"uri": format!("{url}/s.csv")})),
    );
    assert_eq!(found.verdict, Verdict::DataInvalid);
    assert!(
        found.message.contains("the spec pins sha256:"),
        "{}",
        found.message
    );

    let absent = json!({"uri": format!("{url}/none")});
    let found = run_from_addresses(
        &ledger,
        &artifact(&absent, &json!({"uri": format!("{url}/s.csv")})),
    );
    assert_eq!(found.verdict, Verdict::DataNotFound, "{}", found.message);
}

#[test]
fn what_an_address_gives_is_not_quoted() {
    let ledger = Ledger::start();
    let page = format!("password,p\n{}", "hunter2,1\n".repeat(20));
    let (url, _server) = serve(vec![
        ("/m", fs::read(model_file()).unwrap()),
        ("/s.csv", page.into_bytes()),
    ]);
    let file = json!({"uri": format!("{url}/m")});
    let found = run_from_addresses(&ledger, &artifact(&file, &json!({"uri": format!("{url}/s.csv")})));
    assert_eq!(found.verdict, Verdict::DataInvalid);
    assert!(
        found
            .message
            .contains("the sample has 1 columns besides the expected scores: names that are not shown"),
        "{}",
        found.message
    );
    assert!(
        !found.message.contains("password") && !found.message.contains("hunter"),
        "{}",
        found.message
    );
}

#[test]
fn a_model_of_a_registry_says_what_its_alias_was_resolved_to() {
    let ledger = Ledger::start();
    let (_, rows) = mounted();
    let api = "/api/2.0/mlflow";
    let alias: &'static str =
        Box::leak(format!("{api}/registered-models/alias?name=heart&alias=champion").into());
    let place: &'static str =
        Box::leak(format!("{api}/model-versions/get-download-uri?name=heart&version=7").into());
    let (url, _server) = serve(vec![
        (
            alias,
            br#"{"model_version": {"version": "7", "run_id": "0a1b"}}"#.to_vec(),
        ),
        (place, br#"{"artifact_uri": "mlflow-artifacts:/1/m"}"#.to_vec()),
        (
            "/api/2.0/mlflow-artifacts/artifacts/1/m/MLmodel",
            b"flavors:\n  xgboost: {data: model.json}\n".to_vec(),
        ),
        (
            "/api/2.0/mlflow-artifacts/artifacts/1/m/model.json",
            fs::read(model_file()).unwrap(),
        ),
    ]);
    let sample_file = ledger.dir.path().join("sample.csv");
    fs::write(&sample_file, sample()).unwrap();
    let mut artifact = artifact(&json!(null), &rows);
    artifact.as_object_mut().unwrap().remove("file");
    artifact["mlflow"] = json!({"uri": url, "model": "heart", "alias": "champion"});
    let spec = spec(&ledger, &artifact);
    let output = ledger
        .command(&["import", "--spec", text(&spec), "--sample", text(&sample_file)])
        .env("MODELWARD_ALLOW_SOURCES", "127.0.0.0/8")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let result = ledger.recorded();
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    let resolved = result.imported.unwrap().mlflow.unwrap();
    assert_eq!(
        (resolved.version.as_str(), resolved.run.as_deref()),
        ("7", Some("0a1b"))
    );
}

#[test]
fn what_is_refused_is_a_result_with_the_sentence_of_the_command() {
    let ledger = Ledger::start();
    let (file, rows) = mounted();
    let artifact = artifact(&file, &rows);
    let pickle = ledger.dir.path().join("model.pkl");
    fs::write(&pickle, b"\x80\x04\x95\x10\0\0\0\0\0\0\0").unwrap();
    let result = run(&ledger, &artifact, &pickle, &sample());
    assert_eq!(result.verdict, Verdict::DataInvalid);
    assert!(
        result.message.contains("a Python pickle (also of joblib)")
            && result.message.contains("runs code when it is read"),
        "{}",
        result.message
    );
    assert!(ledger.state.lock().unwrap().objects.is_empty());

    let absent = run(
        &ledger,
        &artifact,
        Path::new("/nonexistent/model.json"),
        &sample(),
    );
    assert_eq!(absent.verdict, Verdict::DataNotFound);
    assert!(
        absent
            .message
            .starts_with("ConfigMap heart-model has no key model.json, or does not exist"),
        "{}",
        absent.message
    );

    let folder = run(&ledger, &artifact, ledger.dir.path(), &sample());
    assert_eq!(folder.verdict, Verdict::DataInvalid);
    assert!(
        folder
            .message
            .contains("the directory configMap heart-model/model.json is not a bundle"),
        "{}",
        folder.message
    );

    let invalid = run(&ledger, &json!({"file": file}), &model_file(), &sample());
    assert_eq!(invalid.verdict, Verdict::SpecInvalid);
    assert!(
        invalid.message.contains("needs source.artifact.sample"),
        "{}",
        invalid.message
    );
}

#[test]
fn a_bundle_on_a_volume_keeps_its_digest() {
    let ledger = Ledger::start();
    let (file, rows) = mounted();
    let made = run(&ledger, &artifact(&file, &rows), &model_file(), &sample())
        .digest
        .unwrap();
    let folder = ledger.kept(&made);
    let claim = json!({"persistentVolumeClaim": {"claimName": "models", "path": "heart"}, "sha256": made});
    let result = run(&ledger, &artifact(&claim, &rows), &folder, &sample());
    assert_eq!(result.verdict, Verdict::Succeeded, "{}", result.message);
    assert_eq!(result.digest, Some(made));
    let imported = result.imported.unwrap();
    assert_eq!(
        (imported.format.as_str(), imported.file),
        ("Modelward bundle", made)
    );
}
