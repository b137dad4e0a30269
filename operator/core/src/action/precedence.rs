//! Which action takes precedence: other actions of the model, rollbacks, and the limit on models that are changed at once.

use jiff::Timestamp;
use modelward_crds::{ActiveAction, Model, ModelVersion, RemediationAction};

use crate::{
    action::{
        case::Case,
        decisions,
        draft::{Draft, Outcome, Step},
        kinds::{self, Claims, facts},
        plan::routes,
        world::InFlight,
    },
    conditions,
    objects::{active, has_ended, name_of, parent_uid, uid_of},
    order::Place,
    policy::Policy,
    reason::Reason,
    record::holds,
};

/// A blocked action is reconciled again after this many seconds if no event says that the obstacle is gone.
const SOON_SECONDS: i64 = 15;

pub(super) fn not_superseded(case: &Case<'_>) -> Result<(), Outcome> {
    if !facts(case.kind()).superseded_by_rollback {
        return Ok(());
    }
    let rolled_back = case
        .model
        .status
        .as_ref()
        .and_then(|status| status.rolled_back_at.as_ref());
    let created = case.action.metadata.creation_timestamp.as_ref();
    match (created, rolled_back) {
        (Some(created), Some(rolled_back)) if created.0 < rolled_back.0 => {
            let name = name_of(case.model);
            Err(Outcome::fails(
                Reason::Superseded,
                format!(
                    "{name} was rolled back at {}, after this was proposed: propose it again if it is still wanted",
                    rolled_back.0
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// A promotion that the operator proposed and that no user has decided on ends when a newer version of the model also waits for its
/// promotion: users decide only on the newest one.
pub(super) fn superseded_by_newer(case: &Case<'_>, draft: &Draft) -> Result<(), Outcome> {
    let Some(own) = proposed_candidate(case, case.action).filter(|_| draft.status.decisions.is_empty())
    else {
        return Ok(());
    };
    let newer = case
        .world
        .actions
        .iter()
        .filter(|other| !has_ended(other) && uid_of(*other) != case.uid())
        .filter(|other| {
            proposed_candidate(case, other)
                .is_some_and(|candidate| Place::of_version(candidate) > Place::of_version(own))
        })
        .min_by_key(|other| name_of(*other));
    match newer {
        Some(newer) => Err(Outcome::fails(
            Reason::Superseded,
            format!("a newer version waits to be promoted: {}", name_of(newer)),
        )),
        None => Ok(()),
    }
}

/// The version that an action of the operator promotes.
fn proposed_candidate<'a>(case: &Case<'a>, action: &RemediationAction) -> Option<&'a ModelVersion> {
    let spec = &action.spec;
    let reference = spec.candidate.as_ref().filter(|_| !spec.dry_run)?;
    let uid = reference.uid.as_deref()?;
    let own_name = kinds::of(spec.action).proposal_name(&reference.name, uid)?;
    let version = routes::find(&case.world.versions, reference)?;
    (spec.parent_ref.is_none() && name_of(action) == own_name).then_some(version)
}

/// Whether drifting models have to be counted: a retraining because of drift waits during a storm.
pub fn asks_for_drift(action: &RemediationAction) -> bool {
    let begun = action
        .status
        .as_ref()
        .is_some_and(|status| status.execution.is_some());
    let spec = &action.spec;
    let rests_on_drift = spec.accept_window.is_some()
        || spec
            .evidence
            .iter()
            .any(|evidence| evidence.kind == modelward_crds::EvidenceKind::DriftReport);
    facts(spec.action).held_in_a_storm && rests_on_drift && !begun && !has_ended(action)
}

/// Whether other actions have to be counted before this one may claim its model: enough users approved, and it is subject to
/// the bounds.
pub fn counts_others(action: &RemediationAction, now: Timestamp) -> bool {
    let status = action.status.clone().unwrap_or_default();
    let bounded = facts(action.spec.action).claims == Claims::Bounded && parent_uid(action).is_none();
    let Some(plan) = status.plan.as_ref().filter(|_| bounded && !has_ended(action)) else {
        return false;
    };
    let decisions = decisions::read(action, Some(plan), &status.decisions, now);
    let approvers = decisions::approvers(&decisions).len();
    status.execution.is_none() && approvers >= usize::try_from(plan.approvals_required).unwrap_or(0)
}

/// Models that actions are changing now, other than the model of this action.
///
/// Rollbacks neither wait for other models nor delay them. A paused model is not counted. A claim that is far past its deadline
/// belongs to an action that cannot be read; others do not wait for it.
pub fn in_flight<'a>(
    models: impl IntoIterator<Item = &'a Model>,
    action: &RemediationAction,
    policy: &Policy,
    now: Timestamp,
) -> InFlight {
    let own = (
        action.metadata.namespace.as_deref().unwrap_or_default(),
        action.spec.model.as_str(),
    );
    let most = usize::try_from(policy.in_flight_per_namespace)
        .unwrap_or(0)
        .max(1);
    let longest = policy
        .claim_seconds
        .max(0)
        .saturating_mul(2)
        .saturating_add(policy.verification_seconds.max(0));
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for model in models {
        let namespace = model.metadata.namespace.as_deref().unwrap_or_default();
        let Some(claim) = active(model).filter(|_| (namespace, name_of(model)) != own) else {
            continue;
        };
        let age = now.as_second() - claim.claimed_at.0.as_second();
        if facts(claim.action).claims == Claims::Bounded && !model.spec.paused && age <= longest {
            *counts.entry(namespace).or_default() += 1;
        }
    }
    InFlight {
        namespace: counts.get(own.0).copied().unwrap_or(0),
        cluster: counts.values().map(|count| (*count).min(most)).sum(),
    }
}

pub(super) fn not_held(case: &Case<'_>, draft: &Draft) -> Result<(), Outcome> {
    let planned = draft.status.plan.iter().flat_map(|plan| &plan.planned_routes);
    let held = planned
        .into_iter()
        .find(|route| holds::hold(case.model, &route.uid, Some(&route.digest)).is_some());
    if let Some(held) = held {
        let name = name_of(case.model);
        let message = format!(
            "{} is on hold: to lift the hold, add its uid {} to spec.liftHolds of the Model {name}",
            held.version, held.uid
        );
        // Waiting here for a user would keep the model claimed for as long.
        return Err(if parent_uid(case.action).is_some() {
            Outcome::fails(Reason::Held, message)
        } else {
            Outcome::waits(Reason::Held, message)
        });
    }
    if case.model.spec.paused && !facts(case.kind()).runs_while_paused {
        let name = name_of(case.model);
        return Err(Outcome::waits(
            Reason::Paused,
            format!("{name} is paused: spec.paused of the Model is true; set it to false to continue"),
        ));
    }
    Ok(())
}

/// Whether the model is free, and the limit on other models that are being changed is not reached.
pub(super) fn can_claim(case: &Case<'_>) -> Result<(), Outcome> {
    let Some(holder) = case.holder() else {
        return few_in_flight(case);
    };
    if Some(holder.uid.as_str()) == parent_uid(case.action) {
        return Ok(());
    }
    let is_open = case
        .world
        .actions
        .iter()
        .any(|other| uid_of(other) == holder.uid && !has_ended(other));
    let is_urgent = |action| facts(action).claims == Claims::Urgent;
    let urgent = is_urgent(case.kind()) && !is_urgent(holder.action);
    if is_open && !urgent {
        return Err(Outcome::waits(
            Reason::ModelClaimed,
            format!("{} is changing the model", holder.name),
        )
        .again(case.after(SOON_SECONDS)));
    }
    few_in_flight(case)
}

/// A rollback does not wait for other models.
fn few_in_flight(case: &Case<'_>) -> Result<(), Outcome> {
    if facts(case.kind()).claims != Claims::Bounded || parent_uid(case.action).is_some() {
        return Ok(());
    }
    let (Some(others), policy) = (case.world.in_flight, &case.world.policy) else {
        return Err(Outcome::works(Reason::Claimed, "the model is being claimed"));
    };
    let reached = |count: usize, bound: i32| count >= usize::try_from(bound).unwrap_or(0).max(1);
    let words = if reached(others.namespace, policy.in_flight_per_namespace) {
        format!(
            "{} other models of this namespace are being changed, and inFlightPerNamespace is {}",
            others.namespace, policy.in_flight_per_namespace
        )
    } else if reached(others.cluster, policy.in_flight) {
        format!(
            "{} other models of the cluster are being changed, and inFlight is {}",
            others.cluster, policy.in_flight
        )
    } else {
        return Ok(());
    };
    Err(Outcome::waits(Reason::TooManyInFlight, words).again(case.after(SOON_SECONDS)))
}

pub(super) fn claim(case: &Case<'_>, draft: &Draft) -> Outcome {
    let outcome = Outcome::works(Reason::Claimed, "the model is being claimed");
    let Some(plan) = &draft.status.plan else {
        return outcome;
    };
    let mut record = case.record();
    record.active_action = Some(ActiveAction {
        name: name_of(case.action).to_owned(),
        uid: case.uid().to_owned(),
        action: case.kind(),
        digest: plan.digest,
        attempt: 1,
        claimed_at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(conditions::whole_seconds(case.now)),
    });
    outcome.with(Step::Claim(Box::new(record)))
}
