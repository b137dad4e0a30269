//! Tests the policies with dry runs that each of them has to reject: the first gap.

use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use modelward_crds::{FIELD_MANAGER, Model, ModelVersion, RemediationAction, annotations, gate, labels};
use serde_json::{Value, json};

use crate::{
    Error,
    api::Env,
    gate::refusal::{Gap, NEVER_MADE, gap_unless_refused, gap_unless_stamped, operators_in_refusal},
};

/// A digest that no plan has.
const NO_PLAN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Tests every policy within the operator's permissions, on the waiting action: the first gap.
pub(super) async fn probe_with_action(
    env: &Env,
    action: &RemediationAction,
    digest: &str,
    operators: &str,
) -> Result<Option<Gap>, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let name = action.name_any();
    let actions = Api::<RemediationAction>::namespaced(env.client.clone(), &namespace);
    let made = action
        .annotations()
        .keys()
        .filter(|key| key.starts_with(annotations::DECISION_PREFIX))
        .count();
    let key = format!("{}{}", annotations::DECISION_PREFIX, made + 1);
    let me = env.whoami().await?;
    let forged = Patch::Merge(json!({"metadata": {"annotations": {key: format!("approve {digest} {me}")}}}));
    let params = dry_patch(FIELD_MANAGER.to_owned());
    let tried = env
        .call(
            format!("test a forged decision on {name}"),
            actions.patch(&name, &params, &forged),
        )
        .await;
    if let Some(gap) = gap_unless_refused(gate::DECISIONS, "a forged decision", tried)? {
        return Ok(Some(gap));
    }
    let params = dry_patch(probe_manager(gate::STATUS));
    let same = Patch::Merge(json!({"status": {}}));
    let tried = env
        .call(
            format!("test the status of {name}"),
            actions.patch_status(&name, &params, &same),
        )
        .await;
    if let Some(gap) = gap_unless_refused(gate::STATUS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    if let Some(gap) = probe_namespace(env, &namespace, Some(operators)).await? {
        return Ok(Some(gap));
    }
    if !env.config.gate_children {
        return Ok(None);
    }
    // This policy is evaluated once for each Model, and not at all without one.
    let models = Api::<Model>::namespaced(env.client.clone(), &namespace);
    let model = &action.spec.model;
    let model = env
        .call(format!("read Model {model}"), models.get_opt(model))
        .await?;
    if model.is_none() {
        return Ok(None);
    }
    let service = json!({"metadata": {"name": NEVER_MADE}, "spec": {"ports": [{"port": 80}]}});
    let tried = create_dry::<Service>(env, &namespace, probe_manager(gate::NAMES), service).await;
    gap_unless_refused(gate::NAMES, TRIAL, tried)
}

/// Tests every policy within the operator's permissions without an action: the first gap.
pub(super) async fn probe_with_new_action(env: &Env) -> Result<Option<Gap>, Error> {
    let namespace = env.config.watch_namespace.as_deref().unwrap_or("default");
    let me = env.whoami().await?;
    let forged = action_body(&json!({
        annotations::PROPOSED_BY: me,
        format!("{}1", annotations::DECISION_PREFIX): format!("approve {NO_PLAN} {me}"),
    }));
    let tried = create_dry::<RemediationAction>(env, namespace, FIELD_MANAGER.to_owned(), forged).await;
    match gap_unless_refused(gate::DECISIONS, "an action with a forged decision", tried)? {
        Some(gap) => Ok(Some(gap)),
        None => probe_namespace(env, namespace, None).await,
    }
}

/// The test with a field manager that the policy rejects.
pub(super) const TRIAL: &str = "a test request";

/// Tests the policies that need no object in the namespace. `operators` are those of the ConfigMap.
async fn probe_namespace(env: &Env, namespace: &str, operators: Option<&str>) -> Result<Option<Gap>, Error> {
    if let Some(gap) = probe_stamps(env, namespace).await? {
        return Ok(Some(gap));
    }
    for policy in [gate::VERSIONS, gate::RECORDS] {
        let tried =
            create_dry::<ModelVersion>(env, namespace, probe_manager(policy), version_body(&json!({}))).await;
        if let Some(gap) = gap_unless_refused(policy, TRIAL, tried)? {
            return Ok(Some(gap));
        }
    }
    let model = json!({"metadata": {"name": NEVER_MADE}, "spec": {}});
    let tried = create_dry::<Model>(env, namespace, probe_manager(gate::MODELS), model).await;
    if let Some(gap) = gap_unless_refused(gate::MODELS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    let manager = probe_manager(gate::ORIGINS);
    let tried = create_dry::<ModelVersion>(env, namespace, manager, version_body(&json!({}))).await;
    let judged_by = tried.as_ref().err().and_then(operators_in_refusal);
    if let Some(gap) = gap_unless_refused(gate::ORIGINS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    if let Some(operators) = operators
        && judged_by.as_deref() != Some(operators)
    {
        return Ok(Some(Gap::NotEnforced(format!(
            "the API server uses another copy of the ConfigMap with the operators than the stored one: {} instead of \
             {operators}. If this lasts for more than a minute, restart the API servers",
            judged_by.as_deref().unwrap_or("none"),
        ))));
    }
    if !env.config.gate_children {
        return Ok(None);
    }
    let child = json!({"metadata": {"name": NEVER_MADE, "labels": {labels::MODEL: NEVER_MADE}}});
    let tried = create_dry::<ConfigMap>(env, namespace, probe_manager(gate::CHILDREN), child).await;
    if let Some(gap) = gap_unless_refused(gate::CHILDREN, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    let other = json!({"metadata": {"name": NEVER_MADE}});
    let tried = create_dry::<ConfigMap>(env, namespace, probe_manager(gate::IMITATIONS), other).await;
    gap_unless_refused(gate::IMITATIONS, TRIAL, tried)
}

/// A creator and a proposer other than the caller must be corrected or rejected.
async fn probe_stamps(env: &Env, namespace: &str) -> Result<Option<Gap>, Error> {
    let me = env.whoami().await?;
    let manager = FIELD_MANAGER.to_owned();
    let forged = version_body(&json!({annotations::CREATED_BY: NEVER_MADE}));
    let made = create_dry::<ModelVersion>(env, namespace, manager.clone(), forged).await;
    if let Some(gap) = gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, me, made)? {
        return Ok(Some(gap));
    }
    let forged = action_body(&json!({annotations::PROPOSED_BY: NEVER_MADE}));
    let made = create_dry::<RemediationAction>(env, namespace, manager, forged).await;
    gap_unless_stamped(gate::DECISIONS, annotations::PROPOSED_BY, me, made)
}

fn action_body(annotations: &Value) -> Value {
    json!({
        "metadata": {"name": NEVER_MADE, "annotations": annotations},
        "spec": {
            "model": NEVER_MADE, "type": "SendAlert", "message": "tries the admission policies", "dryRun": true,
        },
    })
}

fn version_body(annotations: &Value) -> Value {
    json!({
        "metadata": {"name": NEVER_MADE, "annotations": annotations},
        "spec": {
            "model": NEVER_MADE,
            "source": {"artifact": {"bundle": NO_PLAN, "threshold": "0.5"}},
            "serving": {"access": "Open"},
        },
    })
}

fn probe_manager(policy: &str) -> String {
    format!("{}{policy}", gate::PROBE_PREFIX)
}

fn dry_patch(manager: String) -> PatchParams {
    PatchParams {
        dry_run: true,
        field_manager: Some(manager),
        ..PatchParams::default()
    }
}

async fn create_dry<K>(
    env: &Env,
    namespace: &str,
    manager: String,
    body: Value,
) -> Result<DynamicObject, Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let mut object = DynamicObject::new(NEVER_MADE, &resource).data(body);
    // Use the metadata of the body instead of adding a second one.
    if let Some(metadata) = object
        .data
        .as_object_mut()
        .and_then(|data| data.remove("metadata"))
        && let Ok(metadata) = serde_json::from_value(metadata)
    {
        object.metadata = metadata;
    }
    let api = Api::<DynamicObject>::namespaced_with(env.client.clone(), namespace, &resource);
    let params = PostParams {
        dry_run: true,
        field_manager: Some(manager),
    };
    env.call(
        format!("try a {} in namespace {namespace}", resource.kind),
        api.create(&params, &object),
    )
    .await
}
