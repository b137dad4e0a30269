use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ConditionType, DriftAspect, DriftReport, DriftReportStatus, DriftVerdict, Model,
    ModelVersion, Proposal, RemediationAction, Season,
};
use modelward_wire::{Decimal, Digest, DriftedComparison, ReportReference, ReportResult};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{schedule::bounds, *};
use crate::{action::kinds::facts, conditions, policy::Policy, reason::Reason, record::proposals::remember};

mod season;
mod traffic;

/// Seconds after 2026-11-23 10:00:00 UTC.
fn at(second: i64) -> Timestamp {
    "2026-11-23T10:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second)
}

fn from<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn step(report: &DriftReport, version: Option<&ModelVersion>, now: Timestamp) -> Step {
    super::step(&validate(report.clone()).unwrap(), version, None, now)
}

fn verdict_status(
    report: &DriftReport,
    version: &ModelVersion,
    result: &ReportResult,
    now: Timestamp,
) -> DriftReportStatus {
    super::verdict_status(report, version, result, &[], now)
}

fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// `heart`, which answers with `heart-1` since that second.
fn model(since: i64) -> Model {
    from(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
        "metadata": {"name": "heart", "namespace": "hospital", "uid": "model"},
        "spec": {},
        "status": {
            "serving": "heart-1",
            "routes": [{"version": "heart-1", "uid": "version-1", "digest": digest(1), "weight": 100, "threshold": "0.5"}],
            "history": [{"version": "heart-1", "uid": "version-1", "digest": digest(1), "since": at(since)}],
        },
    }))
}

/// `heart-1`, in windows of an hour.
fn version() -> ModelVersion {
    from(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
        "metadata": {"name": "heart-1", "namespace": "hospital", "uid": "version-1"},
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
            }},
            "serving": {"access": "Open"},
            "monitoring": {"season": "None", "windowSeconds": 3600, "latenessSeconds": 30,
                "tolerances": [{"feature": "age", "tolerance": "0.2"}]},
        },
        "status": {"bundle": {"digest": digest(1)}},
    }))
}

/// A user's report on an interval.
fn asked(name: &str, start: i64, end: i64) -> DriftReport {
    from(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftReport",
        "metadata": {"name": name, "namespace": "hospital", "uid": format!("uid of {name}"), "generation": 1},
        "spec": {"version": "heart-1", "startTime": at(start), "endTime": at(end)},
    }))
}

/// The operator's report on the window that ends then.
fn made(end: i64) -> DriftReport {
    let mut report = asked(&report_name("heart-1", at(end)), end - 3600, end);
    report.metadata.owner_references = from(json!([{
        "apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart", "uid": "model", "controller": true,
    }]));
    report.metadata.labels = from(json!({"modelward.io/model": "heart"}));
    report
}

fn drifting(reports: &[DriftReport], now: Timestamp) -> DriftingModels {
    let drifts: Vec<_> = reports.iter().filter_map(DriftSeen::of).collect();
    DriftingModels::of(&drifts, now)
}

fn judged(mut report: DriftReport, verdict: DriftVerdict) -> DriftReport {
    report.status = Some(DriftReportStatus {
        verdict: Some(verdict),
        rows: Some(147),
        version_uid: Some("version-1".into()),
        counts: Some(digest(9)),
        ..DriftReportStatus::default()
    });
    report
}

fn action(kind: &str, evidence: &str, succeeded: &str) -> RemediationAction {
    from(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction",
        "metadata": {"name": format!("some-{kind}")},
        "spec": {"model": "heart", "type": kind, "evidence": [{"kind": "DriftReport", "name": "x", "uid": evidence}]},
        "status": {"conditions": [{"type": "Succeeded", "status": succeeded, "reason": "R", "message": "",
            "lastTransitionTime": at(0)}]},
    }))
}

// === windows ===

fn ends(schedule: &Schedule) -> Vec<i64> {
    let seconds = schedule
        .due
        .iter()
        .map(|window| window.end.as_second() - at(0).as_second());
    seconds.collect()
}

#[test]
fn a_window_is_due_when_it_is_over_and_reported_and_not_a_second_before() {
    let due = |now| schedule(&model(10), &[version()], &[], at(now));
    assert_eq!(ends(&due(3600 + 29)), [0; 0]);
    assert_eq!(due(3600 + 29).next, Some(at(3630)));
    let window = &due(3630).due[0];
    assert_eq!(
        (window.name.as_str(), window.version.as_str()),
        ("heart-1-20261123-110000", "heart-1")
    );
    assert_eq!((window.start, window.end), (at(0), at(3600)));
    assert_eq!(due(3630).next, Some(at(7230)));
}

#[test]
fn windows_that_ended_before_the_version_served_are_none_of_its() {
    assert_eq!(
        ends(&schedule(&model(10), &[version()], &[], at(3 * 3600 + 40))),
        [3600, 7200, 10800]
    );
    // A window that ended in that second holds no row of it.
    assert_eq!(
        ends(&schedule(&model(3600), &[version()], &[], at(2 * 3600 + 40))),
        [7200]
    );
    let later = schedule(&model(9000), &[version()], &[], at(3600));
    assert_eq!((ends(&later), later.next), (vec![], Some(at(10830))));
}

#[test]
fn after_an_outage_the_latest_windows_are_judged_and_no_more_than_a_day_of_them() {
    let due = schedule(&model(0), &[version()], &[], at(100 * 3600 + 40));
    assert_eq!(due.due.len(), 24);
    assert_eq!(ends(&due).last(), Some(&(100 * 3600)));
}

#[test]
fn what_was_judged_and_pruned_does_not_come_back() {
    let due = schedule(&model(0), &[version()], &[made(3 * 3600)], at(5 * 3600 + 40));
    assert_eq!(ends(&due), [4 * 3600, 5 * 3600]);
}

#[test]
fn a_persons_reports_neither_stand_for_windows_nor_hold_them_up() {
    let mut pretended = made(3600);
    pretended.metadata.owner_references = None;
    let far = asked("mine", 0, 90 * 3600);
    let due = schedule(&model(0), &[version()], &[pretended, far], at(2 * 3600 + 40));
    // A window is due although a user has taken the name of its report: the report is created under another one.
    assert_eq!(ends(&due), [3600, 7200]);
}

#[test]
fn nothing_is_due_where_nothing_answers_or_its_version_is_another_one() {
    let mut idle = model(0);
    idle.status.as_mut().unwrap().serving = None;
    assert_eq!(schedule(&idle, &[version()], &[], at(9000)), Schedule::default());
    let mut anew = version();
    anew.metadata.uid = Some("version-1 made again".into());
    assert_eq!(schedule(&model(0), &[anew], &[], at(9000)), Schedule::default());
}

#[test]
fn old_reports_go_but_not_what_an_open_action_rests_on_and_not_a_persons() {
    let reports: Vec<_> = (1..=5)
        .map(|hour| made(hour * 3600))
        .chain([asked("mine", 0, 60)])
        .collect();
    let names = |actions: &[RemediationAction], kept| -> Vec<_> {
        let gone = prunable(&model(0), &reports, actions, kept).into_iter();
        gone.map(|report| bounds(report).1 - at(0).as_second()).collect()
    };
    assert_eq!(names(&[], 3), [7200, 3600]);
    let uid = reports[0].metadata.uid.clone().unwrap();
    assert_eq!(names(&[action("RetrainModel", &uid, "Unknown")], 3), [7200]);
    assert_eq!(names(&[action("RetrainModel", &uid, "False")], 3), [7200, 3600]);
    // The newest stays whatever the bound says.
    assert_eq!(names(&[], -1).len(), 4);
}

// === verdicts ===

fn result(verdict: DriftVerdict, drifted: &[(&str, bool)]) -> ReportResult {
    let number = |text: &str| text.parse::<Decimal>().unwrap();
    ReportResult {
        format: 1,
        verdict,
        rows: 147,
        synthetic: 500,
        repeated: 2,
        over_limit: 1,
        refused: 0,
        season_seconds: None,
        set_aside: Vec::new(),
        incarnations: 2,
        unclosed: Vec::new(),
        counts: Some(digest(9)),
        outside_bins: Vec::new(),
        season: None,
        no_season: None,
        reference: ReportReference {
            digest: digest(8),
            accepted_window: false,
            rows: 303,
        },
        drifted: drifted
            .iter()
            .map(|(name, values)| DriftedComparison {
                feature: (*name).to_owned(),
                aspect: if *values {
                    DriftAspect::Values
                } else {
                    DriftAspect::MissingRate
                },
                test: None,
                effect: number("0.47"),
                lower: number("0.38"),
                upper: number("0.55"),
                tolerance: number("0.1"),
                windows: 1,
                log_evidence: number("41.2"),
                log_threshold: number("6.9"),
            })
            .collect(),
    }
}

fn succeeded(status: &DriftReportStatus) -> (&str, &str, &str) {
    let found = conditions::find(&status.conditions, ConditionType::Succeeded).unwrap();
    (&found.status, &found.reason, &found.message)
}

#[test]
fn drift_is_described_in_words_by_feature_and_aspect() {
    let features = [
        ("restecg", true),
        ("slope", true),
        ("ca", false),
        ("thal", false),
        ("slope", false),
        ("age", true),
    ];
    let status = verdict_status(
        &made(3600),
        &version(),
        &result(DriftVerdict::Drift, &features),
        at(3640),
    );
    let words =
        "restecg, slope and age differ; missing rates of ca, thal and slope differ (147 rows of 10:00-11:00)";
    assert_eq!(succeeded(&status), ("True", "DriftFound", words));
    assert_eq!(status.drifted.as_deref(), Some("restecg, slope, ca, thal, age"));
    assert_eq!(status.verdict, Some(DriftVerdict::Drift));
    assert_eq!(status.coverage.unwrap().as_str(), "0.98");
    assert_eq!(status.aside.unwrap().synthetic, 500);
    assert_eq!(status.features[2].aspect, DriftAspect::MissingRate);
    let one = drift_words(&status.features[2..3]);
    assert_eq!(one, "the missing rate of ca differs");
    assert_eq!(drift_words(&status.features[..1]), "restecg differs");
}

#[test]
fn of_several_tests_of_one_aspect_the_largest_effect_is_listed_with_its_test() {
    let mut both = result(
        DriftVerdict::Drift,
        &[("age", true), ("age", true), ("age", false)],
    );
    let long = "x".repeat(100);
    for (row, test) in both.drifted.iter_mut().zip(["shape", "variation", &long]) {
        row.test = Some(test.to_owned());
    }
    both.drifted[1].effect = "0.2".parse().unwrap();
    let status = verdict_status(&made(3600), &version(), &both, at(3640));
    let listed: Vec<_> = status
        .features
        .iter()
        .map(|feature| (feature.aspect, feature.test.as_deref(), feature.effect.as_str()))
        .collect();
    assert_eq!(
        listed,
        [
            (DriftAspect::Values, Some("shape"), "0.47"),
            (DriftAspect::MissingRate, Some(&long[..64]), "0.47"),
        ]
    );
    assert_eq!(
        drift_words(&status.features),
        "age differs; the missing rate of age differs"
    );
}

#[test]
fn a_wide_drift_fits_its_fields() {
    let names: Vec<String> = (0..100).map(|number| format!("{number:0>100}")).collect();
    let features: Vec<_> = names.iter().map(|name| (name.as_str(), true)).collect();
    let status = verdict_status(
        &made(3600),
        &version(),
        &result(DriftVerdict::Drift, &features),
        at(3640),
    );
    assert_eq!(status.features.len(), 32);
    assert_eq!(status.drifted.as_ref().unwrap().chars().count(), 256);
    assert!(succeeded(&status).2.contains(" and 24 more differ"));
}

#[test]
fn too_few_rows_are_never_reported_as_no_drift() {
    let mut few = result(DriftVerdict::InsufficientData, &[]);
    few.rows = 87;
    let status = verdict_status(&made(3600), &version(), &few, at(3640));
    let words = "not enough rows: 100 required (87 rows of 10:00-11:00)";
    assert_eq!(succeeded(&status), ("True", "InsufficientData", words));
    let mut none = result(DriftVerdict::InsufficientData, &[]);
    (none.rows, none.repeated, none.over_limit) = (0, 0, 0);
    assert_eq!(
        verdict_status(&made(3600), &version(), &none, at(3640)).coverage,
        None
    );
}

#[test]
fn a_reference_with_too_few_rows_is_named_as_what_is_missing() {
    let judged = result(DriftVerdict::InsufficientData, &[]);
    let status = verdict_status(&made(3600), &version(), &judged, at(3640));
    let words = "the reference has too few rows (147 rows of 10:00-11:00)";
    assert_eq!(succeeded(&status), ("True", "InsufficientData", words));
}

#[test]
fn coverage_is_one_only_where_every_row_was_judged() {
    let mut most = result(DriftVerdict::NoDrift, &[]);
    (most.rows, most.repeated, most.over_limit) = (u64::MAX, 1, 0);
    let coverage = |result: &ReportResult| {
        verdict_status(&made(3600), &version(), result, at(3640))
            .coverage
            .unwrap()
    };
    assert_eq!(coverage(&most).as_str(), "0.999999");
    most.repeated = 0;
    assert_eq!(coverage(&most).as_str(), "1");
}

#[test]
fn the_ledger_is_asked_when_the_window_is_over_and_reported() {
    let Step::Wait { status, until } = step(&asked("mine", 0, 3600), Some(&version()), at(3629)) else {
        panic!("it is not over");
    };
    assert_eq!(until, Some(at(3630)));
    assert_eq!(
        (succeeded(&status).0, succeeded(&status).1),
        ("Unknown", "WindowOpen")
    );
    let Step::Ask(request) = step(&asked("mine", 0, 3600), Some(&version()), at(3630)) else {
        panic!("it is over");
    };
    assert_eq!(
        (request.start, request.end),
        (at(0).as_second(), at(3600).as_second())
    );
    assert_eq!((request.bundle, request.minimum_rows), (digest(1), 100));
    assert_eq!(
        (request.since, request.evidence_from),
        (request.start, request.start),
        "the version is of this very hour"
    );
    assert_eq!(request.tolerances, [("age".to_owned(), "0.2".parse().unwrap())]);
}

#[test]
fn evidence_is_gathered_over_a_day_of_windows_and_never_from_before_the_version() {
    let asks = |start: i64, end: i64, created: i64| {
        let mut version = version();
        version.metadata.creation_timestamp = Some(Time(at(created)));
        let Step::Ask(request) = step(&asked("mine", start, end), Some(&version), at(1_000_000)) else {
            panic!("it is over");
        };
        let from_ten = |second: i64| second - at(0).as_second();
        (from_ten(request.since), from_ten(request.evidence_from))
    };
    let hour = 3600;
    // Its first window began before it did.
    assert_eq!(asks(5 * hour, 6 * hour, hour + 60), (hour, hour));
    assert_eq!(asks(50 * hour, 51 * hour, hour + 60), (hour, 27 * hour));
    assert_eq!(asks(50 * hour, 60 * hour, hour + 60), (hour, 27 * hour));
    // A user asks for what was before it.
    assert_eq!(asks(0, hour, 5 * hour), (0, 0));
}

#[test]
fn an_interval_that_is_not_of_whole_windows_says_which_windows_it_covers() {
    let mine = asked("mine", 1800, 2 * 3600 + 1800);
    // The window of 12:00 starts in it, so it is over at 13:00 only.
    let Step::Wait { until, .. } = step(&mine, Some(&version()), at(3 * 3600)) else {
        panic!("the last window is not over");
    };
    assert_eq!(until, Some(at(3 * 3600 + 30)));
    let status = verdict_status(
        &mine,
        &version(),
        &result(DriftVerdict::NoDrift, &[]),
        at(4 * 3600),
    );
    let words = "no feature differs (147 rows of 10:30-12:30, by the windows that start in it: 11:00-13:00)";
    assert_eq!(succeeded(&status).2, words);
    let between = asked("mine", 60, 120);
    let status = verdict_status(
        &between,
        &version(),
        &result(DriftVerdict::NoDrift, &[]),
        at(9999),
    );
    assert!(
        succeeded(&status)
            .2
            .contains("; no window of 3600 s, the version's monitoring.windowSeconds, starts in it")
    );
}

#[test]
fn without_version_or_bundle_a_report_waits_and_says_for_what() {
    let waits = |version: Option<&ModelVersion>| match step(&made(3600), version, at(9999)) {
        Step::Wait { status, .. } => succeeded(&status).1.to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(waits(None), "VersionNotFound");
    let mut bare = version();
    bare.status = None;
    assert_eq!(waits(Some(&bare)), "NoBundle");
}

#[test]
fn a_verdict_is_asked_for_once_and_a_refusal_again_where_it_can_change() {
    let report = judged(made(3600), DriftVerdict::NoDrift);
    assert_eq!(step(&report, Some(&version()), at(9999)), Step::Done);
    let with = |status| DriftReport {
        status: Some(status),
        ..made(3600)
    };
    let missing = refused_status(&made(3600), 404, "no such bundle", at(9999));
    assert_eq!(
        (succeeded(&missing).0, succeeded(&missing).1),
        ("False", "ArtifactMissing")
    );
    assert!(matches!(
        step(&with(missing), Some(&version()), at(9999)),
        Step::Ask(_)
    ));
    let none = refused_status(&made(3600), 422, "no reference.json", at(9999));
    assert_eq!(
        (succeeded(&none).0, succeeded(&none).1),
        ("False", "LedgerRefused")
    );
    assert_eq!(step(&with(none), Some(&version()), at(9999)), Step::Done);
    let away = away_status(&made(3600), "connection refused", at(9999));
    assert_eq!(
        (succeeded(&away).0, succeeded(&away).1),
        ("Unknown", "LedgerUnavailable")
    );
}

#[test]
fn nothing_can_name_a_report_without_a_uid() {
    let mut report = asked("mine", 0, 3600);
    assert_eq!(validate(report.clone()).unwrap().uid(), "uid of mine");
    report.metadata.uid = None;
    assert_eq!(validate(report), Err(Invalid::NoUid));
}

// === proposals ===

struct Scene {
    report: DriftReport,
    model: Model,
    retrains: bool,
    season: Season,
    settled_until: i64,
    reports: Vec<DriftReport>,
    actions: Vec<RemediationAction>,
    drifting: usize,
    retrainings: usize,
    policy: Policy,
}

impl Scene {
    fn new() -> Self {
        Self {
            report: judged(made(3600), DriftVerdict::Drift),
            model: model(0),
            retrains: true,
            season: Season::None,
            settled_until: 99 * 3600,
            reports: Vec::new(),
            actions: Vec::new(),
            drifting: 1,
            retrainings: 0,
            policy: Policy::default(),
        }
    }

    fn decide(&self, now: i64) -> Decision {
        let report = validate(self.report.clone()).unwrap();
        let world = World {
            report: &report,
            model: &self.model,
            retrains: self.retrains,
            season: self.season,
            settled_until: at(self.settled_until),
            reports: &self.reports,
            actions: &self.actions,
            drifting: self.drifting,
            retrainings: self.retrainings,
            policy: &self.policy,
        };
        propose(&world, at(now))
    }

    fn kept(&self, now: i64) -> Reason {
        match self.decide(now) {
            Decision::Kept { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    fn proposed(&self, now: i64) -> Proposed {
        match self.decide(now) {
            Decision::Propose(proposed) => *proposed,
            other => panic!("{other:?}"),
        }
    }

    fn remember(&mut self, action: ActionType, seconds: i64) {
        let proposal = Proposal {
            name: format!("{}-{seconds}", action.as_str()),
            action,
            cause: format!("cause {seconds}"),
            at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(seconds)),
            reason: None,
        };
        let status = self.model.status.as_mut().unwrap();
        status.proposals = remember(&status.proposals, proposal, at(seconds), |action| {
            facts(action).budgeted
        });
    }
}

#[test]
fn drift_of_what_serves_is_answered_by_a_retraining_that_accepts_its_window() {
    let scene = Scene::new();
    let proposed = scene.proposed(3640);
    assert_eq!(proposed.spec.action, ActionType::RetrainModel);
    assert_eq!(proposed.reason, Reason::Proposed);
    assert!(proposed.name.starts_with("retrain-heart-"), "{}", proposed.name);
    let target = proposed.spec.target.as_ref().unwrap();
    assert_eq!(
        (target.name.as_str(), target.uid.as_deref()),
        ("heart-1", Some("version-1"))
    );
    assert_eq!(
        proposed.spec.accept_window.as_ref(),
        Some(&proposed.spec.evidence[0])
    );
    assert_eq!(
        Some(&proposed.spec.evidence[0].uid),
        scene.report.metadata.uid.as_ref()
    );
    let message = proposed.spec.message.unwrap();
    assert!(message.ends_with("(147 rows of 10:00-11:00)"), "{message}");
}

#[test]
fn no_drift_and_too_few_rows_are_answered_by_nothing() {
    for verdict in [DriftVerdict::NoDrift, DriftVerdict::InsufficientData] {
        let mut scene = Scene::new();
        scene.report = judged(made(3600), verdict);
        assert_eq!(scene.decide(3640), Decision::Nothing);
    }
}

#[test]
fn only_the_newest_window_of_what_serves_is_answered() {
    let mut scene = Scene::new();
    for verdict in [DriftVerdict::Drift, DriftVerdict::NoDrift] {
        scene.reports = vec![judged(made(7200), verdict)];
        assert_eq!(scene.kept(7300), Reason::NotServing);
    }
    // A user's report on a later interval decides nothing about this one.
    scene.reports = vec![asked("mine", 0, 99 * 3600)];
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    scene.model.status.as_mut().unwrap().routes[0].uid = "version-2".into();
    assert_eq!(scene.kept(3640), Reason::NotServing);
    scene.model = model(0);
    scene.model.status.as_mut().unwrap().serving = None;
    assert_eq!(scene.kept(3640), Reason::NotServing);
}

#[test]
fn a_newer_window_that_says_nothing_does_not_silence_an_older_one() {
    let mut scene = Scene::new();
    let too_few = judged(made(7200), DriftVerdict::InsufficientData);
    scene.reports = vec![too_few.clone()];
    assert_eq!(scene.proposed(7300).spec.action, ActionType::RetrainModel);
    // Its verdict is to come: that one decides.
    scene.reports = vec![too_few, made(10_800)];
    assert_eq!(scene.decide(10_900), Decision::Wait);
    // The ledger refuses: no verdict is to come.
    let newest = &mut scene.reports[1];
    newest.status = Some(refused_status(newest, 422, "no such reference", at(10_900)));
    assert_eq!(scene.proposed(10_900).spec.action, ActionType::RetrainModel);
}

/// With windows of 10 s the next one has closed before this one may be decided on: each would leave it to the next one.
#[test]
fn windows_shorter_than_they_take_to_settle_lead_to_an_action() {
    let mut scene = Scene::new();
    scene.reports = vec![judged(made(3610), DriftVerdict::Drift), made(3620)];
    scene.settled_until = 3600;
    assert_eq!(scene.proposed(3630).spec.action, ActionType::RetrainModel);
    scene.settled_until = 3610;
    assert_eq!(scene.kept(3640), Reason::NotServing);
}

#[test]
fn a_paused_model_is_not_retrained() {
    let mut scene = Scene::new();
    scene.model.spec.paused = true;
    assert_eq!(scene.kept(3640), Reason::Paused);
}

#[test]
fn while_something_answers_already_nothing_else_is_proposed() {
    let mut scene = Scene::new();
    scene.actions = vec![action("RetrainModel", "another report", "Unknown")];
    assert_eq!(scene.kept(3640), Reason::ActionOpen);
    scene.actions[0].spec.dry_run = true;
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    scene.actions = vec![action("RetrainModel", "another report", "False")];
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    let uid = scene.report.metadata.uid.clone().unwrap();
    scene.actions = vec![action("SendAlert", &uid, "Unknown")];
    assert_eq!(scene.kept(3640), Reason::ActionOpen);
    scene.actions = vec![action("PromoteModel", "another report", "Unknown")];
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    scene.model.status.as_mut().unwrap().active_action = Some(from(json!({
        "name": "promote-heart-2-x", "uid": "u", "type": "PromoteModel", "digest": digest(3), "attempt": 1, "claimedAt": at(0),
    })));
    assert_eq!(scene.kept(3640), Reason::ActionOpen);
}

#[test]
fn a_window_whose_values_are_outside_the_bins_is_retrained_on_and_not_accepted() {
    let mut scene = Scene::new();
    scene.report.status.as_mut().unwrap().outside_bins = vec!["age".into()];
    let proposed = scene.proposed(3640);
    assert_eq!(proposed.spec.action, ActionType::RetrainModel);
    assert_eq!(proposed.spec.accept_window, None);
}

#[test]
fn many_models_that_drift_at_once_raise_an_alert_and_retrain_nothing() {
    let mut scene = Scene::new();
    scene.drifting = 5;
    let proposed = scene.proposed(3640);
    assert_eq!(
        (proposed.spec.action, proposed.reason),
        (ActionType::SendAlert, Reason::StormBreaker)
    );
    assert!(proposed.name.starts_with("alert-heart-"), "{}", proposed.name);
    assert_eq!(proposed.spec.accept_window, None);
    assert!(
        proposed
            .spec
            .message
            .unwrap()
            .starts_with("5 models drifted within an hour: check their input data")
    );
    scene.remember(ActionType::SendAlert, 3640);
    assert_eq!(scene.kept(3640 + 3599), Reason::CoolDown);
    assert_eq!(scene.proposed(3640 + 3600).spec.action, ActionType::SendAlert);
}

#[test]
fn a_storm_is_counted_by_models_and_not_by_reports_or_labels() {
    let drift = |model: &str, version: &str, end: i64| {
        let mut report = judged(made(end), DriftVerdict::Drift);
        report
            .metadata
            .labels
            .as_mut()
            .unwrap()
            .insert("modelward.io/model".into(), model.into());
        report.status.as_mut().unwrap().version_uid = Some(version.into());
        report
    };
    let count = |reports: &[DriftReport]| drifting(reports, at(3600)).total();
    assert_eq!(
        count(&[drift("a", "1", 3600), drift("b", "2", 0), drift("c", "3", -1)]),
        2
    );
    assert_eq!(count(&[drift("a", "1", 3600), drift("a", "2", 3600)]), 1);
    assert_eq!(count(&[drift("a", "1", 3600), drift("b", "1", 3600)]), 1);
    assert_eq!(count(&[judged(made(3600), DriftVerdict::NoDrift)]), 0);
}

#[test]
fn a_namespace_has_a_budget_over_all_its_models() {
    let mut scene = Scene::new();
    scene.retrainings = 31;
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
    scene.retrainings = 32;
    assert_eq!(scene.kept(3640), Reason::BudgetSpent);
    let mut model = scene.model.clone();
    model.status.as_mut().unwrap().proposals = [0, 3600, 7200]
        .map(|second| Proposal {
            name: "retrain".into(),
            action: ActionType::RetrainModel,
            cause: second.to_string(),
            at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(second)),
            reason: None,
        })
        .to_vec();
    assert_eq!(retrainings_within_a_day([&model, &model], at(86_400)), 4);
}

#[test]
fn a_retraining_that_waits_for_a_plan_does_not_hold_up_the_next_one() {
    let mut scene = Scene::new();
    let mut waiting: RemediationAction = RemediationAction::new("waiting", scene.proposed(3640).spec);
    scene.actions.push(waiting.clone());
    assert_eq!(scene.kept(3640), Reason::ActionOpen);
    let conditions = serde_json::json!([
        {"type": "Succeeded", "status": "Unknown", "reason": "DatasetNotFound", "message": "",
            "lastTransitionTime": at(3640).to_string()},
        {"type": "Reconciling", "status": "False", "reason": "DatasetNotFound", "message": "",
            "lastTransitionTime": at(3640).to_string()},
    ]);
    waiting.status = serde_json::from_value(serde_json::json!({"conditions": conditions})).unwrap();
    scene.actions = vec![waiting];
    assert_eq!(scene.proposed(3640).spec.action, ActionType::RetrainModel);
}

#[test]
fn pods_with_counts_that_do_not_fit_are_named_in_the_verdict() {
    let mut result = result(DriftVerdict::NoDrift, &[]);
    result.set_aside = vec![modelward_wire::SetAside {
        pod: "0a1b".into(),
        totals: 3,
        reason: "counts of features were made in other bins".into(),
    }];
    let status = verdict_status(&made(3600), &version(), &result, at(3640));
    let succeeded = conditions::find(&status.conditions, ConditionType::Succeeded).unwrap();
    assert!(
        succeeded
            .message
            .ends_with("; counts of Pod 0a1b were left out: counts of features were made in other bins"),
        "{}",
        succeeded.message
    );
}

#[test]
fn one_namespace_alone_makes_no_storm_for_another_and_three_do() {
    let drift = |namespace: &str, model: usize| {
        let mut report = judged(made(3600), DriftVerdict::Drift);
        report.metadata.namespace = Some(namespace.into());
        let labels = report.metadata.labels.as_mut().unwrap();
        labels.insert("modelward.io/model".into(), model.to_string());
        report.status.as_mut().unwrap().version_uid = Some(model.to_string());
        report
    };
    let many = |namespace: &str| (0..50).map(|model| drift(namespace, model)).collect::<Vec<_>>();
    let mut reports = many("noisy");
    reports.push(drift("quiet", 0));
    let storm = drifting(&reports, at(3600));
    assert_eq!(storm.total(), 51);
    assert!(storm.counted_for("noisy", 5) >= 5);
    assert!(storm.counted_for("quiet", 5) < 5);
    reports.extend(many("other"));
    assert!(drifting(&reports, at(3600)).counted_for("quiet", 5) >= 5);
}

#[test]
fn a_name_that_a_person_took_does_not_take_the_window() {
    let model = model(0);
    let due = |reports: &[DriftReport]| {
        schedule(&model, &[version()], reports, at(3600 + 60))
            .due
            .into_iter()
            .map(|window| window.name)
            .collect::<Vec<_>>()
    };
    let name = report_name("heart-1", at(3600));
    assert_eq!(due(&[]), std::slice::from_ref(&name));
    // Without an owner, and with one but on other rows.
    let mut persons = made(3600);
    persons.metadata.owner_references = None;
    let mut forged = made(3600);
    forged.spec.start_time = Time(at(3599));
    assert_eq!(due(&[persons, forged]), std::slice::from_ref(&name));
    // The operator's own report under the second name.
    let mut second = made(3600);
    second.metadata.name = Some(format!("{name}-0a1b2c3d"));
    assert!(is_scheduled(&second, &model));
    assert_eq!(due(&[second]), Vec::<String>::new());
}

#[test]
fn what_comes_of_a_window_is_decided_after_all_windows_of_that_end_can_be_judged() {
    let (report, version) = (made(3600), version());
    let lateness = i64::from(version.spec.monitoring.lateness_seconds);
    assert_eq!(settled_at(&report, &version), at(3600 + lateness + 20));
}

#[test]
fn a_version_without_retraining_data_raises_an_alert() {
    let mut scene = Scene::new();
    scene.retrains = false;
    let proposed = scene.proposed(3640);
    assert_eq!(
        (proposed.spec.action, proposed.reason),
        (ActionType::SendAlert, Reason::NoRetraining)
    );
}

#[test]
fn cool_down_and_budget_are_counted_over_what_the_model_remembers() {
    let mut scene = Scene::new();
    scene.remember(ActionType::RetrainModel, 0);
    assert_eq!(scene.kept(3599), Reason::CoolDown);
    assert_eq!(scene.proposed(3600).spec.action, ActionType::RetrainModel);
    for hour in 1..4 {
        scene.remember(ActionType::RetrainModel, hour * 3600);
    }
    assert_eq!(scene.kept(86_399), Reason::BudgetSpent);
    assert_eq!(scene.proposed(86_400).spec.action, ActionType::RetrainModel);
    // A clock that was set back opens nothing.
    assert_eq!(scene.kept(-100), Reason::CoolDown);
}

#[test]
fn a_proposal_that_was_remembered_is_gone_on_with_whatever_else_is_the_case() {
    let mut scene = Scene::new();
    let first = scene.proposed(3640);
    let remembered = first.remembered(&validate(scene.report.clone()).unwrap(), at(3640));
    scene.model.status.as_mut().unwrap().proposals = vec![remembered];
    scene.model.spec.paused = true;
    scene.reports = vec![made(7200)];
    assert_eq!(scene.proposed(9999), first);

    let mut scene = Scene::new();
    scene.retrains = false;
    let alert = scene.proposed(3640);
    let remembered = alert.remembered(&validate(scene.report.clone()).unwrap(), at(3640));
    scene.model.status.as_mut().unwrap().proposals = vec![remembered];
    assert_eq!(scene.proposed(3650), alert);
}

/// One thing that happens to a model.
#[derive(Clone, Debug)]
enum Happening {
    /// This many seconds pass.
    Passes(i64),
    /// A window closes with drift, while so many models drift; the version may say on which data to retrain.
    Drifts { drifting: usize, retrains: bool },
    /// A version is to be promoted: that is remembered too.
    Promotes,
    /// The model is paused, or continues.
    Pauses(bool),
    /// Every action ends or is deleted.
    Ends,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (0_i64..20_000).prop_map(Happening::Passes),
        6 => (0_usize..4, prop::bool::weighted(0.8))
            .prop_map(|(drifting, retrains)| Happening::Drifts { drifting, retrains }),
        2 => Just(Happening::Promotes),
        1 => any::<bool>().prop_map(Happening::Pauses),
        3 => Just(Happening::Ends),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn guard_rails_hold_over_every_history(
        happenings in prop::collection::vec(happening(), 1..400),
        cool_down_seconds in prop_oneof![Just(0_i64), 1_i64..200_000],
        retrains_a_day in -1_i32..60,
        storm_models in 1_i32..4,
    ) {
        let mut scene = Scene::new();
        scene.policy = Policy { cool_down_seconds, retrains_a_day, storm_models, ..Policy::default() };
        let (mut now, mut window) = (0_i64, 0_i64);
        let mut retrains: Vec<i64> = Vec::new();
        let mut alerts: BTreeMap<Reason, Vec<i64>> = BTreeMap::new();
        for happening in happenings {
            match happening {
                Happening::Passes(seconds) => now += seconds,
                Happening::Promotes => scene.remember(ActionType::PromoteModel, now),
                Happening::Pauses(paused) => scene.model.spec.paused = paused,
                Happening::Ends => scene.actions.clear(),
                Happening::Drifts { drifting, retrains: may } => {
                    window += 3600;
                    scene.report = judged(made(window), DriftVerdict::Drift);
                    (scene.drifting, scene.retrains) = (drifting, may);
                    let Decision::Propose(proposed) = scene.decide(now) else { continue };
                    prop_assert!(!scene.model.spec.paused);
                    let status = scene.model.status.as_mut().unwrap();
                    status.proposals = remember(
                        &status.proposals,
                        proposed.remembered(&validate(scene.report.clone()).unwrap(), at(now)),
                        at(now),
                        |action| facts(action).budgeted,
                    );
                    // Deciding again, as after a crash, continues with the same.
                    prop_assert_eq!(&scene.proposed(now), &*proposed);
                    let named: RemediationAction = RemediationAction::new(&proposed.name, proposed.spec.clone());
                    prop_assert!(scene.actions.iter().all(|one| one.spec.action != ActionType::RetrainModel || proposed.spec.action != ActionType::RetrainModel));
                    scene.actions.push(named);
                    match proposed.spec.action {
                        ActionType::RetrainModel => {
                            prop_assert!(may && i32::try_from(drifting).unwrap() < storm_models);
                            retrains.push(now);
                        }
                        _ => alerts.entry(proposed.reason).or_default().push(now),
                    }
                }
            }
            prop_assert!(scene.model.status.as_ref().unwrap().proposals.len() <= 32);
        }
        for made in [&retrains].into_iter().chain(alerts.values()) {
            for pair in made.windows(2) {
                prop_assert!(pair[1] - pair[0] >= cool_down_seconds);
            }
        }
        for (index, last) in retrains.iter().enumerate() {
            let within = retrains[..=index].iter().filter(|made| last - **made < 86_400).count();
            prop_assert!(i32::try_from(within).unwrap() <= retrains_a_day.clamp(0, 28));
        }
    }

    #[test]
    fn every_window_has_one_report_however_often_and_late_it_is_looked_at(
        looks in prop::collection::vec(1_i64..9000, 1..60),
        since in 0_i64..5000,
        kept in 1_i32..5,
    ) {
        let model = model(since);
        let mut reports: Vec<DriftReport> = Vec::new();
        let mut judged = std::collections::BTreeSet::new();
        let mut now = since;
        for seconds in looks {
            now += seconds;
            let schedule = schedule(&model, &[version()], &reports, at(now));
            prop_assert!(schedule.next.unwrap() > at(now));
            for window in schedule.due {
                let end = window.end.as_second() - at(0).as_second();
                prop_assert!(judged.insert(end), "judged again");
                prop_assert!(end > since && end + 30 <= now);
                reports.push(made(end));
            }
            let gone: Vec<_> = prunable(&model, &reports, &[], kept).into_iter().map(|one| one.metadata.name.clone()).collect();
            reports.retain(|one| !gone.contains(&one.metadata.name));
            prop_assert!(reports.len() <= usize::try_from(kept).unwrap());
        }
        let first = since - since % 3600 + 3600;
        let expected: std::collections::BTreeSet<_> = (0..1000)
            .map(|window| first + window * 3600).take_while(|end| end + 30 <= now).collect();
        // Each look here is within a day of the one before.
        prop_assert_eq!(judged, expected);
    }
}
