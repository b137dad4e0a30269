//! Reading the bytes of a dataset from a file or an address.

use std::{
    error::Error as _,
    fs::{File, Metadata},
    io,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use modelward_wire::{Digest, LARGEST_DATASET_MIB};
use reqwest::{
    Client, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE},
    redirect,
};
use rustix::{
    fs::{self, Mode, OFlags},
    io::Errno,
};

use crate::data::{
    cache,
    content::Content,
    reach::{OutOfReach, Reach},
};

/// Files of a dataset.
pub const MAX_FILES: usize = 16;
/// Maximum size of a dataset if nothing else is set: the rows are held in memory.
pub const MAX_BYTES: u64 = MAX_MIB << 20;
/// The same in MiB.
pub const MAX_MIB: u64 = 512;
/// The most that may be set, in MiB.
pub const LARGEST_MIB: u64 = LARGEST_DATASET_MIB as u64;

/// How a user raises the limit.
pub(crate) const LIMIT_REMEDY: &str =
    "the Helm value trainer.maxDatasetMiB, or --max-dataset-mib, raises the limit";

/// How often an address is requested. Then a failure that may be temporary ends the Pod, with a message for the condition; the Job creates
/// other Pods. A request that timed out is not repeated before that.
const ATTEMPTS: u32 = 3;

/// How often an address is requested if each request receives more of the file before the connection breaks.
const RESUMES: u32 = 20;

/// Why a mounted pipe, for example, is not read.
const NO_FILE: &str =
    "it is a folder, a pipe, a socket or a device, and only files are read; put a file there";

/// Why a mounted link is not read.
const OUTSIDE: &str = "it is a link that leads out of the volume, and only files of the volume are read; put a copy of the file there";

const MAX_REDIRECTS: usize = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Long enough for a dataset of the largest size at 1.2 MiB per second.
pub(super) const TOTAL_TIMEOUT: Duration = Duration::from_hours(1);
/// A source that has sent fewer bytes per second than this since [`SLOW_AFTER`] is given up.
const SLOWEST: u64 = 1024;
const SLOW_AFTER: Duration = Duration::from_secs(20);

/// Why a source gave no bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is nothing under that name, or we may not read it.
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
    /// What is mounted there is no file of the volume.
    #[error("{name}: {reason}")]
    NotAFile {
        /// What was asked for.
        name: String,
        /// What is there.
        reason: String,
    },
    /// More bytes than are read.
    #[error("{name} is larger than {limit} bytes; {LIMIT_REMEDY}")]
    TooLarge {
        /// What was asked for.
        name: String,
        /// Bytes that it may have.
        limit: u64,
    },
    /// The file exists and cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// Its path.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The address is not valid, or redirects in a way that is not followed.
    #[error("{name}: {reason}")]
    Address {
        /// The address.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server refuses the request as it is.
    #[error("{name}: the server answered {status}")]
    Status {
        /// The address.
        name: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server gave no usable answer, several times.
    #[error("{name} was not read: {reason}")]
    Unreachable {
        /// The address.
        name: String,
        /// The last failure.
        reason: String,
    },
    /// More files than a dataset may have.
    #[error("{name} has {files} files, at most {} are read; join some of them", MAX_FILES)]
    TooManyFiles {
        /// The dataset.
        name: String,
        /// How many there are.
        files: usize,
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

/// How files are fetched.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// Which addresses may be read.
    pub reach: Reach,
    /// Where files are kept by their digest.
    pub cache: Option<PathBuf>,
    /// How long it waits before it asks again, the first time.
    pub pause: Duration,
    /// The credentials for the first host. A redirect to another host does not carry them.
    pub authorization: Option<Authorization>,
    /// Maximum size in bytes of a dataset, and of all datasets of a training.
    pub max_bytes: u64,
}

/// The credentials of a request.
#[derive(Clone)]
pub enum Authorization {
    /// By a token.
    Bearer(String),
    /// By name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
}

/// What has been received of a file.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    /// What the server calls exactly this content, if it may be asked for the rest of it.
    validator: Option<HeaderValue>,
}

/// Reads a file of at most [`MAX_BYTES`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, SourceError> {
    read_file_within(path, MAX_BYTES)
}

/// Reads a file of at most `limit` bytes.
pub fn read_file_within(path: &Path, limit: u64) -> Result<Vec<u8>, SourceError> {
    let (file, found) = open_file(path)?;
    read_whole(path, file, &found, limit)
}

/// Opens a file of at most `limit` bytes. What is not a regular file, such as a pipe, is read at once.
pub fn open_file_within(path: &Path, limit: u64) -> Result<Content, SourceError> {
    let (file, found) = open_file(path)?;
    if !found.is_file() {
        return read_whole(path, file, &found, limit).map(Content::from);
    }
    if found.len() > limit {
        let name = path.display().to_string();
        return Err(SourceError::TooLarge { name, limit });
    }
    Ok(Content::File(Arc::new(file), found.len()))
}

/// Opens a file of at most `limit` bytes in the folder of a mounted volume. Others may have made what is in the volume: a pipe is not
/// waited for, and a link that leads out of the volume is not followed.
pub fn open_mounted_within(path: &Path, volume: &Path, limit: u64) -> Result<Content, SourceError> {
    let name = || path.display().to_string();
    let refuse = |reason: &str| SourceError::NotAFile {
        name: name(),
        reason: reason.to_owned(),
    };
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A socket is not opened.
        Err(Errno::NXIO) => return Err(refuse(NO_FILE)),
        Err(error) => return Err(unopened(path, error.into())),
    };
    if !is_within(path, volume).map_err(|source| unread(path, source))? {
        return Err(refuse(OUTSIDE));
    }
    let found = file.metadata().map_err(|source| unread(path, source))?;
    if !found.is_file() {
        return Err(refuse(NO_FILE));
    }
    if found.len() > limit {
        return Err(SourceError::TooLarge { name: name(), limit });
    }
    Ok(Content::File(Arc::new(file), found.len()))
}

/// Whether a path is in a folder, wherever links lead.
pub(super) fn is_within(path: &Path, folder: &Path) -> io::Result<bool> {
    Ok(path.canonicalize()?.starts_with(folder.canonicalize()?))
}

fn open_file(path: &Path) -> Result<(File, Metadata), SourceError> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|found| (file, found)));
    opened.map_err(|source| unopened(path, source))
}

fn unopened(path: &Path, source: io::Error) -> SourceError {
    match source.kind() {
        io::ErrorKind::NotFound => SourceError::NotFound {
            name: path.display().to_string(),
            reason: "there is no such file".to_owned(),
        },
        _ => unread(path, source),
    }
}

fn unread(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read {
        name: path.display().to_string(),
        source,
    }
}

fn read_whole(path: &Path, file: File, found: &Metadata, limit: u64) -> Result<Vec<u8>, SourceError> {
    let found = found.len();
    let mut bytes = Vec::new();
    if found <= limit {
        // Allocated at once: a buffer that grows ends up half empty.
        bytes.reserve_exact(usize::try_from(found).unwrap_or(0) + 1);
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| unread(path, source))?;
    }
    // The length of a pipe is not known before.
    if found > limit || bytes.len() as u64 > limit {
        let name = path.display().to_string();
        return Err(SourceError::TooLarge { name, limit });
    }
    Ok(bytes)
}

/// Resolves names to the addresses that may be reached, so that no name and no redirect leads to another one.
struct Resolver(Arc<Reach>);

/// Downloads from an http or https address within reach. At most five redirects are followed, none from https to http. After a broken
/// connection the rest is requested, if the server names its content (`ETag`, `Last-Modified`) and sends parts of it.
///
/// A file whose digest is `expected` is taken from the cache and kept there. A file with another digest is returned as it is.
pub async fn download(uri: &str, expected: Option<Digest>, fetch: &Fetch) -> Result<Vec<u8>, SourceError> {
    through_cache(uri, expected, fetch, download_whole(uri, fetch)).await
}

/// The file of this digest in the cache, or what `reading` gives, which is kept if it has the digest.
pub(super) async fn through_cache(
    uri: &str,
    expected: Option<Digest>,
    fetch: &Fetch,
    reading: impl Future<Output = Result<Vec<u8>, SourceError>>,
) -> Result<Vec<u8>, SourceError> {
    let cached = fetch.cache.as_deref().zip(expected);
    if let Some((folder, digest)) = cached
        && let Some(bytes) = cache::read(folder, &digest)
    {
        tracing::info!(source = shown(uri), %digest, "read from the cache");
        return Ok(bytes);
    }
    let bytes = reading.await?;
    if let Some((folder, digest)) = cached {
        cache::keep(folder, &digest, &bytes);
    }
    Ok(bytes)
}

async fn download_whole(uri: &str, fetch: &Fetch) -> Result<Vec<u8>, SourceError> {
    let address = |reason: String| SourceError::Address {
        name: shown(uri),
        reason,
    };
    let unreachable = |reason: String| SourceError::Unreachable {
        name: shown(uri),
        reason,
    };
    let url = Url::parse(uri).map_err(|error| address(error.to_string()))?;
    fetch.reach.check_url(&url).map_err(address)?;
    let client = client(url.scheme() == "http", &fetch.reach)?;
    let begun = Instant::now();
    let mut partial = Partial::default();
    // Consecutive attempts that received nothing.
    let mut failures = 0;
    for _ in 0..RESUMES {
        let before = partial.bytes.len();
        let reason = match try_once(&client, &url, uri, fetch, &mut partial).await {
            Ok(()) => return Ok(partial.bytes),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Late(reason)) => return Err(unreachable(reason)),
            Err(Attempt::Again(reason)) => reason,
        };
        let resumes = partial.validator.is_some() && partial.bytes.len() > before;
        failures = if resumes { 1 } else { failures + 1 };
        if failures >= ATTEMPTS {
            return Err(unreachable(format!("{reason}, {ATTEMPTS} times")));
        }
        if begun.elapsed() >= TOTAL_TIMEOUT {
            return Err(unreachable(reason));
        }
        tracing::warn!(
            source = shown(uri),
            received = partial.bytes.len(),
            reason,
            "the source failed, trying again"
        );
        tokio::time::sleep(fetch.pause * 2_u32.pow(failures - 1)).await;
    }
    Err(unreachable(format!("the connection broke {RESUMES} times")))
}

/// Makes one request, for the bytes that are still missing.
async fn try_once(
    client: &Client,
    url: &Url,
    uri: &str,
    fetch: &Fetch,
    partial: &mut Partial,
) -> Result<(), Attempt> {
    let limit = fetch.max_bytes;
    let begun = Instant::now();
    let mut request = client.get(url.clone());
    request = match &fetch.authorization {
        None => request,
        Some(Authorization::Bearer(token)) => request.bearer_auth(token),
        Some(Authorization::Basic { username, password }) => request.basic_auth(username, Some(password)),
    };
    if let Some(validator) = &partial.validator {
        request = request
            .header(RANGE, format!("bytes={}-", partial.bytes.len()))
            .header(IF_RANGE, validator);
    } else {
        partial.bytes.clear();
    }
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Err(failed_request(&error, url, uri)),
    };
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && partial.validator.is_some() {
        return check_complete(response.headers(), partial);
    }
    check_status(&response, uri)?;
    let is_rest = response.status() == StatusCode::PARTIAL_CONTENT;
    let part = part_of(response.headers()).filter(|part| part.first == partial.bytes.len() as u64);
    if is_rest && part.is_none() {
        *partial = Partial::default();
        return Err(Attempt::Again(
            "the server gave another part than the one asked for".to_owned(),
        ));
    }
    // A server may give less than was asked for.
    let whole = part.filter(|_| is_rest).map(|part| part.of);
    if !is_rest {
        // Either the first answer, or the file has changed.
        partial.bytes.clear();
        partial.validator = validator(response.headers());
    }
    let too_large = || {
        Attempt::Final(SourceError::TooLarge {
            name: shown(uri),
            limit,
        })
    };
    let stated = response.content_length().unwrap_or_default();
    if stated.saturating_add(partial.bytes.len() as u64) > limit {
        return Err(too_large());
    }
    // Allocated at once: a buffer that grows ends up half empty. What does not arrive takes no memory.
    partial.bytes.reserve_exact(usize::try_from(stated).unwrap_or(0));
    let mut received = 0;
    loop {
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) if whole.is_some_and(|whole| (partial.bytes.len() as u64) < whole) => {
                return Err(Attempt::Again("the server gave a part of the rest".to_owned()));
            }
            Ok(None) => return Ok(()),
            // What came before may be continued.
            Err(error) if received > 0 && partial.validator.is_some() => {
                return Err(Attempt::Again(root_cause(&error)));
            }
            Err(error) => return Err(again(&error)),
        };
        if (partial.bytes.len() + chunk.len()) as u64 > limit {
            return Err(too_large());
        }
        received += chunk.len() as u64;
        partial.bytes.extend_from_slice(&chunk);
        if is_too_slow(received, begun.elapsed()) {
            return Err(Attempt::Late(format!(
                "it sent {received} bytes in {} s, and at least {SLOWEST} bytes a second are needed",
                begun.elapsed().as_secs()
            )));
        }
    }
}

/// A connection may break after the last byte; then the server has no rest. Otherwise the download begins anew.
fn check_complete(headers: &HeaderMap, partial: &mut Partial) -> Result<(), Attempt> {
    let is_same = validator(headers).is_none_or(|found| Some(found) == partial.validator);
    if is_same && refused_length(headers) == Some(partial.bytes.len() as u64) {
        return Ok(());
    }
    *partial = Partial::default();
    Err(Attempt::Again(
        "the server does not have the part that was asked for".to_owned(),
    ))
}

fn again(error: &reqwest::Error) -> Attempt {
    let reason = root_cause(error);
    if error.is_timeout() && !error.is_connect() {
        Attempt::Late(reason)
    } else {
        Attempt::Again(reason)
    }
}

/// Why there was no answer.
fn failed_request(error: &reqwest::Error, url: &Url, uri: &str) -> Attempt {
    let address = |reason: String| {
        Attempt::Final(SourceError::Address {
            name: shown(uri),
            reason,
        })
    };
    if error.is_redirect() || error.is_builder() {
        return address(root_cause(error));
    }
    match out_of_reach(error) {
        // The same name would be resolved to the same address again.
        Some(OutOfReach { host, reason }) if url.host_str() == Some(host) => address(reason.clone()),
        Some(OutOfReach { reason, .. }) => address(format!("a redirect leads there: {reason}")),
        None => again(error),
    }
}

fn check_status(response: &Response, uri: &str) -> Result<(), Attempt> {
    let status = response.status();
    let reason = format!("the server answered {status}");
    let name = shown(uri);
    match status {
        status if status.is_success() => Ok(()),
        // An object store answers 403 for an object that does not exist.
        StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Attempt::Final(SourceError::NotFound { name, reason }))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Attempt::Again(reason)),
        status if status.is_server_error() => Err(Attempt::Again(reason)),
        _ => Err(Attempt::Final(SourceError::Status { name, status })),
    }
}

/// What identifies the content exactly: a strong tag, otherwise the time of its last change.
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    match headers.get(ETAG) {
        Some(tag) => Some(tag).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned(),
        None => headers.get(LAST_MODIFIED).cloned(),
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// Its first byte.
    first: u64,
    /// Bytes of the whole file.
    of: u64,
}

/// The part of a file that an answer has: `Content-Range: bytes FIRST-LAST/WHOLE`. None without the length of the whole.
fn part_of(headers: &HeaderMap) -> Option<Part> {
    let (part, whole) = split_range(headers)?;
    let (first, _) = part.split_once('-')?;
    Some(Part {
        first: first.parse().ok()?,
        of: whole.parse().ok()?,
    })
}

/// Bytes of the whole file, as an answer without the part states them: `Content-Range: bytes */WHOLE`.
fn refused_length(headers: &HeaderMap) -> Option<u64> {
    let (part, whole) = split_range(headers)?;
    whole.parse().ok().filter(|_| part == "*")
}

/// What `Content-Range` has before and behind the slash (RFC 9110, 14.4).
fn split_range(headers: &HeaderMap) -> Option<(&str, &str)> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('/')
}

fn is_too_slow(received: u64, since: Duration) -> bool {
    since >= SLOW_AFTER && received < SLOWEST * since.as_secs()
}

pub(super) fn client(plain: bool, reach: &Reach) -> Result<Client, SourceError> {
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

// === impl Authorization ===

impl std::fmt::Debug for Authorization {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer",
            Self::Basic { .. } => "Basic",
        })
    }
}

// === impl Fetch ===

impl Fetch {
    /// From every address: for a command outside of a cluster.
    pub fn anywhere() -> Self {
        Self::within(Reach::anywhere())
    }

    /// From what is within reach.
    pub fn within(reach: Reach) -> Self {
        Self {
            reach,
            cache: None,
            pause: Duration::from_secs(1),
            authorization: None,
            max_bytes: MAX_BYTES,
        }
    }
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

pub(super) fn out_of_reach(error: &reqwest::Error) -> Option<&OutOfReach> {
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

pub(super) fn root_cause(error: &reqwest::Error) -> String {
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
mod resume;

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

    fn quick(reach: Reach) -> Fetch {
        Fetch {
            pause: Duration::from_millis(1),
            ..Fetch::within(reach)
        }
    }

    async fn fetch(uri: &str) -> Result<Vec<u8>, SourceError> {
        download(uri, None, &quick(Reach::anywhere())).await
    }

    /// Downloads as a Job does whose settings refuse 192.0.2.0/24.
    async fn fetch_in_job(uri: &str, allowed: &str) -> Result<Vec<u8>, SourceError> {
        let denied = "192.0.2.0/24".parse().unwrap();
        let ledger = Some("http://ledger.modelward-system:8090");
        let reach = Reach::of_job(allowed.parse().unwrap(), denied, ledger);
        download(uri, None, &quick(reach)).await
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

    #[test]
    fn a_mounted_file_is_read_and_neither_a_pipe_nor_a_link_out_of_the_volume() {
        use std::{os::unix::fs::symlink, process::Command};

        let temp = tempfile::tempdir().unwrap();
        let volume = temp.path().join("volume");
        let open = |name: &str| open_mounted_within(&volume.join(name), &volume, 8);
        let reason = |name: &str| match open(name) {
            Err(SourceError::NotAFile { reason, .. }) => reason,
            other => panic!("{name}: {other:?}"),
        };
        std::fs::create_dir_all(volume.join("..data")).unwrap();
        std::fs::write(volume.join("..data/visits.csv"), "a,b\n1,2\n").unwrap();
        std::fs::write(temp.path().join("token"), "secret").unwrap();
        // As the keys of a ConfigMap are mounted.
        symlink("..data/visits.csv", volume.join("visits.csv")).unwrap();
        assert_eq!(open("visits.csv").unwrap().len(), 8);

        symlink("../token", volume.join("near")).unwrap();
        symlink(temp.path().join("token"), volume.join("far")).unwrap();
        symlink(temp.path(), volume.join("folder")).unwrap();
        for link in ["near", "far", "folder/token"] {
            assert!(reason(link).contains("leads out of the volume"), "{link}");
        }
        let made = Command::new("mkfifo").arg(volume.join("pipe")).status();
        assert!(made.unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(volume.join("socket")).unwrap();
        for special in ["pipe", "socket", "..data"] {
            assert!(reason(special).contains("only files are read"), "{special}");
        }

        assert!(matches!(open("none"), Err(SourceError::NotFound { .. })));
        std::fs::write(volume.join("large"), "123456789").unwrap();
        assert!(matches!(open("large"), Err(SourceError::TooLarge { .. })));
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
