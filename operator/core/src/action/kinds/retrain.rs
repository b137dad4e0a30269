//! RetrainModel: a new version is trained on frozen data, and promoted under the same approval.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use modelward_crds::{
    ActionPlan, ActionReference, ActionType, ArtifactStatus, BlockedStep, Champion, ConditionType, Model,
    ModelVersion, PlannedReference, PlannedRoute, RemediationAction, Risk, SourceStatus, VersionReference,
};

use super::{
    facts::{Claims, Facts, Shelf},
    kind::Kind,
};
use crate::{
    action::{
        build,
        case::Case,
        cover::{planned_training, promotion_of},
        draft::{At, Draft, Outcome, Step},
        guards::no_storm,
        kinds::{
            retrain_data::{accepted_window, ensure_snapshot, has_enough_new_rows, source},
            retrain_version::{made, taken},
            switch::is_true,
        },
        plan::{
            differences,
            parts::{changed_by, changes, datasets, excluded, planned_version, present, serving},
            proposal::{Proposal, ProposedTraining},
            routes::{self, heaviest},
            words::retraining_words,
        },
        training_spec,
        world::World,
    },
    conditions::{self, Status, Verdict},
    model::validate,
    names::promotion_name,
    objects::{has_ended, is_waiting_for_a_plan, name_of, uid_of},
    pods::Cause,
    reason::{AttemptFailure, Ending, Reason},
};

/// A new version, trained and promoted.
pub(super) struct Retrain;

const FACTS: Facts = Facts {
    action: ActionType::RetrainModel,
    verb: "retrain",
    default_risk: Risk::Medium,
    claims: Claims::Bounded,
    runs_while_paused: true,
    superseded_by_rollback: true,
    held_in_a_storm: true,
    reads_data: true,
    serves_candidate: false,
    answers_drift: true,
    budgeted: true,
    shelf: Shelf::Change,
};

impl Kind for Retrain {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn propose(&self, case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Outcome> {
        propose(case, draft)
    }

    fn without_claim(&self, _: &Case<'_>, _: &mut Draft) -> Option<Outcome> {
        None
    }

    fn holds_claim(&self, case: &Case<'_>) -> bool {
        let child = promotion_of(case);
        // An ended promotion has released the claim that it took over.
        case.is_claimed_now() || child.is_some_and(|child| has_ended(child) || case.is_held_by(uid_of(child)))
    }

    fn has_begun(&self, case: &Case<'_>, _: &Draft, _: &ActionPlan) -> bool {
        promotion_of(case).is_some_and(|child| has_ended(child) || has_routed(case, child))
    }

    fn carry_out(&self, case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Outcome, Outcome> {
        let outcome = retrain(case, draft, plan).unwrap_or_else(|outcome| outcome);
        Ok(in_time(case, draft, outcome))
    }

    fn proposal_name(&self, _: &str, _: &str) -> Option<String> {
        None
    }
}

/// The version that a `RetrainModel` is about: the one that it names, otherwise the one that serves.
pub fn target<'a>(
    action: &RemediationAction,
    model: &Model,
    versions: &'a [ModelVersion],
) -> Option<&'a ModelVersion> {
    match &action.spec.target {
        Some(reference) => routes::find(versions, reference),
        None => routes::by_uid(versions, &routes::heaviest(model.status.as_ref()?)?.uid),
    }
}

fn propose(case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Outcome> {
    no_older_retraining(case)?;
    let target = target(case.action, case.model, &case.world.versions);
    let target = target.ok_or_else(|| match &case.action.spec.target {
        Some(reference) => Outcome::fails(
            Reason::Superseded,
            format!(
                "there is no version {} of {}",
                reference.name, case.action.spec.model
            ),
        ),
        None => Outcome::waits(Reason::Waiting, "no version serves, so there is none to retrain"),
    })?;
    let name = name_of(target);
    if target.spec.source.artifact.is_some() {
        return Err(Outcome::fails(
            Reason::SpecInvalid,
            format!(
                "{name} cannot be retrained: its bundle was not trained here, so there is no spec.source.training to repeat; train the model where it \
                 was trained, and create a new ModelVersion with spec.source.artifact"
            ),
        ));
    }
    let (Some(spec), Some(training)) = (&target.spec.retraining, &target.spec.source.training) else {
        return Err(Outcome::fails(
            Reason::SpecInvalid,
            format!("{name} cannot be retrained: it needs spec.source.training and spec.retraining"),
        ));
    };
    if let Some(trainer) = &training.custom_trainer {
        let allowed = case.world.allowed_trainers.check(trainer);
        allowed.map_err(|why| {
            Outcome::stalls(
                Reason::CustomTrainerRefused,
                format!("{name} cannot be retrained: {why}"),
            )
        })?;
    }
    let reference = match &case.action.spec.accept_window {
        Some(report) => Some(accepted_window(case, draft, report)?),
        None => None,
    };
    if draft.status.plan.is_none() {
        no_storm(case)?;
    }
    ensure_snapshot(case, draft)?;
    let Some(snapshot) = draft.status.snapshot.clone() else {
        return Err(Outcome::works(Reason::Planning, "the data is being read"));
    };
    let sources = draft.status.sources.clone();
    has_enough_new_rows(
        target,
        spec,
        &snapshot.digest,
        &sources,
        draft.status.new_rows.as_ref(),
    )?;
    proposal(case.world, case.model, target, &snapshot, &sources, reference).ok_or_else(|| {
        Outcome::fails(
            Reason::SpecInvalid,
            format!("{name} specifies no data for its retraining: set spec.retraining.datasets"),
        )
    })
}

/// Two retrainings of one model would read the same data and replace each other's result: the older one takes precedence, unless
/// it waits for something before it has a plan.
fn no_older_retraining(case: &Case<'_>) -> Result<(), Outcome> {
    let order = |action: &RemediationAction| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, uid_of(action).to_owned())
    };
    let older = case.world.actions.iter().find(|other| {
        other.spec.action == case.kind()
            && !has_ended(other)
            && !is_waiting_for_a_plan(other)
            && uid_of(*other) != case.uid()
            && order(other) < order(case.action)
    });
    match older {
        Some(older) => Err(Outcome::waits(
            Reason::Waiting,
            format!("{} is older and has not ended", name_of(older)),
        )),
        None => Ok(()),
    }
}

/// The training of a version on the snapshot. None if the target has no training spec.
pub fn proposal(
    world: &World,
    model: &Model,
    target: &ModelVersion,
    snapshot: &ArtifactStatus,
    sources: &[SourceStatus],
    reference: Option<PlannedReference>,
) -> Option<Proposal> {
    let retraining = target.spec.retraining.as_ref()?;
    let champion = model.status.as_ref().and_then(heaviest).map(|route| Champion {
        version: route.version.clone(),
        bundle: route.digest,
        margin: retraining.margin.clone(),
    });
    let training = source(
        target,
        Some(snapshot.digest),
        champion.clone(),
        reference.as_ref(),
    )?;
    let risk = FACTS.risk(&world.policy);
    let serving = serving(world, model);
    let mut spec = target.spec.clone();
    spec.source.training = Some(training.clone());
    let differences = differences::from_present(serving, &spec, sources, &differences::OF_A_RETRAINING);
    let proposed = ProposedTraining {
        target: VersionReference {
            name: target.metadata.name.clone().unwrap_or_default(),
            uid: Some(uid_of(target).to_owned()),
        },
        datasets: datasets(&training),
        spec: training_spec::digest(&training, target),
        snapshot: snapshot.clone(),
        sources: sources.to_vec(),
        gates: training.gates.clone(),
        not_worse_than: champion,
        serve_when_gates_pass: retraining.serve_when_gates_pass,
        reference,
    };
    Some(Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: excluded(target),
        changed_by: changed_by(target),
        version: Some(planned_version(target)),
        present: present(model),
        planned: Vec::new(),
        summary: format!(
            "{}{}{}",
            retraining_words(target, &training, &proposed),
            differences::words(&differences, serving.map(name_of)),
            changes(target)
        ),
        differences,
        training: Some(proposed),
    })
}

/// Ends a retraining whose result is not being promoted when its claim expires: it must not block the model.
fn in_time(case: &Case<'_>, draft: &mut Draft, outcome: Outcome) -> Outcome {
    let open = !matches!(outcome.at, At::Ended(_));
    let child = promotion_of(case).is_some_and(|child| !has_ended(child));
    let Some(execution) = draft.status.execution.as_ref().filter(|_| open && !child) else {
        return outcome;
    };
    let end = case.deadline(&execution.claimed_at);
    if case.now < end {
        return outcome.again(Some(end));
    }
    let message = format!("the claim on the model ended at {end}: {}", outcome.message);
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::DeadlineExceeded, message.clone());
    Outcome::fails(Reason::DeadlineExceeded, message)
}

fn retrain(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Outcome, Outcome> {
    let child = promotion_of(case);
    if let Some(child) = child.filter(|child| has_ended(child)) {
        return Ok(as_its_promotion(case, draft, child));
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
    let approvals = draft.approval_summary(case);
    if !planned_training(plan).is_some_and(|training| training.serve_when_gates_pass) {
        let words = format!(
            "{approvals}; {name} passed its gates, and its promotion is proposed as a separate action"
        );
        return Ok(Outcome::succeeds(Reason::AwaitingPromotion, words));
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
        return Ok(Outcome::works(
            Reason::Promoting,
            format!("{name} passed its gates; {}: {how}", name_of(child)),
        ));
    }
    if case.model.spec.paused {
        // A claim that waits for a user would block the model.
        let words = format!(
            "{approvals}; {name} passed its gates; {} is paused, and the promotion is proposed once it is not",
            name_of(case.model)
        );
        return Ok(Outcome::succeeds(Reason::AwaitingPromotion, words));
    }
    promote(case, draft, &reference, &approvals)
}

/// Waits until the version has passed its gates.
fn passed(draft: &mut Draft, version: &ModelVersion) -> Result<(), Outcome> {
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
            return Err(Outcome::fails(Reason::GateFailed, message));
        }
        _ => {}
    }
    let ready = conditions::find(conditions, ConditionType::Ready);
    let words = ready.map(|ready| ready.message.clone()).unwrap_or_default();
    if is_true(conditions, ConditionType::Stalled).is_some() {
        let reason = ready.and_then(conditions::reason);
        // A user can still make room: the version keeps retrying.
        let by_cluster = reason
            .and_then(Cause::part_of)
            .is_some_and(Cause::is_infrastructure);
        let can_be_allowed = matches!(
            reason,
            Some(Reason::NameTaken | Reason::ChildRefused | Reason::CustomTrainerRefused)
        );
        if can_be_allowed || by_cluster {
            let message = format!("{name}: {words}");
            return Err(Outcome::stalls(Reason::ChildRefused, message));
        }
        let reason = reason
            .and_then(AttemptFailure::part_of)
            .unwrap_or(AttemptFailure::JobFailed);
        let message = format!("{name} could not be trained: {words}");
        draft.executed = Verdict::fails(ConditionType::Executed, reason, message.clone());
        return Err(Outcome::fails(reason, message));
    }
    draft.executed = Verdict::unknown(ConditionType::Executed, Reason::Training, words.clone());
    Err(Outcome::works(
        Reason::Training,
        format!("{name} is being trained: {words}"),
    ))
}

/// Creates the action that promotes the version, covered by this one's approval.
fn promote(
    case: &Case<'_>,
    draft: &mut Draft,
    version: &VersionReference,
    approvals: &str,
) -> Result<Outcome, Outcome> {
    let made = draft
        .status
        .execution
        .as_ref()
        .and_then(|execution| execution.promotion.as_ref());
    if let Some(made) = made {
        return Err(Outcome::fails(
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
            "{approvals}; {} passed its gates, and {name}, which needs a separate approval, decides on its promotion",
            version.name
        );
        return Ok(Outcome::succeeds(Reason::AwaitingPromotion, words));
    }
    let why = format!(
        "{} trained {}, which passed its gates",
        name_of(case.action),
        version.name
    );
    let parent = ActionReference {
        name: name_of(case.action).to_owned(),
        uid: case.uid().to_owned(),
    };
    let diagnosis = case.action.spec.diagnosis;
    let spec = build::serving_spec(ActionType::PromoteModel, version, why, Some(parent), diagnosis);
    let model = validate(case.model.clone())
        .map_err(|_| Outcome::works(Reason::Promoting, "the model has no uid yet"))?;
    let child = build::action(&name, &model, &case.world.operator, spec);
    let outcome = Outcome::works(
        Reason::Promoting,
        format!("{} passed its gates and is being promoted", version.name),
    )
    .with(Step::CreatePromotion(Box::new(child)));
    Ok(draft.attempt(case, BlockedStep::CreatePromotion, outcome))
}

/// A retraining ends with the result of its promotion.
fn as_its_promotion(case: &Case<'_>, draft: &mut Draft, child: &RemediationAction) -> Outcome {
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
    // Its message begins with the approval that covers it, which is that of this action.
    let covered = of(ConditionType::Approved)
        .filter(|approved| conditions::reason(approved) == Some(Reason::Covered))
        .and_then(|approved| message.strip_prefix(&approved.message)?.strip_prefix("; "));
    let message = format!(
        "{}; {}",
        draft.approval_summary(case),
        covered.unwrap_or(&message)
    );
    if well {
        Outcome::succeeds(reason, message)
    } else {
        Outcome::fails(reason, message)
    }
}

/// The end of an action, from its condition.
fn ending(condition: &Condition) -> Ending {
    conditions::reason(condition)
        .and_then(Ending::part_of)
        .unwrap_or(Ending::Superseded)
}

/// Whether the promotion has changed the routes.
fn has_routed(case: &Case<'_>, child: &RemediationAction) -> bool {
    let Some(status) = &child.status else { return false };
    let routed = status
        .execution
        .as_ref()
        .is_some_and(|execution| execution.routed_at.is_some());
    let planned = status.plan.as_ref().map(|plan| plan.planned_routes.as_slice());
    let routes: Vec<PlannedRoute> = case.record().routes.iter().map(routes::planned).collect();
    routed || planned == Some(routes.as_slice())
}
