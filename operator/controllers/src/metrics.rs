//! The operator's metrics. Labels are kinds, verbs and categories, and names of models if a series is about one model; never names
//! of other objects.

use std::time::Duration;

use modelward_core::reason::Reason;
use modelward_crds::{ActionType, DriftVerdict};
use modelward_wire::words;

use crate::api::error::Category;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

const RESULTS: [&str; 2] = ["success", "error"];

words! {
    /// The controllers of the operator.
    pub enum ControllerName {
        /// Trains versions.
        ModelVersion = "modelversion",
        /// Serves models.
        Model = "model",
        /// Judges windows.
        DriftReport = "driftreport",
        /// Creates reports when windows close.
        DriftSchedule = "driftschedule",
        /// Carries out actions.
        Action = "action",
    }

    /// Writes to the API server.
    pub enum Verb {
        /// POST.
        Create = "create",
        /// PUT.
        Update = "update",
        /// A merge patch.
        Merge = "merge",
        /// Server-side apply of a status.
        Status = "status",
        /// DELETE.
        Delete = "delete",
    }

    /// The result of probing a model through its Service.
    pub enum ProbeAnswer {
        /// It was not probed.
        NotAsked,
        /// It answered with a digest of routes.
        Answered,
        /// Another server answered.
        WrongAnswer,
        /// The connection was refused.
        NoAnswer,
        /// No answer came.
        NotReachable,
    }
}

modelward_service::metrics! {
    /// The operator's metrics; a clone counts into the same ones.
    pub struct Metrics in "modelward_operator", build "What runs" {
        unreadable: Gauge<KindLabels> = whole "modelward_unreadable_objects", "Objects that the operator cannot deserialize and ignores, by kind";
        approval_enforced: Gauge = whole "modelward_approval_enforced", "1 where the admission policies refused a forged decision at the last test; otherwise actions that need approval are suspended";
        drifted_features: Gauge<ModelLabels> = whole "modelward_drifted_features", "Features that drifted in the newest window of a model with enough rows";
        reconciles: Counter<ReconcileLabels> {controller: ControllerName::NAMES, result: RESULTS} = "reconciles", "Reconciles by controller and result";
        errors: Counter<ErrorLabels> {controller: ControllerName::NAMES, reason: Category::NAMES} = "reconcile_errors", "Failed reconciles by controller and reason";
        duration: Histogram<ControllerLabels>[BUCKETS] {controller: ControllerName::NAMES} = "reconcile_duration" seconds, "Time that a reconcile took";
        active: Gauge<ControllerLabels> {controller: ControllerName::NAMES} = "active_reconciles", "Reconciles that run at present";
        failing: Gauge<ControllerLabels> {controller: ControllerName::NAMES} = "failing_objects", "Objects that wait to be retried";
        writes: Counter<WriteLabels> {verb: Verb::NAMES} = "writes", "Writes to the API server by kind and verb";
        tampered: Counter<KindLabels> = "tampered", "Children that another client changed and the operator restored";
        probes: Counter<ProbeLabels> {answer: ProbeAnswer::NAMES} = "service_probes", "Probes of models through their Services, by outcome";
        held_upgrades: Gauge = "held_upgrades", "Models that keep their previous Pod template until it is their turn";
        stopped_upgrades: Gauge = "stopped_upgrades", "Models that keep their previous Pod template because another model does not become ready with the new one";
        watch_errors: Counter<KindLabels> = "watch_errors", "Errors of watches by kind";
        ledger_errors: Counter = "ledger_errors", "Calls to the ledger that failed";
        leader: Gauge = "leader", "1 where this process holds the lease";
        reports: Counter<VerdictLabels> {verdict: DriftVerdict::NAMES} = "drift_reports", "Verdicts on windows of traffic";
        proposals: Counter<ProposalLabels> = "drift_proposals", "Responses to drift, by type of the proposed action (None where none was proposed) and reason";
        actions: Counter<ActionLabels> {type: ActionType::NAMES} = "actions_ended", "Actions that have ended, by type and reason";
        events_failed: Counter = "events_failed", "Events that the API server did not accept";
        blocked: Gauge<ActionLabels> {type: ActionType::NAMES} = "actions_blocked", "Open actions that are blocked, by type and reason";
    }

    labels ControllerLabels {
        controller: &'static str,
    }

    labels ReconcileLabels {
        controller: &'static str,
        result: &'static str,
    }

    labels ErrorLabels {
        controller: &'static str,
        reason: &'static str,
    }

    labels WriteLabels {
        kind: String,
        verb: &'static str,
    }

    labels ProbeLabels {
        answer: &'static str,
    }

    labels VerdictLabels {
        verdict: &'static str,
    }

    labels ProposalLabels {
        r#type: &'static str,
        reason: &'static str,
    }

    labels ModelLabels {
        namespace: String,
        model: String,
    }

    labels ActionLabels {
        r#type: &'static str,
        reason: &'static str,
    }

    labels KindLabels {
        kind: String,
    }
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counts a reconcile that begins.
    pub fn begun(&self, controller: ControllerName) {
        let controller = controller.as_str();
        self.active.get_or_create(&ControllerLabels { controller }).inc();
    }

    /// Counts a reconcile that ended, with the category of its error if it failed.
    pub fn ended(&self, controller: ControllerName, took: Duration, error: Option<Category>) {
        let controller = controller.as_str();
        let labels = ControllerLabels { controller };
        self.active.get_or_create(&labels).dec();
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
        let result = RESULTS[usize::from(error.is_some())];
        self.reconciles
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        if let Some(reason) = error.map(Category::as_str) {
            self.errors
                .get_or_create(&ErrorLabels { controller, reason })
                .inc();
        }
    }

    /// Sets the number of objects of a controller that wait to be retried.
    pub fn failing(&self, controller: ControllerName, count: usize) {
        let controller = controller.as_str();
        self.failing
            .get_or_create(&ControllerLabels { controller })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a write to the API server.
    pub fn wrote(&self, kind: &str, verb: Verb) {
        self.writes
            .get_or_create(&WriteLabels {
                kind: kind.to_owned(),
                verb: verb.as_str(),
            })
            .inc();
    }

    /// Counts a child that was restored.
    pub fn tampered(&self, kind: &str) {
        self.tampered
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Counts a probe of a model through its Service.
    pub fn probed(&self, answer: ProbeAnswer) {
        let answer = answer.as_str();
        self.probes.get_or_create(&ProbeLabels { answer }).inc();
    }

    /// Sets the number of models that keep their previous Pod template, and of those that do because the upgrade stopped.
    pub fn upgrades(&self, held: usize, stopped: usize) {
        self.held_upgrades.set(i64::try_from(held).unwrap_or(i64::MAX));
        self.stopped_upgrades
            .set(i64::try_from(stopped).unwrap_or(i64::MAX));
    }

    /// Counts an error of a watch.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Counts a call to the ledger that failed.
    pub fn ledger_failed(&self) {
        self.ledger_errors.inc();
    }

    /// Counts a verdict.
    pub fn judged(&self, verdict: DriftVerdict) {
        let verdict = verdict.as_str();
        self.reports.get_or_create(&VerdictLabels { verdict }).inc();
    }

    /// Counts a response to drift.
    pub fn proposed(&self, r#type: &'static str, reason: Reason) {
        let reason = reason.as_str();
        self.proposals
            .get_or_create(&ProposalLabels { r#type, reason })
            .inc();
    }

    /// Sets the number of features of a model that drifted in its newest window with enough rows; none if there is no such window.
    pub fn drifted(&self, namespace: &str, model: &str, features: Option<usize>) {
        let labels = ModelLabels {
            namespace: namespace.to_owned(),
            model: model.to_owned(),
        };
        match features {
            Some(features) => {
                let count = i64::try_from(features).unwrap_or(i64::MAX);
                self.drifted_features.get_or_create(&labels).set(count);
            }
            None => {
                self.drifted_features.remove(&labels);
            }
        }
    }

    /// Sets whether the admission policies rejected a forged decision.
    pub fn approval_enforced(&self, enforced: bool) {
        self.approval_enforced.set(i64::from(enforced));
    }

    /// Counts an action that has ended.
    pub fn action_ended(&self, r#type: ActionType, reason: Reason) {
        self.actions.get_or_create(&action_labels(r#type, reason)).inc();
    }

    /// Sets the number of objects of a kind that cannot be deserialized.
    pub fn unreadable(&self, kind: &str, count: usize) {
        self.unreadable
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts an Event that the API server did not accept.
    pub fn event_failed(&self) {
        self.events_failed.inc();
    }

    /// Replaces the type and reason of a blocked action.
    pub(crate) fn blocked(&self, before: Option<(ActionType, Reason)>, now: Option<(ActionType, Reason)>) {
        if let Some((r#type, reason)) = now {
            self.blocked.get_or_create(&action_labels(r#type, reason)).inc();
        }
        if let Some((r#type, reason)) = before {
            self.blocked.get_or_create(&action_labels(r#type, reason)).dec();
        }
    }

    /// Sets whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}

fn action_labels(r#type: ActionType, reason: Reason) -> ActionLabels {
    ActionLabels {
        r#type: r#type.as_str(),
        reason: reason.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_of_metrics_in_the_documentation_is_current() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        modelward_service::docs::check(&page, "modelward_operator", Metrics::TABLE).unwrap();
    }
}
