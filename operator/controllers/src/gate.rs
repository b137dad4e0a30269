//! Whether the admission policies that make approvals trustworthy are there and at work.
//!
//! They are looked at, and tried: a decision in the operator's own name, which may never decide, is sent as a dry run on
//! the very action that waits, and must be refused by our policy by name. Nothing that needs an approval runs otherwise.

use std::{future::Future, sync::Arc, time::Duration};

use k8s_openapi::api::{
    admissionregistration::v1::{
        MatchResources, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    },
    core::v1::ConfigMap,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use modelward_core::action::{GateIds, GateSeen, PolicyId, Probe};
use modelward_crds::{
    ActionType, FIELD_MANAGER, RemediationAction, RemediationActionSpec, annotations, gate,
};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{Context, Error, backoff::jittered, ledger::chain};

/// How often the policies are tried, beside every time that something depends on them.
const EVERY: Duration = Duration::from_mins(3);
/// Name of the object that is never made.
const NEVER_MADE: &str = "modelward-gate-probe";
/// A digest that no plan has.
const NO_PLAN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// The parameters of namespaces that are not named.
const OTHERS: &str = "_others";

/// Looks at the policies, and tries them on this action once it has a plan that could be decided on.
pub(crate) async fn seen(ctx: &Context, action: &RemediationAction) -> Result<GateSeen, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let ids = match ids(ctx, &namespace).await? {
        Ok(ids) => ids,
        Err(problem) => {
            ctx.metrics.approval_enforced(false);
            return Ok(GateSeen {
                ids: None,
                probe: Probe::NotRefused(problem),
            });
        }
    };
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let probe = match plan {
        Some(plan) => probe(ctx, action, &plan.digest.to_string()).await?,
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
            let found = at_large(&ctx).await;
            let enforced = matches!(found, Ok(Probe::Refused));
            ctx.metrics.approval_enforced(enforced);
            if before != Some(enforced) {
                match &found {
                    Ok(Probe::NotRefused(problem)) => tracing::warn!(
                        "approvals prove nothing, and nothing that needs one is done: {problem}"
                    ),
                    Ok(_) => tracing::info!("a forged decision was refused by {}", gate::DECISIONS),
                    Err(error) => {
                        tracing::warn!("the admission policies could not be tried: {}", chain(error));
                    }
                }
            }
            before = Some(enforced);
            tokio::time::sleep(jittered(EVERY)).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = stopped => {}
    }
}

// === trying ===

/// A decision on this very action that must be refused.
async fn probe(ctx: &Context, action: &RemediationAction, digest: &str) -> Result<Probe, Error> {
    let me = ctx.whoami().await?;
    let made = action
        .annotations()
        .keys()
        .filter(|key| key.starts_with(annotations::DECISION_PREFIX))
        .count();
    let key = format!("{}{}", annotations::DECISION_PREFIX, made + 1);
    let patch = json!({"metadata": {"annotations": {key: format!("approve {digest} {me}")}}});
    let params = PatchParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = action.name_any();
    let api =
        Api::<RemediationAction>::namespaced(ctx.client.clone(), &action.namespace().unwrap_or_default());
    let patch = Patch::Merge(&patch);
    let tried = ctx
        .call(
            format!("try a forged decision on {name}"),
            api.patch(&name, &params, &patch),
        )
        .await;
    verdict(tried.map(|_| ()))
}

/// An action that comes with a decision must be refused.
async fn at_large(ctx: &Context) -> Result<Probe, Error> {
    let namespace = ctx.config.watch_namespace.as_deref().unwrap_or("default");
    let me = ctx.whoami().await?;
    let mut action = RemediationAction::new(
        NEVER_MADE,
        RemediationActionSpec {
            model: NEVER_MADE.to_owned(),
            action: ActionType::SendAlert,
            target: None,
            candidate: None,
            accept_window: None,
            diagnosis: None,
            evidence: Vec::new(),
            message: Some("whether a forged decision is refused".to_owned()),
            dry_run: true,
            parent_ref: None,
        },
    );
    let forged = [
        (annotations::PROPOSED_BY.to_owned(), me.to_owned()),
        (
            format!("{}1", annotations::DECISION_PREFIX),
            format!("approve {NO_PLAN} {me}"),
        ),
    ];
    action.annotations_mut().extend(forged);
    let params = PostParams {
        dry_run: true,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let api = Api::<RemediationAction>::namespaced(ctx.client.clone(), namespace);
    let tried = ctx
        .call(
            "try an action with a forged decision",
            api.create(&params, &action),
        )
        .await;
    verdict(tried.map(|_| ()))
}

/// What an answer to a forged decision means. Only our own policy's refusal proves anything.
fn verdict(tried: Result<(), Error>) -> Result<Probe, Error> {
    let error = match tried {
        Ok(()) => {
            let message = format!(
                "a forged decision was let in: the admission policy {} is not at work",
                gate::DECISIONS
            );
            return Ok(Probe::NotRefused(message));
        }
        Err(error) => error,
    };
    let Error::Api { source, .. } = &error else {
        return Err(error);
    };
    let kube::Error::Api(status) = &**source else {
        return Err(error);
    };
    let by_us = format!("ValidatingAdmissionPolicy '{}'", gate::DECISIONS);
    match status.code {
        400 | 403 | 422 if status.message.contains(&by_us) => Ok(Probe::Refused),
        400 | 403 | 422 => Ok(Probe::NotRefused(format!(
            "a forged decision was refused, and not by the admission policy {}: {}",
            gate::DECISIONS,
            status.message
        ))),
        _ => Err(error),
    }
}

// === looking ===

/// Which policies there are, or what is wrong with them.
async fn ids(ctx: &Context, namespace: &str) -> Result<Result<GateIds, String>, Error> {
    let mut policies = Vec::new();
    let mut parameters = None;
    for name in gate::ALL {
        let policy = Api::<ValidatingAdmissionPolicy>::all(ctx.client.clone());
        let binding = Api::<ValidatingAdmissionPolicyBinding>::all(ctx.client.clone());
        let policy = ctx
            .call(
                format!("read ValidatingAdmissionPolicy {name}"),
                policy.get_opt(name),
            )
            .await;
        let binding = ctx
            .call(
                format!("read ValidatingAdmissionPolicyBinding {name}"),
                binding.get_opt(name),
            )
            .await;
        let (policy, binding) = match (readable(policy)?, readable(binding)?) {
            (Ok(policy), Ok(binding)) => (policy, binding),
            (Err(problem), _) | (_, Err(problem)) => return Ok(Err(problem)),
        };
        let Some(policy) = policy else {
            return Ok(Err(format!("the admission policy {name} is not there")));
        };
        let Some(binding) = binding else {
            return Ok(Err(format!(
                "the binding of the admission policy {name} is not there"
            )));
        };
        if let Some(problem) = weakness(name, &policy, &binding) {
            return Ok(Err(problem));
        }
        if name == gate::DECISIONS {
            parameters = binding.spec.as_ref().and_then(|spec| spec.param_ref.clone());
        }
        policies.push(PolicyId {
            name: name.to_owned(),
            uid: policy.uid().unwrap_or_default(),
            generation: policy.metadata.generation.unwrap_or_default(),
            binding_uid: binding.uid().unwrap_or_default(),
            binding_generation: binding.metadata.generation.unwrap_or_default(),
        });
    }
    let found = parameters.and_then(|found| Some((found.name?, found.namespace?)));
    let Some((map, of)) = found else {
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
                "the ConfigMap {of}/{map} with the operators is not there"
            )));
        }
        Err(problem) => return Ok(Err(problem)),
    };
    let operators = data
        .get(namespace)
        .or_else(|| data.get(OTHERS))
        .map(String::as_str)
        .unwrap_or_default();
    let me = ctx.whoami().await?;
    if !operators.split(',').any(|operator| operator == me) {
        return Ok(Err(format!(
            "{me} is not among the operators of namespace {namespace} in the ConfigMap {of}/{map}"
        )));
    }
    Ok(Ok(GateIds {
        policies,
        parameters: hex::encode(Sha256::digest(operators.as_bytes())),
    }))
}

/// Not to be allowed to look is a finding, not a failure.
fn readable<T>(read: Result<T, Error>) -> Result<Result<T, String>, Error> {
    match read {
        Ok(read) => Ok(Ok(read)),
        Err(error) if error.refused() => Ok(Err(format!(
            "whether approvals are enforced cannot be seen: {}",
            chain(&error)
        ))),
        Err(error) => Err(error),
    }
}

/// What makes a policy let through what it should not.
fn weakness(
    name: &str,
    policy: &ValidatingAdmissionPolicy,
    binding: &ValidatingAdmissionPolicyBinding,
) -> Option<String> {
    let spec = policy.spec.clone().unwrap_or_default();
    let bound = binding.spec.clone().unwrap_or_default();
    if policy.metadata.deletion_timestamp.is_some() || binding.metadata.deletion_timestamp.is_some() {
        return Some(format!("the admission policy {name} is being deleted"));
    }
    if spec
        .failure_policy
        .as_deref()
        .is_some_and(|policy| policy != "Fail")
    {
        return Some(format!("the admission policy {name} does not fail closed"));
    }
    if spec
        .match_conditions
        .is_some_and(|conditions| !conditions.is_empty())
        || spec.match_constraints.as_ref().is_some_and(selects)
    {
        return Some(format!("the admission policy {name} does not hold everywhere"));
    }
    if bound.policy_name.as_deref() != Some(name) {
        return Some(format!(
            "the binding {name} is not of the admission policy {name}"
        ));
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
        selects(resources)
            || resources
                .resource_rules
                .as_ref()
                .is_some_and(|rules| !rules.is_empty())
    });
    narrowed.then(|| {
        format!("the binding of the admission policy {name} was narrowed: it does not hold everywhere")
    })
}

fn selects(resources: &MatchResources) -> bool {
    let some = |selector: &Option<LabelSelector>| {
        selector.as_ref().is_some_and(|selector| {
            selector
                .match_labels
                .as_ref()
                .is_some_and(|labels| !labels.is_empty())
                || selector
                    .match_expressions
                    .as_ref()
                    .is_some_and(|expressions| !expressions.is_empty())
        })
    };
    some(&resources.namespace_selector)
        || some(&resources.object_selector)
        || resources
            .exclude_resource_rules
            .as_ref()
            .is_some_and(|rules| !rules.is_empty())
}
