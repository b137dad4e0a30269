//! The plan of an action, from the current state.

pub mod content;
pub mod differences;
pub mod parts;
pub mod proposal;
pub mod routes;
pub(in crate::action) mod text;
pub(in crate::action) mod words;

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{ActionPlan, ActionType, Model, PlannedTraining, RemediationAction, Risk};

use self::{
    content::{Content, PLAN_FORMAT},
    proposal::Proposal,
    words::summary,
};
use super::{canonical, world::World};
use crate::conditions;

/// The plan of a proposal with this number.
pub fn plan(
    action: &RemediationAction,
    model: &Model,
    proposal: Proposal,
    world: &World,
    risks: &BTreeMap<ActionType, Risk>,
    sequence: i64,
    not_after: Timestamp,
) -> ActionPlan {
    let content = Content::new(action, model, &proposal, world, risks, sequence, not_after).text();
    let summary = summary(&proposal, action, not_after);
    let (snapshot, sources, reference, training) = match proposal.training {
        Some(training) => {
            let planned = PlannedTraining {
                target: training.target,
                datasets: training.datasets,
                gates: training.gates,
                not_worse_than: training.not_worse_than,
                serve_when_gates_pass: training.serve_when_gates_pass,
            };
            (
                Some(training.snapshot),
                training.sources,
                training.reference,
                Some(planned),
            )
        }
        None => (None, Vec::new(), None, None),
    };
    ActionPlan {
        digest: canonical::digest(&content),
        plan_format: PLAN_FORMAT,
        plan_sequence: sequence,
        risk: proposal.risk,
        approvals_required: proposal.approvals,
        excluded_approvers: proposal.excluded,
        not_after: Time(not_after),
        summary,
        content,
        present_routes: proposal.present,
        planned_routes: proposal.planned,
        snapshot,
        sources,
        reference,
        training,
        changed_by: proposal.changed_by,
        version: proposal.version,
        differences: proposal.differences,
    }
}

/// Whether a plan is for this action and this model, and not for earlier objects with the same names.
pub fn is_for(plan: &ActionPlan, action: &RemediationAction, model: &Model) -> bool {
    Content::of(plan).is_some_and(|content| content.is_for(action, model))
}

/// When a plan that is made now expires.
pub fn not_after(world: &World, now: Timestamp) -> Timestamp {
    let end = now.checked_add(world.policy.plan_seconds.max(0).seconds());
    conditions::whole_seconds(end.unwrap_or(Timestamp::MAX))
}
