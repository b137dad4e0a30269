//! Leader election by a Lease: one process leads, the others stand by.
//!
//! The lease saves work; it does not fence. A leader that was paused may still write once after its successor has
//! begun, which is why names of children are fixed and writes carry uids.

use std::{
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use modelward_service::chain;
use tokio::time::{Instant, sleep, timeout};

/// Other processes may take the lease after this long without a renewal.
const DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops, before others may take the lease.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Interval between attempts.
const RETRY: Duration = Duration::from_secs(2);
/// Time limit of one attempt.
const TRY: Duration = Duration::from_secs(5);
/// Number of attempts to release the lease, and their total time limit.
const RELEASE_TRIES: usize = 5;
const RELEASE_DEADLINE: Duration = Duration::from_secs(5);

/// One process's claim on a lease.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: crate::Clock,
    /// When this process observed the holder's last renewal, by its own clock, because clocks of machines differ.
    seen: Option<(Option<MicroTime>, Instant)>,
}

// === impl Election ===

impl Election {
    /// A claim on the lease of this name by this process.
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str, clock: crate::Clock) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            clock,
            seen: None,
        }
    }

    /// Waits until this process leads.
    pub async fn acquire(&mut self) {
        self.acquire_until(pending()).await;
    }

    /// Waits until this process leads, and returns true; or until `stop` ends, and returns false without holding the lease.
    pub async fn acquire_until(&mut self, stop: impl Future<Output = ()>) -> bool {
        let mut stop = pin!(stop.fuse());
        loop {
            if is_done(&mut stop) {
                return false;
            }
            // An attempt is never dropped half-way: its write could still succeed, and a terminated process would hold the lease.
            let tried = timeout(TRY, self.try_hold()).await;
            if is_done(&mut stop) {
                if !matches!(tried, Ok(Ok(false))) {
                    self.release().await;
                }
                return false;
            }
            match tried {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(
                    lease.name = self.name,
                    "lease was not acquired: {}",
                    chain(&error)
                ),
                Err(_) => tracing::warn!(
                    lease.name = self.name,
                    "lease was not acquired: no answer within {} s",
                    TRY.as_secs()
                ),
            }
            tokio::select! {
                biased;
                () = &mut stop => return false,
                () = sleep(RETRY) => {}
            }
        }
    }

    /// Renews the lease and returns when it is lost. The process must then exit, because another one may lead.
    pub async fn hold(&mut self) {
        self.hold_until(pending()).await;
    }

    /// Renews the lease until `stop` ends, and returns true; or until it is lost, and returns false. The process must then exit,
    /// because another one may lead.
    pub async fn hold_until(&mut self, stop: impl Future<Output = ()>) -> bool {
        let mut stop = pin!(stop.fuse());
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => return true,
                () = sleep(RETRY) => {}
            }
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed()).min(TRY);
            match timeout(left, self.try_hold()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return false,
                Ok(Err(error)) => {
                    tracing::warn!(lease.name = self.name, "lease was not renewed: {}", chain(&error));
                }
                Err(_) => {}
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                return false;
            }
        }
    }

    /// Releases the lease, so that a successor does not have to wait.
    pub async fn release(&mut self) {
        let releasing = async {
            for _ in 0..RELEASE_TRIES {
                match self.try_release().await {
                    Ok(()) => return,
                    // A renewal by this process, or a changed label: read it again.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) => {
                        tracing::warn!(
                            lease.name = self.name,
                            "lease was not released: {}",
                            chain(&error)
                        );
                        sleep(RETRY / 4).await;
                    }
                }
            }
        };
        if timeout(RELEASE_DEADLINE, releasing).await.is_err() {
            tracing::warn!(
                lease.name = self.name,
                "lease was not released within {} s; it runs out after {} s",
                RELEASE_DEADLINE.as_secs(),
                DURATION.as_secs()
            );
        }
    }

    async fn try_release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        self.api
            .replace(&self.name, &PostParams::default(), &lease)
            .await?;
        Ok(())
    }

    /// Takes or renews the lease if this process may. Each write has the resourceVersion that was read.
    async fn try_hold(&mut self) -> kube::Result<bool> {
        let now = (self.clock)();
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(self.spec(now, None)),
            };
            return written(self.api.create(&PostParams::default(), &lease).await);
        };
        let before = lease.spec.clone().unwrap_or_default();
        let holder = before.holder_identity.clone().filter(|holder| !holder.is_empty());
        let mine = holder.as_deref() == Some(&self.identity);
        if holder.is_some() && !mine && !self.expired(&before) {
            return Ok(false);
        }
        lease.spec = Some(self.spec(now, Some((&before, mine))));
        if mine {
            // A conflict does not mean that another process leads: a user may have set a label on the lease. The next
            // attempt reads the holder.
            return self
                .api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(|_| true);
        }
        written(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// Whether the holder has not renewed for the lease's duration, as observed by this process.
    fn expired(&mut self, lease: &LeaseSpec) -> bool {
        match &self.seen {
            Some((renewal, since)) if *renewal == lease.renew_time => {
                let seconds = lease
                    .lease_duration_seconds
                    .and_then(|seconds| u64::try_from(seconds).ok());
                since.elapsed() > seconds.map_or(DURATION, Duration::from_secs)
            }
            _ => {
                self.seen = Some((lease.renew_time.clone(), Instant::now()));
                false
            }
        }
    }

    fn spec(&self, now: Timestamp, before: Option<(&LeaseSpec, bool)>) -> LeaseSpec {
        let now = MicroTime(now);
        let (acquire_time, transitions) = match before {
            Some((before, true)) => (before.acquire_time.clone(), before.lease_transitions.unwrap_or(0)),
            Some((before, false)) => (Some(now.clone()), before.lease_transitions.unwrap_or(0) + 1),
            None => (Some(now.clone()), 0),
        };
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time,
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

fn is_done(stop: &mut (impl futures::future::FusedFuture<Output = ()> + Unpin)) -> bool {
    stop.is_terminated() || stop.now_or_never().is_some()
}

/// Another process that wrote first has won.
fn written<T>(answer: kube::Result<T>) -> kube::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::{Method, Request, Response, StatusCode};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;

    type BeforeWrite = Box<dyn Fn() + Send>;

    /// One lease as an API server keeps it, on a clock that the test moves: the real one is asked in `tests/`.
    #[derive(Clone, Default)]
    struct Server {
        lease: Arc<Mutex<Option<Value>>>,
        down: Arc<Mutex<bool>>,
        before_write: Arc<Mutex<Option<BeforeWrite>>>,
    }

    impl Server {
        fn election(&self, identity: &str, clock_is_off_by: i64) -> Election {
            let server = self.clone();
            let service = service_fn(move |request: Request<Body>| {
                let server = server.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect_bytes().await.unwrap_or_default();
                    let (status, answer) =
                        server.answer(&parts.method, serde_json::from_slice(&body).unwrap_or_default());
                    let answer = Response::builder()
                        .status(status)
                        .body(Body::from(answer.to_string().into_bytes()));
                    Ok::<_, Infallible>(answer.unwrap())
                }
            });
            let began = Instant::now();
            let clock = move || {
                let since = i64::try_from(began.elapsed().as_secs()).unwrap();
                Timestamp::from_second(1_800_000_000 + clock_is_off_by + since).unwrap()
            };
            Election::new(
                Client::new(service, "system"),
                "system",
                "operator",
                identity,
                Arc::new(clock),
            )
        }

        /// What happens just before each write.
        fn on_write(&self, what: impl Fn() + Send + 'static) {
            *self.before_write.lock().unwrap() = Some(Box::new(what));
        }

        fn holder(&self) -> Option<String> {
            let lease = self.lease.lock().unwrap();
            let holder = &lease.as_ref()?["spec"]["holderIdentity"];
            holder.as_str().map(ToOwned::to_owned)
        }

        fn answer(&self, method: &Method, mut sent: Value) -> (StatusCode, Value) {
            if method != Method::GET
                && let Some(what) = &*self.before_write.lock().unwrap()
            {
                what();
            }
            let refuse = |status: StatusCode| {
                let reason = match status {
                    StatusCode::NOT_FOUND => "NotFound",
                    StatusCode::CONFLICT => "Conflict",
                    _ => "InternalError",
                };
                let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": reason, "reason": reason, "code": status.as_u16()});
                (status, body)
            };
            if *self.down.lock().unwrap() {
                return refuse(StatusCode::INTERNAL_SERVER_ERROR);
            }
            let mut kept = self.lease.lock().unwrap();
            let version = kept
                .as_ref()
                .map(|lease| lease["metadata"]["resourceVersion"].clone());
            match (method, &*kept) {
                (&Method::GET, Some(lease)) => return (StatusCode::OK, lease.clone()),
                (&Method::GET, None) => return refuse(StatusCode::NOT_FOUND),
                (&Method::POST, Some(_)) => return refuse(StatusCode::CONFLICT),
                (&Method::PUT, _) if Some(&sent["metadata"]["resourceVersion"]) != version.as_ref() => {
                    return refuse(StatusCode::CONFLICT);
                }
                _ => {}
            }
            let next = version
                .and_then(|version| version.as_str()?.parse::<u64>().ok())
                .unwrap_or(0)
                + 1;
            sent["metadata"]["resourceVersion"] = json!(next.to_string());
            *kept = Some(sent.clone());
            (StatusCode::OK, sent)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_whose_holder_died_is_taken_after_its_time_and_not_before() {
        let server = Server::default();
        server.election("first", 0).acquire().await;
        let begun = Instant::now();
        // Clocks of machines differ by hours: what counts is how long nothing was renewed.
        server.election("second", -7200).acquire().await;
        let waited = begun.elapsed();
        assert!(waited > DURATION && waited <= DURATION + 2 * RETRY, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_renews_is_never_overtaken() {
        let server = Server::default();
        let (mut first, mut second) = (server.election("first", 0), server.election("second", 7200));
        first.acquire().await;
        tokio::select! {
            () = first.hold() => panic!("it lost what it renewed"),
            () = second.acquire() => panic!("two lead"),
            () = sleep(Duration::from_hours(1)) => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_gives_up_before_another_may_begin() {
        let server = Server::default();
        let mut first = server.election("first", 0);
        first.acquire().await;
        *server.down.lock().unwrap() = true;
        let begun = Instant::now();
        first.hold().await;
        let held = begun.elapsed();
        assert!(held >= RENEW_DEADLINE && held < DURATION, "{held:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_asked_to_end_while_it_takes_the_lease_gives_it_back() {
        let server = Server::default();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // The write that takes the lease is in progress when the process is asked to end.
        let stop = Mutex::new(Some(stop));
        let mut first = server.election("first", 0);
        server.on_write(move || drop(stop.lock().unwrap().take()));
        let leads = first
            .acquire_until(async {
                let _ = stopped.await;
            })
            .await;
        assert!(!leads);
        assert_eq!(server.holder(), None);
        let begun = Instant::now();
        server.election("second", 0).acquire().await;
        assert!(begun.elapsed() < RETRY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_was_asked_to_end_never_takes_the_lease() {
        let server = Server::default();
        assert!(
            !server
                .election("first", 0)
                .acquire_until(std::future::ready(()))
                .await
        );
        assert_eq!(server.holder(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_that_meets_another_write_is_tried_again() {
        let server = Server::default();
        let mut first = server.election("first", 0);
        first.acquire().await;
        // Between the read and the write of the release a user puts a label on the lease.
        let (lease, meddled) = (server.lease.clone(), Mutex::new(false));
        server.on_write(move || {
            if !std::mem::replace(&mut *meddled.lock().unwrap(), true) {
                lease.lock().unwrap().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("77");
            }
        });
        first.release().await;
        assert_eq!(server.holder(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_of_the_api_server_costs_no_lease() {
        let server = Server::default();
        let mut first = server.election("first", 0);
        first.acquire().await;
        let outage = async {
            *server.down.lock().unwrap() = true;
            sleep(Duration::from_secs(7)).await;
            *server.down.lock().unwrap() = false;
            sleep(Duration::from_mins(5)).await;
        };
        tokio::select! {
            () = first.hold() => panic!("it gave up too early"),
            () = outage => {}
        }
    }
}
