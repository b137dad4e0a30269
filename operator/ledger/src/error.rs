//! The errors that callers get.

use std::{error::Error, fmt::Write as _};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use modelward_service::chain;
use serde_json::json;

/// An error. Its text is for the caller. Internal causes are logged with an id and never sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 400: an invalid address or request.
    #[error("{0}")]
    BadRequest(String),
    /// 401: no token, or an invalid one.
    #[error("{0}")]
    Unauthenticated(String),
    /// 403: an authenticated caller that may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 405.
    #[error("this path does not support that method")]
    MethodNotAllowed,
    /// 408: the sender paused for too long.
    #[error("{0}")]
    Timeout(String),
    /// 409: a manifest was sent before its blobs, which the answer names.
    #[error("{message}")]
    BlobsMissing {
        /// The message.
        message: String,
        /// Digests of the missing blobs.
        missing: Vec<modelward_wire::Digest>,
    },
    /// 409: something else is already stored and stays.
    #[error("{0}")]
    Conflict(String),
    /// 413.
    #[error("{0}")]
    TooLarge(String),
    /// 422: an invalid body.
    #[error("{0}")]
    Unprocessable(String),
    /// 507: the namespace has used up its quota.
    #[error("{0}")]
    QuotaSpent(String),
    /// 503: something that this request needs is currently unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// 503: the artifact store failed.
    #[error("the artifact store failed")]
    Store(#[from] object_store::Error),
    /// 500: a bug of the ledger.
    #[error("internal error")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

/// Seconds after which a caller may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

// === impl ApiError ===

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::BlobsMissing { .. } | Self::Conflict(_) => StatusCode::CONFLICT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QuotaSpent(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut message = self.to_string();
        if self.source().is_some() {
            let id = uuid::Uuid::new_v4();
            tracing::error!(error.id = %id, error = chain(&self), "request failed, the caller was given id {id}");
            let _ = write!(message, "; see the ledger's log for id {id}");
        }
        let body = match &self {
            Self::BlobsMissing { missing, .. } => json!({"error": message, "missing": missing}),
            _ => json!({"error": message}),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, RETRY_AFTER);
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
