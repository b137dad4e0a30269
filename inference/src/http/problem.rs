//! Errors that clients read: the same JSON shape for every path.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

/// A refusal: its status and `{"error": "one sentence"}`, with the errors of each row if rows were read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The status of the answer.
    #[serde(skip)]
    pub status: StatusCode,
    /// One sentence that says what is wrong and what was expected.
    #[serde(rename = "error")]
    pub message: String,
    /// The first [`crate::bounds::MAX_DETAILS`] errors of the rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Detail>,
    /// The number of all errors.
    #[serde(skip_serializing_if = "is_zero")]
    pub errors_total: usize,
    /// What was refused.
    #[serde(skip)]
    pub subject: Subject,
}

/// Which part of a request was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// The request as a whole: no row of it was read.
    #[default]
    Request,
    /// Its rows, which were read.
    Rows,
    /// The connection: the request did not arrive completely.
    Connection,
}

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detail {
    /// Index of the row in the array, from 0. Absent if one object was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The feature, if the error is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// What was found and what was expected.
    pub message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde requires this signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

// === impl Problem ===

impl Problem {
    /// A refusal with this status and sentence.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            errors: Vec::new(),
            errors_total: 0,
            subject: Subject::default(),
        }
    }

    /// The same refusal with this subject.
    #[must_use]
    pub fn of(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    /// The request cannot be read: 400.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The body is JSON with a wrong shape for this path: 422.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// Too many bytes or rows: 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    /// A defect of this program: 500.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal error; see the log of this server",
        )
    }

    /// Rows that cannot be scored: `details` has at least one of `total` errors.
    pub fn rows(status: StatusCode, details: Vec<Detail>, total: usize) -> Self {
        let message = match details.first() {
            Some(first) => {
                let row = first.row.map_or_else(String::new, |row| format!("row {row}: "));
                let more = if total > 1 {
                    format!(" (and {} more)", total - 1)
                } else {
                    String::new()
                };
                format!("{row}{}{more}", first.message)
            }
            None => "a row cannot be scored".to_owned(),
        };
        Self {
            status,
            message,
            errors: details,
            errors_total: total,
            subject: Subject::Rows,
        }
    }

    /// The answer. `hold` turns its bytes into the body.
    pub fn held(self, hold: impl FnOnce(Vec<u8>) -> Bytes) -> Response {
        match serde_json::to_vec(&self) {
            Ok(body) => self.with_headers(json_bytes(self.status, hold(body))),
            Err(error) => unwritable(&error),
        }
    }

    fn with_headers(&self, mut response: Response) -> Response {
        if matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.with_headers(json(self.status, &self))
    }
}

/// A name that a client sent, quoted and truncated.
pub fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}

/// An answer with this JSON.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => json_bytes(status, body),
        Err(error) => unwritable(&error),
    }
}

/// An answer with this JSON that asks the client to retry soon: 503.
pub fn json_later<T: Serialize>(value: &T) -> Response {
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, value);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Serializing fails only for maps with keys that are not strings, and no type here has one.
fn unwritable(error: &serde_json::Error) -> Response {
    tracing::error!(%error, "failed to write an answer as JSON");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// An answer with bytes that are already JSON.
pub fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))],
        body.into(),
    )
        .into_response()
}
