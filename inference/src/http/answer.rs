//! Answers requests of any protocol: chooses the version, reserves memory, and runs the work and the shadows.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    body::{Received, receive},
    problem::{self, Detail, Problem, Subject},
};
use crate::{
    app::{App, SHADOW_UNIT},
    memory::{Reservation, Weight},
    metrics::Metrics,
    score::{self, Caller, Refusal, Scoring},
    serving::{LoadedRoute, Serving},
};

/// Requests with the same key go to the same version while the weights do not change.
const KEY_HEADER: HeaderName = HeaderName::from_static("modelward-key");

/// The version that answered. Clients of the Open Inference Protocol drop it from the body.
const VERSION_HEADER: HeaderName = HeaderName::from_static("x-model-version");

/// The state that handlers share.
pub(super) type Shared = State<Arc<App>>;

/// How a protocol reads the rows of a request and writes the answer.
pub(super) trait Protocol: Send + Sized + 'static {
    /// The status for a request that can be read but not scored.
    const UNFIT: StatusCode;

    /// Maximum number of warnings that an answer describes. The metrics count all of them.
    const DESCRIBED: usize;

    /// What reading, scoring and answering a body may cost.
    fn weight(&self, body: &[u8]) -> Weight;

    /// The requested version.
    fn version(&self) -> Option<&str> {
        None
    }

    /// Reads the rows of a body, finishes their scoring and writes the answer.
    fn answer(
        &self,
        scoring: Scoring<'_>,
        serving: &Serving,
        metrics: &Metrics,
        body: &[u8],
    ) -> Result<Answer, Problem>;

    /// Reads the rows of a body and lets a shadow score them.
    fn shadow(&self, scoring: &mut Scoring<'_>, body: &[u8]) -> Result<(), Problem>;
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The body.
    pub(super) body: Vec<u8>,
    /// Headers in addition to those of every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Answers a request of a protocol.
pub(super) async fn answer<P: Protocol>(
    app: Arc<App>,
    serving: Arc<Serving>,
    protocol: P,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let origin = app.traffic_key.origin(headers, &app.counting)?;
    let limits = &app.limits;
    let received = receive(headers, body, limits.max_body, limits.body_timeout, &app.memory).await;
    let call = serving.call(headers.get(&KEY_HEADER).map(HeaderValue::as_bytes));
    let caller = Caller { call, origin };
    let received = received.inspect_err(|problem| {
        if let Ok(route) = score::pick(&serving, protocol.version(), call) {
            count_unreadable(&app, route, &caller, problem);
        }
    })?;
    let bytes = bound_work(&serving, protocol.weight(&received.bytes));
    let reservation = app.memory.work(bytes).await?;
    let response = work(reservation, received, move |body| {
        let route = score::pick(&serving, protocol.version(), call)
            .map_err(|refusal| refused(refusal, P::UNFIT, true))?;
        let scoring = Scoring::answering(route, &serving.signer, &caller, P::DESCRIBED);
        let answer = protocol
            .answer(scoring, &serving, &app.metrics, body)
            .inspect_err(|problem| count_unreadable(&app, route, &caller, problem))?;
        shadow(&app, body, bytes, protocol);
        Ok((answer, Arc::clone(route)))
    });
    Ok(response.await)
}

/// Counts a request without a readable row. Rows that were read are counted with their errors.
fn count_unreadable(app: &App, route: &LoadedRoute, caller: &Caller, problem: &Problem) {
    if problem.subject == Subject::Request && problem.status.is_client_error() {
        route.count_refused(&app.metrics, caller.call, &caller.origin, 1);
    }
}

/// What answers requests, if this process is ready.
pub(super) fn serving(app: &App) -> Result<&Arc<Serving>, Problem> {
    app.serving().ok_or_else(|| {
        let reason = app.unready().unwrap_or_default();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}"))
    })
}

/// A refusal as a protocol answers it. `unfit` is its status; rows are `numbered` if there could be several.
pub(super) fn refused(refusal: Refusal, unfit: StatusCode, numbered: bool) -> Problem {
    match refusal {
        Refusal::Rows { faults, total } => {
            let details = faults.into_iter().map(|fault| Detail {
                row: numbered.then_some(fault.row),
                feature: fault.feature,
                message: fault.message,
            });
            Problem::rows(unfit, details.collect(), total)
        }
        Refusal::UnknownVersion { .. } => Problem::new(StatusCode::NOT_FOUND, refusal.to_string()),
        Refusal::NoVersion => Problem::new(unfit, refusal.to_string()),
        Refusal::Entities(_) => Problem::new(unfit, refusal.to_string()).of(Subject::Rows),
    }
}

/// Bytes of memory that a body may need, whichever version answers it.
fn bound_work(serving: &Serving, weight: Weight) -> usize {
    let of = |route: &Arc<LoadedRoute>| {
        let features = route.bundle.schema().features.len();
        weight.work(route.bounds, features, route.names_length(&serving.model))
    };
    serving.live.iter().map(of).max().unwrap_or_default()
}

/// Runs work that keeps a core busy without delaying other requests. The answer holds the reservation until it is
/// written.
async fn work(
    reservation: Reservation,
    received: Received,
    work: impl FnOnce(&bytes::Bytes) -> Result<(Answer, Arc<LoadedRoute>), Problem> + Send + 'static,
) -> Response {
    let heavy = reservation.heavy;
    let run = move || {
        let outcome = work(&received.bytes);
        drop(received);
        match outcome {
            Ok((answer, route)) => respond(answer, &route, reservation),
            Err(problem) => problem.held(|body| reservation.hold(body)),
        }
    };
    if !heavy {
        return run();
    }
    match tokio::task::spawn_blocking(run).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "failed to finish a request");
            Problem::internal().into_response()
        }
    }
}

fn respond(answer: Answer, route: &LoadedRoute, reservation: Reservation) -> Response {
    let mut response = problem::json_bytes(StatusCode::OK, reservation.hold(answer.body));
    let headers = response.headers_mut();
    for (name, value) in answer.headers {
        headers.insert(name, value);
    }
    // The name was checked when the routes were read.
    if let Ok(version) = HeaderValue::from_str(&route.route.version) {
        headers.insert(VERSION_HEADER, version);
    }
    response
}

/// Lets the Shadow routes score an answered body, if there is memory for it.
///
/// `work` is the number of bytes that one version needs. The versions score one after the other.
fn shadow<P: Protocol>(app: &Arc<App>, body: &bytes::Bytes, work: usize, protocol: P) {
    let shadows = app.shadows();
    if shadows.is_empty() {
        return;
    }
    let slots = 1 + (body.len() / SHADOW_UNIT) as u32;
    let Ok(slots) = Arc::clone(&app.shadow_slots).try_acquire_many_owned(slots) else {
        app.metrics.shadow_dropped.inc();
        return;
    };
    let Some(reservation) = app.memory.spare_work(work + body.len()) else {
        app.metrics.shadow_dropped.inc();
        return;
    };
    let (app, body) = (Arc::clone(app), body.clone());
    tokio::task::spawn_blocking(move || {
        let _held = (slots, reservation);
        for route in shadows.iter() {
            let mut scoring = Scoring::shadowing(route);
            // If this version cannot read the body, the client made no error: another version answered it.
            if protocol.shadow(&mut scoring, &body).is_ok() {
                let _ = scoring.finish(&app.metrics);
            }
        }
    });
}
