//! The state of a rollout, by the record of a model.

use jiff::Timestamp;
use modelward_crds::{ConditionType, Model, ModelStatus, RouteStatus, RoutedVersion, ServedRecord};

use crate::{
    conditions::{self, Status, Verdict},
    order::Place,
    reason::{Reason, StuckReason},
};

/// The state of the rollout of given routes, by the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolloutSeen {
    /// Every Pod serves them, and nothing is left to do.
    Answers,
    /// Pods are being started; the text says more.
    Underway(String),
    /// It is stuck; reason and message.
    Stuck(StuckReason, String),
    /// The record has other routes now.
    OtherRoutes,
}

/// The record with other routes. The state of the rollout is reset, because that of the previous routes does not apply to these.
/// `newest` is the newest version among them; a newer one that was routed before stays the newest.
#[must_use]
pub fn reroute(
    model: &Model,
    routes: Vec<RouteStatus>,
    newest: Option<RoutedVersion>,
    now: Timestamp,
) -> ModelStatus {
    let mut status = model.status.clone().unwrap_or_default();
    status.routes = routes;
    status.newest_routed = [status.newest_routed.take(), newest]
        .into_iter()
        .flatten()
        .max_by_key(Place::of);
    let generation = model.metadata.generation;
    let (reason, words) = (Reason::RolloutInProgress, "the Deployment is being changed");
    let verdicts = [
        Verdict::fails(ConditionType::Ready, reason, words),
        Verdict::holds(ConditionType::Reconciling, reason, words),
        Verdict::fails(ConditionType::Stalled, reason, ""),
    ];
    let kept = |kinds: &[ConditionType]| -> Vec<_> {
        kinds
            .iter()
            .filter_map(|kind| conditions::find(&status.conditions, *kind).cloned())
            .collect()
    };
    let (available, notices) = (
        kept(&[ConditionType::Available]),
        kept(&[
            ConditionType::Altered,
            ConditionType::Contested,
            ConditionType::UpgradeHeld,
            ConditionType::ProposalRefused,
        ]),
    );
    let others = conditions::merge(&status.conditions, &verdicts, generation, now);
    status.conditions = available.into_iter().chain(others).chain(notices).collect();
    status
}

/// The state of the rollout of these routes, by the record.
pub fn rollout_seen(model: &Model, routes: &[RouteStatus]) -> RolloutSeen {
    let Some(status) = model.status.as_ref().filter(|status| status.routes == routes) else {
        return RolloutSeen::OtherRoutes;
    };
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    let (reason, message) = ready
        .map(|ready| (conditions::reason(ready), ready.message.clone()))
        .unwrap_or_default();
    if conditions::is_true(&status.conditions, ConditionType::Stalled) {
        RolloutSeen::Stuck(stuck_reason(reason), message)
    } else if already_answers(status) && ready.is_some_and(|ready| conditions::status(ready) != Status::False)
    {
        // Unknown: every Pod is ready by its own probes, but the operator cannot reach the Service.
        RolloutSeen::Answers
    } else {
        RolloutSeen::Underway(message)
    }
}

/// Whether the routes are those that every Pod served last.
pub(crate) fn already_answers(status: &ModelStatus) -> bool {
    let record = status.history.first().filter(|_| status.serving.is_some());
    let same = |record: &ServedRecord| {
        status
            .routes
            .first()
            .is_some_and(|route| is_record_of(record, route))
    };
    record.is_some_and(same)
}

/// Whether a history entry matches this route. Entries from before thresholds were recorded match any threshold.
pub(crate) fn is_record_of(record: &ServedRecord, route: &RouteStatus) -> bool {
    let threshold = record.threshold.as_ref();
    record.uid == route.uid
        && record.digest == route.digest
        && threshold.is_none_or(|threshold| *threshold == route.threshold)
}

pub(crate) fn stuck_reason(reason: Option<Reason>) -> StuckReason {
    reason
        .and_then(StuckReason::part_of)
        .unwrap_or(StuckReason::RolloutStuck)
}
