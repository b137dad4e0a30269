//! The Open Inference Protocol over REST, with its binary tensor extension.

mod columns;
mod datatype;
mod read;
mod write;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use modelward_model::FeatureKind;
use serde_json::{Value, json};

use self::{
    columns::Columns,
    read::{OUTPUTS, read_request, split, wishes},
    write::Outcome,
};
use super::{
    answer::{self, Answer, Protocol, Shared, refused, serving},
    health::{held, reserve_report},
    json::Text,
    problem::{self, Problem, quoted},
};
use crate::{
    app::App,
    memory::Weight,
    metrics::Metrics,
    score::{Scoring, find_version},
    serving::{LoadedRoute, Serving},
};

/// The number of bytes of JSON in a body with binary tensors, in requests and answers.
const JSON_LENGTH_HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");

type ModelPath = Result<Path<String>, PathRejection>;
type VersionPath = Result<Path<(String, String)>, PathRejection>;

/// The protocol of tensors.
struct Tensors {
    version: Option<String>,
    /// Bytes of JSON, if there are binary tensors.
    json_length: Option<usize>,
}

// === inference ===

pub(super) async fn model_infer(
    State(app): Shared,
    path: ModelPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    infer(app, &model, None, headers, body).await
}

pub(super) async fn version_infer(
    State(app): Shared,
    path: VersionPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    infer(app, &model, Some(version), headers, body).await
}

async fn infer(
    app: Arc<App>,
    model: &str,
    version: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    known_model(&app, model)?;
    let serving = Arc::clone(serving(&app)?);
    let protocol = Tensors {
        version,
        json_length: json_length(&headers)?,
    };
    answer::answer(app, serving, protocol, &headers, body).await
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(JSON_LENGTH_HEADER) else {
        return Ok(None);
    };
    let length = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<usize>().ok());
    length
        .map(Some)
        .ok_or_else(|| Problem::malformed("Inference-Header-Content-Length is not a number of bytes"))
}

// === impl Tensors ===

impl Protocol for Tensors {
    const UNFIT: StatusCode = StatusCode::BAD_REQUEST;

    const DESCRIBED: usize = 20;

    fn weight(&self, body: &[u8]) -> Weight {
        Weight::of_tensors(body, self.json_length.is_some())
    }

    fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn answer(
        &self,
        mut scoring: Scoring<'_>,
        serving: &Serving,
        metrics: &Metrics,
        body: &[u8],
    ) -> Result<Answer, Problem> {
        let route = scoring.route();
        let (json, tail) = split(body, self.json_length)?;
        let text = Text::new(json)?;
        let mut request = read_request(&text, route.bounds)?;
        let wishes = wishes(&request)?;
        let columns = Columns::read(route, &mut request, tail)?;
        let mut ids = Vec::with_capacity(columns.rows());
        let mut described = Vec::new();
        columns.score(&mut scoring, |row, answer| {
            let notices = answer.notices.iter();
            described.extend(notices.map(|notice| format!("row {row}: {}", notice.message)));
            ids.push(answer.prediction_id);
        });
        let finished = scoring
            .finish(metrics)
            .map_err(|refusal| refused(refusal, Self::UNFIT, true))?;
        let outcome = Outcome {
            model: &serving.model,
            route,
            id: request.id.as_deref(),
            finished,
            ids,
            described,
        };
        let (body, json_length) = outcome.write(&wishes)?;
        let headers = json_length.map_or_else(Vec::new, |length| {
            let binary = HeaderValue::from_static("application/octet-stream");
            vec![
                (header::CONTENT_TYPE, binary),
                (JSON_LENGTH_HEADER, HeaderValue::from(length)),
            ]
        });
        Ok(Answer { body, headers })
    }

    fn shadow(&self, scoring: &mut Scoring<'_>, body: &[u8]) -> Result<(), Problem> {
        let (json, tail) = split(body, self.json_length)?;
        let text = Text::new(json)?;
        let mut request = read_request(&text, scoring.route().bounds)?;
        Columns::read(scoring.route(), &mut request, tail)?.score(scoring, |_, _| {});
        Ok(())
    }
}

// === metadata and readiness ===

pub(super) async fn server_metadata() -> Response {
    let metadata = json!({
        "name": "modelward",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    });
    problem::json(StatusCode::OK, &metadata)
}

pub(super) async fn server_live() -> Response {
    problem::json(StatusCode::OK, &json!({"live": true}))
}

pub(super) async fn server_ready(State(app): Shared) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"live": true, "ready": true})),
        Some(reason) => problem::json_later(&json!({"live": true, "ready": false, "error": reason})),
    }
}

pub(super) async fn model_ready(State(app): Shared, path: ModelPath) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    Ok(ready(&app))
}

pub(super) async fn version_ready(State(app): Shared, path: VersionPath) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    if let Some(serving) = app.serving() {
        known_version(serving, &version)?;
    }
    Ok(ready(&app))
}

fn ready(app: &App) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"name": app.model, "ready": true})),
        Some(reason) => problem::json_later(&json!({"name": app.model, "ready": false, "error": reason})),
    }
}

pub(super) async fn model_metadata(State(app): Shared, path: ModelPath) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    let serving = serving(&app)?;
    let heaviest = serving.live.iter().max_by_key(|route| route.route.weight);
    let route = heaviest.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no version answers"))?;
    let reservation = reserve_report(&app).await?;
    Ok(held(&metadata(&app, serving, route), reservation))
}

pub(super) async fn version_metadata(State(app): Shared, path: VersionPath) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    let serving = serving(&app)?;
    let route = known_version(serving, &version)?;
    let reservation = reserve_report(&app).await?;
    Ok(held(&metadata(&app, serving, route), reservation))
}

fn known_version<'s>(serving: &'s Serving, version: &str) -> Result<&'s Arc<LoadedRoute>, Problem> {
    find_version(serving, version).map_err(|refusal| refused(refusal, Tensors::UNFIT, true))
}

fn metadata(app: &App, serving: &Serving, route: &LoadedRoute) -> Value {
    let versions: Vec<&str> = serving
        .live
        .iter()
        .map(|route| route.route.version.as_str())
        .collect();
    let inputs: Vec<Value> = route
        .bundle
        .schema()
        .features
        .iter()
        .map(|feature| {
            let datatype = match feature.kind {
                FeatureKind::Numeric { .. } => "FP32",
                FeatureKind::Categorical { .. } => "BYTES",
            };
            json!({"name": feature.name, "datatype": datatype, "shape": [-1]})
        })
        .collect();
    let outputs = OUTPUTS.map(|(name, datatype)| json!({"name": name, "datatype": datatype, "shape": [-1]}));
    let digest = app.routes_digest.as_ref().and_then(|digest| digest.to_str().ok());
    json!({
        "name": serving.model,
        "versions": versions,
        "platform": "modelward_bundle",
        "inputs": inputs,
        "outputs": outputs,
        "properties": {
            "version": route.route.version,
            "digest": route.route.digest,
            "threshold": route.route.threshold,
            "family": route.bundle.info().family,
            "routesDigest": digest,
        },
    })
}

fn known_model(app: &App, model: &str) -> Result<(), Problem> {
    if model == app.model {
        return Ok(());
    }
    let message = format!("unknown model {}; this server has {:?}", quoted(model), app.model);
    Err(Problem::new(StatusCode::NOT_FOUND, message))
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn bad_path(rejection: PathRejection) -> Problem {
    Problem::malformed(format!("the path cannot be read: {}", rejection.body_text()))
}
