//! Whether the admission policies that make approvals trustworthy are there and at work.
//!
//! The operator reads them and tries them. Every trial is a dry run that the policies have to refuse: a decision in the name
//! of the operator, which may never decide, on the action that waits; a maker and a proposer that are not the caller; and
//! for each policy that the operator's rights reach, a request whose field manager the policy refuses for every caller.
//! Nothing that needs an approval runs otherwise.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use k8s_openapi::{
    api::{
        admissionregistration::v1::{
            MatchResources, ParamRef, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
        },
        core::v1::{ConfigMap, Service},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use modelward_core::action::{GateIds, GateSeen, Hindered, PolicyId, Probe};
use modelward_crds::{FIELD_MANAGER, Model, ModelVersion, RemediationAction, annotations, gate, labels};
use modelward_service::chain;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{Context, Error, backoff::jittered};

/// How often the policies are tried, besides every time that an action depends on them.
const EVERY: Duration = Duration::from_mins(3);
/// Name of the objects of dry runs, and of a user that no cluster has.
const NEVER_MADE: &str = "modelward-gate-probe";
/// A digest that no plan has.
const NO_PLAN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// The status of an answer that an object of this name exists.
const EXISTS: u16 = 409;
/// The parameters of namespaces that are not named.
const OTHERS: &str = "_others";

/// Why the trials do not prove that approvals are enforced.
#[derive(Debug, PartialEq, Eq)]
enum Gap {
    /// A policy is not at work, in words.
    NotEnforced(String),
    /// Something else refused a trial, so that it shows nothing about the policy.
    Hindered(Hindered),
}

/// Reads the policies, and tries them once this action has a plan that could be decided on.
pub(crate) async fn seen(ctx: &Context, action: &RemediationAction) -> Result<GateSeen, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let (ids, operators) = match read_policies(ctx, &namespace).await? {
        Ok(found) => found,
        Err(gap) => {
            ctx.metrics.approval_enforced(false);
            return Ok(GateSeen {
                ids: None,
                probe: Probe::NotRefused(gap),
            });
        }
    };
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let probe = match plan {
        Some(plan) => verdict(probe_with_action(ctx, action, &plan.digest.to_string(), &operators).await?),
        None => Probe::NotTried,
    };
    match &probe {
        Probe::NotTried => {}
        probe => ctx.metrics.approval_enforced(*probe == Probe::Refused),
    }
    Ok(GateSeen {
        ids: Some(ids),
        probe,
    })
}

/// Tries the policies at the start and every few minutes, until `stopped`.
pub(crate) async fn run(ctx: Arc<Context>, stopped: impl Future<Output = ()> + Send) {
    let watch = async {
        let mut before = None;
        loop {
            let found = probe_with_new_action(&ctx).await;
            ctx.metrics.approval_enforced(matches!(found, Ok(None)));
            let (enforced, words) = match &found {
                Ok(None) => (Some(true), String::new()),
                Ok(Some(Gap::NotEnforced(gap))) => (Some(false), gap.clone()),
                Ok(Some(Gap::Hindered(found))) => (None, found.words()),
                Err(error) => (None, chain(error)),
            };
            // Once for each change: the conditions of the actions have it all the time.
            if before.replace(enforced) != Some(enforced) {
                match enforced {
                    Some(true) => tracing::info!("the admission policies refused every trial"),
                    Some(false) => {
                        tracing::warn!(
                            "approvals prove nothing, and nothing that needs one is done: {words}"
                        );
                    }
                    None => tracing::warn!(
                        "the admission policies could not be tried, and nothing that needs an approval is done: {words}"
                    ),
                }
            }
            tokio::time::sleep(jittered(EVERY)).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = stopped => {}
    }
}

fn verdict(gap: Option<Gap>) -> Probe {
    match gap {
        None => Probe::Refused,
        Some(Gap::NotEnforced(gap)) => Probe::NotRefused(gap),
        Some(Gap::Hindered(found)) => Probe::Hindered(found),
    }
}

// === trials ===

/// Tries every policy that the operator's rights reach, on the action that waits: the first gap.
async fn probe_with_action(
    ctx: &Context,
    action: &RemediationAction,
    digest: &str,
    operators: &str,
) -> Result<Option<Gap>, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let name = action.name_any();
    let actions = Api::<RemediationAction>::namespaced(ctx.client.clone(), &namespace);
    let made = action
        .annotations()
        .keys()
        .filter(|key| key.starts_with(annotations::DECISION_PREFIX))
        .count();
    let key = format!("{}{}", annotations::DECISION_PREFIX, made + 1);
    let me = ctx.whoami().await?;
    let forged = Patch::Merge(json!({"metadata": {"annotations": {key: format!("approve {digest} {me}")}}}));
    let params = dry_patch(FIELD_MANAGER.to_owned());
    let tried = ctx
        .call(
            format!("try a forged decision on {name}"),
            actions.patch(&name, &params, &forged),
        )
        .await;
    if let Some(gap) = gap_unless_refused(gate::DECISIONS, "a forged decision", tried)? {
        return Ok(Some(gap));
    }
    let params = dry_patch(probe_manager(gate::STATUS));
    let same = Patch::Merge(json!({"status": {}}));
    let tried = ctx
        .call(
            format!("try the status of {name}"),
            actions.patch_status(&name, &params, &same),
        )
        .await;
    if let Some(gap) = gap_unless_refused(gate::STATUS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    if let Some(gap) = probe_namespace(ctx, &namespace, Some(operators)).await? {
        return Ok(Some(gap));
    }
    if !ctx.config.gate_children {
        return Ok(None);
    }
    // This policy is judged once for each Model, and not at all without one.
    let models = Api::<Model>::namespaced(ctx.client.clone(), &namespace);
    let model = &action.spec.model;
    let model = ctx
        .call(format!("read Model {model}"), models.get_opt(model))
        .await?;
    if model.is_none() {
        return Ok(None);
    }
    let service = json!({"metadata": {"name": NEVER_MADE}, "spec": {"ports": [{"port": 80}]}});
    let tried = create_dry::<Service>(ctx, &namespace, probe_manager(gate::NAMES), service).await;
    gap_unless_refused(gate::NAMES, TRIAL, tried)
}

/// Tries every policy that the operator's rights reach where no action waits: the first gap.
async fn probe_with_new_action(ctx: &Context) -> Result<Option<Gap>, Error> {
    let namespace = ctx.config.watch_namespace.as_deref().unwrap_or("default");
    let me = ctx.whoami().await?;
    let forged = action_body(&json!({
        annotations::PROPOSED_BY: me,
        format!("{}1", annotations::DECISION_PREFIX): format!("approve {NO_PLAN} {me}"),
    }));
    let tried = create_dry::<RemediationAction>(ctx, namespace, FIELD_MANAGER.to_owned(), forged).await;
    match gap_unless_refused(gate::DECISIONS, "an action with a forged decision", tried)? {
        Some(gap) => Ok(Some(gap)),
        None => probe_namespace(ctx, namespace, None).await,
    }
}

/// What is tried by a field manager that the policy refuses.
const TRIAL: &str = "a trial";

/// Tries the policies that need no object in the namespace. `operators` are those of the ConfigMap.
async fn probe_namespace(
    ctx: &Context,
    namespace: &str,
    operators: Option<&str>,
) -> Result<Option<Gap>, Error> {
    if let Some(gap) = probe_stamps(ctx, namespace).await? {
        return Ok(Some(gap));
    }
    for policy in [gate::VERSIONS, gate::RECORDS] {
        let tried =
            create_dry::<ModelVersion>(ctx, namespace, probe_manager(policy), version_body(&json!({}))).await;
        if let Some(gap) = gap_unless_refused(policy, TRIAL, tried)? {
            return Ok(Some(gap));
        }
    }
    let model = json!({"metadata": {"name": NEVER_MADE}, "spec": {}});
    let tried = create_dry::<Model>(ctx, namespace, probe_manager(gate::MODELS), model).await;
    if let Some(gap) = gap_unless_refused(gate::MODELS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    let manager = probe_manager(gate::ORIGINS);
    let tried = create_dry::<ModelVersion>(ctx, namespace, manager, version_body(&json!({}))).await;
    let judged_by = tried.as_ref().err().and_then(operators_in_refusal);
    if let Some(gap) = gap_unless_refused(gate::ORIGINS, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    if let Some(operators) = operators
        && judged_by.as_deref() != Some(operators)
    {
        return Ok(Some(Gap::NotEnforced(format!(
            "the API server judges by another copy of the ConfigMap with the operators than the stored one: {} instead of \
             {operators}. If this lasts for more than a minute, restart the API servers",
            judged_by.as_deref().unwrap_or("none"),
        ))));
    }
    if !ctx.config.gate_children {
        return Ok(None);
    }
    let child = json!({"metadata": {"name": NEVER_MADE, "labels": {labels::MODEL: NEVER_MADE}}});
    let tried = create_dry::<ConfigMap>(ctx, namespace, probe_manager(gate::CHILDREN), child).await;
    if let Some(gap) = gap_unless_refused(gate::CHILDREN, TRIAL, tried)? {
        return Ok(Some(gap));
    }
    let other = json!({"metadata": {"name": NEVER_MADE}});
    let tried = create_dry::<ConfigMap>(ctx, namespace, probe_manager(gate::IMITATIONS), other).await;
    gap_unless_refused(gate::IMITATIONS, TRIAL, tried)
}

/// A maker and a proposer that are not the caller must be corrected or refused.
async fn probe_stamps(ctx: &Context, namespace: &str) -> Result<Option<Gap>, Error> {
    let me = ctx.whoami().await?;
    let manager = FIELD_MANAGER.to_owned();
    let forged = version_body(&json!({annotations::CREATED_BY: NEVER_MADE}));
    let made = create_dry::<ModelVersion>(ctx, namespace, manager.clone(), forged).await;
    if let Some(gap) = gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, me, made)? {
        return Ok(Some(gap));
    }
    let forged = action_body(&json!({annotations::PROPOSED_BY: NEVER_MADE}));
    let made = create_dry::<RemediationAction>(ctx, namespace, manager, forged).await;
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
    ctx: &Context,
    namespace: &str,
    manager: String,
    body: Value,
) -> Result<DynamicObject, Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = ApiResource::erase::<K>(&());
    let mut object = DynamicObject::new(NEVER_MADE, &resource).data(body);
    // The metadata of the body, not a second one beside it.
    if let Some(metadata) = object
        .data
        .as_object_mut()
        .and_then(|data| data.remove("metadata"))
        && let Ok(metadata) = serde_json::from_value(metadata)
    {
        object.metadata = metadata;
    }
    let api = Api::<DynamicObject>::namespaced_with(ctx.client.clone(), namespace, &resource);
    let params = PostParams {
        dry_run: true,
        field_manager: Some(manager),
    };
    ctx.call(
        format!("try a {} in namespace {namespace}", resource.kind),
        api.create(&params, &object),
    )
    .await
}

/// What an answer to a trial means. Only a refusal by the policy itself proves that it is at work; a refusal by anything else
/// proves nothing.
fn gap_unless_refused<T>(policy: &str, trial: &str, tried: Result<T, Error>) -> Result<Option<Gap>, Error> {
    let Err(error) = tried else {
        return Ok(Some(Gap::NotEnforced(format!(
            "{trial} was let in: the admission policy {policy} is not at work"
        ))));
    };
    let Some(message) = refusal(&error) else {
        return Err(error);
    };
    if message.contains(&format!("ValidatingAdmissionPolicy '{policy}'")) {
        return Ok(None);
    }
    Ok(Some(hindered(policy, trial, message)))
}

/// A made object must name the operator in this annotation, or the policy must have refused it.
fn gap_unless_stamped(
    policy: &str,
    key: &str,
    me: &str,
    made: Result<DynamicObject, Error>,
) -> Result<Option<Gap>, Error> {
    match made {
        Ok(made) => {
            let found = made.annotations().get(key).map(String::as_str);
            Ok((found != Some(me)).then(|| {
                Gap::NotEnforced(format!(
                    "{key} with another user than the caller was let in: neither the admission policy {policy} nor a policy \
                     that stamps is at work"
                ))
            }))
        }
        refused => gap_unless_refused(policy, "another user than the caller", refused),
    }
}

/// The message of an answer by which the API server, or what it has to ask, said no.
fn refusal(error: &Error) -> Option<&str> {
    let Error::Api { source, .. } = error else {
        return None;
    };
    let kube::Error::Api(status) = &**source else {
        return None;
    };
    // A webhook that cannot be asked is an error of the server, as many others are that say nothing about the request.
    let unasked = status.code == 500 && status.message.contains("failed calling webhook");
    (error.refused() || status.code == EXISTS || unasked).then_some(status.message.as_str())
}

/// A trial that something else than the policy refused. Another policy of the gate lets pass what tries this one, so that its
/// refusal is no obstacle that came from elsewhere.
fn hindered(policy: &str, trial: &str, message: &str) -> Gap {
    let mut ours = gate::ALL.iter().chain(&gate::ALL_CHILDREN);
    if ours.any(|other| message.contains(&format!("ValidatingAdmissionPolicy '{other}'"))) {
        return Gap::NotEnforced(format!(
            "{trial} was refused, but not by the admission policy {policy}: {message}"
        ));
    }
    let (by, remedy) = obstacle(message);
    Gap::Hindered(Hindered {
        what: format!(
            "whether the admission policy {policy} is at work is not known: {trial} was refused by {by} first. {remedy}"
        ),
        message: message.to_owned(),
    })
}

/// What refused a trial by this message of the API server, and how to put it right.
fn obstacle(message: &str) -> (String, String) {
    let between = |before: &str, after: char| {
        let (_, rest) = message.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    };
    if let Some(quota) = between("exceeded quota: ", ',') {
        return (
            format!("the ResourceQuota {quota}"),
            "Raise it to one more than is used, or delete objects that it counts".to_owned(),
        );
    }
    if let Some(webhook) = between("admission webhook \"", '"') {
        return (
            format!("the admission webhook {webhook}"),
            "Let it pass what the operator writes of the group modelward.io".to_owned(),
        );
    }
    if let Some(webhook) = between("failed calling webhook \"", '"') {
        return (
            format!("the admission webhook {webhook}, which could not be asked"),
            "Start what answers it, or exclude the group modelward.io from its rules".to_owned(),
        );
    }
    if let Some(policy) = between("AdmissionPolicy '", '\'') {
        return (
            format!("the admission policy {policy}"),
            "Let it pass what the operator writes of the group modelward.io".to_owned(),
        );
    }
    if message.contains("is being terminated") {
        return (
            "the deletion of the namespace".to_owned(),
            "Nothing can be made in it any more".to_owned(),
        );
    }
    if message.contains("\" cannot ") {
        return (
            "a missing right of the operator".to_owned(),
            "Restore its roles with helm upgrade".to_owned(),
        );
    }
    if message.ends_with("already exists") {
        return (
            format!("an object named {NEVER_MADE}"),
            "Delete it: the operator tries the policies with this name".to_owned(),
        );
    }
    (
        "something else".to_owned(),
        "Change what Kubernetes names so that it lets the operator pass".to_owned(),
    )
}

/// The operators by which the API server judges, as the policy writes them for the operator.
fn operators_in_refusal(error: &Error) -> Option<String> {
    let (_, rest) = refusal(error)?.split_once("operators=")?;
    let (operators, _) = rest.split_once(';')?;
    Some(operators.to_owned())
}

// === reading ===

/// Policies and bindings of the cluster by name.
#[derive(Default)]
struct Policies {
    policies: BTreeMap<String, ValidatingAdmissionPolicy>,
    bindings: BTreeMap<String, ValidatingAdmissionPolicyBinding>,
}

/// The policies and the operators of this namespace, or the first gap.
async fn read_policies(ctx: &Context, namespace: &str) -> Result<Result<(GateIds, String), String>, Error> {
    let all = ListParams::default();
    let policies = Api::<ValidatingAdmissionPolicy>::all(ctx.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(ctx.client.clone());
    let policies = ctx
        .call("list ValidatingAdmissionPolicies", policies.list(&all))
        .await;
    let bindings = ctx
        .call("list ValidatingAdmissionPolicyBindings", bindings.list(&all))
        .await;
    let found = match (readable(policies)?, readable(bindings)?) {
        (Ok(policies), Ok(bindings)) => Policies {
            policies: policies
                .items
                .into_iter()
                .map(|one| (one.name_any(), one))
                .collect(),
            bindings: bindings
                .items
                .into_iter()
                .map(|one| (one.name_any(), one))
                .collect(),
        },
        (Err(gap), _) | (_, Err(gap)) => return Ok(Err(gap)),
    };
    let mut ids = match identify_policies(&found, ctx.config.gate_children) {
        Ok(ids) => ids,
        Err(gap) => return Ok(Err(gap)),
    };
    match read_stamps(ctx).await? {
        Ok(stamps) => ids.extend(stamps),
        Err(gap) => return Ok(Err(gap)),
    }
    let Some((map, of)) = parameters(&found.bindings, gate::DECISIONS) else {
        return Ok(Err(format!(
            "the binding of {} names no parameters",
            gate::DECISIONS
        )));
    };
    let api = Api::<ConfigMap>::namespaced(ctx.client.clone(), &of);
    let read = ctx
        .call(format!("read ConfigMap {of}/{map}"), api.get_opt(&map))
        .await;
    let data = match readable(read)? {
        Ok(Some(map)) => map.data.unwrap_or_default(),
        Ok(None) => {
            return Ok(Err(format!(
                "the ConfigMap {of}/{map} with the operators does not exist"
            )));
        }
        Err(gap) => return Ok(Err(gap)),
    };
    let operators = data
        .get(namespace)
        .or_else(|| data.get(OTHERS))
        .cloned()
        .unwrap_or_default();
    let me = ctx.whoami().await?;
    if !operators.split(',').any(|operator| operator == me) {
        return Ok(Err(format!(
            "{me} is not among the operators of namespace {namespace} in the ConfigMap {of}/{map}"
        )));
    }
    let parameters = hex::encode(Sha256::digest(operators.as_bytes()));
    Ok(Ok((
        GateIds {
            policies: ids,
            parameters,
        },
        operators,
    )))
}

/// Every policy that has to be there, or the first gap.
fn identify_policies(found: &Policies, children: bool) -> Result<Vec<PolicyId>, String> {
    let wanted = gate::ALL
        .iter()
        .chain(gate::ALL_CHILDREN.iter().filter(|_| children));
    wanted
        .map(|name| {
            let policy = found
                .policies
                .get(*name)
                .ok_or_else(|| format!("the admission policy {name} does not exist"))?;
            let binding = found
                .bindings
                .get(*name)
                .ok_or_else(|| format!("the binding of the admission policy {name} does not exist"))?;
            if let Some(gap) = find_policy_gap(name, policy, binding) {
                return Err(gap);
            }
            if *name != gate::VERSIONS
                && gate::ALL.contains(name)
                && parameters(&found.bindings, name) != parameters(&found.bindings, gate::DECISIONS)
            {
                return Err(format!(
                    "the binding of {name} reads its operators from another ConfigMap than the one of {}",
                    gate::DECISIONS
                ));
            }
            Ok(PolicyId {
                name: (*name).to_owned(),
                uid: policy.uid().unwrap_or_default(),
                generation: policy.metadata.generation.unwrap_or_default(),
                binding_uid: binding.uid().unwrap_or_default(),
                binding_generation: binding.metadata.generation.unwrap_or_default(),
            })
        })
        .collect()
}

/// Name and namespace of the ConfigMap that a binding reads.
fn parameters(
    bindings: &BTreeMap<String, ValidatingAdmissionPolicyBinding>,
    name: &str,
) -> Option<(String, String)> {
    let found = bindings.get(name)?.spec.as_ref()?.param_ref.clone()?;
    (found.parameter_not_found_action.as_deref() == Some("Deny"))
        .then_some(())
        .and(found.name.zip(found.namespace))
}

/// The policies that stamp, as far as the cluster has them. What they write is judged by those that validate.
async fn read_stamps(ctx: &Context) -> Result<Result<Vec<PolicyId>, String>, Error> {
    let mut listed = Vec::new();
    for (kind, plural) in [
        ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
        (
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        ),
    ] {
        let resource = ApiResource {
            group: "admissionregistration.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api = Api::<DynamicObject>::all_with(ctx.client.clone(), &resource);
        let read = ctx
            .call(
                format!("list {plural}"),
                api.list_metadata(&ListParams::default()),
            )
            .await;
        match read {
            // Kubernetes before 1.36.
            Err(error) if error.code() == Some(404) => return Ok(Ok(Vec::new())),
            read => match readable(read)? {
                Ok(read) => listed.push(read.items),
                Err(gap) => return Ok(Err(gap)),
            },
        }
    }
    let id = |list: usize, name: &str| {
        let found = listed.get(list)?.iter().find(|one| one.name_any() == name)?;
        Some((
            found.uid().unwrap_or_default(),
            found.metadata.generation.unwrap_or_default(),
        ))
    };
    let stamps = gate::STAMPS.iter().filter_map(|name| {
        let (uid, generation) = id(0, name)?;
        let (binding_uid, binding_generation) = id(1, name).unwrap_or_default();
        Some(PolicyId {
            name: (*name).to_owned(),
            uid,
            generation,
            binding_uid,
            binding_generation,
        })
    });
    Ok(Ok(stamps.collect()))
}

/// A refused read is a finding, not a failure.
fn readable<T>(read: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) if error.refused() => Ok(Err(format!(
            "the operator may not read whether approvals are enforced: {}",
            chain(&error)
        ))),
        Err(error) => Err(error),
    }
}

/// The match conditions that a policy of the chart has.
fn conditions_of(name: &str) -> &'static [&'static str] {
    match name {
        gate::IMITATIONS => &["not-trusted", "not-a-child"],
        gate::NAMES => &["not-trusted"],
        gate::SCALE => &["of-a-model"],
        gate::SCALE_BOUNDS => &["of-a-model", "not-the-autoscaler"],
        _ => &[],
    }
}

/// What makes a policy let through what it should not.
fn find_policy_gap(
    name: &str,
    policy: &ValidatingAdmissionPolicy,
    binding: &ValidatingAdmissionPolicyBinding,
) -> Option<String> {
    let spec = policy.spec.clone().unwrap_or_default();
    let bound = binding.spec.clone().unwrap_or_default();
    if policy.metadata.deletion_timestamp.is_some() || binding.metadata.deletion_timestamp.is_some() {
        return Some(format!("the admission policy {name} is being deleted"));
    }
    // These have a parameter of a kind of modelward.io: without its CRD they must not refuse core kinds.
    let may_ignore = [gate::NAMES, gate::SCALE_BOUNDS].contains(&name);
    if !may_ignore
        && spec
            .failure_policy
            .as_deref()
            .is_some_and(|policy| policy != "Fail")
    {
        return Some(format!("the admission policy {name} does not fail closed"));
    }
    let conditions = spec.match_conditions.unwrap_or_default();
    let conditions: Vec<&str> = conditions
        .iter()
        .map(|condition| condition.name.as_str())
        .collect();
    let constraints = spec.match_constraints.unwrap_or_default();
    let objects = if name == gate::CHILDREN {
        !selects_label(constraints.object_selector.as_ref())
    } else {
        selects(constraints.object_selector.as_ref())
    };
    if conditions != conditions_of(name) || objects || narrows(&constraints) {
        return Some(format!("the admission policy {name} does not hold everywhere"));
    }
    if bound.policy_name.as_deref() != Some(name) {
        return Some(format!("the binding {name} binds another policy than {name}"));
    }
    if !bound
        .validation_actions
        .is_some_and(|actions| actions.iter().any(|action| action == "Deny"))
    {
        return Some(format!(
            "the binding of the admission policy {name} refuses nothing"
        ));
    }
    let narrowed = bound.match_resources.as_ref().is_some_and(|resources| {
        narrows(resources)
            || selects(resources.object_selector.as_ref())
            || resources
                .resource_rules
                .as_ref()
                .is_some_and(|rules| !rules.is_empty())
    });
    if narrowed || !judges_all_parameters(name, bound.param_ref.as_ref()) {
        return Some(format!(
            "the binding of the admission policy {name} was narrowed: it does not hold everywhere"
        ));
    }
    None
}

/// Whether a policy that is judged once for each Model, ModelVersion or Pod is judged for all of them.
fn judges_all_parameters(name: &str, parameters: Option<&ParamRef>) -> bool {
    let by = |is_whole: fn(Option<&LabelSelector>) -> bool| {
        parameters.is_some_and(|found| {
            found.name.is_none() && found.namespace.is_none() && is_whole(found.selector.as_ref())
        })
    };
    match name {
        gate::NAMES | gate::SCALE_BOUNDS => by(|selector| !selects(selector)),
        gate::EXEC => by(selects_label),
        _ => true,
    }
}

fn narrows(resources: &MatchResources) -> bool {
    selects(resources.namespace_selector.as_ref())
        || resources
            .exclude_resource_rules
            .as_ref()
            .is_some_and(|rules| !rules.is_empty())
}

fn selects(selector: Option<&LabelSelector>) -> bool {
    selector.is_some_and(|selector| {
        selector
            .match_labels
            .as_ref()
            .is_some_and(|labels| !labels.is_empty())
            || selector
                .match_expressions
                .as_ref()
                .is_some_and(|expressions| !expressions.is_empty())
    })
}

/// Whether it selects what has the label of a model, and by nothing else.
fn selects_label(selector: Option<&LabelSelector>) -> bool {
    let Some(selector) = selector else {
        return false;
    };
    let by_expression = selector
        .match_expressions
        .as_deref()
        .is_some_and(|all| matches!(all, [one] if one.key == labels::MODEL && one.operator == "Exists"));
    by_expression && selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> ValidatingAdmissionPolicy {
        let conditions: Vec<Value> = conditions_of(name)
            .iter()
            .map(|name| json!({"name": name, "expression": "true"}))
            .collect();
        let failure = if [gate::NAMES, gate::SCALE_BOUNDS].contains(&name) {
            "Ignore"
        } else {
            "Fail"
        };
        let objects = if name == gate::CHILDREN {
            json!({"matchExpressions": [{"key": labels::MODEL, "operator": "Exists"}]})
        } else {
            json!({})
        };
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid of {name}"), "generation": 1},
            "spec": {
                "failurePolicy": failure,
                "matchConditions": conditions,
                "matchConstraints": {"namespaceSelector": {}, "objectSelector": objects},
            },
        }))
        .unwrap()
    }

    fn binding(name: &str) -> ValidatingAdmissionPolicyBinding {
        let parameters = match name {
            gate::NAMES | gate::SCALE_BOUNDS => json!({"selector": {}, "parameterNotFoundAction": "Allow"}),
            gate::EXEC => json!({
                "selector": {"matchExpressions": [{"key": labels::MODEL, "operator": "Exists"}]},
                "parameterNotFoundAction": "Allow",
            }),
            _ => json!({"name": "modelward-gate", "namespace": "system", "parameterNotFoundAction": "Deny"}),
        };
        serde_json::from_value(json!({
            "metadata": {"name": name, "uid": format!("uid of the binding of {name}"), "generation": 1},
            "spec": {"policyName": name, "validationActions": ["Deny", "Audit"], "paramRef": parameters},
        }))
        .unwrap()
    }

    fn whole() -> Policies {
        let all = || gate::ALL.iter().chain(&gate::ALL_CHILDREN);
        Policies {
            policies: all().map(|name| ((*name).to_owned(), policy(name))).collect(),
            bindings: all().map(|name| ((*name).to_owned(), binding(name))).collect(),
        }
    }

    #[test]
    fn each_policy_is_identified_and_those_on_children_only_where_the_chart_brought_them() {
        for (children, count) in [
            (false, gate::ALL.len()),
            (true, gate::ALL.len() + gate::ALL_CHILDREN.len()),
        ] {
            let ids = identify_policies(&whole(), children).unwrap();
            assert_eq!(ids.len(), count);
        }
        for name in gate::ALL_CHILDREN {
            let mut found = whole();
            found.policies.remove(name);
            assert!(identify_policies(&found, false).is_ok());
            let gap = identify_policies(&found, true).unwrap_err();
            assert_eq!(gap, format!("the admission policy {name} does not exist"));
        }
    }

    #[test]
    fn a_policy_or_binding_that_is_narrowed_is_named() {
        for name in gate::ALL.iter().chain(&gate::ALL_CHILDREN) {
            let change =
                |change: &dyn Fn(&mut ValidatingAdmissionPolicy, &mut ValidatingAdmissionPolicyBinding)| {
                    let (mut policy, mut binding) = (policy(name), binding(name));
                    change(&mut policy, &mut binding);
                    find_policy_gap(name, &policy, &binding)
                };
            let narrow: MatchResources =
                serde_json::from_value(json!({"namespaceSelector": {"matchLabels": {"a": "b"}}})).unwrap();
            assert_eq!(change(&|_, _| {}), None);
            let gaps = [
                change(&|policy, _| {
                    let spec = policy.spec.as_mut().unwrap();
                    spec.match_conditions.get_or_insert_default().clear();
                    spec.match_conditions.get_or_insert_default().push(
                        serde_json::from_value(json!({"name": "never", "expression": "false"})).unwrap(),
                    );
                }),
                change(&|policy, _| policy.spec.as_mut().unwrap().match_constraints = Some(narrow.clone())),
                change(&|_, binding| binding.spec.as_mut().unwrap().match_resources = Some(narrow.clone())),
                change(&|_, binding| {
                    binding.spec.as_mut().unwrap().validation_actions = Some(vec!["Audit".into()]);
                }),
                change(&|_, binding| binding.spec.as_mut().unwrap().policy_name = Some("other".into())),
            ];
            for gap in gaps {
                assert!(gap.is_some_and(|gap| gap.contains(name)), "{name}");
            }
        }
        for name in [gate::NAMES, gate::SCALE_BOUNDS, gate::EXEC] {
            let mut bound = binding(name);
            let selector = json!({"matchLabels": {"only": "some"}});
            bound.spec.as_mut().unwrap().param_ref.as_mut().unwrap().selector =
                serde_json::from_value(selector).unwrap();
            assert!(find_policy_gap(name, &policy(name), &bound).is_some(), "{name}");
        }
    }

    #[test]
    fn all_policies_read_the_operators_from_one_config_map() {
        for name in [gate::STATUS, gate::MODELS, gate::ORIGINS, gate::RECORDS] {
            let mut found = whole();
            let bound = found.bindings.get_mut(name).unwrap();
            bound.spec.as_mut().unwrap().param_ref.as_mut().unwrap().name = Some("other".into());
            let gap = identify_policies(&found, false).unwrap_err();
            assert!(gap.contains(name) && gap.contains("another ConfigMap"), "{gap}");
        }
    }

    fn refused(message: &str) -> Error {
        answered(403, message)
    }

    fn answered(code: u16, message: &str) -> Error {
        let status = kube::core::Status::failure(message, "Forbidden").with_code(code);
        Error::Api {
            action: "try".into(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    #[test]
    fn only_the_refusal_of_the_policy_itself_proves_that_it_is_at_work() {
        let by = |policy: &str| refused(&format!("ValidatingAdmissionPolicy '{policy}' denied request: x"));
        let gap = |tried| gap_unless_refused::<()>(gate::CHILDREN, TRIAL, tried).unwrap();
        assert_eq!(gap(Err(by(gate::CHILDREN))), None);
        assert!(not_enforced(gap(Err(by(gate::IMITATIONS)))).contains("not by"));
        assert!(not_enforced(gap(Ok(()))).contains("not at work"));
        let judged = refused("denied request: operators=system:a,system:b;");
        assert_eq!(
            operators_in_refusal(&judged).as_deref(),
            Some("system:a,system:b")
        );
    }

    fn not_enforced(gap: Option<Gap>) -> String {
        match gap {
            Some(Gap::NotEnforced(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_else_refuses_a_trial_is_named_with_a_remedy_and_proves_nothing() {
        let object = "modelversions.modelward.io \"modelward-gate-probe\" is forbidden";
        let answers = [
            (
                403,
                format!(
                    "{object}: exceeded quota: objects, requested: count/modelversions.modelward.io=1, used: \
                     count/modelversions.modelward.io=2, limited: count/modelversions.modelward.io=2"
                ),
                "the ResourceQuota objects first. Raise it",
            ),
            (
                400,
                "admission webhook \"names.example.com\" denied the request: no such team".to_owned(),
                "the admission webhook names.example.com first. Let it pass",
            ),
            (
                500,
                "Internal error occurred: failed calling webhook \"dead.example.com\": failed to call webhook: connection refused"
                    .to_owned(),
                "the admission webhook dead.example.com, which could not be asked first. Start",
            ),
            (
                422,
                "ValidatingAdmissionPolicy 'teams.example.com' with binding 'teams' denied request: no".to_owned(),
                "the admission policy teams.example.com first. Let it pass",
            ),
            (
                403,
                format!("{object}: unable to create new content in namespace a because it is being terminated"),
                "the deletion of the namespace first",
            ),
            (
                403,
                "modelversions.modelward.io is forbidden: User \"x\" cannot create resource \"modelversions\"".to_owned(),
                "a missing right of the operator first. Restore",
            ),
            (
                409,
                "modelversions.modelward.io \"modelward-gate-probe\" already exists".to_owned(),
                "an object named modelward-gate-probe first. Delete it",
            ),
            (
                403,
                format!("{object}: minimum memory usage per Pod is 1Gi, but no request is specified"),
                "something else first. Change what Kubernetes names",
            ),
        ];
        for (code, message, expected) in answers {
            let tried = Err(answered(code, &message));
            let gap = gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, "me", tried).unwrap();
            let Some(Gap::Hindered(found)) = &gap else {
                panic!("{gap:?}");
            };
            assert!(found.what.contains(expected), "{}", found.what);
            assert!(found.what.contains(gate::VERSIONS), "{}", found.what);
            assert_eq!(found.message, message);
            assert!(matches!(verdict(gap), Probe::Hindered(_)));
        }
        for (code, message) in [
            (500, "etcdserver: request timed out"),
            (503, "busy"),
            (429, "later"),
        ] {
            let tried = Err::<(), _>(answered(code, message));
            assert!(
                gap_unless_refused(gate::VERSIONS, TRIAL, tried).is_err(),
                "{message}"
            );
        }
    }

    #[test]
    fn a_maker_that_is_not_the_caller_must_be_stamped_or_refused() {
        let made = |maker: Option<&str>| {
            let mut made = DynamicObject::new("x", &ApiResource::erase::<ModelVersion>(&()));
            made.metadata.annotations =
                maker.map(|maker| [(annotations::CREATED_BY.into(), maker.into())].into());
            gap_unless_stamped(gate::VERSIONS, annotations::CREATED_BY, "me", Ok(made)).unwrap()
        };
        assert_eq!(made(Some("me")), None);
        assert!(made(Some(NEVER_MADE)).is_some());
        assert!(made(None).is_some());
    }
}
