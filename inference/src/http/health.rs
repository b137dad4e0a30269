//! Probes, the report about all versions, and metrics.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{
    answer::Shared,
    problem::{self, Problem},
};
use crate::{
    app::{App, State as RouteState},
    memory::Reservation,
    metrics,
    serving::LoadedRoute,
};

/// Bytes of a report about this process, without those of each feature.
const REPORT: usize = 64 << 10;

/// Bytes of a report for each feature of each version: its name in lines of metrics or as an element of metadata.
///
/// No report lists categories. A path that lists them must reserve memory for their lengths, because 256 categories need
/// more.
const REPORT_FEATURE: usize = 1 << 10;

pub(super) async fn healthz() -> Response {
    problem::json(StatusCode::OK, &json!({"status": "alive"}))
}

pub(super) async fn readyz(State(app): Shared) -> Response {
    match app.unready() {
        None => problem::json(StatusCode::OK, &json!({"ready": true})),
        Some(reason) => problem::json_later(&json!({"ready": false, "reason": reason})),
    }
}

pub(super) async fn health(State(app): Shared) -> Result<Response, Problem> {
    let reservation = reserve_report(&app).await?;
    Ok(held(&health_report(&app), reservation))
}

pub(super) async fn health_of_probes(State(app): Shared) -> Response {
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

pub(super) async fn prometheus(State(app): Shared) -> Result<Response, Problem> {
    let reservation = reserve_report(&app).await?;
    let text = metrics_text(&app)?;
    let body = reservation.hold(text.into_bytes());
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], body).into_response())
}

pub(super) async fn metrics_of_probes(State(app): Shared) -> Result<Response, Problem> {
    let text = metrics_text(&app)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

fn metrics_text(app: &App) -> Result<String, Problem> {
    app.metrics.encode().map_err(|error| {
        tracing::error!(%error, "failed to write metrics");
        Problem::internal()
    })
}

/// Reserves memory for a report about this process, so that clients that never read theirs cannot fill the memory.
pub(super) async fn reserve_report(app: &App) -> Result<Reservation, Problem> {
    let features = app.serving().map_or(0, |serving| {
        let features = |route: &Arc<LoadedRoute>| route.bundle.schema().features.len();
        serving.live.iter().map(features).sum()
    });
    app.memory.work(REPORT + features * REPORT_FEATURE).await
}

/// A report that holds its reservation until it is written.
pub(super) fn held(report: &Value, reservation: Reservation) -> Response {
    problem::json_bytes(StatusCode::OK, reservation.hold(report.to_string().into_bytes()))
}
