//! The routes.

mod artifacts;
mod counts;
mod extract;
mod feedback;
mod judging;
mod records;
mod reports;
mod searches;
mod state;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde_json::json;
use tokio::time::Instant;

pub(crate) use self::state::App;
use self::state::Shared;
use crate::{
    body::drain_refused,
    error::ApiError,
    health::State as HealthState,
    metrics::{CONTENT_TYPE, RequestLabels, RouteLabels},
};

/// All routes of the ledger.
pub(crate) fn router(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route(
            "/v1/artifacts/{namespace}/blobs/{digest}",
            put(artifacts::put_blob)
                .get(artifacts::get_blob)
                .head(artifacts::head_blob),
        )
        .route(
            "/v1/artifacts/{namespace}/manifests/{digest}",
            put(artifacts::put_manifest)
                .get(artifacts::get_manifest)
                .head(artifacts::head_manifest),
        )
        .route(
            "/v1/artifacts/{namespace}/statements/{digest}",
            get(artifacts::get_statement),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/result",
            put(records::put_result).get(records::get_result),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/progress",
            put(records::put_progress).get(records::get_progress),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/searches/{search}/rounds/{round}",
            put(searches::put_round).get(searches::get_round),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/searches",
            delete(searches::delete_searches),
        )
        .route("/v1/model-versions/{namespace}", get(records::list_versions))
        .route("/v1/model-versions/{namespace}/{uid}", put(records::put_version))
        .route(
            "/v1/model-versions/{namespace}/{uid}/publication",
            get(records::get_publication),
        )
        .route(
            "/v1/counts/{namespace}/{model}",
            put(counts::put_counts).get(counts::get_counts),
        )
        .route("/v1/feedback/{namespace}/{model}", post(feedback::post_feedback))
        .route(
            "/v1/drift-reports/{namespace}/{uid}",
            put(reports::put_report).get(reports::get_report),
        )
        .route_layer(middleware::from_fn_with_state(app.clone(), prove));
    health_routes()
        .merge(v1)
        .fallback(|| async { ApiError::NotFound("there is nothing at this address".into()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(middleware::from_fn(drain_refused))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

/// The routes of the port for probes and metrics.
pub(crate) fn probes(app: Arc<App>) -> Router {
    health_routes().with_state(app)
}

fn health_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

// === every request ===

async fn observe(State(app): Shared, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        // A caller can invent methods, and each would be a label value.
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status();
    let class = match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let elapsed = start.elapsed();
    tracing::debug!(
        http.route = route,
        http.method = method,
        http.status = status.as_u16(),
        ?elapsed,
        "answered"
    );
    app.metrics
        .requests
        .get_or_create(&RequestLabels {
            route: route.clone(),
            method,
            status: class,
        })
        .inc();
    app.metrics
        .seconds
        .get_or_create(&RouteLabels { route, method })
        .observe(elapsed.as_secs_f64());
    response
}

/// Authenticates callers and passes the caller to the handlers.
async fn prove(State(app): Shared, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|header| header.to_str().ok());
    let caller = app.authenticator.prove(header).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

// === health ===

async fn readyz(State(app): Shared) -> Response {
    let (database, store) = (app.health.database(), app.health.store());
    let ready = database == HealthState::Up && store == HealthState::Up;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({"database": database.text(), "store": store.text()})),
    )
        .into_response()
}

async fn metrics(State(app): Shared) -> Result<Response, ApiError> {
    let text = app
        .metrics
        .encode()
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
