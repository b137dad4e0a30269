//! Which windows have to be judged, and which reports may be deleted.

use std::cmp::Reverse;

use jiff::Timestamp;
use kube::ResourceExt as _;
use modelward_crds::{
    ConditionType, DriftReport, DriftVerdict, EvidenceKind, Model, ModelVersion, RemediationAction,
    ServedRecord,
};

use super::{at, whole_second};
use crate::conditions::{self, Status};

/// After an outage this many of the latest windows are judged: older ones say nothing about the present.
pub const WINDOWS_CAUGHT_UP: i64 = 24;

/// Windows that have to be judged now, and when to check again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Reports to create, oldest window first.
    pub due: Vec<DueWindow>,
    /// When the next window has ended and its counts are in the ledger. None if no version serves.
    pub next: Option<Timestamp>,
}

/// A window that has ended and has no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWindow {
    /// Name of the report.
    pub name: String,
    /// Name of the version.
    pub version: String,
    /// Beginning of the window.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
}

/// Windows that end together are judged within this many seconds.
const SETTLE_SECONDS: i64 = 20;

/// The windows of the serving version that have closed, have their counts in the ledger and have no report.
///
/// The window in which the version took over is included, because rows are counted by route. Windows before the newest judged one
/// are never judged again, so that a pruned report is not recreated.
pub fn schedule(
    model: &Model,
    versions: &[ModelVersion],
    reports: &[DriftReport],
    now: Timestamp,
) -> Schedule {
    let Some((record, version)) = watched(model, versions) else {
        return Schedule::default();
    };
    let name = version.name_any();
    let monitoring = &version.spec.monitoring;
    let length = i64::from(monitoring.window_seconds.max(1));
    let lateness = i64::from(monitoring.lateness_seconds.max(0));
    let next_end = |second: i64| second - second.rem_euclid(length) + length;

    let reported = now.as_second() - lateness;
    let closed = next_end(reported) - length;
    let judged = reports
        .iter()
        .filter(|report| report.spec.version == name && is_scheduled(report, model))
        .filter_map(|report| {
            // A window of another length says nothing about which windows of the current length are judged.
            let (start, end) = bounds(report);
            (end.rem_euclid(length) == 0 && end - start == length && end <= closed).then_some(end)
        })
        .max();
    let mut first = next_end(record.since.0.as_second()).max(closed - (WINDOWS_CAUGHT_UP - 1) * length);
    if let Some(judged) = judged {
        first = first.max(judged + length);
    }
    let ends = (0..WINDOWS_CAUGHT_UP)
        .map(|window| first + window * length)
        .take_while(|end| *end <= closed);
    let due = ends.filter_map(|end| {
        let window = DueWindow {
            name: report_name(&name, at(end)),
            version: name.clone(),
            start: at(end - length),
            end: at(end),
        };
        let taken = reports.iter().any(|report| is_report_on(report, model, &window));
        (!taken).then_some(window)
    });
    Schedule {
        due: due.collect(),
        next: Some(at(first.max(closed + length) + lateness)),
    }
}

/// Name of the report on the version's window with this end: the same window has the same name. If an object that the operator
/// did not create has that name, eight hexadecimal digits are appended.
pub fn report_name(version: &str, end: Timestamp) -> String {
    format!("{version}-{}", end.strftime("%Y%m%d-%H%M%S"))
}

/// Whether a report was made because its window closed, and not because a user asked for it.
pub fn is_scheduled(report: &DriftReport, model: &Model) -> bool {
    let owned = report
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == model.metadata.uid.as_ref());
    let name = report.name_any();
    let expected = report_name(&report.spec.version, report.spec.end_time.0);
    let suffix = name.strip_prefix(&expected);
    let fits = |suffix: &str| {
        suffix.is_empty()
            || suffix.strip_prefix('-').is_some_and(|digits| {
                digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
            })
    };
    owned && suffix.is_some_and(fits)
}

/// Whether a report is the scheduled one on this window. The name alone is not enough, because a user can take any name.
pub fn is_report_on(report: &DriftReport, model: &Model, window: &DueWindow) -> bool {
    let spec = &report.spec;
    is_scheduled(report, model)
        && spec.version == window.version
        && (spec.start_time.0, spec.end_time.0) == (window.start, window.end)
}

/// When the response to a report may be decided: shortly after its window can be judged, so that all models that drift in the same
/// window are counted before the first of them is retrained.
pub fn settled_at(report: &DriftReport, version: &ModelVersion) -> Timestamp {
    let (_, end) = bounds(report);
    at(end + settle_seconds(Some(version)))
}

/// The last end of a window of a version that may be decided on now.
pub fn settled_until(version: Option<&ModelVersion>, now: Timestamp) -> Timestamp {
    at(now.as_second() - settle_seconds(version))
}

fn settle_seconds(version: Option<&ModelVersion>) -> i64 {
    let lateness = version.map_or(0, |version| version.spec.monitoring.lateness_seconds.max(0));
    i64::from(lateness) + SETTLE_SECONDS
}

/// Reports that may be deleted: scheduled ones beyond the newest `kept` that no open action refers to. Reports of users are never
/// deleted.
pub fn prunable<'a>(
    model: &Model,
    reports: &'a [DriftReport],
    actions: &[RemediationAction],
    kept: i32,
) -> Vec<&'a DriftReport> {
    let mut scheduled: Vec<_> = reports
        .iter()
        .filter(|report| is_scheduled(report, model))
        .collect();
    scheduled.sort_by_key(|report| Reverse((report.spec.end_time.0, report.name_any())));
    let kept = usize::try_from(kept).unwrap_or(0).max(1);
    // It says since when the traffic has drifted.
    let drifting = scheduled
        .iter()
        .find(|report| {
            report
                .status
                .as_ref()
                .is_some_and(|status| status.drifting_since.is_some())
        })
        .map(|report| report.metadata.uid.clone());
    let needed = |report: &DriftReport| {
        let is_newest_drift = drifting.as_ref() == Some(&report.metadata.uid);
        is_newest_drift
            || actions
                .iter()
                .filter(|action| is_open(action))
                .any(|action| rests_on(action, report.metadata.uid.as_deref().unwrap_or_default()))
    };
    scheduled
        .into_iter()
        .skip(kept)
        .filter(|report| !needed(report))
        .collect()
}

/// Whether the window of a report had enough rows for a verdict on its drift.
pub fn has_enough_rows(report: &DriftReport) -> bool {
    let verdict = report.status.as_ref().and_then(|status| status.verdict);
    matches!(verdict, Some(DriftVerdict::Drift | DriftVerdict::NoDrift))
}

/// Whether an action has not ended.
pub(super) fn is_open(action: &RemediationAction) -> bool {
    let conditions = action
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions::find(conditions, ConditionType::Succeeded)
        .is_none_or(|succeeded| conditions::status(succeeded) == Status::Unknown)
}

/// Whether an action names the report of this uid.
pub(super) fn rests_on(action: &RemediationAction, report_uid: &str) -> bool {
    let evidence = action.spec.evidence.iter().chain(&action.spec.accept_window);
    evidence
        .filter(|evidence| evidence.kind == EvidenceKind::DriftReport)
        .any(|evidence| evidence.uid == report_uid)
}

/// The version that serves now, and since when.
fn watched<'a>(
    model: &'a Model,
    versions: &'a [ModelVersion],
) -> Option<(&'a ServedRecord, &'a ModelVersion)> {
    let status = model.status.as_ref()?;
    let record = status.history.first().filter(|_| status.serving.is_some())?;
    let version = versions.iter().find(|version| {
        version.metadata.uid.as_ref() == Some(&record.uid) && version.metadata.deletion_timestamp.is_none()
    })?;
    Some((record, version))
}

/// Whole seconds: counts of windows that start in between are added up.
pub(super) fn bounds(report: &DriftReport) -> (i64, i64) {
    (
        whole_second(report.spec.start_time.0),
        whole_second(report.spec.end_time.0),
    )
}
