//! Traffic that repeats every day.

use modelward_crds::SeasonRows;
use modelward_wire::{CountedSeason, NoSeason};

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// `heart-1`, whose traffic repeats every day; created when its first window began.
fn daily() -> ModelVersion {
    let mut version = version();
    version.spec.monitoring.season = Season::Day;
    version.metadata.creation_timestamp = Some(Time(at(0)));
    version
}

/// The status of the window that ends then, after those before it.
fn status_of(end: i64, verdict: DriftVerdict, before: &[DriftReport]) -> DriftReportStatus {
    let drifted: &[_] = if verdict == DriftVerdict::Drift {
        &[("age", true)]
    } else {
        &[]
    };
    let mut result = result(verdict, drifted);
    result.season_seconds = Some(86_400);
    if end < DAY {
        result.no_season = Some(NoSeason::Open {
            ends: at(DAY).as_second(),
        });
    }
    if verdict == DriftVerdict::Drift && end >= DAY {
        result.season = Some(CountedSeason {
            start: at(end - DAY).as_second(),
            rows: 4000,
        });
    }
    super::super::verdict_status(&made(end), &daily(), &result, before, at(end + 30))
}

/// Reports on these windows, by their ends in hours.
fn reports(windows: &[(i64, DriftVerdict)]) -> Vec<DriftReport> {
    let mut reports: Vec<DriftReport> = Vec::new();
    for (hour, verdict) in windows {
        let status = status_of(hour * HOUR, *verdict, &reports);
        reports.push(DriftReport {
            status: Some(status),
            ..made(hour * HOUR)
        });
    }
    reports
}

#[test]
fn the_ledger_is_asked_for_four_seasons_of_windows_and_never_from_before_the_version() {
    let asks = |end: i64| {
        let Step::Ask(request) = step(&made(end), Some(&daily()), at(end + 30)) else {
            panic!("it is over");
        };
        assert_eq!(
            (request.window_seconds, request.season_seconds),
            (Some(3600), Some(86_400))
        );
        request.evidence_from - at(0).as_second()
    };
    assert_eq!(asks(30 * HOUR), 0);
    assert_eq!(asks(10 * DAY), 6 * DAY);
}

#[test]
fn before_a_whole_season_has_passed_the_verdict_says_when_it_will_have() {
    let words = |end: i64| {
        let status = status_of(end, DriftVerdict::InsufficientData, &[]);
        succeeded(&status).2.to_owned()
    };
    assert_eq!(
        words(5 * HOUR),
        "a whole day of traffic is needed; the first one ends at 2026-11-24T10:00:00Z (147 rows of 14:00-15:00)"
    );
    assert_eq!(
        words(30 * HOUR),
        "not enough rows: 100 required in a day, 100 in the reference (147 rows of 15:00-16:00)"
    );
}

#[test]
fn drift_lasts_since_the_first_window_that_drifted_without_a_day_in_which_none_did() {
    use DriftVerdict::{Drift, InsufficientData, NoDrift};
    let since = |windows: &[(i64, DriftVerdict)]| {
        let last = reports(windows).pop().unwrap().status.unwrap();
        let since = last.drifting_since?;
        Some((since.0.as_second() - at(0).as_second()) / HOUR)
    };
    assert_eq!(since(&[(30, NoDrift)]), None);
    assert_eq!(since(&[(30, NoDrift), (31, Drift)]), Some(30));
    // A night without enough rows says nothing.
    assert_eq!(
        since(&[(30, NoDrift), (31, Drift), (32, InsufficientData), (33, Drift)]),
        Some(30)
    );
    // A change of some hours is not found in the others.
    assert_eq!(since(&[(31, Drift), (32, NoDrift), (33, Drift)]), Some(30));
    assert_eq!(since(&[(31, Drift), (32, NoDrift), (55, Drift)]), Some(30));
    assert_eq!(since(&[(31, Drift), (32, NoDrift), (56, Drift)]), Some(55));
}

#[test]
fn a_window_that_was_compared_by_itself_lacks_rows_of_its_own() {
    let mut result = result(DriftVerdict::InsufficientData, &[]);
    result.rows = 87;
    result.reference.accepted_window = true;
    let end = 30 * HOUR;
    let status = super::super::verdict_status(&made(end), &daily(), &result, &[], at(end + 30));
    let succeeded = &status.conditions[0];
    assert_eq!(
        succeeded.message,
        "not enough rows: 100 required (87 rows of 15:00-16:00)"
    );
}

#[test]
fn the_report_that_says_since_when_traffic_drifts_is_kept() {
    use DriftVerdict::{Drift, InsufficientData};
    let mut windows = vec![(30, Drift), (31, Drift)];
    windows.extend((32..62).map(|hour| (hour, InsufficientData)));
    let reports = reports(&windows);
    let gone = prunable(&model(0), &reports, &[], 24);
    let gone: Vec<_> = gone
        .iter()
        .map(|report| bounds(report).1 - at(0).as_second())
        .collect();
    assert!(
        gone.contains(&(30 * HOUR)) && !gone.contains(&(31 * HOUR)),
        "{gone:?}"
    );
    assert_eq!(gone.len(), 32 - 24 - 1);
}

#[test]
fn refused_rows_and_the_amount_of_traffic_do_not_begin_a_drift_that_a_season_is_accepted_of() {
    let mut traffic = result(DriftVerdict::Drift, &[("traffic", true)]);
    traffic.drifted[0].aspect = DriftAspect::Traffic;
    let end = 30 * HOUR;
    let status = super::super::verdict_status(&made(end), &daily(), &traffic, &[], at(end + 30));
    assert_eq!(
        (status.verdict, status.drifting_since),
        (Some(DriftVerdict::Drift), None)
    );
}

#[test]
fn a_season_is_whole_from_when_the_version_serves() {
    let asks = |version: &ModelVersion| {
        let report = validate(made(50 * HOUR)).unwrap();
        let Step::Ask(request) =
            super::super::step(&report, Some(version), Some(&model(40 * HOUR)), at(51 * HOUR))
        else {
            panic!("it is over");
        };
        request
    };
    let request = asks(&daily());
    assert_eq!(request.serving_since, Some(at(40 * HOUR).as_second()));
    assert_eq!(request.since, at(0).as_second());
    let mut windows = daily();
    windows.spec.monitoring.window_seconds = 7 * 3600;
    assert_eq!(
        asks(&windows).season_seconds,
        None,
        "windows of 7 hours fill no day"
    );
}

#[test]
fn a_retraining_is_proposed_once_a_whole_season_drifted_and_accepts_it() {
    let mut scene = Scene::new();
    scene.season = Season::Day;
    let answer = |scene: &mut Scene, hour: i64| {
        let mut report = made(hour * HOUR);
        let mut status = status_of(hour * HOUR, DriftVerdict::Drift, &[]);
        status.drifting_since = Some(Time(at(30 * HOUR)));
        report.status = Some(status);
        scene.report = report;
        scene.decide(hour * HOUR + 60)
    };
    let Decision::Kept { reason, message } = answer(&mut scene, 53) else {
        panic!("the season began before the drift");
    };
    assert_eq!(reason, Reason::SeasonOpen);
    assert!(
        message.ends_with("is proposed from 2026-11-25T16:00:00Z on"),
        "{message}"
    );
    let Decision::Propose(proposed) = answer(&mut scene, 54) else {
        panic!("a whole day drifted");
    };
    assert!(proposed.spec.accept_window.is_some());
    assert_eq!(
        scene.report.status.unwrap().season,
        Some(SeasonRows {
            start_time: Time(at(30 * HOUR)),
            rows: 4000
        })
    );
}

#[test]
fn an_alert_does_not_wait_for_a_season() {
    let mut scene = Scene::new();
    scene.season = Season::Day;
    scene.retrains = false;
    assert_eq!(scene.proposed(3640).spec.action, ActionType::SendAlert);
}
