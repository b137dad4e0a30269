//! One call: token, time limits, attempts, and an answer of bounded size.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures::stream::try_unfold;
use modelward_service::chain;
use modelward_wire::shorten;
use reqwest::{
    Body, Method, Proxy, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
    redirect,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{fs::File, io::AsyncReadExt as _};

use crate::{
    error::{Call, Corruption, Error, Unanswered},
    retry::{Attempts, Breaker},
    settings::{Retry, Settings, Timeouts, Tls, Token},
};

/// Maximum size of a JSON answer. Results of Jobs have up to a megabyte, verdicts a few hundred kilobytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// Maximum bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 16 << 10;
/// Time limit for reading a refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(5);
/// Maximum characters of a refusal that are kept.
const MAX_REFUSAL: usize = 300;

/// Size of the chunks in which a file is sent.
const PIECE: usize = 256 << 10;
/// The time limit of an upload is its size at this many bytes per second, plus [`Timeouts::read`]. The ledger itself ends an upload
/// that pauses.
const SLOWEST_UPLOAD: u64 = 256 << 10;

/// A client for one ledger. Clones share its connections, and the knowledge whether it answers.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a time limit for the start of the answer, which comes only after the whole file was sent.
    uploads: reqwest::Client,
    shared: Arc<Shared>,
    /// Time limit of an attempt.
    call: Option<Duration>,
    retry: Retry,
}

#[derive(Debug)]
struct Shared {
    url: String,
    token: Token,
    timeouts: Timeouts,
    breaker: Breaker,
}

/// A request to the ledger.
pub(crate) struct Request {
    pub call: Call,
    path: String,
    body: Option<(&'static str, Content)>,
}

/// The body of a request.
enum Content {
    Bytes(Bytes),
    /// It is read while it is sent.
    File(PathBuf),
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

// === impl Request ===

impl Request {
    /// A GET of this path.
    pub fn get(what: &str, path: String) -> Self {
        Self::new(Method::GET, what, path, None)
    }

    /// A DELETE of this path.
    pub fn delete(what: &str, path: String) -> Self {
        Self::new(Method::DELETE, what, path, None)
    }

    /// A PUT of these bytes.
    pub fn put(what: &str, path: String, content_type: &'static str, body: Bytes) -> Self {
        Self::new(
            Method::PUT,
            what,
            path,
            Some((content_type, Content::Bytes(body))),
        )
    }

    /// A PUT of the content of this file.
    pub fn put_file(what: &str, path: String, content_type: &'static str, file: &Path) -> Self {
        let content = Content::File(file.to_owned());
        Self::new(Method::PUT, what, path, Some((content_type, content)))
    }

    /// A request with a JSON message.
    pub fn json(method: Method, what: &str, path: String, message: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(message).map_err(Error::Json)?;
        let body = Some(("application/json", Content::Bytes(body.into())));
        Ok(Self::new(method, what, path, body))
    }

    fn new(method: Method, what: &str, path: String, body: Option<(&'static str, Content)>) -> Self {
        let call = Call {
            method,
            what: what.to_owned(),
        };
        Self { call, path, body }
    }
}

// === impl Client ===

impl Client {
    /// A client with these settings. It does not connect yet. The error is [`Error::Setup`].
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let Settings {
            url,
            program,
            token,
            timeouts,
            retry,
            proxy,
            tls,
        } = settings;
        let setup = |error: reqwest::Error| Error::Setup(error.without_url());
        let proxy = proxy.map(Proxy::all).transpose().map_err(setup)?;
        let builder = || {
            let mut builder = reqwest::Client::builder()
                .user_agent(program)
                .connect_timeout(timeouts.connect)
                // A token must never be sent to a redirect or to a proxy from the environment.
                .redirect(redirect::Policy::none())
                .no_proxy();
            if let Some(proxy) = &proxy {
                builder = builder.proxy(proxy.clone());
            }
            match &tls {
                Tls::Plain => builder.tls_certs_only([]),
                Tls::SystemRoots => builder,
                Tls::Roots(roots) => builder.tls_certs_only(roots.clone()),
            }
        };
        Ok(Self {
            http: builder().read_timeout(timeouts.read).build().map_err(setup)?,
            uploads: builder().build().map_err(setup)?,
            shared: Arc::new(Shared {
                url: url.trim_end_matches('/').to_owned(),
                token,
                timeouts,
                breaker: Breaker::default(),
            }),
            call: timeouts.call,
            retry,
        })
    }

    /// The same client with this time limit of an attempt.
    #[must_use]
    pub fn within(&self, call: Duration) -> Self {
        Self {
            call: Some(call),
            ..self.clone()
        }
    }

    /// The same client with another retry policy.
    #[must_use]
    pub fn retrying(&self, retry: Retry) -> Self {
        Self {
            retry,
            ..self.clone()
        }
    }

    /// The attempts of a call that starts now.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.retry, Instant::now())
    }

    /// The complete answer of at most `limit` bytes.
    pub(crate) async fn ask(&self, request: &Request, limit: u64) -> Result<Bytes, Error> {
        let mut attempts = self.attempts();
        loop {
            let answer = match self.send(request).await {
                Ok(response) => read(response, &request.call, limit).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(bytes) => return Ok(bytes),
                Err(error) => attempts.wait_after(&request.call, error).await?,
            }
        }
    }

    /// The answer as JSON.
    pub(crate) async fn ask_json<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let bytes = self.ask(request, MAX_ANSWER_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|error| corrupt(&request.call, Corruption::Parse(error)))
    }

    /// Sends a request whose answer is only a status.
    pub(crate) async fn tell(&self, request: &Request) -> Result<(), Error> {
        let mut attempts = self.attempts();
        loop {
            match self.send(request).await {
                Ok(response) => {
                    // The ledger accepted it, whatever the answer says. The answer is read so that the connection can be reused.
                    let _ = read(response, &request.call, MAX_ANSWER_BYTES).await;
                    return Ok(());
                }
                Err(error) => attempts.wait_after(&request.call, error).await?,
            }
        }
    }

    /// One attempt. Returns a successful answer whose body was not read.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, Error> {
        let Shared {
            url,
            token,
            timeouts,
            breaker,
        } = &*self.shared;
        let call = &request.call;
        let url = format!("{url}{}", request.path);
        let http = match &request.body {
            Some((_, Content::File(_))) => &self.uploads,
            _ => &self.http,
        };
        let mut asked = http.request(call.method.clone(), url);
        if let Token::File(file) = token {
            asked = asked.header(AUTHORIZATION, read_token(file).await?);
        }
        if let Some((content_type, content)) = &request.body {
            asked = asked.header(CONTENT_TYPE, *content_type);
            asked = match content {
                Content::Bytes(bytes) => asked.body(bytes.clone()),
                Content::File(path) => {
                    let (body, length) = open_body(path).await?;
                    asked
                        .header(CONTENT_LENGTH, length)
                        .body(body)
                        .timeout(timeouts.read + Duration::from_secs(length / SLOWEST_UPLOAD))
                }
            };
        }
        if let Some(time) = self.call {
            asked = asked.timeout(time);
        }
        if let Retry::Breaker { pause } = self.retry {
            breaker.ask_one_at_a_time(Instant::now(), timeouts.call.unwrap_or(pause))?;
        }
        let response = match asked.send().await {
            Ok(response) => response,
            Err(error) => {
                let error = unanswered(call, None, error);
                if let (Retry::Breaker { pause }, Error::Unanswered { source, .. }) = (self.retry, &error) {
                    breaker.note_away(chain(source), Instant::now() + pause);
                }
                return Err(error);
            }
        };
        breaker.note_answer();
        let status = response.status();
        let is_success = match call.method {
            Method::GET => status == StatusCode::OK,
            _ => status.is_success(),
        };
        if is_success {
            return Ok(response);
        }
        Err(Error::Refused {
            call: call.clone(),
            status,
            message: read_refusal(response).await,
        })
    }
}

/// A body that reads this file while it is sent, and the length of the file.
async fn open_body(path: &Path) -> Result<(Body, u64), Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    let pieces = try_unfold(file.take(length), async |mut file| {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok::<_, io::Error>((read > 0).then(|| (piece.freeze(), file)))
    });
    Ok((Body::wrap_stream(pieces), length))
}

/// The header with the token.
async fn read_token(file: &Path) -> Result<HeaderValue, Error> {
    let failed = |source| Error::Token {
        path: file.to_owned(),
        source,
    };
    let token = tokio::fs::read_to_string(file).await.map_err(failed)?;
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|_| {
        let problem = "it must have one token on one line";
        failed(io::Error::new(io::ErrorKind::InvalidData, problem))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The next chunk of an answer.
pub(crate) async fn next_piece(response: &mut Response, call: &Call) -> Result<Option<Bytes>, Error> {
    let piece = response.chunk().await;
    piece.map_err(|error| unanswered(call, Some(Unanswered::BrokenOff), error))
}

/// An answer of at most `limit` bytes.
async fn read(mut response: Response, call: &Call, limit: u64) -> Result<Bytes, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = next_piece(&mut response, call).await? {
        let found = (bytes.len() + piece.len()) as u64;
        if found > limit {
            return Err(corrupt(call, Corruption::TooLarge { found, limit }));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

/// The message of a refusal, or the start of its body.
async fn read_refusal(mut response: Response) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = response.chunk().await {
            let room = MAX_REFUSAL_BYTES - bytes.len();
            bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            if bytes.len() == MAX_REFUSAL_BYTES {
                break;
            }
        }
    };
    // After a timeout, the part that was received is enough.
    let _ = tokio::time::timeout(REFUSAL_TIME, read).await;
    let message = match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => refusal.error,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    shorten(&message, MAX_REFUSAL)
}

/// The error of a call without an answer. It does not contain the address, which names one object, because others may get the
/// same error.
fn unanswered(call: &Call, kind: Option<Unanswered>, error: reqwest::Error) -> Error {
    let begun = if error.is_timeout() {
        Unanswered::Timeout
    } else {
        Unanswered::Connect
    };
    Error::Unanswered {
        call: call.clone(),
        kind: kind.unwrap_or(begun),
        source: error.without_url(),
    }
}

/// The error of an invalid answer.
pub(crate) fn corrupt(call: &Call, problem: Corruption) -> Error {
    Error::Corrupt {
        what: call.what.clone(),
        problem,
    }
}
