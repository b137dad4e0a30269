//! Cuts the connection of one client to the API server at a chosen write.
//!
//! ```text
//! write 1 ─► write 2 ─► write 3 ✂ before it is sent: the server never receives it
//!                               ✂ after it was sent: the server executes it, and the response is lost
//!                               ✂ after the response: the caller has it, but its next request fails
//! ```
//!
//! After the cut, every request of that life fails, as if the process had ended. The test then ends the client and starts the next
//! life. Numbers continue across lives, so that a second cut can hit the repair of the first one. Reads, dry runs, Leases, Events
//! and reviews are not numbered, because they leave nothing that a successor finds.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::FutureExt as _;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::watch;
use tower::{BoxError, Layer, Service};

/// The point of a write at which the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cut {
    /// The request is never sent.
    BeforeSend,
    /// The server executes the request; its response is lost.
    AfterSend,
    /// The response arrives, and nothing after it.
    AfterAnswer,
}

/// Which write is cut.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// The write with this number, from 1.
    Index(usize),
    /// The n-th write of this [`Write::site`], from 1. Concurrent writes are numbered in a different order each time, but the third
    /// status of a kind is always the third.
    Site(String, usize),
}

/// One write of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its number, from 1.
    pub index: usize,
    /// `POST`, `PUT`, `PATCH` or `DELETE`.
    pub verb: Method,
    /// The path without the query.
    pub path: String,
    /// FNV-1a of the body: two writes of one path are distinguished by it.
    pub body_hash: u64,
    /// The field names of the body's first two levels.
    pub summary: String,
}

/// The writes of one client and its cuts. Clones share both.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    asked: AtomicUsize,
    lives: watch::Sender<Lives>,
}

struct State {
    cuts: BTreeMap<At, Cut>,
    /// Cuts that have happened, in order.
    made: Vec<(Write, Cut)>,
    writes: Vec<Write>,
}

/// Lives by number, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lives {
    begun: usize,
    /// Requests of all lives up to this one fail.
    failing: usize,
    /// All lives up to this one are over: no request of them is pending at the server.
    over: usize,
}

/// Puts one life of a client under [`Faults`].
#[derive(Clone)]
pub struct Life {
    faults: Faults,
    number: usize,
}

/// A client's service with its faults.
#[derive(Clone)]
pub struct Faulty<S> {
    inner: S,
    life: Life,
}

/// The error of a cut connection.
#[derive(Debug)]
pub struct ConnectionCut;

impl Cut {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::AfterSend, Self::AfterAnswer];
}

// === impl Faults ===

impl Faults {
    /// Numbers the writes, and cuts each of these.
    pub fn new(cuts: impl IntoIterator<Item = (At, Cut)>) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                cuts: cuts.into_iter().collect(),
                made: Vec::new(),
                writes: Vec::new(),
            }),
            asked: AtomicUsize::new(0),
            lives: watch::Sender::new(Lives::default()),
        }))
    }

    /// Starts another life and returns a layer for a new client. The earlier lives are over.
    pub fn life(&self) -> Life {
        let mut number = 0;
        self.0.lives.send_modify(|lives| {
            lives.failing = lives.begun;
            lives.over = lives.begun;
            lives.begun += 1;
            number = lives.begun;
        });
        Life {
            faults: self.clone(),
            number,
        }
    }

    /// Returns when the current life is over. A request that the server was still executing has been answered by then.
    pub async fn died(&self) {
        let mut lives = self.0.lives.subscribe();
        let number = lives.borrow().begun;
        let _ = lives.wait_for(|lives| lives.over >= number).await;
    }

    /// The number of requests and responses of any kind. If the number does not change, no request is in flight.
    pub fn asked(&self) -> usize {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// All writes so far, of all lives, including those that were never sent.
    pub fn writes(&self) -> Vec<Write> {
        self.state().writes.clone()
    }

    /// The cuts that have happened.
    pub fn made(&self) -> Vec<(Write, Cut)> {
        self.state().made.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self, request: &Request<Body>, body: &[u8]) -> Option<Cut> {
        let mut state = self.state();
        let write = Write::new(state.writes.len() + 1, request, body);
        let site = write.site();
        state.writes.push(write.clone());
        let like_it = state.writes.iter().filter(|write| write.site() == site).count();
        let cut = state.cuts.remove(&At::Index(write.index));
        let cut = cut.or_else(|| state.cuts.remove(&At::Site(site, like_it)));
        if let Some(cut) = cut {
            state.made.push((write, cut));
        }
        cut
    }
}

// === impl Life ===

impl Life {
    fn is_failing(&self) -> bool {
        self.faults.0.lives.borrow().failing >= self.number
    }

    /// From now on every request of this life fails.
    fn fail(&self) {
        self.faults
            .0
            .lives
            .send_modify(|lives| lives.failing = lives.failing.max(self.number));
    }

    fn end(&self) {
        self.fail();
        self.faults
            .0
            .lives
            .send_modify(|lives| lives.over = lives.over.max(self.number));
    }
}

impl<S> Layer<S> for Life {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty {
            inner,
            life: self.clone(),
        }
    }
}

// === impl Faulty ===

impl<S, R> Service<Request<Body>> for Faulty<S>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let life = self.life.clone();
        life.faults.0.asked.fetch_add(1, Ordering::Relaxed);
        if life.is_failing() {
            return refused();
        }
        let mut cut = None;
        let is_write = is_numbered(&request);
        let request = if is_write {
            let (parts, body) = request.into_parts();
            // The body of a write is complete at the start; it is never streamed.
            let body = body
                .collect()
                .now_or_never()
                .and_then(Result::ok)
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            let request = Request::from_parts(parts, Body::from(body.to_vec()));
            cut = life.faults.number(&request, &body);
            request
        } else {
            request
        };
        match cut {
            Some(Cut::BeforeSend) => {
                life.end();
                refused()
            }
            Some(Cut::AfterSend) => {
                life.fail();
                let answer = self.inner.call(request);
                // The client that waits for the response may be dropped before the request is sent.
                let carried_out = tokio::spawn(async move {
                    drop(answer.await);
                    life.end();
                });
                Box::pin(async move {
                    let _ = carried_out.await;
                    Err(ConnectionCut.into())
                })
            }
            Some(Cut::AfterAnswer) => {
                let answer = self.inner.call(request);
                let answered = tokio::spawn(async move {
                    let answer = answer.await.map_err(Into::into);
                    life.end();
                    answer
                });
                Box::pin(async move { answered.await? })
            }
            // A write that was sent is executed and answered even if the process ends. If its connection broke in between, it would
            // be in etcd without a complete line in the audit log.
            None => {
                let answer = self.inner.call(request);
                let answer = async move { answer.await.map_err(Into::into) };
                let answer: Self::Future = if is_write {
                    let answered = tokio::spawn(answer);
                    Box::pin(async move { answered.await? })
                } else {
                    Box::pin(answer)
                };
                Box::pin(async move {
                    let answer = answer.await?;
                    life.faults.0.asked.fetch_add(1, Ordering::Relaxed);
                    if life.is_failing() {
                        return Err(ConnectionCut.into());
                    }
                    Ok(answer)
                })
            }
        }
    }
}

fn refused<T: Send + 'static>() -> Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>> {
    Box::pin(async { Err(ConnectionCut.into()) })
}

/// Whether a successor can find an effect of this request.
fn is_numbered<B>(request: &Request<B>) -> bool {
    let method = request.method();
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    let query = request.uri().query().unwrap_or_default();
    let dry = query.split('&').any(|part| part.starts_with("dryRun="));
    let aside = request
        .uri()
        .path()
        .split('/')
        .any(|part| matches!(part, "leases" | "events" | "token") || part.ends_with("reviews"));
    writes && !dry && !aside
}

// === impl Write ===

impl Write {
    fn new(index: usize, request: &Request<Body>, body: &[u8]) -> Self {
        let fields = |value: &Value| -> Vec<String> {
            value
                .as_object()
                .map(|fields| fields.keys().cloned().collect())
                .unwrap_or_default()
        };
        let content: Value = serde_json::from_slice(body).unwrap_or_default();
        let summary: Vec<String> = fields(&content)
            .into_iter()
            .filter(|field| field != "apiVersion" && field != "kind" && field != "metadata")
            .map(|field| match fields(&content[&field]).join(",") {
                below if below.is_empty() => field,
                below => format!("{field}{{{below}}}"),
            })
            .collect();
        let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self {
            index,
            verb: request.method().clone(),
            path: request.uri().path().to_owned(),
            body_hash: hash,
            summary: summary.join(" "),
        }
    }

    /// The write without the parts that differ between runs: `PATCH modelversions/status`.
    pub fn site(&self) -> String {
        let mut parts: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        parts.drain(
            ..if parts.first() == Some(&"api") {
                2
            } else {
                3.min(parts.len())
            },
        );
        if parts.first() == Some(&"namespaces") && parts.len() > 2 {
            parts.drain(..2);
        }
        match parts.get(2) {
            Some(below) => format!("{} {}/{below}", self.verb, parts[0]),
            None => format!("{} {}", self.verb, parts.first().unwrap_or(&"")),
        }
    }
}

// === impl ConnectionCut ===

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was cut")
    }
}

impl std::error::Error for ConnectionCut {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api, Client,
        api::{ObjectMeta, Patch, PatchParams, PostParams},
        client::ClientBuilder,
    };
    use serde_json::json;

    use super::*;
    use crate::apiserver::{ApiServer, User};

    async fn client(life: &Life) -> (Client, &'static ApiServer) {
        let server = ApiServer::shared().await;
        let mut config = server.config_for(User::Admin).unwrap();
        config.default_retry = false;
        (
            ClientBuilder::try_from(config).unwrap().with_layer(life).build(),
            server,
        )
    }

    fn map(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    /// Creates three objects one after another, with a cut at the second. Returns what the caller saw and which objects exist
    /// afterwards.
    async fn three(cut: Cut) -> ([bool; 3], [bool; 3]) {
        let faults = Faults::new([(At::Index(2), cut)]);
        let (cut_client, server) = client(&faults.life()).await;
        let namespace = server.namespace().await;
        let params = PostParams::default();
        let maps = Api::<ConfigMap>::namespaced(cut_client, &namespace);
        let mut seen = [false; 3];
        for (number, seen) in seen.iter_mut().enumerate() {
            *seen = maps.create(&params, &map(&format!("m{number}"))).await.is_ok();
        }
        tokio::time::timeout(Duration::from_secs(5), faults.died())
            .await
            .expect("the life is over");
        assert!(maps.get("m0").await.is_err(), "reads fail too");
        let whole = Api::<ConfigMap>::namespaced(server.client(), &namespace);
        let mut there = [false; 3];
        for (number, there) in there.iter_mut().enumerate() {
            *there = whole.get_opt(&format!("m{number}")).await.unwrap().is_some();
        }
        let made = faults.made();
        assert_eq!((made.len(), made[0].0.index, made[0].1), (1, 2, cut));
        assert_eq!(made[0].0.site(), "POST configmaps");
        (seen, there)
    }

    #[tokio::test]
    async fn a_write_that_is_cut_before_it_is_sent_is_never_carried_out() {
        assert_eq!(
            three(Cut::BeforeSend).await,
            ([true, false, false], [true, false, false])
        );
    }

    #[tokio::test]
    async fn a_write_that_is_cut_after_it_was_sent_is_carried_out_and_not_answered() {
        assert_eq!(
            three(Cut::AfterSend).await,
            ([true, false, false], [true, true, false])
        );
    }

    #[tokio::test]
    async fn a_write_that_is_cut_after_its_answer_is_the_last_one() {
        assert_eq!(
            three(Cut::AfterAnswer).await,
            ([true, true, false], [true, true, false])
        );
    }

    #[tokio::test]
    async fn a_write_is_carried_out_also_when_no_client_waits_for_its_answer() {
        let faults = Faults::new([(At::Index(1), Cut::AfterSend)]);
        let (cut_client, server) = client(&faults.life()).await;
        let namespace = server.namespace().await;
        let maps = Api::<ConfigMap>::namespaced(cut_client, &namespace);
        let caller = tokio::spawn(async move {
            let _ = maps.create(&PostParams::default(), &map("m")).await;
        });
        while faults.made().is_empty() {
            tokio::task::yield_now().await;
        }
        caller.abort();
        faults.died().await;
        let whole = Api::<ConfigMap>::namespaced(server.client(), &namespace);
        assert!(whole.get_opt("m").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn numbers_go_on_over_lives_and_only_lasting_writes_have_one() {
        let faults = Faults::new([
            (At::Index(1), Cut::BeforeSend),
            (At::Site("PATCH configmaps".to_owned(), 1), Cut::AfterAnswer),
        ]);
        let (first, server) = client(&faults.life()).await;
        let namespace = server.namespace().await;
        let of = |client| Api::<ConfigMap>::namespaced(client, &namespace);
        let params = PostParams::default();
        assert!(of(first.clone()).create(&params, &map("m")).await.is_err());
        faults.died().await;

        let (second, _) = client(&faults.life()).await;
        assert!(of(first).get_opt("m").await.is_err(), "the first life stays over");
        let maps = of(second);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        assert!(maps.create(&dry, &map("m")).await.is_ok());
        assert!(maps.create(&params, &map("m")).await.is_ok());
        assert!(maps.list(&kube::api::ListParams::default()).await.is_ok());
        let patch = Patch::Merge(json!({"data": {"a": "b"}, "metadata": {"labels": {"c": "d"}}}));
        assert!(maps.patch("m", &PatchParams::default(), &patch).await.is_ok());
        faults.died().await;
        let writes: Vec<_> = faults
            .writes()
            .into_iter()
            .map(|write| (write.index, write.site(), write.summary))
            .collect();
        let expected = |index: usize, site: &str, summary: &str| (index, site.to_owned(), summary.to_owned());
        assert_eq!(
            writes,
            [
                expected(1, "POST configmaps", ""),
                expected(2, "POST configmaps", ""),
                expected(3, "PATCH configmaps", "data{a}"),
            ]
        );
    }

    #[test]
    fn what_leaves_nothing_for_a_successor_has_no_number() {
        let numbered = |method: Method, uri: &str| {
            is_numbered(&Request::builder().method(method).uri(uri).body(()).unwrap())
        };
        let ra = "/apis/modelward.io/v1alpha1/namespaces/n/remediationactions/a";
        assert!(numbered(Method::PATCH, ra));
        assert!(numbered(Method::DELETE, "/apis/batch/v1/namespaces/n/jobs/j"));
        assert!(!numbered(Method::GET, ra));
        assert!(!numbered(
            Method::PATCH,
            &format!("{ra}?&dryRun=All&fieldManager=x")
        ));
        for path in [
            "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
            "/apis/events.k8s.io/v1/namespaces/n/events",
            "/apis/authentication.k8s.io/v1/tokenreviews",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        ] {
            assert!(!numbered(Method::POST, path), "{path}");
        }
    }

    /// A slow server that counts its responses.
    #[derive(Clone, Default)]
    struct Slow(Arc<std::sync::atomic::AtomicUsize>);

    impl Service<Request<Body>> for Slow {
        type Response = Response<Body>;
        type Error = BoxError;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            let answered = self.0.clone();
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(100)).await;
                answered.fetch_add(1, Ordering::Relaxed);
                Ok(Response::new(Body::empty()))
            })
        }
    }

    #[tokio::test]
    async fn a_write_that_is_under_way_when_another_is_cut_is_answered_to_the_end() {
        let (faults, slow) = (Faults::new([(At::Index(2), Cut::BeforeSend)]), Slow::default());
        let mut client = faults.life().layer(slow.clone());
        let write = |name: &str| {
            let address = format!("/api/v1/namespaces/a/configmaps/{name}");
            Request::patch(address).body(Body::from(b"{}".to_vec())).unwrap()
        };
        let first = tokio::spawn(client.call(write("first")));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(client.call(write("second")).await.is_err());
        faults.died().await;
        // The tasks of the process end with it.
        first.abort();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(slow.0.load(Ordering::Relaxed), 1);
    }
}
