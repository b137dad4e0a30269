//! Publications to MLflow, and when they are due.

use modelward_mlflow::Published;
use modelward_wire::{Digest, PublicationRecord, PublicationState, UnknownWord, shorten};
use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::{Database, DatabaseError};

/// A version with a due publication. Other processes do not take it until its lease ends.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) uid: Uuid,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) job: Option<String>,
    pub(crate) snapshot: Option<Digest>,
    pub(crate) bundle: Digest,
    /// Unix time in milliseconds at which the ledger first recorded the version.
    pub(crate) created: i64,
    /// Number of attempts, including this one.
    pub(crate) attempts: i32,
}

/// Maximum number of versions that one round adds.
const ADDED: i64 = 500;
const MAX_ERROR: usize = 1000;

// === impl Database ===

impl Database {
    /// Adds versions that have a bundle but no publication. Returns how many.
    pub(crate) async fn add_publications(&self) -> Result<u64, DatabaseError> {
        self.with(|connection| {
            Box::pin(async move {
                let added = sqlx::query(
                    "INSERT INTO publications (version_uid) SELECT uid FROM model_versions \
                     WHERE bundle IS NOT NULL AND NOT EXISTS \
                     (SELECT FROM publications WHERE version_uid = model_versions.uid) \
                     ORDER BY created_at LIMIT $1 ON CONFLICT DO NOTHING",
                )
                .bind(ADDED)
                .execute(connection)
                .await?;
                Ok(added.rows_affected())
            })
        })
        .await
    }

    /// Takes the publication that has been due the longest, for this many seconds.
    pub(crate) async fn take_publication(&self, lease_seconds: i32) -> Result<Option<Due>, DatabaseError> {
        self.with(move |connection| {
            Box::pin(async move {
                let row = sqlx::query(
                    "UPDATE publications SET attempts = attempts + 1, updated_at = now(), \
                     next_attempt_at = now() + make_interval(secs => $1) \
                     FROM model_versions AS version WHERE version.uid = version_uid AND version_uid = \
                     (SELECT version_uid FROM publications WHERE state <> 'Published' AND next_attempt_at <= now() \
                     ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED) \
                     RETURNING version.uid, namespace, name, model, job, snapshot::text AS snapshot, bundle::text AS bundle, attempts, \
                     (extract(epoch FROM created_at) * 1000)::bigint AS created",
                )
                .bind(f64::from(lease_seconds))
                .fetch_optional(connection)
                .await?;
                row.as_ref().map(due_of).transpose()
            })
        })
        .await
    }

    /// Records that a version is published.
    pub(crate) async fn end_publication(&self, uid: Uuid, published: Published) -> Result<(), DatabaseError> {
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE publications SET state = 'Published', error = NULL, run = $2, registered_version = $3, \
                     url = $4, updated_at = now() WHERE version_uid = $1",
                )
                .bind(uid)
                .bind(published.run)
                .bind(published.registered_version)
                .bind(published.url)
                .execute(connection)
                .await
                .map(drop)
            })
        })
        .await
    }

    /// Records why a version is not published, and schedules another attempt after this many seconds.
    pub(crate) async fn fail_publication(
        &self,
        uid: Uuid,
        error: &str,
        pause_seconds: i32,
    ) -> Result<(), DatabaseError> {
        let error = shorten(&error.replace('\0', " "), MAX_ERROR);
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE publications SET state = 'Failed', error = $2, updated_at = now(), \
                     next_attempt_at = now() + make_interval(secs => $3) \
                     WHERE version_uid = $1 AND state <> 'Published'",
                )
                .bind(uid)
                .bind(error)
                .bind(f64::from(pause_seconds))
                .execute(connection)
                .await
                .map(drop)
            })
        })
        .await
    }

    /// The publication of a version.
    pub(crate) async fn publication(
        &self,
        namespace: &str,
        uid: Uuid,
    ) -> Result<Option<PublicationRecord>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let row = sqlx::query(
                    "SELECT state, attempts, error, run, registered_version, url FROM publications \
                     JOIN model_versions AS version ON version.uid = version_uid \
                     WHERE version_uid = $1 AND version.namespace = $2",
                )
                .bind(uid)
                .bind(namespace)
                .fetch_optional(connection)
                .await?;
                row.as_ref().map(record_of).transpose()
            })
        })
        .await
    }
}

fn due_of(row: &PgRow) -> sqlx::Result<Due> {
    let digest = |text: String| text.parse().map_err(|error| decode(Box::new(error)));
    Ok(Due {
        uid: row.try_get("uid")?,
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        model: row.try_get("model")?,
        job: row.try_get("job")?,
        snapshot: row
            .try_get::<Option<String>, _>("snapshot")?
            .map(digest)
            .transpose()?,
        bundle: digest(row.try_get("bundle")?)?,
        created: row.try_get("created")?,
        attempts: row.try_get("attempts")?,
    })
}

fn record_of(row: &PgRow) -> sqlx::Result<PublicationRecord> {
    let state: String = row.try_get("state")?;
    let attempts: i32 = row.try_get("attempts")?;
    Ok(PublicationRecord {
        state: state
            .parse::<PublicationState>()
            .map_err(|error: UnknownWord| decode(Box::new(error)))?,
        attempts: u32::try_from(attempts).unwrap_or_default(),
        error: row.try_get("error")?,
        run: row.try_get("run")?,
        registered_version: row.try_get("registered_version")?,
        url: row.try_get("url")?,
    })
}

fn decode(error: Box<dyn std::error::Error + Send + Sync>) -> sqlx::Error {
    sqlx::Error::Decode(error)
}
