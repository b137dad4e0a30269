//! What an operator says of itself to Prometheus. Labels are kinds, verbs and categories, and names of models where a series
//! is about one model; never names of other objects.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use modelward_core::reason::Reason;
use modelward_crds::{ActionType, DriftVerdict};
use modelward_wire::words;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use crate::error::Category;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

words! {
    /// The controllers of the operator.
    pub enum ControllerName {
        /// Trains versions.
        ModelVersion = "modelversion",
        /// Serves models.
        Model = "model",
        /// Judges windows.
        DriftReport = "driftreport",
        /// Makes reports when windows close.
        DriftSchedule = "driftschedule",
        /// Carries actions out.
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

    /// What came of asking a model through its Service.
    pub enum ProbeAnswer {
        /// It was not asked.
        NotAsked,
        /// It answered with a digest of routes.
        Answered,
        /// Something else answered.
        WrongAnswer,
        /// The connection was refused.
        NoAnswer,
        /// No answer came.
        NotReachable,
    }
}

/// The operator's metrics; a clone counts into the same ones.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<ReconcileLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    duration: Family<ControllerLabels, Histogram>,
    active: Family<ControllerLabels, Gauge>,
    failing: Family<ControllerLabels, Gauge>,
    writes: Family<WriteLabels, Counter>,
    tampered: Family<KindLabels, Counter>,
    probes: Family<ProbeLabels, Counter>,
    held_upgrades: Gauge,
    stopped_upgrades: Gauge,
    watch_errors: Family<KindLabels, Counter>,
    ledger_errors: Counter,
    leader: Gauge,
    reports: Family<VerdictLabels, Counter>,
    proposals: Family<ProposalLabels, Counter>,
    drifted_features: Family<ModelLabels, Gauge>,
    approval_enforced: Gauge,
    actions: Family<ActionLabels, Counter>,
    unreadable: Family<KindLabels, Gauge>,
    events_failed: Counter,
    blocked: Family<ActionLabels, Gauge>,
    /// By action, what keeps it from going on.
    blocked_actions: Arc<Mutex<HashMap<String, ActionLabels>>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    controller: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    verb: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProbeLabels {
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerdictLabels {
    verdict: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ProposalLabels {
    r#type: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    namespace: String,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActionLabels {
    r#type: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

// === impl Metrics ===

impl Metrics {
    /// Registers all metrics.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconciles: Family::default(),
            errors: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            active: Family::default(),
            failing: Family::default(),
            writes: Family::default(),
            tampered: Family::default(),
            probes: Family::default(),
            held_upgrades: Gauge::default(),
            stopped_upgrades: Gauge::default(),
            watch_errors: Family::default(),
            ledger_errors: Counter::default(),
            leader: Gauge::default(),
            reports: Family::default(),
            proposals: Family::default(),
            drifted_features: Family::default(),
            approval_enforced: Gauge::default(),
            actions: Family::default(),
            unreadable: Family::default(),
            events_failed: Counter::default(),
            blocked: Family::default(),
            blocked_actions: Arc::default(),
        };
        registry.register(
            "modelward_unreadable_objects",
            "Objects that the operator cannot deserialise and ignores, by kind",
            metrics.unreadable.clone(),
        );
        registry.register(
            "modelward_approval_enforced",
            "1 where a forged decision was refused by the admission policies when it was last tried; nothing risky runs otherwise",
            metrics.approval_enforced.clone(),
        );
        registry.register(
            "modelward_drifted_features",
            "Features that drifted in the newest window of a model that had enough rows to tell",
            metrics.drifted_features.clone(),
        );
        let registry = registry.sub_registry_with_prefix("modelward_operator");
        registry.register(
            "reconciles",
            "Reconciles by controller and result",
            metrics.reconciles.clone(),
        );
        registry.register(
            "reconcile_errors",
            "Failed reconciles by controller and reason",
            metrics.errors.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "Time that a reconcile took",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "active_reconciles",
            "Reconciles that run at present",
            metrics.active.clone(),
        );
        registry.register(
            "failing_objects",
            "Objects that wait to be tried again",
            metrics.failing.clone(),
        );
        registry.register(
            "writes",
            "Writes to the API server by kind and verb",
            metrics.writes.clone(),
        );
        registry.register(
            "tampered",
            "Children that another writer changed and that were put back",
            metrics.tampered.clone(),
        );
        registry.register(
            "service_probes",
            "Questions to models through their Services, by what answered",
            metrics.probes.clone(),
        );
        registry.register(
            "held_upgrades",
            "Models that keep their former Pod template until it is their turn",
            metrics.held_upgrades.clone(),
        );
        registry.register(
            "stopped_upgrades",
            "Models that keep their former Pod template because another model does not come up with the new one",
            metrics.stopped_upgrades.clone(),
        );
        registry.register(
            "watch_errors",
            "Errors of watches by kind",
            metrics.watch_errors.clone(),
        );
        registry.register(
            "ledger_errors",
            "Calls to the ledger that failed",
            metrics.ledger_errors.clone(),
        );
        registry.register(
            "leader",
            "1 where this process holds the lease",
            metrics.leader.clone(),
        );
        registry.register(
            "drift_reports",
            "Verdicts on windows of traffic",
            metrics.reports.clone(),
        );
        registry.register(
            "drift_proposals",
            "What came of drift, by type of the proposed action (None where something kept one from being proposed) and reason",
            metrics.proposals.clone(),
        );
        registry.register(
            "actions_ended",
            "Actions that have ended, by type and reason",
            metrics.actions.clone(),
        );
        registry.register(
            "events_failed",
            "Events that the API server did not accept",
            metrics.events_failed.clone(),
        );
        registry.register(
            "actions_blocked",
            "Open actions that cannot go on, by type and reason",
            metrics.blocked.clone(),
        );
        registry.register(
            "build",
            "What runs",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        metrics
    }

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
        let result = if error.is_some() { "error" } else { "success" };
        self.reconciles
            .get_or_create(&ReconcileLabels { controller, result })
            .inc();
        if let Some(reason) = error.map(Category::as_str) {
            self.errors
                .get_or_create(&ErrorLabels { controller, reason })
                .inc();
        }
    }

    /// Notes how many objects of a controller wait to be tried again.
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

    /// Counts a child that was put back.
    pub fn tampered(&self, kind: &str) {
        self.tampered
            .get_or_create(&KindLabels {
                kind: kind.to_owned(),
            })
            .inc();
    }

    /// Counts a question to a model through its Service.
    pub fn probed(&self, answer: ProbeAnswer) {
        let answer = answer.as_str();
        self.probes.get_or_create(&ProbeLabels { answer }).inc();
    }

    /// Notes how many models keep their former Pod template, and how many of them because the upgrade stopped.
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

    /// Counts what came of drift.
    pub fn proposed(&self, r#type: &'static str, reason: Reason) {
        let reason = reason.as_str();
        self.proposals
            .get_or_create(&ProposalLabels { r#type, reason })
            .inc();
    }

    /// Notes how many features of a model drifted in its newest window that had enough rows; nothing where there is none.
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

    /// Notes whether a forged decision was refused by the admission policies.
    pub fn approval_enforced(&self, enforced: bool) {
        self.approval_enforced.set(i64::from(enforced));
    }

    /// Counts an action that has ended.
    pub fn action_ended(&self, r#type: ActionType, reason: Reason) {
        self.actions.get_or_create(&action_labels(r#type, reason)).inc();
    }

    /// Notes how many objects of a kind cannot be deserialised.
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

    /// Notes what keeps an action from going on, by type and reason; nothing where it goes on, has ended or is gone.
    pub fn blocked(&self, action: &str, by: Option<(ActionType, Reason)>) {
        let mut actions = self
            .blocked_actions
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = by.map(|(r#type, reason)| action_labels(r#type, reason));
        if actions.get(action) == now.as_ref() {
            return;
        }
        let before = match now {
            Some(labels) => {
                self.blocked.get_or_create(&labels).inc();
                actions.insert(action.to_owned(), labels)
            }
            None => actions.remove(action),
        };
        if let Some(before) = before {
            self.blocked.get_or_create(&before).dec();
        }
    }

    /// Notes whether this process leads.
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
