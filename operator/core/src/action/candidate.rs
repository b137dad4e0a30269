//! The version that an action would let serve.

use modelward_crds::{ConditionType, ModelVersion};

use crate::{
    action::{
        case::Case,
        draft::Outcome,
        plan::{proposal::Proposal, routes},
    },
    conditions::{self, Status},
    objects::name_of,
    reason::Reason,
};

pub(super) fn candidate<'a>(case: &Case<'a>) -> Result<&'a ModelVersion, Outcome> {
    let Some(reference) = &case.action.spec.candidate else {
        return Err(Outcome::fails(
            Reason::SpecInvalid,
            "spec.candidate is missing: name the version that is to serve",
        ));
    };
    routes::find(&case.world.versions, reference).ok_or_else(|| {
        let message = format!(
            "there is no version {} of {}",
            reference.name, case.action.spec.model
        );
        if reference.uid.is_some() {
            Outcome::fails(Reason::Superseded, message)
        } else {
            Outcome::waits(Reason::Waiting, message)
        }
    })
}

pub(super) fn not_passed(candidate: &ModelVersion) -> Outcome {
    let name = name_of(candidate);
    let conditions = candidate
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    match conditions::find(conditions.unwrap_or_default(), ConditionType::GatesPassed) {
        Some(gates) if conditions::status(gates) == Status::False => Outcome::fails(
            Reason::GateFailed,
            format!("{name} cannot serve: {}", gates.message),
        ),
        _ => Outcome::waits(Reason::Waiting, format!("{name} has not passed its gates yet")),
    }
}

pub(super) fn not_serving(proposal: Proposal) -> Result<Proposal, Outcome> {
    if proposal.present == proposal.planned {
        let names = routes::names(&proposal.planned).unwrap_or_default();
        return Err(Outcome::fails(
            Reason::Superseded,
            format!("{names} serves already"),
        ));
    }
    Ok(proposal)
}
