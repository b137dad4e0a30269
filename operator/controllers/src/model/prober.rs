//! Probes every serving model through its Service, like a client.
//!
//! Ready Pods do not prove that they can be reached: a selector, a network policy or another Pod with the same labels may interfere.
//! Every response of the inference server has a header with the digest of its routes. One task probes all models; the last results
//! are kept in memory, and a change triggers a reconcile of the Model.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, channel::mpsc::UnboundedSender, stream};
use modelward_core::model::Answer;
use modelward_service::chain;
use modelward_wire::Digest;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use crate::{Metrics, metrics::ProbeAnswer};

/// The header with the digest of the routes file that a server uses.
const ROUTES_DIGEST: &str = "modelward-routes-digest";
/// Time limit of a probe.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Number of models that are probed at the same time.
const AT_ONCE: usize = 32;
/// After this many failed probes in a row a model counts as not answering.
const MISSES: u32 = 2;
/// Minimum interval between two rounds that reconciles request.
const GAP: Duration = Duration::from_millis(200);

/// How models are probed.
#[derive(Clone, Debug)]
pub struct ProberConfig {
    /// The interval.
    pub every: Duration,
    /// Base address to use instead of the Services' addresses: `<through>/<namespace>/<model>` replaces a Service. For an operator that
    /// runs outside of the cluster's network.
    pub through: Option<String>,
}

impl Default for ProberConfig {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(3),
            through: None,
        }
    }
}

/// Probes models and keeps the results.
#[derive(Debug)]
pub struct Prober {
    config: ProberConfig,
    http: reqwest::Client,
    targets: Mutex<BTreeMap<(String, String), Target>>,
    wake: Notify,
}

#[derive(Clone, Debug)]
struct Target {
    url: String,
    expected: Digest,
    answer: Answer,
    misses: u32,
}

// === impl Prober ===

impl Prober {
    /// A prober without models.
    pub fn new(config: ProberConfig) -> Self {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // A kept connection would reach a Pod even after the Service has none.
            .pool_max_idle_per_host(0)
            .build();
        Self {
            config,
            // Without a proxy and certificates to read, this cannot fail.
            http: http.unwrap_or_default(),
            targets: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// The last answer of the Service of this model.
    pub fn answer(&self, namespace: &str, model: &str) -> Answer {
        let targets = self.targets();
        let target = targets.get(&(namespace.to_owned(), model.to_owned()));
        target.map(|target| target.answer.clone()).unwrap_or_default()
    }

    /// Probes this model from now on, and immediately if its last answer differs from this one.
    pub fn expect(&self, namespace: &str, model: &str, address: &str, expected: Digest) {
        let url = self.url(namespace, model, address);
        let mut targets = self.targets();
        let target = targets
            .entry((namespace.to_owned(), model.to_owned()))
            .or_insert_with(|| Target {
                url: url.clone(),
                expected,
                answer: Answer::NotAsked,
                misses: 0,
            });
        if target.url != url {
            *target = Target {
                url,
                expected,
                answer: Answer::NotAsked,
                misses: 0,
            };
        }
        target.expected = expected;
        if target.answer != Answer::Routes(expected) {
            self.wake.notify_one();
        }
    }

    /// Stops probing this model.
    pub fn forget(&self, namespace: &str, model: &str) {
        self.targets().remove(&(namespace.to_owned(), model.to_owned()));
    }

    /// Probes until it is dropped. Namespace and name of a model whose answer has changed are sent to `changed`.
    pub async fn run(&self, metrics: &Metrics, changed: UnboundedSender<(String, String)>) {
        let mut next = Instant::now();
        loop {
            let all = tokio::select! {
                () = sleep_until(next) => true,
                () = self.wake.notified() => false,
            };
            if all {
                next = Instant::now() + self.config.every;
            }
            let due: Vec<_> = self
                .targets()
                .iter()
                .filter(|(_, target)| all || target.answer != Answer::Routes(target.expected))
                .map(|(key, target)| (key.clone(), target.url.clone()))
                .collect();
            let mut answers = stream::iter(due)
                .map(|(key, url)| async move {
                    let heard = self.ask(&url).await;
                    (key, url, heard)
                })
                .buffer_unordered(AT_ONCE);
            while let Some((key, url, heard)) = answers.next().await {
                metrics.probed(counted(&heard));
                if self.note(&key, &url, heard) && changed.unbounded_send(key).is_err() {
                    return;
                }
            }
            drop(answers);
            if !all {
                sleep(GAP).await;
            }
        }
    }

    /// Records an answer, and returns whether it is new.
    fn note(&self, key: &(String, String), url: &str, heard: Answer) -> bool {
        let mut targets = self.targets();
        let Some(target) = targets.get_mut(key).filter(|target| target.url == url) else {
            return false;
        };
        if matches!(heard, Answer::Routes(_)) {
            target.misses = 0;
        } else {
            target.misses = target.misses.saturating_add(1);
            // A single failure while a Pod terminates is not an outage.
            if matches!(target.answer, Answer::Routes(_)) && target.misses < MISSES {
                return false;
            }
        }
        let news = target.answer != heard;
        target.answer = heard;
        news
    }

    async fn ask(&self, url: &str) -> Answer {
        let answer = match self.http.get(url).send().await {
            Ok(answer) => answer,
            Err(error) if is_refused(&error) => {
                return Answer::Refused("the Service refuses connections".to_owned());
            }
            Err(error) if error.is_timeout() => {
                return Answer::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()));
            }
            Err(error) if error.is_connect() => return Answer::Unreachable(chain(&error.without_url())),
            Err(error) => {
                return Answer::Other(format!(
                    "the Service's backend did not return a valid HTTP response: {}",
                    chain(&error.without_url())
                ));
            }
        };
        let status = answer.status();
        let digest = answer
            .headers()
            .get(ROUTES_DIGEST)
            .and_then(|value| value.to_str().ok()?.parse::<Digest>().ok());
        match digest {
            Some(digest) if status.is_success() => Answer::Routes(digest),
            Some(_) => Answer::Other(format!(
                "the Service's backend answered {status}: it is not ready"
            )),
            None => Answer::Other(format!(
                "the Service's backend is not an inference server: {status} without the header {ROUTES_DIGEST}"
            )),
        }
    }

    fn url(&self, namespace: &str, model: &str, address: &str) -> String {
        match &self.config.through {
            Some(through) => format!("{through}/{namespace}/{model}/v2/models/{model}"),
            None if address.contains(':') => format!("http://[{address}]/v2/models/{model}"),
            None => format!("http://{address}/v2/models/{model}"),
        }
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<(String, String), Target>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted(answer: &Answer) -> ProbeAnswer {
    match answer {
        Answer::NotAsked => ProbeAnswer::NotAsked,
        Answer::Routes(_) => ProbeAnswer::Answered,
        Answer::Other(_) => ProbeAnswer::WrongAnswer,
        Answer::Refused(_) => ProbeAnswer::NoAnswer,
        Answer::Unreachable(_) => ProbeAnswer::NotReachable,
    }
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == ErrorKind::ConnectionRefused;
        }
        source = inner.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc::unbounded;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn prober(through: &str) -> Prober {
        Prober::new(ProberConfig {
            every: Duration::from_millis(20),
            through: Some(through.to_owned()),
        })
    }

    /// A server that gives this answer to everything.
    async fn serve(answer: String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn http(status: &str, headers: &str) -> String {
        format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n")
    }

    #[tokio::test]
    async fn an_answer_counts_by_the_digest_that_it_names_and_nothing_else_counts() {
        let header = format!("{ROUTES_DIGEST}: {}\r\n", digest(1));
        for (answer, expected) in [
            (http("200 OK", &header), "Answered"),
            (http("503 Service Unavailable", &header), "WrongAnswer"),
            (http("200 OK", ""), "WrongAnswer"),
            (
                http("200 OK", "modelward-routes-digest: sha256:12\r\n"),
                "WrongAnswer",
            ),
            // No redirect is followed.
            (
                http("302 Found", "location: http://127.0.0.1:1/\r\n"),
                "WrongAnswer",
            ),
            ("SSH-2.0-x\r\n".to_owned(), "WrongAnswer"),
        ] {
            let address = serve(answer.clone()).await;
            let heard = prober(&address).ask(&format!("{address}/x")).await;
            assert_eq!(counted(&heard).as_str(), expected, "{answer:?}: {heard:?}");
        }
        let address = serve(http("200 OK", &header)).await;
        assert_eq!(prober(&address).ask(&address).await, Answer::Routes(digest(1)));
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            format!("http://{}", listener.local_addr().unwrap())
        };
        let heard = prober(&closed).ask(&closed).await;
        assert_eq!(heard, Answer::Refused("the Service refuses connections".into()));
    }

    #[tokio::test]
    async fn a_server_that_never_answers_is_not_reachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = prober(&address).ask(&address).await;
        assert_eq!(heard, Answer::Unreachable("no answer within 2 s".into()));
    }

    #[tokio::test]
    async fn only_news_wakes_a_model_and_one_miss_is_none() {
        let address = serve(http("200 OK", &format!("{ROUTES_DIGEST}: {}\r\n", digest(1)))).await;
        let prober = std::sync::Arc::new(prober(&address));
        prober.expect("n", "heart", "10.0.0.1", digest(1));
        let (send, mut changed) = unbounded();
        let asking = prober.clone();
        let metrics = Metrics::new();
        let task = tokio::spawn(async move { asking.run(&metrics, send).await });
        assert_eq!(changed.next().await, Some(("n".into(), "heart".into())));
        assert_eq!(prober.answer("n", "heart"), Answer::Routes(digest(1)));
        sleep(Duration::from_millis(200)).await;
        assert!(changed.try_recv().is_err(), "the same answer is no news");
        task.abort();

        let key = ("n".to_owned(), "heart".to_owned());
        let url = prober.url("n", "heart", "10.0.0.1");
        let refused = || Answer::Refused("x".into());
        assert!(!prober.note(&key, &url, refused()), "one miss");
        assert!(prober.note(&key, &url, refused()), "and another");
        assert!(
            prober.note(&key, &url, Answer::Routes(digest(1))),
            "it is back at once"
        );
        assert!(
            !prober.note(&key, "http://other", refused()),
            "an answer of a former address"
        );
        prober.forget("n", "heart");
        assert_eq!(prober.answer("n", "heart"), Answer::NotAsked);
    }

    #[test]
    fn a_service_is_asked_at_its_own_address() {
        let prober = Prober::new(ProberConfig::default());
        assert_eq!(
            prober.url("n", "heart", "10.0.0.1"),
            "http://10.0.0.1/v2/models/heart"
        );
        assert_eq!(
            prober.url("n", "heart", "fd00::1"),
            "http://[fd00::1]/v2/models/heart"
        );
    }
}
