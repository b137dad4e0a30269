//! Actions on an API server with the chart's gate: people decide with credentials of their own, and nothing changes without.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingAdmissionPolicy,
    batch::v1::Job,
    core::v1::{ConfigMap, ResourceQuota},
    rbac::v1::{ClusterRoleBinding, RoleBinding},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::ClientBuilder,
};
use modelward_controllers::Timestamp;
use modelward_core::policy::Policy;
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction, annotations, gate, labels};
use modelward_kit::{
    apiserver::{ApiServer, User},
    calls::Freeze,
    chart::{RELEASE, apply_gate, gated_server, install_gate},
    fake_controllers::{JobEnd, PodEnd},
};
use modelward_wire::{GateResult, JobResult, NewRows, SourceRecord};
use serde_json::{Value, json};

use crate::{
    rest::quota,
    support::{Store, TestCluster, digest_of, locked, stage_of, trains, until, version},
};

/// Rights of the chart that the other stories have no use for: they are of a cluster without a gate.
pub const USED_WITH_A_GATE: [&str; 5] = [
    "create modelversions.modelward.io",
    "patch remediationactions.modelward.io",
    "delete remediationactions.modelward.io",
    // No such resource is served: the gate asks for these.
    "propose actions.modelward.io",
    "delete actions.modelward.io",
];

/// A cluster whose operator the gate knows, where alice and carol may approve, dave may propose, and bob may write
/// annotations and nothing else. The operator is not at work yet.
async fn house_on(api: &'static ApiServer) -> Result<TestCluster> {
    let mut cluster = TestCluster::on(api, None).await?;
    cluster.policy.verification_seconds = 0;
    let namespace = cluster.namespace.clone();
    let operator = json!({"kind": "ServiceAccount", "name": "modelward-operator", "namespace": namespace});
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": format!("gate-{namespace}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "modelward-operator-gate"},
        "subjects": [operator],
    }))?;
    Api::<ClusterRoleBinding>::all(api.client())
        .create(&PostParams::default(), &binding)
        .await?;
    let parameters = Api::<ConfigMap>::namespaced(api.client(), RELEASE);
    let known =
        json!({"data": {&namespace: format!("system:serviceaccount:{namespace}:modelward-operator")}});
    parameters
        .patch("modelward-gate", &PatchParams::default(), &Patch::Merge(known))
        .await?;
    for (role, user) in [
        ("modelward-approver", User::Alice),
        ("modelward-approver", User::Carol),
        ("modelward-proposer", User::Dave),
    ] {
        let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user.name()});
        cluster
            .create::<RoleBinding>(json!({
                "metadata": {"name": format!("{role}-{}", user.name().replace('@', "-at-"))},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [subject],
            }))
            .await?;
    }
    cluster
        .create::<k8s_openapi::api::rbac::v1::Role>(json!({"metadata": {"name": "annotates"}, "rules": [
            {"apiGroups": ["modelward.io"], "resources": ["remediationactions"], "verbs": ["get", "patch"]},
        ]}))
        .await?;
    cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "annotates"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "annotates"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": User::Bob.name()}],
        }))
        .await?;
    at_work(&cluster).await?;
    Ok(cluster)
}

/// Waits until the API server knows this cluster's operator: it learns of policies and parameters by watches of its own.
async fn at_work(cluster: &TestCluster) -> Result<()> {
    drop(cluster.operator_client().await?);
    let mut config = cluster.api.config()?;
    config.default_retry = false;
    config.auth_info.token = Some(cluster.token("modelward-operator", None, &[]).await?.into());
    let client = ClientBuilder::try_from(config)?.build();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let record: Model = serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "Model", "metadata": {"name": "probe"}, "spec": {},
    }))?;
    let mut content = version("probe-1");
    content["apiVersion"] = "modelward.io/v1alpha1".into();
    content["kind"] = "ModelVersion".into();
    let probe: ModelVersion = serde_json::from_value(content)?;
    until("the operator to be known to the gate", async || {
        let as_operator = Api::<Model>::namespaced(client.clone(), &cluster.namespace);
        let ours = as_operator.create(&dry, &record).await.is_ok();
        let others = cluster.all::<Model>().create(&dry, &record).await.is_err();
        // Refused for want of a maker until the policy that stamps makers is at work.
        let stamped = cluster.all::<ModelVersion>().create(&dry, &probe).await.is_ok();
        Ok((ours && others && stamped).then_some(()))
    })
    .await
}

/// A cluster where `heart-1` serves.
pub async fn serving() -> Result<TestCluster> {
    serving_with(Policy::default()).await
}

/// The same under these guard rails.
pub async fn serving_with(policy: Policy) -> Result<TestCluster> {
    let mut cluster = house_on(gated_server().await).await?;
    cluster.policy = Policy {
        verification_seconds: 0,
        ..policy
    };
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    Ok(cluster)
}

fn as_user(cluster: &TestCluster, user: User) -> Result<Api<RemediationAction>> {
    let client: Client = cluster.api.client_for(user)?;
    Ok(Api::namespaced(client, &cluster.namespace))
}

async fn annotate(cluster: &TestCluster, user: User, name: &str, more: Value) -> Result<(), kube::Error> {
    let api = as_user(cluster, user).unwrap();
    let patch = Patch::Merge(json!({"metadata": {"annotations": more}}));
    api.patch(name, &PatchParams::default(), &patch).await.map(|_| ())
}

pub async fn approve(cluster: &TestCluster, user: User, name: &str) -> Result<(), kube::Error> {
    annotate(cluster, user, name, json!({annotations::APPROVE: "true"})).await
}

/// Waits until a condition of an action says this.
pub async fn action_says(
    cluster: &TestCluster,
    name: &str,
    kind: ConditionType,
    status: &str,
    reason: &str,
) -> Result<RemediationAction> {
    let what = format!("{kind}={status}/{reason}");
    cluster
        .wait(name, &what, |action: &RemediationAction| {
            let status_of = action.status.clone().unwrap_or_default();
            status_of
                .conditions
                .iter()
                .any(|found| found.type_ == kind.as_str() && found.status == status && found.reason == reason)
        })
        .await
}

fn words(action: &RemediationAction, kind: ConditionType) -> String {
    let conditions = action.status.clone().unwrap_or_default().conditions;
    conditions
        .into_iter()
        .find(|found| found.type_ == kind.as_str())
        .map(|found| found.message)
        .unwrap_or_default()
}

/// The action that was proposed for this version, with a plan that waits.
pub async fn proposed(cluster: &TestCluster, version: &str) -> Result<String> {
    let found = until(&format!("a proposal to promote {version}"), async || {
        let all = cluster
            .all::<RemediationAction>()
            .list(&ListParams::default())
            .await?;
        Ok(all
            .iter()
            .map(kube::ResourceExt::name_any)
            .find(|name| name.starts_with(&format!("promote-{version}-"))))
    })
    .await?;
    action_says(
        cluster,
        &found,
        ConditionType::Succeeded,
        "Unknown",
        "AwaitingApproval",
    )
    .await?;
    action_says(
        cluster,
        &found,
        ConditionType::ApprovalEnforced,
        "True",
        "ApprovalEnforced",
    )
    .await?;
    Ok(found)
}

async fn serves(cluster: &TestCluster) -> Result<Option<String>> {
    let model = cluster.all::<Model>().get("heart").await?;
    Ok(model.status.unwrap_or_default().serving)
}

#[tokio::test]
async fn a_second_version_waits_for_the_approval_of_an_approver() -> Result<()> {
    let cluster = serving().await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    let action = cluster.all::<RemediationAction>().get(&name).await?;
    let plan = action
        .status
        .clone()
        .and_then(|status| status.plan)
        .context("a plan")?;
    ensure!(
        plan.summary.contains("promote heart-2 (bundle "),
        "{}",
        plan.summary
    );
    assert_eq!(plan.digest, digest_of(plan.content.as_bytes()));
    ensure!(plan.content.contains(gate::DECISIONS), "{}", plan.content);
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));

    // bob may write annotations, and not decide.
    let refused = approve(&cluster, User::Bob, &name).await.unwrap_err().to_string();
    ensure!(
        refused.contains("bob may not decide on PromoteModel"),
        "{refused}"
    );
    // A waiting action at rest is not written.
    let before = cluster
        .all::<RemediationAction>()
        .get(&name)
        .await?
        .resource_version();
    cluster.nudge("heart-1").await?;
    cluster.nudge("heart-2").await?;
    assert_eq!(
        cluster
            .all::<RemediationAction>()
            .get(&name)
            .await?
            .resource_version(),
        before
    );

    approve(&cluster, User::Alice, &name).await?;
    let ended = action_says(&cluster, &name, ConditionType::Succeeded, "True", "Executed").await?;
    let story = words(&ended, ConditionType::Succeeded);
    ensure!(
        story.starts_with("approved by alice; heart-2 serves since"),
        "{story}"
    );
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-2"));
    let status = ended.status.context("a status")?;
    assert_eq!(status.approvals.as_deref(), Some("1/1"));
    assert_eq!(status.decisions[0].user, "alice");
    cluster.wait_live("heart-2").await?;
    cluster
        .wait("heart", "given free", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_none())
        })
        .await?;
    ensure!(cluster.metric("reconcile_errors", "Forbidden") < 0.5);
    ensure!(cluster.exposed().contains("modelward_approval_enforced 1"));
    Ok(())
}

#[tokio::test]
async fn a_rejection_is_final_and_says_by_whom_and_why() -> Result<()> {
    let cluster = serving().await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    let no = json!({annotations::REJECT: "true", annotations::COMMENT: "not before the audit"});
    annotate(&cluster, User::Carol, &name, no).await?;
    let ended = action_says(&cluster, &name, ConditionType::Succeeded, "False", "Rejected").await?;
    assert_eq!(
        words(&ended, ConditionType::Succeeded),
        "rejected by carol@example.com: not before the audit"
    );
    let late = approve(&cluster, User::Alice, &name)
        .await
        .unwrap_err()
        .to_string();
    ensure!(late.contains("has ended"), "{late}");
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "PromotionRejected")
        .await?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));
    Ok(())
}

#[tokio::test]
async fn an_approval_after_the_plan_expired_changes_nothing() -> Result<()> {
    let mut cluster = serving().await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    let action = cluster.all::<RemediationAction>().get(&name).await?;
    let not_after = action
        .status
        .and_then(|status| status.plan)
        .context("a plan")?
        .not_after
        .0;
    // It comes before the operator has seen that it is too late.
    cluster.stop_operator().await?;
    *locked(&cluster.clock) = Some(Timestamp::from_second(not_after.as_second() + 1)?);
    approve(&cluster, User::Alice, &name).await?;
    cluster.start_operator().await?;
    action_says(&cluster, &name, ConditionType::Succeeded, "False", "Expired").await?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));
    Ok(())
}

#[tokio::test]
async fn a_version_that_does_not_come_up_is_left_for_the_former_one_and_held() -> Result<()> {
    let cluster = serving().await?;
    let good = {
        let model = cluster.all::<Model>().get("heart").await?;
        model.status.context("a status")?.routes[0].digest
    };
    let deployment = cluster
        .all::<k8s_openapi::api::apps::v1::Deployment>()
        .get("heart")
        .await?;
    let first = crate::support::routes_of(&deployment);
    cluster.fakes.pods(move |pod| {
        if serde_json::to_string(pod).unwrap().contains(&first) {
            PodEnd::Ready
        } else {
            PodEnd::Crashes(3, "model.json is not what its digest says".into())
        }
    });
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    approve(&cluster, User::Alice, &name).await?;
    let ended = action_says(&cluster, &name, ConditionType::Succeeded, "False", "RolledBack").await?;
    ensure!(words(&ended, ConditionType::Succeeded).contains("model.json is not what its digest says"));
    let model = cluster
        .all::<Model>()
        .get("heart")
        .await?
        .status
        .context("a status")?;
    assert_eq!(
        (model.routes[0].digest, model.serving.as_deref()),
        (good, Some("heart-1"))
    );
    assert_eq!(model.holds[0].version, "heart-2");
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "Held")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_rollback_takes_two_people_and_leaves_a_hold() -> Result<()> {
    let cluster = serving().await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    approve(&cluster, User::Alice, &name).await?;
    action_says(&cluster, &name, ConditionType::Succeeded, "True", "Executed").await?;

    let back: RemediationAction = serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction", "metadata": {"name": "back"},
        "spec": {"model": "heart", "type": "RollbackModel", "message": "complaints"},
    }))?;
    as_user(&cluster, User::Dave)?
        .create(&PostParams::default(), &back)
        .await?;
    action_says(
        &cluster,
        "back",
        ConditionType::Succeeded,
        "Unknown",
        "AwaitingApproval",
    )
    .await?;
    approve(&cluster, User::Alice, "back").await?;
    let twice = approve(&cluster, User::Alice, "back")
        .await
        .unwrap_err()
        .to_string();
    ensure!(twice.contains("a user other than"), "{twice}");
    cluster
        .wait("back", "half approved", |action: &RemediationAction| {
            let approvals = action
                .status
                .as_ref()
                .and_then(|status| status.approvals.as_deref());
            approvals == Some("1/2")
        })
        .await?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-2"));
    approve(&cluster, User::Carol, "back").await?;
    let ended = action_says(&cluster, "back", ConditionType::Succeeded, "True", "Executed").await?;
    ensure!(
        words(&ended, ConditionType::Succeeded)
            .starts_with("approved by alice and carol@example.com; heart-1 serves")
    );
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "Held")
        .await?;
    Ok(())
}

#[tokio::test]
async fn without_the_policy_nothing_runs_and_when_it_is_back_it_takes_another_approval() -> Result<()> {
    let api = ApiServer::own().await?;
    install_gate(api).await?;
    let mut cluster = house_on(api).await?;
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;

    let policies = Api::<ValidatingAdmissionPolicy>::all(api.client());
    policies.delete(gate::DECISIONS, &DeleteParams::default()).await?;
    // What is written while no operator runs.
    let action = cluster.all::<RemediationAction>().get(&name).await?;
    let digest = action
        .status
        .and_then(|status| status.plan)
        .context("a plan")?
        .digest;
    let forged = json!({format!("{}1", annotations::DECISION_PREFIX): format!("approve {digest} alice")});
    until("the policy to be gone", async || {
        Ok(annotate(&cluster, User::Admin, &name, forged.clone()).await.ok())
    })
    .await?;
    let waits = action_says(
        &cluster,
        &name,
        ConditionType::ApprovalEnforced,
        "False",
        "ApprovalNotEnforced",
    )
    .await?;
    ensure!(words(&waits, ConditionType::ApprovalEnforced).contains(gate::DECISIONS));
    cluster.wait_event("ApprovalNotEnforced", gate::DECISIONS).await?;
    ensure!(cluster.exposed().contains("modelward_approval_enforced 0"));
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));

    apply_gate(api, RELEASE, &[], true)?;
    let known = json!({"data": {&cluster.namespace: format!("system:serviceaccount:{}:modelward-operator", cluster.namespace)}});
    Api::<ConfigMap>::namespaced(api.client(), RELEASE)
        .patch("modelward-gate", &PatchParams::default(), &Patch::Merge(known))
        .await?;
    at_work(&cluster).await?;
    cluster.nudge("heart-2").await?;
    until("another plan, that the forged approval is not for", async || {
        cluster.nudge("heart-2").await?;
        let action = cluster.all::<RemediationAction>().get(&name).await?;
        let status = action.status.unwrap_or_default();
        let another = status.plan.is_some_and(|plan| plan.digest != digest);
        Ok((another && status.approvals.as_deref() == Some("0/1")).then_some(()))
    })
    .await?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));
    action_says(
        &cluster,
        &name,
        ConditionType::ApprovalEnforced,
        "True",
        "ApprovalEnforced",
    )
    .await?;
    approve(&cluster, User::Carol, &name).await?;
    action_says(&cluster, &name, ConditionType::Succeeded, "True", "Executed").await?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-2"));
    Ok(())
}

#[tokio::test]
async fn a_quota_that_hides_the_gate_is_named_and_once_it_is_gone_the_approval_holds() -> Result<()> {
    let action = json!({
        "metadata": {"name": "refused"}, "spec": {"model": "heart", "type": "SendAlert", "message": "refused"},
    });
    let cluster = serving().await?;
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    let kinds = ["modelversions", "remediationactions"];
    for (kind, policy) in kinds.into_iter().zip([gate::VERSIONS, gate::DECISIONS]) {
        let counted = format!("count/{kind}.modelward.io");
        if kind == "modelversions" {
            quota::<ModelVersion>(&cluster, &counted, 2, version("refused")).await?;
        } else {
            quota::<RemediationAction>(&cluster, &counted, 1, action.clone()).await?;
        }
        cluster.nudge("heart-2").await?;
        let waits = action_says(
            &cluster,
            &name,
            ConditionType::ApprovalEnforced,
            "Unknown",
            "ApprovalNotTried",
        )
        .await?;
        let said = words(&waits, ConditionType::ApprovalEnforced);
        for part in [
            policy,
            "rejected earlier by the ResourceQuota objects. Raise it to one more than is used, or delete objects that it counts.",
            &format!(
                "Kubernetes: {kind}.modelward.io \"modelward-gate-probe\" is forbidden: exceeded quota: objects"
            ),
            &format!("limited: {counted}="),
        ] {
            ensure!(said.contains(part), "{part:?} is not in {said:?}");
        }
        cluster
            .wait_event("ApprovalNotTried", "the ResourceQuota objects")
            .await?;
        ensure!(cluster.exposed().contains("modelward_approval_enforced 0"));
        if kind == "modelversions" {
            cluster.delete::<ResourceQuota>("objects").await?;
            until("the trials to come through", async || {
                cluster.nudge("heart-2").await?;
                let action = cluster.all::<RemediationAction>().get(&name).await?;
                Ok(words(&action, ConditionType::ApprovalEnforced)
                    .contains("refused a forged decision")
                    .then_some(()))
            })
            .await?;
        }
    }
    approve(&cluster, User::Alice, &name).await?;
    let stalled = action_says(
        &cluster,
        &name,
        ConditionType::Succeeded,
        "Unknown",
        "ApprovalNotTried",
    )
    .await?;
    ensure!(
        words(&stalled, ConditionType::Stalled).starts_with("suspended: "),
        "{stalled:?}"
    );
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));

    cluster.delete::<ResourceQuota>("objects").await?;
    until("the promotion", async || {
        cluster.nudge("heart-2").await?;
        Ok((serves(&cluster).await?.as_deref() == Some("heart-2")).then_some(()))
    })
    .await?;
    action_says(&cluster, &name, ConditionType::Succeeded, "True", "Executed").await?;
    Ok(())
}

#[tokio::test]
async fn an_operator_that_is_killed_at_any_write_of_a_promotion_goes_on_where_it_stood() -> Result<()> {
    let mut cluster = serving().await?;
    for after in 0..6_usize {
        let version = format!("heart-{}", after + 2);
        cluster.apply_version(&version).await?;
        let name = proposed(&cluster, &version).await?;
        cluster.calls.freeze(Some(Freeze {
            after,
            sent: after % 2 == 0,
            shut: false,
            stands: false,
        }));
        approve(&cluster, User::Alice, &name).await?;
        until("the operator to stand still", async || {
            Ok(cluster.calls.stands().then_some(()))
        })
        .await?;
        cluster.kill_operator().await;
        cluster.calls.freeze(None);
        cluster.start_operator().await?;
        action_says(&cluster, &name, ConditionType::Succeeded, "True", "Executed").await?;
        assert_eq!(
            serves(&cluster).await?.as_deref(),
            Some(version.as_str()),
            "after write {after}"
        );
    }
    Ok(())
}

// === retraining ===

/// Whether the Job is asked for the rows that the champion was not trained on.
fn counts_new_rows(job: &Job) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let arguments = pod.and_then(|pod| pod.containers.first()?.args.as_ref());
    arguments.is_some_and(|arguments| arguments.iter().any(|argument| argument == "--count-new-rows"))
}

/// A trainer that reads one file for a version and two for an action.
fn retrains(store: &Store, job: &Job, rows: u64, f1: &str) -> JobEnd {
    let version = job.labels().get(labels::VERSION);
    if stage_of(job) == "fit" {
        if version.is_some_and(|version| version == "heart-1") {
            return trains(store, job, "0.8151");
        }
        let mut result: JobResult = store.result(job, f1);
        result.gates.push(GateResult {
            metric: "F1".into(),
            bound: "notWorseThan heart-1 by 0.03 on all rows".into(),
            value: "0.01".parse().unwrap(),
            passed: true,
        });
        result.digest = Some(store.publish_stating(job, &result, &[]));
        return JobEnd::Succeeds(serde_json::to_string(&result).unwrap());
    }
    let mut result: JobResult = store.result(job, "");
    let source = |name: &str, rows, positive| SourceRecord {
        name: name.into(),
        sha256: digest_of(name.as_bytes()),
        rows,
        positive_rows: Some(positive),
    };
    result.sources = vec![source("cleveland.csv", 303, 139)];
    if version.is_none() {
        result.rows = Some(303 + rows);
        result.sources.push(source("hungarian.csv", rows, rows / 3));
    }
    if counts_new_rows(job) {
        result.new_rows = Some(NewRows {
            rows,
            positive_rows: rows / 3,
            repeated_rows: 0,
        });
    }
    result.digest = Some(store.publish_stating(job, &result, &[]));
    JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
}

async fn drifting(rows: u64, f1: &'static str) -> Result<TestCluster> {
    let mut cluster = house_on(gated_server().await).await?;
    let store = cluster.store.clone();
    cluster.fakes.jobs(move |job| retrains(&store, job, rows, f1));
    cluster.start_operator().await?;
    let mut version = crate::support::version("heart-1");
    version["spec"]["retraining"] = json!({"datasets": [
        {"name": "hungarian", "dataset": {"configMap": {"name": "hungarian", "key": "hungarian.csv"}}},
    ]});
    cluster
        .create::<ConfigMap>(json!({"metadata": {"name": "hungarian"}, "data": {"hungarian.csv": "rows"}}))
        .await?;
    cluster.create::<ModelVersion>(version).await?;
    cluster.wait_live("heart-1").await?;
    let retrain: RemediationAction = serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction", "metadata": {"name": "retrain"},
        "spec": {"model": "heart", "type": "RetrainModel", "target": {"name": "heart-1"}, "message": "it drifts"},
    }))?;
    as_user(&cluster, User::Dave)?
        .create(&PostParams::default(), &retrain)
        .await?;
    Ok(cluster)
}

#[tokio::test]
async fn a_retraining_shows_its_data_first_and_its_approval_covers_the_promotion() -> Result<()> {
    let cluster = drifting(294, "0.8300").await?;
    let waits = action_says(
        &cluster,
        "retrain",
        ConditionType::Succeeded,
        "Unknown",
        "AwaitingApproval",
    )
    .await?;
    let plan = waits
        .status
        .clone()
        .and_then(|status| status.plan)
        .context("a plan")?;
    ensure!(
        plan.summary
            .starts_with("retrain heart with the training spec of heart-1, on 597 rows (sha256:")
            && plan
                .summary
                .contains("ConfigMap hungarian, key hungarian.csv, 294 rows")
            && plan.summary.contains(
                "serve it if F1 is at least 0.75 and F1 is at most 0.03 worse than that of heart-1"
            ),
        "{}",
        plan.summary
    );
    assert_eq!(plan.sources.len(), 2);
    let counted = waits
        .status
        .and_then(|status| status.new_rows)
        .context("new rows")?;
    assert_eq!(
        (counted.rows, counted.positive_rows, counted.repeated_rows),
        (294, 98, 0)
    );
    let versions = cluster.all::<ModelVersion>().list(&ListParams::default()).await?;
    assert_eq!(
        versions.items.len(),
        1,
        "nothing is trained before it was approved"
    );
    until("the snapshot Job to be gone", async || {
        let jobs = cluster
            .all::<Job>()
            .list(&ListParams::default().labels(labels::ACTION))
            .await?;
        Ok(jobs.items.is_empty().then_some(()))
    })
    .await?;

    approve(&cluster, User::Alice, "retrain").await?;
    let ended = action_says(&cluster, "retrain", ConditionType::Succeeded, "True", "Executed").await?;
    let story = words(&ended, ConditionType::Succeeded);
    ensure!(story.starts_with("approved by alice; heart-"), "{story}");
    let execution = ended
        .status
        .and_then(|status| status.execution)
        .context("an execution")?;
    let made = execution.version.context("a version")?;
    let promotion = execution.promotion.context("a promotion")?;
    assert_eq!(serves(&cluster).await?.as_deref(), Some(made.name.as_str()));
    let version = cluster.all::<ModelVersion>().get(&made.name).await?;
    ensure!(version.owner_references().is_empty());
    assert_eq!(version.labels()[labels::ACTION], "retrain");
    let status = version.status.context("a status")?;
    let files: Vec<_> = status.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(
        files,
        ["cleveland.csv", "hungarian.csv"],
        "a later version is compared with them"
    );
    let training = version.spec.source.training.context("a training")?;
    assert_eq!(training.not_worse_than.context("a champion")?.version, "heart-1");
    assert_eq!(
        training.snapshot,
        Some(plan.snapshot.context("a snapshot")?.digest)
    );
    assert_eq!(
        version.spec.provenance.context("a provenance")?.action.name,
        "retrain"
    );
    let child = cluster.all::<RemediationAction>().get(&promotion.name).await?;
    ensure!(words(&child, ConditionType::Approved).starts_with("covered by retrain, approved by alice"));
    let actions = cluster
        .all::<RemediationAction>()
        .list(&ListParams::default())
        .await?;
    assert_eq!(actions.items.len(), 2, "nothing else is proposed");
    let used = cluster.calls.rights();
    for verb in ["create", "patch"] {
        let resource = if verb == "create" {
            "modelversions"
        } else {
            "remediationactions"
        };
        ensure!(
            used.contains(&("modelward.io".into(), resource.into(), verb.into())),
            "{verb} {resource}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_gate_leaves_what_serves_and_says_why() -> Result<()> {
    let cluster = drifting(294, "0.7100").await?;
    action_says(
        &cluster,
        "retrain",
        ConditionType::Succeeded,
        "Unknown",
        "AwaitingApproval",
    )
    .await?;
    approve(&cluster, User::Alice, "retrain").await?;
    let ended = action_says(
        &cluster,
        "retrain",
        ConditionType::Succeeded,
        "False",
        "GateFailed",
    )
    .await?;
    let story = words(&ended, ConditionType::Succeeded);
    ensure!(story.contains("0.7100"), "{story}");
    assert_eq!(serves(&cluster).await?.as_deref(), Some("heart-1"));
    cluster
        .wait("heart", "given free", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_none())
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn too_few_new_rows_raise_an_alert_and_ask_for_no_approval() -> Result<()> {
    let cluster = drifting(60, "0.8300").await?;
    let ended = action_says(
        &cluster,
        "retrain",
        ConditionType::Succeeded,
        "False",
        "LabelsNeeded",
    )
    .await?;
    ensure!(words(&ended, ConditionType::Succeeded).starts_with("60 new rows, 20 of the rarer class"));
    cluster.wait_event("LabelsNeeded", "60 new rows").await
}

// === claims ===

#[tokio::test]
async fn a_claim_of_an_action_that_is_deleted_is_released() -> Result<()> {
    let cluster = serving().await?;
    let deployment = cluster
        .all::<k8s_openapi::api::apps::v1::Deployment>()
        .get("heart")
        .await?;
    let first = crate::support::routes_of(&deployment);
    cluster.fakes.pods(move |pod| {
        if serde_json::to_string(pod).unwrap().contains(&first) {
            PodEnd::Ready
        } else {
            PodEnd::Starts
        }
    });
    cluster.apply_version("heart-2").await?;
    let name = proposed(&cluster, "heart-2").await?;
    approve(&cluster, User::Alice, &name).await?;
    cluster
        .wait("heart", "claimed", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_some())
        })
        .await?;
    cluster.delete::<RemediationAction>(&name).await?;
    cluster
        .wait("heart", "released", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.active_action.is_none())
        })
        .await?;
    cluster.wait_event("ClaimReleased", &name).await
}
