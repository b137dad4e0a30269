//! Actions in a simulation: objects in memory behind the round that the controller runs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, BlockedStep, Decision as Decided, DriftReport, DriftReportStatus, ModelStatus, ModelVersion,
    ObstacleReason, RemediationActionStatus, Risk, RouteStatus, SeasonRows, ServedRecord, annotations,
};
use modelward_wire::{Digest, JobResult, JobStage, NewRows, SourceRecord, Verdict as JobVerdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    hands::{About, Announcement, Hands, Tried},
    plan::{content, routes},
    *,
};
use crate::record::rollout::RolloutSeen;
use crate::{
    attempt::{DatasetSeen, JobSeen, StageJob},
    conditions,
    custom_trainer::AllowedTrainers,
    drift::report_name,
    names::{promotion_name, retrained_version_name, rollback_name},
    objects::{is_of_deleted_model, is_waiting_for_a_plan, name_of, uid_of},
    policy::Policy,
};

mod ends;
mod forged;
mod plans;
mod rest;

/// What serves when nothing happened yet.
const FIRST: i64 = 1_000;

/// From the end of a process to the first round of the next one.
const RESTART_SECONDS: i64 = 10;
/// The user name of the operator.
const OPERATOR: &str = "system:serviceaccount:modelward-system:modelward-operator";

fn decide(action: &RemediationAction, world: &World, now: Timestamp) -> Decision {
    super::decide(&validate(action.clone()).unwrap(), world, now)
}

/// Everything that the controller would see.
struct Simulation {
    actions: BTreeMap<String, RemediationAction>,
    model: Model,
    versions: Vec<ModelVersion>,
    reports: Vec<DriftReport>,
    policy: Policy,
    allowed_trainers: AllowedTrainers,
    gate: GateSeen,
    dataset: DatasetSeen,
    job: JobSeen,
    in_flight: InFlight,
    drifting: usize,
    /// Steps that the API server refuses, and its answer.
    refuses: Option<(BlockedStep, String)>,
    /// Steps that were tried and refused.
    refused: usize,
    now: i64,
    /// Versions that were ever routed, in order.
    routed: Vec<String>,
    writes: usize,
    /// The process ends after this write.
    crash_after: Option<usize>,
    alerts: usize,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn digest(number: u8) -> Digest {
    Digest::from_bytes([number; 32])
}

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// `heart-<number>`, trained, with its gates passed.
fn version(number: u8) -> ModelVersion {
    object(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
        "metadata": {
            "name": format!("heart-{number}"), "namespace": "hospital", "uid": format!("v{number}"),
            "creationTimestamp": at(FIRST + i64::from(number)).to_string(),
            "annotations": {annotations::CREATED_BY: "maker"},
        },
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open"},
            "retraining": {"datasets": [
                {"name": "hungarian", "dataset": {"configMap": {"name": "heart-disease", "key": "hungarian.csv"}}},
            ]},
        },
        "status": {
            "bundle": {"digest": digest(number)}, "threshold": "0.5", "score": "F1 0.8151",
            "snapshot": {"digest": digest(100 + number), "rows": 303, "sourceSha256": digest(200)},
            "sources": [{"name": "cleveland.csv", "sha256": digest(200), "rows": 303, "positiveRows": 139}],
            "conditions": [{"type": "GatesPassed", "status": "True", "reason": "AllGatesPassed", "message": "F1 0.8151",
                "lastTransitionTime": at(FIRST).to_string()}],
        },
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "it is written where it is used")]
fn action(name: &str, kind: &str, more: Value) -> RemediationAction {
    let mut spec = json!({"model": "heart", "type": kind});
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        spec[key] = value;
    }
    object(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction",
        "metadata": {
            "name": name, "namespace": "hospital", "uid": format!("u-{name}"), "generation": 1,
            "creationTimestamp": at(FIRST + 100).to_string(),
            "annotations": {annotations::PROPOSED_BY: "proposer"},
        },
        "spec": spec,
    }))
}

fn promotion(number: u8) -> RemediationAction {
    let candidate = json!({"name": format!("heart-{number}"), "uid": format!("v{number}")});
    action("promote", "PromoteModel", json!({"candidate": candidate}))
}

fn gate() -> GateSeen {
    let policy = PolicyId {
        name: "decisions.modelward.io".into(),
        uid: "g".into(),
        generation: 1,
        binding_uid: "b".into(),
        binding_generation: 1,
    };
    GateSeen {
        ids: Some(GateIds {
            policies: vec![policy],
            parameters: "p".into(),
        }),
        probe: Probe::Refused,
    }
}

// === impl Simulation ===

impl Simulation {
    /// `heart-1` serves; `heart-2` could.
    fn new(actions: impl IntoIterator<Item = RemediationAction>) -> Self {
        let mut model: Model = object(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": "heart", "namespace": "hospital", "uid": "m", "generation": 1},
            "spec": {},
        }));
        let version = version(1);
        model.status = Some(ModelStatus {
            routes: vec![routes::recorded(&routes::route_to(&version).unwrap())],
            ..ModelStatus::default()
        });
        let named = actions
            .into_iter()
            .map(|action| (name_of(&action).to_owned(), action));
        let mut simulation = Self {
            actions: named.collect(),
            model,
            versions: vec![version, self::version(2)],
            reports: Vec::new(),
            policy: Policy::default(),
            allowed_trainers: object(
                json!({"images": ["registry.example/ml/", "heart@sha256:"], "variables": ["WANDB_MODE"],
                "serviceAccounts": [{"name": "trainjobs", "images": ["registry.example/ml/heart:1"]}]}),
            ),
            gate: gate(),
            dataset: DatasetSeen::Present("rows".into()),
            job: JobSeen::Missing,
            in_flight: InFlight::default(),
            drifting: 0,
            refuses: None,
            refused: 0,
            now: FIRST + 200,
            routed: Vec::new(),
            writes: 0,
            crash_after: None,
            alerts: 0,
        };
        simulation.roll_out();
        simulation
    }

    fn status(&mut self) -> &mut ModelStatus {
        self.model.status.as_mut().unwrap()
    }

    /// Every Pod answers with what is routed.
    fn roll_out(&mut self) {
        let now = at(self.now);
        let status = self.status();
        let Some(route) = status.routes.first().cloned() else {
            return;
        };
        if status
            .history
            .first()
            .is_none_or(|record| record.uid != route.uid)
        {
            status.history.insert(
                0,
                ServedRecord {
                    version: route.version.clone(),
                    uid: route.uid,
                    digest: route.digest,
                    weight: Some(route.weight),
                    threshold: Some(route.threshold),
                    since: Time(now),
                },
            );
        }
        status.serving = Some(route.version);
        self.say("True", "False", "Serving");
    }

    /// Pods with what is routed do not become ready.
    fn get_stuck(&mut self) {
        self.say("False", "True", "ArtifactInvalid");
    }

    fn say(&mut self, ready: &str, stalled: &str, reason: &str) {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": "model.json is broken",
                "lastTransitionTime": at(FIRST).to_string()})
        };
        let conditions = json!([condition("Ready", ready), condition("Stalled", stalled)]);
        self.status().conditions = object(conditions);
    }

    fn world(&self, action: &RemediationAction) -> World {
        World {
            policy: self.policy.clone(),
            allowed_trainers: self.allowed_trainers.clone(),
            model: Some(self.model.clone()),
            versions: self.versions.clone(),
            actions: self.actions.values().cloned().collect(),
            window: self.reports.first().cloned(),
            reports: self.reports.clone(),
            dataset: self.dataset.clone(),
            watched: false,
            job: match action
                .status
                .as_ref()
                .and_then(|status| status.snapshot_attempt.as_ref())
            {
                Some(_) => self.job.clone(),
                None => JobSeen::Missing,
            },
            obstacle: None,
            gate: self.gate.clone(),
            in_flight: counts_others(action, at(self.now)).then_some(self.in_flight),
            drifting: asks_for_drift(action).then_some(self.drifting),
            operator: OPERATOR.into(),
            number: None,
            delivered: false,
        }
    }

    /// The answer to a step that the API server refuses.
    fn refuse(&mut self, step: BlockedStep) -> Option<Tried> {
        let (refused, answer) = self.refuses.as_ref()?;
        if *refused != step {
            return None;
        }
        self.refused += 1;
        Some(Tried::Refused {
            object: "an object".into(),
            message: format!("{answer} (used: {})", self.refused),
        })
    }

    /// A write that took place. The process may end after it.
    fn wrote(&mut self) -> Result<(), Crashed> {
        self.writes += 1;
        if self.crash_after == Some(self.writes) {
            return Err(Crashed);
        }
        Ok(())
    }

    /// One reconcile of one action. Whether anything was written.
    fn reconcile(&mut self, name: &str) -> bool {
        let before = self.writes;
        let mut hands = InMemory {
            simulation: self,
            name: name.to_owned(),
            holds_claims: false,
            crashed: false,
        };
        match at_once(round::round(&mut hands)) {
            Ok(round::Rest::Busy) => panic!("{name} does not come to rest"),
            Ok(_) => self.writes != before,
            Err(Crashed) => {
                // What follows must not depend on the moment of what was written.
                self.now += RESTART_SECONDS;
                true
            }
        }
    }

    /// Reconciles every action until nothing is left to write.
    fn settle(&mut self) -> &mut Self {
        for _ in 0..50 {
            let names: Vec<String> = self.actions.keys().cloned().collect();
            let wrote = names.iter().filter(|name| self.reconcile(name)).count();
            if wrote == 0 {
                return self;
            }
        }
        panic!("the simulation does not come to rest");
    }

    fn annotate(&mut self, name: &str, word: &str, user: &str) {
        let of = self.digest(name);
        self.decide(name, &format!("{word} {of} {user}"));
    }

    fn decide(&mut self, name: &str, line: &str) {
        let action = self.actions.get_mut(name).unwrap();
        let all = action.metadata.annotations.get_or_insert_default();
        let made = all
            .keys()
            .filter(|key| key.starts_with(annotations::DECISION_PREFIX))
            .count();
        all.insert(
            format!("{}{}", annotations::DECISION_PREFIX, made + 1),
            line.to_owned(),
        );
    }

    fn approve(&mut self, name: &str, user: &str) -> &mut Self {
        self.annotate(name, "approve", user);
        self.settle()
    }

    fn plan(&self, name: &str) -> &modelward_crds::ActionPlan {
        self.actions[name].status.as_ref().unwrap().plan.as_ref().unwrap()
    }

    fn digest(&self, name: &str) -> Digest {
        self.plan(name).digest
    }

    fn says(&self, name: &str, kind: ConditionType) -> (String, String) {
        let status = self.actions[name].status.as_ref().unwrap();
        let found = conditions::find(&status.conditions, kind).unwrap();
        (found.status.clone(), found.reason.clone())
    }

    fn message(&self, name: &str) -> String {
        let status = self.actions[name].status.as_ref().unwrap();
        conditions::find(&status.conditions, ConditionType::Succeeded)
            .unwrap()
            .message
            .clone()
    }

    #[track_caller]
    fn succeeded(&self, name: &str, status: &str, reason: &str) {
        assert_eq!(
            self.says(name, ConditionType::Succeeded),
            (status.to_owned(), reason.to_owned()),
            "{}",
            self.message(name)
        );
    }

    fn serves(&self) -> Vec<&str> {
        let routes = &self.model.status.as_ref().unwrap().routes;
        routes.iter().map(|route| route.version.as_str()).collect()
    }

    fn claimed(&self) -> Option<&str> {
        active(&self.model).map(|active| active.name.as_str())
    }

    fn report(&mut self, version: &str, verdict: &str, end: i64) {
        self.report_with(version, verdict, end, |_| {});
    }

    fn report_with(
        &mut self,
        version: &str,
        verdict: &str,
        end: i64,
        change: impl FnOnce(&mut DriftReportStatus),
    ) {
        let mut report: DriftReport = object(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "DriftReport",
            "metadata": {"name": format!("{version}-{end}"), "namespace": "hospital", "uid": format!("r{end}")},
            "spec": {"version": version, "startTime": at(end - 3600).to_string(), "endTime": at(end).to_string()},
            "status": {"verdict": verdict, "rows": 147, "counts": digest(9)},
        }));
        report.metadata.name = Some(report_name(version, at(end)));
        report.metadata.owner_references = object(json!([{
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart",
            "uid": self.model.metadata.uid, "controller": true,
        }]));
        change(report.status.get_or_insert_default());
        self.reports.push(report);
        self.settle();
    }
}

/// The process ended.
struct Crashed;

/// The round's hands in a simulation.
struct InMemory<'a> {
    simulation: &'a mut Simulation,
    name: String,
    holds_claims: bool,
    /// The process ended in a write that reports no errors.
    crashed: bool,
}

impl Hands for InMemory<'_> {
    type Error = Crashed;

    async fn action(&mut self) -> Result<Option<Validated>, Crashed> {
        if self.crashed {
            return Err(Crashed);
        }
        let action = self.simulation.actions.get(&self.name).cloned();
        Ok(action.map(|action| validate(action).unwrap()))
    }

    async fn world(&mut self, action: &Validated) -> Result<World, Crashed> {
        Ok(self.simulation.world(action.action()))
    }

    fn now(&self) -> Timestamp {
        at(self.simulation.now)
    }

    async fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> Result<bool, Crashed> {
        if action.status.as_ref() == Some(status) {
            return Ok(false);
        }
        self.simulation.actions.get_mut(&self.name).unwrap().status = Some(status.clone());
        self.simulation.wrote()?;
        Ok(true)
    }

    async fn hold_claims(&mut self) -> bool {
        !std::mem::replace(&mut self.holds_claims, true)
    }

    fn release_claims(&mut self) {
        self.holds_claims = false;
    }

    async fn write_record(&mut self, world: &World, record: &ModelStatus) -> Result<(), Crashed> {
        let simulation = &mut *self.simulation;
        let seen = world.model.as_ref().and_then(|model| model.status.as_ref());
        if seen.is_some_and(|seen| seen.routes != record.routes) {
            let own = active(&simulation.model).unwrap();
            let action = &simulation.actions[&self.name];
            assert_eq!(own.uid, uid_of(action), "effects without a claim");
            simulation
                .routed
                .extend(record.routes.iter().map(|route| route.version.clone()));
        }
        simulation.model.status = Some(record.clone());
        simulation.wrote()
    }

    async fn create_version(&mut self, version: &ModelVersion) -> Result<Tried, Crashed> {
        let simulation = &mut *self.simulation;
        if let Some(refused) = simulation.refuse(BlockedStep::CreateVersion) {
            return Ok(refused);
        }
        let mut made = version.clone();
        assert!(
            !simulation
                .versions
                .iter()
                .any(|there| name_of(there) == name_of(&made))
        );
        made.metadata.uid = Some("v-made".into());
        made.metadata.creation_timestamp = Some(Time(at(simulation.now)));
        simulation.versions.push(made);
        simulation.wrote()?;
        Ok(Tried::Made(Some("v-made".into())))
    }

    async fn create_action(&mut self, action: &RemediationAction) -> Result<Tried, Crashed> {
        let simulation = &mut *self.simulation;
        if let Some(refused) = simulation.refuse(BlockedStep::CreatePromotion) {
            return Ok(refused);
        }
        let mut made = action.clone();
        let uid = format!("u-{}", name_of(&made));
        made.metadata.uid = Some(uid.clone());
        made.metadata.creation_timestamp = Some(Time(at(simulation.now)));
        simulation.actions.insert(name_of(&made).to_owned(), made);
        simulation.wrote()?;
        Ok(Tried::Made(Some(uid)))
    }

    async fn start_job(&mut self, _: &Validated, _: &StageJob, _: &ModelVersion) -> Result<Tried, Crashed> {
        if let Some(refused) = self.simulation.refuse(BlockedStep::StartSnapshot) {
            return Ok(refused);
        }
        self.simulation.wrote()?;
        Ok(Tried::Made(Some("job".into())))
    }

    async fn publish(&mut self, _: &RemediationAction, _: &World, event: Announcement) -> bool {
        let simulation = &mut *self.simulation;
        if event.about == About::Model {
            return true;
        }
        if simulation.refuse(BlockedStep::SendAlert).is_some() {
            return false;
        }
        simulation.alerts += 1;
        self.crashed = simulation.wrote().is_err();
        true
    }
}

/// The outcome of a future that never waits.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(outcome) => outcome,
        std::task::Poll::Pending => panic!("it waits for something"),
    }
}

// === PromoteModel ===

#[test]
fn a_promotion_waits_for_a_person_and_then_what_serves_is_changed_watched_and_reported() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "AwaitingApproval");
    assert_eq!(simulation.says("promote", ConditionType::Approved).0, "False");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], None)
    );
    let plan = simulation.plan("promote").clone();
    assert_eq!(
        (plan.risk, plan.approvals_required, plan.plan_sequence),
        (Risk::Medium, 1, 1)
    );
    assert_eq!(plan.excluded_approvers, ["maker"]);
    assert!(
        plan.summary.contains("promote heart-2 (bundle ") && plan.summary.contains("in place of heart-1")
    );
    assert!(
        simulation
            .message("promote")
            .contains("waits for 1 approval until")
    );

    simulation.approve("promote", "alice");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-2"], Some("promote"))
    );
    simulation.succeeded("promote", "Unknown", "RollingOut");
    assert_eq!(
        simulation.says("promote", ConditionType::Approved),
        ("True".into(), "Approved".into())
    );
    simulation.roll_out();
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "Verifying");
    assert_eq!(simulation.says("promote", ConditionType::Executed).0, "True");

    simulation.now += 700;
    simulation.settle();
    simulation.succeeded("promote", "True", "Executed");
    assert_eq!(
        simulation.says("promote", ConditionType::Verified),
        ("Unknown".into(), "InsufficientData".into())
    );
    let story = simulation.message("promote");
    assert!(
        story.starts_with("approved by alice; heart-2 serves since 1970-01-01T00:20:00Z in place of heart-1"),
        "{story}"
    );
    assert_eq!(simulation.claimed(), None);
    assert_eq!(
        simulation.actions["promote"]
            .status
            .as_ref()
            .unwrap()
            .approvals
            .as_deref(),
        Some("1/1")
    );
    let newest = simulation.status().newest_routed.clone().unwrap();
    assert_eq!(newest.uid, "v2");
    let writes = simulation.writes;
    simulation.settle();
    assert_eq!(simulation.writes, writes, "an ended action writes nothing");
}

#[test]
fn traffic_after_the_change_ends_the_watch_early_whichever_way_it_goes() {
    for (verdict, verified, reason) in [
        ("NoDrift", "True", "Verified"),
        ("Drift", "False", "DriftAfterChange"),
    ] {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle().approve("promote", "alice");
        simulation.roll_out();
        simulation.settle();
        simulation.report("heart-2", "InsufficientData", simulation.now + 60);
        simulation.report("heart-1", verdict, simulation.now + 60);
        simulation.report("heart-2", verdict, simulation.now - 3600);
        let mut requested = simulation.reports.last().unwrap().clone();
        requested.spec.end_time = Time(at(simulation.now + 90));
        requested.metadata.owner_references = None;
        simulation.reports.push(requested);
        simulation.settle();
        simulation.succeeded("promote", "Unknown", "Verifying");
        simulation.report("heart-2", verdict, simulation.now + 120);
        simulation.succeeded("promote", "True", reason);
        assert_eq!(
            simulation.says("promote", ConditionType::Verified),
            (verified.into(), reason.into())
        );
    }
}

#[test]
fn refused_requests_and_less_traffic_are_no_drift_after_the_change_where_rows_are_enough() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.roll_out();
    simulation.settle();
    let refused = |rows: i64| {
        move |status: &mut DriftReportStatus| {
            status.rows = Some(rows);
            status.features = object(json!([{
                "name": "refused", "aspect": "Refused", "effect": "0.1", "lower": "0.1", "upper": "0.1",
                "tolerance": "0.02", "logEvidence": "20", "logThreshold": "9",
            }]));
        }
    };
    simulation.report_with("heart-2", "Drift", simulation.now + 60, refused(99));
    simulation.succeeded("promote", "Unknown", "Verifying");
    simulation.report_with("heart-2", "Drift", simulation.now + 120, refused(147));
    simulation.succeeded("promote", "True", "Verified");
}

#[test]
fn neither_the_proposer_nor_the_maker_nor_a_service_account_nor_the_same_person_twice_makes_a_quorum() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.policy.medium_approvals = 2;
    simulation.settle();
    for user in [
        "proposer",
        "maker",
        "system:serviceaccount:ci:bot",
        "alice",
        "alice",
    ] {
        simulation.approve("promote", user);
    }
    simulation.succeeded("promote", "Unknown", "AwaitingApproval");
    let status = simulation.actions["promote"].status.clone().unwrap();
    assert_eq!(status.approvals.as_deref(), Some("1/2"));
    let void: Vec<bool> = status
        .decisions
        .iter()
        .map(|d: &Decided| d.void_because.is_some())
        .collect();
    assert_eq!(void, [true, true, true, false, true]);
    simulation.approve("promote", "bob smith # looks good");
    assert_eq!(simulation.serves(), ["heart-2"]);
    assert!(simulation.message("promote").len() > 1);
    let status = simulation.actions["promote"].status.clone().unwrap();
    let last = status.decisions.last().unwrap();
    assert_eq!(
        (last.user.as_str(), last.comment.as_deref()),
        ("bob smith", Some("looks good"))
    );
}

#[test]
fn of_promotions_that_the_operator_proposed_only_the_newest_goes_on_waiting() {
    let proposed = |number: u8| {
        let (version, uid) = (format!("heart-{number}"), format!("v{number}"));
        let mut action = promotion(number);
        action.metadata.name = Some(promotion_name(&version, &uid));
        action.metadata.uid = Some(format!("u-{number}"));
        action
    };
    let name = |number: u8| promotion_name(&format!("heart-{number}"), &format!("v{number}"));
    // One by a user names an older version, and means it.
    let mut simulation = Simulation::new([proposed(2), proposed(3), proposed(4), promotion(2)]);
    simulation.versions.extend([version(3), version(4)]);
    simulation.settle();
    for number in [2, 3] {
        simulation.succeeded(&name(number), "False", "Superseded");
        assert!(
            simulation
                .message(&name(number))
                .starts_with("a newer version waits to be promoted: promote-heart-")
        );
    }
    simulation.succeeded(&name(4), "Unknown", "AwaitingApproval");
    simulation.succeeded("promote", "Unknown", "AwaitingApproval");

    // One that a user has decided on continues.
    let mut simulation = Simulation::new([proposed(2)]);
    simulation.policy.medium_approvals = 2;
    simulation.settle();
    simulation.approve(&name(2), "alice");
    simulation.versions.push(version(3));
    simulation.actions.insert(name(3), proposed(3));
    simulation.settle();
    simulation.succeeded(&name(2), "Unknown", "AwaitingApproval");
}

#[test]
fn a_rejection_is_final_and_wins_over_a_quorum_that_is_there_too() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    simulation.annotate("promote", "approve", "alice");
    simulation.annotate("promote", "reject", "bob # not before the audit");
    simulation.settle();
    simulation.succeeded("promote", "False", "Rejected");
    assert_eq!(
        simulation.message("promote"),
        "rejected by bob: not before the audit"
    );
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], None)
    );
    simulation.approve("promote", "carol");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_rejection_between_the_claim_and_the_effect_still_stops_it_and_gives_the_model_free() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    simulation.annotate("promote", "approve", "alice");
    // The decision, the claim: then the process ends.
    simulation.crash_after = Some(simulation.writes + 2);
    simulation.reconcile("promote");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], Some("promote"))
    );
    simulation.annotate("promote", "reject", "bob");
    simulation.settle();
    simulation.succeeded("promote", "False", "Rejected");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], None)
    );
}

#[test]
fn a_rejection_of_what_is_done_already_is_kept_and_stops_nothing() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.annotate("promote", "reject", "bob");
    simulation.roll_out();
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "Verifying");
    let decisions = simulation.actions["promote"].status.clone().unwrap().decisions;
    assert!(
        decisions[1]
            .void_because
            .as_ref()
            .unwrap()
            .contains("after the plan had begun")
    );
}

#[test]
fn an_expired_plan_never_runs_also_where_the_approval_comes_late() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    simulation.annotate("promote", "approve", "alice");
    simulation.now += 3 * 24 * 3600;
    simulation.settle();
    simulation.succeeded("promote", "False", "Expired");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn the_next_look_is_not_after_the_end_of_the_plan() {
    let simulation = {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle();
        simulation.now += 3 * 24 * 3600 - 10;
        simulation
    };
    let action = &simulation.actions["promote"];
    let decision = decide(action, &simulation.world(action), at(simulation.now));
    assert_eq!(decision.again, Some(simulation.plan("promote").not_after.0));
}

#[test]
fn going_from_a_to_b_to_a_does_not_bring_former_approvals_back() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.policy.medium_approvals = 2;
    simulation.settle().approve("promote", "alice");
    let first = simulation.digest("promote");
    let routes = simulation.status().routes.clone();
    simulation.versions.push(version(3));
    simulation.status().routes[0] = RouteStatus {
        version: "heart-3".into(),
        uid: "v3".into(),
        digest: digest(3),
        ..routes[0].clone()
    };
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "PlanChanged");
    assert_eq!(
        simulation.says("promote", ConditionType::Approved),
        ("False".into(), "PlanChanged".into())
    );
    simulation.status().routes = routes;
    simulation.settle();
    let plan = simulation.plan("promote").clone();
    assert_eq!(plan.plan_sequence, 3);
    assert_ne!(plan.digest, first);
    assert_eq!(
        simulation.actions["promote"]
            .status
            .as_ref()
            .unwrap()
            .approvals
            .as_deref(),
        Some("0/2")
    );
    simulation.approve("promote", "bob");
    assert_eq!(
        simulation.serves(),
        ["heart-1"],
        "one approval of this plan, one of a former one"
    );
    simulation.succeeded("promote", "Unknown", "AwaitingApproval");
    simulation.approve("promote", "alice");
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn a_plan_whose_parts_are_not_what_its_digest_is_over_is_made_anew() {
    let changes: [&dyn Fn(&mut modelward_crds::ActionPlan); 4] = [
        &|plan| plan.approvals_required = 0,
        &|plan| plan.planned_routes[0].digest = digest(66),
        &|plan| plan.excluded_approvers.clear(),
        &|plan| plan.content = plan.content.replace("Medium", "Low"),
    ];
    for change in changes {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle();
        let first = simulation.digest("promote");
        let action = simulation.actions.get_mut("promote").unwrap();
        change(action.status.as_mut().unwrap().plan.as_mut().unwrap());
        simulation.settle();
        assert_ne!(simulation.digest("promote"), first);
        simulation.succeeded("promote", "Unknown", "PlanChanged");
        assert_eq!(simulation.serves(), ["heart-1"]);
    }
}

#[test]
fn without_a_gate_that_refused_a_forged_decision_nothing_runs_but_what_needs_no_approval() {
    let alert = action("alert", "SendAlert", json!({"message": "heart drifts"}));
    let mut simulation = Simulation::new([promotion(2), alert]);
    simulation.gate = GateSeen {
        ids: None,
        probe: Probe::NotRefused("the admission policy is not there".into()),
    };
    simulation.settle().approve("promote", "alice");
    simulation.succeeded("promote", "Unknown", "ApprovalNotEnforced");
    assert_eq!(
        simulation.says("promote", ConditionType::ApprovalEnforced).0,
        "False"
    );
    assert_eq!(simulation.serves(), ["heart-1"]);
    simulation.succeeded("alert", "True", "Alerted");
    assert_eq!(simulation.alerts, 1);
    // Back again, it is another policy, and what was approved without it does not count.
    simulation.gate = gate();
    simulation.gate.ids.as_mut().unwrap().policies[0].uid = "another".into();
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "PlanChanged");
    simulation.approve("promote", "alice");
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn where_something_else_refuses_the_trials_nothing_runs_and_the_obstacle_is_named_until_it_is_gone() {
    let hindered = |used: i32| {
        Probe::Hindered(Hindered {
            what: "a trial was refused by the ResourceQuota objects first. Raise it".into(),
            message: format!(
                "exceeded quota: objects, used: {used}, at {}",
                "☕".repeat(used.unsigned_abs() as usize)
            ),
        })
    };
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.gate.probe = hindered(2);
    simulation.settle().approve("promote", "alice");
    simulation.succeeded("promote", "Unknown", "ApprovalNotTried");
    let (status, reason) = simulation.says("promote", ConditionType::ApprovalEnforced);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("Unknown", "ApprovalNotTried")
    );
    let said = simulation.message("promote");
    assert_eq!(
        said,
        "suspended: a trial was refused by the ResourceQuota objects first. Raise it. Kubernetes: exceeded quota: \
         objects, used: 2, at ☕☕"
    );
    assert_eq!(simulation.says("promote", ConditionType::Stalled).0, "True");
    assert_eq!(simulation.serves(), ["heart-1"]);
    // The same obstacle in other words is no news.
    simulation.gate.probe = hindered(3);
    simulation.settle();
    assert_eq!(simulation.message("promote"), said);
    // The approval was for this plan, and holds once the trials come through.
    simulation.gate.probe = Probe::Refused;
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn a_rollout_that_the_api_server_refuses_is_no_failure_of_the_version_and_goes_on_once_there_is_room() {
    let refused = |simulation: &mut Simulation| {
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": "ChildRefused", "message": "exceeded quota: few",
                "lastTransitionTime": at(FIRST).to_string()})
        };
        simulation.status().conditions =
            object(json!([condition("Ready", "False"), condition("Stalled", "True")]));
    };
    let begun = || {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle().approve("promote", "alice");
        refused(&mut simulation);
        simulation.settle();
        simulation
    };
    let mut simulation = begun();
    simulation.succeeded("promote", "Unknown", "ChildRefused");
    assert_eq!(simulation.says("promote", ConditionType::Stalled).0, "True");
    assert!(
        simulation
            .message("promote")
            .contains("heart-2 cannot be rolled out: exceeded quota: few")
    );
    simulation.roll_out();
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-2"]);
    assert_eq!(simulation.status().holds.len(), 0);
    // A refusal while it is watched changes nothing of what answers.
    refused(&mut simulation);
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-2"]);

    let mut simulation = begun();
    simulation.now += simulation.policy.claim_seconds + 1;
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_version_that_does_not_come_up_is_left_again_and_held() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.get_stuck();
    simulation.settle();
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], Some("promote"))
    );
    simulation.roll_out();
    simulation.settle();
    simulation.succeeded("promote", "False", "RolledBack");
    assert!(simulation.message("promote").contains("model.json is broken"));
    let hold = simulation.status().holds[0].clone();
    assert_eq!(
        (hold.version.as_str(), hold.action.name.as_str()),
        ("heart-2", "promote")
    );
    assert_eq!(simulation.claimed(), None);
    // Another action for it waits until the hold is lifted.
    let mut again = promotion(2);
    again.metadata.name = Some("again".into());
    again.metadata.uid = Some("u-again".into());
    again.metadata.creation_timestamp = Some(Time(at(simulation.now + 1)));
    simulation.actions.insert("again".into(), again);
    simulation.settle().approve("again", "alice");
    simulation.succeeded("again", "Unknown", "Held");
    simulation.model.spec.lift_holds = vec!["v2".into()];
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn a_paused_model_is_left_as_it_is_until_it_is_not_paused() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.model.spec.paused = true;
    simulation.settle().approve("promote", "alice");
    simulation.succeeded("promote", "Unknown", "Paused");
    simulation.model.spec.paused = false;
    simulation.settle();
    assert_eq!(simulation.serves(), ["heart-2"]);
}

#[test]
fn a_dry_run_shows_its_plan_and_does_nothing_even_if_approved() {
    let mut dry = promotion(2);
    dry.spec.dry_run = true;
    let mut simulation = Simulation::new([dry]);
    simulation.settle();
    simulation.succeeded("promote", "True", "DryRun");
    assert!(simulation.plan("promote").summary.contains("heart-2"));
    simulation.approve("promote", "alice");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_bundle_that_served_before_needs_as_many_people_as_a_rollback() {
    let mut simulation = Simulation::new([promotion(3)]);
    let mut old = version(3);
    old.status.as_mut().unwrap().bundle.as_mut().unwrap().digest = digest(7);
    simulation.versions.push(old);
    let mut served = simulation.status().history[0].clone();
    served.digest = digest(7);
    served.uid = "v0".into();
    simulation.status().history.push(served);
    simulation.settle();
    let plan = simulation.plan("promote");
    assert_eq!((plan.risk, plan.approvals_required), (Risk::High, 2));
}

#[test]
fn a_promotion_of_what_serves_or_is_gone_or_failed_its_gates_ends_at_once() {
    let mut simulation = Simulation::new([promotion(1)]);
    simulation.settle().succeeded("promote", "False", "Superseded");
    let mut simulation = Simulation::new([promotion(9)]);
    simulation.settle().succeeded("promote", "False", "Superseded");
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.versions[1].status.as_mut().unwrap().conditions[0].status = "False".into();
    simulation.settle().succeeded("promote", "False", "GateFailed");
}

#[test]
fn actions_beyond_those_that_may_be_under_way_wait() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.in_flight.namespace = 4;
    simulation.settle().approve("promote", "alice");
    simulation.succeeded("promote", "Unknown", "TooManyInFlight");
    assert_eq!(simulation.claimed(), None);
    simulation.in_flight = InFlight {
        namespace: 3,
        cluster: 16,
    };
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "TooManyInFlight");
    simulation.in_flight.cluster = 15;
    simulation.settle();
    assert_eq!(simulation.claimed(), Some("promote"));
}

#[test]
fn a_claim_of_an_action_that_is_gone_is_taken_over_and_one_of_an_open_action_is_not() {
    let mut second = promotion(2);
    second.metadata.name = Some("second".into());
    second.metadata.uid = Some("u-second".into());
    let mut simulation = Simulation::new([promotion(2), second]);
    simulation.settle();
    simulation.annotate("promote", "approve", "alice");
    simulation.annotate("second", "approve", "alice");
    simulation.crash_after = Some(simulation.writes + 2);
    simulation.reconcile("promote");
    simulation.reconcile("second");
    assert_eq!(simulation.claimed(), Some("promote"));
    simulation.succeeded("second", "Unknown", "ModelClaimed");
    simulation.actions.remove("promote");
    simulation.settle();
    assert_eq!(
        (simulation.claimed(), simulation.serves()),
        (Some("second"), vec!["heart-2"])
    );
}

// === RollbackModel ===

#[test]
fn a_rollback_takes_two_people_returns_to_what_served_and_leaves_a_hold() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.roll_out();
    simulation.settle();
    simulation.now += 700;
    simulation.settle();
    let back = action("back", "RollbackModel", json!({}));
    simulation.actions.insert("back".into(), back);
    let waiting = action(
        "waiting",
        "PromoteModel",
        json!({"candidate": {"name": "heart-3"}}),
    );
    simulation.actions.insert("waiting".into(), waiting);
    simulation.versions.push(version(3));
    simulation.settle();
    assert_eq!(simulation.plan("back").approvals_required, 2);
    assert!(
        simulation
            .plan("back")
            .summary
            .contains("roll heart back to heart-1")
    );
    simulation.approve("back", "alice");
    assert_eq!(simulation.serves(), ["heart-2"]);
    simulation.approve("back", "bob");
    assert_eq!(simulation.serves(), ["heart-1"]);
    simulation.succeeded("waiting", "False", "Superseded");
    simulation.roll_out();
    simulation.settle();
    simulation.now += 700;
    simulation.settle();
    simulation.succeeded("back", "True", "Executed");
    assert!(
        simulation
            .message("back")
            .starts_with("approved by alice and bob; heart-1 serves since")
    );
    let hold = simulation.status().holds[0].clone();
    assert_eq!((hold.uid.as_str(), hold.digest), ("v2", digest(2)));
    assert_eq!(
        simulation.status().newest_routed.clone().unwrap().uid,
        "v2",
        "an older version does not become the newest"
    );
    assert!(simulation.status().rolled_back_at.is_some());
    // What was left on purpose is not returned to.
    simulation
        .actions
        .insert("again".into(), action("again", "RollbackModel", json!({})));
    simulation
        .settle()
        .succeeded("again", "False", "NothingToReturnTo");
}

#[test]
fn an_approved_rollback_takes_over_the_claim_of_another_action_which_goes_no_further() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-2"], Some("promote"))
    );
    simulation
        .actions
        .insert("back".into(), action("back", "RollbackModel", json!({})));
    simulation.settle().approve("back", "alice");
    simulation.approve("back", "bob");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], Some("back"))
    );
    simulation.succeeded("promote", "False", "Superseded");
    simulation.roll_out();
    simulation.settle();
    simulation.now += 700;
    simulation.settle();
    simulation.succeeded("back", "True", "Executed");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_version_that_served_is_recorded_so_after_a_rollback_while_it_was_watched() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.roll_out();
    simulation.settle();
    let executed = |simulation: &Simulation| simulation.says("promote", ConditionType::Executed);
    assert_eq!(executed(&simulation), ("True".to_owned(), "Executed".to_owned()));
    simulation
        .actions
        .insert("back".into(), action("back", "RollbackModel", json!({})));
    simulation.settle().approve("back", "alice");
    simulation.approve("back", "bob");
    simulation.succeeded("promote", "False", "Superseded");
    assert_eq!(executed(&simulation), ("True".to_owned(), "Executed".to_owned()));
    assert_eq!(
        simulation.says("promote", ConditionType::Verified),
        ("Unknown".to_owned(), "Superseded".to_owned())
    );
}

#[test]
fn an_action_that_ended_without_a_plan_waits_for_none() {
    let mut simulation = Simulation::new([promotion(1)]);
    simulation.settle().succeeded("promote", "False", "Superseded");
    for kind in [ConditionType::Approved, ConditionType::Verified] {
        assert_eq!(
            simulation.says("promote", kind),
            ("Unknown".to_owned(), "Superseded".to_owned())
        );
    }
    assert_eq!(
        simulation.says("promote", ConditionType::Executed),
        ("False".to_owned(), "Superseded".to_owned())
    );
}

// === RetrainModel ===

fn snapshot(new_rows: u64, positive: Option<u64>) -> JobSeen {
    let mut result = JobResult::new(JobStage::Snapshot, JobVerdict::Succeeded, "done");
    result.digest = Some(digest(77));
    result.rows = Some(303 + new_rows);
    let source = |name: &str, of: u8, rows, positive_rows| SourceRecord {
        name: name.into(),
        sha256: digest(of),
        rows,
        positive_rows,
    };
    result.sources = vec![
        source("cleveland.csv", 200, 303, Some(139)),
        source("hungarian.csv", 201, new_rows, positive),
    ];
    JobSeen::Finished(Box::new(result))
}

/// The same, with new rows that were counted.
fn counted(mut job: JobSeen, rows: u64, positive_rows: u64) -> JobSeen {
    if let JobSeen::Finished(result) = &mut job {
        let fresh = result.sources.last().map_or(0, |source| source.rows);
        result.new_rows = Some(NewRows {
            rows,
            positive_rows,
            repeated_rows: fresh - rows,
        });
    }
    job
}

fn retraining(job: JobSeen) -> Simulation {
    retraining_after(job, |_| {})
}

/// A retraining because of a report that differs from the usual one.
fn retraining_after(job: JobSeen, change: impl FnOnce(&mut DriftReportStatus)) -> Simulation {
    let more = json!({"target": {"name": "heart-1"}, "acceptWindow": {"kind": "DriftReport", "name": "r", "uid": "r7200"}});
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
    simulation.job = job;
    simulation.report_with("heart-1", "Drift", 7200, change);
    simulation
}

#[test]
fn a_retraining_by_an_image_shows_all_that_it_is_run_with_and_its_digest_covers_it() {
    let plan_of = |trainer: Value| {
        let more = json!({"target": {"name": "heart-1"}});
        let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
        let training = simulation.versions[0].spec.source.training.as_mut().unwrap();
        training.custom_trainer = Some(object(trainer));
        simulation.job = snapshot(294, Some(106));
        simulation.settle();
        simulation.plan("retrain").clone()
    };
    let trainer = |rounds: &str, wandb: &str| {
        json!({"image": "registry.example/ml/heart:1", "format": "LightGBM", "args": [rounds, "a b"],
            "env": [{"name": "WANDB_MODE", "value": wandb}], "serviceAccountName": "trainjobs"})
    };
    let plan = plan_of(trainer("--rounds=60", "offline"));
    let words = r#", by the image "registry.example/ml/heart:1" (LightGBM, a tag: what it names may change) as the service account "trainjobs" with the arguments "--rounds=60" "a b" with the variables WANDB_MODE="offline";"#;
    assert!(plan.summary.contains(words), "{}", plan.summary);
    assert_ne!(plan.digest, plan_of(trainer("--rounds=61", "offline")).digest);
    assert_ne!(plan.digest, plan_of(trainer("--rounds=60", "online")).digest);
    assert_eq!(plan.digest, plan_of(trainer("--rounds=60", "offline")).digest);
    let long = plan_of(trainer(&"x".repeat(1024), "\u{202e}evil"));
    assert!(
        long.summary.contains(r#"x…" "a b" with the variables"#),
        "{}",
        long.summary
    );
    assert!(!long.summary.contains('\u{202e}'), "{}", long.summary);
    let mut many = trainer("--rounds=60", "offline");
    many["args"] = json!(vec!["x"; 20]);
    let many = plan_of(many).summary;
    assert!(many.contains(r#""x" and 4 more, which are in source"#), "{many}");
}

#[test]
fn a_retraining_by_an_image_that_may_not_train_stalls_before_its_data_is_read() {
    let more = json!({"target": {"name": "heart-1"}});
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
    let training = simulation.versions[0].spec.source.training.as_mut().unwrap();
    training.custom_trainer = Some(object(
        json!({"image": "other.example/heart:1", "format": "LightGBM"}),
    ));
    simulation.job = snapshot(294, Some(106));
    simulation.settle();
    let status = simulation.actions["retrain"].status.clone().unwrap();
    assert_eq!((status.plan, status.snapshot_attempt), (None, None));
    let stalled = conditions::find(&status.conditions, ConditionType::Stalled).unwrap();
    assert_eq!(
        (stalled.status.as_str(), stalled.reason.as_str()),
        ("True", "CustomTrainerRefused")
    );
    assert!(
        stalled.message.contains("trainer.custom.images"),
        "{}",
        stalled.message
    );
    simulation.allowed_trainers = object(json!({"images": ["other.example/heart:1"]}));
    simulation.settle();
    assert!(
        simulation
            .plan("retrain")
            .summary
            .contains("other.example/heart:1")
    );
}

#[test]
fn arguments_of_an_image_cannot_be_read_as_parts_of_the_plan() {
    let more = json!({"target": {"name": "heart-1"}});
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
    let training = simulation.versions[0].spec.source.training.as_mut().unwrap();
    let digest = "ab".repeat(32);
    training.custom_trainer = Some(object(
        json!({"image": format!("heart@sha256:{digest}"), "format": "LightGBM",
            "args": ["as", "the", "service", "account", "readonly"]}),
    ));
    simulation.job = snapshot(294, Some(106));
    simulation.settle();
    let words = format!(
        r#", by the image "docker.io/library/heart@sha256:{digest}" (LightGBM) without a service account with the arguments "as" "the" "service" "account" "readonly";"#
    );
    let summary = &simulation.plan("retrain").summary;
    assert!(summary.contains(&words), "{summary}");
}

#[test]
fn an_imported_version_is_not_retrained_and_the_action_says_why() {
    let more = json!({"target": {"name": "heart-1"}});
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
    simulation.versions[0].spec.source = object(json!({"artifact": {"bundle": digest(1)}}));
    simulation.settle();
    let (ended, reason) = simulation.says("retrain", ConditionType::Succeeded);
    assert_eq!((ended.as_str(), reason.as_str()), ("False", "SpecInvalid"));
    let words = simulation.message("retrain");
    assert!(
        words.contains("heart-1 cannot be retrained: its bundle was not trained here")
            && words.contains("create a new ModelVersion with spec.source.artifact"),
        "{words}"
    );
    assert!(
        simulation
            .versions
            .iter()
            .all(|version| version.spec.provenance.is_none())
    );
}

fn gates(simulation: &mut Simulation, status: &str) {
    let made = simulation.versions.last_mut().unwrap();
    let mut seen = version(9).status.unwrap();
    seen.conditions[0].status = status.into();
    made.status = Some(seen);
    simulation.settle();
}

#[test]
fn a_retraining_reads_its_data_is_approved_trains_and_its_promotion_is_covered() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    let plan = simulation.plan("retrain").clone();
    let words = format!(
        "retrain heart with the training spec of heart-1, on 597 rows ({}): ConfigMap heart-disease, key cleveland.csv, 303 rows + ConfigMap \
         heart-disease, key hungarian.csv, 294 rows; serve it if F1 is at least 0.75 and F1 is at most 0.03 worse than that of \
         heart-1 (bundle {}); the window from 1970-01-01T01:00:00Z to 1970-01-01T02:00:00Z (147 rows) becomes the reference; otherwise as heart-1; risk \
         Medium, 1 approval, not by maker, proposer, until 1970-01-04T00:20:00Z",
        digest(77).short(),
        digest(1).short()
    );
    assert_eq!(plan.summary, words);
    simulation.approve("retrain", "alice");
    simulation.succeeded("retrain", "Unknown", "Training");
    let made = simulation.versions.last().unwrap().clone();
    let training = made.spec.source.training.clone().unwrap();
    assert_eq!(training.snapshot, Some(digest(77)));
    assert_eq!(training.datasets().count(), 2);
    let champion = training.not_worse_than.unwrap();
    assert_eq!(
        (champion.version.as_str(), champion.bundle),
        ("heart-1", digest(1))
    );
    assert_eq!(training.reference.unwrap().counts, digest(9));
    assert_eq!(made.spec.provenance.unwrap().action.uid, "u-retrain");
    assert!(made.metadata.owner_references.is_none());
    let annotations = made.metadata.annotations.clone().unwrap();
    assert_eq!(
        annotations,
        [(annotations::CREATED_BY.to_owned(), OPERATOR.to_owned())].into()
    );
    assert_eq!(simulation.serves(), ["heart-1"]);

    gates(&mut simulation, "True");
    let child = promotion_name(&made.metadata.name.clone().unwrap(), "v-made");
    assert_eq!(
        simulation.says(&child, ConditionType::Approved),
        ("True".into(), "Covered".into())
    );
    assert_eq!(
        simulation.serves(),
        [made.metadata.name.clone().unwrap().as_str()]
    );
    assert_eq!(simulation.claimed(), Some(child.as_str()));
    simulation.succeeded("retrain", "Unknown", "Promoting");
    simulation.roll_out();
    simulation.settle();
    let end = simulation.now + 60;
    simulation.report(&made.metadata.name.clone().unwrap(), "NoDrift", end);
    simulation.succeeded(&child, "True", "Verified");
    simulation.succeeded("retrain", "True", "Verified");
    assert!(
        simulation
            .message("retrain")
            .starts_with("approved by alice; heart-"),
        "{}",
        simulation.message("retrain")
    );
    assert!(
        simulation
            .message(&child)
            .starts_with("covered by retrain, approved by alice;")
    );
    // Each made object is recorded where it belongs.
    let record = simulation.actions["retrain"].status.clone().unwrap();
    assert_eq!(
        record
            .snapshot_attempt
            .and_then(|attempt| attempt.job_uid)
            .as_deref(),
        Some("job")
    );
    let version = record.execution.and_then(|execution| execution.version);
    assert_eq!(version.and_then(|version| version.uid).as_deref(), Some("v-made"));
    assert_eq!(simulation.claimed(), None);
}

#[test]
fn a_failed_gate_ends_a_retraining_and_what_serves_is_untouched() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    gates(&mut simulation, "False");
    simulation.succeeded("retrain", "False", "GateFailed");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], None)
    );
    assert!(simulation.routed.is_empty());
}

#[test]
fn a_window_that_would_blind_the_monitor_is_not_accepted() {
    let simulation = retraining_after(snapshot(294, Some(106)), |status| {
        status.outside_bins = vec!["age".into(), "chol".into()];
    });
    simulation.succeeded("retrain", "False", "WindowNotAcceptable");
    let message = simulation.message("retrain");
    assert!(
        message.contains("values of age and chol outside of what training saw"),
        "{message}"
    );
}

#[test]
fn a_window_of_another_model_is_not_accepted() {
    let simulation = retraining_after(snapshot(294, Some(106)), |status| {
        status.version_uid = Some("a version of another model".into());
    });
    simulation.succeeded("retrain", "False", "WindowNotAcceptable");
    let message = simulation.message("retrain");
    assert!(
        message.contains("which is not a version of this model"),
        "{message}"
    );
}

#[test]
fn a_report_without_counts_has_no_window_to_accept() {
    let simulation = retraining_after(snapshot(294, Some(106)), |status| status.counts = None);
    simulation.succeeded("retrain", "False", "WindowNotAcceptable");
    let message = simulation.message("retrain");
    assert!(
        message.contains("has no counts that can become the reference"),
        "{message}"
    );
}

#[test]
fn where_traffic_repeats_the_season_up_to_the_window_is_accepted() {
    let simulation = retraining_after(snapshot(294, Some(106)), |status| {
        status.season = Some(SeasonRows {
            start_time: Time(Timestamp::from_second(7200 - 86_400).unwrap()),
            rows: 4000,
        });
    });
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    let reference = simulation.plan("retrain").reference.clone().unwrap();
    assert_eq!(reference.rows, Some(4000));
    let bounds = [reference.start_time, reference.end_time].map(|time| time.unwrap().0.as_second());
    assert_eq!(bounds, [7200 - 86_400, 7200]);
}

#[test]
fn rows_that_are_exported_again_are_not_new() {
    let export = snapshot(308, Some(141));
    let simulation = retraining(counted(export.clone(), 5, 2));
    simulation.succeeded("retrain", "False", "LabelsNeeded");
    assert_eq!(
        simulation.message("retrain"),
        "5 new rows, 2 of the rarer class (303 further rows of the same files are repeats); retraining heart-1 needs 100 and 30: \
         label more rows"
    );
    let kept = simulation.actions["retrain"]
        .status
        .clone()
        .unwrap()
        .new_rows
        .unwrap();
    assert_eq!((kept.rows, kept.positive_rows, kept.repeated_rows), (5, 2, 303));
    retraining(counted(snapshot(294, Some(106)), 294, 106)).succeeded(
        "retrain",
        "Unknown",
        "AwaitingApproval",
    );
    retraining(counted(snapshot(294, Some(106)), 99, 50)).succeeded("retrain", "False", "LabelsNeeded");
    // Where rows were not counted, whole files are.
    retraining(export).succeeded("retrain", "Unknown", "AwaitingApproval");
    let simulation = retraining(snapshot(99, Some(50)));
    assert!(
        simulation
            .message("retrain")
            .starts_with("99 new rows, 49 of the rarer class (all rows of new files, because the rows of heart-1 cannot be distinguished)"),
        "{}",
        simulation.message("retrain")
    );
}

#[test]
fn the_job_of_a_retraining_counts_new_rows_against_the_version_that_it_retrains() {
    let simulation = retraining(snapshot(294, Some(106)));
    let (action, target) = (&simulation.actions["retrain"], &simulation.versions[0]);
    let spec = snapshot_version(action, target).unwrap().spec;
    let against = spec.source.training.unwrap().not_worse_than.unwrap();
    assert_eq!((against.version.as_str(), against.bundle), ("heart-1", digest(1)));
    let mut untrained = target.clone();
    untrained.status = None;
    let spec = snapshot_version(action, &untrained).unwrap().spec;
    assert_eq!(spec.source.training.unwrap().not_worse_than, None);
}

#[test]
fn too_little_that_is_new_and_nothing_that_is_new_are_said_and_not_trained_on() {
    retraining(snapshot(99, Some(50))).succeeded("retrain", "False", "LabelsNeeded");
    retraining(snapshot(294, Some(29))).succeeded("retrain", "False", "LabelsNeeded");
    retraining(snapshot(294, None)).succeeded("retrain", "False", "LabelsNeeded");
    let mut same = snapshot(294, Some(106));
    if let JobSeen::Finished(result) = &mut same {
        result.sources.truncate(1);
    }
    retraining(same).succeeded("retrain", "False", "NoChange");
    retraining(counted(snapshot(308, Some(141)), 0, 0)).succeeded("retrain", "False", "NoChange");
    let mut broken = JobResult::new(JobStage::Snapshot, JobVerdict::DataInvalid, "column age: 3 words");
    broken.format = 1;
    let simulation = retraining(JobSeen::Finished(Box::new(broken)));
    simulation.succeeded("retrain", "False", "DataInvalid");
    assert!(simulation.message("retrain").contains("column age: 3 words"));
}

#[test]
fn what_is_trained_is_what_was_approved_or_nothing() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.annotate("retrain", "approve", "alice");
    simulation.crash_after = Some(simulation.writes + 2);
    simulation.reconcile("retrain");
    assert_eq!(simulation.claimed(), Some("retrain"));
    let spec = simulation.versions[0].spec.retraining.as_mut().unwrap();
    spec.datasets[0].name = "another".into();
    simulation.settle();
    simulation.succeeded("retrain", "False", "PlanChanged");
    assert_eq!(simulation.versions.len(), 2);
}

#[test]
fn a_rejection_of_the_retraining_stops_its_promotion_too() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    simulation.annotate("retrain", "reject", "bob");
    gates(&mut simulation, "True");
    simulation.succeeded("retrain", "False", "Rejected");
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], None)
    );
}

#[test]
fn of_two_retrainings_the_older_one_goes_first() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    let mut younger = action("younger", "RetrainModel", json!({}));
    younger.metadata.creation_timestamp = Some(Time(at(simulation.now)));
    simulation.actions.insert("younger".into(), younger);
    simulation.settle();
    simulation.succeeded("younger", "Unknown", "Waiting");
    simulation.annotate("retrain", "reject", "bob");
    simulation.settle();
    simulation.succeeded("younger", "Unknown", "AwaitingApproval");
}

#[test]
fn a_crash_after_any_write_ends_in_the_same_state_as_no_crash() {
    let story = |crash_after: Option<usize>| {
        let mut simulation = retraining(JobSeen::Running(None));
        simulation.crash_after = crash_after;
        simulation.job = snapshot(294, Some(106));
        simulation.settle().approve("retrain", "alice");
        simulation.settle();
        gates(&mut simulation, "True");
        simulation.settle();
        simulation.roll_out();
        simulation.settle();
        simulation.now += 700;
        simulation.settle();
        simulation
    };
    let quiet = story(None);
    quiet.succeeded("retrain", "True", "Executed");
    assert!(quiet.writes > 15, "{}", quiet.writes);
    for write in 0..=quiet.writes {
        let crashed = story(Some(write));
        crashed.succeeded("retrain", "True", "Executed");
        assert_eq!(crashed.routed, quiet.routed, "crash after write {write}");
        assert_eq!(crashed.serves(), quiet.serves());
        assert_eq!(crashed.claimed(), None);
        assert_eq!(crashed.actions.len(), quiet.actions.len());
        assert_eq!(crashed.versions.len(), quiet.versions.len());
    }
}

// === the record ===

#[test]
fn ended_actions_beyond_those_that_are_kept_go_the_oldest_first_and_open_ones_stay() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    for number in 0..4_i64 {
        let mut ended = action(&format!("ended-{number}"), "SendAlert", json!({"message": "x"}));
        ended.metadata.creation_timestamp = Some(Time(at(number)));
        simulation.actions.insert(name_of(&ended).to_owned(), ended);
    }
    simulation.settle();
    let all: Vec<RemediationAction> = simulation.actions.values().cloned().collect();
    let policy = Policy {
        alerts_kept: 2,
        ..Policy::default()
    };
    let names: Vec<&str> = surplus(&all, Some(&simulation.model), &policy, at(simulation.now))
        .into_iter()
        .map(name_of)
        .collect();
    assert_eq!(names, ["ended-0", "ended-1"]);
}

#[test]
fn names_of_retrained_versions_fit_for_the_longest_model() {
    let name = retrained_version_name(&"m".repeat(40), "uid");
    assert!(name.len() <= 45, "{name}");
    assert!(promotion_name(&"v".repeat(45), "uid").len() <= 63);
    assert!(rollback_name(&"v".repeat(45), "uid").len() <= 63);
}

#[test]
fn a_rollout_is_recognised_by_the_record() {
    let simulation = Simulation::new([]);
    let routes = simulation.model.status.clone().unwrap().routes;
    assert_eq!(
        crate::record::rollout::rollout_seen(&simulation.model, &routes),
        RolloutSeen::Answers
    );
}

#[test]
fn the_digest_is_the_same_for_the_same_inputs_and_another_for_each_other_one() {
    let digest_of = |change: &dyn Fn(&mut Simulation)| {
        let mut simulation = Simulation::new([promotion(2)]);
        change(&mut simulation);
        simulation.settle();
        simulation.digest("promote")
    };
    let same = digest_of(&|_| {});
    assert_eq!(same, digest_of(&|_| {}));
    let changes: [&dyn Fn(&mut Simulation); 11] = [
        &|simulation| simulation.status().routes[0].threshold = "0.4".parse().unwrap(),
        &|simulation| simulation.status().routes[0].digest = digest(50),
        &|simulation| simulation.status().plan_sequence = Some(1),
        &|simulation| {
            let status = simulation.versions[1].status.as_mut().unwrap();
            status.bundle.as_mut().unwrap().digest = digest(51);
        },
        &|simulation| {
            simulation.versions[1].status.as_mut().unwrap().threshold = Some("0.4".parse().unwrap());
        },
        &|simulation| simulation.policy.medium_approvals = 2,
        &|simulation| simulation.policy.verification_seconds = 1,
        &|simulation| simulation.gate.ids.as_mut().unwrap().policies[0].generation = 2,
        &|simulation| simulation.gate.ids.as_mut().unwrap().parameters = "q".into(),
        &|simulation| simulation.now += 1,
        &|simulation| simulation.actions.get_mut("promote").unwrap().metadata.uid = Some("other".into()),
    ];
    let mut seen = vec![same];
    for change in changes {
        let other = digest_of(change);
        assert!(
            !seen.contains(&other),
            "{}: a change that does not show",
            seen.len()
        );
        seen.push(other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Whatever people write, in whatever order: a change of what serves has its quorum of different users who may approve,
    /// for the plan that is there, and no rejection before it.
    #[test]
    fn nothing_is_done_without_a_quorum(
        lines in prop::collection::vec((0..6_usize, any::<bool>(), 0..3_u8), 0..10),
        needed in 1..4_i32,
    ) {
        let users = ["alice", "bob", "carol", "proposer", "maker", "system:admin"];
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.policy.medium_approvals = needed;
        simulation.settle();
        let mut approved = std::collections::BTreeSet::new();
        let mut rejected = false;
        for (user, approves, of) in lines {
            let word = if approves { "approve" } else { "reject" };
            let of = if of == 0 { digest(66) } else { simulation.digest("promote") };
            let before = simulation.serves() == ["heart-2"];
            simulation.decide("promote", &format!("{word} {of} {}", users[user]));
            simulation.settle();
            if before {
                continue;
            }
            rejected |= !approves;
            if approves && user < 3 && of == simulation.digest("promote") && !rejected {
                approved.insert(user);
            }
            let may = !rejected && approved.len() >= usize::try_from(needed).unwrap();
            prop_assert_eq!(simulation.serves() == ["heart-2"], may);
        }
    }

    /// Lines that no admission policy would let in are not read as decisions.
    #[test]
    fn any_text_is_read_without_harm(lines in prop::collection::vec(".{0,80}", 0..16)) {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle();
        for line in lines {
            simulation.decide("promote", &line);
        }
        simulation.settle();
        prop_assert_eq!(simulation.serves(), ["heart-1"]);
    }
}
