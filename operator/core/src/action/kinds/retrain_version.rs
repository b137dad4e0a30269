//! The version that a retraining creates.

use modelward_crds::{
    ActionPlan, ActionReference, BlockedStep, Champion, ConditionType, ModelVersion, ObstacleReason,
    Provenance, VersionReference, annotations, labels,
};

use crate::{
    action::{
        case::Case,
        cover::planned_training,
        draft::{Draft, Outcome, Step},
        kinds::retrain_data,
        plan::routes,
        training_spec,
        world::{Obstacle, World},
    },
    conditions::Verdict,
    names::{label, retrained_version_name},
    objects::{is_by_operator, name_of, uid_of},
    reason::Reason,
};

/// The version that this action created.
///
/// `spec.provenance` proves nothing. A version belongs to this action if its uid was recorded at its creation or, if the process ended
/// before that, if the operator created it and its whole spec equals the one that would be created now.
pub(in crate::action) fn made<'a>(
    case: &Case<'a>,
    draft: &mut Draft,
    plan: &ActionPlan,
) -> Result<&'a ModelVersion, Outcome> {
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
    let gone = || Outcome::fails(Reason::Superseded, format!("{name} was deleted"));
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

/// Whether the operator created this version with this spec. The spec is compared as the API server stores it, with all
/// defaults.
fn is_same(version: &ModelVersion, wanted: &ModelVersion, world: &World) -> bool {
    let spec = |version: &ModelVersion| serde_json::to_value(&version.spec).ok();
    is_by_operator(version, annotations::CREATED_BY, &world.operator) && spec(version) == spec(wanted)
}

/// Whether a version whose uid is recorded has the approved data and gates. The rules of the CRD do not allow changes of these.
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

/// An object with the needed name belongs to another owner.
pub(in crate::action) fn taken(
    case: &Case<'_>,
    draft: &mut Draft,
    step: BlockedStep,
    kind: &str,
    name: &str,
) -> Outcome {
    let found = Obstacle {
        step,
        reason: ObstacleReason::NameTaken,
        object: format!("{kind} {name}"),
        message: String::new(),
    };
    draft.block(case, &found)
}

/// The version, if it is still the one that was approved.
fn wanted(case: &Case<'_>, plan: &ActionPlan, name: &str) -> Result<ModelVersion, Outcome> {
    let changed = |words: String| Outcome::fails(Reason::PlanChanged, words);
    let approved =
        planned_training(plan).ok_or_else(|| changed("the plan does not describe a training".to_owned()))?;
    let target_uid = approved.target_uid.as_deref().unwrap_or_default();
    let target = routes::by_uid(&case.world.versions, target_uid)
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
fn make(case: &Case<'_>, draft: &mut Draft, version: ModelVersion) -> Outcome {
    let name = name_of(&version).to_owned();
    draft.executed = Verdict::unknown(
        ConditionType::Executed,
        Reason::Training,
        format!("{name} is being created"),
    );
    let outcome = Outcome::works(Reason::Training, format!("{name} is being created"))
        .with(Step::CreateVersion(Box::new(version)));
    draft.attempt(case, BlockedStep::CreateVersion, outcome)
}

/// The version that was approved: the target's spec with the snapshot. It has no owner, because the action may be deleted
/// earlier, and none of the target's labels and annotations, because a GitOps tool would prune it. The annotation names the operator as
/// its creator, because API servers before 1.36 do not set it.
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
    spec.source.training = Some(retrain_data::source(
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
