//! The routes of the server, and what goes over the wire.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Path, Request, State, rejection::PathRejection},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use modelward_model::FeatureKind;
use modelward_wire::RouteMode;
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::{App, SHADOW_UNIT, State as RouteState},
    body::{Received, receive},
    counting::Origin,
    feedback,
    infer::{self, JSON_LENGTH_HEADER, OUTPUTS},
    metrics::{self, RequestLabels, RouteLabel},
    predict,
    problem::{self, Problem},
    serving::{LoadedRoute, Serving},
};

/// Holds a caller to one version while the weights stay.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("modelward-key");

/// The version that answered: clients of the Open Inference Protocol drop it from the body.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("x-model-version");

/// Patterns of all paths: the values of the metrics' label `route`, beside `unmatched`.
const ROUTES: [&str; 21] = [
    "/predict",
    "/predict/",
    "/v2",
    "/v2/",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}",
    "/v2/models/{model}/versions/{version}/ready",
    "/v2/models/{model}/versions/{version}/infer",
    "/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v2/models/{model}/",
    "/v2/health/live/",
    "/v2/health/ready/",
    "/feedback",
    "/feedback/",
];

type Shared = State<Arc<App>>;
type ModelPath = Result<Path<String>, PathRejection>;
type VersionPath = Result<Path<(String, String)>, PathRejection>;

/// The whole server as a service.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/predict", post(predict_rows))
        .route("/predict/", post(predict_rows))
        .route("/v2", get(server_metadata))
        .route("/v2/", get(server_metadata))
        .route("/v2/health/live", get(server_live))
        .route("/v2/health/live/", get(server_live))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2/health/ready/", get(server_ready))
        .route("/v2/models/{model}", get(model_metadata))
        .route("/v2/models/{model}/", get(model_metadata))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(model_infer))
        .route("/v2/models/{model}/versions/{version}", get(version_metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(version_infer))
        .route("/feedback", post(take_feedback))
        .route("/feedback/", post(take_feedback))
        .route("/health", get(health))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(prometheus))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

// === predictions ===

async fn predict_rows(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let serving = Arc::clone(serving(&app)?);
    let origin = origin(&app, &headers)?;
    let received = receive_body(&app, &headers, body).await?;
    let call = serving.call(headers.get(&KEY_HEADER).map(HeaderValue::as_bytes));
    let shared = Arc::clone(&app);
    let (bytes, route) = work(received, move |received| {
        let body = received.unpack()?;
        let answered = predict::predict(&serving, &shared.metrics, call, &origin, &body)?;
        shadow(&shared, body, |app, route, body| {
            predict::shadow(route, &app.metrics, body);
        });
        Ok(answered)
    })
    .await?;
    Ok(with_version(problem::json_bytes(StatusCode::OK, bytes), &route))
}

async fn model_infer(
    State(app): Shared,
    path: ModelPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    infer_rows(app, &model, None, headers, body).await
}

async fn version_infer(
    State(app): Shared,
    path: VersionPath,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    infer_rows(app, &model, Some(version), headers, body).await
}

async fn infer_rows(
    app: Arc<App>,
    model: &str,
    version: Option<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    known_model(&app, model)?;
    let serving = Arc::clone(serving(&app)?);
    let json_length = match headers.get(JSON_LENGTH_HEADER) {
        None => None,
        Some(value) => {
            let length = value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse::<usize>().ok());
            let bad =
                || Problem::malformed("Inference-Header-Content-Length is not a number of bytes".to_owned());
            Some(length.ok_or_else(bad)?)
        }
    };
    let origin = origin(&app, &headers)?;
    let received = receive_body(&app, &headers, body).await?;
    let call = serving.call(headers.get(&KEY_HEADER).map(HeaderValue::as_bytes));
    let shared = Arc::clone(&app);
    let answer = work(received, move |received| {
        let body = received.unpack()?;
        let metrics = &shared.metrics;
        let answer = infer::infer(
            &serving,
            metrics,
            call,
            &origin,
            version.as_deref(),
            json_length,
            &body,
        )?;
        shadow(&shared, body, move |app, route, body| {
            infer::shadow(route, &app.metrics, json_length, body);
        });
        Ok(answer)
    })
    .await?;
    let mut response = problem::json_bytes(StatusCode::OK, answer.body);
    if let Some(length) = answer.json_length {
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        headers.insert(
            HeaderName::from_static(JSON_LENGTH_HEADER),
            HeaderValue::from(length),
        );
    }
    Ok(with_version(response, &answer.route))
}

/// Whose rows a request brings.
fn origin(app: &App, headers: &HeaderMap) -> Result<Origin, Problem> {
    app.traffic_key.origin(headers, &app.counting)
}

async fn receive_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
    let limits = &app.limits;
    receive(
        headers,
        body,
        limits.max_body,
        limits.body_timeout,
        &app.large_bodies,
    )
    .await
}

/// Runs what keeps a core busy where it hurts no other request.
async fn work<T: Send + 'static>(
    received: Received,
    work: impl FnOnce(&Received) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if !received.is_heavy() {
        return work(&received);
    }
    match tokio::task::spawn_blocking(move || work(&received)).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "failed to finish a request");
            Err(internal())
        }
    }
}

/// Lets the Shadow routes score a body that was answered, if there is room for it.
fn shadow(app: &Arc<App>, body: bytes::Bytes, score: impl Fn(&App, &LoadedRoute, &[u8]) + Send + 'static) {
    let shadows = app.shadows();
    if shadows.is_empty() {
        return;
    }
    let slots = 1 + (body.len() / SHADOW_UNIT) as u32;
    let Ok(slots) = Arc::clone(&app.shadow_slots).try_acquire_many_owned(slots) else {
        app.metrics.shadow_dropped.inc();
        return;
    };
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || {
        let _slots = slots;
        for route in shadows.iter() {
            score(&app, route, &body);
        }
    });
}

fn with_version(mut response: Response, route: &LoadedRoute) -> Response {
    // The name was checked when the routes were read.
    if let Ok(version) = HeaderValue::from_str(&route.route.version) {
        response.headers_mut().insert(VERSION_HEADER, version);
    }
    response
}

fn serving(app: &App) -> Result<&Arc<Serving>, Problem> {
    app.serving().ok_or_else(|| {
        let reason = app.unready().unwrap_or_default();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}"))
    })
}

// === labels ===

async fn take_feedback(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let limits = &app.limits;
    let most = feedback::MAX_BODY.min(limits.max_body);
    let received = receive(&headers, body, most, limits.body_timeout, &app.large_bodies).await?;
    let answer = feedback::feedback(&app, &received.unpack()?).await?;
    Ok(problem::json(StatusCode::ACCEPTED, &answer))
}

// === the Open Inference Protocol ===

async fn server_metadata() -> Response {
    let metadata = json!({
        "name": "modelward",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    });
    problem::json(StatusCode::OK, &metadata)
}

async fn server_live() -> Response {
    problem::json(StatusCode::OK, &json!({"live": true}))
}

async fn server_ready(State(app): Shared) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"live": true, "ready": true})),
        Some(reason) => unready(&json!({"live": true, "ready": false, "error": reason})),
    }
}

async fn model_ready(State(app): Shared, path: ModelPath) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    Ok(ready(&app))
}

async fn version_ready(State(app): Shared, path: VersionPath) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    if let Some(serving) = app.serving() {
        serving
            .version(&version)
            .ok_or_else(|| infer::unknown_version(serving, &version))?;
    }
    Ok(ready(&app))
}

fn ready(app: &App) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"name": app.model, "ready": true})),
        Some(reason) => unready(&json!({"name": app.model, "ready": false, "error": reason})),
    }
}

async fn model_metadata(State(app): Shared, path: ModelPath) -> Result<Response, Problem> {
    let Path(model) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    let serving = serving(&app)?;
    let heaviest = serving.live.iter().max_by_key(|route| route.route.weight);
    let route = heaviest.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no version answers"))?;
    Ok(metadata(serving, route))
}

async fn version_metadata(State(app): Shared, path: VersionPath) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    let serving = serving(&app)?;
    let route = serving
        .version(&version)
        .ok_or_else(|| infer::unknown_version(serving, &version))?;
    Ok(metadata(serving, route))
}

fn metadata(serving: &Serving, route: &LoadedRoute) -> Response {
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
    let metadata = json!({
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
        },
    });
    problem::json(StatusCode::OK, &metadata)
}

fn known_model(app: &App, model: &str) -> Result<(), Problem> {
    if model == app.model {
        return Ok(());
    }
    let asked: String = model.chars().take(80).collect();
    let message = format!("unknown model {asked:?}; this server has {:?}", app.model);
    Err(Problem::new(StatusCode::NOT_FOUND, message))
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn bad_path(rejection: PathRejection) -> Problem {
    Problem::malformed(format!("the path cannot be read: {}", rejection.body_text()))
}

// === health ===

async fn healthz() -> Response {
    problem::json(StatusCode::OK, &json!({"status": "alive"}))
}

async fn readyz(State(app): Shared) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"ready": true})),
        Some(reason) => unready(&json!({"ready": false, "reason": reason})),
    }
}

async fn health(State(app): Shared) -> Response {
    let unready = app.unready();
    let status = match &unready {
        None => "ready",
        Some(_) if app.is_draining() => "draining",
        Some(_) => "starting",
    };
    let versions: Vec<Value> = app
        .entries
        .iter()
        .map(|entry| {
            let route = &entry.route;
            let state = entry.state.load();
            let (state, reason) = match state.as_ref() {
                RouteState::Loading(reason) => ("Loading", Some(reason)),
                RouteState::Ready => ("Ready", None),
                RouteState::Failed(reason) => ("Failed", Some(reason)),
            };
            let mode = match route.mode {
                RouteMode::Live => "Live",
                RouteMode::Shadow => "Shadow",
            };
            let mut version = json!({
                "version": route.version,
                "digest": route.digest,
                "weight": route.weight,
                "threshold": route.threshold,
                "mode": mode,
                "state": state,
            });
            if let (Some(reason), Some(fields)) = (reason, version.as_object_mut()) {
                fields.insert("reason".to_owned(), Value::from(reason.as_str()));
            }
            version
        })
        .collect();
    let mut report = json!({
        "status": status,
        "ready": unready.is_none(),
        "namespace": app.namespace,
        "model": app.model,
        "versions": versions,
    });
    if let (Some(reason), Some(fields)) = (unready, report.as_object_mut()) {
        fields.insert("reason".to_owned(), Value::from(reason));
    }
    problem::json(StatusCode::OK, &report)
}

async fn prometheus(State(app): Shared) -> Response {
    match app.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "failed to write metrics");
            internal().into_response()
        }
    }
}

fn unready(body: &Value) -> Response {
    let mut response = problem::json(StatusCode::SERVICE_UNAVAILABLE, body);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

// === what is left ===

async fn unknown_path(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(120).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("no such path {path:?}; there are /predict, /v2, /feedback, /health and /metrics"),
    )
}

async fn wrong_method(request: Request) -> Problem {
    let method = request.method().as_str().chars().take(20).collect::<String>();
    let path: String = request.uri().path().chars().take(120).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not allowed for {path:?}; see the header Allow"),
    )
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that tower-http asks for"
)]
fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(
        panic = text,
        "a request made this program panic, which is a defect of it"
    );
    internal().into_response()
}

fn internal() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "a defect of this server; its log says more",
    )
}

/// Counts and times every request, and sends clients away while the process drains.
async fn observe(State(app): Shared, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = matched
        .and_then(|path| ROUTES.iter().find(|known| **known == path))
        .map_or("unmatched", |known| {
            if known.len() > 1 {
                known.trim_end_matches('/')
            } else {
                known
            }
        });
    let in_flight = InFlight::new(&app);
    let mut response = next.run(request).await;
    drop(in_flight);
    let code = response.status().as_u16();
    app.metrics
        .requests
        .get_or_create(&RequestLabels { route, code })
        .inc();
    app.metrics
        .duration
        .get_or_create(&RouteLabel { route })
        .observe(started.elapsed().as_secs_f64());
    if app.is_draining() {
        // The connection ends with this answer, so its client opens the next one elsewhere; closing an idle connection
        // instead could cross with a request on its way.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Counted down even where the client goes away in the middle.
struct InFlight<'a>(&'a App);

impl<'a> InFlight<'a> {
    fn new(app: &'a App) -> Self {
        app.metrics.in_flight.inc();
        Self(app)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}
