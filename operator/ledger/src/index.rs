//! Keeps the index of artifacts in PostgreSQL in sync with the store.
//!
//! The store is the source of truth and never waits for the index. Right after a manifest is stored, its row is added if
//! possible. Rows that are missing (because PostgreSQL was unavailable, or the process ended) are added by listing the store.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use modelward_service::chain;
use modelward_wire::{Digest, Manifest};
use sha2::{Digest as _, Sha256};

use crate::{
    database::{ArtifactRow, Database, DatabaseError},
    metrics::Metrics,
    store::{Kind, Store},
};

pub(crate) struct Index {
    pub(crate) store: Arc<Store>,
    pub(crate) database: Arc<Database>,
    pub(crate) metrics: Arc<Metrics>,
    /// A larger object is not read, because it is not a manifest of Modelward.
    pub(crate) max_manifest_bytes: u64,
}

/// Why the index could not be updated.
#[derive(Debug, thiserror::Error)]
enum IndexError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("failed to list the artifact store")]
    Store(#[from] object_store::Error),
}

/// Number of digests that are compared with the index in one statement.
const CHUNK: usize = 500;
/// Maximum number of manifests that one round reads. The next round continues.
const ROUND: usize = 1000;

// === impl Index ===

impl Index {
    /// Adds missing rows to the index. Errors are only logged, because the next round tries again.
    pub(crate) async fn level(&self) {
        match self.try_level().await {
            Ok(0) => {}
            Ok(added) => tracing::info!("added {added} artifacts to the index"),
            Err(IndexError::Database(DatabaseError::Away(why))) => {
                tracing::debug!("the index of artifacts waits for PostgreSQL: {why}");
            }
            Err(error) => tracing::warn!(error = chain(&error), "failed to update the index of artifacts"),
        }
    }

    async fn try_level(&self) -> Result<usize, IndexError> {
        let (mut read, mut added) = (0, 0);
        for namespace in self.store.namespaces().await? {
            let mut chunks = self.store.manifests(&namespace).try_chunks(CHUNK);
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|error| error.1)?;
                let digests = chunk.iter().map(|(digest, _)| digest.to_string()).collect();
                let known = self.database.indexed(&namespace, digests).await?;
                for (digest, object) in chunk {
                    if known.contains(&digest.to_string()) {
                        continue;
                    }
                    if read == ROUND {
                        return Ok(added);
                    }
                    read += 1;
                    if object.size > self.max_manifest_bytes {
                        tracing::warn!(
                            "manifest {namespace}/{digest} is too large and is left out of the index"
                        );
                        continue;
                    }
                    let created = object.last_modified.timestamp_micros();
                    let Some(found) = self.store.get(&namespace, Kind::Manifest, &digest).await? else {
                        continue;
                    };
                    let bytes = found.bytes().await?;
                    let whole = Digest::from_bytes(Sha256::digest(&bytes).into()) == digest;
                    let Some(manifest) = whole.then(|| serde_json::from_slice(&bytes).ok()).flatten() else {
                        tracing::warn!("manifest {namespace}/{digest} is damaged: left out of the index");
                        continue;
                    };
                    added += usize::from(
                        self.add(&namespace, digest, &manifest, bytes.len(), created)
                            .await?,
                    );
                }
            }
        }
        Ok(added)
    }

    /// Adds one artifact.
    pub(crate) async fn add(
        &self,
        namespace: &str,
        digest: Digest,
        manifest: &Manifest,
        manifest_bytes: usize,
        created: i64,
    ) -> Result<bool, DatabaseError> {
        let kind = manifest.kind.as_str();
        let size = manifest
            .files
            .iter()
            .fold(manifest_bytes as u64, |sum, file| sum.saturating_add(file.size));
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        let added = self
            .database
            .index(
                namespace,
                ArtifactRow {
                    digest,
                    kind,
                    size,
                    created,
                },
            )
            .await?;
        self.metrics.index_rows.inc_by(u64::from(added));
        Ok(added)
    }
}
