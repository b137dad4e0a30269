//! From a decision to the objects that carry it out. Pure.

use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{Resource as _, ResourceExt as _};
use modelward_core::{name_hash, version::StageJob};
use modelward_crds::{Model, ModelVersion, labels};
use modelward_wire::{Digest, JobStage, LEDGER_AUDIENCE};
use serde_json::{Value, json};

use crate::{Config, Error, apply::build};

/// User and group of every container that the operator makes.
pub const USER: i64 = 65532;

/// Where the job's spec, its source and its token are mounted.
const SPEC_FILE: &str = "/etc/modelward/job/spec.json";
const SOURCE_DIR: &str = "/data/source";
const TOKEN_DIR: &str = "/var/run/secrets/modelward/ledger";

/// The record of the version's model, owned by this version until the `Model` controller adds the others.
pub fn model(version: &ModelVersion) -> Result<Model, Error> {
    let owner = version.owner_ref(&()).ok_or(Error::Incomplete {
        what: "ModelVersion",
        field: "metadata.uid",
    })?;
    build(
        "Model",
        json!({
            "apiVersion": Model::api_version(&()),
            "kind": Model::kind(&()),
            "metadata": {"name": version.spec.model, "ownerReferences": [owner]},
            "spec": {},
        }),
    )
}

/// The version as its Jobs read it. Immutable, and named by its content.
pub fn job_spec(version: &ModelVersion) -> Result<ConfigMap, Error> {
    let object = json!({
        "apiVersion": ModelVersion::api_version(&()),
        "kind": ModelVersion::kind(&()),
        // No uid: the same spec has to give the same bundle.
        "metadata": {"name": version.name_any(), "namespace": version.namespace()},
        "spec": version.spec,
    });
    let content = object.to_string();
    let uid = version.uid().unwrap_or_default();
    let name = format!(
        "{}-job-{}",
        version.name_any(),
        name_hash([uid.as_bytes(), content.as_bytes()])
    );
    build(
        "ConfigMap",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": job_labels(version, None)},
            "immutable": true,
            "data": {"spec.json": content},
        }),
    )
}

/// The Job of a stage.
///
/// `spec` names the `ConfigMap` of [`job_spec`]; a fit reads `snapshot`.
pub fn job(
    config: &Config,
    version: &ModelVersion,
    stage: &StageJob,
    spec: &str,
    snapshot: Option<&Digest>,
) -> Result<Job, Error> {
    let owner = version.controller_owner_ref(&()).ok_or(Error::Incomplete {
        what: "ModelVersion",
        field: "metadata.uid",
    })?;
    let labels = job_labels(version, Some(stage.stage));
    let (source_volume, source_mount) = source(version, stage.stage);
    let mut volumes = vec![
        json!({"name": "spec", "configMap": {"name": spec}}),
        json!({"name": "work", "emptyDir": {}}),
        token_volume(),
    ];
    let mut mounts = vec![
        json!({"name": "spec", "mountPath": "/etc/modelward/job", "readOnly": true}),
        json!({"name": "work", "mountPath": "/work"}),
        json!({"name": "ledger-token", "mountPath": TOKEN_DIR, "readOnly": true}),
    ];
    volumes.extend(source_volume);
    mounts.extend(source_mount);
    build(
        "Job",
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": stage.name, "labels": labels, "ownerReferences": [owner]},
            "spec": {
                "backoffLimit": 2,
                "activeDeadlineSeconds": config.training_deadline_seconds,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "restartPolicy": "Never",
                        "serviceAccountName": config.workload_service_account,
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "imagePullSecrets": pull_secrets(config),
                        "securityContext": pod_security(),
                        "containers": [{
                            "name": "trainer",
                            "image": config.trainer_image,
                            "imagePullPolicy": config.image_pull_policy,
                            "args": arguments(version, stage, snapshot),
                            "env": [
                                {"name": "MODELWARD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                                {"name": "MODELWARD_JOB_UID", "valueFrom": {"fieldRef": {
                                    "fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}},
                                {"name": "MODELWARD_LEDGER_URL", "value": config.ledger_url},
                                {"name": "MODELWARD_LEDGER_TOKEN_FILE", "value": format!("{TOKEN_DIR}/token")},
                                {"name": "TMPDIR", "value": "/work"},
                            ],
                            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
                            "securityContext": container_security(),
                            "volumeMounts": mounts,
                        }],
                        "volumes": volumes,
                    },
                },
            },
        }),
    )
}

fn arguments(version: &ModelVersion, stage: &StageJob, snapshot: Option<&Digest>) -> Vec<String> {
    let mut arguments: Vec<String> = match stage.stage {
        JobStage::Snapshot => vec!["snapshot".into(), "--spec".into(), SPEC_FILE.into()],
        JobStage::Fit => vec!["fit".into(), "--spec".into(), SPEC_FILE.into()],
    };
    match stage.stage {
        JobStage::Snapshot => {
            if let Some(file) = source_file(version) {
                arguments.extend(["--source".into(), format!("{SOURCE_DIR}/{file}")]);
            }
        }
        JobStage::Fit => {
            if let Some(snapshot) = snapshot {
                arguments.extend(["--snapshot".into(), snapshot.to_string()]);
            }
        }
    }
    arguments.push("--publish".into());
    arguments
}

/// The file below [`SOURCE_DIR`]; none where the trainer fetches an address itself.
fn source_file(version: &ModelVersion) -> Option<&str> {
    let dataset = &version.spec.source.training.dataset;
    match (&dataset.config_map, &dataset.persistent_volume_claim) {
        (Some(source), _) => Some(&source.key),
        (_, Some(source)) => Some(&source.path),
        _ => None,
    }
}

fn source(version: &ModelVersion, stage: JobStage) -> (Option<Value>, Option<Value>) {
    if stage == JobStage::Fit {
        // A fit reads the snapshot and nothing else.
        return (None, None);
    }
    let dataset = &version.spec.source.training.dataset;
    let volume = if let Some(source) = &dataset.config_map {
        // Optional: a key that is missing is the trainer's to report, in words, instead of a Pod that never starts.
        let items = [json!({"key": source.key, "path": source.key})];
        json!({"name": "source", "configMap": {"name": source.name, "items": items, "optional": true}})
    } else if let Some(source) = &dataset.persistent_volume_claim {
        json!({"name": "source", "persistentVolumeClaim": {"claimName": source.claim_name, "readOnly": true}})
    } else {
        return (None, None);
    };
    (
        Some(volume),
        Some(json!({"name": "source", "mountPath": SOURCE_DIR, "readOnly": true})),
    )
}

fn job_labels(version: &ModelVersion, stage: Option<JobStage>) -> Value {
    let mut all = json!({
        "app.kubernetes.io/name": "modelward-trainer",
        "app.kubernetes.io/instance": version.spec.model,
        "app.kubernetes.io/managed-by": "modelward-operator",
        labels::MODEL: version.spec.model,
        labels::VERSION: version.name_any(),
    });
    if let Some(stage) = stage {
        all[labels::STAGE] = match stage {
            JobStage::Snapshot => "snapshot".into(),
            JobStage::Fit => "fit".into(),
        };
    }
    all
}

// === what all our Pods share ===

/// A token for the ledger alone, renewed in place.
pub fn token_volume() -> Value {
    let token = json!({"serviceAccountToken": {"audience": LEDGER_AUDIENCE, "expirationSeconds": 600, "path": "token"}});
    json!({"name": "ledger-token", "projected": {"sources": [token]}})
}

/// What the restricted Pod Security Standard asks of a Pod.
pub fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// What the restricted Pod Security Standard asks of a container, and a read-only root beside it.
pub fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// References to the Secrets with credentials of the registry.
pub fn pull_secrets(config: &Config) -> Vec<Value> {
    config
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}))
        .collect()
}
