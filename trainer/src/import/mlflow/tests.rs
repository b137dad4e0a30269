//! Tests with a server that answers as MLflow 3.17 does; `tests/differential` asks a real one.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::get,
};
use modelward_crds::Networks;
use serde_json::{Value, json};

use super::*;
use crate::data::reach::Reach;

/// What the server has: the place of version 3 of the model `my heart`, and its files.
#[derive(Clone)]
struct Server {
    place: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    /// The size that it states for a file of this many bytes.
    stated: fn(usize) -> Value,
    /// What the requests were authorized with.
    seen: Arc<Mutex<Vec<Option<String>>>>,
}

const PLACE: &str = "mlflow-artifacts:/0/models/m-1/artifacts";

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, Json(json!({"error_code": code, "message": "not found"}))).into_response()
}

impl Server {
    fn new(files: &[(&'static str, &str)]) -> Self {
        Self {
            place: PLACE,
            files: files
                .iter()
                .map(|(name, text)| (*name, text.as_bytes().to_vec()))
                .collect(),
            stated: |bytes| json!(bytes),
            seen: Arc::default(),
        }
    }

    fn of_flavors(flavors: &str) -> Self {
        Self::new(&[("MLmodel", &format!("flavors:\n{flavors}\nmodel_uuid: m-1\n"))])
    }

    async fn start(self) -> String {
        let of_alias = |State(server): State<Self>,
                        headers: HeaderMap,
                        Query(asked): Query<Vec<(String, String)>>| async move {
            let text = headers
                .get(AUTHORIZATION)
                .map(|value| value.to_str().unwrap().to_owned());
            server.seen.lock().unwrap().push(text);
            match (asked[0].1.as_str(), asked[1].1.as_str()) {
                ("my heart", "champion") => {
                    Json(json!({"model_version": {"version": "3", "run_id": "r1", "source": "models:/m-1"}}))
                        .into_response()
                }
                ("my heart", _) => error(400, "INVALID_PARAMETER_VALUE"),
                _ => error(404, "RESOURCE_DOES_NOT_EXIST"),
            }
        };
        let of_place =
            |State(server): State<Self>| async move { Json(json!({"artifact_uri": server.place})) };
        let of_run =
            || async { Json(json!({"run": {"info": {"artifact_uri": "mlflow-artifacts:/0/r1/artifacts"}}})) };
        let list = |State(server): State<Self>| async move {
            let entry = |(name, bytes): &(&str, Vec<u8>)| json!({"path": name, "is_dir": false, "file_size": (server.stated)(bytes.len())});
            Json(json!({"files": server.files.iter().map(entry).collect::<Vec<Value>>()}))
        };
        let of_file = |State(server): State<Self>, Path(path): Path<String>| async move {
            let folder = if server.place == PLACE {
                "0/models/m-1/artifacts/"
            } else {
                "0/r1/artifacts/a model/"
            };
            let name = path.strip_prefix(folder).map(ToOwned::to_owned);
            let file = server
                .files
                .iter()
                .find(|(file, _)| Some(*file) == name.as_deref());
            match file {
                Some((_, bytes)) => bytes.clone().into_response(),
                None => error(404, "RESOURCE_DOES_NOT_EXIST"),
            }
        };
        let router = Router::new()
            .route("/at/api/2.0/mlflow/registered-models/alias", get(of_alias))
            .route(
                "/at/api/2.0/mlflow/model-versions/get-download-uri",
                get(of_place),
            )
            .route("/at/api/2.0/mlflow/runs/get", get(of_run))
            .route("/at/api/2.0/mlflow-artifacts/artifacts", get(list))
            .route("/at/api/2.0/mlflow-artifacts/artifacts/{*path}", get(of_file))
            .with_state(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}/at/")
    }

    async fn find(self) -> anyhow::Result<(Found, MlflowVersion)> {
        let uri = self.start().await;
        fetch(&named(&uri, "my heart", "champion"), &Fetch::anywhere(), |_| None).await
    }

    async fn refusal(self) -> String {
        let error = self.find().await.unwrap_err();
        assert!(error.downcast_ref::<ImportError>().is_some(), "{error:?}");
        error.to_string()
    }
}

fn named(uri: &str, model: &str, alias: &str) -> MlflowModel {
    MlflowModel {
        uri: uri.to_owned(),
        model: model.to_owned(),
        alias: alias.to_owned(),
        credentials_secret: None,
    }
}

#[tokio::test]
async fn an_alias_leads_to_the_file_of_a_flavor() {
    let description = "flavors:\n  lightgbm: {data: model.lgb, lgb_version: 4.7.0, model_class: lightgbm.basic.Booster}\n  \
                       python_function: {loader_module: mlflow.lightgbm, data: model.lgb}\n";
    for place in [
        PLACE,
        "runs:/r1/a model",
        "mlflow-artifacts://host:80/0/r1/artifacts/a model",
    ] {
        let mut server = Server::new(&[("MLmodel", description), ("model.lgb", "tree\n")]);
        server.place = place;
        let (found, version) = server.find().await.unwrap();
        assert!(
            matches!(found, Found::File(bytes) if bytes == b"tree\n"),
            "{place}"
        );
        assert_eq!(
            (version.version.as_str(), version.run.as_deref()),
            ("3", Some("r1"))
        );
    }
}

#[tokio::test]
async fn a_bundle_has_its_digest_again() {
    let files = [
        ("MLmodel", "flavors:\n  modelward: {bundle_format: 1}\n"),
        ("a.json", "{}"),
    ];
    let (found, _) = Server::new(&files).find().await.unwrap();
    let Found::Bundle(found) = found else {
        panic!("it is a bundle")
    };
    let original = DirBuilder::new(ManifestKind::Bundle)
        .with("a.json", "{}")
        .with("MLmodel", files[0].1);
    assert_eq!(found.manifest().unwrap().2, original.manifest().unwrap().2);
}

#[tokio::test]
async fn the_files_of_a_bundle_have_a_limit_together_whatever_sizes_the_server_states() {
    type StatedSize = fn(usize) -> Value;
    let half = "0".repeat(600);
    let files = [
        ("MLmodel", "flavors:\n  modelward: {bundle_format: 1}\n"),
        ("a.json", half.as_str()),
        ("b.json", half.as_str()),
    ];
    let together = "has files of more than 1000 bytes together";
    let sizes: [(StatedSize, &str); 3] = [
        (|_| json!(0), together),
        (|_| Value::Null, together),
        (|_| json!(u64::MAX), "has 3 files of 18446744073709551615 bytes"),
    ];
    for (stated, words) in sizes {
        let mut server = Server::new(&files);
        server.stated = stated;
        let uri = server.start().await;
        let small = Fetch {
            max_bytes: 1000,
            ..Fetch::anywhere()
        };
        let model = named(&uri, "my heart", "champion");
        let error = fetch(&model, &small, |_| None).await.unwrap_err();
        assert!(error.downcast_ref::<ImportError>().is_some(), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_model_that_is_code_is_refused_with_its_flavor_and_what_to_log_instead() {
    for (flavors, words) in [
        (
            "  sklearn: {pickled_model: model.pkl}\n  python_function: {loader_module: mlflow.sklearn}",
            "version 3 of the registered model my heart has the flavor sklearn, which is a file of Python objects, which can run code \
             when it is read: log mlflow.onnx.log_model(skl2onnx.to_onnx(",
        ),
        (
            "  python_function: {loader_module: mlflow.pyfunc.model}",
            "has the flavor python_function, which is Python code: log the model itself with",
        ),
        (
            "  lightgbm: {data: model.skops}\n  python_function: {}",
            "has the flavor lightgbm as model.skops, a file of Python objects, which can run code when it is read; log its booster: \
             mlflow.lightgbm.log_model(model.booster_",
        ),
        ("  xgboost: {data: model.pkl}", "model.get_booster()"),
        (
            "  catboost: {data: model.cb}\n  python_function: {}",
            "has the flavor catboost, which is not imported",
        ),
        ("  {}", "has no flavor"),
        (
            "  onnx: {data: ../../secret}",
            "has the flavor onnx without a file in data",
        ),
    ] {
        let found = Server::of_flavors(flavors).refusal().await;
        assert!(found.contains(words), "{flavors}: {found}");
    }
    let found = Server::new(&[]).refusal().await;
    assert!(found.contains("has no file MLmodel"), "{found}");
    let found = Server::new(&[("MLmodel", "- 1")]).refusal().await;
    assert!(found.contains("does not list flavors"), "{found}");
    let mut elsewhere = Server::of_flavors("  onnx: {data: model.onnx}");
    elsewhere.place = "s3://bucket/0/models/m-1/artifacts";
    let found = elsewhere.refusal().await;
    assert!(
        found
            .contains("are at s3://bucket/0/models/m-1/artifacts, and the MLflow server does not serve them"),
        "{found}"
    );
}

#[tokio::test]
async fn an_absent_alias_model_or_secret_is_waited_for() {
    let uri = Server::new(&[]).start().await;
    let ask = async |model: MlflowModel, reach: Reach| {
        let error = fetch(&model, &Fetch::within(reach), |_| None).await.unwrap_err();
        assert!(
            matches!(error.downcast_ref(), Some(SourceError::NotFound { .. })),
            "{error:?}"
        );
        error.to_string()
    };
    let anywhere = Reach::anywhere;
    let found = ask(named(&uri, "my heart", "none"), anywhere()).await;
    assert!(
        found.contains("400 Bad Request to the request for the alias none of the registered model my heart"),
        "{found}"
    );
    let found = ask(named(&uri, "lungs", "champion"), anywhere()).await;
    assert!(found.contains("404 Not Found"), "{found}");

    let mut model = named(&uri, "my heart", "champion");
    model.credentials_secret = Some(modelward_crds::CredentialsSecret {
        name: "mlflow".to_owned(),
    });
    let job = Reach::of_job("127.0.0.0/8".parse().unwrap(), Networks::default(), None);
    let found = ask(model, job).await;
    assert!(
        found.contains("Secret mlflow does not exist or has none of the keys"),
        "{found}"
    );
}

#[tokio::test]
async fn a_job_does_not_ask_a_server_out_of_its_reach() {
    let uri = Server::new(&[]).start().await;
    let job = Reach::of_job(Networks::default(), Networks::default(), None);
    let model = named(&uri, "my heart", "champion");
    let error = fetch(&model, &Fetch::within(job), |_| None).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn credentials_are_those_of_the_secret_and_are_not_shown() {
    for (variables, expected) in [
        (&[("MLFLOW_TRACKING_TOKEN", "t0")][..], "Bearer t0"),
        (
            &[
                ("MLFLOW_TRACKING_USERNAME", "u"),
                ("MLFLOW_TRACKING_PASSWORD", "p"),
            ],
            "Basic dTpw",
        ),
    ] {
        let server = Server::of_flavors("  sklearn: {}");
        let seen = Arc::clone(&server.seen);
        let uri = server.start().await;
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let error = fetch(&named(&uri, "my heart", "champion"), &Fetch::anywhere(), variable)
            .await
            .unwrap_err();
        assert!(!format!("{error:?}").contains("t0"));
        assert_eq!(*seen.lock().unwrap(), [Some(expected.to_owned())]);
    }
    let shown = format!("{:?}", Authorization::Bearer("t0".to_owned()));
    assert_eq!(shown, "Bearer");
}
