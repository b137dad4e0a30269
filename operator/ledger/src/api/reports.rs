//! Verdicts on windows.
//!
//! ```text
//! store: bundle ─► reference.json ─► bins, reference counts ┐
//!                                                           ├─► judge ─► verdict ─► drift_reports, once for a uid
//! PostgreSQL: totals of all Pods in [start, end) ─► sum ────┤
//!             and of the windows before ─► evidence ────────┘
//!                                                     sum ────► bins and sum, as a blob: what an accepted window is
//! ```

use std::collections::BTreeMap;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use modelward_profile::{
    ChosenBy, Comparison, Counts, Exact, Judgement, Reference, Rule, WindowCounts, judge,
};
use modelward_service::chain;
use modelward_wire::{
    Decimal, Digest, DriftAspect, DriftVerdict, DriftedComparison, Manifest, ManifestKind, REPORT_FORMAT,
    ReportReference, ReportRequest, ReportResult, SetAside, UnclosedIncarnation,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    extract::{LAST_SECOND, Object, is_name, not_a_name, parse, refuse_nul, whole},
    state::{App, Shared},
};
use crate::{
    auth::Caller,
    database::{Interval, KeptReport, NewReport, Summed, SummedWindow},
    error::ApiError,
    store::Kind,
};

/// What a window is compared with.
struct Compared {
    reference: Reference,
    named: ReportReference,
}

/// The bundle's file that says which window of traffic its reference is.
#[derive(Deserialize)]
struct AcceptedWindow {
    counts: Digest,
}

const MAX_REPORT_BYTES: u64 = 256 * 1024;
/// A model of 1,000 features has a reference of about 1 MiB.
const MAX_REFERENCE_BYTES: u64 = 32 * 1024 * 1024;
const MAX_TOLERANCES: usize = 512;
const REFERENCE: &str = "reference.json";
/// Name of what is compared besides the features.
const SCORES: &str = "score";
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
    // The order of tolerances says nothing, and the same request again is the same request.
    request.tolerances.sort();
    check(&request).map_err(ApiError::Unprocessable)?;
    if let Some(kept) = app.database.report(uid).await? {
        app.metrics.report("repeated");
        return again(&namespace, &request, &kept);
    }
    let compared = reference(&app, &namespace, &request.bundle).await?;
    let interval = Interval {
        model: request.model.clone(),
        version: request.version.clone(),
        bundle: request.bundle,
        from: request.evidence_from,
        start: request.start,
        end: request.end,
    };
    let summed = app
        .database
        .sum_counts(&namespace, interval, &compared.reference.bins)
        .await?;
    let summed = summed.map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    let asked = request.clone();
    // Thousands of bins take milliseconds of computing, which other requests should not wait for.
    let (report, window) = tokio::task::spawn_blocking(move || verdict(&asked, compared, summed))
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
    // Another request was first: its verdict is the one.
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

/// The verdict that was given first, to the same question.
fn again(namespace: &str, request: &ReportRequest, kept: &KeptReport) -> Result<Response, ApiError> {
    if kept.namespace != namespace || kept.request != *request {
        return Err(ApiError::Conflict(
            "this DriftReport was already evaluated with different parameters; create a new one".into(),
        ));
    }
    answer(&kept.result)
}

/// Written by the type each time, so that the same verdict has the same bytes.
fn answer(result: &ReportResult) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(result).map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// Refuses what cannot be judged, in words.
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
            "evidence is asked for since {since} and gathered from {from} on; both must be seconds since 1970, since at or \
             before evidenceFrom, and that at or before start, {start}"
        ));
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

/// The reference of a bundle, with every byte of it verified.
async fn reference(app: &App, namespace: &str, bundle: &Digest) -> Result<Compared, ApiError> {
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
    let bytes = fetch(app, namespace, Kind::Blob, &file.sha256, MAX_REFERENCE_BYTES).await?;
    let reference: Reference = read(&bytes, REFERENCE)?;
    reference.check().map_err(|error| {
        ApiError::Unprocessable(format!("{REFERENCE} of bundle {bundle}: {}", chain(&error)))
    })?;
    let accepted = match manifest.file(ACCEPTED_WINDOW) {
        Some(file) => {
            let bytes = fetch(app, namespace, Kind::Blob, &file.sha256, MAX_REPORT_BYTES).await?;
            Some(read::<AcceptedWindow>(&bytes, ACCEPTED_WINDOW)?.counts)
        }
        None => None,
    };
    let named = ReportReference {
        digest: accepted.unwrap_or(file.sha256),
        accepted_window: accepted.is_some(),
        rows: reference.counts.features.rows,
    };
    Ok(Compared { reference, named })
}

/// The bytes of an artifact, if they are the ones that its name promises.
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
            "{name} {digest} is damaged in the store: publish the same artifact again to heal it"
        )));
    }
    Ok(bytes)
}

/// Reads a file of an artifact.
fn read<T: DeserializeOwned>(bytes: &[u8], name: &str) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Unprocessable(format!("{name} of the bundle cannot be read: {error}")))
}

// === the verdict ===

/// Judges what was counted, and gives the window as the bytes of a [`Reference`] where anything was.
fn verdict(
    request: &ReportRequest,
    compared: Compared,
    summed: Summed,
) -> Result<(NewReport, Option<Bytes>), ApiError> {
    let Compared { reference, named } = compared;
    let counts = summed.counts(request.start, request.end).map_err(|error| {
        ApiError::Unprocessable(format!(
            "the counts of the window do not add up: {}",
            chain(&error)
        ))
    })?;
    let counted = counts.is_some();
    let counts = counts.unwrap_or_else(|| Counts::new(&reference.bins));
    let rule = rule(request, counts.features.rows)?;
    let cannot = |error| ApiError::Unprocessable(format!("the window cannot be judged: {}", chain(&error)));
    let judgement = judge(&reference, &windows(request, &summed.windows, &counts), &rule).map_err(cannot)?;
    let (rows, aside) = (counts.features.rows, counts.aside);
    let window = counted
        .then(|| {
            let accepted = Reference {
                bins: reference.bins,
                counts,
                chosen_by: ChosenBy::None,
            };
            serde_json::to_vec(&accepted).map(Bytes::from)
        })
        .transpose()
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    let result = ReportResult {
        format: REPORT_FORMAT,
        verdict: judgement.verdict,
        rows,
        synthetic: aside.synthetic,
        repeated: aside.repeated,
        over_limit: aside.over_limit,
        set_aside: summed
            .misfits
            .iter()
            .map(|(pod, (totals, why))| SetAside {
                pod: pod.to_string(),
                totals: *totals,
                reason: why.to_string(),
            })
            .collect(),
        incarnations: summed.processes.len() as u64,
        unclosed: summed
            .processes
            .into_iter()
            .filter(|(_, closed)| !closed)
            .map(|((pod, incarnation), _)| UnclosedIncarnation {
                pod: pod.to_string(),
                incarnation: incarnation.into(),
            })
            .collect(),
        counts: window
            .as_ref()
            .map(|window| Digest::from_bytes(Sha256::digest(window).into())),
        reference: named,
        drifted: drifted(&judgement)?,
    };
    let report = NewReport {
        request: request.clone(),
        result,
        judgement,
    };
    Ok((report, window))
}

/// The windows before the one that is judged, and that one, which may be several windows together.
fn windows<'a>(
    request: &ReportRequest,
    summed: &'a BTreeMap<i64, SummedWindow>,
    judged: &'a Counts,
) -> Vec<WindowCounts<'a>> {
    let after = |second: i64| u64::try_from(second - request.since).unwrap_or_default();
    let mut windows = since(request.since, summed);
    windows.retain(|window| window.from < after(request.start));
    // A report on an interval of a user's own may begin within a window.
    if let Some(last) = windows.last_mut() {
        last.to = last.to.min(after(request.start));
    }
    windows.push(WindowCounts {
        from: after(request.start),
        to: after(request.end),
        counts: judged,
    });
    windows
}

/// The windows in the order of time, by their distance from the beginning. One that began before another was over ends there:
/// their length can be changed while a version serves.
fn since(beginning: i64, windows: &BTreeMap<i64, SummedWindow>) -> Vec<WindowCounts<'_>> {
    let after = |second: i64| u64::try_from(second - beginning).unwrap_or_default();
    let next = windows.keys().skip(1).copied().chain([i64::MAX]);
    windows
        .iter()
        .zip(next)
        .map(|((start, window), next)| WindowCounts {
            from: after(*start),
            to: after(next.min(start + i64::from(window.seconds.max(1)))),
            counts: &window.counts,
        })
        .collect()
}

/// `minimumRows` is about the window; the reference needs the usual number, however many rows a window should have.
fn rule(request: &ReportRequest, rows: u64) -> Result<Rule, ApiError> {
    let default = Rule::default();
    let exact = |decimal: &Decimal| {
        Exact::new(decimal.to_f64())
            .ok_or_else(|| ApiError::Unprocessable(format!("tolerance {decimal} is not a finite number")))
    };
    let tolerances = request
        .tolerances
        .iter()
        .map(|(feature, tolerance)| Ok((feature.clone(), exact(tolerance)?)))
        .collect::<Result<BTreeMap<_, _>, ApiError>>()?;
    Ok(Rule {
        tolerance: exact(&request.tolerance)?,
        rate_tolerance: exact(&request.rate_tolerance)?,
        tolerances,
        min_rows: if rows >= request.minimum_rows {
            request.minimum_rows.min(default.min_rows)
        } else {
            request.minimum_rows
        },
        ..default
    })
}

/// The comparisons that drifted, the largest effect first.
fn drifted(judgement: &Judgement) -> Result<Vec<DriftedComparison>, ApiError> {
    let of_features = judgement.features.iter().flat_map(|feature| {
        let tests = feature.tests.iter();
        tests.map(|judged| {
            (
                feature.name.as_str(),
                judged.aspect,
                Some(judged.test.as_str()),
                &judged.comparison,
            )
        })
    });
    let of_scores = [(SCORES, DriftAspect::Scores, None, &judgement.score)];
    let mut found: Vec<(f64, DriftedComparison)> = Vec::new();
    for (feature, aspect, test, comparison) in of_features.chain(of_scores) {
        let Comparison {
            verdict: DriftVerdict::Drift,
            windows,
            tolerance,
            log_evidence: Some(log_evidence),
            log_threshold,
            effect: Some(effect),
            ..
        } = comparison
        else {
            continue;
        };
        let row = DriftedComparison {
            feature: feature.to_owned(),
            aspect,
            test: test.map(str::to_owned),
            effect: decimal(effect.estimate, 6)?,
            lower: decimal(effect.lower, 6)?,
            upper: decimal(effect.upper, 6)?,
            tolerance: decimal(*tolerance, 6)?,
            windows: u32::try_from(*windows).unwrap_or(u32::MAX),
            log_evidence: decimal(*log_evidence, 6)?,
            log_threshold: decimal(*log_threshold, 6)?,
        };
        found.push((effect.estimate.get(), row));
    }
    // The sort is stable: equal effects stay in the order of the features.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(found.into_iter().map(|(_, row)| row).collect())
}

fn decimal(number: Exact<f64>, places: usize) -> Result<Decimal, ApiError> {
    Decimal::rounded(number.get(), places)
        .ok_or_else(|| ApiError::Internal(format!("{number:?} is not a decimal number").into()))
}

#[cfg(test)]
mod tests {
    use modelward_profile::{Bins, FeatureBins, Observed, ScoreBins};
    use modelward_wire::DriftAspect;

    use super::*;

    #[test]
    fn what_drifted_is_listed_with_its_test_whatever_tests_there_are() {
        let bins = Bins::new(
            vec![FeatureBins::categorical("c", ["a", "b"])],
            ScoreBins::from_out_of_fold(&[0.5]).unwrap(),
        )
        .unwrap();
        let counts = |category| {
            let mut counts = Counts::new(&bins);
            for _ in 0..200 {
                let row = [Observed::Category(category)];
                counts.add_row(&bins, row, 0.5, 0).unwrap();
            }
            counts
        };
        let (before, now) = (counts(0), counts(1));
        let windows = [WindowCounts {
            from: 0,
            to: 3600,
            counts: &now,
        }];
        let reference = Reference {
            bins: bins.clone(),
            counts: before,
            chosen_by: ChosenBy::None,
        };
        let mut judgement = judge(&reference, &windows, &Rule::default()).unwrap();
        let tests = &mut judgement.features[0].tests;
        tests.truncate(1);
        let mut further = tests[0].clone();
        further.test = "shape".into();
        tests[0].comparison.effect.as_mut().unwrap().estimate = Exact::new(0.4).unwrap();
        tests.push(further);

        let found = drifted(&judgement).unwrap();
        let listed: Vec<_> = found
            .iter()
            .map(|row| (row.feature.as_str(), row.aspect, row.test.as_deref()))
            .collect();
        assert_eq!(
            listed,
            [
                ("c", DriftAspect::Values, Some("shape")),
                ("c", DriftAspect::Values, Some("category")),
            ]
        );
        assert_eq!(
            (found[0].effect.as_str(), found[1].effect.as_str()),
            ("1.000000", "0.400000")
        );
    }
}
