//! What Jobs report, and the record of model versions.

use axum::{
    Extension, Json,
    extract::{Path, Query, Request, State},
    http::StatusCode,
};
use modelward_wire::{JobResult, Progress, PublicationRecord, RESULT_FORMAT, VersionRecord};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    extract::{Object, checked_namespace, is_name, not_a_name, parse, refuse_nul, uid, whole},
    state::Shared,
};
use crate::{auth::Caller, database::PAGE, error::ApiError};

#[derive(Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

const MAX_RESULT_BYTES: u64 = 1024 * 1024;
const MAX_PROGRESS_BYTES: u64 = 16 * 1024;
const MAX_VERSION_BYTES: u64 = 256 * 1024;

// === jobs ===

pub(super) async fn put_result(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<StatusCode, ApiError> {
    caller.may_tell(&namespace, uid)?;
    let body = whole(&app, &namespace, request, "result", MAX_RESULT_BYTES).await?;
    let whole: Value = parse(&body, "result")?;
    refuse_nul(&whole)?;
    let result: JobResult = parse(&body, "result")?;
    if result.format != RESULT_FORMAT {
        return Err(ApiError::Unprocessable(format!(
            "the result has format {}, this ledger takes format {RESULT_FORMAT}: use images of one release",
            result.format
        )));
    }
    let first = app.database.put_result(&namespace, uid, &result, whole).await?;
    Ok(if first {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    })
}

pub(super) async fn get_result(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<Value>, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.database.result(&namespace, uid).await?;
    found.map(Json).ok_or_else(|| {
        ApiError::NotFound(format!(
            "Job {uid} in namespace {namespace} has reported no result"
        ))
    })
}

pub(super) async fn put_progress(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<StatusCode, ApiError> {
    caller.may_tell(&namespace, uid)?;
    let body = whole(&app, &namespace, request, "progress", MAX_PROGRESS_BYTES).await?;
    let progress: Progress = parse(&body, "progress")?;
    if progress.percent > 100 {
        return Err(ApiError::Unprocessable(format!(
            "percent is {}, it must be 0 to 100",
            progress.percent
        )));
    }
    let text = |text: &str| !text.contains('\0') && text.chars().count() <= 1000;
    if !text(&progress.step) {
        return Err(ApiError::Unprocessable(
            "step must be a text of at most 1000 characters without NUL".into(),
        ));
    }
    app.database.put_progress(&namespace, uid, progress).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn get_progress(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<Progress>, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.database.progress(&namespace, uid).await?;
    let absent = || {
        ApiError::NotFound(format!(
            "Job {uid} in namespace {namespace} has reported no progress"
        ))
    };
    found.map(Json).ok_or_else(absent)
}

// === model versions ===

pub(super) async fn put_version(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.may_record()?;
    let body = whole(&app, &namespace, request, "record", MAX_VERSION_BYTES).await?;
    refuse_nul(&parse(&body, "record")?)?;
    let mut record: VersionRecord = parse(&body, "record")?;
    check_record(&mut record).map_err(ApiError::Unprocessable)?;
    let stored = app.database.put_version(&namespace, uid, record).await?;
    Ok(Json(json!({"stored": stored})))
}

/// Refuses what the table would refuse, with a message.
fn check_record(record: &mut VersionRecord) -> Result<(), String> {
    for (field, name) in [("name", &record.name), ("model", &record.model)] {
        if !is_name(name) {
            return Err(not_a_name(field, name));
        }
    }
    if record.generation < 0 {
        return Err(format!(
            "generation is {}, it must not be negative",
            record.generation
        ));
    }
    if let Some(job) = &record.job {
        uid(job).map_err(|_| format!("job is {job:?}, it must be a uid"))?;
    }
    let time: jiff::Timestamp = record
        .observed_at
        .parse()
        .ok()
        .filter(|time| *time >= jiff::Timestamp::UNIX_EPOCH)
        .ok_or_else(|| {
            format!(
                "observedAt is {:?}, it must be a time like 2026-11-23T09:30:00Z",
                record.observed_at
            )
        })?;
    record.observed_at = time.to_string();
    Ok(())
}

pub(super) async fn get_publication(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<PublicationRecord>, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.database.publication(&namespace, uid).await?;
    let absent = || {
        ApiError::NotFound(format!(
            "version {uid} in namespace {namespace} is not published to MLflow"
        ))
    };
    found.map(Json).ok_or_else(absent)
}

pub(super) async fn list_versions(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(namespace): Path<String>,
    Query(query): Query<After>,
) -> Result<Json<Value>, ApiError> {
    let namespace = checked_namespace(namespace)?;
    caller.may_read(&namespace)?;
    let after = query.after.map_or(Ok(Uuid::nil()), |text| uid(&text))?;
    let items = app.database.versions(&namespace, after).await?;
    // After a full page there may be another one, which starts after the last uid.
    let next = items
        .last()
        .filter(|_| usize::try_from(PAGE) == Ok(items.len()))
        .map(|last| last.uid);
    Ok(Json(match next {
        Some(next) => json!({"items": items, "after": next}),
        None => json!({"items": items}),
    }))
}
