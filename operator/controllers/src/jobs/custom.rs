//! The parts of the Job of a training by a custom trainer.
//!
//! ```text
//! init container prepare:         snapshot ──► /mnt/modelward/input (all rows but the held-out ones)
//! init container custom-trainer:  /mnt/modelward/input, read-only ──► /mnt/modelward/output
//! container trainer:              /mnt/modelward/output, read-only, and the snapshot again ──► metrics, bundle
//! ```
//!
//! The image gets no token of the ledger, no spec and no file of the held-out rows: the trainer draws them from the snapshot again. What a user may
//! set of its container is a closed list.

use modelward_core::{
    custom_trainer::AllowedTrainer,
    pods::{CUSTOM_TRAINER, PREPARE},
};
use modelward_crds::{CustomTrainer, ModelVersionSpec, TrainingSource};
use serde_json::{Value, json};

use crate::{Config, Error, pod_template::container_security};

/// The folder of the files that the image trains on. The images of the trainer have a file /modelward.
const INPUT: &str = "/mnt/modelward/input";

/// The folder that the image writes its model to.
const OUTPUT: &str = "/mnt/modelward/output";

/// The exit code of `prepare` if it refuses spec or rows.
const REFUSED: i32 = 2;

/// The folder in which libraries of Kubernetes look for a token.
const API_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Limit on what the image may leave. The node evicts a Pod with more.
const OUTPUT_LIMIT: &str = "2Gi";

/// Limit on what the image may have in /tmp.
const SCRATCH_LIMIT: &str = "10Gi";

/// What a custom training adds to the Pod of a fit.
#[derive(Debug)]
pub(super) struct CustomParts {
    pub(super) init_containers: Vec<Value>,
    pub(super) volumes: Vec<Value>,
    /// Mounts of the trainer's container.
    pub(super) mounts: Vec<Value>,
    /// Arguments of the trainer's container.
    pub(super) arguments: Vec<Value>,
    /// Rules of the Job about Pods that failed.
    pub(super) failure_rules: Vec<Value>,
    /// The service account of the Pod, if it is not that of all Jobs.
    pub(super) service_account: Option<String>,
}

/// The Job of a fit, as far as its parts depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FitJob<'a> {
    pub(super) config: &'a Config,
    /// Name of the version.
    pub(super) version: &'a str,
    pub(super) spec: &'a ModelVersionSpec,
    /// The command of the fit: its stage, where spec and snapshot are, and that it publishes.
    pub(super) arguments: &'a [Value],
    /// Variables and mounts of the trainer's own containers.
    pub(super) environment: &'a [Value],
    pub(super) mounts: &'a [Value],
}

/// The parts of a custom training, if the Job is one.
pub(super) fn parts(job: &FitJob<'_>) -> Result<Option<CustomParts>, Error> {
    let Some((training, trainer)) = trainer_of(job.spec) else {
        return Ok(None);
    };
    // The decision has asked before; this is what the image is run as.
    let allowed = job
        .config
        .allowed_trainers
        .check(trainer)
        .map_err(|problem| Error::Unreadable {
            what: format!("source.training.customTrainer of {}", job.version),
            problem,
        })?;
    let mut volumes = vec![
        json!({"name": "input", "emptyDir": {}}),
        json!({"name": "output", "emptyDir": {"sizeLimit": OUTPUT_LIMIT}}),
        json!({"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_LIMIT}}),
    ];
    if allowed.service_account.is_some() {
        volumes.push(api_token_volume());
    }
    Ok(Some(CustomParts {
        init_containers: vec![prepare(job), custom_trainer(job, training, trainer, &allowed)],
        volumes,
        mounts: vec![json!({"name": "output", "mountPath": OUTPUT, "readOnly": true})],
        arguments: vec![json!("--trained"), json!(OUTPUT)],
        failure_rules: vec![
            // Spec or rows were refused, and would be again.
            json!({"action": "FailJob", "onExitCodes": {"containerName": PREPARE, "operator": "In", "values": [REFUSED]}}),
            // The same image with the same rows would fail again: the version's second attempt is its only other one.
            json!({"action": "FailJob", "onExitCodes": {"containerName": CUSTOM_TRAINER, "operator": "NotIn", "values": [0]}}),
        ],
        service_account: allowed.service_account,
    }))
}

fn trainer_of(spec: &ModelVersionSpec) -> Option<(&TrainingSource, &CustomTrainer)> {
    let training = spec.source.training.as_ref()?;
    Some((training, training.custom_trainer.as_deref()?))
}

/// Writes the files that the image trains on.
fn prepare(job: &FitJob<'_>) -> Value {
    let mut arguments = vec![json!("prepare")];
    arguments.extend(job.arguments.iter().skip(1).cloned());
    arguments.extend([json!("--out"), json!(INPUT)]);
    let mut mounts = job.mounts.to_vec();
    mounts.push(json!({"name": "input", "mountPath": INPUT}));
    json!({
        "name": PREPARE,
        "image": job.config.trainer_image,
        "imagePullPolicy": job.config.image_pull_policy,
        "args": arguments,
        "env": job.environment,
        "resources": job.config.trainer_resources,
        "securityContext": container_security(),
        "volumeMounts": mounts,
    })
}

fn custom_trainer(
    job: &FitJob<'_>,
    training: &TrainingSource,
    trainer: &CustomTrainer,
    allowed: &AllowedTrainer,
) -> Value {
    let mut mounts = vec![
        json!({"name": "input", "mountPath": INPUT, "readOnly": true}),
        json!({"name": "output", "mountPath": OUTPUT}),
        json!({"name": "scratch", "mountPath": "/tmp"}),
    ];
    if allowed.service_account.is_some() {
        mounts.push(json!({"name": "api-token", "mountPath": API_TOKEN, "readOnly": true}));
    }
    let mut container = json!({
        "name": CUSTOM_TRAINER,
        "image": allowed.image.to_string(),
        "imagePullPolicy": job.config.image_pull_policy,
        "env": variables(job, training, trainer),
        "resources": job.config.trainer_resources,
        "securityContext": container_security(),
        "volumeMounts": mounts,
    });
    if !trainer.args.is_empty() {
        container["args"] = json!(trainer.args);
    }
    container
}

/// The contract's variables, then those of the spec, which may refer to them.
fn variables(job: &FitJob<'_>, training: &TrainingSource, trainer: &CustomTrainer) -> Vec<Value> {
    let given = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut variables = vec![
        given("MODELWARD_CONTRACT", &format!("{INPUT}/contract.json")),
        given("MODELWARD_TRAIN_FILE", &format!("{INPUT}/train.csv")),
        given("MODELWARD_TRAIN_PARQUET", &format!("{INPUT}/train.parquet")),
        given("MODELWARD_OUTPUT_DIR", OUTPUT),
        given("MODELWARD_MODEL", &job.spec.model),
        given("MODELWARD_VERSION", job.version),
        // Kubernetes would expand a name with a variable in it, and reads $$ as $.
        given("MODELWARD_TARGET", &training.target.column.replace('$', "$$")),
        given("MODELWARD_FORMAT", trainer.format.as_str()),
        given("MODELWARD_SEED", &training.validation.seed.to_string()),
        json!({"name": "MODELWARD_THREADS", "valueFrom": {"resourceFieldRef": {
            "containerName": CUSTOM_TRAINER, "resource": "limits.cpu"}}}),
        json!({"name": "MODELWARD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
        json!({"name": "MODELWARD_JOB", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}}),
        json!({"name": "MODELWARD_JOB_UID", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}}),
    ];
    for home in ["HOME", "TMPDIR"] {
        if !trainer.env.iter().any(|variable| variable.name == home) {
            variables.push(given(home, "/tmp"));
        }
    }
    variables.extend(
        trainer
            .env
            .iter()
            .map(|variable| given(&variable.name, &variable.value)),
    );
    variables
}

/// What Kubernetes mounts if automountServiceAccountToken is true, for a single container.
fn api_token_volume() -> Value {
    json!({"name": "api-token", "projected": {"defaultMode": 420, "sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}})
}

#[cfg(test)]
mod tests;
