//! The requests that the API server received, by verb and resource as in RBAC.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use kube::client::Body;
use tower::{BoxError, Layer, Service};

/// One request and its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The verb as in RBAC.
    pub verb: &'static str,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural, with its subresource after a slash.
    pub resource: String,
    /// Name of the object, if the request is about a single one.
    pub name: Option<String>,
    /// Status of the response.
    pub status: u16,
    /// Whether it is a dry run.
    pub dry_run: bool,
}

/// All requests of one client. Clones share the record.
#[derive(Clone, Default)]
pub struct Calls {
    noted: Arc<Mutex<Vec<Call>>>,
    freeze: Arc<Mutex<Option<Freeze>>>,
    breaks: Arc<Mutex<Option<Break>>>,
    /// Bytes of response bodies that were read, by verb and resource.
    bytes: Arc<Mutex<BTreeMap<(&'static str, String), u64>>>,
    /// Number of open watches.
    watches: Arc<AtomicUsize>,
}

/// Verb and resource of the request whose connection breaks.
type Break = (&'static str, &'static str);

/// A process that stops in the middle of its work and is killed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Number of writes that still complete, not counting Events.
    pub after: usize,
    /// Whether the API server executes the last write and only its response is lost.
    pub sent: bool,
    /// No further write is sent.
    pub shut: bool,
    /// The last write has reached the point where it stops.
    pub stands: bool,
}

/// Records a client's requests in [`Calls`].
#[derive(Clone)]
pub struct Recorder(pub Calls);

/// A service with a [`Recorder`] around it.
#[derive(Clone)]
pub struct Recording<S> {
    inner: S,
    calls: Calls,
}

/// The response to a watch, counted until it is dropped.
struct Watch(Arc<AtomicUsize>);

// === impl Calls ===

impl Calls {
    /// Stops the process at a write.
    pub fn freeze(&self, freeze: Option<Freeze>) {
        *locked(&self.freeze) = freeze;
    }

    /// Makes the next request like this one fail before it is sent. Later requests are sent.
    pub fn break_next(&self, verb: &'static str, resource: &'static str) {
        *locked(&self.breaks) = Some((verb, resource));
    }

    /// Whether the request of [`Calls::break_next`] was made and failed.
    pub fn has_broken(&self) -> bool {
        locked(&self.breaks).is_none()
    }

    fn breaks(&self, call: Option<&Call>) -> bool {
        let mut next = locked(&self.breaks);
        let hit = call.is_some_and(|call| *next == Some((call.verb, &*call.resource)));
        if hit {
            *next = None;
        }
        hit
    }

    /// Whether the process has stopped at that write.
    pub fn stands(&self) -> bool {
        locked(&self.freeze).is_some_and(|freeze| freeze.stands)
    }

    /// Whether a request may be sent, and whether its response may be returned.
    fn may(&self, call: Option<&Call>) -> (bool, bool) {
        let mut freeze = locked(&self.freeze);
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

    /// Forgets every request so far.
    pub fn clear(&self) {
        locked(&self.noted).clear();
    }

    /// All requests, in the order of the responses.
    pub fn all(&self) -> Vec<Call> {
        locked(&self.noted).clone()
    }

    /// Returns all requests so far and forgets them.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *locked(&self.noted))
    }

    /// Bytes of responses that were read since the last call, by verb and resource, including those of open watches.
    pub fn take_bytes(&self) -> BTreeMap<(&'static str, String), u64> {
        std::mem::take(&mut *locked(&self.bytes))
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    /// The requests that may have changed an object.
    pub fn writes(&self) -> Vec<Call> {
        let mut calls = self.all();
        calls.retain(Call::writes);
        calls
    }

    /// The body of a response. Its bytes are counted when they are read.
    fn counted<R>(&self, call: Option<Call>, body: R) -> UnsyncBoxBody<R::Data, R::Error>
    where
        R: BodyExt<Data = bytes::Bytes> + Send + 'static,
    {
        let Some(call) = call else {
            return body.boxed_unsync();
        };
        let bytes = self.bytes.clone();
        let watch = (call.verb == "watch" && call.status < 300).then(|| Watch::open(&self.watches));
        body.map_frame(move |frame| {
            let _open = &watch;
            if let Some(data) = frame.data_ref() {
                let key = (call.verb, call.resource.clone());
                *locked(&bytes).entry(key).or_default() += data.len() as u64;
            }
            frame
        })
        .boxed_unsync()
    }

    /// The permissions that these calls needed. An apply that created its object also needed the verb create.
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
    /// Whether it may have changed an object.
    pub fn writes(&self) -> bool {
        !self.dry_run && !matches!(self.verb, "get" | "list" | "watch")
    }

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

// === impl Watch ===

impl Watch {
    fn open(watches: &Arc<AtomicUsize>) -> Self {
        watches.fetch_add(1, Ordering::Relaxed);
        Self(watches.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
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

impl<S, R> Service<Request<Body>> for Recording<S>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: BodyExt<Data = bytes::Bytes> + Send + 'static,
{
    type Response = Response<UnsyncBoxBody<R::Data, R::Error>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
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
                if let Some(freeze) = &mut *locked(&calls.freeze) {
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
            locked(&calls.noted).extend(call.clone());
            Ok(answer.map(|body| calls.counted(call, body)))
        })
    }
}

/// Locks the mutex even if a failed test poisoned it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ListParams, ObjectMeta, PostParams, WatchParams},
        client::ClientBuilder,
    };

    use super::*;
    use crate::apiserver::{ApiServer, User};

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

    #[tokio::test]
    async fn answers_are_counted_in_bytes_and_watches_for_as_long_as_they_are_open() {
        let server = ApiServer::shared().await;
        let calls = Calls::default();
        let client = ClientBuilder::try_from(server.config_for(User::Admin).unwrap())
            .unwrap()
            .with_layer(&Recorder(calls.clone()))
            .build();
        let maps = Api::<ConfigMap>::namespaced(client, &server.namespace().await);
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some("m".to_owned()),
                ..ObjectMeta::default()
            },
            data: Some([("key".to_owned(), "x".repeat(5000))].into()),
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &map).await.unwrap();
        maps.list(&ListParams::default()).await.unwrap();
        let bytes = calls.take_bytes();
        let read = bytes[&("list", "configmaps".to_owned())];
        assert!((5000..10_000).contains(&read), "{bytes:?}");
        assert!(calls.take_bytes().is_empty());

        assert_eq!(calls.watches(), 0);
        let watch = maps.watch(&WatchParams::default(), "0").await.unwrap();
        assert_eq!(calls.watches(), 1);
        drop(watch);
        assert_eq!(calls.watches(), 0);

        let verbs: Vec<_> = calls.take().into_iter().map(|call| call.verb).collect();
        assert_eq!(verbs, ["create", "list", "watch"]);
        assert!(calls.all().is_empty());
    }
}
