//! From the claim to the end: effects, each decided from a record in which the claim is still this action's own.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource as _;
use modelward_crds::{
    ActionPlan, ActionReference, ActionType, BlockedStep, Champion, ConditionType, DriftReport, DriftVerdict,
    EvidenceKind, EvidenceReference, Execution, Hold, ModelStatus, ModelVersion, ObstacleReason,
    PlannedRoute, Provenance, RemediationAction, RemediationActionSpec, RouteStatus, RoutedVersion,
    VersionReference, annotations, labels,
};

use super::{
    At, Case, Draft, Obstacle, Standing, Step, World,
    content::{self, Content, TrainingPart},
    decisions, has_ended, is_by_operator, is_covered_by, name_of, parent_uid, plan, prepare, promotion_name,
    retrained_version_name, training_spec, uid_of,
};
use crate::{
    conditions::{self, Status, Verdict},
    model::{self, RolloutSeen},
    name_hash,
    order::Place,
    pods::Cause,
    reason::{AttemptFailure, Ending, Reason, StuckReason},
};

/// Versions on hold that are kept in mind.
const HOLDS: usize = 32;
/// Values of labels have at most so many letters.
const LABEL: usize = 63;

/// The chain from the claim on.
pub(super) fn chain(case: &Case<'_>, draft: &mut Draft) -> Result<Standing, Standing> {
    let plan = claimed(case, draft)?;
    // The condition was written before the model was claimed, and nothing more can be approved.
    let _ = prepare::approved(case, draft);
    let proved = plan.approvals_required > 0 || parent_uid(case.action).is_some();
    draft.enforced = if proved {
        Verdict::holds(
            ConditionType::ApprovalEnforced,
            Reason::ApprovalEnforced,
            "the admission policies were tried and worked before the model was claimed",
        )
    } else {
        Verdict::holds(
            ConditionType::ApprovalEnforced,
            Reason::NotNeeded,
            "it needs no approval",
        )
    };
    match case.kind() {
        ActionType::SendAlert => Ok(Standing::succeeds(Reason::Alerted, "the alert was delivered")),
        ActionType::RetrainModel => {
            let standing = retrain(case, draft, &plan).unwrap_or_else(|standing| standing);
            Ok(in_time(case, draft, standing))
        }
        ActionType::PromoteModel | ActionType::RollbackModel => switch(case, draft, &plan),
    }
}

/// A retraining whose result is not being promoted when its claim is due ends: it must not keep others from the model.
fn in_time(case: &Case<'_>, draft: &mut Draft, standing: Standing) -> Standing {
    let open = !matches!(standing.at, At::Ended(_));
    let child = promotion_of(case).is_some_and(|child| !has_ended(child));
    let Some(execution) = draft.status.execution.as_ref().filter(|_| open && !child) else {
        return standing;
    };
    let end = case.deadline(&execution.claimed_at);
    if case.now < end {
        return standing.again(Some(end));
    }
    let message = format!("the claim on the model ended at {end}: {}", standing.message);
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::DeadlineExceeded, message.clone());
    Standing::fails(Reason::DeadlineExceeded, message)
}

/// The action that promotes what this one made: one of the operator's own, for this very action.
fn promotion_of<'a>(case: &Case<'a>) -> Option<&'a RemediationAction> {
    let mut actions = case.world.actions.iter();
    actions.find(|other| is_covered_by(other, case.uid(), case.world))
}

/// Whether the plan of an action says that what it trains takes over when its gates pass.
pub(super) fn serves_when_passed(action: &RemediationAction) -> bool {
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    plan.and_then(planned_training)
        .is_some_and(|training| training.serve_when_gates_pass)
}

/// Notes the claim. What was claimed for is the plan of that moment, and stays it.
fn claimed(case: &Case<'_>, draft: &mut Draft) -> Result<ActionPlan, Standing> {
    let Some(plan) = draft.status.plan.clone() else {
        return Err(Standing::fails(
            Reason::Superseded,
            "the model was claimed for it, and its plan is gone",
        ));
    };
    let own = case.holder().filter(|holder| holder.uid == case.uid());
    let digest = match (&draft.status.execution, own) {
        (Some(execution), _) => execution.digest,
        (None, Some(holder)) => {
            draft.status.execution = Some(Execution {
                digest: holder.digest,
                attempt: holder.attempt,
                claimed_at: holder.claimed_at.clone(),
                version: None,
                promotion: None,
                routed_at: None,
                verify_until: None,
                ended_at: None,
            });
            holder.digest
        }
        (None, None) => return Err(lost(case)),
    };
    if digest != plan.digest || !content::is_whole(&plan) {
        return Err(Standing::fails(
            Reason::PlanChanged,
            "the plan is not the one that the model was claimed for",
        ));
    }
    if !plan::is_for(&plan, case.action, case.model) {
        return Err(Standing::fails(
            Reason::Superseded,
            format!(
                "the plan is not for this {}: it was deleted and made again",
                name_of(case.model)
            ),
        ));
    }
    Ok(plan)
}

/// The claim is another action's, or there is none.
fn lost(case: &Case<'_>) -> Standing {
    let message = match case.holder() {
        Some(holder) => format!("{} has taken the model over", holder.name),
        None => "the model is no longer claimed for it".to_owned(),
    };
    Standing::fails(Reason::Superseded, message)
}

// === PromoteModel, RollbackModel ===

fn switch(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Standing, Standing> {
    if case.holder().is_none_or(|holder| holder.uid != case.uid()) {
        return Err(lost(case));
    }
    let ours = |hold: &&Hold| {
        hold.action.uid == case.uid() && plan.planned_routes.iter().any(|route| route.uid == hold.uid)
    };
    let record = case.record();
    if let Some(hold) = record.holds.iter().find(ours) {
        too_late(draft);
        return Ok(gone_back(case, draft, plan, &hold.reason));
    }
    let routed_at = draft
        .status
        .execution
        .as_ref()
        .and_then(|execution| execution.routed_at.clone());
    let routes: Vec<RouteStatus> = plan.planned_routes.iter().map(plan::recorded).collect();
    let words = plan::names(&plan.planned_routes).unwrap_or_default();
    let seen = model::rollout_seen(case.model, &routes);
    if seen == RolloutSeen::OtherRoutes {
        if executed_says(draft, Reason::RolledBack) {
            // The hold has been lifted.
            too_late(draft);
            return Ok(gone_back(case, draft, plan, "its Pods did not become ready"));
        }
        if routed_at.is_some() || executed_says(draft, Reason::RollingOut) {
            return Err(Standing::fails(
                Reason::Superseded,
                "a version that was to serve was deleted while it was rolled out",
            ));
        }
        return begin(case, draft, plan);
    }
    too_late(draft);
    let end = due(case, draft);
    let routed_at = match (seen, routed_at) {
        // A quota or a policy: it is tried again, and what was routed goes on once there is room.
        (RolloutSeen::Stuck(reason, refusal), None)
            if reason == StuckReason::ChildRefused && end > case.now =>
        {
            draft.executed = Verdict::unknown(ConditionType::Executed, Reason::RollingOut, refusal.clone());
            let words = format!("{words} cannot be rolled out: {refusal}; it is tried again until {end}");
            return Ok(Standing::stalls(Reason::ChildRefused, words).again(Some(end)));
        }
        (RolloutSeen::Stuck(StuckReason::ChildRefused, _), Some(routed_at)) => routed_at,
        (RolloutSeen::Stuck(reason, words), _) => return go_back(case, draft, plan, reason.into(), &words),
        (_, Some(routed_at)) => routed_at,
        (RolloutSeen::Answers, None) => now(case),
        (RolloutSeen::Underway(rollout), None) => {
            if end <= case.now {
                let words = format!("it was not rolled out by {end}: {rollout}");
                return go_back(case, draft, plan, Reason::RolloutStuck, &words);
            }
            draft.executed = Verdict::unknown(ConditionType::Executed, Reason::RollingOut, rollout.clone());
            return Ok(Standing::works(
                Reason::RollingOut,
                format!("{words} is being rolled out: {rollout}"),
            )
            .again(Some(end)));
        }
        (RolloutSeen::OtherRoutes, None) => return Err(lost(case)),
    };
    draft.executed = Verdict::holds(
        ConditionType::Executed,
        Reason::Executed,
        format!("{words} serves since {}", routed_at.0),
    );
    if let Some(execution) = &mut draft.status.execution {
        execution.routed_at = Some(routed_at.clone());
    }
    Ok(verify(case, draft, plan, &routed_at))
}

/// When the claim is due.
fn due(case: &Case<'_>, draft: &Draft) -> Timestamp {
    let execution = draft.status.execution.as_ref();
    execution.map_or(Timestamp::MAX, |execution| case.deadline(&execution.claimed_at))
}

/// The routes are changed. It is the last moment at which a rejection counts.
fn begin(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Standing, Standing> {
    prepare::not_rejected(draft)?;
    let mut newest: Option<RoutedVersion> = None;
    for route in &plan.planned_routes {
        let version = plan::by_uid(&case.world.versions, &route.uid)
            .ok_or_else(|| Standing::fails(Reason::Superseded, format!("{} is gone", route.version)))?;
        if parent_uid(case.action).is_some() {
            prepare::covered(case, version)?;
        }
        let bundle = version.status.as_ref().and_then(|status| status.bundle.as_ref());
        let returning = case.kind() == ActionType::RollbackModel && case.action.spec.candidate.is_none();
        if !returning && bundle.is_none_or(|bundle| bundle.digest != route.digest) {
            return Err(Standing::fails(
                Reason::PlanChanged,
                format!("the bundle of {} is not the one that was approved", route.version),
            ));
        }
        let created = version.metadata.creation_timestamp.clone();
        if let Some(created_at) = created {
            let this = RoutedVersion {
                created_at,
                name: route.version.clone(),
                uid: route.uid.clone(),
            };
            newest = newest.into_iter().chain([this]).max_by_key(Place::of);
        }
    }
    let left = plan::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let next = plan::names(&plan.planned_routes).unwrap_or_else(|| "nothing".to_owned());
    let routes = plan.planned_routes.iter().map(plan::recorded).collect();
    let mut record = model::reroute(case.model, routes, newest, case.now);
    if case.kind() == ActionType::RollbackModel {
        record.rolled_back_at = Some(now(case));
        let reason = format!("{} returned to {next}", name_of(case.action));
        for route in &plan.present_routes {
            if !plan.planned_routes.contains(route) {
                hold(&mut record, case, route, &reason);
            }
        }
    }
    let words = format!("{next} takes over from {left} by {}", name_of(case.action));
    draft.executed = Verdict::unknown(ConditionType::Executed, Reason::Claimed, words.clone());
    Ok(Standing::works(Reason::Claimed, words.clone()).with(Step::Route(Box::new(record), words)))
}

/// What was to serve does not come up: the former routes again, which is part of the plan.
fn go_back(
    case: &Case<'_>,
    draft: &mut Draft,
    plan: &ActionPlan,
    reason: Reason,
    words: &str,
) -> Result<Standing, Standing> {
    let what = plan::names(&plan.planned_routes).unwrap_or_default();
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::RolledBack, words.to_owned());
    if case.kind() == ActionType::RollbackModel {
        // What it left was left on purpose; what answers keeps answering.
        let message = format!(
            "{}; {what} did not become ready: {reason}: {words}",
            draft.story(case)
        );
        return Err(Standing::fails(Reason::RolloutStuck, message));
    }
    let there = |route: &&PlannedRoute| plan::by_uid(&case.world.versions, &route.uid).is_some();
    let routes = plan
        .present_routes
        .iter()
        .filter(there)
        .map(plan::recorded)
        .collect();
    let mut record = model::reroute(case.model, routes, None, case.now);
    record.rolled_back_at = Some(now(case));
    let why: String = format!("{reason}: {words}").chars().take(256).collect();
    for route in &plan.planned_routes {
        hold(&mut record, case, route, &why);
    }
    let former = plan::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let words = format!("{what} did not become ready, and {former} takes over again: {why}");
    Ok(Standing::works(Reason::RolledBack, words.clone()).with(Step::Route(Box::new(record), words)))
}

/// The former routes are written; the end comes when they serve, or cannot.
fn gone_back(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan, reason: &str) -> Standing {
    let what = plan::names(&plan.planned_routes).unwrap_or_default();
    let former = plan::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let message = format!(
        "{}; {what} did not become ready ({reason}), and {former} serves again; {what} is on hold",
        draft.story(case)
    );
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::RolledBack, message.clone());
    let record = case.record();
    let settled = record.routes.is_empty()
        || is_true(&record.conditions, ConditionType::Ready).is_some()
        || is_true(&record.conditions, ConditionType::Stalled).is_some();
    // The routes are the former ones for good. Pods that do not become ready must not keep the claim.
    let returned_at = record.rolled_back_at.as_ref().map_or(case.now, |time| time.0);
    let end = case.deadline(&Time(returned_at));
    if settled {
        Standing::fails(Reason::RolledBack, message)
    } else if end <= case.now {
        let message = format!(
            "{}; {what} did not become ready ({reason}); the routes are those of {former} again, and its Pods are not ready yet; {what} is on hold",
            draft.story(case)
        );
        Standing::fails(Reason::RolledBack, message)
    } else {
        Standing::works(Reason::RolledBack, format!("{former} takes over again")).again(Some(end))
    }
}

/// Watches what was put to work for a while. A verdict on its traffic ends it early.
fn verify(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan, routed_at: &Time) -> Standing {
    let seconds = case.world.policy.verification_seconds.max(0);
    let Some(execution) = &mut draft.status.execution else {
        return lost(case);
    };
    let until = execution.verify_until.get_or_insert_with(|| {
        let until = routed_at.0.checked_add(seconds.seconds());
        Time(until.unwrap_or(Timestamp::MAX))
    });
    let until = until.0;
    let what = plan::names(&plan.planned_routes).unwrap_or_default();
    let left = match plan::names(&plan.present_routes) {
        Some(names) => format!(" in place of {names}"),
        None => String::new(),
    };
    let story = format!("{}; {what} serves since {}{left}", draft.story(case), routed_at.0);
    let kind = ConditionType::Verified;
    match conclusive(case, plan, routed_at) {
        Some((report, DriftVerdict::Drift)) => {
            let words = format!("traffic since shows drift ({})", name_of(report));
            draft.verified = Verdict::fails(kind, Reason::DriftAfterChange, words.clone());
            Standing::succeeds(Reason::DriftAfterChange, format!("{story}; {words}"))
        }
        Some((report, _)) => {
            let words = format!("traffic since shows no drift ({})", name_of(report));
            draft.verified = Verdict::holds(kind, Reason::Verified, words.clone());
            Standing::succeeds(Reason::Verified, format!("{story}; {words}"))
        }
        None if until <= case.now => {
            let words = format!("there was too little traffic until {until} for a verdict");
            draft.verified = Verdict::unknown(kind, Reason::InsufficientData, words.clone());
            Standing::succeeds(Reason::Executed, format!("{story}; {words}"))
        }
        None => {
            let words = format!("watched until {until}");
            draft.verified = Verdict::unknown(kind, Reason::Verifying, words.clone());
            Standing::works(Reason::Verifying, format!("{story}; {words}")).again(Some(until))
        }
    }
}

/// The first verdict on traffic that came after the change.
fn conclusive<'a>(
    case: &Case<'a>,
    plan: &ActionPlan,
    routed_at: &Time,
) -> Option<(&'a DriftReport, DriftVerdict)> {
    let of_planned = |report: &DriftReport| {
        let uid = report
            .status
            .as_ref()
            .and_then(|status| status.version_uid.as_ref());
        plan.planned_routes
            .iter()
            .any(|route| route.version == report.spec.version && uid.is_none_or(|uid| *uid == route.uid))
    };
    let verdict = |report: &'a DriftReport| {
        let verdict = report.status.as_ref()?.verdict?;
        let counts = report.spec.end_time.0 > routed_at.0
            && of_planned(report)
            && verdict != DriftVerdict::InsufficientData;
        counts.then_some((report, verdict))
    };
    case.world
        .reports
        .iter()
        .filter_map(verdict)
        .min_by_key(|(report, _)| (report.spec.end_time.0, uid_of(*report).to_owned()))
}

// === RetrainModel ===

fn retrain(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Standing, Standing> {
    let child = promotion_of(case);
    if let Some(child) = child.filter(|child| has_ended(child)) {
        return Ok(as_its_promotion(case, draft, child));
    }
    let holds = |uid: &str| case.holder().is_some_and(|holder| holder.uid == uid);
    if !holds(case.uid()) && !child.is_some_and(|child| holds(uid_of(child))) {
        return Err(lost(case));
    }
    if child.is_some_and(|child| has_routed(case, child)) {
        too_late(draft);
    } else {
        prepare::not_rejected(draft)?;
    }
    let version = made(case, draft, plan)?;
    let name = name_of(version);
    let reference = VersionReference {
        name: name.to_owned(),
        uid: Some(uid_of(version).to_owned()),
    };
    if let Some(execution) = &mut draft.status.execution {
        execution.version = Some(reference.clone());
    }
    passed(draft, version)?;
    draft.executed = Verdict::holds(
        ConditionType::Executed,
        Reason::Executed,
        format!("{name} was trained and passed its gates"),
    );
    let story = draft.story(case);
    if !planned_training(plan).is_some_and(|training| training.serve_when_gates_pass) {
        let words = format!(
            "{story}; {name} passed its gates, and its promotion is proposed as an action of its own"
        );
        return Ok(Standing::succeeds(Reason::AwaitingPromotion, words));
    }
    if let Some(child) = child {
        if let Some(execution) = &mut draft.status.execution {
            execution.promotion = Some(ActionReference {
                name: name_of(child).to_owned(),
                uid: uid_of(child).to_owned(),
            });
        }
        let how = child
            .status
            .as_ref()
            .and_then(|status| conditions::find(&status.conditions, ConditionType::Succeeded))
            .map_or_else(
                || "it is being planned".to_owned(),
                |succeeded| succeeded.message.clone(),
            );
        return Ok(Standing::works(
            Reason::Promoting,
            format!("{name} passed its gates; {}: {how}", name_of(child)),
        ));
    }
    if case.model.spec.paused {
        // A claim that waits for a person would keep the model from everything else.
        let words = format!(
            "{story}; {name} passed its gates; {} is paused, and the promotion is proposed once it is not",
            name_of(case.model)
        );
        return Ok(Standing::succeeds(Reason::AwaitingPromotion, words));
    }
    promote(case, draft, &reference, &story)
}

/// The version that this action made.
///
/// `spec.provenance` proves nothing by itself. A version is this action's where its uid was recorded when it was made; where
/// the process ended before that, where the operator made it and its whole spec is the one that would be made now.
fn made<'a>(case: &Case<'a>, draft: &mut Draft, plan: &ActionPlan) -> Result<&'a ModelVersion, Standing> {
    let name = retrained_version_name(&case.action.spec.model, case.uid());
    let recorded = draft
        .status
        .execution
        .as_ref()
        .and_then(|execution| execution.version.as_ref());
    let found = case
        .world
        .versions
        .iter()
        .find(|version| name_of(*version) == name);
    let gone = || Standing::fails(Reason::Superseded, format!("{name} was deleted"));
    match (found, recorded) {
        (Some(version), Some(recorded)) if recorded.uid.as_deref() != Some(uid_of(version)) => Err(gone()),
        (Some(version), Some(_)) if version.metadata.deletion_timestamp.is_some() => Err(gone()),
        (Some(version), Some(_)) if is_approved(version, plan, case.world) => Ok(version),
        (None, Some(_)) => Err(gone()),
        (found, recorded) => {
            let wanted = wanted(case, plan, &name)?;
            match found {
                Some(version) if recorded.is_none() && is_same(version, &wanted, case.world) => Ok(version),
                Some(_) => Err(taken(
                    case,
                    draft,
                    BlockedStep::CreateVersion,
                    "ModelVersion",
                    &name,
                )),
                None => Err(make(case, draft, wanted)),
            }
        }
    }
}

/// Whether the operator made this version with this very spec. The spec is compared as the API server keeps it, with every
/// default.
fn is_same(version: &ModelVersion, wanted: &ModelVersion, world: &World) -> bool {
    let spec = |version: &ModelVersion| serde_json::to_value(&version.spec).ok();
    is_by_operator(version, annotations::CREATED_BY, world) && spec(version) == spec(wanted)
}

/// Whether a version whose uid is recorded is trained on the approved data and judged as approved. Nothing of that can change
/// under the CRD's own rules.
fn is_approved(version: &ModelVersion, plan: &ActionPlan, world: &World) -> bool {
    let training = version.spec.source.training.as_ref();
    let maker = version.metadata.annotations.as_ref();
    let by_another = maker
        .and_then(|all| all.get(annotations::CREATED_BY))
        .is_some_and(|maker| *maker != world.operator);
    !by_another
        && training
            .zip(planned_training(plan))
            .is_some_and(|(training, approved)| approved.spec == training_spec::digest(training, version))
}

/// An object of the needed name is another's.
fn taken(case: &Case<'_>, draft: &mut Draft, step: BlockedStep, kind: &str, name: &str) -> Standing {
    let found = Obstacle {
        step,
        reason: ObstacleReason::NameTaken,
        object: format!("{kind} {name}"),
        message: String::new(),
    };
    draft.block(case, &found)
}

/// The version, if it is still the one that was approved.
fn wanted(case: &Case<'_>, plan: &ActionPlan, name: &str) -> Result<ModelVersion, Standing> {
    let changed = |words: String| Standing::fails(Reason::PlanChanged, words);
    let approved =
        planned_training(plan).ok_or_else(|| changed("the plan says nothing of a training".to_owned()))?;
    let target_uid = approved.target_uid.as_deref().unwrap_or_default();
    let target = plan::by_uid(&case.world.versions, target_uid)
        .ok_or_else(|| changed("the version that was to be retrained is gone".to_owned()))?;
    version(case, plan, target, name)
        .filter(|version| {
            let training = version.spec.source.training.as_ref();
            training.is_some_and(|training| approved.spec == training_spec::digest(training, target))
        })
        .ok_or_else(|| {
            changed(format!(
                "the training of {} was changed after the plan was approved",
                name_of(target)
            ))
        })
}

/// Makes the version.
fn make(case: &Case<'_>, draft: &mut Draft, version: ModelVersion) -> Standing {
    let name = name_of(&version).to_owned();
    draft.executed = Verdict::unknown(
        ConditionType::Executed,
        Reason::Training,
        format!("{name} is being made"),
    );
    let standing = Standing::works(Reason::Training, format!("{name} is being made"))
        .with(Step::CreateVersion(Box::new(version)));
    draft.attempt(case, BlockedStep::CreateVersion, standing)
}

/// The version that was approved: the target's spec, on the frozen data. It has no owner, because the action may be deleted
/// before it, and none of the target's labels and annotations, because a GitOps tool would prune it. Its maker is the
/// operator, which API servers before 1.36 do not write themselves.
fn version(case: &Case<'_>, plan: &ActionPlan, target: &ModelVersion, name: &str) -> Option<ModelVersion> {
    let not_worse_than = match planned_training(plan)?.not_worse_than {
        Some(champion) => Some(Champion {
            version: champion.version,
            bundle: champion.bundle,
            margin: champion.margin.parse().ok()?,
        }),
        None => None,
    };
    let snapshot = plan.snapshot.as_ref()?.digest;
    let mut spec = target.spec.clone();
    spec.source.training = Some(plan::source(
        target,
        Some(snapshot),
        not_worse_than,
        plan.reference.as_ref(),
    )?);
    spec.provenance = Some(Provenance {
        action: ActionReference {
            name: name_of(case.action).to_owned(),
            uid: case.uid().to_owned(),
        },
        parent: VersionReference {
            name: name_of(target).to_owned(),
            uid: Some(uid_of(target).to_owned()),
        },
    });
    let mut version = ModelVersion::new(name, spec);
    version
        .metadata
        .namespace
        .clone_from(&case.action.metadata.namespace);
    version.metadata.labels = Some([(labels::ACTION.to_owned(), label(name_of(case.action)))].into());
    version.metadata.annotations =
        Some([(annotations::CREATED_BY.to_owned(), case.world.operator.clone())].into());
    Some(version)
}

/// Follows the version to its gates.
fn passed(draft: &mut Draft, version: &ModelVersion) -> Result<(), Standing> {
    let name = name_of(version);
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let gates = conditions::find(conditions, ConditionType::GatesPassed);
    match gates.map(conditions::status) {
        Some(Status::True) => return Ok(()),
        Some(Status::False) => {
            let words = gates.map(|gates| gates.message.clone()).unwrap_or_default();
            let message = format!("{name} was trained and will not serve: {words}");
            draft.executed = Verdict::fails(ConditionType::Executed, Reason::GateFailed, message.clone());
            return Err(Standing::fails(Reason::GateFailed, message));
        }
        _ => {}
    }
    let ready = conditions::find(conditions, ConditionType::Ready);
    let words = ready.map(|ready| ready.message.clone()).unwrap_or_default();
    if is_true(conditions, ConditionType::Stalled).is_some() {
        let reason = ready.and_then(conditions::reason);
        // A person can still make room: the version goes on trying.
        let by_cluster = reason
            .and_then(Cause::part_of)
            .is_some_and(Cause::is_infrastructure);
        if matches!(reason, Some(Reason::NameTaken | Reason::ChildRefused)) || by_cluster {
            let message = format!("{name}: {words}");
            return Err(Standing::stalls(Reason::ChildRefused, message));
        }
        let reason = reason
            .and_then(AttemptFailure::part_of)
            .unwrap_or(AttemptFailure::JobFailed);
        let message = format!("{name} could not be trained: {words}");
        draft.executed = Verdict::fails(ConditionType::Executed, reason, message.clone());
        return Err(Standing::fails(reason, message));
    }
    draft.executed = Verdict::unknown(ConditionType::Executed, Reason::Training, words.clone());
    Err(Standing::works(
        Reason::Training,
        format!("{name} is being trained: {words}"),
    ))
}

/// Makes the action that puts the version to work, covered by this one's approval.
fn promote(
    case: &Case<'_>,
    draft: &mut Draft,
    version: &VersionReference,
    story: &str,
) -> Result<Standing, Standing> {
    let made = draft
        .status
        .execution
        .as_ref()
        .and_then(|execution| execution.promotion.as_ref());
    if let Some(made) = made {
        return Err(Standing::fails(
            Reason::Superseded,
            format!("{} was deleted", made.name),
        ));
    }
    let uid = version.uid.clone().unwrap_or_default();
    let name = promotion_name(&version.name, &uid);
    if let Some(there) = case.world.actions.iter().find(|other| name_of(*other) == name) {
        let about = there.spec.candidate.as_ref().and_then(|about| about.uid.as_ref());
        if there.spec.action != ActionType::PromoteModel || about != version.uid.as_ref() {
            return Err(taken(
                case,
                draft,
                BlockedStep::CreatePromotion,
                "RemediationAction",
                &name,
            ));
        }
        let words = format!(
            "{story}; {} passed its gates, and {name}, which needs an approval of its own, decides on its promotion",
            version.name
        );
        return Ok(Standing::succeeds(Reason::AwaitingPromotion, words));
    }
    let spec = RemediationActionSpec {
        model: case.action.spec.model.clone(),
        action: ActionType::PromoteModel,
        target: None,
        candidate: Some(version.clone()),
        accept_window: None,
        diagnosis: case.action.spec.diagnosis,
        evidence: vec![EvidenceReference {
            kind: EvidenceKind::ModelVersion,
            name: version.name.clone(),
            uid,
        }],
        message: Some(
            format!(
                "{} trained {}, which passed its gates",
                name_of(case.action),
                version.name
            )
            .chars()
            .take(1024)
            .collect(),
        ),
        dry_run: false,
        parent_ref: Some(ActionReference {
            name: name_of(case.action).to_owned(),
            uid: case.uid().to_owned(),
        }),
    };
    let mut child = RemediationAction::new(&name, spec);
    child
        .metadata
        .namespace
        .clone_from(&case.action.metadata.namespace);
    child.metadata.owner_references = case.model.owner_ref(&()).map(|owner| vec![owner]);
    child.metadata.annotations =
        Some([(annotations::PROPOSED_BY.to_owned(), case.world.operator.clone())].into());
    let standing = Standing::works(
        Reason::Promoting,
        format!("{} passed its gates and is being promoted", version.name),
    )
    .with(Step::CreatePromotion(Box::new(child)));
    Ok(draft.attempt(case, BlockedStep::CreatePromotion, standing))
}

/// A retraining ends as the promotion of what it made does.
fn as_its_promotion(case: &Case<'_>, draft: &mut Draft, child: &RemediationAction) -> Standing {
    too_late(draft);
    let status = child.status.clone().unwrap_or_default();
    let of = |kind| conditions::find(&status.conditions, kind);
    let succeeded = of(ConditionType::Succeeded);
    let well = succeeded.is_some_and(|succeeded| conditions::status(succeeded) == Status::True);
    let (reason, message) = succeeded.map_or((Ending::Superseded, String::new()), |succeeded| {
        (ending(succeeded), succeeded.message.clone())
    });
    draft.executed = if well {
        Verdict::holds(ConditionType::Executed, Reason::Executed, message.clone())
    } else {
        Verdict::fails(ConditionType::Executed, reason, message.clone())
    };
    if let Some(verified) = of(ConditionType::Verified) {
        draft.verified = Verdict {
            kind: ConditionType::Verified,
            status: conditions::status(verified),
            reason: ending(verified).into(),
            message: verified.message.clone(),
        };
    }
    // Its message begins with what its approval rests on, which is this action.
    let covered = of(ConditionType::Approved)
        .filter(|approved| conditions::reason(approved) == Some(Reason::Covered))
        .and_then(|approved| message.strip_prefix(&approved.message)?.strip_prefix("; "));
    let message = format!("{}; {}", draft.story(case), covered.unwrap_or(&message));
    if well {
        Standing::succeeds(reason, message)
    } else {
        Standing::fails(reason, message)
    }
}

/// How a condition says that an action ended.
fn ending(condition: &Condition) -> Ending {
    conditions::reason(condition)
        .and_then(Ending::part_of)
        .unwrap_or(Ending::Superseded)
}

// === small ===

fn now(case: &Case<'_>) -> Time {
    Time(conditions::whole_seconds(case.now))
}

fn is_true(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions::find(conditions, kind).filter(|condition| conditions::status(condition) == Status::True)
}

/// What the plan says of the training.
fn planned_training(plan: &ActionPlan) -> Option<TrainingPart> {
    Content::of(plan)?.training
}

/// Whether this is what was recorded of the effects.
fn executed_says(draft: &Draft, reason: Reason) -> bool {
    conditions::find(&draft.before, ConditionType::Executed)
        .is_some_and(|executed| conditions::reason(executed) == Some(reason))
}

/// Whether the promotion has changed what serves.
fn has_routed(case: &Case<'_>, child: &RemediationAction) -> bool {
    let Some(status) = &child.status else { return false };
    let routed = status
        .execution
        .as_ref()
        .is_some_and(|execution| execution.routed_at.is_some());
    let planned = status.plan.as_ref().map(|plan| plan.planned_routes.as_slice());
    let routes: Vec<PlannedRoute> = case.record().routes.iter().map(plan::planned).collect();
    routed || planned == Some(routes.as_slice())
}

/// A rejection of what is done already stays on record and stops nothing.
fn too_late(draft: &mut Draft) {
    while let Some(number) = decisions::rejection(&draft.status.decisions).map(|late| late.number) {
        for decision in &mut draft.status.decisions {
            if decision.number == number {
                decision.void_because = Some("it came after the plan began to be carried out".to_owned());
            }
        }
    }
}

fn hold(record: &mut ModelStatus, case: &Case<'_>, route: &PlannedRoute, reason: &str) {
    record.holds.retain(|hold| hold.uid != route.uid);
    record.holds.push(Hold {
        uid: route.uid.clone(),
        version: route.version.clone(),
        digest: route.digest,
        since: now(case),
        action: ActionReference {
            name: name_of(case.action).to_owned(),
            uid: case.uid().to_owned(),
        },
        reason: reason.chars().take(256).collect(),
    });
    let surplus = record.holds.len().saturating_sub(HOLDS);
    record.holds.drain(..surplus);
}

fn label(name: &str) -> String {
    if name.len() <= LABEL {
        name.to_owned()
    } else {
        name_hash([name.as_bytes()])
    }
}
