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
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    app::{App, SHADOW_UNIT, State as RouteState},
    body::{Received, receive},
    counting::Origin,
    feedback,
    infer::{self, Answer, JSON_LENGTH_HEADER, OUTPUTS},
    memory::{Place, Weight},
    metrics::{self, RequestLabels, RouteLabel},
    predict,
    problem::{self, Problem},
    serving::{LoadedRoute, Serving},
};

/// Holds a caller to one version while the weights stay.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("modelward-key");

/// The version that answered: clients of the Open Inference Protocol drop it from the body.
pub const VERSION_HEADER: HeaderName = HeaderName::from_static("x-model-version");

/// The digest of the routes file that this process serves from; on every answer.
pub const ROUTES_DIGEST_HEADER: HeaderName = HeaderName::from_static("modelward-routes-digest");

/// Bytes that a report of this process takes, beside those of each feature.
const REPORT: usize = 64 << 10;

/// Bytes of a report for each feature of each version, at most.
const REPORT_FEATURE: usize = 1 << 10;

/// Bytes of work for each byte of labels.
const LABEL_WORK: usize = 32;

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

/// Probes and metrics alone, for the port that no load on predictions reaches.
pub fn probe_router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health_of_probes))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_of_probes))
        .fallback(unknown_probe)
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
    let bytes = work_of(&serving, Weight::of_rows(&received.bytes));
    let place = app.memory.work(bytes).await?;
    let response = work(place, received, move |body| {
        let (answer, route) = predict::predict(&serving, &app.metrics, call, &origin, body)?;
        shadow(&app, body, bytes, |app, route, body| {
            predict::shadow(route, &app.metrics, body);
        });
        Ok(Answer {
            body: answer,
            json_length: None,
            route,
        })
    });
    Ok(response.await)
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
    let bytes = work_of(
        &serving,
        Weight::of_tensors(&received.bytes, json_length.is_some()),
    );
    let place = app.memory.work(bytes).await?;
    let response = work(place, received, move |body| {
        let metrics = &app.metrics;
        let answer = infer::infer(
            &serving,
            metrics,
            call,
            &origin,
            version.as_deref(),
            json_length,
            body,
        )?;
        shadow(&app, body, bytes, move |app, route, body| {
            infer::shadow(route, &app.metrics, json_length, body);
        });
        Ok(answer)
    });
    Ok(response.await)
}

/// Bytes of memory that a body may need, whichever version answers it.
fn work_of(serving: &Serving, weight: Weight) -> usize {
    let of = |route: &Arc<LoadedRoute>| {
        let features = route.bundle.schema().features.len();
        weight.work(route.bounds, features, route.names_length(&serving.model))
    };
    serving.live.iter().map(of).max().unwrap_or_default()
}

/// Whose rows a request brings.
fn origin(app: &App, headers: &HeaderMap) -> Result<Origin, Problem> {
    app.traffic_key.origin(headers, &app.counting)
}

async fn receive_body(app: &App, headers: &HeaderMap, body: Body) -> Result<Received, Problem> {
    let limits = &app.limits;
    receive(headers, body, limits.max_body, limits.body_timeout, &app.memory).await
}

/// Runs what keeps a core busy where it hurts no other request. The answer holds the place until it is written.
async fn work(
    place: Place,
    received: Received,
    work: impl FnOnce(&bytes::Bytes) -> Result<Answer, Problem> + Send + 'static,
) -> Response {
    let heavy = place.heavy;
    let run = move || {
        let outcome = work(&received.bytes);
        drop(received);
        match outcome {
            Ok(answer) => answered(answer, place),
            Err(problem) => problem.held(|body| place.hold(body)),
        }
    };
    if !heavy {
        return run();
    }
    match tokio::task::spawn_blocking(run).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "failed to finish a request");
            internal().into_response()
        }
    }
}

fn answered(answer: Answer, place: Place) -> Response {
    let mut response = problem::json_bytes(StatusCode::OK, place.hold(answer.body));
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
    with_version(response, &answer.route)
}

/// Lets the Shadow routes score a body that was answered, if there is room for it.
///
/// `work` are the bytes that one version needs; they score one after the other.
fn shadow(
    app: &Arc<App>,
    body: &bytes::Bytes,
    work: usize,
    score: impl Fn(&App, &LoadedRoute, &[u8]) + Send + 'static,
) {
    let shadows = app.shadows();
    if shadows.is_empty() {
        return;
    }
    let slots = 1 + (body.len() / SHADOW_UNIT) as u32;
    let Ok(slots) = Arc::clone(&app.shadow_slots).try_acquire_many_owned(slots) else {
        app.metrics.shadow_dropped.inc();
        return;
    };
    let Some(place) = app.memory.spare_work(work + body.len()) else {
        app.metrics.shadow_dropped.inc();
        return;
    };
    let (app, body) = (Arc::clone(app), body.clone());
    tokio::task::spawn_blocking(move || {
        let _held = (slots, place);
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
    let received = receive(&headers, body, most, limits.body_timeout, &app.memory).await?;
    let _place = app.memory.work(LABEL_WORK * received.bytes.len()).await?;
    let answer = feedback::feedback(&app, &received.bytes).await?;
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
    let place = report_place(&app).await?;
    Ok(held(&metadata(&app, serving, route), place))
}

async fn version_metadata(State(app): Shared, path: VersionPath) -> Result<Response, Problem> {
    let Path((model, version)) = path.map_err(bad_path)?;
    known_model(&app, &model)?;
    let serving = serving(&app)?;
    let route = serving
        .version(&version)
        .ok_or_else(|| infer::unknown_version(serving, &version))?;
    let place = report_place(&app).await?;
    Ok(held(&metadata(&app, serving, route), place))
}

/// Room for a report about this process: clients that never read theirs must not fill the memory either.
async fn report_place(app: &App) -> Result<Place, Problem> {
    let features = app.serving().map_or(0, |serving| {
        let features = |route: &Arc<LoadedRoute>| route.bundle.schema().features.len();
        serving.live.iter().map(features).sum()
    });
    app.memory.work(REPORT + features * REPORT_FEATURE).await
}

fn held(report: &Value, place: Place) -> Response {
    problem::json_bytes(StatusCode::OK, place.hold(report.to_string().into_bytes()))
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

async fn health(State(app): Shared) -> Result<Response, Problem> {
    let place = report_place(&app).await?;
    Ok(held(&health_report(&app), place))
}

async fn health_of_probes(State(app): Shared) -> Response {
    problem::json(StatusCode::OK, &health_report(&app))
}

fn health_report(app: &App) -> Value {
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
            let mut version = json!({
                "version": route.version,
                "digest": route.digest,
                "weight": route.weight,
                "threshold": route.threshold,
                "mode": route.mode,
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
    report
}

async fn prometheus(State(app): Shared) -> Result<Response, Problem> {
    let place = report_place(&app).await?;
    let text = metrics_text(&app)?;
    let body = place.hold(text.into_bytes());
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], body).into_response())
}

async fn metrics_of_probes(State(app): Shared) -> Result<Response, Problem> {
    let text = metrics_text(&app)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

fn metrics_text(app: &App) -> Result<String, Problem> {
    app.metrics.encode().map_err(|error| {
        tracing::error!(%error, "failed to write metrics");
        internal()
    })
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

async fn unknown_probe(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(120).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        format!(
            "no such path {path:?} on the port of probes; it has /healthz, /readyz, /health and /metrics"
        ),
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
    if let Some(digest) = &app.routes_digest {
        response
            .headers_mut()
            .insert(ROUTES_DIGEST_HEADER, digest.clone());
    }
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
