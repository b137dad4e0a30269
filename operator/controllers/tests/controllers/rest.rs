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
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use modelward_controllers::Timestamp;
use modelward_core::{pods::PATIENCE_SECONDS, policy::Policy};
use modelward_crds::{DriftReport, Model, ModelVersion, RemediationAction, conditions::types};
use modelward_kit::{
    apiserver::User,
    calls::Call,
    played::{JobEnd, PodEnd},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    actions::{action_says, approve, proposed, serving, serving_with},
    support::{House, chart_rules, locked, message, says, until, version},
    unreadable::unreadable_reports,
};

/// Without a write for so long the operator is at rest.
const QUIET: Duration = Duration::from_secs(3);
/// An operator that writes for longer does not come to rest.
const PATIENCE: Duration = Duration::from_secs(40);
/// The minute is looked at in steps.
const STEP: i64 = 15;

/// Where a house's clock is held, and moved on by hand.
struct Held<'a> {
    house: &'a House,
    now: Timestamp,
    touched: AtomicUsize,
}

// === impl Held ===

impl<'a> Held<'a> {
    /// Holds the clock where it is.
    fn hold(house: &'a House) -> Self {
        let now = Timestamp::now();
        *locked(&house.clock) = Some(now);
        Self {
            house,
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
        self.house.calls.clear();
        for _ in 0..60 / STEP {
            self.pass(STEP)?;
            let before = self.house.metric("reconciles_total", "");
            self.touch_all().await?;
            until("the operator to have looked", async || {
                let looked = self.house.metric("reconciles_total", "") > before;
                Ok((looked && self.house.metric("active_reconciles", "").abs() < 0.5).then_some(()))
            })
            .await?;
        }
        let written = written(self.house);
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
        *locked(&self.house.clock) = Some(self.now);
        Ok(())
    }

    async fn is_quiet(&self) -> Result<()> {
        let begun = Instant::now();
        let (mut known, mut since) = (0, Instant::now());
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let written = written(self.house);
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
        self.touch::<ModelVersion>().await?;
        self.touch::<Model>().await?;
        self.touch::<DriftReport>().await?;
        self.touch::<RemediationAction>().await
    }

    /// Changes a label that means nothing.
    async fn touch<K>(&self) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let number = self.touched.fetch_add(1, Ordering::Relaxed).to_string();
        let patch = Patch::Merge(json!({"metadata": {"labels": {"unrelated": number}}}));
        for object in self
            .house
            .all::<K>()
            .list_metadata(&ListParams::default())
            .await?
        {
            let name = object.name_any();
            let params = PatchParams::default();
            match self.house.all::<K>().patch_metadata(&name, &params, &patch).await {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                answer => drop(answer?),
            }
        }
        Ok(())
    }
}

/// The operator of this house is at rest as the world stands.
pub async fn rests(house: &House) -> Result<()> {
    Held::hold(house).rests().await
}

/// What the operator wrote. A refused request wrote nothing, and reviews and leases are no part of the record.
fn written(house: &House) -> Vec<Call> {
    let mut calls = house.calls.writes();
    calls.retain(|call| call.status < 300 && !call.resource.contains("review") && call.resource != "leases");
    calls
}

/// A quota that is used up: no more than these objects of a resource. Its controller is played: the API server counts from the status.
pub async fn quota<K>(house: &House, resource: &str, used: usize, refused: Value) -> Result<()>
where
    K: Kind,
{
    let limit = json!({resource: used.to_string()});
    house
        .create::<ResourceQuota>(json!({"metadata": {"name": "objects"}, "spec": {"hard": limit}}))
        .await?;
    let status = json!({"status": {"hard": limit, "used": {resource: used.to_string()}}});
    house
        .all::<ResourceQuota>()
        .patch_status("objects", &PatchParams::default(), &Patch::Merge(status))
        .await?;
    is_refused::<K>(house, refused).await
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
async fn is_refused<K: Kind>(house: &House, mut content: Value) -> Result<()> {
    content["apiVersion"] = K::api_version(&()).into();
    content["kind"] = K::kind(&()).into();
    let object: K = serde_json::from_value(content)?;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    until("the refusal", async || {
        Ok(house.all::<K>().create(&dry, &object).await.err())
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
    house: &House,
    group: &str,
    resource: &str,
    refused: Value,
) -> Result<Webhook> {
    let name = format!("dead-{}", house.namespace);
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
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": house.namespace}},
            "rules": [{
                "apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                "resources": [resource],
            }],
        }],
    }))?;
    let api = Api::<ValidatingWebhookConfiguration>::all(house.kube.clone());
    api.create(&PostParams::default(), &webhook).await?;
    is_refused::<K>(house, refused).await?;
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
async fn limit_range(house: &House) -> Result<()> {
    let least = json!({"cpu": "64", "memory": "1Ti"});
    house
        .create::<LimitRange>(json!({
            "metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "min": least}]},
        }))
        .await?;
    let resources = json!({"requests": {"cpu": "1", "memory": "1Gi"}});
    is_refused::<Pod>(
        house,
        json!({
            "metadata": {"name": "refused"},
            "spec": {"containers": [{"name": "refused", "image": "refused", "resources": resources}]},
        }),
    )
    .await
}

/// Gives the operator of this house the chart's rights without those on these resources.
async fn without_right(house: &House, group: &str, resource: &str, verbs: &[&str]) -> Result<()> {
    let mut rules = chart_rules()?;
    let name = format!("less-{}", house.namespace);
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
    Api::<ClusterRole>::all(house.kube.clone())
        .create(&PostParams::default(), &role)
        .await?;
    house
        .create::<RoleBinding>(json!({
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "modelward-operator", "namespace": house.namespace}],
        }))
        .await?;
    Ok(())
}

// === what is in the way ===

/// The operator starts with this in its way, and comes to rest with a version that it can do so much for.
async fn rests_behind<T>(obstacle: impl AsyncFnOnce(&House) -> Result<T>) -> Result<(House, T)> {
    let mut house = House::without_operator(None).await?;
    let obstacle = obstacle(&house).await?;
    house.start_operator().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-1").await?;
    held.rests().await?;
    Ok((house, obstacle))
}

#[tokio::test]
async fn rests_while_nothing_is_in_the_way() -> Result<()> {
    let (house, ()) = rests_behind(async |_| Ok(())).await?;
    house.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_jobs() -> Result<()> {
    rests_behind(async |house| quota::<Job>(house, "count/jobs.batch", 0, job()).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_configuration_of_a_job() -> Result<()> {
    let map = json!({"metadata": {"name": "refused"}});
    rests_behind(async |house| quota::<ConfigMap>(house, "configmaps", 1, map).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_record_of_a_model() -> Result<()> {
    let model = json!({"metadata": {"name": "refused"}, "spec": {}});
    rests_behind(async |house| quota::<Model>(house, "count/models.modelward.io", 0, model).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_quota_refuses_what_serves() -> Result<()> {
    rests_behind(async |house| quota::<Deployment>(house, "count/deployments.apps", 0, deployment()).await)
        .await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_limit_range_refuses_the_pod_of_a_job() -> Result<()> {
    let (house, ()) = rests_behind(limit_range).await?;
    house
        .wait("heart-1", "telling why", |version: &ModelVersion| {
            says(version, types::DATA_VALID, "Unknown", "PodRefused")
                && message(version, types::DATA_VALID).contains("per Container is")
                && message(version, types::DATA_VALID).contains("trainer.resources")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_job_has_no_pod_and_nothing_says_why() -> Result<()> {
    let house = House::open().await?;
    house.played.jobs(|_| JobEnd::NoPod);
    let mut held = Held::hold(&house);
    house.apply_version("heart-1").await?;
    house
        .wait_says("heart-1", types::DATA_VALID, "Unknown", "SnapshotRunning")
        .await?;
    // That is said once it has lasted.
    held.pass(PATIENCE_SECONDS + 1)?;
    house
        .wait_says("heart-1", types::DATA_VALID, "Unknown", "PodPending")
        .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_limit_range_refuses_pods_that_serve() -> Result<()> {
    let house = House::open().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-1").await?;
    house.wait_live("heart-1").await?;
    limit_range(&house).await?;
    // In one call: a Pod that ends between a list and its own deletion would be an error here.
    let now = DeleteParams::default().grace_period(0);
    house
        .all::<Pod>()
        .delete_collection(&now, &ListParams::default())
        .await?;
    house
        .wait("heart", "telling why", |model: &Model| {
            let status = model.status.clone().unwrap_or_default();
            status.conditions.iter().any(|found| {
                found.type_ == types::READY
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
        rests_behind(async |house| dead_webhook::<Job>(house, "batch", "jobs", job()).await).await?;
    webhook.remove().await
}

#[tokio::test]
async fn rests_while_a_webhook_that_does_not_answer_is_asked_for_what_serves() -> Result<()> {
    let (_, webhook) = rests_behind(async |house| {
        dead_webhook::<Deployment>(house, "apps", "deployments", deployment()).await
    })
    .await?;
    webhook.remove().await
}

#[tokio::test]
async fn rests_without_the_right_to_create_jobs() -> Result<()> {
    rests_behind(async |house| without_right(house, "batch", "jobs", &["create"]).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_without_the_right_to_write_services() -> Result<()> {
    rests_behind(async |house| without_right(house, "", "services", &["create", "patch"]).await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_while_a_dataset_does_not_come() -> Result<()> {
    rests_behind(async |house| house.delete::<ConfigMap>("heart-disease").await).await?;
    Ok(())
}

#[tokio::test]
async fn rests_beside_objects_that_cannot_be_read() -> Result<()> {
    let mut house = unreadable_reports().await?;
    house.start_operator().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-1").await?;
    house.wait_live("heart-1").await?;
    house
        .wait_event("Unreadable", "cannot read this DriftReport")
        .await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_rollout_is_paused() -> Result<()> {
    let house = House::open().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-1").await?;
    house.wait_live("heart-1").await?;
    house
        .patch::<Deployment>("heart", json!({"spec": {"paused": true}}))
        .await?;
    house.apply_version("heart-2").await?;
    held.rests().await
}

// === actions in the way ===

#[tokio::test]
async fn rests_while_an_action_waits_and_after_it_is_deleted() -> Result<()> {
    let house = serving().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-2").await?;
    let name = proposed(&house, "heart-2").await?;
    held.rests().await?;
    house.delete::<RemediationAction>(&name).await?;
    held.rests().await
}

#[tokio::test]
async fn rests_after_the_version_of_a_waiting_action_is_deleted() -> Result<()> {
    let house = serving().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-2").await?;
    let name = proposed(&house, "heart-2").await?;
    house.delete::<ModelVersion>("heart-2").await?;
    action_says(&house, &name, types::SUCCEEDED, "False", "Superseded").await?;
    held.rests().await
}

#[tokio::test]
async fn rests_after_an_action_under_way_is_deleted() -> Result<()> {
    let house = serving().await?;
    let mut held = Held::hold(&house);
    let name = under_way(&house).await?;
    held.rests().await?;
    house.delete::<RemediationAction>(&name).await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_one_model_waits_for_another_one_under_way() -> Result<()> {
    let house = serving_with(Policy {
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
    let mut held = Held::hold(&house);
    house.create::<ModelVersion>(of_lung("lung-1")).await?;
    house.wait_live("lung-1").await?;
    under_way(&house).await?;
    house.create::<ModelVersion>(of_lung("lung-2")).await?;
    let name = proposed(&house, "lung-2").await?;
    approve(&house, User::Alice, &name).await?;
    action_says(&house, &name, types::SUCCEEDED, "Unknown", "TooManyInFlight").await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_quota_refuses_what_the_gate_is_tried_with() -> Result<()> {
    let house = serving().await?;
    let mut held = Held::hold(&house);
    house.apply_version("heart-2").await?;
    let name = proposed(&house, "heart-2").await?;
    quota::<ModelVersion>(&house, "count/modelversions.modelward.io", 2, version("refused")).await?;
    approve(&house, User::Alice, &name).await?;
    action_says(&house, &name, types::SUCCEEDED, "Unknown", "ApprovalNotTried").await?;
    held.rests().await
}

#[tokio::test]
async fn rests_while_a_quota_refuses_the_promotion_which_is_named() -> Result<()> {
    let house = serving().await?;
    let mut held = Held::hold(&house);
    let action = json!({"metadata": {"name": "refused"}, "spec": {"model": "heart", "type": "SendAlert", "message": "m"}});
    quota::<RemediationAction>(&house, "count/remediationactions.modelward.io", 0, action).await?;
    house.apply_version("heart-2").await?;
    house
        .model_says(types::PROPOSAL_REFUSED, "True", "ChildRefused")
        .await?;
    house
        .wait("heart-2", "telling why", |version: &ModelVersion| {
            says(version, types::READY, "True", "AwaitingPromotion")
                && message(version, types::READY).contains("exceeded quota")
        })
        .await?;
    held.rests().await
}

/// An approved promotion of `heart-2` whose Pods never come up: it has its claim for as long as it is there.
async fn under_way(house: &House) -> Result<String> {
    house.apply_version("heart-2").await?;
    let name = proposed(house, "heart-2").await?;
    house.played.pods(|pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Running") {
            PodEnd::Ready
        } else {
            PodEnd::Starts
        }
    });
    approve(house, User::Alice, &name).await?;
    house
        .wait("heart", "claimed", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_some())
        })
        .await?;
    Ok(name)
}
