//! Attacks while the gate is away or weakened: what is written then must not count, neither before it is back nor after.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use modelward_crds::{
    ActionType, RemediationAction,
    annotations::{APPROVE, DECISION_PREFIX},
    conditions::types,
    gate::DECISIONS,
};
use modelward_kit::{chart::apply_gate, wait::until};
use modelward_trials::{
    story,
    world::{PATIENCE, SYSTEM},
};
use serde_json::json;

use crate::support::{Case, decisions, planned};

/// What is done to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    PolicyDeleted,
    BindingDeleted,
    PolicyForged,
    BindingNarrowed,
}

pub const ALL: [Outage; 4] = [
    Outage::PolicyDeleted,
    Outage::BindingDeleted,
    Outage::PolicyForged,
    Outage::BindingNarrowed,
];

impl Outage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyDeleted => "policy deleted",
            Self::BindingDeleted => "binding deleted",
            Self::PolicyForged => "policy forged",
            Self::BindingNarrowed => "binding narrowed",
        }
    }
}

/// A forged approval is let in while the gate is away. It has no effect then, and none when the gate is back.
pub async fn without(case: &mut Case, outage: Outage) -> Result<()> {
    case.ungated = true;
    case.serves().await?;
    let retrain = case.drifts().await?;
    let name = retrain.name_any();
    let before = case.house.effects().await?;
    take_away(case, outage).await?;

    let line = format!("{DECISION_PREFIX}1");
    let forged = format!("approve {} alice", planned(&retrain));
    until("the gate to be away", PATIENCE, async || {
        Ok(case.annotates(&case.bob, &name, &line, &forged).await.ok())
    })
    .await?;
    case.without_effect(&format!("{}: a forged approval", outage.as_str()), &before)
        .await?;
    let says = case
        .house
        .wait(&name, "not enforced", |action: &RemediationAction| {
            action.status.as_ref().is_some_and(|status| {
                story::says(&status.conditions, types::APPROVAL_ENFORCED, "False", None)
            })
        })
        .await;
    case.tally.is(
        &format!("{}: the action says so", outage.as_str()),
        &says.is_ok(),
        &true,
    );

    apply_gate(case.house.world.api, SYSTEM, &[], true)?;
    until("the gate restored", PATIENCE, async || {
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let forged = json!({"metadata": {"annotations": {format!("{DECISION_PREFIX}2"): "approve"}}});
        let actions = case.house.of::<RemediationAction>(&case.bob);
        let outcome = actions.patch(&name, &dry, &Patch::Merge(forged)).await;
        Ok(outcome
            .is_err_and(|error| error.to_string().contains(DECISIONS))
            .then_some(()))
    })
    .await?;
    case.without_effect(&format!("{}, restored", outage.as_str()), &before)
        .await?;
    let after = case.action(&name).await?;
    let counts = decisions(&after)
        .iter()
        .any(|decision| decision.user == "alice" && decision.void_because.is_none());
    case.tally.is(
        &format!(
            "{}: what was forged meanwhile counts for nothing",
            outage.as_str()
        ),
        &counts,
        &false,
    );
    if outage == Outage::PolicyDeleted {
        // And honest people go on.
        let outcome = case.decides(&case.carol, &name, APPROVE).await;
        case.tally
            .allowed("carol approves when the gate is back", outcome);
        let promotion = story::proposal(&case.house, ActionType::PromoteModel).await?;
        let candidate = case.action(&promotion).await?.spec.candidate;
        let version = candidate.map(|candidate| candidate.name).unwrap_or_default();
        case.carried_out("and the retrained version serves", &version)
            .await?;
    }
    Ok(())
}

async fn take_away(case: &Case, outage: Outage) -> Result<()> {
    let admin = case.house.world.admin.clone();
    let policies = Api::<ValidatingAdmissionPolicy>::all(admin.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(admin);
    let (params, gone) = (PatchParams::default(), DeleteParams::default());
    match outage {
        Outage::PolicyDeleted => drop(policies.delete(DECISIONS, &gone).await?),
        Outage::BindingDeleted => drop(bindings.delete(DECISIONS, &gone).await?),
        Outage::PolicyForged => {
            let weak = Patch::Merge(json!({"spec": {"validations": [{"expression": "true"}]}}));
            policies.patch(DECISIONS, &params, &weak).await?;
        }
        Outage::BindingNarrowed => {
            let narrow =
                json!({"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"gated": "yes"}}}}});
            bindings.patch(DECISIONS, &params, &Patch::Merge(narrow)).await?;
        }
    }
    // What is asked next is answered by what the API server has seen of it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}
