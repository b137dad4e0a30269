//! `POST /feedback`: the true class of a prediction.
//!
//! The id contains which route answered what and when, sealed with the model's key, so no request has to be stored. This
//! is the only path that waits for the ledger: a label is acknowledged when the ledger has stored it.

use std::time::Duration;

use axum::{body::Body, extract::State, response::Response};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use modelward_wire::{FeedbackOutcome, FeedbackRecord};
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::Shared,
    body::receive,
    problem::{self, Problem},
};
use crate::{
    app::App,
    ledger::{CallError, Ledger},
    metrics::{Feedback, OutcomeLabel},
    prediction_id::Signer,
};

/// Maximum number of labels in one request.
const MAX_ITEMS: usize = 1000;

/// Maximum bytes of one request. The maximum number of labels in their longest spelling fits.
const MAX_BODY: usize = 256 << 10;

/// Time limit for the ledger to store all labels of a request.
const PATIENCE: Duration = Duration::from_secs(3);

/// Bytes of memory for each byte of labels.
const LABEL_WORK: usize = 32;

/// Labels of one request that are sent to the ledger at the same time.
const AT_A_TIME: usize = 16;

/// The result for one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Status {
    /// `accepted`, `repeated`, or `contradicted` in the answer to an array.
    status: &'static str,
}

/// The answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    /// The answer to one object.
    One(Status),
    /// The answer to an array.
    Many {
        /// One result for each label, in order.
        results: Vec<Status>,
    },
}

/// Answers a request with labels.
pub(super) async fn take_feedback(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let limits = &app.limits;
    let most = MAX_BODY.min(limits.max_body);
    let received = receive(&headers, body, most, limits.body_timeout, &app.memory).await?;
    let _place = app.memory.work(LABEL_WORK * received.bytes.len()).await?;
    let answer = feedback(&app, &received.bytes).await?;
    Ok(problem::json(StatusCode::ACCEPTED, &answer))
}

/// Reads labels from a body and waits until the ledger has stored them.
async fn feedback(app: &App, body: &[u8]) -> Result<Answer, Problem> {
    let count = |outcome: Feedback, labels: usize| {
        let outcome = outcome.as_str();
        let counter = app
            .metrics
            .feedback
            .get_or_create_owned(&OutcomeLabel { outcome });
        counter.inc_by(labels as u64);
    };
    let (records, many) = read(&app.signer, body).inspect_err(|_| count(Feedback::Refused, 1))?;
    let ledger = app.ledger.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this server has no ledger to store labels",
        )
    })?;
    let calls: Vec<_> = records
        .iter()
        .map(|record| send(app, ledger, record).boxed())
        .collect();
    let send = stream::iter(calls).buffered(AT_A_TIME).try_collect::<Vec<_>>();
    let sent = match tokio::time::timeout(PATIENCE, send).await {
        Ok(sent) => sent,
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "the ledger did not store the labels within {} s; send them again, no label is counted twice",
                PATIENCE.as_secs()
            ),
        )),
    };
    let outcomes = sent.inspect_err(|_| count(Feedback::Unavailable, records.len()))?;
    for (outcome, counted) in [
        (FeedbackOutcome::Accepted, Feedback::Accepted),
        (FeedbackOutcome::Repeated, Feedback::Repeated),
        (FeedbackOutcome::Contradicted, Feedback::Contradicted),
    ] {
        let labels = outcomes.iter().filter(|other| **other == outcome).count();
        if labels > 0 {
            count(counted, labels);
        }
    }
    match outcomes.as_slice() {
        [FeedbackOutcome::Contradicted] if !many => Err(Problem::new(
            StatusCode::CONFLICT,
            "a different label was sent for this prediction before; both are stored and neither is counted",
        )),
        [one] if !many => Ok(Answer::One(status(*one))),
        all => Ok(Answer::Many {
            results: all.iter().copied().map(status).collect(),
        }),
    }
}

async fn send(app: &App, ledger: &Ledger, record: &FeedbackRecord) -> Result<FeedbackOutcome, Problem> {
    let sent = ledger
        .send_feedback(&app.namespace, &app.model, record, PATIENCE)
        .await;
    sent.map_err(|error| match error {
        CallError::Refused { message } => Problem::unprocessable(message),
        CallError::Away { message, .. } => {
            tracing::warn!("a label was not stored: {message}");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the ledger cannot store labels now; send them again later, no label is counted twice",
            )
        }
    })
}

fn status(outcome: FeedbackOutcome) -> Status {
    let status = match outcome {
        FeedbackOutcome::Accepted => "accepted",
        FeedbackOutcome::Repeated => "repeated",
        FeedbackOutcome::Contradicted => "contradicted",
    };
    Status { status }
}

/// The labels of a body, and whether the body is an array.
fn read(signer: &Signer, body: &[u8]) -> Result<(Vec<FeedbackRecord>, bool), Problem> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::malformed(format!("the body cannot be read as JSON: {error}")))?;
    match &value {
        Value::Array(items) if items.is_empty() => Err(Problem::unprocessable(
            "the array has no labels; send at least one",
        )),
        Value::Array(items) if items.len() > MAX_ITEMS => Err(Problem::too_large(format!(
            "the array has {} labels; send at most {MAX_ITEMS} in one request",
            items.len()
        ))),
        Value::Array(items) => {
            let labels = items.iter().enumerate().map(|(index, item)| {
                record(signer, item)
                    .map_err(|reason| Problem::unprocessable(format!("label {index}: {reason}")))
            });
            Ok((labels.collect::<Result<_, _>>()?, true))
        }
        item => Ok((vec![record(signer, item).map_err(Problem::unprocessable)?], false)),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn record(signer: &Signer, item: &Value) -> Result<FeedbackRecord, String> {
    let expected = r#"{"predictionId": "…", "actual": 0 or 1}"#;
    let Value::Object(fields) = item else {
        return Err(format!("found {}, expected {expected}", kind_of(item)));
    };
    let known = |name: &str| matches!(name, "predictionId" | "actual");
    if let Some(name) = fields.keys().find(|name| !known(name)) {
        let name: String = name.chars().take(80).collect();
        return Err(format!("unknown field {name:?}, expected {expected}"));
    }
    let field = |name: &str| {
        fields
            .get(name)
            .ok_or_else(|| format!("\"{name}\" is missing, expected {expected}"))
    };
    let id = field("predictionId")?;
    let id = id.as_str().ok_or_else(|| {
        format!(
            "\"predictionId\" must be the string from an answer, found {}",
            kind_of(id)
        )
    })?;
    let actual = field("actual")?;
    let actual = match actual.as_f64() {
        Some(0.0) => 0,
        Some(1.0) => 1,
        Some(number) => return Err(format!("\"actual\" is {number}, it must be 0 or 1")),
        None => return Err(format!("\"actual\" must be 0 or 1, found {}", kind_of(actual))),
    };
    let opened = signer
        .open(id)
        .map_err(|error| format!("\"predictionId\": {error}"))?;
    Ok(FeedbackRecord {
        prediction_id: id.to_owned(),
        route: format!("{:016x}", u64::from_be_bytes(opened.route)),
        predicted_at_ms: opened.time_ms,
        score: opened.score,
        class: opened.class,
        actual,
    })
}
