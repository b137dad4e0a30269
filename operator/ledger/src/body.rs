//! Request bodies that are bounded in size and in silence, but not in time.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    extract::Request,
    http::{Method, header},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use futures::StreamExt as _;
use hyper::body::Frame;

use crate::error::ApiError;

/// A body that is read piece by piece.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    /// What the caller calls it: `blob`, `manifest`, …
    what: &'static str,
    limit: u64,
    /// The bytes that it says it has.
    length: Option<u64>,
    idle: Duration,
    seen: u64,
}

// === impl Incoming ===

impl Incoming {
    /// Refuses at once what says of itself that it is too large.
    pub(crate) fn new(
        request: Request,
        what: &'static str,
        limit: u64,
        idle: Duration,
    ) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let length = parts
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: u64| length > limit) {
            return Err(too_large(what, limit));
        }
        Ok(Self {
            stream: body.into_data_stream(),
            what,
            limit,
            length,
            idle,
            seen: 0,
        })
    }

    /// The next piece, or `None` at the end of a body that came whole.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let piece = match tokio::time::timeout(self.idle, self.stream.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(error))) => {
                return Err(ApiError::BadRequest(format!(
                    "the {} ended early: {error}",
                    self.what
                )));
            }
            Err(_) => {
                let idle = self.idle;
                return Err(ApiError::Timeout(format!(
                    "no data of the {} was received for {idle:?}",
                    self.what
                )));
            }
        };
        self.seen += piece.len() as u64;
        if self.seen > self.limit {
            return Err(too_large(self.what, self.limit));
        }
        Ok(Some(piece))
    }

    /// Bytes that came until now.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// The bytes that it has at most.
    pub(crate) fn most(&self) -> u64 {
        self.length.unwrap_or(self.limit)
    }

    /// What the caller calls it.
    pub(crate) const fn what(&self) -> &'static str {
        self.what
    }
}

fn too_large(what: &str, limit: u64) -> ApiError {
    ApiError::TooLarge(format!("a {what} may have at most {limit} bytes"))
}

// === Refusals before the end of a body ===

/// How much of a refused body is read away, and for how long at most.
const DRAIN_BYTES: u64 = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Reads the rest of a body whose request was refused, within bounds.
///
/// Closing a connection with unread bytes resets it, and the reset can overtake the answer: the sender would see a
/// broken pipe in place of the sentence that says why.
pub(crate) async fn drain_refused(request: Request, next: Next) -> Response {
    let has_body = matches!(*request.method(), Method::PUT | Method::POST | Method::PATCH);
    // Who expects `100 Continue` sends nothing before it, and reading would ask for it.
    if !has_body || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let shared = Shared(Arc::new(Mutex::new(body)));
    let response = next
        .run(Request::from_parts(parts, Body::new(shared.clone())))
        .await;
    if !response.status().is_success() {
        let mut rest = Body::new(shared).into_data_stream();
        let drain = async {
            let mut read = 0;
            while let Some(Ok(piece)) = rest.next().await {
                read += piece.len() as u64;
                if read > DRAIN_BYTES {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME, drain).await;
    }
    response
}

/// A body with two readers, one after the other.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // After its end a body must not be asked again.
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        Pin::new(&mut *body).poll_frame(cx)
    }
}
