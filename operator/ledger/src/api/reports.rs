//! Verdicts on windows.
//!
//! ```text
//! store: bundle ─► reference.json ─► bins, reference counts ┐
//!                                                           ├─► judge ─► verdict ─► drift_reports, once for a uid
//! PostgreSQL: totals of all Pods in [start, end) ─► sum ────┤
//!             and of the windows before ─► evidence ────────┘
//!                                                     sum ────► bins and sum, as a blob, for an accepted window
//! ```

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jiff::Timestamp;
use modelward_profile::{Bins, Reference};
use modelward_service::chain;
use modelward_wire::{
    Digest, DriftVerdict, Manifest, ManifestKind, REPORT_FORMAT, ReportReference, ReportRequest, ReportResult,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    extract::{LAST_SECOND, Object, is_name, not_a_name, parse, refuse_nul, whole},
    judging::{Compared, interval_of_traffic, joined, verdict},
    state::{App, Shared},
};
use crate::{
    auth::Caller,
    database::{Interval, KeptReport, SUM_COUNTERS, windows_of},
    error::ApiError,
    store::Kind,
};

/// The file of a bundle that states which window of traffic its reference is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AcceptedWindow {
    counts: Digest,
    start_time: Option<Timestamp>,
    end_time: Option<Timestamp>,
}

/// How long a report waits for memory.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_REPORT_BYTES: u64 = 256 * 1024;
/// A model of 1,000 features has a reference of about 1 MiB.
const MAX_REFERENCE_BYTES: u64 = 32 * 1024 * 1024;
/// Larger references are read one at a time, because they are several times as large in memory.
const WIDE_REFERENCE_BYTES: u64 = 4 * 1024 * 1024;
const MAX_TOLERANCES: usize = 512;
/// A day and a week, in seconds.
const SEASONS: [u32; 2] = [86_400, 604_800];
const REFERENCE: &str = "reference.json";
const ACCEPTED_WINDOW: &str = "accepted-window.json";

pub(super) async fn put_report(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<Response, ApiError> {
    caller.may_judge()?;
    let body = whole(
        &app,
        &namespace,
        request,
        "request for a report",
        MAX_REPORT_BYTES,
    )
    .await?;
    refuse_nul(&parse(&body, "request for a report")?)?;
    let mut request: ReportRequest = parse(&body, "request for a report")?;
    // The order of tolerances has no meaning, so it must not make a repeated request different.
    request.tolerances.sort();
    check(&request).map_err(ApiError::Unprocessable)?;
    if let Some(kept) = app.database.report(uid).await? {
        app.metrics.report("repeated");
        return again(&namespace, &request, &kept);
    }
    let (compared, turn) = reference(&app, &namespace, &request.bundle).await?;
    let bins = &compared.reference.bins;
    let memory = reserve(&app.judged, permits_of(bins)).await?;
    let interval = Interval {
        model: request.model.clone(),
        version: request.version.clone(),
        bundle: request.bundle,
        from: request.evidence_from,
        start: request.start,
        end: request.end,
        window_seconds: request.window_seconds,
        joined: joined(&request, &compared),
    };
    let summed = app.database.sum_counts(&namespace, interval, bins).await?;
    let summed = summed.map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    let traffic = match interval_of_traffic(&request) {
        Some(interval) => app.database.traffic(&namespace, interval).await?,
        None => Vec::new(),
    };
    // Thousands of bins take milliseconds to compute, and other requests should not wait for that.
    let asked = request.clone();
    let (report, window) = tokio::task::spawn_blocking(move || {
        // They are held until the memory is free, even if the caller disconnects.
        let _held = (turn, memory);
        verdict(&asked, compared, summed, &traffic)
    })
    .await
    .map_err(|error| ApiError::Internal(Box::new(error)))??;
    if let (Some(digest), Some(window)) = (report.result.counts, window) {
        app.store.put(&namespace, Kind::Blob, &digest, window).await?;
    }
    if app.database.put_report(&namespace, uid, report.clone()).await? {
        app.metrics.report(match report.result.verdict {
            DriftVerdict::Drift => "drift",
            DriftVerdict::NoDrift => "no_drift",
            DriftVerdict::InsufficientData => "insufficient_data",
        });
        return answer(&report.result);
    }
    // Another request was first. Its verdict counts.
    let Some(kept) = app.database.report(uid).await? else {
        return Err(ApiError::Unavailable(
            "the verdict was given by another request and cannot be read yet".into(),
        ));
    };
    app.metrics.report("repeated");
    again(&namespace, &request, &kept)
}

pub(super) async fn get_report(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<Value>, ApiError> {
    caller.may_read(&namespace)?;
    let kept = app.database.report(uid).await?;
    let kept = kept.filter(|kept| kept.namespace == namespace).ok_or_else(|| {
        ApiError::NotFound(format!(
            "DriftReport {uid} in namespace {namespace} has no verdict"
        ))
    })?;
    Ok(Json(json!({
        "request": kept.request,
        "result": kept.result,
        "judgement": kept.judgement,
        "createdAt": kept.created_at,
    })))
}

/// One permit for each counter of the maximum number of windows of a report.
fn permits_of(bins: &Bins) -> u32 {
    let counters = bins.counters();
    let all = counters.saturating_mul(windows_of(counters)).min(SUM_COUNTERS);
    u32::try_from(all).unwrap_or(u32::MAX)
}

/// Reserves memory for one report. It waits for other reports.
async fn reserve(memory: &Arc<Semaphore>, permits: u32) -> Result<OwnedSemaphorePermit, ApiError> {
    let permits = Arc::clone(memory).acquire_many_owned(permits);
    match timeout(PATIENCE, permits).await {
        Ok(Ok(permits)) => Ok(permits),
        _ => Err(ApiError::Unavailable(
            "other reports are being judged: try again later".into(),
        )),
    }
}

/// The verdict that was given first, if the request is the same.
fn again(namespace: &str, request: &ReportRequest, kept: &KeptReport) -> Result<Response, ApiError> {
    if kept.namespace != namespace || kept.request != *request {
        return Err(ApiError::Conflict(
            "this DriftReport was already evaluated with different parameters; create a new one".into(),
        ));
    }
    answer(&kept.result)
}

/// Serialized by the type each time, so that the same verdict has the same bytes.
fn answer(result: &ReportResult) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(result).map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Refuses what cannot be judged, with a message.
fn check(request: &ReportRequest) -> Result<(), String> {
    if request.format != REPORT_FORMAT {
        return Err(format!(
            "the request has format {}, this ledger takes format {REPORT_FORMAT}: use images of one release",
            request.format
        ));
    }
    for (field, name) in [("model", &request.model), ("version", &request.version)] {
        if !is_name(name) {
            return Err(not_a_name(field, name));
        }
    }
    let (start, end) = (request.start, request.end);
    if !(0 <= start && start < end && end <= LAST_SECOND) {
        return Err(format!(
            "the window is from {start} to {end}; it must be seconds since 1970, start before end"
        ));
    }
    let (since, from) = (request.since, request.evidence_from);
    if !(0 <= since && since <= from && from <= start) {
        return Err(format!(
            "since is {since} and evidenceFrom is {from}; both must be seconds since 1970, with since at or before \
             evidenceFrom, and evidenceFrom at or before start, {start}"
        ));
    }
    let fills = |season: u32, window: u32| window > 0 && season.is_multiple_of(window);
    match (request.season_seconds, request.window_seconds) {
        (_, Some(0)) => return Err("windowSeconds is 0; it must be at least 1".into()),
        (Some(season), window)
            if !(SEASONS.contains(&season) && window.is_some_and(|window| fills(season, window))) =>
        {
            return Err(format!(
                "the season has {season} seconds and windows {}; it must be a day or a week, in whole windows",
                window.unwrap_or(0)
            ));
        }
        _ => {}
    }
    if request.minimum_rows == 0 {
        return Err("minimumRows is 0; it must be at least 1".into());
    }
    if request.tolerances.len() > MAX_TOLERANCES {
        return Err(format!(
            "there are {} tolerances, at most {MAX_TOLERANCES} are accepted",
            request.tolerances.len()
        ));
    }
    match request.tolerances.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(twice) => Err(format!("feature {:?} has two tolerances", twice[0].0)),
        None => Ok(()),
    }
}

// === the reference ===

/// The verified reference of a bundle, and the permit of a wide one.
async fn reference(
    app: &App,
    namespace: &str,
    bundle: &Digest,
) -> Result<(Compared, Option<OwnedSemaphorePermit>), ApiError> {
    let bytes = fetch(app, namespace, Kind::Manifest, bundle, app.max_manifest_bytes).await?;
    let manifest: Manifest = read(&bytes, "manifest")?;
    manifest
        .check()
        .map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    if manifest.kind != ManifestKind::Bundle {
        return Err(ApiError::Unprocessable(format!(
            "{bundle} is a snapshot; a window can only be compared with the reference of a bundle"
        )));
    }
    let Some(file) = manifest.file(REFERENCE) else {
        return Err(ApiError::Unprocessable(format!(
            "bundle {bundle} has no file {REFERENCE}, so there is nothing to compare a window with: train it again"
        )));
    };
    let turn = match file.size {
        ..WIDE_REFERENCE_BYTES => None,
        _ => Some(reserve(&app.wide, 1).await?),
    };
    let bytes = fetch(app, namespace, Kind::Blob, &file.sha256, MAX_REFERENCE_BYTES).await?;
    let reference: Reference = read(&bytes, REFERENCE)?;
    reference.check().map_err(|error| {
        ApiError::Unprocessable(format!("{REFERENCE} of bundle {bundle}: {}", chain(&error)))
    })?;
    let accepted = match manifest.file(ACCEPTED_WINDOW) {
        Some(file) => {
            let bytes = fetch(app, namespace, Kind::Blob, &file.sha256, MAX_REPORT_BYTES).await?;
            Some(read::<AcceptedWindow>(&bytes, ACCEPTED_WINDOW)?)
        }
        None => None,
    };
    let named = ReportReference {
        digest: accepted.as_ref().map_or(file.sha256, |accepted| accepted.counts),
        accepted_window: accepted.is_some(),
        rows: reference.counts.features.rows,
    };
    let bounds = accepted.and_then(|window| window.start_time.zip(window.end_time));
    let seconds = bounds.map(|(start, end)| end.as_second() - start.as_second());
    let compared = Compared {
        reference,
        named,
        seconds,
    };
    Ok((compared, turn))
}

/// The bytes of an artifact, if they match its digest.
async fn fetch(
    app: &App,
    namespace: &str,
    kind: Kind,
    digest: &Digest,
    limit: u64,
) -> Result<Bytes, ApiError> {
    let name = kind.name();
    let found = app.store.get(namespace, kind, digest).await?.ok_or_else(|| {
        ApiError::NotFound(format!(
            "{name} {digest} is not in the store of namespace {namespace}, so its reference cannot be read"
        ))
    })?;
    if found.meta.size > limit {
        return Err(ApiError::Unprocessable(format!(
            "{name} {digest} has {} bytes, at most {limit} are read for a report",
            found.meta.size
        )));
    }
    let bytes = found.bytes().await?;
    if Digest::from_bytes(Sha256::digest(&bytes).into()) != *digest {
        return Err(ApiError::Unavailable(format!(
            "{name} {digest} is damaged in the store: publish the same artifact again to repair it"
        )));
    }
    Ok(bytes)
}

/// Reads a file of an artifact.
fn read<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Unprocessable(format!("{name} of the bundle cannot be read: {error}")))
}
