//! A client of the ledger: artifacts, results, progress, rounds of searches.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use modelward_ledger_client::{self as client, Client, Corruption, Retry, Settings, Timeouts, Tls, Token};
use modelward_model::{FilesError, VerifiedDir, files::MANIFEST};
use modelward_service::chain;
use modelward_wire::{Digest, JobResult, ManifestKind, Progress, SearchRound, shorten};
use reqwest::StatusCode;

/// How often and for how long a call is retried.
const PATIENCE: Retry = Retry::Within {
    patience: Duration::from_mins(2),
    // A token may be a moment too new or too old.
    refused: Duration::from_secs(20),
    first: Duration::from_millis(250),
    longest: Duration::from_secs(10),
};
/// The same for rounds of a search, which a training waits for.
const SHORT_PATIENCE: Retry = Retry::Within {
    patience: Duration::from_secs(20),
    refused: Duration::from_secs(20),
    first: Duration::from_millis(250),
    longest: Duration::from_secs(5),
};
/// Timeout of a progress report.
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// Characters of a refusal's message that are kept.
const MAX_REFUSAL: usize = 240;

/// Where the ledger is and who calls it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `http://modelward-ledger.modelward-system.svc:8090`.
    pub url: String,
    /// The namespace of this Job.
    pub namespace: String,
    /// The uid of this Job.
    pub job_uid: String,
    /// File of the projected token. It is read at each call, because the kubelet renews it.
    pub token_file: PathBuf,
}

/// The ledger as one Job sees it.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    namespace: String,
    job_uid: String,
}

/// Why the ledger could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// No client could be made.
    #[error("cannot make an http client")]
    Client(#[source] reqwest::Error),
    /// The token cannot be read.
    #[error("cannot read the token {}", path.display())]
    Token {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ledger refused the call.
    #[error("the ledger refused {what}: {status}, {message}")]
    Refused {
        /// The call.
        what: String,
        /// The status.
        status: StatusCode,
        /// Its message.
        message: String,
    },
    /// The ledger gave no usable answer before the retries ended.
    #[error("the ledger failed {what} for {} s: {reason}", waited.as_secs())]
    Unreachable {
        /// The call.
        what: String,
        /// For how long it was tried.
        waited: Duration,
        /// The last failure.
        reason: String,
    },
    /// What was fetched has another digest, or cannot be kept.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A fetched file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A message cannot be written as JSON.
    #[error("cannot write a message as JSON")]
    Json(#[from] serde_json::Error),
}

// === impl LedgerError ===

impl LedgerError {
    /// Whether the ledger has nothing under that digest.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// The error of a call that was tried for this long.
    fn of(error: client::Error, what: String, waited: Duration) -> Self {
        match error {
            client::Error::Setup(source) => Self::Client(source),
            client::Error::Token { path, source } => Self::Token { path, source },
            client::Error::Json(source) => Self::Json(source),
            client::Error::Refused { status, message, .. } => Self::Refused {
                what,
                status,
                message: shorten(&message, MAX_REFUSAL),
            },
            client::Error::Corrupt { what: file, problem } => Self::Files(damage(file, problem)),
            client::Error::Write { path, source } => Self::Write { path, source },
            client::Error::Read { path, source } => Self::Files(FilesError::Read {
                file: path.display().to_string(),
                source,
            }),
            client::Error::Unanswered { source, .. } => Self::Unreachable {
                what,
                waited,
                reason: chain(&source),
            },
            error => Self::Unreachable {
                what,
                waited,
                reason: chain(&error),
            },
        }
    }
}

// === impl Ledger ===

impl Ledger {
    /// A client of this ledger.
    pub fn new(config: Config) -> Result<Self, LedgerError> {
        let Config {
            url,
            namespace,
            job_uid,
            token_file,
        } = config;
        let tls = Tls::of(&url);
        let settings = Settings {
            url,
            program: concat!("modelward-trainer/", env!("CARGO_PKG_VERSION")),
            token: Token::File(token_file),
            timeouts: Timeouts {
                connect: Duration::from_secs(5),
                read: Duration::from_mins(1),
                call: None,
            },
            retry: PATIENCE,
            // Datasets may be outside of the cluster, behind a proxy; the ledger is inside.
            proxy: None,
            tls,
        };
        let client = Client::new(settings)
            .map_err(|error| LedgerError::of(error, "the first call".to_owned(), Duration::ZERO))?;
        Ok(Self {
            client,
            namespace,
            job_uid,
        })
    }

    /// Uploads every file of a directory, then its manifest. Files that the store already has are sent again, which repairs
    /// damaged copies in the store.
    pub async fn publish(&self, dir: &Path, kind: ManifestKind) -> Result<Digest, LedgerError> {
        let verified = VerifiedDir::open(dir, None, kind)?;
        for entry in &verified.manifest().files {
            let file = dir.join(&entry.path);
            let put = self.client.put_file(&self.namespace, &entry.sha256, &file);
            timed(&format!("uploading {}", entry.path), put).await?;
        }
        let digest = verified.digest();
        let body = read(dir, MANIFEST)?;
        let put = self.client.put_manifest(&self.namespace, &digest, body);
        timed("uploading the manifest", put).await?;
        Ok(digest)
    }

    /// Downloads a bundle or snapshot into `dir`, which must not exist, and verifies every byte.
    pub async fn fetch(&self, digest: &Digest, dir: &Path) -> Result<(), LedgerError> {
        fs::create_dir_all(dir).map_err(|source| LedgerError::Write {
            path: dir.to_owned(),
            source,
        })?;
        let started = Instant::now();
        let fetched = self.client.fetch_into(&self.namespace, digest, None, dir).await;
        fetched.map_err(|error| {
            let what = match &error {
                client::Error::Unanswered { call, .. } | client::Error::Refused { call, .. }
                    if call.what != MANIFEST =>
                {
                    format!("fetching {}", call.what)
                }
                _ => "fetching the manifest".to_owned(),
            };
            LedgerError::of(error, what, started.elapsed())
        })
    }

    /// The bytes of one blob, verified, up to `limit`.
    pub async fn fetch_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, LedgerError> {
        let blob = self.client.blob(&self.namespace, digest, limit);
        Ok(timed("fetching a blob", blob).await?.into())
    }

    /// Records the complete result of this Job.
    pub async fn put_result(&self, result: &JobResult) -> Result<(), LedgerError> {
        let put = self.client.put_job_result(&self.namespace, &self.job_uid, result);
        timed("recording the result", put).await
    }

    /// Records the progress of this Job. A failed call is not retried: the next report has newer progress.
    pub async fn put_progress(&self, progress: &Progress) -> Result<(), LedgerError> {
        let once = self.client.retrying(Retry::Never).within(PROGRESS_TIME);
        let put = once.put_progress(&self.namespace, &self.job_uid, progress);
        timed("recording progress", put).await
    }

    /// A round of a search that an earlier Job of the same version kept.
    pub async fn search_round(
        &self,
        search: &Digest,
        round: u32,
    ) -> Result<Option<SearchRound>, LedgerError> {
        let client = self.client.retrying(SHORT_PATIENCE);
        let asked = client.search_round(&self.namespace, &self.job_uid, search, round);
        match timed("fetching a round of the search", asked).await {
            Err(error) if error.is_not_found() => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Keeps a round of a search for a later Job of the same version.
    pub async fn put_search_round(
        &self,
        search: &Digest,
        round: u32,
        kept: &SearchRound,
    ) -> Result<(), LedgerError> {
        let client = self.client.retrying(SHORT_PATIENCE);
        let put = client.put_search_round(&self.namespace, &self.job_uid, search, round, kept);
        timed("keeping a round of the search", put).await
    }

    /// Deletes the rounds of all searches of this Job's version.
    pub async fn forget_searches(&self) -> Result<(), LedgerError> {
        let client = self.client.retrying(SHORT_PATIENCE);
        let deleted = client.forget_searches(&self.namespace, &self.job_uid);
        timed("deleting the rounds of the search", deleted).await
    }
}

/// Makes a call, and names it in its error.
async fn timed<T>(
    what: &str,
    call: impl Future<Output = Result<T, client::Error>>,
) -> Result<T, LedgerError> {
    let started = Instant::now();
    let answer = call.await;
    answer.map_err(|error| LedgerError::of(error, what.to_owned(), started.elapsed()))
}

fn read(dir: &Path, name: &str) -> Result<Bytes, LedgerError> {
    fs::read(dir.join(name)).map(Bytes::from).map_err(|source| {
        FilesError::Read {
            file: name.to_owned(),
            source,
        }
        .into()
    })
}

/// What is wrong with a file that the ledger sent.
fn damage(file: String, problem: Corruption) -> FilesError {
    match problem {
        Corruption::TooLarge { found, limit } => FilesError::TooLarge { file, found, limit },
        Corruption::Longer { found, expected } | Corruption::Shorter { found, expected } => {
            FilesError::Size {
                file,
                found,
                expected,
            }
        }
        Corruption::Digest { found, expected } => FilesError::Digest {
            file,
            found,
            expected,
        },
        Corruption::Parse(source) => FilesError::Parse(source),
        Corruption::Invalid(source) => FilesError::Manifest(source),
        Corruption::Kind { found, expected } => FilesError::Kind { found, expected },
        problem => FilesError::Read {
            file,
            source: io::Error::other(problem),
        },
    }
}
