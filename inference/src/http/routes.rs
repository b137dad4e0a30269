//! The routes of the server, and what goes over the wire.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    answer::Shared,
    feedback::take_feedback,
    health::{health, health_of_probes, healthz, metrics_of_probes, prometheus, readyz},
    predict::predict_rows,
    problem::Problem,
    v2,
};
use crate::{
    app::App,
    metrics::{RequestLabels, RouteLabel},
};

/// The digest of the routes file that this process serves from; on every answer.
const ROUTES_DIGEST_HEADER: HeaderName = HeaderName::from_static("modelward-routes-digest");

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

/// The whole server as a service.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/predict", post(predict_rows))
        .route("/predict/", post(predict_rows))
        .route("/v2", get(v2::server_metadata))
        .route("/v2/", get(v2::server_metadata))
        .route("/v2/health/live", get(v2::server_live))
        .route("/v2/health/live/", get(v2::server_live))
        .route("/v2/health/ready", get(v2::server_ready))
        .route("/v2/health/ready/", get(v2::server_ready))
        .route("/v2/models/{model}", get(v2::model_metadata))
        .route("/v2/models/{model}/", get(v2::model_metadata))
        .route("/v2/models/{model}/ready", get(v2::model_ready))
        .route("/v2/models/{model}/infer", post(v2::model_infer))
        .route("/v2/models/{model}/versions/{version}", get(v2::version_metadata))
        .route(
            "/v2/models/{model}/versions/{version}/ready",
            get(v2::version_ready),
        )
        .route(
            "/v2/models/{model}/versions/{version}/infer",
            post(v2::version_infer),
        )
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
    Problem::internal().into_response()
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
