//! The operator comes to rest whatever is in the way, and a look at the same world writes nothing: no write in the next
//! minute of its clock. Each obstacle is a real one of the API server.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        admissionregistration::v1::ValidatingWebhookConfiguration,
        apps::v1::Deployment,
        batch::v1::Job,
        core::v1::{ConfigMap, LimitRange, Pod, ResourceQuota},
        rbac::v1::{ClusterRole, RoleBinding},
    },
};
use kube::{
    Api, Resource,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use modelward_controllers::Timestamp;
use modelward_core::{pods::PATIENCE_SECONDS, policy::Policy};
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction};
use modelward_kit::{
    apiserver::User,
    calls::Call,
    fake_controllers::{JobEnd, PodEnd},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    actions::{action_says, approve, proposed, serving, serving_with},
    support::{TestCluster, chart_rules, locked, message, says, until, version},
    unreadable::unreadable_reports,
};

/// Without a write for so long the operator is at rest.
const QUIET: Duration = Duration::from_secs(3);
/// An operator that writes for longer does not come to rest.
const PATIENCE: Duration = Duration::from_secs(40);
/// The minute is looked at in steps.
const STEP: i64 = 15;

/// Where a cluster's clock is held, and moved on by hand.
struct Held<'a> {
    cluster: &'a TestCluster,
    now: Timestamp,
    touched: AtomicUsize,
}

// === impl Held ===

impl<'a> Held<'a> {
    /// Holds the clock where it is.
    fn hold(cluster: &'a TestCluster) -> Self {
        let now = Timestamp::now();
        *locked(&cluster.clock) = Some(now);
        Self {
            cluster,
            now,
            touched: AtomicUsize::new(0),
        }
    }

    /// Waits until the operator has written nothing for a while, then moves its clock on by a minute and shows it every
    /// object again and again: it must not write at all.
    async fn rests(&mut self) -> Result<()> {
        self.is_quiet().await?;
        // It learns of some changes, such as Events about Pods, only where it looks again.
        self.touch_all().await?;
        self.is_quiet().await?;
        self.cluster.calls.clear();
        for _ in 0..60 / STEP {
            self.pass(STEP)?;
            let before = self.cluster.metric("reconciles_total", "");
            self.touch_all().await?;
            until("the operator to have looked", async || {
                let looked = self.cluster.metric("reconciles_total", "") > before;
                Ok((looked && self.cluster.metric("active_reconciles", "").abs() < 0.5).then_some(()))
            })
            .await?;
        }
        let written = written(self.cluster);
        ensure!(
            written.is_empty(),
            "{} writes in a minute at rest: {written:#?}",
            written.len()
        );
        Ok(())
    }

    /// Moves the clock on by so many seconds.
    fn pass(&mut self, seconds: i64) -> Result<()> {
        self.now = Timestamp::from_second(self.now.as_second() + seconds)?;
        *locked(&self.cluster.clock) = Some(self.now);
        Ok(())
    }

    async fn is_quiet(&self) -> Result<()> {
        let begun = Instant::now();
        let (mut known, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let written = written(self.cluster);
            if written.len() != known {
                (known, since) = (written.len(), Instant::now());
            } else if since.elapsed() > QUIET {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "it still writes after {PATIENCE:?}: {known} writes, the last of them {:#?}",
                &written[known.saturating_sub(6)..]
            );
        }
    }

    async fn touch_all(&self) -> Result<()> {
        let number = self.touched.fetch_add(1, Ordering::Relaxed).to_string();
        self.cluster.touch_all(&number).await
    }
}

/// The operator of this cluster is at rest as the world stands.
pub async fn rests(cluster: &TestCluster) -> Result<()> {
    Held::hold(cluster).rests().await
}

/// What the operator wrote. A refused request wrote nothing, and reviews and leases are no part of the record.
fn written(cluster: &TestCluster) -> Vec<Call> {
    let mut calls = cluster.calls.writes();
    calls.retain(|call| call.status < 300 && !call.resource.contains("review") && call.resource != "leases");
    calls
}

/// A quota that is used up: no more than these objects of a resource. Its controller is fakes: the API server counts from the status.
pub async fn quota<K>(cluster: &TestCluster, resource: &str, used: usize, refused: Value) -> Result<()>
where
    K: Kind,
{
    let limit = json!({resource: used.to_string()});
    cluster
        .create::<ResourceQuota>(json!({"metadata": {"name": "objects"}, "spec": {"hard": limit}}))
        .await?;
    let status = json!({"status": {"hard": limit, "used": {resource: used.to_string()}}});
    cluster
        .all::<ResourceQuota>()
        .patch_status("objects", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    is_refused::<K>(cluster, refused).await
}

/// A kind of object that can be made in a namespace.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + Debug
{
}

/// Waits until this object is refused. The API server learns of what refuses it by a watch of its own.
async fn is_refused<K: Kind>(cluster: &TestCluster, mut content: Value) -> Result<()> {
    content["apiVersion"] = K::api_version(&()).into();
    content["kind"] = K::kind(&()).into();
    let object: K = serde_json::from_value(content)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until("the refusal", async || {
        Ok(cluster.all::<K>().create(&dry, &object).await.err())
    })
    .await?;
    Ok(())
}

fn job() -> Value {
    json!({"metadata": {"name": "refused"}, "spec": {"template": template("Never")}})
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "refused"},
        "spec": {"selector": {"matchLabels": {"app": "refused"}}, "template": template("Always")},
    })
}

fn template(restart: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "refused"}},
        "spec": {"containers": [{"name": "refused", "image": "refused"}], "restartPolicy": restart},
    })
}

/// A webhook at an address where nothing answers, which must be asked for each of these.
async fn dead_webhook<K: Kind>(
    cluster: &TestCluster,
    group: &str,
    resource: &str,
    refused: Value,
) -> Result<Webhook> {
    let name = format!("dead-{}", cluster.namespace);
    let webhook: ValidatingWebhookConfiguration = serde_json::from_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": "dead.example.com",
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}},
            "rules": [{
                "apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                "resources": [resource],
            }],
        }],
    }))?;
    let api = Api::<ValidatingWebhookConfiguration>::all(cluster.kube.clone());
    api.create(&PostParams::default(), &webhook).await?;
    is_refused::<K>(cluster, refused).await?;
    Ok(Webhook { api, name })
}

/// Taken away by hand: the API server is shared.
struct Webhook {
    api: Api<ValidatingWebhookConfiguration>,
    name: String,
}

// === impl Webhook ===

impl Webhook {
    async fn remove(self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }
}

/// A `LimitRange` that no container of ours fits in, by two resources: the API server names them in another order each time.
async fn limit_range(cluster: &TestCluster) -> Result<()> {
    let least = json!({"cpu": "64", "memory": "1Ti"});
    cluster
        .create::<LimitRange>(json!({
            "metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "min": least}]},
        }))
        .await?;
    let resources = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
    is_refused::<Pod>(
        cluster,
        json!({
            "metadata": {"name": "refused"},
            "spec": {"containers": [{"name": "refused", "image": "refused", "resources": resources}]},
        }),
    )
    .await
}

/// Gives the operator of this cluster the chart's rights without those on these resources.
async fn without_right(cluster: &TestCluster, group: &str, resource: &str, verbs: &[&str]) -> Result<()> {
    let mut rules = chart_rules()?;
    let name = format!("less-{}", cluster.namespace);
    for rule in rules.as_array_mut().context("rules are a list")? {
        let names = |field: &str| -> Vec<String> {
            let values = rule[field].as_array();
            values
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(ToOwned::to_owned)
                .collect()
        };
        if names("apiGroups").iter().any(|found| found == group)
            && names("resources").iter().any(|found| found == resource)
        {
            let mut left = names("verbs");
            left.retain(|verb| !verbs.contains(&verb.as_str()));
            ensure!(!left.is_empty(), "no verb on {resource} is left");
            rule["verbs"] = json!(left);
        }
    }
    let role: ClusterRole = serde_json::from_value(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": rules,
    }))?;
    Api::<ClusterRole>::all(cluster.kube.clone())
        .create(&PostParams::default(), &role)
        .await?;
    cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "modelward-operator", "namespace": cluster.namespace}],
        }))
        .await?;
    Ok(())
}

// === what is in the way ===

/// The operator starts with this in its way, and comes to rest with a version that it can do so much for.
async fn rests_behind<T>(obstacle: impl AsyncFnOnce(&TestCluster) -> Result<T>) -> Result<(TestCluster, T)> {
    let mut cluster = TestCluster::without_operator(None).await?;
    let obstacle = obstacle(&cluster).await?;
    cluster.start_operator().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-1").await?;
    held.rests().await?;
    Ok((cluster, obstacle))
}

#[tokio::test]
async fn rests_while_nothing_is_in_the_way() -> Result<()> {
    let (cluster, ()) = rests_behind(async |_| Ok(())).await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_jobs() -> Result<()> {
    rests_behind(async |cluster| quota::<Job>(cluster, "count/jobs.batch", 0, job()).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_configuration_of_a_job() -> Result<()> {
    let map = json!({"metadata": {"name": "refused"}});
    rests_behind(async |cluster| quota::<ConfigMap>(cluster, "configmaps", 1, map).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_record_of_a_model() -> Result<()> {
    let model = json!({"metadata": {"name": "refused"}, "spec": {}});
    rests_behind(async |cluster| quota::<Model>(cluster, "count/models.modelward.io", 0, model).await)
        .await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_what_serves() -> Result<()> {
    rests_behind(async |cluster| {
        quota::<Deployment>(cluster, "count/deployments.apps", 0, deployment()).await
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_limit_range_refuses_the_pod_of_a_job() -> Result<()> {
    let (cluster, ()) = rests_behind(limit_range).await?;
    cluster
        .wait("heart-1", "telling why", |version: &ModelVersion| {
            says(version, ConditionType::DataValid, "Unknown", "PodRefused")
                && message(version, ConditionType::DataValid).contains("per Container is")
                && message(version, ConditionType::DataValid).contains("trainer.resources")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_job_has_no_pod_and_nothing_says_why() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.fakes.jobs(|_| JobEnd::NoPod);
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-1").await?;
    cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "SnapshotRunning")
        .await?;
    // That is said once it has lasted.
    held.pass(PATIENCE_SECONDS + 1)?;
    cluster
        .wait_says("heart-1", ConditionType::DataValid, "Unknown", "PodPending")
        .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_limit_range_refuses_pods_that_serve() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    limit_range(&cluster).await?;
    // In one call: a Pod that ends between a list and its own deletion would be an error here.
    let now = DeleteParams::default().grace_period(0);
    cluster
        .all::<Pod>()
        .delete_collection(&now, &ListParams::default())
        .await?;
    cluster
        .wait("heart", "telling why", |model: &Model| {
            let status = model.status.clone().unwrap_or_default();
            status.conditions.iter().any(|found| {
                found.type_ == ConditionType::Ready.as_str()
                    && found.message.contains("per Container is")
                    && found.message.contains("spec.serving.resources")
            })
        })
        .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_webhook_that_does_not_answer_is_asked_for_jobs() -> Result<()> {
    let (_, webhook) =
        rests_behind(async |cluster| dead_webhook::<Job>(cluster, "batch", "jobs", job()).await).await?;
    webhook.remove().await
}

#[tokio::test]
async fn rests_while_a_webhook_that_does_not_answer_is_asked_for_what_serves() -> Result<()> {
    let (_, webhook) = rests_behind(async |cluster| {
        dead_webhook::<Deployment>(cluster, "apps", "deployments", deployment()).await
    })
    .await?;
    webhook.remove().await
}

#[tokio::test]
async fn rests_without_the_right_to_create_jobs() -> Result<()> {
    rests_behind(async |cluster| without_right(cluster, "batch", "jobs", &["create"]).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_without_the_right_to_write_services() -> Result<()> {
    rests_behind(async |cluster| without_right(cluster, "", "services", &["create", "patch"]).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_dataset_does_not_come() -> Result<()> {
    rests_behind(async |cluster| cluster.delete::<ConfigMap>("heart-disease").await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_beside_objects_that_cannot_be_read() -> Result<()> {
    let mut cluster = unreadable_reports().await?;
    cluster.start_operator().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster
        .wait_event("Unreadable", "cannot read this DriftReport")
        .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_rollout_is_paused() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster
        .patch::<Deployment>("heart", json!({"spec": {"paused": true}}))
        .await?;
    cluster.apply_version("heart-2").await?;
    held.rests().await
}

// === actions in the way ===

#[tokio::test]
async fn rests_while_an_action_waits_and_after_it_is_deleted() -> Result<()> {
    let cluster = serving().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    held.rests().await?;
    cluster.delete::<RemediationAction>(&name).await?;
    held.rests().await
}

#[tokio::test]
async fn rests_after_the_version_of_a_waiting_action_is_deleted() -> Result<()> {
    let cluster = serving().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    cluster.delete::<ModelVersion>("heart-2").await?;
    action_says(&cluster, &name, ConditionType::Succeeded, "False", "Superseded").await?;
    held.rests().await
}

#[tokio::test]
async fn rests_after_an_action_under_way_is_deleted() -> Result<()> {
    let cluster = serving().await?;
    let mut held = Held::hold(&cluster);
    let name = under_way(&cluster).await?;
    held.rests().await?;
    cluster.delete::<RemediationAction>(&name).await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_one_model_waits_for_another_one_under_way() -> Result<()> {
    let cluster = serving_with(Policy {
        in_flight_per_namespace: 1,
        in_flight: 1,
        ..Policy::default()
    })
    .await?;
    let of_lung = |name: &str| {
        let mut version = version(name);
        version["spec"]["model"] = "lung".into();
        version
    };
    let mut held = Held::hold(&cluster);
    cluster.create::<ModelVersion>(of_lung("lung-1")).await?;
    cluster.wait_live("lung-1").await?;
    under_way(&cluster).await?;
    cluster.create::<ModelVersion>(of_lung("lung-2")).await?;
    let name = proposed(&cluster, "lung-2").await?;
    approve(&cluster, User::Alice, &name).await?;
    action_says(
        &cluster,
        &name,
        ConditionType::Succeeded,
        "Unknown",
        "TooManyInFlight",
    )
    .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_quota_refuses_what_the_gate_is_tried_with() -> Result<()> {
    let cluster = serving().await?;
    let mut held = Held::hold(&cluster);
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    quota::<ModelVersion>(
        &cluster,
        "count/modelversions.modelward.io",
        2,
        version("refused"),
    )
    .await?;
    approve(&cluster, User::Alice, &name).await?;
    action_says(
        &cluster,
        &name,
        ConditionType::Succeeded,
        "Unknown",
        "ApprovalNotTried",
    )
    .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_promotion_which_is_named() -> Result<()> {
    let cluster = serving().await?;
    let mut held = Held::hold(&cluster);
    let action = json!({"metadata": {"name": "refused"}, "spec": {"model": "heart", "type": "SendAlert", "message": "m"}});
    quota::<RemediationAction>(&cluster, "count/remediationactions.modelward.io", 0, action).await?;
    cluster.apply_version("heart-2").await?;
    cluster
        .model_says(ConditionType::ProposalRefused, "True", "ChildRefused")
        .await?;
    cluster
        .wait("heart-2", "telling why", |version: &ModelVersion| {
            says(version, ConditionType::Ready, "True", "AwaitingPromotion")
                && message(version, ConditionType::Ready).contains("exceeded quota")
        })
        .await?;
    held.rests().await
}

/// An approved promotion of `heart-2` whose Pods never come up: it has its claim for as long as it is there.
async fn under_way(cluster: &TestCluster) -> Result<String> {
    cluster.apply_version("heart-2").await?;
    let name = proposed(cluster, "heart-2").await?;
    cluster.fakes.pods(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Running") {
            PodEnd::Ready
        } else {
            PodEnd::Starts
        }
    });
    approve(cluster, User::Alice, &name).await?;
    cluster
        .wait("heart", "claimed", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_some())
        })
        .await?;
    Ok(name)
}
