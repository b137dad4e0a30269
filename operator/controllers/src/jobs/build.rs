//! The Job of an attempt, and the `ConfigMap` that it reads its spec from.

use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{Resource as _, ResourceExt as _};
use modelward_core::{attempt::StageJob, names::name_hash, pods::PREPARE, results};
use modelward_crds::{
    Dataset, MLFLOW_KEYS, ModelVersion, ModelVersionSpec, annotations, credential_keys, credential_variable,
};
use modelward_wire::{Digest, JobStage};
use serde_json::{Value, json};

use crate::{
    Config, Error,
    api::apply::build,
    jobs::{
        custom::{self, FitJob},
        names::spec_prefix,
        owner::JobOwner,
    },
    pod_template::{TOKEN_DIR, container_security, pod_security, pull_secrets, token_volume},
};

/// The trainer's container. A mesh or a policy may have added others to the Pod.
pub(super) const CONTAINER: &str = "trainer";

/// Mount paths of the Job's spec, its sources and its token.
const SPEC_FILE: &str = "/etc/modelward/job/spec.json";

/// The folder of the spec.
const SPEC_MOUNT: &str = "/etc/modelward/job";

/// Temporary files of a program.
const WORK_MOUNT: &str = "/work";

pub(super) const SPEC_KEY: &str = "spec.json";

/// The exit code of a trainer that SIGTERM ended.
const INTERRUPTED: i32 = 143;

const SOURCE_DIR: &str = "/data/source";

/// A Job to create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobRequest<'a> {
    /// Name, stage and attempt.
    pub stage: &'a StageJob,
    /// Name of the version in the trainer's spec.
    pub version: &'a str,
    /// The spec of the trainer. A snapshot reads its datasets.
    pub spec: &'a ModelVersionSpec,
    /// The snapshot that a fit reads.
    pub snapshot: Option<Digest>,
    /// Whether a snapshot counts the rows that the champion of the spec was not trained on.
    pub counts_new_rows: bool,
}

/// Whether a Job was created with another image or other resources than one that would be created now. This compares the operator's
/// settings, because the API server and webhooks change the object.
pub(super) fn is_outdated(job: &Job, config: &Config) -> bool {
    let made_with = job.annotations().get(annotations::SETTINGS);
    made_with.is_some_and(|made_with| *made_with != settings(config))
}

/// The hash of the settings that determine whether the Pod of a Job can run.
pub(super) fn settings(config: &Config) -> String {
    let resources = serde_json::to_vec(&config.trainer_resources).unwrap_or_default();
    name_hash([config.trainer_image.as_bytes(), &resources])
}

/// The `ConfigMap` that a Job reads its spec from.
pub(super) fn spec_of(job: &Job) -> Option<String> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let spec = volumes.iter().find(|volume| volume.name == "spec")?;
    Some(spec.config_map.as_ref()?.name.clone())
}

/// The spec as the trainer reads it.
pub(super) fn spec_text(owner: &JobOwner, version: &str, spec: &ModelVersionSpec) -> String {
    let object = json!({
        "apiVersion": ModelVersion::api_version(&()),
        "kind": ModelVersion::kind(&()),
        // No uid: the same spec has to give the same bundle.
        "metadata": {"name": version, "namespace": owner.namespace},
        "spec": spec,
    });
    object.to_string()
}

/// The `ConfigMap` with this text. Immutable, and named by its content.
pub(super) fn spec_map(owner: &JobOwner, text: &str) -> Result<ConfigMap, Error> {
    let hash = name_hash([owner.uid.as_bytes(), text.as_bytes()]);
    build(
        "ConfigMap",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("{}{hash}", spec_prefix(&owner.name)), "labels": owner.labels(None)},
            "immutable": true,
            "data": {SPEC_KEY: text},
        }),
    )
}

/// The Job; `spec` names the `ConfigMap` of [`spec_map`].
pub(super) fn job(
    config: &Config,
    owner: &JobOwner,
    request: &JobRequest<'_>,
    spec: &str,
) -> Result<Job, Error> {
    let stage = request.stage;
    let labels = owner.labels(Some(stage.stage));
    let mut inputs = inputs_of(request, spec);
    let environment = environment(config, request);
    let custom = match stage.stage {
        JobStage::Fit => custom::parts(&FitJob {
            config,
            version: request.version,
            spec: request.spec,
            arguments: &inputs.arguments,
            environment: &environment,
            mounts: &inputs.mounts,
        })?,
        JobStage::Snapshot | JobStage::Import => None,
    };
    let mut failure_rules = vec![
        // A Pod that was evicted, preempted or drained says nothing about the program, so it does not use up a retry.
        json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
        // Nor does one that was deleted: a signal ended its program.
        json!({"action": "Ignore", "onExitCodes": {
            "containerName": CONTAINER, "operator": "In", "values": [INTERRUPTED],
        }}),
    ];
    if custom.is_some() {
        failure_rules.push(json!({"action": "Ignore", "onExitCodes": {
            "containerName": PREPARE, "operator": "In", "values": [INTERRUPTED],
        }}));
    }
    let mut init_containers = Vec::new();
    let mut service_account = config.workload_service_account.clone();
    if let Some(custom) = custom {
        inputs.volumes.extend(custom.volumes);
        inputs.mounts.extend(custom.mounts);
        inputs.arguments.extend(custom.arguments);
        failure_rules.extend(custom.failure_rules);
        init_containers = custom.init_containers;
        service_account = custom.service_account.unwrap_or(service_account);
    }
    let training = request
        .spec
        .source
        .training
        .as_ref()
        .and_then(results::training_digest);
    let mut annotations = json!({annotations::SETTINGS: settings(config)});
    if let Some(training) = training {
        annotations[annotations::TRAINING] = json!(training);
    }
    build(
        "Job",
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": stage.name, "labels": labels, "ownerReferences": [owner.reference],
                "annotations": annotations,
            },
            "spec": {
                "backoffLimit": 2,
                "podFailurePolicy": {"rules": failure_rules},
                "activeDeadlineSeconds": config.training_deadline_seconds,
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "restartPolicy": "Never",
                        "serviceAccountName": service_account,
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "imagePullSecrets": pull_secrets(config),
                        "securityContext": pod_security(),
                        "initContainers": init_containers,
                        "containers": [{
                            "name": CONTAINER,
                            "image": config.trainer_image,
                            "imagePullPolicy": config.image_pull_policy,
                            "args": inputs.arguments,
                            "env": environment,
                            "resources": config.trainer_resources,
                            "securityContext": container_security(),
                            "volumeMounts": inputs.mounts,
                        }],
                        "volumes": inputs.volumes,
                    },
                },
            },
        }),
    )
}

/// The variables of a Job. Credentials of buckets are for the Job that reads them.
fn environment(config: &Config, request: &JobRequest<'_>) -> Vec<Value> {
    let mut variables = vec![
        json!({"name": "MODELWARD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
        json!({"name": "MODELWARD_JOB_UID", "valueFrom": {"fieldRef": {
            "fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}}),
        json!({"name": "MODELWARD_LEDGER_URL", "value": config.ledger_url}),
        json!({"name": "MODELWARD_LEDGER_TOKEN_FILE", "value": format!("{TOKEN_DIR}/token")}),
        json!({"name": "MODELWARD_ALLOW_SOURCES", "value": config.allow_sources.to_string()}),
        json!({"name": "MODELWARD_DENY_SOURCES", "value": config.deny_sources.to_string()}),
        json!({"name": "MODELWARD_MAX_DATASET_MIB", "value": config.max_dataset_mib.to_string()}),
        json!({"name": "TMPDIR", "value": WORK_MOUNT}),
    ];
    match request.stage.stage {
        JobStage::Snapshot | JobStage::Import => variables.extend(credentials(request.spec)),
        JobStage::Fit => {}
    }
    variables
}

/// The keys of the Secrets that datasets and an MLflow model name, each dataset's under separate names. The operator does not read them.
/// They are optional, so that the trainer reports an absent one. Otherwise the Pod would never start.
fn credentials(spec: &ModelVersionSpec) -> Vec<Value> {
    let mut variables = Vec::new();
    let from = |variable: &str, secret: &str, key: &str| {
        let of_secret = json!({"name": secret, "key": key, "optional": true});
        json!({"name": variable, "valueFrom": {"secretKeyRef": of_secret}})
    };
    for (index, dataset) in spec.source.datasets().enumerate() {
        let (Some(secret), Some(uri)) = (&dataset.credentials_secret, &dataset.uri) else {
            continue;
        };
        let keys = credential_keys(uri);
        variables.extend(keys.map(|key| from(&credential_variable(index, key), &secret.name, key)));
    }
    let mlflow = spec
        .source
        .artifact
        .as_ref()
        .and_then(|artifact| artifact.mlflow.as_ref());
    if let Some(secret) = mlflow.and_then(|mlflow| mlflow.credentials_secret.as_ref()) {
        variables.extend(MLFLOW_KEYS.map(|key| from(key, &secret.name, key)));
    }
    variables
}

/// What a Job reads, and the arguments that say where it is.
struct Inputs {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    arguments: Vec<Value>,
}

/// A snapshot and an import read their sources, a fit only the snapshot; `spec` names the `ConfigMap` of [`spec_map`].
fn inputs_of(request: &JobRequest<'_>, spec: &str) -> Inputs {
    let mut volumes = vec![
        json!({"name": "spec", "configMap": {"name": spec}}),
        json!({"name": "work", "emptyDir": {}}),
        token_volume(),
    ];
    let mut mounts = vec![
        json!({"name": "spec", "mountPath": SPEC_MOUNT, "readOnly": true}),
        json!({"name": "work", "mountPath": WORK_MOUNT}),
        json!({"name": "ledger-token", "mountPath": TOKEN_DIR, "readOnly": true}),
    ];
    let mut arguments = vec![json!(request.stage.stage.command())];
    arguments.extend([json!("--spec"), json!(SPEC_FILE)]);
    let mut mount = |source: SourceFile<'_>| {
        mounts.push(json!({"name": source.volume["name"], "mountPath": source.folder, "readOnly": true}));
        volumes.push(source.volume);
    };
    match request.stage.stage {
        JobStage::Snapshot => {
            for source in sources(request.spec) {
                arguments.extend(source.arguments("--source"));
                mount(source);
            }
            if request.counts_new_rows {
                arguments.push(json!("--count-new-rows"));
            }
        }
        JobStage::Import => {
            let artifact = request.spec.source.artifact.as_ref();
            let file = artifact.and_then(|artifact| artifact.file.as_deref());
            for source in sources(request.spec) {
                let is_model = file.is_some_and(|file| std::ptr::eq(file, source.dataset));
                let argument = if is_model { "--model" } else { "--sample" };
                arguments.extend(source.arguments(argument));
                mount(source);
            }
        }
        // A fit reads the snapshot and nothing else.
        JobStage::Fit => {
            if let Some(snapshot) = request.snapshot {
                arguments.extend([json!("--snapshot"), json!(snapshot)]);
            }
        }
    }
    arguments.push(json!("--publish"));
    Inputs {
        volumes,
        mounts,
        arguments,
    }
}

/// A dataset as mounted in a Pod.
pub(super) struct SourceFile<'a> {
    dataset: &'a Dataset,
    volume: Value,
    folder: String,
    files: Vec<&'a str>,
}

// === impl SourceFile ===

impl SourceFile<'_> {
    /// The paths of its files, each after this argument.
    fn arguments(&self, argument: &str) -> Vec<Value> {
        let paths = self.files.iter().map(|file| format!("{}/{file}", self.folder));
        paths.flat_map(|path| [json!(argument), json!(path)]).collect()
    }
}

/// The datasets that are mounted, each in a folder of its number. The trainer fetches addresses itself.
pub(super) fn sources(spec: &ModelVersionSpec) -> Vec<SourceFile<'_>> {
    let datasets = spec.source.datasets();
    datasets
        .enumerate()
        .filter_map(|(index, dataset)| {
            let name = format!("source-{index}");
            let volume = match (&dataset.config_map, &dataset.persistent_volume_claim) {
                (Some(source), _) => {
                    // Optional, so that the trainer reports a missing key. Otherwise the Pod would never start.
                    let items: Vec<Value> = dataset
                        .files()
                        .map(|key| json!({"key": key, "path": key}))
                        .collect();
                    let map = json!({"name": source.name, "items": items, "optional": true});
                    json!({"name": name, "configMap": map})
                }
                (_, Some(source)) => {
                    let claim = json!({"claimName": source.claim_name, "readOnly": true});
                    json!({"name": name, "persistentVolumeClaim": claim})
                }
                _ => return None,
            };
            Some(SourceFile {
                dataset,
                volume,
                folder: format!("{SOURCE_DIR}/{index}"),
                files: dataset.files().collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(training: &Value) -> ModelVersionSpec {
        serde_json::from_value(json!({
            "model": "heart", "source": {"training": training}, "serving": {"access": "Open"},
        }))
        .unwrap()
    }

    #[test]
    fn each_dataset_is_mounted_in_a_folder_of_its_number_and_addresses_are_not() {
        let spec = spec(&json!({
            "dataset": {"configMap": {"name": "cleveland", "key": "data.csv"}},
            "additionalDatasets": [
                {"name": "web", "dataset": {"uri": "https://example.com/x.csv"}},
                {"name": "disk", "dataset": {"persistentVolumeClaim": {"claimName": "disk", "path": "a/data.csv"}, "moreFiles": ["b.csv"]}},
            ],
            "target": {"column": "num"},
        }));
        let found: Vec<_> = sources(&spec)
            .iter()
            .flat_map(|source| {
                let path = |file| (source.volume["name"].clone(), format!("{}/{file}", source.folder));
                source.files.iter().map(path)
            })
            .collect();
        let expected = [
            (json!("source-0"), "/data/source/0/data.csv".to_owned()),
            (json!("source-2"), "/data/source/2/a/data.csv".to_owned()),
            (json!("source-2"), "/data/source/2/b.csv".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    fn import(artifact: &Value) -> ModelVersionSpec {
        serde_json::from_value(json!({
            "model": "heart", "source": {"artifact": artifact}, "serving": {"access": "Open"},
        }))
        .unwrap()
    }

    fn inputs_of_import(spec: &ModelVersionSpec) -> (Vec<Value>, usize) {
        let stage = StageJob {
            stage: JobStage::Import,
            name: "heart-1-import-0a1b2c3d".to_owned(),
            attempt: 1,
            input: String::new(),
        };
        let request = JobRequest {
            stage: &stage,
            version: "heart-1",
            spec,
            snapshot: None,
            counts_new_rows: false,
        };
        let inputs = inputs_of(&request, "heart-1-job-0a1b2c3d");
        assert_eq!(inputs.volumes.len(), inputs.mounts.len());
        (inputs.arguments, inputs.volumes.len() - 3)
    }

    #[test]
    fn an_import_has_what_is_mounted_as_its_model_and_its_sample() {
        let sample =
            json!({"dataset": {"persistentVolumeClaim": {"claimName": "disk", "path": "a/sample.csv"}}});
        let start = ["import", "--spec", "/etc/modelward/job/spec.json"];
        for (artifact, arguments, mounted) in [
            (
                json!({"file": {"configMap": {"name": "heart-model", "key": "model.txt"}}, "sample": sample}),
                &[
                    "--model",
                    "/data/source/0/model.txt",
                    "--sample",
                    "/data/source/1/a/sample.csv",
                ][..],
                2,
            ),
            (
                json!({"file": {"uri": "https://example.com/model.txt"}, "sample": sample}),
                &["--sample", "/data/source/1/a/sample.csv"],
                1,
            ),
            (
                json!({"mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion"}, "sample": sample}),
                &["--sample", "/data/source/0/a/sample.csv"],
                1,
            ),
            (
                json!({"mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion"}}),
                &[],
                0,
            ),
        ] {
            let (found, volumes) = inputs_of_import(&import(&artifact));
            let expected: Vec<&str> = start
                .iter()
                .chain(arguments)
                .chain(&["--publish"])
                .copied()
                .collect();
            assert_eq!((json!(found), volumes), (json!(expected), mounted), "{artifact}");
        }
    }

    #[test]
    fn an_import_gets_the_keys_of_its_bucket_and_of_its_registry_alone() {
        let names = |spec: &ModelVersionSpec| -> Vec<String> {
            let variables = credentials(spec);
            let text = |variable: &Value| {
                format!(
                    "{} {}",
                    variable["name"], variable["valueFrom"]["secretKeyRef"]["name"]
                )
            };
            variables
                .iter()
                .map(|variable| text(variable).replace('"', ""))
                .collect()
        };
        let sample = json!({"dataset": {"uri": "gs://own/x.csv", "credentialsSecret": {"name": "google"}}});
        let of_file = import(&json!({"file": {"uri": "https://example.com/m"}, "sample": sample}));
        assert_eq!(
            names(&of_file),
            ["MODELWARD_SOURCE_1_GOOGLE_SERVICE_ACCOUNT_KEY google"]
        );
        let of_registry = import(&json!({
            "mlflow": {"uri": "http://mlflow:5000", "model": "heart", "alias": "champion", "credentialsSecret": {"name": "mlflow"}},
            "sample": sample,
        }));
        let expected = [
            "MODELWARD_SOURCE_0_GOOGLE_SERVICE_ACCOUNT_KEY google",
            "MLFLOW_TRACKING_TOKEN mlflow",
            "MLFLOW_TRACKING_USERNAME mlflow",
            "MLFLOW_TRACKING_PASSWORD mlflow",
        ];
        assert_eq!(names(&of_registry), expected);
    }

    #[test]
    fn the_keys_of_a_secret_are_for_the_dataset_that_names_it_and_only_those_of_its_cloud() {
        let spec = spec(&json!({
            "dataset": {"uri": "https://example.com/x.csv"},
            "additionalDatasets": [
                {"name": "open", "dataset": {"uri": "s3://open/x.csv"}},
                {"name": "own", "dataset": {"uri": "gs://own/x.csv", "credentialsSecret": {"name": "google"}}},
            ],
            "target": {"column": "num"},
        }));
        let expected = json!([{
            "name": "MODELWARD_SOURCE_2_GOOGLE_SERVICE_ACCOUNT_KEY",
            "valueFrom": {"secretKeyRef": {"name": "google", "key": "GOOGLE_SERVICE_ACCOUNT_KEY", "optional": true}},
        }]);
        assert_eq!(json!(credentials(&spec)), expected);
    }
}
