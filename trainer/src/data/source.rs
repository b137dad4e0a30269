//! Reading the bytes of a dataset from a file or an address.

use std::{
    error::Error as _,
    fs::File,
    io,
    io::Read as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{
    Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use crate::data::reach::{OutOfReach, Reach};

/// No source is larger: the rows are held in memory.
pub const MAX_BYTES: u64 = 512 << 20;

/// How often an address is asked. A failure that may pass ends the Pod, which says so in the condition; the Job makes others.
/// One that took its whole time is not repeated before that.
const ATTEMPTS: u32 = 3;

const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(20);
const TOTAL_TIMEOUT: Duration = Duration::from_mins(10);
/// A source that has sent fewer bytes a second than this since [`SLOW_AFTER`] is given up.
const SLOWEST: u64 = 1024;
const SLOW_AFTER: Duration = Duration::from_secs(20);

/// Why a source gave no bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing under that name, or it is not given to us.
    #[error("{name}: {reason}")]
    NotFound {
        /// What was asked for.
        name: String,
        /// What the answer was.
        reason: String,
    },
    /// A `ConfigMap` that is absent, or has no such key.
    #[error(
        "ConfigMap {config_map} has no key {key}, or does not exist: kubectl describe configmap {config_map} lists its keys"
    )]
    NoKey {
        /// Its name.
        config_map: String,
        /// The key.
        key: String,
    },
    /// More bytes than are read.
    #[error("{name} is larger than {MAX_BYTES} bytes")]
    TooLarge {
        /// What was asked for.
        name: String,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// Its path.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The address is none, or redirects in a way that is not followed.
    #[error("{name}: {reason}")]
    Address {
        /// The address.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server did not answer usefully, several times.
    #[error("{name} was not read: {reason}")]
    Unreachable {
        /// The address.
        name: String,
        /// The last failure.
        reason: String,
    },
    /// No client could be made.
    #[error("cannot make an http client")]
    Client(#[source] reqwest::Error),
}

/// How one attempt ended.
enum Attempt {
    Again(String),
    Late(String),
    Final(SourceError),
}

/// Reads a file.
pub fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    let name = path.display().to_string();
    let error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::NotFound {
            name: name.clone(),
            reason: "there is no such file".to_owned(),
        },
        _ => SourceError::Read {
            name: name.clone(),
            source,
        },
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(error)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SourceError::TooLarge { name });
    }
    Ok(bytes)
}

/// Resolves names to the addresses that may be reached, so that no name and no redirect leads to another one.
struct Resolver(Arc<Reach>);

/// Downloads from an http or https address within `reach`. At most five redirects are followed, none from https to http.
pub async fn download(uri: &str, reach: &Reach) -> Result<Vec<u8>, SourceError> {
    download_with_pause(uri, reach, Duration::from_secs(1)).await
}

async fn download_with_pause(uri: &str, reach: &Reach, pause: Duration) -> Result<Vec<u8>, SourceError> {
    let address = |reason: String| SourceError::Address {
        name: shown(uri),
        reason,
    };
    let unreachable = |reason: String| SourceError::Unreachable {
        name: shown(uri),
        reason,
    };
    let url = Url::parse(uri).map_err(|error| address(error.to_string()))?;
    reach.check_url(&url).map_err(address)?;
    let client = client(url.scheme() == "http", reach)?;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tracing::warn!(
                source = shown(uri),
                attempt,
                reason = last,
                "the source failed, trying again"
            );
            tokio::time::sleep(pause * 2_u32.pow(attempt - 1)).await;
        }
        match try_once(&client, &url, uri).await {
            Ok(bytes) => return Ok(bytes),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Late(reason)) => return Err(unreachable(reason)),
            Err(Attempt::Again(reason)) => last = reason,
        }
    }
    Err(unreachable(format!("{last}, {ATTEMPTS} times")))
}

async fn try_once(client: &Client, url: &Url, uri: &str) -> Result<Vec<u8>, Attempt> {
    let again = |error: reqwest::Error| {
        let reason = root_cause(&error);
        if error.is_timeout() && !error.is_connect() {
            Attempt::Late(reason)
        } else {
            Attempt::Again(reason)
        }
    };
    let begun = Instant::now();
    let mut response = match client.get(url.clone()).send().await {
        Ok(response) => response,
        Err(error) if error.is_redirect() || error.is_builder() => {
            let reason = root_cause(&error);
            return Err(Attempt::Final(SourceError::Address {
                name: shown(uri),
                reason,
            }));
        }
        // The same name would be resolved to the same address again.
        Err(error) => {
            return Err(match out_of_reach(&error) {
                Some(OutOfReach { host, reason }) => Attempt::Final(SourceError::Address {
                    name: shown(uri),
                    reason: if url.host_str() == Some(host) {
                        reason.clone()
                    } else {
                        format!("a redirect leads there: {reason}")
                    },
                }),
                None => again(error),
            });
        }
    };
    let status = response.status();
    match status {
        status if status.is_success() => {}
        // An object store answers 403 for what is not there.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let reason = format!("the server answered {status}");
            return Err(Attempt::Final(SourceError::NotFound {
                name: shown(uri),
                reason,
            }));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(Attempt::Again(format!("the server answered {status}")));
        }
        status if status.is_server_error() => {
            return Err(Attempt::Again(format!("the server answered {status}")));
        }
        status => {
            let reason = format!("the server answered {status}");
            return Err(Attempt::Final(SourceError::Address {
                name: shown(uri),
                reason,
            }));
        }
    }
    let too_large = || Attempt::Final(SourceError::TooLarge { name: shown(uri) });
    let stated = response.content_length();
    if stated.is_some_and(|length| length > MAX_BYTES) {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(again)? {
        if (bytes.len() + chunk.len()) as u64 > MAX_BYTES {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
        if is_too_slow(bytes.len() as u64, begun.elapsed()) {
            return Err(Attempt::Late(format!(
                "it sent {} bytes in {} s, and at least {SLOWEST} bytes a second are needed",
                bytes.len(),
                begun.elapsed().as_secs()
            )));
        }
    }
    Ok(bytes)
}

fn is_too_slow(received: u64, since: Duration) -> bool {
    since >= SLOW_AFTER && received < SLOWEST * since.as_secs()
}

fn client(plain: bool, reach: &Reach) -> Result<Client, SourceError> {
    let reach = Arc::new(reach.clone());
    let builder = || {
        let of_redirect = Arc::clone(&reach);
        Client::builder()
            .dns_resolver(Resolver(Arc::clone(&reach)))
            .user_agent(concat!("modelward-trainer/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .redirect(redirect::Policy::custom(move |attempt| {
                let secure = attempt
                    .previous()
                    .first()
                    .is_some_and(|url| url.scheme() == "https");
                if attempt.previous().len() > MAX_REDIRECTS {
                    attempt.error(format!("more than {MAX_REDIRECTS} redirects"))
                } else if secure && attempt.url().scheme() != "https" {
                    attempt.error("a redirect leads from https to http")
                } else if let Err(reason) = of_redirect.check_url(attempt.url()) {
                    attempt.error(format!("a redirect leads there: {reason}"))
                } else {
                    attempt.follow()
                }
            }))
    };
    match builder().build() {
        // An image without root certificates can still read http.
        Err(_) if plain => builder().tls_certs_only([]).build(),
        built => built,
    }
    .map_err(SourceError::Client)
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = Arc::clone(&self.0);
        Box::pin(async move {
            // The port is the connection's own; 0 stands for it.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = reach.only_allowed(name.as_str(), found)?;
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

fn out_of_reach(error: &reqwest::Error) -> Option<&OutOfReach> {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// An address as it is shown: without what may be a secret.
pub fn shown(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else {
        return uri.chars().take(240).collect();
    };
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let outer = error.source().is_some().then(|| {
        if error.is_connect() {
            "cannot connect: "
        } else if error.is_timeout() {
            "timed out: "
        } else {
            ""
        }
    });
    format!("{}{cause}", outer.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use axum::{Router, http::header, routing::get};

    use super::*;

    async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    async fn fetch(uri: &str) -> Result<Vec<u8>, SourceError> {
        download_with_pause(uri, &Reach::anywhere(), Duration::from_millis(1)).await
    }

    /// Downloads as a Job does whose settings refuse 192.0.2.0/24.
    async fn fetch_in_job(uri: &str, allowed: &str) -> Result<Vec<u8>, SourceError> {
        let denied = "192.0.2.0/24".parse().unwrap();
        let ledger = Some("http://ledger.modelward-system:8090");
        let reach = Reach::of_job(allowed.parse().unwrap(), denied, ledger);
        download_with_pause(uri, &reach, Duration::from_millis(1)).await
    }

    #[test]
    fn a_source_that_trickles_is_given_up_and_one_that_pauses_is_not() {
        let seconds = Duration::from_secs;
        assert!(!is_too_slow(1, seconds(19)), "it may still begin");
        assert!(is_too_slow(20, seconds(20)));
        assert!(!is_too_slow(30 * SLOWEST, seconds(30)));
        assert!(is_too_slow(60 * SLOWEST - 1, seconds(60)));
    }

    #[tokio::test]
    async fn a_job_reads_nothing_from_its_own_node_neither_by_address_nor_by_name() {
        let router = Router::new().route("/x", get(|| async { "a\n" }));
        let base = serve(router).await;
        let named = base.replace("127.0.0.1", "localhost");
        for uri in [
            format!("{base}/x"),
            format!("{named}/x"),
            base.replace("127.0.0.1", "[::ffff:127.0.0.1]") + "/x",
            base.replace("127.0.0.1", "2130706433") + "/x",
            "http://169.254.169.254/latest/meta-data/".to_owned(),
            "http://[fe80::1]/x".to_owned(),
            "http://192.0.2.7/x".to_owned(),
            "http://ledger.modelward-system:8090/v1/results".to_owned(),
        ] {
            let error = fetch_in_job(&uri, "").await.unwrap_err();
            assert!(matches!(error, SourceError::Address { .. }), "{uri}: {error:?}");
            assert!(
                error.to_string().contains("datasets are not read from"),
                "{error}"
            );
        }
        assert_eq!(
            fetch_in_job(&format!("{named}/x"), "127.0.0.0/8,::1")
                .await
                .unwrap(),
            b"a\n"
        );
    }

    #[tokio::test]
    async fn a_redirect_does_not_lead_a_job_to_where_it_may_not_read() {
        for (refused, location) in [
            ("169.254.169.254", "http://169.254.169.254/latest/meta-data/"),
            ("192.0.2.7", "http://192.0.2.7/x"),
        ] {
            let redirect = move || async move { (StatusCode::FOUND, [(header::LOCATION, location)]) };
            let base = serve(Router::new().route("/x", get(redirect))).await;
            // The first address is allowed, the one that it leads to is not.
            let error = fetch_in_job(&format!("{base}/x"), "127.0.0.1/32")
                .await
                .unwrap_err();
            assert!(matches!(error, SourceError::Address { .. }), "{error:?}");
            let expected = format!("a redirect leads there: datasets are not read from {refused}");
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }

    #[tokio::test]
    async fn a_redirect_to_a_name_is_called_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let redirect = || async { (StatusCode::FOUND, [(header::LOCATION, "http://localhost/x")]) };
        let router = Router::new().route("/x", get(redirect));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let error = fetch_in_job(&format!("{base}/x"), "127.0.0.2/32")
            .await
            .unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("a redirect leads there: datasets are not read from"),
            "{words}"
        );
    }

    #[tokio::test]
    async fn a_file_behind_a_redirect_is_read() {
        let router = Router::new()
            .route(
                "/old.csv",
                get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/new.csv")]) }),
            )
            .route("/new.csv", get(|| async { "a,b\n1,2\n" }));
        let base = serve(router).await;
        assert_eq!(fetch(&format!("{base}/old.csv")).await.unwrap(), b"a,b\n1,2\n");
    }

    #[tokio::test]
    async fn an_endless_redirect_is_an_error_of_the_address() {
        let router = Router::new().route(
            "/a",
            get(|| async { (StatusCode::FOUND, [(header::LOCATION, "/a")]) }),
        );
        let error = fetch(&format!("{}/a", serve(router).await)).await.unwrap_err();
        assert!(matches!(&error, SourceError::Address { .. }), "{error:?}");
        assert!(error.to_string().contains("redirects"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found_at_once() {
        let base = serve(Router::new()).await;
        assert!(matches!(
            fetch(&format!("{base}/x")).await,
            Err(SourceError::NotFound { .. })
        ));
        assert!(matches!(
            read_file(Path::new("/nonexistent/x")),
            Err(SourceError::NotFound { .. })
        ));
    }

    #[tokio::test]
    async fn a_server_that_fails_twice_is_asked_again() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let handler = move || {
            let call = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if call < 2 {
                    (StatusCode::SERVICE_UNAVAILABLE, "")
                } else {
                    (StatusCode::OK, "a\n")
                }
            }
        };
        let base = serve(Router::new().route("/x", get(handler))).await;
        assert_eq!(fetch(&format!("{base}/x")).await.unwrap(), b"a\n");
        assert_eq!(calls.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_asked_once_a_pod() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        let router = Router::new().route(
            "/x",
            get(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<String>()
            }),
        );
        let uri = format!("{}/x", serve(router).await);
        let error = fetch(&uri).await.unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains("timed out"), "{error}");
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_address_without_a_server_is_unreachable_and_no_panic() {
        let error = fetch("http://127.0.0.1:1/x").await.unwrap_err();
        assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
        assert!(matches!(fetch("http://").await, Err(SourceError::Address { .. })));
    }

    #[test]
    fn secrets_in_an_address_are_not_shown() {
        assert_eq!(
            shown("https://me:pw@example.org/d.csv?sig=secret#x"),
            "https://example.org/d.csv"
        );
    }
}
