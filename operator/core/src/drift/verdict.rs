//! The status of a report: while it waits, after the verdict, and when the ledger fails.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use modelward_crds::{
    AsideRows, ConditionType, DriftAspect, DriftReport, DriftReportStatus, DriftVerdict, DriftedFeature,
    IncarnationCounts, Model, ModelVersion, PlannedReference, ReferenceKind, Season, SeasonRows,
};
use modelward_wire::{Decimal, LEAST_REFERENCE_ROWS, NoSeason, REPORT_FORMAT, ReportRequest, ReportResult};

use super::{at, count, listed, schedule::bounds, validate::Validated, window_words};
use crate::{
    conditions::{self, Verdict},
    reason::Reason,
};

/// Limit on the features in a status; the ledger has all of them.
const FEATURES: usize = 32;
/// Characters of the name of a test.
const TEST: usize = 64;
/// Characters of the printed column.
const DRIFTED: usize = 256;
/// Limit on the names in a sentence.
const NAMED: usize = 8;
/// Windows before a report's own over which evidence is gathered.
const WINDOWS_BACK: i64 = 23;
/// Seasons over which it is gathered if traffic repeats.
const SEASONS_BACK: i64 = 4;

/// What to do about a report.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It has its verdict, or can never have one.
    Done,
    /// There is nothing to judge yet.
    Wait {
        /// The status in the meantime.
        status: Box<DriftReportStatus>,
        /// When to check again, if only time has to pass.
        until: Option<Timestamp>,
    },
    /// The ledger can judge.
    Ask(ReportRequest),
}

/// The windows that an interval covers: counts are kept in windows, and each belongs where it starts.
struct Covered {
    start: i64,
    end: i64,
}

/// Whether a report has its verdict and the response to it. Nothing changes such a report any more.
pub fn is_complete(report: &DriftReport) -> bool {
    let Some(status) = &report.status else {
        return false;
    };
    match status.verdict {
        Some(DriftVerdict::Drift) => status
            .proposal
            .as_ref()
            .is_some_and(|proposal| Reason::of(&proposal.reason) != Some(Reason::ActionRefused)),
        Some(_) => true,
        None => false,
    }
}

/// What to do about a report. A verdict is never requested twice.
pub fn step(
    valid: &Validated,
    version: Option<&ModelVersion>,
    model: Option<&Model>,
    now: Timestamp,
) -> Step {
    let report = valid.report();
    let old = report.status.as_ref();
    let ended = |status: &DriftReportStatus| {
        let succeeded = conditions::find(&status.conditions, ConditionType::Succeeded);
        status.verdict.is_some()
            || succeeded.is_some_and(|found| conditions::reason(found) == Some(Reason::LedgerRefused))
    };
    if old.is_some_and(ended) {
        return Step::Done;
    }
    let name = &report.spec.version;
    let waits = |verdict: Verdict, stalled: bool, until: Option<Timestamp>| Step::Wait {
        status: Box::new(with_conditions(
            report,
            old.cloned().unwrap_or_default(),
            verdict,
            stalled,
            now,
        )),
        until,
    };
    let Some(version) = version else {
        let message = format!("there is no ModelVersion {name} in this namespace");
        let verdict = Verdict::unknown(ConditionType::Succeeded, Reason::VersionNotFound, message);
        return waits(verdict, true, None);
    };
    let (start, end) = bounds(report);
    let monitoring = &version.spec.monitoring;
    let closes = at(
        covered(report, version).map_or(end, |covered| covered.end.max(end))
            + i64::from(monitoring.lateness_seconds.max(0)),
    );
    if now < closes {
        let message = format!("it is judged from {closes} on: {}", window_of(report, version));
        let verdict = Verdict::unknown(ConditionType::Succeeded, Reason::WindowOpen, message);
        return waits(verdict, false, Some(closes));
    }
    let bundle = version.status.as_ref().and_then(|status| status.bundle.as_ref());
    let Some(bundle) = bundle else {
        let message = format!("{name} has no bundle yet, so there is nothing to compare its traffic with");
        let verdict = Verdict::unknown(ConditionType::Succeeded, Reason::NoBundle, message);
        return waits(verdict, false, None);
    };
    let (since, evidence_from) = watched(version, start, end);
    let tolerances = monitoring.tolerances.iter();
    Step::Ask(ReportRequest {
        format: REPORT_FORMAT,
        model: version.spec.model.clone(),
        version: name.clone(),
        bundle: bundle.digest,
        start,
        end,
        since,
        evidence_from,
        minimum_rows: u64::try_from(monitoring.minimum_rows).unwrap_or(0),
        window_seconds: u32::try_from(monitoring.window_seconds).ok(),
        season_seconds: monitoring.divided_season().seconds(),
        serving_since: serving_since(version, model, end),
        tolerance: monitoring.tolerance.clone(),
        rate_tolerance: monitoring.rate_tolerance.clone(),
        tolerances: tolerances
            .map(|one| (one.feature.clone(), one.tolerance.clone()))
            .collect(),
    })
}

/// The status that a verdict makes. It is written once. `others` are reports of the model.
pub fn verdict_status(
    report: &DriftReport,
    version: &ModelVersion,
    result: &ReportResult,
    others: &[DriftReport],
    now: Timestamp,
) -> DriftReportStatus {
    let features = features(result);
    let verdict = result.verdict;
    let reason = match verdict {
        DriftVerdict::Drift => Reason::DriftFound,
        DriftVerdict::NoDrift => Reason::NoDrift,
        DriftVerdict::InsufficientData => Reason::InsufficientData,
    };
    let status = DriftReportStatus {
        verdict: Some(verdict),
        rows: Some(count(result.rows)),
        version_uid: version.uid(),
        drifted: printed(&features).filter(|_| verdict == DriftVerdict::Drift),
        coverage: coverage(result),
        aside: Some(AsideRows {
            synthetic: count(result.synthetic),
            repeated: count(result.repeated),
            over_limit: count(result.over_limit),
        }),
        refused: Some(count(result.refused)),
        counts: result.counts,
        season: result.season.map(|season| SeasonRows {
            start_time: Time(at(season.start)),
            rows: count(season.rows),
        }),
        drifting_since: drifting_since(report, version, &features, others).map(Time),
        outside_bins: result.outside_bins.iter().take(FEATURES).cloned().collect(),
        reference: Some(reference(version, result)),
        incarnations: Some(IncarnationCounts {
            total: count(result.incarnations),
            unclosed: count(result.unclosed.len() as u64),
        }),
        features,
        ..report.status.clone().unwrap_or_default()
    };
    let rows = format!("{} rows of {}", result.rows, window_of(report, version));
    let message = match verdict {
        DriftVerdict::Drift => format!("{} ({rows})", drift_words(&status.features)),
        DriftVerdict::NoDrift => format!("no feature differs ({rows})"),
        DriftVerdict::InsufficientData => {
            let needed = version.spec.monitoring.minimum_rows;
            // An accepted window that is shorter than the season is compared with windows.
            let by_window = result.season_seconds.is_none() && result.reference.accepted_window;
            let season = if by_window {
                Season::None
            } else {
                version.spec.monitoring.divided_season()
            };
            let noun = season.noun();
            if let Some(NoSeason::Open { ends }) = result.no_season {
                format!(
                    "a whole {noun} of traffic is needed; the first one ends at {} ({rows})",
                    at(ends)
                )
            } else if result.no_season == Some(NoSeason::TooManyTotals) {
                format!(
                    "too many counts to read a whole {noun} of them: make monitoring.windowSeconds longer ({rows})"
                )
            } else if season != Season::None && result.rows == 0 {
                format!("nothing was counted in the newest window ({rows})")
            } else if season != Season::None {
                format!(
                    "not enough rows: {needed} required in a {noun}, {LEAST_REFERENCE_ROWS} in the reference ({rows})"
                )
            } else if count(result.rows) < needed {
                format!("not enough rows: {needed} required ({rows})")
            } else {
                format!("the reference has too few rows ({rows})")
            }
        }
    };
    let message = match set_aside(result) {
        Some(words) => format!("{message}; {words}"),
        None => message,
    };
    let verdict = Verdict::holds(ConditionType::Succeeded, reason, message);
    with_conditions(report, status, verdict, false, now)
}

/// Pods whose counts are excluded from the verdict.
fn set_aside(result: &ReportResult) -> Option<String> {
    let pods: Vec<&str> = result.set_aside.iter().map(|aside| aside.pod.as_str()).collect();
    let first = result.set_aside.first()?;
    let what = if pods.len() == 1 { "Pod" } else { "Pods" };
    Some(format!(
        "counts of {what} {} were left out: {}",
        listed(&pods, NAMED),
        first.reason
    ))
}

/// The status of a report while the ledger does not answer.
pub fn away_status(report: &DriftReport, problem: &str, now: Timestamp) -> DriftReportStatus {
    let message = format!("retrying the ledger: {problem}");
    let verdict = Verdict::unknown(ConditionType::Succeeded, Reason::LedgerUnavailable, message);
    with_conditions(
        report,
        report.status.clone().unwrap_or_default(),
        verdict,
        false,
        now,
    )
}

/// The status of a report after a rejection by the ledger. A missing bundle may be restored; other rejections are final, and the
/// next window is a new request.
pub fn refused_status(report: &DriftReport, code: u16, problem: &str, now: Timestamp) -> DriftReportStatus {
    let (reason, hint) = match code {
        404 => (Reason::ArtifactMissing, "retrying every few minutes"),
        _ => (
            Reason::LedgerRefused,
            "create a new DriftReport once that is fixed",
        ),
    };
    let verdict = Verdict::fails(ConditionType::Succeeded, reason, format!("{problem}; {hint}"));
    with_conditions(
        report,
        report.status.clone().unwrap_or_default(),
        verdict,
        true,
        now,
    )
}

/// What drifted, as text: "age and slope differ; the missing rate of ca differs".
pub fn drift_words(features: &[DriftedFeature]) -> String {
    let sentences: Vec<String> = DriftAspect::ALL
        .into_iter()
        .filter_map(|aspect| {
            let features = features.iter().filter(|feature| feature.aspect == aspect);
            let names: Vec<&str> = features.map(|feature| feature.name.as_str()).collect();
            (!names.is_empty()).then(|| aspect_words(aspect, &names))
        })
        .collect();
    if sentences.is_empty() {
        return "its input differs".to_owned();
    }
    sentences.join("; ")
}

// === parts ===

/// What drifted of these features.
fn aspect_words(aspect: DriftAspect, names: &[&str]) -> String {
    let is_one = names.len() == 1;
    let what = match aspect {
        DriftAspect::Scores => return "the scores differ".to_owned(),
        DriftAspect::Traffic => return "the amount of traffic differs".to_owned(),
        DriftAspect::Refused => return "rows are refused that the model cannot read".to_owned(),
        DriftAspect::Outside => {
            let verb = if is_one { "has" } else { "have" };
            return format!("{} {verb} values that training never saw", listed(names, NAMED));
        }
        DriftAspect::TypeErrors => {
            return format!("rows are refused because of the type of {}", listed(names, NAMED));
        }
        DriftAspect::Values => "",
        DriftAspect::MissingRate if is_one => "the missing rate of ",
        DriftAspect::MissingRate => "missing rates of ",
    };
    let verb = if is_one { "differs" } else { "differ" };
    format!("{what}{} {verb}", listed(names, NAMED))
}

fn with_conditions(
    report: &DriftReport,
    mut status: DriftReportStatus,
    succeeded: Verdict,
    stalled: bool,
    now: Timestamp,
) -> DriftReportStatus {
    let working = succeeded.status == conditions::Status::Unknown && !stalled;
    let (reason, message) = (succeeded.reason, succeeded.message.clone());
    let summary = |kind, holds: bool| {
        if holds {
            Verdict::holds(kind, reason, message.clone())
        } else {
            Verdict::fails(kind, reason, "")
        }
    };
    let verdicts = [
        summary(ConditionType::Reconciling, working),
        summary(ConditionType::Stalled, stalled),
    ];
    let verdicts: Vec<_> = [succeeded].into_iter().chain(verdicts).collect();
    let generation = report.metadata.generation;
    status.observed_generation = generation;
    status.conditions = conditions::merge(&status.conditions, &verdicts, generation, now);
    status
}

/// The windows that start inside the report's interval; none if it is shorter than a window and lies between two starts.
fn covered(report: &DriftReport, version: &ModelVersion) -> Option<Covered> {
    let (start, end) = bounds(report);
    let length = i64::from(version.spec.monitoring.window_seconds.max(1));
    let up = |second: i64| second + (length - second.rem_euclid(length)) % length;
    (up(start) < end).then(|| Covered {
        start: up(start),
        end: up(end),
    })
}

/// When the monitoring of the version began, and from when on evidence is gathered for a window from `start` to `end`, in seconds
/// since 1970. A Pod counts in whole windows, so the first one may begin before the version was created.
fn watched(version: &ModelVersion, start: i64, end: i64) -> (i64, i64) {
    let length = i64::from(version.spec.monitoring.window_seconds.max(1));
    let from = match version.spec.monitoring.divided_season().seconds() {
        Some(seconds) => end - SEASONS_BACK * i64::from(seconds),
        None => start - WINDOWS_BACK * length,
    };
    let created = version.metadata.creation_timestamp.as_ref();
    let created = created.map_or(start, |created| created.0.as_second());
    let since = (created - created.rem_euclid(length)).clamp(0, start.max(0));
    (since, from.clamp(since, start.max(since)))
}

/// Since when the version answers the requests of its model, as of the end of a window. Before that it had a part of them, or none.
fn serving_since(version: &ModelVersion, model: Option<&Model>, end: i64) -> Option<i64> {
    let history = &model?.status.as_ref()?.history;
    let served = history
        .iter()
        .filter(|record| Some(&record.uid) == version.metadata.uid.as_ref())
        .map(|record| record.since.0.as_second());
    served.filter(|since| *since < end).max()
}

/// When the drift of a version whose traffic repeats began: the start of the first window that drifted, without a whole season in between
/// in which none did. The amount of traffic and refused rows do not count: a retraining accepts neither.
fn drifting_since(
    report: &DriftReport,
    version: &ModelVersion,
    features: &[DriftedFeature],
    others: &[DriftReport],
) -> Option<Timestamp> {
    let season = i64::from(version.spec.monitoring.divided_season().seconds()?);
    if features
        .iter()
        .all(|feature| DriftAspect::OF_REQUESTS.contains(&feature.aspect))
    {
        return None;
    }
    let (start, end) = bounds(report);
    let before = others.iter().filter_map(|other| {
        let status = other.status.as_ref()?;
        let (_, other_end) = bounds(other);
        let is_before = other_end < end && other_end >= end - season && status.version_uid == version.uid();
        Some((other_end, status.drifting_since.as_ref().filter(|_| is_before)?))
    });
    let since = before.max_by_key(|(end, _)| *end).map(|(_, since)| since.0);
    Some(since.unwrap_or_else(|| at(start)))
}

/// The interval as text, and the windows that it covers if it does not consist of whole ones.
fn window_of(report: &DriftReport, version: &ModelVersion) -> String {
    let (start, end) = bounds(report);
    let asked = window_words(at(start), at(end));
    match covered(report, version) {
        Some(covered) if (covered.start, covered.end) == (start, end) => asked,
        Some(covered) => format!(
            "{asked}, by the windows that start in it: {}",
            window_words(at(covered.start), at(covered.end))
        ),
        None => format!(
            "{asked}; no window of {} s, the version's monitoring.windowSeconds, starts in it",
            version.spec.monitoring.window_seconds
        ),
    }
}

/// The features that differ, the largest effect first: of several tests of one aspect the first one stays.
fn features(result: &ReportResult) -> Vec<DriftedFeature> {
    let mut seen = BTreeSet::new();
    let features = result.drifted.iter().map(|found| DriftedFeature {
        name: found.feature.chars().take(128).collect(),
        aspect: found.aspect,
        test: found.test.as_ref().map(|test| test.chars().take(TEST).collect()),
        effect: found.effect.clone(),
        lower: found.lower.clone(),
        upper: found.upper.clone(),
        tolerance: found.tolerance.clone(),
        windows: found.windows,
        log_evidence: found.log_evidence.clone(),
        log_threshold: found.log_threshold.clone(),
    });
    features
        .filter(|feature| seen.insert((feature.name.clone(), feature.aspect)))
        .take(FEATURES)
        .collect()
}

/// Names of the features, each once, up to the limit.
fn printed(features: &[DriftedFeature]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for feature in features {
        if !names.contains(&feature.name.as_str()) {
            names.push(&feature.name);
        }
    }
    let all = names.join(", ");
    if all.chars().count() > DRIFTED {
        return Some(all.chars().take(DRIFTED - 1).chain(['…']).collect());
    }
    (!all.is_empty()).then_some(all)
}

/// The share that was judged, never rounded up: 1 means every row.
fn coverage(result: &ReportResult) -> Option<Decimal> {
    let judged = u128::from(result.rows);
    let all = judged + u128::from(result.repeated) + u128::from(result.over_limit);
    let millionths = (judged * 1_000_000).checked_div(all)?;
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').parse().ok()
}

fn reference(version: &ModelVersion, result: &ReportResult) -> PlannedReference {
    let training = version.spec.source.training.as_ref();
    let accepted = training
        .and_then(|training| training.reference.as_ref())
        .filter(|_| result.reference.accepted_window);
    PlannedReference {
        kind: if result.reference.accepted_window {
            ReferenceKind::AcceptedWindow
        } else {
            ReferenceKind::TrainingData
        },
        digest: result.reference.digest,
        rows: Some(count(result.reference.rows)),
        start_time: accepted.map(|window| window.start_time.clone()),
        end_time: accepted.map(|window| window.end_time.clone()),
    }
}
