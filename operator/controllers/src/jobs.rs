//! Jobs of the trainer, whoever asks for them: a `ModelVersion`, or a `RemediationAction` that has its data read.
//!
//! A Job has an owner, a stage, its spec in an immutable `ConfigMap`, and one token, for the ledger. What it left is read
//! from the termination message of its Pod, else from the ledger, and an artifact that it names counts only where the store
//! has it.

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, ObjectReference, PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, PostParams},
};
use modelward_core::{
    attempt::{Asker, DatasetSeen, JobSeen, StageJob},
    name_hash,
};
use modelward_crds::{
    AttemptStatus, Dataset, FIELD_MANAGER, ModelVersion, ModelVersionSpec, RemediationAction, TrainingSource,
    labels,
};
use modelward_wire::{Digest, JobResult, JobStage, LEDGER_AUDIENCE, ManifestKind};
use serde_json::{Value, json};

use crate::{
    Config, Context, Error,
    apply::{self, Applied, Owner, build},
};

/// User and group of every container that the operator makes.
pub(crate) const USER: i64 = 65532;

/// Failed Jobs that stay for their logs.
const FAILED_KEPT: usize = 2;

/// Where the job's spec, its sources and its token are mounted.
const SPEC_FILE: &str = "/etc/modelward/job/spec.json";
const SOURCE_DIR: &str = "/data/source";
const TOKEN_DIR: &str = "/var/run/secrets/modelward/ledger";

/// The object that Jobs belong to.
#[derive(Clone, Debug)]
pub(crate) struct JobOwner {
    /// The namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Name of the model that it is about.
    pub model: String,
    /// Label that carries its name on its Jobs.
    label: &'static str,
    /// What people call it.
    word: &'static str,
    reference: OwnerReference,
    about: ObjectReference,
}

/// A Job to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobRequest<'a> {
    /// Name, stage and attempt.
    pub stage: &'a StageJob,
    /// Name of the version that the trainer is told.
    pub version: &'a str,
    /// What the trainer is told to do. A snapshot reads its datasets.
    pub spec: &'a ModelVersionSpec,
    /// What a fit reads.
    pub snapshot: Option<Digest>,
}

/// What came of making a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Started {
    /// It is there and has this uid.
    Made(String),
    /// A namesake of ours has to go first.
    Going,
    /// An object of a needed name is not ours.
    Taken(String),
}

/// Makes the Job, and the `ConfigMap` that it reads its spec from, unless they are there.
pub(crate) async fn start(
    ctx: &Context,
    owner: &JobOwner,
    request: &JobRequest<'_>,
) -> Result<Started, Error> {
    let children = Owner {
        reference: owner.reference.clone(),
        about: &owner.about,
        settled: false,
    };
    let spec = spec_map(owner, request)?;
    let spec_name = spec.name_any();
    match apply::child(ctx, &owner.namespace, &children, spec).await? {
        Applied::Going => return Ok(Started::Going),
        Applied::Taken => return Ok(Started::Taken(format!("ConfigMap {spec_name}"))),
        Applied::Unchanged | Applied::Written => {}
    }
    let job = job(&ctx.config, owner, request, &spec_name)?;
    let name = job.name_any();
    let api = Api::<Job>::namespaced(ctx.client.clone(), &owner.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    // It may be there: made by a reconcile that did not come to write it down.
    let there = ctx.call(format!("read Job {name}"), api.get_opt(&name)).await?;
    let made = if let Some(job) = there {
        job
    } else {
        let create = api.create(&params, &job);
        let made = ctx.call(format!("create Job {name}"), create).await?;
        ctx.metrics.wrote("Job", "create");
        made
    };
    if !is_owned(&made, &owner.uid) {
        return Ok(Started::Taken(format!("Job {name}")));
    }
    if made.metadata.deletion_timestamp.is_some() {
        return Ok(Started::Going);
    }
    Ok(Started::Made(made.uid().unwrap_or_default()))
}

/// How the Job of an attempt stands, and what it left.
pub(crate) async fn seen(
    ctx: &Context,
    owner: &JobOwner,
    stage: JobStage,
    attempt: &AttemptStatus,
) -> Result<JobSeen, Error> {
    let namespace = &owner.namespace;
    let api = Api::<Job>::namespaced(ctx.client.clone(), namespace);
    let name = &attempt.job;
    let job = ctx.call(format!("read Job {name}"), api.get_opt(name)).await?;
    let job = job.filter(|job| is_owned(job, &owner.uid));
    let uid = job
        .as_ref()
        .and_then(kube::ResourceExt::uid)
        .or_else(|| attempt.job_uid.clone());

    let ended_well = match &job {
        Some(job) if has_failed(job) => return failure(ctx, namespace, job).await,
        Some(job) => has_condition(job, "Complete"),
        // Deleted by somebody before its result was recorded: the ledger may know it.
        None => true,
    };
    if !ended_well {
        return Ok(JobSeen::Running);
    }
    let said = match &job {
        Some(job) => terminations(ctx, namespace, job)
            .await?
            .into_iter()
            .find_map(|text| parse(&text, stage)),
        None => None,
    };
    let result = match (said, uid) {
        (Some(result), _) => Some(result),
        (None, Some(uid)) => match ctx.ledger.job_result(namespace, &uid).await {
            Ok(result) => result,
            Err(error) => {
                ctx.metrics.ledger_failed();
                return Ok(JobSeen::LedgerUnavailable(error.chain()));
            }
        },
        (None, None) => None,
    };
    match result {
        Some(result) => checked(ctx, namespace, result).await,
        None if job.is_some() => Ok(JobSeen::ResultLost),
        None => Ok(JobSeen::Missing),
    }
}

/// Deletes Jobs whose results are recorded: all but those of attempts that are under way. Failed ones stay for their logs,
/// the newest of them.
pub(crate) async fn collect(
    ctx: &Context,
    owner: &JobOwner,
    attempts: &[Option<&AttemptStatus>],
) -> Result<(), Error> {
    let mut failed = Vec::new();
    for job in jobs(ctx, owner).await? {
        let awaited = attempts
            .iter()
            .flatten()
            .any(|attempt| !attempt.finished && attempt.job == job.name_any());
        if awaited || job.metadata.deletion_timestamp.is_some() {
            continue;
        }
        if has_failed(&job) {
            failed.push(job);
        } else {
            apply::delete(ctx, &owner.namespace, &job).await?;
        }
    }
    failed.sort_by_key(|job| std::cmp::Reverse(job.creation_timestamp().map(|time| time.0)));
    for job in failed.into_iter().skip(FAILED_KEPT) {
        apply::delete(ctx, &owner.namespace, &job).await?;
    }
    Ok(())
}

/// Whether the data of a training is there. Only metadata is read: the operator may not see the data of its users.
pub(crate) async fn dataset_seen(
    ctx: &Context,
    namespace: &str,
    training: &TrainingSource,
) -> Result<DatasetSeen, Error> {
    let mut fingerprints = Vec::new();
    let mut absent = Vec::new();
    for dataset in training.datasets() {
        match fingerprint(ctx, namespace, dataset).await? {
            Ok(fingerprint) => fingerprints.push(fingerprint),
            Err(what) if absent.contains(&what) => {}
            Err(what) => absent.push(what),
        }
    }
    if !absent.is_empty() {
        return Ok(DatasetSeen::Absent(absent));
    }
    Ok(DatasetSeen::Present(match &fingerprints[..] {
        [one] => one.clone(),
        all => name_hash(all.iter().map(String::as_bytes)),
    }))
}

// === impl JobOwner ===

impl JobOwner {
    /// A version, for which data is read and a model is fitted.
    pub(crate) fn version(version: &ModelVersion) -> Result<Self, Error> {
        Self::of(version, &version.spec.model, labels::VERSION, "version")
    }

    /// An action, for which data is read before its plan is made.
    pub(crate) fn action(action: &RemediationAction) -> Result<Self, Error> {
        Self::of(action, &action.spec.model, labels::ACTION, "action")
    }

    /// Who it is in decisions.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker {
            name: &self.name,
            uid: &self.uid,
            word: self.word,
        }
    }

    fn of<K>(object: &K, model: &str, label: &'static str, word: &'static str) -> Result<Self, Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let incomplete = Error::Incomplete {
            what: word,
            field: "metadata.uid",
        };
        Ok(Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            model: model.to_owned(),
            label,
            word,
            reference: object.controller_owner_ref(&()).ok_or(incomplete)?,
            about: object.object_ref(&()),
        })
    }

    /// Its name as a label takes it: 63 characters at most.
    fn label_value(&self) -> String {
        if self.name.len() <= 63 {
            self.name.clone()
        } else {
            self.asker().short_name()
        }
    }

    fn labels(&self, stage: Option<JobStage>) -> Value {
        let mut all = json!({
            "app.kubernetes.io/name": "modelward-trainer",
            "app.kubernetes.io/instance": self.model,
            "app.kubernetes.io/managed-by": "modelward-operator",
            labels::MODEL: self.model,
            self.label: self.label_value(),
        });
        if let Some(stage) = stage {
            all[labels::STAGE] = match stage {
                JobStage::Snapshot => "snapshot".into(),
                JobStage::Fit => "fit".into(),
            };
        }
        all
    }
}

// === what is made ===

/// What the trainer is told. Immutable, and named by its content.
fn spec_map(owner: &JobOwner, request: &JobRequest<'_>) -> Result<ConfigMap, Error> {
    let object = json!({
        "apiVersion": ModelVersion::api_version(&()),
        "kind": ModelVersion::kind(&()),
        // No uid: the same spec has to give the same bundle.
        "metadata": {"name": request.version, "namespace": owner.namespace},
        "spec": request.spec,
    });
    let content = object.to_string();
    let hash = name_hash([owner.uid.as_bytes(), content.as_bytes()]);
    build(
        "ConfigMap",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("{}-job-{hash}", owner.asker().short_name()), "labels": owner.labels(None)},
            "immutable": true,
            "data": {"spec.json": content},
        }),
    )
}

/// The Job; `spec` names the `ConfigMap` of [`spec_map`].
fn job(config: &Config, owner: &JobOwner, request: &JobRequest<'_>, spec: &str) -> Result<Job, Error> {
    let stage = request.stage;
    let labels = owner.labels(Some(stage.stage));
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
    let mut arguments = vec![json!(match stage.stage {
        JobStage::Snapshot => "snapshot",
        JobStage::Fit => "fit",
    })];
    arguments.extend([json!("--spec"), json!(SPEC_FILE)]);
    match stage.stage {
        JobStage::Snapshot => {
            for source in sources(request.spec) {
                arguments.extend([
                    json!("--source"),
                    json!(format!("{}/{}", source.folder, source.file)),
                ]);
                mounts.push(
                    json!({"name": source.volume["name"], "mountPath": source.folder, "readOnly": true}),
                );
                volumes.push(source.volume);
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
    build(
        "Job",
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": stage.name, "labels": labels, "ownerReferences": [owner.reference]},
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
                            "args": arguments,
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

/// A dataset as a Pod sees it.
struct SourceFile<'a> {
    volume: Value,
    folder: String,
    file: &'a str,
}

/// The datasets that are mounted, each in a folder of its number. The trainer fetches addresses itself.
fn sources(spec: &ModelVersionSpec) -> Vec<SourceFile<'_>> {
    let datasets = spec.source.training.iter().flat_map(TrainingSource::datasets);
    datasets
        .enumerate()
        .filter_map(|(index, dataset)| {
            let name = format!("source-{index}");
            let (volume, file) = match (&dataset.config_map, &dataset.persistent_volume_claim) {
                (Some(source), _) => {
                    // Optional: a key that is missing is the trainer's to report, in words, instead of a Pod that never
                    // starts.
                    let items = [json!({"key": source.key, "path": source.key})];
                    let map = json!({"name": source.name, "items": items, "optional": true});
                    (json!({"name": name, "configMap": map}), &source.key)
                }
                (_, Some(source)) => {
                    let claim = json!({"claimName": source.claim_name, "readOnly": true});
                    (
                        json!({"name": name, "persistentVolumeClaim": claim}),
                        &source.path,
                    )
                }
                _ => return None,
            };
            let folder = format!("{SOURCE_DIR}/{index}");
            Some(SourceFile { volume, folder, file })
        })
        .collect()
}

// === what all our Pods share ===

/// A token for the ledger alone, renewed in place.
pub(crate) fn token_volume() -> Value {
    let token = json!({"serviceAccountToken": {"audience": LEDGER_AUDIENCE, "expirationSeconds": 600, "path": "token"}});
    json!({"name": "ledger-token", "projected": {"sources": [token]}})
}

/// What the restricted Pod Security Standard asks of a Pod.
pub(crate) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// What the restricted Pod Security Standard asks of a container, and a read-only root beside it.
pub(crate) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// References to the Secrets with credentials of the registry.
pub(crate) fn pull_secrets(config: &Config) -> Vec<Value> {
    config
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}))
        .collect()
}

// === what is seen ===

/// The Jobs of this owner, by owner and not by label: a label can be copied.
async fn jobs(ctx: &Context, owner: &JobOwner) -> Result<Vec<Job>, Error> {
    let labelled = ListParams::default().labels(&format!("{}={}", owner.label, owner.label_value()));
    let found = ctx.list::<Job>(Some(&owner.namespace), &labelled).await?;
    Ok(found
        .into_iter()
        .filter(|job| is_owned(job, &owner.uid))
        .collect())
}

/// Changes whenever the content of the dataset may have changed; or what is missing.
async fn fingerprint(
    ctx: &Context,
    namespace: &str,
    dataset: &Dataset,
) -> Result<Result<String, String>, Error> {
    let (what, found) = if let Some(source) = &dataset.config_map {
        let api = Api::<ConfigMap>::namespaced(ctx.client.clone(), namespace);
        let what = format!("ConfigMap {}", source.name);
        let found = ctx
            .call(format!("read {what}"), api.get_metadata_opt(&source.name))
            .await?;
        // Its resourceVersion changes whenever its content does.
        (
            what,
            found.map(|object| [object.metadata.uid, object.metadata.resource_version]),
        )
    } else if let Some(source) = &dataset.persistent_volume_claim {
        let api = Api::<PersistentVolumeClaim>::namespaced(ctx.client.clone(), namespace);
        let what = format!("PersistentVolumeClaim {}", source.claim_name);
        let found = ctx
            .call(format!("read {what}"), api.get_metadata_opt(&source.claim_name))
            .await?;
        (what, found.map(|object| [object.metadata.uid, None]))
    } else {
        let uri = dataset.uri.clone().unwrap_or_default();
        (uri.clone(), Some([Some(uri), None]))
    };
    Ok(found
        .map(|parts| name_hash(parts.iter().flatten().map(String::as_bytes)))
        .ok_or(what))
}

/// A result that names an artifact counts only where the store has that artifact, of the right kind.
async fn checked(ctx: &Context, namespace: &str, result: JobResult) -> Result<JobSeen, Error> {
    let Some(digest) = result.digest else {
        return Ok(JobSeen::Finished(Box::new(result)));
    };
    let kind = match result.stage {
        JobStage::Snapshot => ManifestKind::Snapshot,
        JobStage::Fit => ManifestKind::Bundle,
    };
    match ctx.ledger.manifest(namespace, &digest).await {
        Ok(Some(manifest)) if manifest.kind == kind && manifest.check().is_ok() => {
            Ok(JobSeen::Finished(Box::new(result)))
        }
        Ok(_) => Ok(JobSeen::ArtifactMissing(format!(
            "the store has no {kind:?} {digest}, which the Job's result names"
        ))),
        Err(error) => {
            ctx.metrics.ledger_failed();
            Ok(JobSeen::LedgerUnavailable(error.chain()))
        }
    }
}

async fn failure(ctx: &Context, namespace: &str, job: &Job) -> Result<JobSeen, Error> {
    let condition = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|c| c.type_ == "Failed");
    let why = condition.map(|condition| {
        let reason = condition.reason.as_deref().unwrap_or("Failed");
        format!("{reason}: {}", condition.message.as_deref().unwrap_or_default())
    });
    let last = terminations(ctx, namespace, job)
        .await?
        .into_iter()
        .find(|text| !text.trim().is_empty());
    let words: Vec<_> = [why, last].into_iter().flatten().collect();
    Ok(JobSeen::Failed(words.join("; ")))
}

/// Termination messages of the Job's containers, newest Pod first.
async fn terminations(ctx: &Context, namespace: &str, job: &Job) -> Result<Vec<String>, Error> {
    let uid = job.uid().unwrap_or_default();
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/controller-uid={uid}"));
    let mut pods = ctx.list::<Pod>(Some(namespace), &of_job).await?;
    // The label could be anybody's; the owner reference is the Job controller's.
    pods.retain(|pod| is_owned(pod, &uid));
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
    let terminated = |pod: &Pod| {
        let statuses = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten());
        statuses
            .filter_map(|status| status.state.as_ref()?.terminated.as_ref()?.message.clone())
            .collect::<Vec<_>>()
    };
    Ok(pods.iter().flat_map(terminated).collect())
}

fn parse(text: &str, stage: JobStage) -> Option<JobResult> {
    serde_json::from_str::<JobResult>(text)
        .ok()
        .filter(|result| result.stage == stage)
}

/// Whether this uid is among the owners.
fn is_owned<K: Resource>(object: &K, uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|reference| reference.uid == uid)
}

/// Whether a Job has ended and not done what it should.
fn has_failed(job: &Job) -> bool {
    has_condition(job, "Failed")
}

fn has_condition(job: &Job, kind: &str) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == kind && condition.status == "True")
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
                {"name": "disk", "dataset": {"persistentVolumeClaim": {"claimName": "disk", "path": "a/data.csv"}}},
            ],
            "target": {"column": "num"},
        }));
        let found: Vec<_> = sources(&spec)
            .iter()
            .map(|source| {
                (
                    source.volume["name"].clone(),
                    format!("{}/{}", source.folder, source.file),
                )
            })
            .collect();
        let expected = [
            (json!("source-0"), "/data/source/0/data.csv".to_owned()),
            (json!("source-2"), "/data/source/2/a/data.csv".to_owned()),
        ];
        assert_eq!(found, expected);
    }
}
