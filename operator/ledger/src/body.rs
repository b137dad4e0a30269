//! Request bodies with limits on their size and on pauses, but not on their total time.

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

/// A body that is read in chunks.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    /// Its name in errors: `blob`, `manifest`, …
    what: &'static str,
    limit: u64,
    /// Its declared length.
    length: Option<u64>,
    idle: Duration,
    seen: u64,
}

// === impl Incoming ===

impl Incoming {
    /// Refuses a body at once if its declared length is too large.
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

    /// The next chunk, or `None` at the end of a complete body.
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

    /// Number of bytes received so far.
    pub(crate) const fn seen(&self) -> u64 {
        self.seen
    }

    /// The maximum number of its bytes.
    pub(crate) fn most(&self) -> u64 {
        self.length.unwrap_or(self.limit)
    }

    /// Its name in errors.
    pub(crate) const fn what(&self) -> &'static str {
        self.what
    }
}

fn too_large(what: &str, limit: u64) -> ApiError {
    ApiError::TooLarge(format!("a {what} may have at most {limit} bytes"))
}

// === Refusals before the end of a body ===

/// Maximum bytes of a refused body that are read and discarded, and the time limit for it.
const DRAIN_BYTES: u64 = 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Reads and discards the rest of the body of a refused request, within limits.
///
/// Closing a connection with unread bytes resets it, and the reset can overtake the answer. The sender would see a broken
/// pipe instead of the error message.
pub(crate) async fn drain_refused(request: Request, next: Next) -> Response {
    let has_body = matches!(*request.method(), Method::PUT | Method::POST | Method::PATCH);
    // A client that expects `100 Continue` sends nothing before it, and reading would send it.
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

/// A body that two readers use one after the other.
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
        // A body must not be polled after its end.
        if body.is_end_stream() {
            return Poll::Ready(None);
        }
        Pin::new(&mut *body).poll_frame(cx)
    }
}
