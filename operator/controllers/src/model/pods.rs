//! The state of Pods and their Deployment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ContainerStatus, Pod, PodSpec},
};
use kube::ResourceExt as _;
use modelward_core::{
    model::{DeploymentSeen, Refusal},
    pods,
};
use modelward_crds::Model;

use crate::model::build::{CONTAINER, ROUTES_VOLUME};

/// The exit code of an inference server whose bundle failed verification.
const VERIFICATION_FAILED: i32 = 3;

/// A Pod that does not come from the model's Deployment, and why.
pub struct Stray {
    /// The Pod.
    pub pod: Pod,
    /// The reason, as text.
    pub why: String,
}

/// Pods behind the Service that do not come from the Deployment: they belong to none of its ReplicaSets, or their image was changed.
/// `sets` are read after the Pods, so a Pod's ReplicaSet is among them unless it was deleted.
pub fn strays(model: &Model, pods: &[Pod], sets: &[ReplicaSet]) -> Vec<Stray> {
    let by_uid: BTreeMap<_, _> = sets.iter().filter_map(|set| Some((set.uid()?, set))).collect();
    let ours = |set: &ReplicaSet| {
        let mut owners = set.owner_references().iter();
        // The Deployment's controller adopts one without an owner, and scales it down.
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
        // Pods of a deleted ReplicaSet are deleted with it.
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

/// The state of a Deployment.
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
    // Only the second one says why the Deployment's new spec is not processed.
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
                    "{words}; if a quota refuses it, raise the quota; if the Pod is too large, lower spec.serving.resources of the \
                     version"
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

/// Why a Pod does not serve, with the message of Kubernetes.
pub(super) fn refusal_of(pod: &Pod) -> Option<Refusal> {
    if pod.metadata.deletion_timestamp.is_some() {
        // It is terminating, which is not a cause.
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
    // The serving container first, then init containers and sidecars.
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

pub(super) fn ended(
    container: &ContainerStatus,
) -> Option<&k8s_openapi::api::core::v1::ContainerStateTerminated> {
    let now = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    now.or_else(|| container.last_state.as_ref()?.terminated.as_ref())
}

pub(super) fn routes_of(pod: &PodSpec) -> Option<String> {
    let volume = pod
        .volumes
        .as_ref()?
        .iter()
        .find(|volume| volume.name == ROUTES_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
