//! What there is around a model: its versions, its Deployment and the Pods that refuse to serve. Reads only.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ConfigMap, Pod, PodSpec},
};
use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    action::has_ended,
    conditions,
    model::{ActionSeen, DeploymentSeen, Refusal, VersionSeen, World},
};
use modelward_crds::{Model, ModelVersion, RemediationAction, conditions::types, labels};

use crate::{Context, Error, model::build::ROUTES_VOLUME};

/// The exit code of an inference server whose bundle failed verification.
const VERIFICATION_FAILED: i32 = 3;

/// The versions of this model.
pub async fn versions(ctx: &Context, model: &Model) -> Result<Vec<ModelVersion>, Error> {
    let of_model = ListParams::default().fields(&format!("spec.model={}", model.name_any()));
    ctx.list(Some(&model.namespace().unwrap_or_default()), &of_model)
        .await
}

/// Looks at everything that a decision about this model needs.
pub async fn world(ctx: &Context, model: &Model, versions: &[ModelVersion]) -> Result<World, Error> {
    let namespace = model.namespace().unwrap_or_default();
    let deployment = deployment(ctx, &namespace, model).await?;
    let rolled_out = deployment
        .as_ref()
        .is_some_and(|seen| seen.observed && seen.updated == seen.total && seen.available >= seen.wanted);
    // Pods are read only while something may be wrong with them.
    let refusals = if rolled_out {
        Vec::new()
    } else {
        refusals(ctx, &namespace, model).await?
    };
    let about = ListParams::default().fields(&format!("spec.model={}", model.name_any()));
    let actions = ctx.list::<RemediationAction>(Some(&namespace), &about).await?;
    Ok(World {
        versions: versions.iter().map(version_seen).collect(),
        actions: actions.iter().map(action_seen).collect(),
        deployment,
        refusals,
        taken: None,
        refused: None,
    })
}

/// Names of the routes that `ReplicaSets` of the model's Deployment name, also those without Pods.
pub async fn named_routes(ctx: &Context, namespace: &str, model: &Model) -> Result<BTreeSet<String>, Error> {
    let sets = ctx.list::<ReplicaSet>(Some(namespace), &of_model(model)).await?;
    let pods = sets
        .iter()
        .filter_map(|set| set.spec.as_ref()?.template.as_ref()?.spec.as_ref());
    Ok(pods.filter_map(routes_of).collect())
}

/// The routes that belong to the model.
pub async fn routes(ctx: &Context, namespace: &str, model: &Model) -> Result<Vec<ConfigMap>, Error> {
    let mut maps = ctx.list::<ConfigMap>(Some(namespace), &of_model(model)).await?;
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
        let passed = conditions::is_true(&status.conditions, types::GATES_PASSED);
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
    }
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

async fn deployment(ctx: &Context, namespace: &str, model: &Model) -> Result<Option<DeploymentSeen>, Error> {
    let name = model.name_any();
    let api = Api::<Deployment>::namespaced(ctx.client.clone(), namespace);
    let found = ctx
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

fn deployment_seen(found: &Deployment) -> DeploymentSeen {
    let spec = found.spec.as_ref();
    let status = found.status.clone().unwrap_or_default();
    let stuck = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing" && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    DeploymentSeen {
        routes: spec.and_then(|spec| routes_of(spec.template.spec.as_ref()?)),
        observed: status.observed_generation == found.metadata.generation,
        wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        updated: status.updated_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        total: status.replicas.unwrap_or(0),
        deadline_exceeded: stuck,
    }
}

/// The last words of the Pods that do not serve.
async fn refusals(ctx: &Context, namespace: &str, model: &Model) -> Result<Vec<Refusal>, Error> {
    let pods = ctx.list::<Pod>(Some(namespace), &of_model(model)).await?;
    Ok(pods.iter().filter_map(refusal_of).collect())
}

fn refusal_of(pod: &Pod) -> Option<Refusal> {
    let routes = routes_of(pod.spec.as_ref()?)?;
    let container = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let ended = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let ended = ended.or_else(|| container.last_state.as_ref()?.terminated.as_ref());
    if container.ready {
        return None;
    }
    let name = pod.name_any();
    if let Some(ended) = ended {
        let message = ended.message.as_deref().unwrap_or_default().trim();
        let message = format!("Pod {name} ended with exit code {}: {message}", ended.exit_code);
        return Some(Refusal {
            routes,
            message,
            verification: ended.exit_code == VERIFICATION_FAILED,
        });
    }
    let waiting = waiting.filter(|waiting| waiting.reason.as_deref() != Some("ContainerCreating"))?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = format!(
        "Pod {name}: {reason} {}",
        waiting.message.as_deref().unwrap_or_default()
    );
    Some(Refusal {
        routes,
        message,
        verification: false,
    })
}

fn routes_of(pod: &PodSpec) -> Option<String> {
    let volume = pod
        .volumes
        .as_ref()?
        .iter()
        .find(|volume| volume.name == ROUTES_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.clone())
}

fn of_model(model: &Model) -> ListParams {
    let name = model.name_any();
    ListParams::default().labels(&format!(
        "{}={name},app.kubernetes.io/name=modelward-inference",
        labels::MODEL
    ))
}
