//! The calls of MLflow's REST API that publishing needs.

use std::time::Duration;

use modelward_service::chain;
use modelward_wire::shorten;
use reqwest::{Body, Method, RequestBuilder, StatusCode, header::CONTENT_LENGTH, redirect};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{error::Error, files::Pieces};

/// An MLflow tracking server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its address, as in `MLFLOW_TRACKING_URI`: `http://mlflow.mlflow.svc:5000`.
    pub uri: String,
    /// How requests authenticate.
    pub credentials: Credentials,
}

/// How requests to MLflow authenticate.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Without authentication.
    #[default]
    None,
    /// With user name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
    /// With a token.
    Bearer(String),
}

/// A server and the connections to it.
pub(crate) struct Client {
    http: reqwest::Client,
    uri: String,
    credentials: Credentials,
}

/// The body of an error response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error_code: String,
    message: String,
}

const CONNECT_TIME: Duration = Duration::from_secs(10);
/// A search in a large experiment takes seconds.
const CALL_TIME: Duration = Duration::from_mins(1);
/// An upload times out only if it makes no progress.
const SILENCE: Duration = Duration::from_mins(1);
const MAX_ANSWER_BYTES: usize = 4 << 20;
const MAX_WORDS: usize = 400;

// === impl Credentials ===

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic",
            Self::Bearer(_) => "Bearer",
        })
    }
}

// === impl Client ===

impl Client {
    pub(crate) fn new(server: &Server) -> Result<Self, Error> {
        let uri = server.uri.trim_end_matches('/');
        if !uri.starts_with("http://") && !uri.starts_with("https://") {
            return Err(Error::Settings(format!(
                "its URI is {uri:?}; it must start with http:// or https://"
            )));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIME)
            .read_timeout(SILENCE)
            // A redirect would send the credentials to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| Error::Settings(chain(&error)))?;
        Ok(Self {
            http,
            uri: uri.to_owned(),
            credentials: server.credentials.clone(),
        })
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Sends a GET request to `path` under the base of the API, with these parameters.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().extend_pairs(query);
        let request = self.http.get(url).timeout(CALL_TIME);
        self.json(&format!("GET {path}"), request).await
    }

    /// Sends `body` to `path` under the base of the API.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let request = self.http.post(self.url(path)?).timeout(CALL_TIME).json(body);
        self.json(&format!("POST {path}"), request).await
    }

    /// Uploads an artifact with this number of bytes.
    pub(crate) async fn upload(&self, path: &str, size: u64, content: Pieces) -> Result<(), Error> {
        let path = format!("mlflow-artifacts/artifacts/{path}");
        let request = self
            .http
            .request(Method::PUT, self.url(&path)?)
            .header(CONTENT_LENGTH, size)
            .body(Body::wrap_stream(content));
        self.send(&format!("PUT {path}"), request).await.map(drop)
    }

    fn url(&self, path: &str) -> Result<reqwest::Url, Error> {
        let mut url = reqwest::Url::parse(&self.uri)
            .map_err(|error| Error::Settings(format!("its URI {:?} cannot be read: {error}", self.uri)))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .extend(["api", "2.0"])
                .extend(path.split('/'));
        }
        Ok(url)
    }

    async fn json<T: DeserializeOwned>(&self, request: &str, built: RequestBuilder) -> Result<T, Error> {
        let bytes = self.send(request, built).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Answer {
            uri: self.uri.clone(),
            request: request.to_owned(),
            why: error.to_string(),
        })
    }

    async fn send(&self, request: &str, built: RequestBuilder) -> Result<Vec<u8>, Error> {
        let built = match &self.credentials {
            Credentials::None => built,
            Credentials::Basic { username, password } => built.basic_auth(username, Some(password)),
            Credentials::Bearer(token) => built.bearer_auth(token),
        };
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            uri: self.uri.clone(),
            why: chain(&error.without_url()),
        };
        let mut answer = built.send().await.map_err(unreachable)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > MAX_ANSWER_BYTES {
                return Err(Error::Answer {
                    uri: self.uri.clone(),
                    request: request.to_owned(),
                    why: format!("it has more than {MAX_ANSWER_BYTES} bytes"),
                });
            }
        }
        if status.is_success() {
            return Ok(bytes);
        }
        let refusal = serde_json::from_slice::<Refusal>(&bytes).unwrap_or_else(|_| Refusal {
            error_code: String::new(),
            message: String::from_utf8_lossy(&bytes).trim().to_owned(),
        });
        Err(Error::Refused {
            uri: self.uri.clone(),
            request: request.to_owned(),
            status,
            message: with_remedy(status, &refusal.message),
            code: refusal.error_code,
        })
    }
}

/// The server's message, and how to fix the problem if that is known.
fn with_remedy(status: StatusCode, message: &str) -> String {
    let said = shorten(message, MAX_WORDS);
    let remedy = match status {
        StatusCode::FORBIDDEN if message.contains("Host header") => {
            "add the host and port of the URI to the server's MLFLOW_SERVER_ALLOWED_HOSTS"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "check username and password, or token, in the Secret of the Helm value mlflow.existingSecret"
        }
        StatusCode::NOT_FOUND => "check that the Helm value mlflow.trackingUri is an MLflow tracking server",
        _ => return said,
    };
    if said.is_empty() {
        remedy.to_owned()
    } else {
        format!("{said}; {remedy}")
    }
}
