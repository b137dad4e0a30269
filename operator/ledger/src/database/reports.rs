//! Verdicts, each given once.

use modelward_profile::Judgement;
use modelward_wire::{ReportRequest, ReportResult};
use serde_json::Value;
use sqlx::{Row as _, types::Json};
use uuid::Uuid;

use super::{Database, DatabaseError};

/// A verdict to store.
#[derive(Clone)]
pub(crate) struct NewReport {
    pub(crate) request: ReportRequest,
    pub(crate) result: ReportResult,
    pub(crate) judgement: Judgement,
}

/// A stored verdict.
pub(crate) struct KeptReport {
    pub(crate) namespace: String,
    pub(crate) request: ReportRequest,
    pub(crate) result: ReportResult,
    /// The judgement as it was written, by any release.
    pub(crate) judgement: Value,
    pub(crate) created_at: String,
}

// === impl Database ===

impl Database {
    /// The verdict of a `DriftReport`.
    pub(crate) async fn report(&self, uid: Uuid) -> Result<Option<KeptReport>, DatabaseError> {
        self.with(move |connection| {
            Box::pin(async move {
                let row = sqlx::query(
                    "SELECT namespace, request, result, judgement, \
                     to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS created_at \
                     FROM drift_reports WHERE report_uid = $1",
                )
                .bind(uid)
                .fetch_optional(connection)
                .await?;
                row.map(|row| {
                    let (Json(request), Json(result)) = (row.try_get("request")?, row.try_get("result")?);
                    let Json(judgement) = row.try_get("judgement")?;
                    Ok(KeptReport {
                        namespace: row.try_get("namespace")?,
                        request,
                        result,
                        judgement,
                        created_at: row.try_get("created_at")?,
                    })
                })
                .transpose()
            })
        })
        .await
    }

    /// Stores a verdict unless there is one. `true` if it was stored.
    pub(crate) async fn put_report(
        &self,
        namespace: &str,
        uid: Uuid,
        report: NewReport,
    ) -> Result<bool, DatabaseError> {
        let namespace = namespace.to_owned();
        let NewReport {
            request,
            result,
            judgement,
        } = report;
        self.with(move |connection| {
            Box::pin(async move {
                let kept = sqlx::query(
                    "INSERT INTO drift_reports (report_uid, namespace, model, version, bundle, window_start, window_end, \
                     verdict, rows, request, result, judgement) \
                     VALUES ($1, $2, $3, $4, $5, to_timestamp($6::bigint), to_timestamp($7::bigint), $8, $9, $10, $11, $12) \
                     ON CONFLICT (report_uid) DO NOTHING",
                )
                .bind(uid)
                .bind(namespace)
                .bind(&request.model)
                .bind(&request.version)
                .bind(request.bundle.to_string())
                .bind(request.start)
                .bind(request.end)
                .bind(result.verdict.as_str())
                .bind(i64::try_from(result.rows).unwrap_or(i64::MAX))
                .bind(Json(&request))
                .bind(Json(&result))
                .bind(Json(&judgement))
                .execute(connection)
                .await?;
                Ok(kept.rows_affected() > 0)
            })
        })
        .await
    }
}
