//! One call: the token, the deadline, the attempts, and an answer of bounded size.

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

/// No answer in JSON is larger: results of Jobs have up to a megabyte, verdicts a few hundred kilobytes.
const MAX_ANSWER_BYTES: u64 = 4 << 20;
/// Of the words of a refusal so much is read …
const MAX_REFUSAL_BYTES: usize = 16 << 10;
/// … within this time …
const REFUSAL_TIME: Duration = Duration::from_secs(5);
/// … and so many characters are kept.
const MAX_REFUSAL: usize = 300;

/// Bytes of a file that are sent at once.
const PIECE: usize = 256 << 10;
/// An upload may take as long as its file at so many bytes a second, and [`Timeouts::read`] beside it. The ledger itself ends one
/// that pauses.
const SLOWEST_UPLOAD: u64 = 256 << 10;

/// Calls one ledger. Clones share its connections, and what they know of whether it answers.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Without a bound on the time to the answer's begin: it begins once the whole file was sent.
    uploads: reqwest::Client,
    shared: Arc<Shared>,
    /// How long an attempt may take.
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

/// What is sent to the ledger.
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
    /// Asks for what is at this path.
    pub fn get(what: &str, path: String) -> Self {
        Self::new(Method::GET, what, path, None)
    }

    /// Deletes what is there.
    pub fn delete(what: &str, path: String) -> Self {
        Self::new(Method::DELETE, what, path, None)
    }

    /// Puts these bytes there.
    pub fn put(what: &str, path: String, content_type: &'static str, body: Bytes) -> Self {
        Self::new(
            Method::PUT,
            what,
            path,
            Some((content_type, Content::Bytes(body))),
        )
    }

    /// Puts the content of this file there.
    pub fn put_file(what: &str, path: String, content_type: &'static str, file: &Path) -> Self {
        let content = Content::File(file.to_owned());
        Self::new(Method::PUT, what, path, Some((content_type, content)))
    }

    /// Sends a message there.
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
    /// A client with these settings. It makes no connection yet; the error is [`Error::Setup`].
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
                // A token must never follow a redirect, nor pass a proxy that happens to be in the environment.
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

    /// The same client, each attempt of which may take as long as this.
    #[must_use]
    pub fn within(&self, call: Duration) -> Self {
        Self {
            call: Some(call),
            ..self.clone()
        }
    }

    /// The same client with other attempts.
    #[must_use]
    pub fn retrying(&self, retry: Retry) -> Self {
        Self {
            retry,
            ..self.clone()
        }
    }

    /// The attempts of a call that begins now.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.retry, Instant::now())
    }

    /// The whole answer, of at most `limit` bytes.
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

    /// Sends something whose answer is its status.
    pub(crate) async fn tell(&self, request: &Request) -> Result<(), Error> {
        let mut attempts = self.attempts();
        loop {
            match self.send(request).await {
                Ok(response) => {
                    // The ledger has it, whatever else it says. A connection whose answer was read is used again.
                    let _ = read(response, &request.call, MAX_ANSWER_BYTES).await;
                    return Ok(());
                }
                Err(error) => attempts.wait_after(&request.call, error).await?,
            }
        }
    }

    /// One attempt: a successful answer, of which nothing was read.
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

/// A body that reads this file while it is sent, and its length.
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

/// The token, as the ledger wants to see it.
async fn read_token(file: &Path) -> Result<HeaderValue, Error> {
    let failed = |source| Error::Token {
        path: file.to_owned(),
        source,
    };
    let token = tokio::fs::read_to_string(file).await.map_err(failed)?;
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let mut value = value.map_err(|_| {
        let problem = "it must hold one token on one line";
        failed(io::Error::new(io::ErrorKind::InvalidData, problem))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The next piece of an answer.
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

/// The words of a refusal, or the start of whatever it says.
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
    // What came by then says enough.
    let _ = tokio::time::timeout(REFUSAL_TIME, read).await;
    let message = match serde_json::from_slice::<Refusal>(&bytes) {
        Ok(refusal) => refusal.error,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
    };
    shorten(&message, MAX_REFUSAL)
}

/// The error of a call without an answer. Its address is left out: it names one object, and others may get the same error.
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

/// The error of an answer that is not what it must be.
pub(crate) fn corrupt(call: &Call, problem: Corruption) -> Error {
    Error::Corrupt {
        what: call.what.clone(),
        problem,
    }
}
