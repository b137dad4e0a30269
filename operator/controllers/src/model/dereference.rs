//! What there is around a model: its versions, its Deployment and the Pods that refuse to serve. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, ContainerStatus, Pod, PodSpec},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::ListParams,
    core::{Selector, SelectorExt as _},
};
use modelward_core::{
    conditions,
    model::{ActionSeen, DeploymentSeen, Refusal, Rival, VersionSeen, World},
    objects::has_ended,
    pods,
    policy::Approval,
    reason::Reason,
};
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction, labels};
use serde_json::Value;

use crate::{
    Context, Error,
    model::build::{self, CONTAINER, ROUTES_VOLUME},
};

/// The exit code of an inference server whose bundle failed verification.
const VERIFICATION_FAILED: i32 = 3;

/// The versions of this model.
pub async fn versions(ctx: &Context, model: &Model) -> Result<Vec<ModelVersion>, Error> {
    let of_model = ListParams::default().fields(&format!("spec.model={}", model.name_any()));
    ctx.list(Some(&model.namespace().unwrap_or_default()), &of_model)
        .await
}

/// Looks at everything that a decision about this model needs.
pub async fn world(
    ctx: &Context,
    model: &Model,
    versions: &[ModelVersion],
) -> Result<(World, Vec<Pod>), Error> {
    let namespace = model.namespace().unwrap_or_default();
    let deployment = deployment(ctx, &namespace, model).await?;
    let rolled_out = deployment
        .as_ref()
        .is_some_and(|seen| seen.observed && seen.updated == seen.total && seen.available >= seen.wanted);
    let pods = pods(ctx, &namespace, model).await?;
    // What Pods say is of interest only while something may be wrong with them.
    let refusals = if rolled_out {
        Vec::new()
    } else {
        pods.iter().filter_map(refusal_of).collect()
    };
    let actions = ctx
        .actions_of(&namespace, &model.name_any(), model.metadata.uid.as_deref())
        .await?;
    let world = World {
        versions: versions.iter().map(version_seen).collect(),
        actions: actions.iter().map(action_seen).collect(),
        deployment,
        refusals,
        approve_first: ctx.config.policy.first_version.approval == Approval::Required,
        ..World::default()
    };
    Ok((world, pods))
}

/// The Pods that the model's Service finds.
async fn pods(ctx: &Context, namespace: &str, model: &Model) -> Result<Vec<Pod>, Error> {
    ctx.list::<Pod>(Some(namespace), &of_model(model)).await
}

/// The address of the model's Service.
pub fn address(service: &Value) -> Option<&str> {
    let address = service["spec"]["clusterIP"].as_str()?;
    (!address.is_empty() && address != "None").then_some(address)
}

/// A Pod that is not what the model's Deployment makes, and why.
pub struct Stray {
    /// The Pod.
    pub pod: Pod,
    /// What is wrong with it, in words.
    pub why: String,
}

/// Pods behind the Service that are not what the Deployment makes: they stand in no ReplicaSet of it, or another image was put
/// into them since. `sets` are read after the Pods, so a Pod's ReplicaSet is among them unless it is gone.
pub fn strays(model: &Model, pods: &[Pod], sets: &[ReplicaSet]) -> Vec<Stray> {
    let by_uid: BTreeMap<_, _> = sets.iter().filter_map(|set| Some((set.uid()?, set))).collect();
    let ours = |set: &ReplicaSet| {
        let mut owners = set.owner_references().iter();
        // One without an owner is taken in by the Deployment's controller, and scaled down.
        set.owner_references().is_empty()
            || owners.any(|owner| owner.kind == "Deployment" && owner.name == model.name_any())
    };
    let why = |pod: &Pod| {
        let controller = pod
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        let Some(set) = controller.filter(|owner| owner.kind == "ReplicaSet") else {
            return Some("no ReplicaSet made it".to_owned());
        };
        // A set that is gone takes its Pods with it.
        let set = by_uid.get(&set.uid)?;
        if !ours(set) {
            return Some(format!("ReplicaSet {} is not the Deployment's", set.name_any()));
        }
        let template = set.spec.as_ref()?.template.as_ref()?.spec.as_ref()?;
        let image = image_of(pod.spec.as_ref()?)?;
        let made_of = image_of(template)?;
        (image != made_of).then(|| format!("it runs image {image}, and its ReplicaSet {made_of}"))
    };
    pods.iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| {
            Some(Stray {
                why: why(pod)?,
                pod: pod.clone(),
            })
        })
        .collect()
}

fn image_of(pod: &PodSpec) -> Option<&str> {
    pod.containers
        .iter()
        .find(|container| container.name == CONTAINER)?
        .image
        .as_deref()
}

/// The `ReplicaSets` of the model's Deployment.
pub async fn sets(ctx: &Context, namespace: &str, model: &Model) -> Result<Vec<ReplicaSet>, Error> {
    ctx.list::<ReplicaSet>(Some(namespace), &of_model(model)).await
}

/// Autoscalers and disruption budgets that act on the model's Pods and are not the operator's. The admission policies refuse
/// them once the Model exists; these were made before it.
pub async fn rivals(ctx: &Context, namespace: &str, model: &Model) -> Result<Vec<Rival>, Error> {
    let name = model.name_any();
    let everything = ListParams::default();
    let scalers = ctx
        .list::<HorizontalPodAutoscaler>(Some(namespace), &everything)
        .await?;
    let scales = |scaler: &HorizontalPodAutoscaler| {
        let target = scaler.spec.as_ref().map(|spec| &spec.scale_target_ref);
        target.is_some_and(|target| target.kind == "Deployment" && target.name == name)
    };
    let budgets = ctx
        .list::<PodDisruptionBudget>(Some(namespace), &everything)
        .await?;
    let pods = build::label_map(model);
    let selects = |budget: &PodDisruptionBudget| {
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.clone());
        // One that cannot be read selects nothing.
        selector.is_some_and(|selector| {
            Selector::try_from(selector).is_ok_and(|selector| selector.matches(&pods))
        })
    };
    // Whether those of the model's own name are right is another question.
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

/// Names of the routes that `ReplicaSets` of the model's Deployment name, also those without Pods.
pub fn named_routes(sets: &[ReplicaSet]) -> BTreeSet<String> {
    let pods = sets
        .iter()
        .filter_map(|set| set.spec.as_ref()?.template.as_ref()?.spec.as_ref());
    pods.filter_map(routes_of).collect()
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

/// Whether a version needs nothing but time until it has passed its gates or has failed: it is not stalled, and it does not
/// wait for data or for a bundle that is absent.
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

/// How a Deployment stands.
pub fn deployment_seen(found: &Deployment) -> DeploymentSeen {
    let spec = found.spec.as_ref();
    let status = found.status.clone().unwrap_or_default();
    let conditions = || status.conditions.iter().flatten();
    let stuck = conditions()
        .filter(|condition| condition.type_ == "Progressing")
        .find(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"))
        .map(|condition| {
            let updated = condition.last_update_time.as_ref();
            let updated = updated.or(condition.last_transition_time.as_ref());
            updated.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
        });
    // The second one is all that says why the Deployment's new spec is not looked at.
    let failure = conditions()
        .find(|condition| {
            (condition.type_ == "ReplicaFailure" && condition.status == "True")
                || (condition.type_ == "Progressing"
                    && condition.reason.as_deref() == Some("ReplicaSetCreateError"))
        })
        .map(|condition| {
            let words = condition.message.clone().unwrap_or_default();
            if condition.reason.as_deref() == Some("FailedCreate") {
                format!(
                    "{words}; where its size is refused, spec.serving.resources of the version changes it"
                )
            } else {
                words
            }
        });
    DeploymentSeen {
        routes: spec.and_then(|spec| routes_of(spec.template.spec.as_ref()?)),
        observed: status.observed_generation == found.metadata.generation,
        wanted: spec.and_then(|spec| spec.replicas).unwrap_or(1),
        updated: status.updated_replicas.unwrap_or(0),
        available: status.available_replicas.unwrap_or(0),
        total: status.replicas.unwrap_or(0),
        deadline_exceeded: stuck,
        failure,
    }
}

/// Why a Pod does not serve, in Kubernetes' words.
fn refusal_of(pod: &Pod) -> Option<Refusal> {
    if pod.metadata.deletion_timestamp.is_some() {
        // It ends, and how it ends is no cause.
        return None;
    }
    let routes = routes_of(pod.spec.as_ref()?)?;
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let refusal = |message: String| {
        Some(Refusal {
            routes: routes.clone(),
            message: message.trim_end().to_owned(),
            verification: false,
        })
    };
    // Evicted, or lost with its node.
    if let (Some("Failed"), Some(reason)) = (status.phase.as_deref(), &status.reason) {
        let words = status.message.as_deref().unwrap_or_default();
        return refusal(format!("Pod {name}: {reason} {words}"));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        let words = condition.message.as_deref().unwrap_or_default();
        let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
        return refusal(format!("Pod {name}: {reason} {words}"));
    }
    let containers = || status.container_statuses.iter().flatten();
    if let Some(own) = containers().find(|container| container.name == CONTAINER) {
        if own.ready {
            return None;
        }
        if let Some(ended) = ended(own) {
            let (code, reason) = (ended.exit_code, ended.reason.as_deref().unwrap_or_default());
            let words = ended.message.as_deref().unwrap_or_default().trim();
            let words = match reason {
                "OOMKilled" => format!(
                    "OOMKilled, its memory limit, spec.serving.resources.limits.memory of the version, is {}. {words}",
                    pods::memory_limit(pod, CONTAINER).unwrap_or_else(|| "not set".to_owned())
                ),
                _ => words.to_owned(),
            };
            return Some(Refusal {
                routes,
                message: format!("Pod {name} ended with exit code {code}: {words}")
                    .trim_end()
                    .to_owned(),
                verification: code == VERIFICATION_FAILED,
            });
        }
    }
    // Ours first, then what has to run before or beside it.
    let own = containers().filter(|container| container.name == CONTAINER);
    let others = containers().filter(|container| container.name != CONTAINER);
    let before = status.init_container_statuses.iter().flatten();
    own.chain(before).chain(others).find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref();
        let waiting = waiting.filter(|waiting| {
            !matches!(
                waiting.reason.as_deref(),
                Some("ContainerCreating" | "PodInitializing")
            )
        });
        let of = if container.name == CONTAINER {
            String::new()
        } else {
            format!(", container {}", container.name)
        };
        let (reason, words) = match (waiting, ended(container).filter(|ended| ended.exit_code != 0)) {
            (Some(waiting), _) => (
                waiting.reason.clone().unwrap_or_default(),
                pods::without_local_port(waiting.message.as_deref().unwrap_or_default()),
            ),
            (None, Some(ended)) => (
                format!("exit code {}", ended.exit_code),
                ended.message.clone().unwrap_or_default(),
            ),
            (None, None) => return None,
        };
        refusal(format!("Pod {name}{of}: {reason} {words}"))
    })
}

fn ended(container: &ContainerStatus) -> Option<&k8s_openapi::api::core::v1::ContainerStateTerminated> {
    let now = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    now.or_else(|| container.last_state.as_ref()?.terminated.as_ref())
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

#[cfg(test)]
mod tests {
    use modelward_crds::ModelSpec;
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "heart-x", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "heart-1", "uid": "set", "controller": true},
            ]},
            "spec": {
                "volumes": [{"name": "routes", "configMap": {"name": "heart-routes-1"}}],
                "containers": [
                    {"name": "a-sidecar", "image": "mesh"},
                    {"name": "inference", "image": "good", "resources": {"limits": {"memory": "512Mi"}}},
                ],
            },
            "status": status,
        }))
        .unwrap()
    }

    fn words(status: &Value) -> Option<String> {
        refusal_of(&pod(status)).map(|refusal| refusal.message)
    }

    #[test]
    fn a_pod_that_does_not_serve_says_why_whatever_is_in_the_way() {
        let own = |state: Value| json!({"name": "inference", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        let other = |state: Value| json!({"name": "a-sidecar", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state});
        let creating = json!({"waiting": {"reason": "ContainerCreating"}});
        for (status, expected) in [
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient memory."}]}),
                Some("Pod heart-x: Unschedulable 0/1 nodes are available: 1 Insufficient memory."),
            ),
            (
                json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}),
                Some("Pod heart-x: Evicted The node was low on resource: memory."),
            ),
            // Sorted first, and ready.
            (
                json!({"containerStatuses": [
                    other(json!({"running": {}})),
                    own(json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}})),
                ]}),
                Some("Pod heart-x: ImagePullBackOff not found"),
            ),
            (
                json!({"containerStatuses": [own(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))]}),
                Some(
                    "Pod heart-x ended with exit code 137: OOMKilled, its memory limit, spec.serving.resources.limits.memory of the version, is 512Mi.",
                ),
            ),
            (
                json!({
                    "initContainerStatuses": [{"name": "setup", "image": "", "imageID": "", "ready": false, "restartCount": 1,
                        "state": {"terminated": {"exitCode": 2, "message": "no route"}}}],
                    "containerStatuses": [own(json!({"waiting": {"reason": "PodInitializing"}}))],
                }),
                Some("Pod heart-x, container setup: exit code 2 no route"),
            ),
            (
                json!({"containerStatuses": [
                    own(creating.clone()), other(json!({"waiting": {"reason": "ErrImagePull", "message": "mesh"}})),
                ]}),
                Some("Pod heart-x, container a-sidecar: ErrImagePull mesh"),
            ),
            (json!({"containerStatuses": [own(creating)]}), None),
        ] {
            assert_eq!(words(&status).as_deref(), expected, "{status}");
        }
    }

    #[test]
    fn a_pod_of_no_replica_set_of_ours_or_with_another_image_is_a_stray() {
        let model = Model::new("heart", ModelSpec::default());
        let set = |owner: &str, image: &str| -> ReplicaSet {
            serde_json::from_value(json!({
                "metadata": {"name": "heart-1", "uid": "set", "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner, "uid": "d", "controller": true},
                ]},
                "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "inference", "image": image}]}}},
            }))
            .unwrap()
        };
        let why = |pod: &Pod, sets: &[ReplicaSet]| {
            let found = strays(&model, std::slice::from_ref(pod), sets);
            found.into_iter().next().map(|stray| stray.why)
        };
        let made = pod(&json!({}));
        assert_eq!(why(&made, &[set("heart", "good")]), None);
        assert_eq!(why(&made, &[]), None, "its set is gone, and takes it along");
        let image = why(&made, &[set("heart", "other")]).unwrap();
        assert_eq!(image, "it runs image good, and its ReplicaSet other");
        let foreign = why(&made, &[set("evil", "good")]).unwrap();
        assert_eq!(foreign, "ReplicaSet heart-1 is not the Deployment's");
        let mut alone = made;
        alone.metadata.owner_references = None;
        assert_eq!(
            why(&alone, &[set("heart", "good")]).unwrap(),
            "no ReplicaSet made it"
        );
        alone.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            Timestamp::UNIX_EPOCH,
        ));
        assert_eq!(why(&alone, &[]), None, "it goes already");
    }
}
