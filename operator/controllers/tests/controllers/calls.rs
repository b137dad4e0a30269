//! What was asked of the API server, in the words of its rights.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use tower::{BoxError, Layer, Service};

use crate::support::locked;

/// One request and what was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub verb: &'static str,
    /// Group, or nothing for the core group.
    pub group: String,
    /// Plural, with its subresource after a slash.
    pub resource: String,
    pub name: Option<String>,
    pub status: u16,
    /// Nothing comes of it.
    pub dry_run: bool,
}

/// Everything that one client asked for.
#[derive(Clone, Default)]
pub struct Calls(
    Arc<Mutex<Vec<Call>>>,
    Arc<Mutex<Option<Freeze>>>,
    Arc<Mutex<Option<Break>>>,
);

/// The request whose connection breaks off: its verb and its resource.
type Break = (&'static str, &'static str);

/// A process that stops in the middle of its work and is killed where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Writes that still come to an end; Events are not among them.
    pub after: usize,
    /// Whether the last one is carried out, and only its answer does not come.
    pub sent: bool,
    /// No write is let through any more.
    pub shut: bool,
    /// The last write has come as far as it may.
    pub stands: bool,
}

/// Puts a client's requests into [`Calls`].
#[derive(Clone)]
pub struct Recorder(pub Calls);

#[derive(Clone)]
pub struct Recording<S> {
    inner: S,
    calls: Calls,
}

// === impl Calls ===

impl Calls {
    /// Stops the process at a write.
    pub fn freeze(&self, freeze: Option<Freeze>) {
        *locked(&self.1) = freeze;
    }

    /// The next request like this one fails before it is sent. Those after it go on.
    pub fn break_next(&self, verb: &'static str, resource: &'static str) {
        *locked(&self.2) = Some((verb, resource));
    }

    fn breaks(&self, call: Option<&Call>) -> bool {
        let mut next = locked(&self.2);
        let hit = call.is_some_and(|call| *next == Some((call.verb, &*call.resource)));
        if hit {
            *next = None;
        }
        hit
    }

    /// Whether it stands at that write.
    pub fn stands(&self) -> bool {
        locked(&self.1).is_some_and(|freeze| freeze.stands)
    }

    /// Whether a request may be sent, and whether its answer may come back.
    fn may(&self, call: Option<&Call>) -> (bool, bool) {
        let mut freeze = locked(&self.1);
        let (Some(freeze), Some(call)) = (&mut *freeze, call) else {
            return (true, true);
        };
        if call.dry_run || matches!(call.verb, "get" | "list" | "watch") || call.resource == "events" {
            return (true, true);
        }
        if freeze.shut {
            return (false, false);
        }
        if freeze.after == 0 {
            freeze.shut = true;
            freeze.stands = !freeze.sent;
            return (freeze.sent, false);
        }
        freeze.after -= 1;
        (true, true)
    }

    pub fn clear(&self) {
        locked(&self.0).clear();
    }

    pub fn all(&self) -> Vec<Call> {
        locked(&self.0).clone()
    }

    pub fn writes(&self) -> Vec<Call> {
        let mut calls = self.all();
        calls.retain(|call| !call.dry_run && !matches!(call.verb, "get" | "list" | "watch"));
        calls
    }

    /// The rights that these calls needed. An apply that made its object needed the right to create it too.
    pub fn rights(&self) -> BTreeSet<(String, String, String)> {
        let mut rights = BTreeSet::new();
        for call in self.all() {
            rights.insert((call.group.clone(), call.resource.clone(), call.verb.to_owned()));
            if call.verb == "patch" && call.status == 201 {
                rights.insert((call.group, call.resource, "create".to_owned()));
            }
        }
        rights
    }
}

// === impl Call ===

impl Call {
    fn new(method: &Method, path: &str, query: &str, status: StatusCode) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => String::new(),
            "apis" => parts.next()?.to_owned(),
            _ => return None,
        };
        let _version = parts.next()?;
        let mut rest: Vec<_> = parts.collect();
        if rest.first() == Some(&"namespaces") && rest.len() > 2 {
            rest.drain(..2);
        }
        let name = rest.get(1).map(ToString::to_string);
        let resource = match rest.get(2) {
            Some(sub) => format!("{}/{sub}", rest.first()?),
            None => (*rest.first()?).to_owned(),
        };
        let watches = query
            .split('&')
            .any(|part| part == "watch=true" || part == "watch=1");
        let verb = match (method.as_str(), &name) {
            ("GET", _) if watches => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            _ => return None,
        };
        Some(Self {
            verb,
            group,
            resource,
            name,
            status: status.as_u16(),
            dry_run: query.split('&').any(|part| part.starts_with("dryRun=")),
        })
    }
}

// === impl Recorder ===

impl<S> Layer<S> for Recorder {
    type Service = Recording<S>;

    fn layer(&self, inner: S) -> Recording<S> {
        Recording {
            inner,
            calls: self.0.clone(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Recording<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Send,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (method, uri, calls) = (
            request.method().clone(),
            request.uri().clone(),
            self.calls.clone(),
        );
        let call = Call::new(
            &method,
            uri.path(),
            uri.query().unwrap_or_default(),
            StatusCode::OK,
        );
        if calls.breaks(call.as_ref()) {
            return Box::pin(async { Err("the connection broke off".into()) });
        }
        let (sent, answered) = calls.may(call.as_ref());
        let answer = sent.then(|| self.inner.call(request));
        Box::pin(async move {
            let answer = match answer {
                Some(answer) => answer.await.map_err(Into::into)?,
                None => std::future::pending().await,
            };
            if !answered {
                if let Some(freeze) = &mut *locked(&calls.1) {
                    freeze.stands = true;
                }
                std::future::pending::<()>().await;
            }
            let call = Call::new(
                &method,
                uri.path(),
                uri.query().unwrap_or_default(),
                answer.status(),
            );
            locked(&calls.0).extend(call);
            Ok(answer)
        })
    }
}

#[test]
fn requests_are_read_as_the_api_server_reads_them() {
    let read = |method: Method, path: &str, query: &str| {
        let call = Call::new(&method, path, query, StatusCode::OK).unwrap();
        (call.verb, call.group, call.resource, call.name)
    };
    let heart = Some("heart".to_owned());
    let status = read(
        Method::PATCH,
        "/apis/modelward.io/v1alpha1/namespaces/hospital/models/heart/status",
        "",
    );
    assert_eq!(
        status,
        ("patch", "modelward.io".into(), "models/status".into(), heart)
    );
    let watch = read(Method::GET, "/api/v1/namespaces/hospital/pods", "&watch=true");
    assert_eq!(watch, ("watch", String::new(), "pods".into(), None));
    assert_eq!(read(Method::GET, "/apis/batch/v1/jobs", "limit=500").0, "list");
}
