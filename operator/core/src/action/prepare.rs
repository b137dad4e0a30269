//! Until the model is claimed: the plan, the decisions on it, and whether they can be relied on.

use std::collections::BTreeSet;

use modelward_crds::{
    ActionType, ActiveAction, BlockedStep, ConditionType, DriftReport, EvidenceReference, ModelVersion,
    ObstacleReason, PlannedReference, RemediationAction, RetrainingSpec, SourceStatus, annotations,
};
use modelward_wire::{Digest, JobStage};

use super::{
    Case, Draft, LOOK_AGAIN_SECONDS, Probe, Standing, Step, carry_out,
    content::{self, Content, Input},
    decisions, has_ended, name_of, parent_uid,
    plan::{self, Proposal},
    uid_of,
};
use crate::{
    attempt::{self, Asker, AskerKind, Asking, Frozen, Stage},
    conditions::{self, Status, Verdict},
    drift, model,
    order::Place,
    reason::Reason,
};

/// What is in the way is looked at again after so many seconds where no event says that it is gone.
const SOON_SECONDS: i64 = 15;

/// The chain up to the claim.
pub(super) fn chain(case: &Case<'_>, draft: &mut Draft) -> Result<Standing, Standing> {
    not_rejected(draft)?;
    not_superseded(case)?;
    let proposal = propose(case, draft)?;
    planned(case, draft, proposal)?;
    draft.read_decisions(case);
    superseded_by_newer(case, draft)?;
    enforced(case, draft);
    shown_only(case, draft)?;
    not_expired(case, draft)?;
    let expiry = draft.status.plan.as_ref().map(|plan| plan.not_after.0);
    let look = case.after(LOOK_AGAIN_SECONDS);
    let wait = |standing: Standing| standing.again(expiry).again(look);
    approved(case, draft).map_err(wait)?;
    relied_on(draft).map_err(wait)?;
    alerted(case, draft).map_err(|standing| standing.again(expiry))?;
    not_held(case, draft).map_err(wait)?;
    no_storm(case).map_err(wait)?;
    free(case).map_err(wait)?;
    Ok(claim(case, draft))
}

// === what may end it at any time ===

/// A rejection is final, and it wins a race with an approval.
pub(super) fn not_rejected(draft: &mut Draft) -> Result<(), Standing> {
    let Some(rejection) = decisions::rejection(&draft.status.decisions) else {
        return Ok(());
    };
    let mut message = format!("rejected by {}", rejection.user);
    if let Some(comment) = &rejection.comment {
        message = format!("{message}: {comment}");
    }
    draft.approved = Verdict::fails(ConditionType::Approved, Reason::Rejected, message.clone());
    Err(Standing::fails(Reason::Rejected, message))
}

fn not_superseded(case: &Case<'_>) -> Result<(), Standing> {
    if matches!(case.kind(), ActionType::RollbackModel | ActionType::SendAlert) {
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
            Err(Standing::fails(
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

/// A promotion that the operator proposed and that no one has decided on goes when a newer version of the model waits for its
/// promotion too: people are asked about the newest one, and not about each.
fn superseded_by_newer(case: &Case<'_>, draft: &Draft) -> Result<(), Standing> {
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
        Some(newer) => Err(Standing::fails(
            Reason::Superseded,
            format!("a newer version waits to be promoted: {}", name_of(newer)),
        )),
        None => Ok(()),
    }
}

/// The version that an action promotes which the operator proposed by itself.
fn proposed_candidate<'a>(case: &Case<'a>, action: &RemediationAction) -> Option<&'a ModelVersion> {
    let spec = &action.spec;
    let reference = spec.candidate.as_ref().filter(|_| !spec.dry_run)?;
    let uid = reference.uid.as_deref()?;
    let own_name = match spec.action {
        ActionType::PromoteModel => super::promotion_name(&reference.name, uid),
        ActionType::RollbackModel => super::rollback_name(&reference.name, uid),
        _ => return None,
    };
    let version = plan::find(&case.world.versions, reference)?;
    (spec.parent_ref.is_none() && name_of(action) == own_name).then_some(version)
}

// === what is proposed ===

fn propose(case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Standing> {
    match case.kind() {
        ActionType::SendAlert => Ok(plan::alert(case.action, case.world, case.model)),
        ActionType::PromoteModel => promotion(case),
        ActionType::RollbackModel => rollback(case),
        ActionType::RetrainModel => retraining(case, draft),
    }
}

fn promotion(case: &Case<'_>) -> Result<Proposal, Standing> {
    let candidate = candidate(case)?;
    if parent_uid(case.action).is_some() {
        covered(case, candidate)?;
    }
    let covered = parent_uid(case.action).is_some();
    let proposal = plan::promotion(case.world, case.model, candidate, covered);
    let proposal = proposal.ok_or_else(|| not_passed(candidate))?;
    not_serving(proposal)
}

fn rollback(case: &Case<'_>) -> Result<Proposal, Standing> {
    let candidate = match &case.action.spec.candidate {
        Some(_) => Some(candidate(case)?),
        None => None,
    };
    let proposal = plan::rollback(case.world, case.model, candidate);
    let proposal = proposal.ok_or_else(|| match candidate {
        Some(candidate) => not_passed(candidate),
        None => Standing::fails(
            Reason::NothingToReturnTo,
            "no version that served before exists and is free of holds: name one in spec.candidate",
        ),
    })?;
    not_serving(proposal)
}

fn candidate<'a>(case: &Case<'a>) -> Result<&'a ModelVersion, Standing> {
    let Some(reference) = &case.action.spec.candidate else {
        return Err(Standing::fails(
            Reason::SpecInvalid,
            "spec.candidate is missing: name the version that is to serve",
        ));
    };
    plan::find(&case.world.versions, reference).ok_or_else(|| {
        let message = format!(
            "there is no version {} of {}",
            reference.name, case.action.spec.model
        );
        if reference.uid.is_some() {
            Standing::fails(Reason::Superseded, message)
        } else {
            Standing::waits(Reason::Waiting, message)
        }
    })
}

fn not_passed(candidate: &ModelVersion) -> Standing {
    let name = name_of(candidate);
    let conditions = candidate
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    match conditions::find(conditions.unwrap_or_default(), ConditionType::GatesPassed) {
        Some(gates) if conditions::status(gates) == Status::False => Standing::fails(
            Reason::GateFailed,
            format!("{name} cannot serve: {}", gates.message),
        ),
        _ => Standing::waits(Reason::Waiting, format!("{name} has not passed its gates yet")),
    }
}

fn not_serving(proposal: Proposal) -> Result<Proposal, Standing> {
    if proposal.present == proposal.planned {
        let names = plan::names(&proposal.planned).unwrap_or_default();
        return Err(Standing::fails(
            Reason::Superseded,
            format!("{names} serves already"),
        ));
    }
    Ok(proposal)
}

/// A promotion that is covered by the approval of an earlier action goes no further than that action does. It is covered
/// where the operator made it for the version that the earlier action made, from a plan for this very model.
pub(super) fn covered(case: &Case<'_>, candidate: &ModelVersion) -> Result<(), Standing> {
    let gone = |words: &str| Standing::fails(Reason::Superseded, words.to_owned());
    if !super::is_by_operator(case.action, annotations::PROPOSED_BY, case.world) {
        return Err(gone(
            "spec.parentRef is set and the operator did not make this action: propose it without parentRef",
        ));
    }
    let parent = case
        .parent()
        .ok_or_else(|| gone("the action whose approval covers this one is gone"))?;
    let name = name_of(parent);
    if has_ended(parent) {
        return Err(gone(&format!(
            "{name} has ended, and its approval covers this action"
        )));
    }
    let status = parent.status.clone().unwrap_or_default();
    let carried_out = status.execution.as_ref().map(|execution| execution.digest);
    let plan = status.plan.as_ref().filter(|plan| {
        content::is_whole(plan) && carried_out == Some(plan.digest) && plan::is_for(plan, parent, case.model)
    });
    if plan.is_none() {
        return Err(gone(&format!("the plan of {name} is not one for this model")));
    }
    if let Some(execution) = status.execution.as_ref().filter(|_| !case.is_claimed_now()) {
        let end = case.deadline(&execution.claimed_at);
        if end <= case.now {
            return Err(Standing::fails(
                Reason::DeadlineExceeded,
                format!(
                    "{name} claimed the model at {}, and this did not begin until {end}",
                    execution.claimed_at.0
                ),
            ));
        }
    }
    let decided = decisions::read(parent, status.plan.as_ref(), &status.decisions, case.now);
    if let Some(rejection) = decisions::rejection(&decided) {
        return Err(Standing::fails(
            Reason::Rejected,
            format!(
                "{} rejected {name}, and its approval covers this action",
                rejection.user
            ),
        ));
    }
    let made = status
        .execution
        .as_ref()
        .and_then(|execution| execution.version.as_ref());
    let is_made = made.is_some_and(|made| made.uid.as_deref() == Some(uid_of(candidate)));
    if !is_made || parent.spec.action != ActionType::RetrainModel || !carry_out::serves_when_passed(parent) {
        return Err(gone(&format!(
            "the approval of {name} does not cover this version"
        )));
    }
    // The approval was for the spec that the action gave it.
    if !plan::is_as_created(candidate) {
        return Err(gone(&format!(
            "spec of {} was changed since {name} created it, and the approval of {name} does not cover that",
            name_of(candidate)
        )));
    }
    Ok(())
}

// === a retraining: the data first ===

fn retraining(case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Standing> {
    alone(case)?;
    let target = super::target(case.action, case.model, &case.world.versions);
    let target = target.ok_or_else(|| match &case.action.spec.target {
        Some(reference) => Standing::fails(
            Reason::Superseded,
            format!(
                "there is no version {} of {}",
                reference.name, case.action.spec.model
            ),
        ),
        None => Standing::waits(Reason::Waiting, "no version serves, so there is none to retrain"),
    })?;
    let name = name_of(target);
    let (Some(spec), Some(_)) = (&target.spec.retraining, &target.spec.source.training) else {
        return Err(Standing::fails(
            Reason::SpecInvalid,
            format!("{name} cannot be retrained: it needs spec.source.training and spec.retraining"),
        ));
    };
    let reference = match &case.action.spec.accept_window {
        Some(report) => Some(accepted(case, draft, report)?),
        None => None,
    };
    if draft.status.plan.is_none() {
        no_storm(case)?;
    }
    frozen(case, draft)?;
    let Some(snapshot) = draft.status.snapshot.clone() else {
        return Err(Standing::works(Reason::Planning, "the data is being read"));
    };
    let sources = draft.status.sources.clone();
    enough(target, spec, &snapshot.digest, &sources)?;
    plan::retraining(case.world, case.model, target, &snapshot, &sources, reference).ok_or_else(|| {
        Standing::fails(
            Reason::SpecInvalid,
            format!("{name} names no data for its retraining: set spec.retraining.datasets"),
        )
    })
}

/// Two retrainings of one model would read the same data and take turns at serving: the older one goes first, unless it
/// waits for something before it has a plan.
fn alone(case: &Case<'_>) -> Result<(), Standing> {
    let order = |action: &RemediationAction| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, uid_of(action).to_owned())
    };
    let older = case.world.actions.iter().find(|other| {
        other.spec.action == ActionType::RetrainModel
            && !has_ended(other)
            && !super::is_waiting_for_a_plan(other)
            && uid_of(*other) != case.uid()
            && order(other) < order(case.action)
    });
    match older {
        Some(older) => Err(Standing::waits(
            Reason::Waiting,
            format!("{} is older and has not ended", name_of(older)),
        )),
        None => Ok(()),
    }
}

fn accepted(
    case: &Case<'_>,
    draft: &Draft,
    report: &EvidenceReference,
) -> Result<PlannedReference, Standing> {
    // The spec never changes: once a plan names the window, the report is not needed.
    let known = draft.status.plan.as_ref().and_then(|plan| plan.reference.clone());
    if let Some(known) = known {
        return Ok(known);
    }
    let is_it = |found: &&DriftReport| uid_of(*found) == report.uid;
    let Some(found) = case.world.window.as_ref().filter(is_it) else {
        return Err(Standing::fails(
            Reason::Superseded,
            format!(
                "the report {} whose window was to be accepted is gone",
                report.name
            ),
        ));
    };
    plan::accepted(found)
        .ok_or_else(|| Standing::waits(Reason::Waiting, format!("{} has no verdict yet", report.name)))
}

/// Has the data read, checked and frozen: who approves sees the rows of the very data.
fn frozen(case: &Case<'_>, draft: &mut Draft) -> Result<(), Standing> {
    let before = conditions::find(&draft.before, ConditionType::Succeeded).cloned();
    let failed = case.world.obstacle.as_ref();
    let obstacle = failed
        .filter(|failed| failed.step == BlockedStep::StartSnapshot)
        .map(|failed| match failed.reason {
            ObstacleReason::NameTaken => attempt::Obstacle::Taken(failed.object.clone()),
            ObstacleReason::Refused => attempt::Obstacle::Refused(failed.message.clone()),
        });
    let asking = Asking {
        asker: Asker {
            name: name_of(case.action),
            uid: case.uid(),
            kind: AskerKind::Action,
        },
        stage: JobStage::Snapshot,
        kind: ConditionType::Succeeded,
        before: before.as_ref(),
        job: &case.world.job,
        obstacle: obstacle.as_ref(),
        now: case.now,
    };
    let mut frozen = Frozen {
        attempt: draft.status.snapshot_attempt.clone(),
        snapshot: draft.status.snapshot.clone(),
        sources: draft.status.sources.clone(),
        violations: Vec::new(),
    };
    let mut step = attempt::Step::default();
    let stage = attempt::snapshot(
        &asking,
        &case.world.dataset,
        case.world.watched,
        &mut frozen,
        &mut step,
    );
    draft.status.snapshot_attempt = frozen.attempt;
    draft.status.snapshot = frozen.snapshot;
    draft.status.sources = frozen.sources;
    let again = step
        .again_after_seconds
        .and_then(|seconds| case.after(i64::try_from(seconds).unwrap_or(LOOK_AGAIN_SECONDS)));
    let standing = match stage {
        Stage::Recorded => return Ok(()),
        Stage::Waiting(verdict) if verdict.reason == Reason::SnapshotRunning => {
            Standing::works(verdict.reason, verdict.message)
        }
        // This controller does not watch the data.
        Stage::Waiting(verdict) => {
            Standing::waits(verdict.reason, verdict.message).again(case.after(LOOK_AGAIN_SECONDS))
        }
        Stage::Blocked(verdict) => {
            let blocked = Standing::stalls(verdict.reason, verdict.message);
            return Err(draft.attempt(case, BlockedStep::StartSnapshot, blocked));
        }
        Stage::Terminal(verdict) => Standing::fails(verdict.reason, verdict.message),
    };
    Err(match step.start {
        Some(job) => draft.attempt(
            case,
            BlockedStep::StartSnapshot,
            standing.with(Step::StartSnapshot(job)),
        ),
        None => standing,
    }
    .again(again))
}

/// Whether there is anything new to learn from, and enough of it.
fn enough(
    target: &ModelVersion,
    spec: &RetrainingSpec,
    snapshot: &Digest,
    sources: &[SourceStatus],
) -> Result<(), Standing> {
    let name = name_of(target);
    let status = target.status.clone().unwrap_or_default();
    let known = |sha256: &Digest| {
        let first = status
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.source_sha256);
        first.as_ref() == Some(sha256) || status.sources.iter().any(|source| source.sha256 == *sha256)
    };
    let fresh: Vec<&SourceStatus> = sources.iter().filter(|source| !known(&source.sha256)).collect();
    let same = status
        .snapshot
        .as_ref()
        .is_some_and(|own| own.digest == *snapshot);
    if same || fresh.is_empty() {
        return Err(Standing::fails(
            Reason::NoChange,
            format!("{name} was trained on the same data: there are no new rows"),
        ));
    }
    let rows: i64 = fresh.iter().map(|source| source.rows).sum();
    // Rows whose class was not counted are not known to be enough.
    let positive: Option<i64> = fresh.iter().map(|source| source.positive_rows).sum();
    let least_of_a_class = positive.map_or(0, |positive| positive.min(rows - positive));
    if rows < spec.minimum_new_rows || least_of_a_class < spec.minimum_rows_of_each_class {
        return Err(Standing::fails(
            Reason::LabelsNeeded,
            format!(
                "{rows} new rows, {least_of_a_class} of the rarer class; retraining {name} needs {} and {}: label more rows",
                spec.minimum_new_rows, spec.minimum_rows_of_each_class
            ),
        ));
    }
    Ok(())
}

// === the plan ===

/// Makes a plan, or a new one where the present one does not say any more what would be done.
fn planned(case: &Case<'_>, draft: &mut Draft, proposal: Proposal) -> Result<(), Standing> {
    let changes = match &draft.status.plan {
        None => None,
        Some(plan) => {
            let (sequence, not_after) = (plan.plan_sequence, plan.not_after.0);
            let world = case.world;
            let present = plan::plan(
                case.action,
                case.model,
                proposal.clone(),
                world,
                sequence,
                not_after,
            );
            let contents = Content::of(plan).zip(Content::of(&present));
            let mut changes = contents.map_or_else(
                || BTreeSet::from(Input::ALL),
                |(former, present)| former.differences(&present),
            );
            if world.gate.ids.is_none() {
                // Nothing runs without them, and once they are back they are different ones.
                changes.remove(&Input::Admission);
            }
            if !content::is_whole(plan) {
                changes.insert(Input::Text);
            }
            if changes.is_empty() {
                return Ok(());
            }
            Some(changes)
        }
    };
    let Some(number) = case.world.number else {
        let mut record = case.record();
        record.plan_sequence = Some(record.plan_sequence.unwrap_or(0) + 1);
        let standing = Standing::works(Reason::Planning, "the plan is being made");
        return Err(standing.with(Step::TakeNumber(Box::new(record))));
    };
    let not_after = plan::not_after(case.world, case.now);
    draft.status.plan = Some(plan::plan(
        case.action,
        case.model,
        proposal,
        case.world,
        number,
        not_after,
    ));
    if let Some(changes) = changes {
        let changes: Vec<_> = changes.into_iter().map(Input::as_str).collect();
        let message = format!(
            "{} changed, so this is a new plan: approvals of the former one are void",
            changes.join(" and ")
        );
        draft.approved = Verdict::fails(ConditionType::Approved, Reason::PlanChanged, message);
    }
    Ok(())
}

fn shown_only(case: &Case<'_>, draft: &mut Draft) -> Result<(), Standing> {
    if !case.action.spec.dry_run {
        return Ok(());
    }
    let message = "the plan is made and shown; nothing is carried out".to_owned();
    draft.approved = Verdict::fails(ConditionType::Approved, Reason::DryRun, message.clone());
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::DryRun, message.clone());
    Err(Standing::succeeds(Reason::DryRun, message))
}

fn not_expired(case: &Case<'_>, draft: &mut Draft) -> Result<(), Standing> {
    match &draft.status.plan {
        Some(plan) if plan.not_after.0 <= case.now => {
            let message = format!("the plan expired at {} and was not carried out", plan.not_after.0);
            draft.approved = Verdict::fails(ConditionType::Approved, Reason::Expired, message.clone());
            Err(Standing::fails(Reason::Expired, message))
        }
        _ => Ok(()),
    }
}

// === who approved, and whether that can be relied on ===

/// Says who approved. The error says for how many more the plan waits.
pub(super) fn approved(case: &Case<'_>, draft: &mut Draft) -> Result<(), Standing> {
    let Some(plan) = &draft.status.plan else {
        return Err(Standing::works(Reason::Planning, "there is no plan yet"));
    };
    let approvers = decisions::approvers(&draft.status.decisions).len();
    let needed = usize::try_from(plan.approvals_required).unwrap_or(0);
    if approvers >= needed {
        let (reason, message) = match (needed, parent_uid(case.action)) {
            (0, Some(_)) => (Reason::Covered, draft.story(case)),
            (0, None) => (Reason::NotNeeded, draft.story(case)),
            _ => (Reason::Approved, draft.story(case)),
        };
        draft.approved = Verdict::holds(ConditionType::Approved, reason, message);
        return Ok(());
    }
    let namespace = case.action.metadata.namespace.as_deref().unwrap_or_default();
    let how = format!(
        "kubectl annotate --namespace {namespace} ra/{} modelward.io/approve=true",
        name_of(case.action)
    );
    let missing = needed - approvers;
    let people = if missing == 1 { "person" } else { "people" };
    // What to type comes first: a long summary is cut in a condition, and is whole in status.plan.summary.
    let words = format!(
        "waits for {missing} {people} to approve until {}",
        plan.not_after.0
    );
    // The condition says that the plan changed until a person decides on the new one.
    let changed = conditions::find(&draft.before, ConditionType::Approved)
        .filter(|before| conditions::reason(before) == Some(Reason::PlanChanged) && approvers == 0);
    if draft.approved.reason != Reason::PlanChanged {
        draft.approved = match changed {
            Some(before) => Verdict::fails(
                ConditionType::Approved,
                Reason::PlanChanged,
                before.message.clone(),
            ),
            None => Verdict::fails(
                ConditionType::Approved,
                Reason::AwaitingApproval,
                format!("{words}. Approve with: {how}. The plan: {}", plan.summary),
            ),
        };
    }
    Err(Standing::waits(
        draft.approved.reason,
        format!("{words}: {}", plan.summary),
    ))
}

/// Whether decisions on this action prove anything.
fn enforced(case: &Case<'_>, draft: &mut Draft) {
    let needed = draft
        .status
        .plan
        .as_ref()
        .is_none_or(|plan| plan.approvals_required > 0)
        || parent_uid(case.action).is_some();
    let kind = ConditionType::ApprovalEnforced;
    draft.enforced = match &case.world.gate.probe {
        _ if !needed => Verdict::holds(kind, Reason::NotNeeded, "it needs no approval"),
        Probe::Refused => Verdict::holds(
            kind,
            Reason::ApprovalEnforced,
            "the admission policies refused a forged decision on this action",
        ),
        Probe::NotTried => Verdict::unknown(kind, Reason::Waiting, "a forged decision is being tried"),
        Probe::NotRefused(problem) => Verdict::fails(kind, Reason::ApprovalNotEnforced, problem.clone()),
        Probe::Hindered(found) => {
            // The same obstacle keeps its text: an answer that differs from try to try would be written each time.
            let known = conditions::find(&draft.before, kind).filter(|known| {
                conditions::reason(known) == Some(Reason::ApprovalNotTried)
                    && known.message.starts_with(&found.head())
            });
            let words = known.map_or_else(|| found.words(), |known| known.message.clone());
            Verdict::unknown(kind, Reason::ApprovalNotTried, words)
        }
    };
}

fn relied_on(draft: &Draft) -> Result<(), Standing> {
    let enforced = &draft.enforced;
    match enforced.status {
        Status::True => Ok(()),
        Status::Unknown if enforced.reason != Reason::ApprovalNotTried => {
            Err(Standing::works(Reason::Waiting, enforced.message.clone()))
        }
        Status::Unknown | Status::False => Err(Standing::stalls(
            enforced.reason,
            format!("nothing is done: {}", enforced.message),
        )),
    }
}

// === what else is in the way ===

/// An alert changes nothing, so it claims nothing. It has succeeded once the API server has accepted its Event.
fn alerted(case: &Case<'_>, draft: &mut Draft) -> Result<(), Standing> {
    if case.kind() != ActionType::SendAlert {
        return Ok(());
    }
    let message = case.action.spec.message.clone().unwrap_or_default();
    if case.world.delivered {
        draft.executed = Verdict::holds(
            ConditionType::Executed,
            Reason::Alerted,
            "the alert was delivered",
        );
        return Err(Standing::succeeds(Reason::Alerted, message));
    }
    let standing = Standing::works(Reason::Alerted, "the alert is being sent").with(Step::Alert(message));
    Err(draft.attempt(case, BlockedStep::SendAlert, standing))
}

/// Nothing is retrained because of drift while so many models drift that the data pipeline broke.
fn no_storm(case: &Case<'_>) -> Result<(), Standing> {
    let many = drift::storm_models(&case.world.policy);
    if case.world.drifting.is_none_or(|drifting| drifting < many) {
        return Ok(());
    }
    let words = format!(
        "{many} or more models drift within an hour: check the data that reaches them. This goes on when fewer do"
    );
    Err(Standing::waits(Reason::StormBreaker, words).again(case.after(LOOK_AGAIN_SECONDS)))
}

fn not_held(case: &Case<'_>, draft: &Draft) -> Result<(), Standing> {
    let planned = draft.status.plan.iter().flat_map(|plan| &plan.planned_routes);
    let held = planned
        .into_iter()
        .find(|route| model::hold(case.model, &route.uid, Some(&route.digest)).is_some());
    if let Some(held) = held {
        let name = name_of(case.model);
        let message = format!(
            "{} is on hold: to lift the hold, add its uid {} to spec.liftHolds of the Model {name}",
            held.version, held.uid
        );
        // Waiting here for a person would keep the model claimed for as long.
        return Err(if parent_uid(case.action).is_some() {
            Standing::fails(Reason::Held, message)
        } else {
            Standing::waits(Reason::Held, message)
        });
    }
    if case.model.spec.paused && case.kind() != ActionType::RetrainModel {
        let name = name_of(case.model);
        return Err(Standing::waits(
            Reason::Paused,
            format!("{name} is paused: spec.paused of the Model is true"),
        ));
    }
    Ok(())
}

/// Whether the model is free, and not too many others are being changed.
fn free(case: &Case<'_>) -> Result<(), Standing> {
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
    let urgent = case.kind() == ActionType::RollbackModel && holder.action != ActionType::RollbackModel;
    if is_open && !urgent {
        return Err(Standing::waits(
            Reason::ModelClaimed,
            format!("{} is changing the model", holder.name),
        )
        .again(case.after(SOON_SECONDS)));
    }
    few_in_flight(case)
}

/// A rollback waits for no other model.
fn few_in_flight(case: &Case<'_>) -> Result<(), Standing> {
    if case.kind() == ActionType::RollbackModel || parent_uid(case.action).is_some() {
        return Ok(());
    }
    let (Some(others), policy) = (case.world.in_flight, &case.world.policy) else {
        return Err(Standing::works(Reason::Claimed, "the model is being claimed"));
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
    Err(Standing::waits(Reason::TooManyInFlight, words).again(case.after(SOON_SECONDS)))
}

fn claim(case: &Case<'_>, draft: &Draft) -> Standing {
    let standing = Standing::works(Reason::Claimed, "the model is being claimed");
    let Some(plan) = &draft.status.plan else {
        return standing;
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
    standing.with(Step::Claim(Box::new(record)))
}
