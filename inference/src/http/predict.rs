//! `POST /predict`: a row as a flat JSON object of named features, or an array of such objects.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::{HeaderMap, StatusCode};
use serde::{Serialize, Serializer};

use super::{
    answer::{self, Answer, Protocol, Shared, refused, serving},
    json::{Form, RowBody, Text},
    problem::Problem,
};
use crate::{
    memory::Weight,
    metrics::Metrics,
    score::{Notice, RowAnswer, Scoring},
    serving::{LoadedRoute, Serving},
};

/// The protocol of flat JSON.
struct Rows;

/// One answered row.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Prediction<'a> {
    class: u8,
    probability: f64,
    threshold: f64,
    model: &'a str,
    version: &'a str,
    #[serde(rename = "predictionId")]
    id: &'a str,
    #[serde(serialize_with = "write_notices")]
    warnings: &'a [Notice],
    #[serde(skip_serializing_if = "is_zero")]
    warnings_omitted: usize,
}

#[derive(Debug, Serialize)]
struct Warning<'a> {
    feature: &'a str,
    kind: &'static str,
    message: &'a str,
}

/// Writes the bytes of an answer row by row, so that no row is held twice.
struct Writer<'a> {
    route: &'a LoadedRoute,
    model: &'a str,
    answer: Vec<u8>,
    /// Bytes before the rows of an answer to an array.
    head: usize,
    failed: Option<serde_json::Error>,
}

/// Answers rows.
pub(super) async fn predict_rows(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let serving = Arc::clone(serving(&app)?);
    answer::answer(app, serving, Rows, &headers, body).await
}

// === impl Rows ===

impl Protocol for Rows {
    const UNFIT: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

    const DESCRIBED: usize = 100;

    fn weight(&self, body: &[u8]) -> Weight {
        Weight::of_rows(body)
    }

    fn answer(
        &self,
        mut scoring: Scoring<'_>,
        serving: &Serving,
        metrics: &Metrics,
        body: &[u8],
    ) -> Result<Answer, Problem> {
        let mut writer =
            Writer::new(body, scoring.route(), &serving.model).map_err(|error| unwritable(&error))?;
        let form = read_rows(body, &mut scoring, |row| writer.write(&row))?;
        let one = form == Form::One;
        let body = writer.finish(one).map_err(|error| unwritable(&error))?;
        scoring
            .finish(metrics)
            .map_err(|refusal| refused(refusal, Self::UNFIT, !one))?;
        Ok(Answer {
            body,
            headers: Vec::new(),
        })
    }

    fn shadow(&self, scoring: &mut Scoring<'_>, body: &[u8]) -> Result<(), Problem> {
        read_rows(body, scoring, |_| {}).map(|_| ())
    }
}

/// Scores the rows of a body and passes the answer for each to `sink`.
fn read_rows(
    body: &[u8],
    scoring: &mut Scoring<'_>,
    mut sink: impl FnMut(RowAnswer),
) -> Result<Form, Problem> {
    let text = Text::new(body)?;
    let bounds = scoring.route().bounds;
    let form = bounds.read_rows(&text, &mut |at, row| {
        if let Some(answer) = read_row(scoring, at, row) {
            sink(answer);
        }
    })?;
    match form {
        Form::Other(found) => Err(Problem::unprocessable(format!(
            "the body is {found}; send one object of named features, or an array of them"
        ))),
        Form::Many(0) => Err(Problem::unprocessable("the array has no rows; send at least one")),
        Form::Many(rows) if rows > bounds.max_rows => Err(Problem::too_large(format!(
            "the array has {rows} rows; send at most {} in one request",
            bounds.max_rows
        ))),
        Form::One | Form::Many(_) => Ok(form),
    }
}

fn read_row(scoring: &mut Scoring<'_>, at: usize, row: RowBody) -> Option<RowAnswer> {
    let route = scoring.route();
    let schema = route.bundle.schema();
    match row {
        RowBody::Other(found) => scoring.refuse(at, None, || {
            format!("found {found}, expected an object of named features")
        }),
        RowBody::Fields {
            repeated: Some(name), ..
        } => {
            let short: String = name.chars().take(80).collect();
            scoring.refuse(at, Some(&name), || {
                format!("{short:?} is there twice; send each feature once")
            });
        }
        RowBody::Fields { too_many: true, .. } => scoring.refuse(at, None, || {
            let features = schema.features.len();
            format!(
                "more than {} names, the model takes {features}",
                route.bounds.max_fields
            )
        }),
        RowBody::Fields { fields, .. } => return scoring.push(at, schema.read_json(&fields)),
    }
    None
}

fn unwritable(error: &serde_json::Error) -> Problem {
    Problem::unprocessable(format!("the answer cannot be written: {error}"))
}

// === impl Writer ===

impl<'a> Writer<'a> {
    /// The beginning of an answer, with room for the rows.
    fn new(body: &[u8], route: &'a LoadedRoute, model: &'a str) -> Result<Self, serde_json::Error> {
        let row = 256 + route.names_length(model);
        let mut answer = Vec::with_capacity(512 + Weight::of_rows(body).rows(route.bounds) * row);
        answer.extend_from_slice(b"{\"model\":");
        serde_json::to_writer(&mut answer, model)?;
        answer.extend_from_slice(b",\"version\":");
        serde_json::to_writer(&mut answer, &route.route.version)?;
        answer.extend_from_slice(b",\"predictions\":[");
        Ok(Self {
            route,
            model,
            head: answer.len(),
            answer,
            failed: None,
        })
    }

    fn write(&mut self, row: &RowAnswer) {
        if self.answer.len() > self.head {
            self.answer.push(b',');
        }
        let prediction = Prediction {
            class: row.class,
            probability: row.probability,
            threshold: self.route.threshold,
            model: self.model,
            version: &self.route.route.version,
            id: &row.prediction_id,
            warnings: &row.notices,
            warnings_omitted: row.omitted,
        };
        if let Err(error) = serde_json::to_writer(&mut self.answer, &prediction) {
            self.failed = Some(error);
        }
    }

    /// The complete answer to `one` object or to an array.
    fn finish(self, one: bool) -> Result<Vec<u8>, serde_json::Error> {
        let mut answer = self.answer;
        match self.failed {
            Some(error) => return Err(error),
            None if one => drop(answer.drain(..self.head)),
            None => answer.extend_from_slice(b"]}"),
        }
        Ok(answer)
    }
}

fn write_notices<S: Serializer>(notices: &&[Notice], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(notices.iter().map(|notice| Warning {
        feature: &notice.feature,
        kind: notice.kind,
        message: &notice.message,
    }))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
