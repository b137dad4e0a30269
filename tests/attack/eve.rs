//! Attacks on the running operator by a user with the built-in role `edit`.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::ConfigMap, rbac::v1::RoleBinding};
use kube::{
    Client, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use modelward_crds::{
    DriftReport, Model, ModelVersion, RemediationAction,
    annotations::{APPROVE, CONFIRM_DELETE, REJECT},
    gate::{DECISIONS, ORIGINS, RECORDS, VERSIONS},
    labels::MODEL,
};
use modelward_kit::{apiserver::User, fields::differences, objects::object, raw, wait};
use modelward_trials::{stage, story};
use serde_json::{Value, json};

use crate::{support::Case, tally::By};

/// Grants eve the role `edit` in the namespace.
pub async fn edits(case: &Case) -> Result<Client> {
    case.cluster.world.api.aggregate_roles().await?;
    case.cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "eve-edits"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}],
        }))
        .await?;
    let eve = case.cluster.world.person(User::Eve)?;
    let versions = case.cluster.of::<ModelVersion>(&eve);
    case.cluster
        .until("eve's role", async || {
            Ok(versions
                .list(&kube::api::ListParams::default())
                .await
                .ok()
                .map(drop))
        })
        .await?;
    Ok(eve)
}

async fn create(case: &Case, who: &Client, content: Value) -> kube::Result<ModelVersion> {
    let version: ModelVersion = object(content).unwrap();
    case.cluster
        .of::<ModelVersion>(who)
        .create(&PostParams::default(), &version)
        .await
}

async fn patch(case: &Case, who: &Client, name: &str, patch: Value) -> kube::Result<ModelVersion> {
    case.cluster
        .of::<ModelVersion>(who)
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
}

/// A version of eve's bundle, under this name.
fn of_a_bundle(case: &Case, name: &str) -> Value {
    let mut content = stage::version(name);
    let bundle = case.cluster.heart.brought().unwrap();
    content["spec"]["source"] = json!({"artifact": {"bundle": bundle}});
    content
}

/// Changes every child at once, so that its label and its owner lead to another object.
pub async fn every_child_at_once(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    case.cluster.settles().await?;
    let before = case.cluster.effects().await?;
    let foreign = json!({"metadata": {"name": "eves"}, "data": {}});
    let foreign = case.cluster.create::<ConfigMap>(foreign).await?;
    let routes = case
        .cluster
        .list::<ConfigMap>()
        .await?
        .into_iter()
        .find(|map| map.name_any().starts_with("heart-routes-"))
        .context("routes")?
        .name_any();
    let elsewhere = json!({
        "labels": {MODEL: "eves", "app.kubernetes.io/managed-by": "eve"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "eves", "uid": foreign.uid(), "controller": true}],
        "finalizers": ["example.com/eves"],
    });
    let attacks = [
        (
            "Service",
            "api/v1",
            "services",
            "heart",
            json!({"selector": {"example.com/eves": "yes"}, "publishNotReadyAddresses": true}),
        ),
        (
            "Deployment",
            "apis/apps/v1",
            "deployments",
            "heart",
            json!({"paused": true, "replicas": 0, "template": {"spec": {
                "hostAliases": [{"ip": "10.9.9.9", "hostnames": ["ledger"]}],
                "dnsConfig": {"nameservers": ["10.9.9.9"]},
            }}}),
        ),
        (
            "HorizontalPodAutoscaler",
            "apis/autoscaling/v2",
            "horizontalpodautoscalers",
            "heart",
            json!({"maxReplicas": 50, "scaleTargetRef": {"name": "eves"}}),
        ),
        (
            "PodDisruptionBudget",
            "apis/policy/v1",
            "poddisruptionbudgets",
            "heart",
            json!({"selector": {"matchLabels": {"example.com/eves": "yes"}}}),
        ),
        ("ConfigMap", "api/v1", "configmaps", routes.as_str(), Value::Null),
    ];
    let mut changed = Vec::new();
    for (kind, group, plural, name, spec) in attacks {
        let path = format!("/{group}/namespaces/{}/{plural}/{name}", case.cluster.namespace);
        let was = raw::get(&case.cluster.world.admin, &path).await?;
        changed.push((kind, path, was, case.cluster.reported(kind)?, spec));
    }
    for (kind, path, was, _, spec) in &changed {
        let change = async || {
            let mut forged = was.clone();
            merge(&mut forged["metadata"], &elsewhere);
            if !spec.is_null() {
                merge(&mut forged["spec"], spec);
            }
            let live = raw::get(&eve, path).await?;
            forged["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            raw::put(&eve, path, &forged).await
        };
        let mut outcome = change().await;
        // Kubernetes controllers also write to it.
        while matches!(&outcome, Err(kube::Error::Api(status)) if status.code == 409) {
            outcome = change().await;
        }
        case.tally.allowed(
            &format!("eve changes the {kind}, its labels and its owners"),
            outcome,
        );
    }
    // No object of Modelward's kinds is touched meanwhile, so only the changes trigger the operator.
    for (kind, path, was, reported, _) in &changed {
        let back = wait::until(&format!("the {kind} as it was"), SOON, async || {
            let live = raw::get(&case.cluster.world.admin, path).await?;
            let mut differs = differences(was, &live);
            differs.retain(|path| !is_counted(path));
            Ok((differs.is_empty() && case.cluster.reported(kind)? > *reported).then_some(()))
        })
        .await;
        let found = back.as_ref().map_or_else(
            |error| format!("{error:#}"),
            |()| "it is restored and reported".to_owned(),
        );
        case.executed += usize::from(back.is_err());
        case.tally.holds(
            &format!("{kind}: spec, labels, owners and finalizers at once"),
            back.is_ok(),
            &found,
        );
    }
    case.without_effect("every child changed at once", &before).await
}

/// Time limit for the operator to restore a child.
const SOON: Duration = Duration::from_secs(10);

/// A merge patch.
fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => {
            for (key, value) in fields {
                merge(&mut into[key.as_str()], value);
            }
        }
        Value::Null => {}
        other => *into = other.clone(),
    }
}

/// What the API server and Kubernetes' controllers count.
fn is_counted(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path[..],
        ["metadata", "managedFields" | "resourceVersion" | "generation", ..]
            | ["status", ..]
            | ["metadata", "annotations", "deployment.kubernetes.io/revision"]
    )
}

/// The name of the version that an approved retraining will create is known in advance.
pub async fn a_name_in_advance(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    let retrain = case.drifts().await?;
    let (action, uid) = (retrain.name_any(), retrain.uid().context("a uid")?);
    let name = story::retrained_name(&retrain);
    let before = case.cluster.effects().await?;

    let provenance = json!({"action": {"name": action, "uid": uid}, "parent": {"name": "heart-1"}});
    let mut forged = of_a_bundle(case, &name);
    forged["spec"]["provenance"] = provenance.clone();
    let outcome = create(case, &eve, forged).await;
    case.tally.refused(
        "a version with the provenance of a waiting retraining",
        By::Policy(ORIGINS),
        "",
        outcome,
    );
    let mut forged = of_a_bundle(case, "heart-9");
    forged["spec"]["provenance"] = provenance.clone();
    let outcome = create(case, &eve, forged).await;
    case.tally
        .refused("the same under another name", By::Policy(ORIGINS), "", outcome);

    let outcome = create(case, &eve, of_a_bundle(case, &name)).await;
    case.tally
        .allowed("a version of that name without provenance", outcome);
    let added = json!({"spec": {"provenance": provenance}});
    let outcome = patch(case, &eve, &name, added).await;
    case.tally
        .is("provenance cannot be added later", &outcome.is_err(), &true);
    let outcome = case.decides(&case.alice, &action, APPROVE).await;
    case.tally.allowed("alice approves the retraining", outcome);
    case.without_effect(
        "a version that was there before the retraining made its own",
        &before,
    )
    .await?;

    // Nothing is lost: without the other version, the retraining continues.
    let outcome = case
        .cluster
        .of::<ModelVersion>(&eve)
        .delete(&name, &DeleteParams::default())
        .await;
    case.tally.allowed("eve takes her version away", outcome);
    case.cluster.advance(120).await?;
    case.carried_out("and the retrained version serves", &name).await
}

/// Reports with the names of future windows do not prevent verdicts on these windows.
pub async fn a_window_taken(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    let reports = case.cluster.of::<DriftReport>(&eve);
    let window = case.cluster.now().as_second().div_euclid(stage::WINDOW);
    let end = |number: i64| Timestamp::from_second((window + number) * stage::WINDOW);
    let model: Model = case.cluster.all().get("heart").await?;
    for number in 1..=3 {
        let (start, end) = (end(number - 1)?, end(number)?);
        let name = format!("heart-1-{}", end.strftime("%Y%m%d-%H%M%S"));
        let spec = json!({"version": "heart-1", "startTime": start.to_string(), "endTime": end.to_string()});
        let owner = json!([{"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart", "uid": model.uid(), "controller": true}]);
        let owned: DriftReport =
            object(json!({"metadata": {"name": name, "ownerReferences": owner}, "spec": spec}))?;
        case.tally.refused(
            "a report on a future window with owners like the operator's",
            By::Policy(ORIGINS),
            "",
            reports.create(&PostParams::default(), &owned).await,
        );
        let report: DriftReport = object(json!({"metadata": {"name": name}, "spec": spec}))?;
        case.tally.allowed(
            "a report by eve on a future window",
            reports.create(&PostParams::default(), &report).await,
        );
    }
    case.cluster.settles().await?;
    let retrain = case.drifts().await?;
    let status = retrain.status.unwrap_or_default();
    case.tally.holds(
        "a window whose report has another owner",
        status.plan.is_some(),
        "its drift is reported, and a retraining is proposed",
    );
    Ok(())
}

/// Deletes what serves, as far as `edit` permits, so that the next version would count as the first.
pub async fn no_record(case: &mut Case) -> Result<()> {
    // Its routes end with the version that eve deletes, without an action.
    case.causes = &["routes of heart were changed"];
    let eve = edits(case).await?;
    case.serves().await?;
    let outcome = case
        .cluster
        .of::<ModelVersion>(&eve)
        .delete("heart-1", &DeleteParams::default())
        .await;
    case.tally.refused(
        "a version that answers requests is deleted without a confirmation",
        By::Policy(VERSIONS),
        "",
        outcome,
    );
    let uid = case
        .cluster
        .all::<ModelVersion>()
        .get("heart-1")
        .await?
        .uid()
        .context("a uid")?;
    let confirmed = json!({"metadata": {"annotations": {CONFIRM_DELETE: uid}}});
    let outcome = patch(case, &eve, "heart-1", confirmed).await;
    case.tally.allowed("eve confirms the deletion", outcome);
    let outcome = case
        .cluster
        .of::<ModelVersion>(&eve)
        .delete("heart-1", &DeleteParams::default())
        .await;
    case.tally.allowed("eve deletes every version", outcome);
    case.cluster.settles().await?;
    let outcome = create(case, &eve, of_a_bundle(case, "heart-5")).await;
    case.tally.allowed("eve makes another one", outcome);
    let asked = case
        .cluster
        .until("a decision on it", async || {
            let actions = case.cluster.list::<RemediationAction>().await?;
            Ok(actions.into_iter().find(|action| {
                action
                    .spec
                    .candidate
                    .as_ref()
                    .is_some_and(|candidate| candidate.name == "heart-5")
            }))
        })
        .await?
        .name_any();
    let waits = story::planned(&case.cluster, &asked).await?;
    let plan = waits.status.and_then(|status| status.plan).context("a plan")?;
    case.tally.is(
        "a version after one that served requires an approval",
        &(plan.approvals_required > 0),
        &true,
    );
    case.cluster.settles().await?;
    let serving = case.cluster.effects().await?.routes;
    let served = serving.iter().any(|route| route.starts_with("heart-5 "));
    case.executed += usize::from(served);
    case.tally
        .holds("the record wiped by deleting versions", !served, "heart-5 waits");
    let outcome = case.decides(&eve, &asked, APPROVE).await;
    case.tally
        .refused("eve approves it herself", By::Roles, "", outcome);
    Ok(())
}

/// A user who changed how a version is retrained contributed to the retraining and must not approve it.
pub async fn an_edited_retraining(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    // eve may also approve, because a user may have both roles.
    case.cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "eve-approves"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "modelward-approver"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}],
        }))
        .await?;
    let datasets = json!([
        {"name": "hungarian", "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}}},
    ]);
    let outcome = patch(
        case,
        &eve,
        "heart-1",
        json!({"spec": {"retraining": {"datasets": datasets}}}),
    )
    .await;
    case.tally
        .allowed("eve changes how heart-1 is retrained", outcome);
    let retrain = case.drifts().await?;
    let name = retrain.name_any();
    let before = case.cluster.effects().await?;
    let outcome = case.decides(&eve, &name, APPROVE).await;
    case.tally.refused(
        "eve approves the retraining that she changed",
        By::Policy(DECISIONS),
        "",
        outcome,
    );
    case.without_effect("an approval by the user who changed the retraining", &before)
        .await?;
    let outcome = case.decides(&case.alice, &name, APPROVE).await;
    case.tally
        .allowed("alice, who did not change it, approves", outcome);
    Ok(())
}

/// Other annotations cannot use up the room for decisions, and a mistyped decision is rejected.
pub async fn no_room(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    let name = case.drifts().await?.name_any();
    let before = case.cluster.effects().await?;
    let (bob, many) = (case.bob.clone(), "x".repeat(40_000));
    let outcome = case.annotates(&bob, &name, "example.com/notes", &many).await;
    case.tally.refused(
        "annotations that fill an action",
        By::Policy(RECORDS),
        "32768",
        outcome,
    );
    let outcome = case.annotates(&bob, &name, "modelward.io/approved", "true").await;
    case.tally.refused(
        "an approval under an unknown key",
        By::Policy(RECORDS),
        "modelward.io/approve",
        outcome,
    );
    let outcome = case
        .annotates(&bob, &name, "example.com/notes", "looked at")
        .await;
    case.tally.allowed("a note on an action", outcome);
    let outcome = case.annotates(&eve, &name, "example.com/notes", "eve's").await;
    case.tally
        .refused("eve writes on an action", By::Roles, "", outcome);
    case.without_effect("an action without room", &before).await?;
    let outcome = case.decides(&case.carol, &name, REJECT).await;
    case.tally.allowed("carol has room to reject", outcome);
    story::ends(&case.cluster, &name, "False", "Rejected").await
}
