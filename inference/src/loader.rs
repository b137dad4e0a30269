//! Loads the bundle of a digest: from the cache or the ledger, verified and warmed up.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use modelward_model::{Bundle, BundleError, bundle::file, sha256};
use modelward_profile::Reference;
use modelward_service::chain;
use modelward_wire::Digest;

use crate::{
    ledger::{Failure, FetchError, Ledger},
    metrics::{Metrics, ReasonLabel},
};

/// Prefix of directories with incomplete bundles. Those that a killed process left behind are removed at the start.
const PARTIAL: &str = ".partial-";

/// Fetches and caches bundles.
#[derive(Clone, Debug)]
pub struct Loader {
    /// Source of bundles that are not in the cache.
    pub ledger: Ledger,
    /// Namespace of the artifacts.
    pub namespace: String,
    /// Cache of bundles. Each has a directory that is named by the digits of its digest.
    pub cache_dir: PathBuf,
    /// Longest wait between two attempts.
    pub max_backoff: Duration,
}

/// A bundle that must not be served. This is final, because the bytes of a digest never change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bundle {digest} failed verification{}: {reason}", file_of(file.as_deref()))]
pub struct VerificationError {
    /// The bundle.
    pub digest: Digest,
    /// The file, if the error is about one.
    pub file: Option<String>,
    /// What is wrong.
    pub reason: String,
}

fn file_of(file: Option<&str>) -> String {
    file.map(|file| format!(" at {file}")).unwrap_or_default()
}

/// A verified bundle.
#[derive(Debug)]
pub struct Loaded {
    /// The bundle.
    pub bundle: Arc<Bundle>,
    /// The reference with the bins for its traffic. The error says why there is none.
    pub reference: Result<Reference, String>,
}

/// Receives the progress of a load, for `/readyz`.
pub type Report<'a> = &'a (dyn Fn(String) + Sync);

// === impl Loader ===

impl Loader {
    /// The verified bundle with this digest. Waits for the ledger without a time limit and says so through `report`.
    pub async fn load(
        &self,
        digest: &Digest,
        metrics: &Metrics,
        report: Report<'_>,
    ) -> Result<Loaded, VerificationError> {
        let dir = self.cache_dir.join(digest.hex());
        if dir.exists() {
            report(format!("verifying the cached copy of {}", digest.short()));
            match open(&dir, digest).await {
                Ok(loaded) => {
                    tracing::info!(%digest, "serving the cached bundle {}", digest.short());
                    return Ok(loaded);
                }
                Err(error) => {
                    metrics.cache_dropped.inc();
                    tracing::warn!(%digest, reason = error.reason, "dropped a damaged bundle from the cache: {error}");
                    remove(&dir).await;
                }
            }
        }
        self.fetch(digest, &dir, metrics, report).await?;
        report(format!("verifying {}", digest.short()));
        let opened = open(&dir, digest).await;
        if opened.is_err() {
            // A restarted container must not find the damaged bundle.
            remove(&dir).await;
        }
        opened
    }

    /// Removes incomplete bundles that a killed process left behind.
    pub async fn remove_partial(&self) {
        let Ok(mut entries) = tokio::fs::read_dir(&self.cache_dir).await else {
            return;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
                remove(&entry.path()).await;
            }
        }
    }

    async fn fetch(
        &self,
        digest: &Digest,
        dir: &Path,
        metrics: &Metrics,
        report: Report<'_>,
    ) -> Result<(), VerificationError> {
        for attempt in 1_u32.. {
            report(format!(
                "fetching {} from the ledger (attempt {attempt})",
                digest.short()
            ));
            let (reason, message) = match self.fetch_once(digest, dir).await {
                Ok(()) => {
                    metrics.ledger_reachable.set(1);
                    tracing::info!(%digest, attempt, "fetched bundle {}", digest.short());
                    return Ok(());
                }
                Err(FetchError::Corrupt {
                    digest,
                    file,
                    problem,
                }) => {
                    let reason = format!("{file} from the ledger {problem}");
                    return Err(VerificationError {
                        digest,
                        file: Some(file),
                        reason,
                    });
                }
                Err(FetchError::Transient { reason, message }) => (reason, message),
            };
            metrics
                .fetch_failures
                .get_or_create(&ReasonLabel {
                    reason: reason.as_str(),
                })
                .inc();
            metrics.ledger_reachable.set(i64::from(!matches!(
                reason,
                Failure::Unreachable | Failure::Timeout | Failure::BrokenOff
            )));
            let wait = self.backoff(attempt);
            tracing::warn!(%digest, attempt, reason = reason.as_str(), wait_ms = wait.as_millis() as u64, "{message}");
            report(format!(
                "{message} (attempt {attempt}, retrying in {:.1} s)",
                wait.as_secs_f64()
            ));
            tokio::time::sleep(wait).await;
        }
        // No Pod lives long enough for four billion attempts.
        Ok(())
    }

    async fn fetch_once(&self, digest: &Digest, dir: &Path) -> Result<(), FetchError> {
        let disk = |path: &Path, error: &io::Error| FetchError::Transient {
            reason: Failure::Disk,
            message: format!("{} cannot be written: {error}", path.display()),
        };
        let partial = self
            .cache_dir
            .join(format!("{PARTIAL}{:016x}", rand::random::<u64>()));
        tokio::fs::create_dir_all(&partial)
            .await
            .map_err(|error| disk(&partial, &error))?;
        let fetched = match self.ledger.fetch(&self.namespace, digest, &partial).await {
            Ok(()) => tokio::fs::rename(&partial, dir)
                .await
                .map_err(|error| disk(dir, &error)),
            Err(error) => Err(error),
        };
        if fetched.is_err() {
            remove(&partial).await;
        }
        fetched
    }

    /// Half a second, doubled with each attempt up to `max_backoff`. Half of it is random, so that Pods that started
    /// together do not retry together.
    fn backoff(&self, attempt: u32) -> Duration {
        let full = Duration::from_millis(500)
            .saturating_mul(1 << attempt.saturating_sub(1).min(16))
            .min(self.max_backoff);
        full.mul_f64(0.5 + 0.5 * rand::random::<f64>())
    }
}

/// Opens a bundle, verifies each of its files and scores its warm-up sample.
async fn open(dir: &Path, digest: &Digest) -> Result<Loaded, VerificationError> {
    let (dir, digest) = (dir.to_owned(), *digest);
    let failed = move |error: &BundleError| VerificationError {
        digest,
        file: error.file().map(str::to_owned),
        reason: chain(error),
    };
    let opened = tokio::task::spawn_blocking(move || {
        let bundle = Bundle::open(&dir, &digest).map_err(|error| failed(&error))?;
        let rows = bundle.verify_warm_up().map_err(|error| failed(&error))?;
        tracing::info!(%digest, rows, "warm-up scores of {} are equal bit for bit", digest.short());
        let reference = reference(&dir, &bundle);
        Ok(Loaded {
            bundle: Arc::new(bundle),
            reference,
        })
    });
    match opened.await {
        Ok(opened) => opened,
        Err(error) => Err(VerificationError {
            digest,
            file: None,
            reason: format!("its check ended early: {error}"),
        }),
    }
}

/// The reference of a verified bundle. A bundle without one is served too, because scoring does not need it.
fn reference(dir: &Path, bundle: &Bundle) -> Result<Reference, String> {
    let entry = bundle
        .manifest()
        .file(file::REFERENCE)
        .ok_or_else(|| format!("the bundle has no {}", file::REFERENCE))?;
    let bytes = std::fs::read(dir.join(file::REFERENCE))
        .map_err(|error| format!("{} cannot be read: {error}", file::REFERENCE))?;
    // The file was verified with the bundle and is read again here, so its digest is checked again.
    if sha256(&bytes) != entry.sha256 {
        return Err(format!("{} changed after it was verified", file::REFERENCE));
    }
    let reference: Reference = serde_json::from_slice(&bytes)
        .map_err(|error| format!("{} does not parse: {error}", file::REFERENCE))?;
    reference
        .check()
        .map_err(|error| format!("{}: {}", file::REFERENCE, chain(&error)))?;
    Ok(reference)
}

async fn remove(dir: &Path) {
    if let Err(error) = tokio::fs::remove_dir_all(dir).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "failed to remove {}", dir.display());
    }
}
