//! PostgreSQL: statements, and errors while it is unavailable.

mod counts;
mod feedback;
mod interval;
mod publications;
mod reports;
mod searches;

use std::{
    path::PathBuf,
    str::FromStr as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use modelward_service::chain;
use modelward_wire::{Digest, JobResult, Progress, Role, UnknownWord, VersionRecord};
use serde::Serialize;
use serde_json::Value;
use sqlx::{
    Connection as _, PgConnection, PgPool, Row as _,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
    types::Json,
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    amount::{Amount, Kept},
    error::ApiError,
    health::{Health, State},
};

pub(crate) use counts::{SUM_COUNTERS, Summed, SummedWindow, Tally, Total, TrafficInterval, windows_of};
pub(crate) use interval::{Interval, Joined};
pub(crate) use publications::Due;
pub(crate) use reports::{KeptReport, NewReport};
pub(crate) use searches::RoundKey;

/// The schema that this program works with.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!("./migrations");

pub(crate) struct Database {
    pool: PgPool,
    url_file: PathBuf,
    /// The current URL of the pool. Empty before the first connection.
    url: Mutex<String>,
    health: Arc<Health>,
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// PostgreSQL or the connection to it is unavailable. The text is public.
    #[error("PostgreSQL is unavailable: {0}")]
    Away(String),
    /// It is available, but this statement took too long or found no resources. Only this caller fails.
    #[error("PostgreSQL did not complete this request: {0}; try again later")]
    Slow(String),
    /// A rule of this program refuses the request.
    #[error("{0}")]
    Refused(String),
    /// It refuses the statement: a bug of this program.
    #[error("failed to run a statement")]
    Statement(#[source] sqlx::Error),
}

/// A row of the index of artifacts.
#[derive(Clone, Debug)]
pub(crate) struct ArtifactRow {
    pub(crate) digest: Digest,
    /// `Bundle` or `Snapshot`.
    pub(crate) kind: &'static str,
    /// Bytes of the manifest and its files.
    pub(crate) size: i64,
    /// Unix time in microseconds.
    pub(crate) created: i64,
}

/// A version in a list.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ListedVersion {
    pub(crate) uid: Uuid,
    #[serde(flatten)]
    pub(crate) record: VersionRecord,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The server times out first, so that its answer has the reason.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(6);
const SERVER_STATEMENT_TIMEOUT: &str = "5s";
const CONNECTIONS: u32 = 8;
/// Maximum number of versions in one answer.
pub(crate) const PAGE: i64 = 500;

// === impl Database ===

impl Database {
    /// Does not connect yet.
    pub(crate) fn new(url_file: PathBuf, health: Arc<Health>) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            // These options are never used, because every path to a connection reads the file first.
            .connect_lazy_with(PgConnectOptions::new_without_pgpass());
        Self {
            pool,
            url_file,
            url: Mutex::default(),
            health,
        }
    }

    /// Checks the version of the schema and reports the result to [`Health`].
    pub(crate) async fn check(&self) {
        // While it is unavailable, a plain connection gives the reason. A pool would only report a timeout.
        let away = self.health.database() != State::Up;
        let mut result = if away {
            self.ask_directly().await
        } else {
            self.ask_pool().await
        };
        if !away && result.is_err() {
            result = self.ask_directly().await;
        }
        let newest = MIGRATOR
            .iter()
            .map(|migration| migration.version)
            .max()
            .unwrap_or_default();
        self.health.set_database(match result {
            Ok(version) if version < newest => State::Down(format!(
                "its schema is at version {version} and this ledger needs {newest}: run modelward-operator migrate"
            )),
            Ok(_) => State::Up,
            Err(why) => State::Down(why),
        });
    }

    async fn ask_pool(&self) -> Result<i64, String> {
        self.refresh().await?;
        let ask = async {
            let mut connection = self.pool.acquire().await?;
            schema_version(&mut connection).await
        };
        match timeout(STATEMENT_TIMEOUT, ask).await {
            Ok(result) => result.map_err(|error| describe(&error)),
            Err(_) => Err(format!("it did not answer within {STATEMENT_TIMEOUT:?}")),
        }
    }

    async fn ask_directly(&self) -> Result<i64, String> {
        let options = self.refresh().await?;
        let ask = async {
            let mut connection = PgConnection::connect_with(&options).await?;
            let version = schema_version(&mut connection).await;
            // It is closed properly even if the query failed. Otherwise the server would log a lost connection.
            connection.close().await?;
            version
        };
        match timeout(CONNECT_TIMEOUT, ask).await {
            Ok(result) => result.map_err(|error| describe(&error)),
            Err(_) => Err(format!("it did not answer within {CONNECT_TIMEOUT:?}")),
        }
    }

    /// Reads the URL again and updates the pool if it changed.
    async fn refresh(&self) -> Result<Arc<PgConnectOptions>, String> {
        let text = tokio::fs::read_to_string(&self.url_file).await.map_err(|error| {
            format!(
                "the file {} with its URL cannot be read: {error}",
                self.url_file.display()
            )
        })?;
        let text = text.trim();
        let mut url = self.url.lock().unwrap_or_else(PoisonError::into_inner);
        if *url != text {
            let options = options(text).map_err(|why| {
                format!(
                    "the file {} does not contain a postgres:// URL: {why}",
                    self.url_file.display()
                )
            })?;
            if !url.is_empty() {
                tracing::info!("the database URL changed, new connections use it");
            }
            self.pool.set_connect_options(options);
            text.clone_into(&mut url);
        }
        drop(url);
        Ok(self.pool.connect_options())
    }

    /// Runs statements on one connection, with a time limit.
    async fn with<T: Send>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send,
    ) -> Result<T, DatabaseError> {
        // While it is known to be unavailable, no request waits for a connection. The check notices when it is back.
        if let State::Down(why) = self.health.database() {
            return Err(DatabaseError::Away(why));
        }
        let lost = |why: String| {
            self.health.set_database(State::Down(why.clone()));
            DatabaseError::Away(why)
        };
        self.refresh().await.map_err(lost)?;
        let mut connection = self.pool.acquire().await.map_err(|error| match error {
            // Busy is not unavailable: eight slow statements must not make the ledger unready.
            sqlx::Error::PoolTimedOut => {
                DatabaseError::Away(format!("no connection became free within {CONNECT_TIMEOUT:?}"))
            }
            error => lost(describe(&error)),
        })?;
        match timeout(STATEMENT_TIMEOUT, work(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if is_slow(&error) => Err(DatabaseError::Slow(describe(&error))),
            Ok(Err(error)) if is_away(&error) => Err(lost(describe(&error))),
            Ok(Err(error)) => Err(DatabaseError::Statement(error)),
            Err(_) => {
                // The next request must not get a connection with a pending answer. The check decides whether PostgreSQL is unavailable,
                // so that one slow request does not make all others fail.
                drop(connection.detach());
                Err(DatabaseError::Slow(format!(
                    "no answer within {STATEMENT_TIMEOUT:?}"
                )))
            }
        }
    }

    /// Stores the result of a Job. `true` if it is the first.
    pub(crate) async fn put_result(
        &self,
        namespace: &str,
        job: Uuid,
        result: &JobResult,
        whole: Value,
    ) -> Result<bool, DatabaseError> {
        let namespace = namespace.to_owned();
        let (stage, verdict) = (result.stage.as_str(), result.verdict.as_str());
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query_scalar(
                    "INSERT INTO job_results (job_uid, namespace, stage, verdict, result) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (job_uid) DO UPDATE SET \
                     (namespace, stage, verdict, result, received_at) = \
                     (excluded.namespace, excluded.stage, excluded.verdict, excluded.result, now()) \
                     RETURNING xmax = 0",
                )
                .bind(job)
                .bind(namespace)
                .bind(stage)
                .bind(verdict)
                .bind(Json(whole))
                .fetch_one(connection)
                .await
            })
        })
        .await
    }

    /// The result of a Job as it was sent.
    pub(crate) async fn result(&self, namespace: &str, job: Uuid) -> Result<Option<Value>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let found: Option<Json<Value>> = sqlx::query_scalar(
                    "SELECT result FROM job_results WHERE job_uid = $1 AND namespace = $2",
                )
                .bind(job)
                .bind(namespace)
                .fetch_optional(connection)
                .await?;
                Ok(found.map(|Json(value)| value))
            })
        })
        .await
    }

    /// Stores the progress of a Job.
    pub(crate) async fn put_progress(
        &self,
        namespace: &str,
        job: Uuid,
        progress: Progress,
    ) -> Result<(), DatabaseError> {
        let namespace = namespace.to_owned();
        // Seconds that do not fit into a bigint are clamped.
        let remaining = progress
            .remaining_seconds
            .map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX));
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO job_progress (job_uid, namespace, step, percent, remaining_seconds) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (job_uid) DO UPDATE SET \
                     (namespace, step, percent, remaining_seconds, updated_at) = \
                     (excluded.namespace, excluded.step, excluded.percent, excluded.remaining_seconds, now())",
                )
                .bind(job)
                .bind(namespace)
                .bind(progress.step)
                .bind(i16::from(progress.percent))
                .bind(remaining)
                .execute(connection)
                .await
                .map(drop)
            })
        })
        .await
    }

    /// The progress of a Job.
    pub(crate) async fn progress(
        &self,
        namespace: &str,
        job: Uuid,
    ) -> Result<Option<Progress>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let row = sqlx::query(
                    "SELECT step, percent, remaining_seconds FROM job_progress WHERE job_uid = $1 AND namespace = $2",
                )
                .bind(job)
                .bind(namespace)
                .fetch_optional(connection)
                .await?;
                row.map(|row| {
                    let percent: i16 = row.try_get("percent")?;
                    let remaining: Option<i64> = row.try_get("remaining_seconds")?;
                    Ok(Progress {
                        step: row.try_get("step")?,
                        percent: u8::try_from(percent).unwrap_or(100),
                        remaining_seconds: remaining.and_then(|seconds| u64::try_from(seconds).ok()),
                    })
                })
                .transpose()
            })
        })
        .await
    }

    /// Stores the state of a version unless a later one is there. `true` if it was stored.
    ///
    /// A state is later if it has a higher generation, or the same generation and a later observation. A delayed request must
    /// not restore an old state.
    pub(crate) async fn put_version(
        &self,
        namespace: &str,
        uid: Uuid,
        record: VersionRecord,
    ) -> Result<bool, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let stored = sqlx::query(
                    "INSERT INTO model_versions AS present (uid, namespace, name, model, role, generation, snapshot, \
                     bundle, job, family, metrics, observed_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::timestamptz) \
                     ON CONFLICT (uid) DO UPDATE SET \
                     (role, generation, snapshot, bundle, job, family, metrics, observed_at, updated_at) = \
                     (excluded.role, excluded.generation, excluded.snapshot, excluded.bundle, \
                     coalesce(excluded.job, present.job), excluded.family, excluded.metrics, excluded.observed_at, now()) \
                     WHERE present.namespace = excluded.namespace \
                     AND (excluded.generation, excluded.observed_at) >= (present.generation, present.observed_at)",
                )
                .bind(uid)
                .bind(namespace)
                .bind(record.name)
                .bind(record.model)
                .bind(record.role.as_str())
                .bind(record.generation)
                .bind(record.snapshot.map(|digest| digest.to_string()))
                .bind(record.bundle.map(|digest| digest.to_string()))
                .bind(record.job)
                .bind(record.family)
                .bind(Json(record.metrics))
                .bind(record.observed_at)
                .execute(connection)
                .await?;
                Ok(stored.rows_affected() > 0)
            })
        })
        .await
    }

    /// At most [`PAGE`] versions of a namespace after a uid, in the order of uids.
    pub(crate) async fn versions(
        &self,
        namespace: &str,
        after: Uuid,
    ) -> Result<Vec<ListedVersion>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let rows = sqlx::query(
                    "SELECT uid, name, model, role, generation, snapshot, bundle, job, family, metrics, \
                     to_char(observed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS observed_at \
                     FROM model_versions WHERE namespace = $1 AND uid > $2 ORDER BY uid LIMIT $3",
                )
                .bind(namespace)
                .bind(after)
                .bind(PAGE)
                .fetch_all(connection)
                .await?;
                rows.iter().map(version_of).collect()
            })
        })
        .await
    }

    /// Which of these artifacts are already in the index.
    pub(crate) async fn indexed(
        &self,
        namespace: &str,
        digests: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query_scalar(
                    "SELECT digest::text FROM artifacts WHERE namespace = $1 AND digest = ANY ($2::text[])",
                )
                .bind(namespace)
                .bind(digests)
                .fetch_all(connection)
                .await
            })
        })
        .await
    }

    /// Adds an artifact to the index. `true` if it was not there.
    pub(crate) async fn index(&self, namespace: &str, row: ArtifactRow) -> Result<bool, DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let added = sqlx::query(
                    "INSERT INTO artifacts (namespace, digest, kind, size, created_at) \
                     VALUES ($1, $2, $3, $4, to_timestamp($5::float8 / 1000000)) ON CONFLICT DO NOTHING",
                )
                .bind(namespace)
                .bind(row.digest.to_string())
                .bind(row.kind)
                .bind(row.size)
                .bind(row.created)
                .execute(connection)
                .await?;
                Ok(added.rows_affected() > 0)
            })
        })
        .await
    }

    /// The amount that a namespace stores. Rows are counted up to one more than `most`.
    pub(crate) async fn kept(&self, namespace: &str, kept: Kept, most: u64) -> Result<Amount, DatabaseError> {
        let statement = match kept {
            Kept::Totals => {
                "SELECT count(*), coalesce(sum(size), 0)::bigint FROM (SELECT pg_column_size(envelope) AS size FROM counts \
                 WHERE namespace = $1 LIMIT $2) AS kept"
            }
            Kept::Labels => {
                "SELECT count(*), 0::bigint FROM (SELECT FROM feedback WHERE namespace = $1 LIMIT $2) AS kept"
            }
            Kept::Artifacts => {
                "SELECT 0::bigint, least(coalesce(sum(size), 0), 9223372036854775807)::bigint FROM artifacts \
                 WHERE namespace = $1 AND $2::bigint > 0"
            }
        };
        let namespace = namespace.to_owned();
        let most = i64::try_from(most).unwrap_or(i64::MAX - 1) + 1;
        self.with(move |connection| {
            Box::pin(async move {
                let (rows, bytes): (i64, i64) = sqlx::query_as(statement)
                    .bind(namespace)
                    .bind(most)
                    .fetch_one(connection)
                    .await?;
                Ok(Amount {
                    rows: u64::try_from(rows).unwrap_or_default(),
                    bytes: u64::try_from(bytes).unwrap_or_default(),
                })
            })
        })
        .await
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Options from a URL. The error never contains the URL, which has a password.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, String> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err("it must start with postgres://".into());
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| match error {
        sqlx::Error::Configuration(why) => why.to_string(),
        _ => "it cannot be read".into(),
    })?;
    Ok(options.application_name("modelward-ledger").options([
        ("statement_timeout", SERVER_STATEMENT_TIMEOUT),
        ("lock_timeout", SERVER_STATEMENT_TIMEOUT),
    ]))
}

async fn schema_version(connection: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
}

fn role(row: &PgRow) -> sqlx::Result<Role> {
    let text: String = row.try_get("role")?;
    text.parse()
        .map_err(|error: UnknownWord| sqlx::Error::Decode(Box::new(error)))
}

fn version_of(row: &PgRow) -> sqlx::Result<ListedVersion> {
    let digest = |column: &str| -> sqlx::Result<Option<Digest>> {
        let text: Option<String> = row.try_get_unchecked(column)?;
        text.map(|text| text.parse().map_err(|error| sqlx::Error::Decode(Box::new(error))))
            .transpose()
    };
    let Json(metrics) = row.try_get("metrics")?;
    Ok(ListedVersion {
        uid: row.try_get("uid")?,
        record: VersionRecord {
            name: row.try_get("name")?,
            model: row.try_get("model")?,
            role: role(row)?,
            generation: row.try_get("generation")?,
            snapshot: digest("snapshot")?,
            bundle: digest("bundle")?,
            job: row.try_get("job")?,
            family: row.try_get("family")?,
            metrics,
            observed_at: row.try_get("observed_at")?,
        },
    })
}

/// Whether only this statement ran out of time, locks or resources.
fn is_slow(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return false;
    };
    // Cancelled by its time limit, lock not available, deadlock, serialisation; disk full, out of memory, limit exceeded.
    let alone = [
        "57014", "55P03", "40P01", "40001", "53100", "53200", "53400", "54000", "54001",
    ];
    error.code().is_some_and(|code| alone.contains(&&*code))
}

/// Whether waiting or a change outside of this program may help.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Connection, authorisation, no resources, intervention, system; read-only; no privilege; no table.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "28", "53", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
                || ["25006", "42501", "42P01"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Why PostgreSQL cannot be used, as a helpful message without secrets.
pub(crate) fn describe(error: &sqlx::Error) -> String {
    tracing::debug!(error = chain(error), "PostgreSQL cannot be used");
    match error {
        sqlx::Error::Io(error) => format!("cannot connect: {}", error.kind()),
        sqlx::Error::Tls(_) => "TLS with it failed: check sslmode and sslrootcert of the URL".into(),
        sqlx::Error::PoolTimedOut => format!("no connection within {CONNECT_TIMEOUT:?}"),
        sqlx::Error::Database(error) => match error.code().as_deref() {
            Some("28P01" | "28000") => "it refuses the role or the password of the URL".into(),
            Some("3D000") => "the database of the URL does not exist".into(),
            Some("42P01") => "it has no schema: run modelward-operator migrate".into(),
            Some("42501") => {
                "the ledger's role lacks privileges: run modelward-operator migrate with its name in \
                 MODELWARD_LEDGER_ROLE"
                    .into()
            }
            Some("57P01" | "57P02" | "57P03") => "it is starting up or shutting down".into(),
            Some("57014") => "a statement took too long".into(),
            Some("25006") => "it is read-only: the URL may lead to a standby".into(),
            code => format!("it answers with error {}", code.unwrap_or("without a code")),
        },
        _ => "the connection was lost".into(),
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Away(_) | DatabaseError::Slow(_) => Self::Unavailable(error.to_string()),
            DatabaseError::Refused(why) => Self::Unprocessable(why),
            DatabaseError::Statement(_) => Self::Internal(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use modelward_wire::{DriftVerdict, JobStage, ManifestKind};

    use super::*;

    #[test]
    fn the_tables_take_every_word_that_is_written_into_them() {
        let schema = concat!(
            include_str!("../migrations/0001_ledger.sql"),
            include_str!("../migrations/0002_monitoring.sql"),
            include_str!("../migrations/0003_counters.sql"),
            include_str!("../migrations/0005_imports.sql")
        );
        let taken = |column: &str| -> Vec<&str> {
            // The last one is valid, because a migration replaces the constraint of an earlier one.
            let (_, list) = schema.rsplit_once(&format!("CHECK ({column} IN (")).unwrap();
            let (list, _) = list.split_once(')').unwrap();
            list.split(", ").map(|word| word.trim_matches('\'')).collect()
        };
        for (column, written) in [
            ("role", &Role::NAMES[..]),
            ("stage", &JobStage::NAMES),
            ("kind", &ManifestKind::NAMES),
            ("verdict", &DriftVerdict::NAMES),
        ] {
            let taken = taken(column);
            for word in written {
                assert!(taken.contains(word), "{column} {word}: {taken:?}");
            }
        }
    }

    #[test]
    fn a_wrong_url_is_explained_without_its_password() {
        for url in [
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@[h/d",
        ] {
            let why = options(url).unwrap_err();
            assert!(!why.contains("hunter2") && !why.is_empty(), "{why}");
        }
        assert!(options("postgresql://u:p@h:5432/d?sslmode=require").is_ok());
    }
}
