//! Rounds of searches. They are stored until their bundle is published.

use modelward_wire::Digest;
use uuid::Uuid;

use super::{Database, DatabaseError};

/// Maximum bytes of the rounds of one owner.
const OWNER_BYTES: i64 = 64 << 20;
/// Maximum bytes of the rounds of a namespace.
const NAMESPACE_BYTES: i64 = 512 << 20;

/// Identifies a round.
#[derive(Clone, Debug)]
pub(crate) struct RoundKey {
    pub(crate) namespace: String,
    /// uid of the owner of the Job that stored it.
    pub(crate) owner: Uuid,
    pub(crate) search: Digest,
    pub(crate) round: i32,
}

// === impl Database ===

impl Database {
    /// Stores a round, unless there is one with its number.
    pub(crate) async fn put_search_round(
        &self,
        key: RoundKey,
        job: Uuid,
        record: Vec<u8>,
    ) -> Result<(), DatabaseError> {
        let bytes = i64::try_from(record.len()).unwrap_or(i64::MAX);
        let (of_owner, of_namespace) = self.search_bytes(&key).await?;
        for (whose, found, most) in [
            ("this version", of_owner, OWNER_BYTES),
            ("this namespace", of_namespace, NAMESPACE_BYTES),
        ] {
            if found.saturating_add(bytes) > most {
                return Err(DatabaseError::Refused(format!(
                    "the searches of {whose} have {found} bytes in the ledger, the limit is {most}"
                )));
            }
        }
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO search_rounds (owner_uid, search, round, namespace, job_uid, record) \
                     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                )
                .bind(key.owner)
                .bind(key.search.to_string())
                .bind(key.round)
                .bind(key.namespace)
                .bind(job)
                .bind(record)
                .execute(connection)
                .await
                .map(drop)
            })
        })
        .await
    }

    /// Bytes of the rounds of an owner and of its namespace. PostgreSQL computes them without reading the rounds.
    async fn search_bytes(&self, key: &RoundKey) -> Result<(i64, i64), DatabaseError> {
        let (owner, namespace) = (key.owner, key.namespace.clone());
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query_as(
                    "SELECT coalesce(sum(octet_length(record)) FILTER (WHERE owner_uid = $1), 0)::bigint, \
                     coalesce(sum(octet_length(record)), 0)::bigint FROM search_rounds WHERE namespace = $2",
                )
                .bind(owner)
                .bind(namespace)
                .fetch_one(connection)
                .await
            })
        })
        .await
    }

    /// A round as it was sent.
    pub(crate) async fn search_round(&self, key: RoundKey) -> Result<Option<Vec<u8>>, DatabaseError> {
        self.with(move |connection| {
            Box::pin(async move {
                sqlx::query_scalar(
                    "SELECT record FROM search_rounds \
                     WHERE owner_uid = $1 AND search = $2 AND round = $3 AND namespace = $4",
                )
                .bind(key.owner)
                .bind(key.search.to_string())
                .bind(key.round)
                .bind(key.namespace)
                .fetch_optional(connection)
                .await
            })
        })
        .await
    }

    /// Deletes the rounds of all searches of an owner.
    pub(crate) async fn forget_searches(&self, namespace: &str, owner: Uuid) -> Result<(), DatabaseError> {
        let namespace = namespace.to_owned();
        self.with(move |connection| {
            Box::pin(async move {
                let _: i64 = sqlx::query_scalar("SELECT forget_searches($1, $2)")
                    .bind(namespace)
                    .bind(owner)
                    .fetch_one(connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}
