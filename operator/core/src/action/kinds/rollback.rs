//! RollbackModel: a version that served before serves again.

use modelward_crds::{ActionPlan, ActionType, Model, ModelVersion, PlannedRoute, Risk};
use modelward_wire::Digest;

use super::{
    facts::{Claims, Facts, Shelf},
    kind::Kind,
    switch::{Switch, has_begun, switch},
};
use crate::{
    action::{
        candidate::{candidate, not_passed, not_serving},
        case::Case,
        draft::{Draft, Outcome},
        plan::{
            differences,
            parts::{changed_by, changes, differences_of, excluded, planned_version, present, serving},
            proposal::Proposal,
            routes::{by_uid, names, route_to},
        },
        world::World,
    },
    names::rollback_name,
    objects::name_of,
    reason::Reason,
    record::holds,
};

/// A version that served before serves again.
pub(super) struct Rollback;

pub(super) const FACTS: Facts = Facts {
    action: ActionType::RollbackModel,
    verb: "rollback",
    default_risk: Risk::High,
    claims: Claims::Urgent,
    runs_while_paused: false,
    superseded_by_rollback: false,
    held_in_a_storm: false,
    reads_data: false,
    serves_candidate: true,
    answers_drift: false,
    budgeted: false,
    shelf: Shelf::Change,
};

/// The version that it replaces is put on hold. A rollback without a candidate uses the bundle in the record.
const SWITCH: Switch = Switch {
    goes_back: false,
    holds_what_it_left: true,
    checks_bundle: |action| action.spec.candidate.is_some(),
};

impl Kind for Rollback {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn propose(&self, case: &Case<'_>, _: &mut Draft) -> Result<Proposal, Outcome> {
        propose(case)
    }

    fn without_claim(&self, _: &Case<'_>, _: &mut Draft) -> Option<Outcome> {
        None
    }

    fn holds_claim(&self, case: &Case<'_>) -> bool {
        case.is_claimed_now()
    }

    fn has_begun(&self, case: &Case<'_>, draft: &Draft, plan: &ActionPlan) -> bool {
        has_begun(case, draft, plan)
    }

    fn carry_out(&self, case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Outcome, Outcome> {
        switch(case, draft, plan, &SWITCH)
    }

    fn proposal_name(&self, version: &str, uid: &str) -> Option<String> {
        Some(rollback_name(version, uid))
    }
}

fn propose(case: &Case<'_>) -> Result<Proposal, Outcome> {
    let candidate = match &case.action.spec.candidate {
        Some(_) => Some(candidate(case)?),
        None => None,
    };
    let proposal = proposal(case.world, case.model, candidate);
    let proposal = proposal.ok_or_else(|| match candidate {
        Some(candidate) => not_passed(candidate),
        None => Outcome::fails(
            Reason::NothingToReturnTo,
            "every earlier version was deleted or is on hold: lift a hold, or name a version in spec.candidate",
        ),
    })?;
    not_serving(proposal)
}

/// The proposal to return to the version that served before, or to the named one.
fn proposal(world: &World, model: &Model, candidate: Option<&ModelVersion>) -> Option<Proposal> {
    let route = match candidate {
        Some(candidate) => route_to(candidate)?,
        None => former(model, &world.versions)?,
    };
    let returned = by_uid(&world.versions, &route.uid);
    let serving = serving(world, model);
    let differences = returned
        .map(|returned| differences_of(returned, serving))
        .unwrap_or_default();
    let risk = FACTS.risk(&world.policy);
    let present = present(model);
    let leaving = match names(&present) {
        Some(names) => format!(" in place of {names}, which is then put on hold"),
        None => String::new(),
    };
    Some(Proposal {
        risk,
        approvals: world.policy.approvals(risk),
        excluded: candidate.map(excluded).unwrap_or_default(),
        changed_by: candidate.map(changed_by).unwrap_or_default(),
        version: returned.map(planned_version),
        summary: format!(
            "roll {} back to {} (bundle {}, threshold {}){leaving}{}{}",
            model.metadata.name.as_deref().unwrap_or_default(),
            route.version,
            route.digest.short(),
            route.threshold,
            returned.map_or_else(String::new, |_| {
                differences::words(&differences, serving.map(name_of))
            }),
            candidate.map(changes).unwrap_or_default(),
        ),
        differences,
        present,
        planned: vec![route],
        training: None,
    })
}

/// Whether this bundle served before and does not serve now.
pub(in crate::action) fn has_served(model: &Model, digest: &Digest) -> bool {
    let status = model.status.clone().unwrap_or_default();
    let serves = status.routes.iter().any(|route| route.digest == *digest);
    !serves && status.history.iter().any(|record| record.digest == *digest)
}

/// The route that served before the current ones: the newest whose version still exists without a hold.
fn former(model: &Model, versions: &[ModelVersion]) -> Option<PlannedRoute> {
    let status = model.status.as_ref()?;
    let routed = |uid: &str, digest: &Digest| {
        status
            .routes
            .iter()
            .any(|route| route.uid == uid && route.digest == *digest)
    };
    status
        .history
        .iter()
        .filter(|record| !routed(&record.uid, &record.digest))
        .filter(|record| holds::hold(model, &record.uid, Some(&record.digest)).is_none())
        .find_map(|record| {
            let version = by_uid(versions, &record.uid)?;
            let own = version
                .status
                .as_ref()
                .and_then(|status| status.threshold.clone());
            Some(PlannedRoute {
                version: record.version.clone(),
                uid: record.uid.clone(),
                digest: record.digest,
                weight: 100,
                threshold: record.threshold.clone().or(own)?,
            })
        })
}
