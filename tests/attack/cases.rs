//! Attacks while the admission policies are in effect.

use anyhow::{Context as _, Result};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use modelward_crds::{
    ActionType, ConditionType, DriftReport, Model, ModelVersion, RemediationAction,
    annotations::{APPROVE, DECISION_PREFIX, REJECT},
    gate::{DECISIONS, RECORDS, STATUS, VERSIONS},
};
use modelward_trials::{stage::PLAN, story};
use serde_json::json;

use crate::{
    support::{Case, decisions, planned},
    tally::By,
};

const DECIDES: By = By::Policy(DECISIONS);

/// An approval of a deleted action does not count for a new action with the same name.
pub async fn recreated(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let before = case.cluster.effects().await?;
    let spec = json!({"model": "heart", "type": "RetrainModel", "message": "again"});
    case.proposes(&case.dave.clone(), "again", spec.clone()).await?;
    let first = story::planned(&case.cluster, "again").await?;
    // The object is deleted before anything is carried out.
    case.cluster.kill_operator().await;
    let outcome = case.decides(&case.alice, "again", APPROVE).await;
    let approved = case
        .tally
        .allowed("alice approves an action that is then deleted", outcome);
    let line = format!("{DECISION_PREFIX}1");
    let approval = approved
        .and_then(|action| action.annotations().get(&line).cloned())
        .context("a decision")?;

    let gone = case.cluster.all::<RemediationAction>();
    gone.delete("again", &DeleteParams::default()).await?;
    case.cluster.start_operator()?;
    let born = json!({"metadata": {"name": "again", "annotations": {line.as_str(): approval}}, "spec": spec});
    let outcome = case.creates(&case.dave, born).await;
    case.tally.refused(
        "replay on a recreated object, at its creation",
        DECIDES,
        "an action cannot be created with a decision on it",
        outcome,
    );
    case.proposes(&case.dave.clone(), "again", spec).await?;
    let second = story::planned(&case.cluster, "again").await?;
    case.tally.is(
        "the same proposal has another plan",
        &(planned(&first) == planned(&second)),
        &false,
    );
    let outcome = case.annotates(&case.alice, "again", &line, &approval).await;
    case.tally.refused(
        "replay on a recreated object, by the user who had approved",
        DECIDES,
        "then run: kubectl annotate",
        outcome,
    );
    let outcome = case.annotates(&case.carol, "again", &line, &approval).await;
    case.tally.refused(
        "replay on a recreated object, by another approver",
        DECIDES,
        "then run: kubectl annotate",
        outcome,
    );
    let outcome = case.annotates(&case.bob, "again", &line, &approval).await;
    case.tally.refused(
        "replay on a recreated object, by a user who may not approve",
        DECIDES,
        "user bob may not decide",
        outcome,
    );
    case.without_effect("replay on a recreated object", &before).await
}

/// Approvals apply to a plan, and a plan to what serves. If that changes, even if it changes back, they are void.
pub async fn changed_meanwhile(case: &mut Case) -> Result<()> {
    case.cluster.policy.medium_approvals = 2;
    case.serves().await?;
    let retrain = case.drifts().await?;
    let (name, first) = (retrain.name_any(), planned(&retrain));
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally
        .allowed("alice approves an action that requires two approvals", outcome);
    let before = case.cluster.effects().await?;
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally.refused(
        "one user twice",
        DECIDES,
        "you already made this decision on this plan",
        outcome,
    );
    let line = format!("{DECISION_PREFIX}2");
    let again = format!("approve {first} alice # once more");
    let outcome = case.annotates(&case.alice, &name, &line, &again).await;
    case.tally.refused(
        "one user twice, in full form",
        DECIDES,
        "you already made this decision on this plan",
        outcome,
    );
    case.without_effect("one user's approval of an action that requires two", &before)
        .await?;

    let (alice, carol) = (case.alice.clone(), case.carol.clone());
    case.promoted("heart-3", &[&alice, &carol]).await?;
    case.carried_out("two users promote another version meanwhile", "heart-3")
        .await?;
    case.cluster.settles().await?;
    let before = case.cluster.effects().await?;
    let changed = case.action(&name).await?;
    case.tally.is(
        "if what serves has changed, the plan is replaced or void",
        &(planned(&changed) == first && !story_is_over(&changed)),
        &false,
    );
    // What carol decides now applies to a different plan than alice's.
    let outcome = case.decides(&case.carol, &name, APPROVE).await;
    println!("noted    carol approves the new plan: {}", outcome.is_ok());
    case.without_effect("approve, then the serving version changes", &before)
        .await?;

    let spec = json!({"model": "heart", "type": "RollbackModel", "message": "back to heart-1"});
    case.proposes(&case.dave.clone(), "back", spec).await?;
    story::planned(&case.cluster, "back").await?;
    for who in [&alice, &carol] {
        case.decides(who, "back", APPROVE).await?;
    }
    case.carried_out("two users return to the former version", "heart-1")
        .await?;
    case.verified("back").await?;
    case.cluster.settles().await?;
    let before = case.cluster.effects().await?;
    let back = case.action(&name).await?;
    case.tally.is(
        "the routes are the same as when alice approved, but the plan is not",
        &(planned(&back) == first && !story_is_over(&back)),
        &false,
    );
    let outcome = case.decides(&case.carol, &name, APPROVE).await;
    println!("noted    carol approves once more: {}", outcome.is_ok());
    case.without_effect("routes A-B-A", &before).await?;
    let counted = decisions(&case.action(&name).await?);
    let alices = counted
        .iter()
        .filter(|decision| decision.user == "alice" && decision.void_because.is_none())
        .count();
    let over = story_is_over(&case.action(&name).await?);
    case.tally.is(
        "alice's approval of the first plan counts for nothing",
        &(alices > 0 && !over),
        &false,
    );
    Ok(())
}

/// A tenant names a bundle that served before. This is a rollback, whatever its name.
pub async fn an_old_bundle(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let alice = case.alice.clone();
    case.promoted("heart-2", &[&alice]).await?;
    case.carried_out("alice promotes heart-2", "heart-2").await?;
    let before = case.cluster.effects().await?;
    let old = case.bundle_of("heart-1").await?;
    let outcome = case.version("heart-4", Some(&old)).await;
    case.tally
        .allowed("a tenant may name any bundle of the namespace", outcome);
    let rollback = case.proposal(ActionType::RollbackModel).await?;
    let name = rollback.name_any();
    let plan = rollback.status.as_ref().and_then(|status| status.plan.as_ref());
    case.tally.is(
        "an old bundle requires two approvals",
        &plan.map(|plan| plan.approvals_required),
        &Some(2),
    );
    case.without_effect("a second ModelVersion of a tenant with an old digest", &before)
        .await?;
    let outcome = case.decides(&case.bob, &name, APPROVE).await;
    case.tally.refused(
        "its creator approves it",
        DECIDES,
        "user bob may not decide on RollbackModel",
        outcome,
    );
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally.allowed("alice approves it", outcome);
    case.without_effect("an old bundle with one approval", &before)
        .await?;
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally.refused(
        "an old bundle approved by one user twice",
        DECIDES,
        "you already made this decision on this plan",
        outcome,
    );
    let outcome = case
        .cluster
        .of::<ModelVersion>(&case.bob)
        .delete("heart-2", &DeleteParams::default())
        .await;
    case.tally.refused(
        "a tenant deletes what serves, so that the next one is the first",
        By::Policy(VERSIONS),
        "",
        outcome,
    );
    case.without_effect("an old bundle approved by one user twice", &before)
        .await?;
    let outcome = case.decides(&case.carol, &name, APPROVE).await;
    case.tally.allowed("carol approves it too", outcome);
    case.carried_out("two users approve the old bundle", "heart-4")
        .await
}

/// A rejection wins, whether it came first or not.
pub async fn at_once(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let name = case.drifts().await?.name_any();
    let before = case.cluster.effects().await?;
    let both = Patch::Merge(json!({"metadata": {"annotations": {APPROVE: "true", REJECT: "true"}}}));
    let outcome = case
        .cluster
        .of::<RemediationAction>(&case.alice)
        .patch(&name, &PatchParams::default(), &both)
        .await;
    case.tally.refused(
        "approve and reject at once, in one request",
        DECIDES,
        "set either modelward.io/approve or modelward.io/reject",
        outcome,
    );
    // Both exist before the operator reconciles.
    case.cluster.kill_operator().await;
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally.allowed("alice approves", outcome);
    let outcome = case.decides(&case.carol, &name, REJECT).await;
    case.tally.allowed("carol rejects", outcome);
    case.cluster.start_operator()?;
    story::ends(&case.cluster, &name, "False", "Rejected").await?;
    case.without_effect("approve and reject at once", &before).await?;
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally
        .refused("an approval after a rejection", DECIDES, "", outcome);
    case.without_effect("an approval after a rejection", &before)
        .await
}

/// An approval after the plan has expired does not count.
pub async fn too_late(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let name = case.drifts().await?.name_any();
    let before = case.cluster.effects().await?;
    case.cluster.kill_operator().await;
    case.cluster.advance(PLAN + 1).await?;
    // The API server does not check the plan's expiry, so the operator must not act.
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    println!("noted    alice approves after expiry: {}", outcome.is_ok());
    case.cluster.start_operator()?;
    story::ends(&case.cluster, &name, "False", "Expired").await?;
    case.without_effect("approval after expiry", &before).await?;
    let outcome = case.decides(&case.carol, &name, APPROVE).await;
    case.tally.refused(
        "approval of an action that has expired",
        DECIDES,
        "this action has ended",
        outcome,
    );
    case.without_effect("approval of an action that has expired", &before)
        .await
}

/// A tenant writes what a tenant may write, and tries what a tenant may not.
pub async fn by_a_tenant(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let retrain = case.drifts().await?;
    let name = retrain.name_any();
    let before = case.cluster.effects().await?;
    let risk = json!({"metadata": {"labels": {"modelward.io/risk": "Low"}, "annotations": {"modelward.io/risk": "Low"}}});
    let outcome = case
        .cluster
        .of::<RemediationAction>(&case.bob)
        .patch(&name, &PatchParams::default(), &Patch::Merge(risk.clone()))
        .await;
    case.tally.refused(
        "a label of a lower risk on an action",
        By::Policy(RECORDS),
        "modelward.io/risk",
        outcome,
    );
    let outcome = case
        .cluster
        .of::<ModelVersion>(&case.bob)
        .patch("heart-1", &PatchParams::default(), &Patch::Merge(risk))
        .await;
    case.tally.refused(
        "a label of a lower risk on a version",
        By::Policy(RECORDS),
        "modelward.io/risk",
        outcome,
    );
    case.cluster.settles().await?;
    let plan = case.action(&name).await?.status.and_then(|status| status.plan);
    case.tally.is(
        "a tenant's labels do not lower a risk",
        &plan.map(|plan| plan.approvals_required),
        &Some(1),
    );
    case.without_effect("risk lowered by a tenant", &before).await?;

    // A forged status of each kind, while the operator runs.
    let report = case
        .cluster
        .list::<DriftReport>()
        .await?
        .first()
        .context("a report")?
        .name_any();
    let digest = planned(&retrain);
    let approved = json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Approved", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let bundle = case.bundle_of("heart-1").await?;
    let routes = json!({"routes": [{"version": "heart-1", "uid": "x", "digest": bundle, "weight": 100, "threshold": "0.5"}]});
    for (kind, object, status) in [
        (ApiResource::erase::<RemediationAction>(&()), &*name, approved),
        (ApiResource::erase::<Model>(&()), "heart", routes),
        (
            ApiResource::erase::<ModelVersion>(&()),
            "heart-1",
            json!({"role": "Candidate"}),
        ),
        (
            ApiResource::erase::<DriftReport>(&()),
            &*report,
            json!({"coverage": "0.1"}),
        ),
    ] {
        let patch = Patch::Merge(json!({"status": status}));
        for (who, by) in [(&case.bob, By::Policy(STATUS)), (&case.alice, By::Roles)] {
            let outcome =
                kube::Api::<DynamicObject>::namespaced_with(who.clone(), &case.cluster.namespace, &kind)
                    .patch_status(object, &PatchParams::default(), &patch)
                    .await;
            case.tally
                .refused(&format!("a forged status of a {}", kind.kind), by, "", outcome);
        }
    }
    let invented = json!({"spec": {"paused": "no"}});
    let outcome = case
        .cluster
        .of::<Model>(&case.bob)
        .patch("heart", &PatchParams::default(), &Patch::Merge(invented))
        .await;
    case.tally.refused("an invalid Model", By::Schema, "", outcome);
    let forged = format!("approve {digest} alice");
    let outcome = case
        .annotates(&case.bob, &name, &format!("{DECISION_PREFIX}1"), &forged)
        .await;
    case.tally.refused(
        "alice's approval, written by bob",
        DECIDES,
        "user bob may not decide",
        outcome,
    );
    let outcome = case
        .annotates(&case.carol, &name, &format!("{DECISION_PREFIX}1"), &forged)
        .await;
    case.tally.refused(
        "alice's approval, written by carol, who may approve",
        DECIDES,
        "this is not a decision of carol@example.com: run: kubectl annotate",
        outcome,
    );
    case.without_effect("a forged status of each kind", &before)
        .await?;

    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally.allowed("alice approves despite the attempts", outcome);
    let promotion = story::proposal(&case.cluster, ActionType::PromoteModel).await?;
    let made = case
        .action(&promotion)
        .await?
        .spec
        .candidate
        .context("a candidate")?
        .name;
    case.carried_out("and the retrained version serves", &made).await
}

/// Rolled-out objects are changed without the operator. It restores them and changes nothing else.
pub async fn children(case: &mut Case) -> Result<()> {
    case.serves().await?;
    let old = template(case).await?;
    let alice = case.alice.clone();
    case.promoted("heart-2", &[&alice]).await?;
    case.carried_out("alice promotes heart-2", "heart-2").await?;
    case.cluster.settles().await?;
    let before = case.cluster.effects().await?;
    let serving = template(case).await?;
    // What kubectl rollout undo writes.
    let undo = Patch::Merge(json!({"spec": {"template": old}}));
    let deployments = case.cluster.of::<Deployment>(&case.bob);
    let outcome = deployments.patch("heart", &PatchParams::default(), &undo).await;
    case.tally.allowed("a tenant may write Deployments", outcome);
    case.without_effect("kubectl rollout undo", &before).await?;

    let routes = serving["spec"]["volumes"]
        .as_array()
        .and_then(|volumes| volumes.iter().find(|volume| volume["name"] == "routes"))
        .and_then(|volume| volume["configMap"]["name"].as_str())
        .context("routes")?
        .to_owned();
    let maps = case.cluster.of::<ConfigMap>(&case.bob);
    let edit = Patch::Merge(json!({"data": {"routes.json": "{}"}}));
    let outcome = maps.patch(&routes, &PatchParams::default(), &edit).await;
    case.tally.refused(
        "routes ConfigMap edited",
        By::Schema,
        "field is immutable",
        outcome,
    );
    let content = maps.get(&routes).await?.data;
    let outcome = maps.delete(&routes, &DeleteParams::default()).await;
    case.tally.allowed("a tenant may delete ConfigMaps", outcome);
    let again = case
        .cluster
        .wait(&routes, "there again", |_: &ConfigMap| true)
        .await?;
    case.tally
        .is("the routes have not changed", &again.data, &content);
    case.without_effect("routes ConfigMap deleted", &before).await?;
    // A ConfigMap with other content takes its place.
    maps.delete(&routes, &DeleteParams::default()).await?;
    let forged = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": routes}, "data": {"routes.json": "{}"},
    });
    let forged: ConfigMap = serde_json::from_value(forged)?;
    let outcome = maps.create(&kube::api::PostParams::default(), &forged).await;
    println!("noted    a forged ConfigMap was first: {}", outcome.is_ok());
    case.cluster.settles().await?;
    let found = case.cluster.all::<ConfigMap>().get(&routes).await?;
    if outcome.is_ok() {
        // A foreign object with that name stays, and the model reports it. Pods that serve keep their routes.
        let stalled = case.cluster.all::<Model>().get("heart").await?;
        let conditions = stalled.status.map(|status| status.conditions).unwrap_or_default();
        let says = found.data == content
            || story::says(&conditions, ConditionType::Ready, "False", Some("NameTaken"));
        case.tally
            .is("a foreign object in its place is reported", &says, &true);
    }
    case.without_effect("routes ConfigMap forged", &before).await
}

async fn template(case: &Case) -> Result<serde_json::Value> {
    let deployment = case.cluster.all::<Deployment>().get("heart").await?;
    Ok(serde_json::to_value(deployment.spec.context("a spec")?.template)?)
}

/// Whether an action has ended and accepts no more decisions.
fn story_is_over(action: &RemediationAction) -> bool {
    let conditions = action
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    ["True", "False"]
        .iter()
        .any(|status| story::says(conditions, ConditionType::Succeeded, status, None))
}
