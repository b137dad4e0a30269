//! Connections: kept alive and used in turn, or one per request.
//!
//! Hyper's pooled client retries a request in some cases. Here, an attempt must send its bytes only once, so this module has its
//! own pool.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderMap},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::target::Target;

/// Maximum size of a response, in bytes.
const LONGEST: usize = 1 << 20;

type Connection = SendRequest<Full<Bytes>>;

/// Connections to one address.
pub struct Pool {
    address: SocketAddr,
    authority: String,
    path: String,
    most: usize,
    idle: Mutex<VecDeque<Connection>>,
    opened: AtomicU64,
    found_closed: AtomicU64,
}

/// The connection that an attempt uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A new connection, which is closed afterwards.
    Own,
    /// The kept-alive connection that has been idle longest; a new one if all are in use.
    Shared,
}

/// The content of a request.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// JSON.
    pub body: Bytes,
    /// In addition to those of every request.
    pub headers: HeaderMap,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The connection failed.
    #[error("failed to connect: {0}")]
    Connect(String),
    /// The connection ended before the whole response was received.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// A status other than 200.
    #[error("status {0}: {1}")]
    Status(u16, String),
    /// Status 200 with an invalid response of `/predict`.
    #[error("the response is invalid: {0}")]
    Answer(String),
    /// No complete response in time.
    #[error("no response within {0:?}")]
    Timeout(Duration),
}

/// The counters of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that were opened.
    pub opened: u64,
    /// Kept-alive connections that were closed before anything was written to them; the request used the next one.
    pub found_closed: u64,
}

// === impl Failure ===

impl Failure {
    /// The kind of failure, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "Connect",
            Self::Broken(_) => "Broken",
            Self::Status(..) => "Status",
            Self::Answer(_) => "Answer",
            Self::Timeout(_) => "Timeout",
        }
    }

    /// Whether the attempt was in flight when it failed: a server may have scored and counted the row.
    pub fn was_under_way(&self) -> bool {
        match self {
            Self::Broken(_) | Self::Answer(_) | Self::Timeout(_) => true,
            // Nothing was sent, or the server has reported that it did not score the row.
            Self::Connect(_) | Self::Status(..) => false,
        }
    }
}

// === impl Pool ===

impl Pool {
    /// A pool without connections that keeps at most `most`.
    pub fn new(address: SocketAddr, target: &Target, most: usize) -> Self {
        Self {
            address,
            authority: target.authority(),
            path: target.path().to_owned(),
            most,
            idle: Mutex::new(VecDeque::new()),
            opened: AtomicU64::new(0),
            found_closed: AtomicU64::new(0),
        }
    }

    /// The counters so far.
    pub fn counts(&self) -> Counts {
        Counts {
            opened: self.opened.load(Ordering::Relaxed),
            found_closed: self.found_closed.load(Ordering::Relaxed),
        }
    }

    /// Sends a body once and reads the whole response, which must have status 200.
    pub async fn post(&self, way: Way, ask: &Ask) -> Result<Bytes, Failure> {
        let mut request = self.request(way, ask)?;
        loop {
            let kept = if way == Way::Shared { self.take() } else { None };
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => return self.read(way, connection, response).await,
                // A connection that closed while idle returns the request unsent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_kept => {
                        self.found_closed.fetch_add(1, Ordering::Relaxed);
                        request = unsent;
                    }
                    _ => return Err(Failure::Broken(chain(error.error()))),
                },
            }
        }
    }

    fn request(&self, way: Way, ask: &Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::post(&self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(
                header::USER_AGENT,
                concat!("modelward-load/", env!("CARGO_PKG_VERSION")),
            );
        if way == Way::Own {
            request = request.header(header::CONNECTION, "close");
        }
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(ask.body.clone()))
            .map_err(|error| Failure::Connect(error.to_string()))
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|error| Failure::Connect(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| Failure::Connect(error.to_string()))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Connect(chain(&error)))?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        // Its errors are returned through the sender.
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn read(
        &self,
        way: Way,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Result<Bytes, Failure> {
        let status = response.status();
        let last = response
            .headers()
            .get(header::CONNECTION)
            .is_some_and(|value| value == "close");
        let body = Limited::new(response.into_body(), LONGEST)
            .collect()
            .await
            .map_err(|error| Failure::Broken(chain(&*error)))?
            .to_bytes();
        if way == Way::Shared && !last {
            self.put(connection);
        }
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body);
            return Err(Failure::Status(status.as_u16(), text.chars().take(200).collect()));
        }
        Ok(body)
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = idle.pop_front() {
            if !connection.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.most && !connection.is_closed() {
            idle.push_back(connection);
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
