//! A server that answers as configured by a test and records the requests.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use modelward_ledger_client::{Client, Retry, Settings, Timeouts, Tls, Token};

/// One received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Method and target, as in `GET /v1/…`.
    pub line: String,
    pub authorization: Option<String>,
    pub user_agent: Option<String>,
    pub body: Bytes,
}

type Answers = dyn Fn(&Seen, usize) -> Response + Send + Sync;

/// Answers with the result of a function of a request and the number of earlier ones.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Shared {
    answers: Box<Answers>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

// === impl Server ===

impl Server {
    pub async fn start(answers: impl Fn(&Seen, usize) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::default();
        let shared = Arc::new(Shared {
            answers: Box::new(answers),
            seen: Arc::clone(&seen),
        });
        let router = Router::new().fallback(answer).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A client without token and retries.
    pub fn client(&self) -> Client {
        Client::new(settings(&self.url)).unwrap()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let header = |name| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let seen = Seen {
        line: format!("{} {}", head.method, head.uri),
        authorization: header("authorization"),
        user_agent: header("user-agent"),
        body: axum::body::to_bytes(body, usize::MAX).await.unwrap(),
    };
    let before = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen.clone());
        all.len() - 1
    };
    (shared.answers)(&seen, before)
}

/// Settings of a client for this address, without token and retries.
pub fn settings(url: &str) -> Settings {
    Settings {
        url: url.to_owned(),
        program: "modelward-tests/1",
        token: Token::Absent,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(5),
            call: None,
        },
        retry: Retry::Never,
        proxy: None,
        tls: Tls::of(url),
    }
}

/// Retries within this time, with short pauses.
pub fn patient(patience: Duration) -> Retry {
    Retry::Within {
        patience,
        refused: patience / 4,
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
    }
}

/// A refusal in the format of the ledger.
pub fn refusal(status: u16, words: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = serde_json::json!({ "error": words }).to_string();
    (status, body).into_response()
}

/// A body without an end.
pub fn endless() -> Response {
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    Body::from_stream(stream::repeat_with(move || std::io::Result::Ok(piece.clone()))).into_response()
}

/// A body that is cut off after its first bytes.
pub fn broken(start: &'static [u8]) -> Response {
    let pieces = [
        Ok(Bytes::from_static(start)),
        Err(std::io::Error::other("broken")),
    ];
    let late = stream::iter(pieces).then(async |piece| {
        if piece.is_err() {
            // By then the client has the header and the start of the body.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        piece
    });
    Body::from_stream(late).into_response()
}
