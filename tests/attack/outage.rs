//! Attacks while the admission policies are absent or weakened. What is written then must never count, even after they are
//! restored.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use modelward_crds::{
    ActionType, ConditionType, ModelVersion, RemediationAction,
    annotations::{APPROVE, CREATED_BY, DECISION_PREFIX},
    gate::{DECISIONS, STAMP_CHANGES, STAMP_DECISIONS, STAMP_MAKERS, STAMP_PROPOSERS, VERSIONS},
};
use modelward_kit::{chart::apply_gate, objects::object, wait::until};
use modelward_trials::{
    stage, story,
    world::{PATIENCE, SYSTEM},
};
use serde_json::{Value, json};

use crate::{
    support::{Case, decisions, planned},
    tally::By,
};

/// How the admission policies are removed or weakened.
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

/// A forged approval is accepted while the policies are absent. It has no effect then, and none after they are restored.
pub async fn without(case: &mut Case, outage: Outage) -> Result<()> {
    case.ungated = true;
    case.serves().await?;
    let retrain = case.drifts().await?;
    let name = retrain.name_any();
    let before = case.cluster.effects().await?;
    take_away(case, outage).await?;

    let line = format!("{DECISION_PREFIX}1");
    let forged = format!("approve {} alice", planned(&retrain));
    until("the policies to be absent", PATIENCE, async || {
        Ok(case.annotates(&case.bob, &name, &line, &forged).await.ok())
    })
    .await?;
    case.without_effect(&format!("{}: a forged approval", outage.as_str()), &before)
        .await?;
    let says = case
        .cluster
        .wait(&name, "not enforced", |action: &RemediationAction| {
            action.status.as_ref().is_some_and(|status| {
                story::says(&status.conditions, ConditionType::ApprovalEnforced, "False", None)
            })
        })
        .await;
    case.tally.is(
        &format!("{}: the action says so", outage.as_str()),
        &says.is_ok(),
        &true,
    );

    apply_gate(case.cluster.world.api, SYSTEM, &[], true)?;
    until("the gate restored", PATIENCE, async || {
        let dry = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let forged = json!({"metadata": {"annotations": {format!("{DECISION_PREFIX}2"): "approve"}}});
        let actions = case.cluster.of::<RemediationAction>(&case.bob);
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
        &format!("{}: forged approvals do not count", outage.as_str()),
        &counts,
        &false,
    );
    if outage == Outage::PolicyDeleted {
        // Legitimate decisions still work.
        let outcome = case.decides(&case.carol, &name, APPROVE).await;
        case.tally
            .allowed("carol approves when the gate is back", outcome);
        let promotion = story::proposal(&case.cluster, ActionType::PromoteModel).await?;
        let candidate = case.action(&promotion).await?.spec.candidate;
        let version = candidate.map(|candidate| candidate.name).unwrap_or_default();
        case.carried_out("and the retrained version serves", &version)
            .await?;
    }
    Ok(())
}

async fn take_away(case: &Case, outage: Outage) -> Result<()> {
    let admin = case.cluster.world.admin.clone();
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
    // The API server evaluates the next request with the state of the policies that it has received.
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(())
}

// === the policies that stamp ===

/// How a policy that stamps is removed or weakened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tampering {
    Deleted,
    Unbound,
    /// It stamps this user in place of the caller.
    Stamps(&'static str),
}

/// If a policy that stamps is removed or weakened, earlier approvals become void before anything is claimed. Without the stamp, no
/// request passes as another user's.
pub async fn without_stamps(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let retrain = case.drifts().await?;
    let name = retrain.name_any();
    let before = case.cluster.effects().await?;
    for (stamp, tampering) in [
        (STAMP_MAKERS, Tampering::Deleted),
        (STAMP_MAKERS, Tampering::Unbound),
        (STAMP_MAKERS, Tampering::Stamps("alice")),
        (STAMP_CHANGES, Tampering::Deleted),
        (STAMP_PROPOSERS, Tampering::Stamps("alice")),
        (STAMP_DECISIONS, Tampering::Stamps("alice")),
    ] {
        let what = format!("{stamp} {tampering:?}");
        let plan = planned(&case.action(&name).await?);
        case.cluster.kill_operator().await;
        let outcome = case.decides(&case.alice, &name, APPROVE).await;
        case.tally
            .allowed(&format!("{what}: alice approves before"), outcome);
        weaken(case, stamp, tampering).await?;
        impersonate(case, stamp, &what, &name).await?;
        case.cluster.start_operator()?;
        case.without_effect(&format!("{what}: an approval from before"), &before)
            .await?;
        // On a busy machine, the operator may not have reconciled yet.
        let after = until("another plan", PATIENCE, async || {
            let after = case.action(&name).await?;
            Ok((planned(&after) != plan).then_some(after))
        })
        .await?;
        case.tally.is(
            &format!("{what}: the plan was replaced"),
            &(planned(&after) == plan),
            &false,
        );
        let counts = decisions(&after)
            .iter()
            .any(|decision| decision.void_because.is_none());
        case.tally
            .is(&format!("{what}: no decision counts"), &counts, &false);

        apply_gate(case.cluster.world.api, SYSTEM, &[], true)?;
        at_work(case, stamp, &name).await?;
        case.without_effect(&format!("{what}, restored"), &before).await?;
    }
    let outcome = case.decides(&case.carol, &name, APPROVE).await;
    case.tally
        .allowed("carol approves when all stamps are back", outcome);
    let promotion = story::proposal(&case.cluster, ActionType::PromoteModel).await?;
    let candidate = case.action(&promotion).await?.spec.candidate;
    let version = candidate.map(|candidate| candidate.name).unwrap_or_default();
    case.carried_out("and the retrained version serves", &version)
        .await
}

/// Requests that would pass as another user's because the stamp does not name the caller.
async fn impersonate(case: &mut Case, stamp: &str, what: &str, action: &str) -> Result<()> {
    let bob = case.bob.clone();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let make = async |named: Option<&str>| {
        let mut content = stage::version("heart-8");
        if let Some(user) = named {
            content["metadata"]["annotations"] = json!({CREATED_BY: user});
        }
        let version: ModelVersion = object(content).unwrap();
        case.cluster.of::<ModelVersion>(&bob).create(&dry, &version).await
    };
    // The API server needs a moment until it evaluates requests with the changed policies.
    match stamp {
        STAMP_MAKERS => {
            until("the stamp to be away", PATIENCE, async || {
                Ok(make(None).await.is_err().then_some(()))
            })
            .await?;
            let (without, as_alice) = (make(None).await, make(Some("alice")).await);
            case.tally.refused(
                &format!("{what}: a version that names no creator or a wrong one"),
                By::Policy(VERSIONS),
                "",
                without,
            );
            case.tally.refused(
                &format!("{what}: bob's version as alice's"),
                By::Policy(VERSIONS),
                "",
                as_alice,
            );
        }
        STAMP_CHANGES => {
            let change = async || {
                let patch = json!({"spec": {"retraining": {"datasets": [
                    {"name": "bobs", "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}}}]}}});
                let dry = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                case.cluster
                    .of::<ModelVersion>(&bob)
                    .patch("heart-1", &dry, &Patch::Merge(patch))
                    .await
            };
            until("the stamp to be away", PATIENCE, async || {
                Ok(change().await.is_err().then_some(()))
            })
            .await?;
            let outcome = change().await;
            case.tally.refused(
                &format!("{what}: a change that does not name its user"),
                By::Policy(VERSIONS),
                "",
                outcome,
            );
        }
        STAMP_PROPOSERS => {
            let propose = async || {
                let content = json!({"metadata": {"name": "daves"}, "spec": {"model": "heart", "type": "RetrainModel"}});
                let action: RemediationAction = object(content).unwrap();
                case.cluster
                    .of::<RemediationAction>(&case.dave)
                    .create(&dry, &action)
                    .await
            };
            until("the stamp to say alice", PATIENCE, async || {
                Ok(propose().await.is_err().then_some(()))
            })
            .await?;
            let outcome = propose().await;
            case.tally.refused(
                &format!("{what}: dave's proposal as alice's"),
                By::Policy(DECISIONS),
                "",
                outcome,
            );
        }
        _ => {
            let decide = async |who: &Client| {
                let dry = PatchParams {
                    dry_run: true,
                    ..PatchParams::default()
                };
                let short = json!({"metadata": {"annotations": {APPROVE: "true"}}});
                case.cluster
                    .of::<RemediationAction>(who)
                    .patch(action, &dry, &Patch::Merge(short))
                    .await
            };
            until("the stamp to say alice", PATIENCE, async || {
                Ok(decide(&case.carol).await.is_err().then_some(()))
            })
            .await?;
            let (carols, bobs) = (decide(&case.carol).await, decide(&bob).await);
            case.tally.refused(
                &format!("{what}: carol's decision as alice's"),
                By::Policy(DECISIONS),
                "",
                carols,
            );
            case.tally.refused(
                &format!("{what}: bob's decision as alice's"),
                By::Policy(DECISIONS),
                "",
                bobs,
            );
        }
    }
    Ok(())
}

fn stamps_of(case: &Case, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
    Api::all_with(case.cluster.world.admin.clone(), &resource)
}

async fn weaken(case: &Case, stamp: &str, tampering: Tampering) -> Result<()> {
    let policies = stamps_of(case, "MutatingAdmissionPolicy", "mutatingadmissionpolicies");
    let bindings = stamps_of(
        case,
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
    );
    let gone = DeleteParams::default();
    match tampering {
        Tampering::Deleted => drop(policies.delete(stamp, &gone).await?),
        Tampering::Unbound => drop(bindings.delete(stamp, &gone).await?),
        Tampering::Stamps(user) => {
            let mut weak = policies.get(stamp).await?;
            let expression = &mut weak.data["spec"]["mutations"][0]["jsonPatch"]["expression"];
            let text = expression.as_str().unwrap_or_default();
            *expression = text
                .replace("request.userInfo.username", &format!("'{user}'"))
                .into();
            policies.replace(stamp, &PostParams::default(), &weak).await?;
        }
    }
    Ok(())
}

/// Waits until this policy stamps again.
async fn at_work(case: &Case, stamp: &str, action: &str) -> Result<()> {
    until("the stamp restored", PATIENCE, async || {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let patch = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let done = match stamp {
            STAMP_MAKERS => {
                let version: ModelVersion = object(stage::version("heart-8"))?;
                let versions = case.cluster.of::<ModelVersion>(&case.bob);
                versions.create(&dry, &version).await.is_ok()
            }
            STAMP_CHANGES => {
                let change = json!({"spec": {"serving": {"replicas": {"max": 3}}}});
                let versions = case.cluster.of::<ModelVersion>(&case.bob);
                versions
                    .patch("heart-1", &patch, &Patch::Merge(change))
                    .await
                    .is_ok()
            }
            STAMP_PROPOSERS => {
                let content = json!({"metadata": {"name": "daves"}, "spec": {"model": "heart", "type": "RetrainModel"}});
                let proposal: RemediationAction = object(content)?;
                let actions = case.cluster.of::<RemediationAction>(&case.dave);
                actions.create(&dry, &proposal).await.is_ok()
            }
            _ => {
                let short: Value = json!({"metadata": {"annotations": {APPROVE: "true"}}});
                let actions = case.cluster.of::<RemediationAction>(&case.carol);
                actions.patch(action, &patch, &Patch::Merge(short)).await.is_ok()
            }
        };
        Ok(done.then_some(()))
    })
    .await
}
