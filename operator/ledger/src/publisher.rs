//! Publishes each version with a bundle to MLflow, one after the other, and retries until it succeeds.
//!
//! A version waits in a row of `publications`. An attempt leases the row, so that only one of two ledgers publishes it. If a
//! ledger ends during an attempt, the lease expires, and the next attempt completes what is missing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt as _;
use modelward_mlflow::{Credentials, Error as MlflowError, Files, Pieces, Publication, Server, publish};
use modelward_service::chain;
use modelward_wire::{Digest, FileEntry, Manifest, words};
use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};

use crate::{
    api::App,
    database::{DatabaseError, Due},
    health::State,
    metrics::OutcomeLabels,
    store::{Kind, Store},
};

/// The MLflow server to publish to.
#[derive(Clone, Debug)]
pub struct MlflowConfig {
    /// Its address, as in `MLFLOW_TRACKING_URI`.
    pub tracking_uri: String,
    /// A directory with the files `username` and `password`, or `token`. They are read for each attempt. Without files there
    /// is no authentication.
    pub credentials: Option<PathBuf>,
    /// How registered models are named.
    pub registered_model_names: RegisteredModelNames,
    /// How long to wait if nothing is due.
    pub interval: Duration,
    /// The pause after a first failed attempt, in seconds. It is doubled with each attempt, up to an hour.
    pub first_pause_seconds: i32,
}

words! {
    /// How registered models are named in MLflow.
    pub enum RegisteredModelNames {
        /// `heart`: models with the same name in two namespaces share a registered model.
        Model,
        /// `clinic.heart`.
        NamespaceAndModel,
    }
}

/// Files of bundles of one namespace in the store.
struct Stored {
    store: Arc<Store>,
    namespace: String,
}

/// Time limit of an attempt. Bundles have a few megabytes, so this only happens if the server hangs.
const ATTEMPT: Duration = Duration::from_mins(30);
const LEASE_SECONDS: i32 = 35 * 60;
const LONGEST_PAUSE_SECONDS: i32 = 3600;

// === impl MlflowConfig ===

impl MlflowConfig {
    /// Publishes to this server.
    pub fn new(tracking_uri: impl Into<String>) -> Self {
        Self {
            tracking_uri: tracking_uri.into(),
            credentials: None,
            registered_model_names: RegisteredModelNames::Model,
            interval: Duration::from_secs(10),
            first_pause_seconds: 30,
        }
    }

    fn registered_model(&self, due: &Due) -> String {
        match self.registered_model_names {
            RegisteredModelNames::Model => due.model.clone(),
            RegisteredModelNames::NamespaceAndModel => format!("{}.{}", due.namespace, due.model),
        }
    }

    /// The server with its current credentials, which may be rotated.
    async fn server(&self) -> Result<Server, MlflowError> {
        let [username, password, token] = [
            self.secret("username").await?,
            self.secret("password").await?,
            self.secret("token").await?,
        ];
        let credentials = match (username, password, token) {
            (Some(username), Some(password), None) => Credentials::Basic { username, password },
            (None, None, Some(token)) => Credentials::Bearer(token),
            (None, None, None) => Credentials::None,
            _ => {
                return Err(MlflowError::Settings(
                    "its Secret must have either username and password, or token".into(),
                ));
            }
        };
        Ok(Server {
            uri: self.tracking_uri.clone(),
            credentials,
        })
    }

    async fn secret(&self, name: &str) -> Result<Option<String>, MlflowError> {
        let Some(directory) = &self.credentials else {
            return Ok(None);
        };
        let path = directory.join(name);
        match tokio::fs::read_to_string(&path).await {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MlflowError::Settings(format!(
                "cannot read {}: {error}",
                path.display()
            ))),
        }
    }
}

/// Publishes what is due, as long as the ledger runs.
pub(crate) async fn publish_due(app: Arc<App>, config: MlflowConfig) {
    tracing::info!("versions are published to MLflow at {}", config.tracking_uri);
    loop {
        let published = publish_next(&app, &config).await;
        match &published {
            Ok(_) => {}
            Err(DatabaseError::Away(why)) => tracing::debug!("publishing waits for PostgreSQL: {why}"),
            Err(error) => tracing::warn!(error = chain(error), "cannot read the due publications"),
        }
        // After an attempt the next one may already be due.
        if !matches!(published, Ok(true)) {
            sleep(config.interval).await;
        }
    }
}

/// One attempt for the version that has been due the longest. Returns whether there was one.
async fn publish_next(app: &Arc<App>, config: &MlflowConfig) -> Result<bool, DatabaseError> {
    if app.health.store() != State::Up {
        return Ok(false);
    }
    app.database.add_publications().await?;
    let Some(due) = app.database.take_publication(LEASE_SECONDS).await? else {
        return Ok(false);
    };
    let attempt = timeout(ATTEMPT, publish_version(app, config, &due)).await;
    let ended = attempt.unwrap_or_else(|_| Err(format!("it took longer than {ATTEMPT:?}")));
    let outcome = match ended {
        Ok(published) => {
            let (url, version) = (&published.url, &published.registered_version);
            tracing::info!(
                version.namespace = due.namespace,
                version.name = due.name,
                "published {} as version {version} of its model: {url}",
                due.name
            );
            app.database.end_publication(due.uid, published).await?;
            "published"
        }
        Err(why) => {
            let pause = pause_after(config.first_pause_seconds, due.attempts);
            tracing::warn!(
                version.namespace = due.namespace,
                version.name = due.name,
                "cannot publish {}, the next attempt is in {pause} s: {why}",
                due.name
            );
            app.database.fail_publication(due.uid, &why, pause).await?;
            "failed"
        }
    };
    app.metrics
        .publications
        .get_or_create(&OutcomeLabels { outcome })
        .inc();
    Ok(true)
}

async fn publish_version(
    app: &Arc<App>,
    config: &MlflowConfig,
    due: &Due,
) -> Result<modelward_mlflow::Published, String> {
    let server = config.server().await.map_err(|error| error.to_string())?;
    let files = Stored {
        store: app.store.clone(),
        namespace: due.namespace.clone(),
    };
    let manifest = files.manifest(&due.bundle, app.max_manifest_bytes).await?;
    let uid = due.uid.to_string();
    let registered_model = config.registered_model(due);
    let publication = Publication {
        namespace: &due.namespace,
        model: &due.model,
        version: &due.name,
        version_uid: &uid,
        job_uid: due.job.as_deref(),
        bundle: due.bundle,
        snapshot: due.snapshot,
        files: &manifest.files,
        time: due.created,
        registered_model: &registered_model,
    };
    publish(&server, &publication, &files)
        .await
        .map_err(|error| chain(&error))
}

/// Seconds until the next attempt after this many attempts.
fn pause_after(first: i32, attempts: i32) -> i32 {
    let doubled = u32::try_from(attempts - 1).unwrap_or(0).min(10);
    first.saturating_mul(1 << doubled).min(LONGEST_PAUSE_SECONDS)
}

// === impl Stored ===

impl Stored {
    async fn manifest(&self, digest: &Digest, limit: u64) -> Result<Manifest, String> {
        let bytes = self.whole(Kind::Manifest, digest, limit).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| format!("manifest {digest} cannot be read: {error}"))?;
        manifest
            .check()
            .map_err(|error| format!("manifest {digest} cannot be used: {error}"))?;
        Ok(manifest)
    }

    async fn whole(&self, kind: Kind, digest: &Digest, limit: u64) -> Result<Vec<u8>, String> {
        let mut pieces = self.pieces(kind, digest, limit).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        if Digest::from_bytes(Sha256::digest(&bytes).into()) != *digest {
            return Err(damaged(digest));
        }
        Ok(bytes)
    }

    async fn pieces(&self, kind: Kind, digest: &Digest, limit: u64) -> Result<Pieces, String> {
        let found = self.store.get(&self.namespace, kind, digest).await;
        let found = found
            .map_err(|error| chain(&error))?
            .ok_or_else(|| format!("the store of namespace {} has no {digest}", self.namespace))?;
        if found.meta.size > limit {
            return Err(format!(
                "{digest} has {} bytes, the limit is {limit}",
                found.meta.size
            ));
        }
        let pieces = found
            .into_stream()
            .map(|piece| piece.map_err(std::io::Error::other));
        Ok(pieces.boxed())
    }
}

impl Files for Stored {
    /// A file is read twice, so that a damaged file of the store does not become a model in MLflow.
    async fn open(&self, file: &FileEntry) -> Result<Pieces, String> {
        let mut pieces = self.pieces(Kind::Blob, &file.sha256, file.size).await?;
        let mut hasher = Sha256::new();
        while let Some(piece) = pieces.next().await {
            hasher.update(&piece.map_err(|error| error.to_string())?);
        }
        if Digest::from_bytes(hasher.finalize().into()) != file.sha256 {
            return Err(damaged(&file.sha256));
        }
        self.pieces(Kind::Blob, &file.sha256, file.size).await
    }
}

fn damaged(digest: &Digest) -> String {
    format!("{digest} is damaged in the store; publish the same artifact again to repair it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let pauses: Vec<i32> = (1..=9).map(|attempts| pause_after(30, attempts)).collect();
        assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(pause_after(30, i32::MAX), 3600);
    }
}
