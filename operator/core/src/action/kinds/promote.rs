//! PromoteModel: another version takes over.

use modelward_crds::{ActionPlan, ActionType, Model, ModelVersion, Risk};

use super::{
    facts::{Claims, Facts, Shelf},
    kind::Kind,
    switch::{Switch, has_begun, switch},
};
use crate::{
    action::{
        candidate::{candidate, not_passed, not_serving},
        case::Case,
        cover::covered,
        draft::{Draft, Outcome},
        kinds::rollback::has_served,
        plan::{
            differences,
            parts::{changed_by, changes, differences_of, excluded, planned_version, present, serving},
            proposal::Proposal,
            routes::{names, route_to},
            words::{serving_words, trained_words},
        },
        world::World,
    },
    names::promotion_name,
    objects::{name_of, parent_uid},
};

/// Another version serves.
pub(super) struct Promote;

const FACTS: Facts = Facts {
    action: ActionType::PromoteModel,
    verb: "promote",
    default_risk: Risk::Medium,
    claims: Claims::Bounded,
    runs_while_paused: false,
    superseded_by_rollback: true,
    held_in_a_storm: false,
    reads_data: false,
    serves_candidate: true,
    answers_drift: false,
    budgeted: false,
    shelf: Shelf::Change,
};

/// The version that did not become ready is put on hold, and the previous routes serve again.
const SWITCH: Switch = Switch {
    goes_back: true,
    holds_what_it_left: false,
    checks_bundle: |_| true,
};

impl Kind for Promote {
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
        Some(promotion_name(version, uid))
    }
}

fn propose(case: &Case<'_>) -> Result<Proposal, Outcome> {
    let candidate = candidate(case)?;
    if parent_uid(case.action).is_some() {
        covered(case, candidate)?;
    }
    let covered = parent_uid(case.action).is_some();
    let proposal = proposal(case.world, case.model, candidate, covered);
    let proposal = proposal.ok_or_else(|| not_passed(candidate))?;
    not_serving(proposal)
}

/// The proposal to promote a version. `covered` says that the approval of an earlier action covers it.
fn proposal(world: &World, model: &Model, candidate: &ModelVersion, covered: bool) -> Option<Proposal> {
    let route = route_to(candidate)?;
    let returning = has_served(model, &route.digest);
    let risk = if returning {
        FACTS
            .risk(&world.policy)
            .max(super::rollback::FACTS.risk(&world.policy))
    } else {
        FACTS.risk(&world.policy)
    };
    let present = present(model);
    let score = candidate
        .status
        .as_ref()
        .and_then(|status| status.score.clone())
        .map(|score| format!(", {score}"))
        .unwrap_or_default();
    let in_place_of = match names(&present) {
        Some(names) => format!(" in place of {names}; back to {names} if it does not become ready"),
        None => String::new(),
    };
    let before = if returning {
        "; this bundle has served before"
    } else {
        ""
    };
    let serving = serving(world, model);
    let differences = differences_of(candidate, serving);
    Some(Proposal {
        risk,
        approvals: if covered { 0 } else { world.policy.approvals(risk) },
        excluded: excluded(candidate),
        changed_by: changed_by(candidate),
        version: Some(planned_version(candidate)),
        summary: format!(
            "promote {} (bundle {}, threshold {}{score}){in_place_of}{before}{}; {}{}{}",
            route.version,
            route.digest.short(),
            route.threshold,
            trained_words(candidate, model, &world.versions),
            serving_words(candidate),
            differences::words(&differences, serving.map(name_of)),
            changes(candidate),
        ),
        differences,
        present,
        planned: vec![route],
        training: None,
    })
}
