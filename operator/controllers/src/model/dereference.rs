//! Reads the world of a model: its versions, its Deployment and the Pods that do not serve. Reads only.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Pod},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    core::{Selector, SelectorExt as _},
};
use modelward_core::{
    conditions,
    model::{ActionSeen, DeploymentSeen, Rival, VersionSeen, World},
    objects::has_ended,
    policy::Approval,
    reason::Reason,
};
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction, labels};
use serde_json::Value;

use crate::{
    Error,
    api::Env,
    model::{
        build,
        pods::{deployment_seen, refusal_of, routes_of},
    },
};

/// The versions of this model.
pub async fn versions(env: &Env, model: &Model) -> Result<Vec<ModelVersion>, Error> {
    let of_model = ListParams::default().fields(&format!("spec.model={}", model.name_any()));
    env.list(Some(&model.namespace().unwrap_or_default()), &of_model)
        .await
}

/// Reads everything that a decision about this model needs.
pub async fn world(env: &Env, model: &Model, versions: &[ModelVersion]) -> Result<(World, Vec<Pod>), Error> {
    let namespace = model.namespace().unwrap_or_default();
    let deployment = deployment(env, &namespace, model).await?;
    let rolled_out = deployment
        .as_ref()
        .is_some_and(|seen| seen.observed && seen.updated == seen.total && seen.available >= seen.wanted);
    let pods = pods(env, &namespace, model).await?;
    // The state of Pods is needed only while they may have a problem.
    let refusals = if rolled_out {
        Vec::new()
    } else {
        pods.iter().filter_map(refusal_of).collect()
    };
    let actions = env
        .actions_of(&namespace, &model.name_any(), model.metadata.uid.as_deref())
        .await?;
    let world = World {
        versions: versions.iter().map(version_seen).collect(),
        actions: actions.iter().map(action_seen).collect(),
        deployment,
        refusals,
        approve_first: env.config.policy.first_version.approval == Approval::Required,
        ..World::default()
    };
    Ok((world, pods))
}

/// The Pods that the model's Service selects.
pub(super) async fn pods(env: &Env, namespace: &str, model: &Model) -> Result<Vec<Pod>, Error> {
    env.list::<Pod>(Some(namespace), &of_model(model)).await
}

/// The address of the model's Service.
pub fn address(service: &Value) -> Option<&str> {
    let address = service["spec"]["clusterIP"].as_str()?;
    (!address.is_empty() && address != "None").then_some(address)
}

/// The `ReplicaSets` of the model's Deployment.
pub async fn sets(env: &Env, namespace: &str, model: &Model) -> Result<Vec<ReplicaSet>, Error> {
    env.list::<ReplicaSet>(Some(namespace), &of_model(model)).await
}

/// Autoscalers and disruption budgets that act on the model's Pods and are not the operator's. The admission policies reject
/// them once the Model exists; these were created before it.
pub async fn rivals(env: &Env, namespace: &str, model: &Model) -> Result<Vec<Rival>, Error> {
    let name = model.name_any();
    let everything = ListParams::default();
    let scalers = env
        .list::<HorizontalPodAutoscaler>(Some(namespace), &everything)
        .await?;
    let scales = |scaler: &HorizontalPodAutoscaler| {
        let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
        target.is_some_and(|target| target.kind == "Deployment" && target.name == name)
    };
    let budgets = env
        .list::<PodDisruptionBudget>(Some(namespace), &everything)
        .await?;
    let pods = build::label_map(model);
    let selects = |budget: &PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        // An invalid selector selects nothing.
        selector.is_some_and(|selector| {
            Selector::try_from(selector).is_ok_and(|selector| selector.matches(&pods))
        })
    };
    // Objects with the model's own name are checked elsewhere.
    let scalers = scalers
        .iter()
        .filter(|scaler| scaler.name_any() != name && scales(scaler));
    let budgets = budgets
        .iter()
        .filter(|budget| budget.name_any() != name && selects(budget));
    let mut rivals: Vec<_> = scalers
        .map(|scaler| Rival::Autoscaler(scaler.name_any()))
        .chain(budgets.map(|budget| Rival::Budget(budget.name_any())))
        .collect();
    rivals.sort();
    Ok(rivals)
}

/// Names of the routes that `ReplicaSets` of the model's Deployment use, including those without Pods.
pub fn named_routes(sets: &[ReplicaSet]) -> BTreeSet<String> {
    let pods = sets
        .iter()
        .filter_map(|set| set.spec.as_ref()?.template.as_ref()?.spec.as_ref());
    pods.filter_map(routes_of).collect()
}

/// The routes that belong to the model.
pub async fn routes(env: &Env, namespace: &str, model: &Model) -> Result<Vec<ConfigMap>, Error> {
    let mut maps = env.list::<ConfigMap>(Some(namespace), &of_model(model)).await?;
    let uid = model.uid();
    maps.retain(|map| {
        map.owner_references()
            .iter()
            .any(|reference| Some(&reference.uid) == uid.as_ref())
    });
    Ok(maps)
}

fn version_seen(version: &ModelVersion) -> VersionSeen {
    let status = version.status.as_ref();
    let passed = status.and_then(|status| {
        let passed = conditions::is_true(&status.conditions, ConditionType::GatesPassed);
        let bundle = status.bundle.as_ref().filter(|_| passed)?;
        Some((bundle.digest, status.threshold.clone()?))
    });
    VersionSeen {
        name: version.name_any(),
        uid: version.uid().unwrap_or_default(),
        created: version
            .creation_timestamp()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        deleting: version.metadata.deletion_timestamp.is_some(),
        passed,
        serving: version.spec.serving.clone(),
        window_seconds: version.spec.monitoring.window_seconds,
        made_by: version
            .spec
            .provenance
            .as_ref()
            .map(|provenance| provenance.action.uid.clone()),
        role: status.and_then(|status| status.role),
        pending: is_pending(version),
    }
}

/// Whether a version needs only time until it has passed its gates or has failed: it is not stalled, and does not wait for absent
/// data or an absent bundle.
fn is_pending(version: &ModelVersion) -> bool {
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let waits_for_input = conditions.iter().any(|condition| {
        matches!(
            conditions::reason(condition),
            Some(Reason::DatasetNotFound | Reason::ArtifactMissing)
        )
    });
    version.metadata.deletion_timestamp.is_none()
        && !conditions::is_true(conditions, ConditionType::GatesPassed)
        && !conditions::is_true(conditions, ConditionType::Stalled)
        && !waits_for_input
}

fn action_seen(action: &RemediationAction) -> ActionSeen {
    let candidate = action.spec.candidate.as_ref().filter(|_| !action.spec.dry_run);
    ActionSeen {
        name: action.name_any(),
        uid: action.uid().unwrap_or_default(),
        open: !has_ended(action),
        candidate: candidate.map(|candidate| candidate.uid.clone().unwrap_or_else(|| candidate.name.clone())),
    }
}

async fn deployment(env: &Env, namespace: &str, model: &Model) -> Result<Option<DeploymentSeen>, Error> {
    let name = model.name_any();
    let api = Api::<Deployment>::namespaced(env.client.clone(), namespace);
    let found = env
        .call(format!("read Deployment {name}"), api.get_opt(&name))
        .await?;
    let ours = |found: &Deployment| {
        found
            .owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == model.uid().as_ref())
    };
    Ok(found.filter(ours).map(|found| deployment_seen(&found)))
}

fn of_model(model: &Model) -> ListParams {
    let name = model.name_any();
    ListParams::default().labels(&format!(
        "{}={name},app.kubernetes.io/name=modelward-inference",
        labels::MODEL
    ))
}
