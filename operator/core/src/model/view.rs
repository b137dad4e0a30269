//! A version's view of its model.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use modelward_crds::{ConditionType, Model, ModelStatus, ModelVersion, RemediationAction};

use crate::{
    conditions::{self, Status},
    model::{
        candidate::{newest_passed, promotes},
        routes::least,
        verdicts::working_reason,
    },
    objects::has_ended,
    order::Place,
    reason::{Reason, WorkingReason},
    record::{holds::hold, rollout::stuck_reason},
    version::{ServingSeen, Settling},
};

/// The parts of a model that the views of its versions depend on, as hashes that are valid in one process. If they are equal,
/// [`serving_seen`] and [`promotion_seen`] give the same answer for the same arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelView {
    /// The parts that all its versions read.
    pub all: u64,
    /// The state of its Pods, which only the versions of `live` read.
    pub pods: u64,
    /// Uids of the versions that are routed or serve.
    pub live: BTreeSet<String>,
}

// === impl ModelView ===

impl ModelView {
    /// The view of this model.
    pub fn of(model: &Model) -> Self {
        let Some(status) = &model.status else {
            return Self {
                all: hash_of(&(&model.metadata.uid, &model.spec)),
                pods: 0,
                live: BTreeSet::new(),
            };
        };
        let condition = |type_| {
            let found = conditions::find(&status.conditions, type_);
            found.map(|found| (&found.status, &found.reason, &found.message))
        };
        let pods = (
            &status.pods,
            status.ready_pods,
            condition(ConditionType::Ready),
            condition(ConditionType::Stalled).map(|(status, ..)| status),
        );
        // A new field does not compile until it is read or named among those that no view reads.
        let ModelStatus {
            serving,
            serving_digest,
            newest_routed,
            routes,
            history,
            holds,
            proposals,
            observed_generation: _,
            pods: _,
            ready_pods: _,
            key_secret: _,
            children: _,
            rollout: _,
            serving_routes: _,
            active_action: _,
            plan_sequence: _,
            rolled_back_at: _,
            conditions: _,
        } = status;
        let rest = (
            serving,
            serving_digest,
            newest_routed,
            routes,
            history,
            holds,
            proposals,
        );
        let refused = condition(ConditionType::ProposalRefused).map(|(_, _, message)| message);
        let live = status.routes.iter().map(|route| &route.uid);
        let serves = status.history.first().map(|record| &record.uid);
        Self {
            all: hash_of(&(
                &model.metadata.uid,
                &model.spec,
                rest,
                refused,
                awaits_approval(status),
            )),
            pods: hash_of(&pods),
            live: live.chain(serves).cloned().collect(),
        }
    }
}

fn hash_of(value: &impl serde::Serialize) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Types of the API always serialize.
    serde_json::to_string(value).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// The state of one of the model's versions in the record.
pub fn serving_seen(model: Option<&Model>, version: &ModelVersion) -> ServingSeen {
    let Some((model, status)) = model.and_then(|model| Some((model, model.status.as_ref()?))) else {
        return ServingSeen::NotYet;
    };
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let routed = status.routes.iter().any(|route| route.uid == uid);
    let serves = status.serving.is_some() && status.history.first().is_some_and(|record| record.uid == uid);
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    let (reason, message) = ready
        .map(|ready| (conditions::reason(ready), ready.message.clone()))
        .unwrap_or_default();
    let stalled = conditions::is_true(&status.conditions, ConditionType::Stalled);
    match (routed, serves) {
        (true, true) => ServingSeen::Live {
            enough: status.ready_pods.unwrap_or(0) >= least(&version.spec.serving)
                && !matches!(reason, Some(Reason::NoAnswer | Reason::WrongAnswer)),
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
            rest: match ready {
                _ if stalled => Settling::Stuck(stuck_reason(reason), message),
                Some(ready) if conditions::status(ready) == Status::True => Settling::Done,
                _ => Settling::Working(working_reason(reason), message),
            },
        },
        (true, false) if stalled => ServingSeen::Stuck(stuck_reason(reason), message),
        (true, false) => ServingSeen::RollingOut(Reason::RolloutInProgress, message),
        (false, true) if status.ready_pods.unwrap_or(0) > 0 => {
            let next = status
                .routes
                .first()
                .map_or("nothing", |route| route.version.as_str());
            ServingSeen::BeingReplaced(format!("it serves until {next} has taken over"))
        }
        (false, true) => ServingSeen::Live {
            enough: false,
            pods: format!("{} Pods", status.pods.as_deref().unwrap_or("0/0")),
            rest: Settling::Working(WorkingReason::RolloutInProgress, message),
        },
        (false, false) => unrouted(model, status, version),
    }
}

/// Whether a version waits for an action that promotes it; [`promotion_seen`] says which one.
pub fn awaits_promotion(serving: &ServingSeen) -> bool {
    matches!(serving, ServingSeen::AwaitingPromotion(_))
}

/// The state of the promotion of a waiting version.
pub fn promotion_seen(
    model: Option<&Model>,
    version: &ModelVersion,
    actions: &[RemediationAction],
    versions: &[ModelVersion],
) -> ServingSeen {
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let made_by = version
        .spec
        .provenance
        .as_ref()
        .map(|provenance| provenance.action.uid.as_str());
    let name = |action: &RemediationAction| action.metadata.name.clone().unwrap_or_default();
    let own: Vec<_> = actions
        .iter()
        .filter(|action| promotes(action, uid, version.metadata.name.as_deref()))
        .collect();
    if let Some(open) = own.iter().find(|action| !has_ended(action)) {
        let message = format!("waits until {} is approved and carried out", name(open));
        return ServingSeen::AwaitingPromotion(message);
    }
    let maker = actions
        .iter()
        .find(|action| !has_ended(action) && action.metadata.uid.as_deref() == made_by);
    if let (Some(maker), Some(_)) = (maker, made_by) {
        return ServingSeen::AwaitingPromotion(format!("{} is handling its promotion", name(maker)));
    }
    let newest = own.into_iter().max_by_key(|action| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, name(action))
    });
    let Some(ended) = newest else {
        let status = model.and_then(|model| model.status.as_ref());
        if let Some(newer) = newest_passed(version, versions) {
            return ServingSeen::AwaitingPromotion(format!(
                "superseded by the newer {newer}; to promote this version, create a PromoteModel with it as candidate"
            ));
        }
        let proposed =
            status.and_then(|status| status.proposals.iter().find(|proposal| proposal.cause == uid));
        if let Some(proposed) = proposed {
            let message = format!(
                "{} was deleted; to promote this version, create a PromoteModel with it as candidate",
                proposed.name
            );
            return ServingSeen::NotPromoted(Reason::PromotionEnded, message);
        }
        let refused =
            status.and_then(|status| conditions::find(&status.conditions, ConditionType::ProposalRefused));
        return ServingSeen::AwaitingPromotion(match refused {
            Some(refused) => refused.message.clone(),
            None => "its promotion is being proposed".to_owned(),
        });
    };
    let conditions = ended
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let succeeded = conditions::find(conditions, ConditionType::Succeeded);
    let (why, words) = succeeded
        .map(|condition| (condition.reason.as_str(), condition.message.as_str()))
        .unwrap_or_default();
    let reason = match succeeded.and_then(conditions::reason) {
        Some(Reason::Rejected) => Reason::PromotionRejected,
        Some(Reason::Expired) => Reason::PromotionExpired,
        _ => Reason::PromotionEnded,
    };
    ServingSeen::NotPromoted(reason, format!("{} has ended, {why}: {words}", name(ended)))
}

/// Whether a version has passed, none ever served, and the first one needs approval too.
pub(super) fn awaits_approval(status: &ModelStatus) -> bool {
    let ready = conditions::find(&status.conditions, ConditionType::Ready);
    ready.is_some_and(|ready| conditions::reason(ready) == Some(Reason::AwaitingPromotion))
}

fn unrouted(model: &Model, status: &ModelStatus, version: &ModelVersion) -> ServingSeen {
    let uid = version.metadata.uid.as_deref().unwrap_or_default();
    let bundle = version.status.as_ref().and_then(|status| status.bundle.as_ref());
    if let Some(hold) = hold(model, uid, bundle.map(|bundle| &bundle.digest)) {
        let message = format!(
            "on hold since {} after {}: {}; to lift the hold, add {} to spec.liftHolds of Model {}",
            hold.since.0, hold.action.name, hold.reason, hold.uid, version.spec.model
        );
        return ServingSeen::Held(message);
    }
    let newest = status.newest_routed.as_ref();
    let overtaken = newest.is_some_and(|newest| Place::of_version(version) <= Place::of(newest));
    let served = status.history.iter().any(|record| record.uid == uid);
    if overtaken || served {
        let now = match (&status.serving, status.routes.first()) {
            (Some(serving), _) => format!("{serving} serves"),
            (None, Some(route)) => format!("{} is being rolled out", route.version),
            (None, None) => "nothing serves".to_owned(),
        };
        let message = if served {
            format!("{now}; a rollback can return to this version")
        } else {
            format!(
                "{now}; this version has never served; to promote it, create a PromoteModel with it as candidate"
            )
        };
        ServingSeen::Retired(message)
    } else if model.spec.paused {
        ServingSeen::Paused
    } else if status.newest_routed.is_some() || awaits_approval(status) {
        ServingSeen::AwaitingPromotion("waits until an action is approved and carried out".to_owned())
    } else {
        ServingSeen::NotYet
    }
}
