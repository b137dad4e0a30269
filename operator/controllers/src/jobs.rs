//! Jobs of the trainer, for a `ModelVersion` or for a `RemediationAction` that has its data read.
//!
//! A Job has an owner, a stage, its spec in an immutable `ConfigMap`, and one token, for the ledger. What it left is read
//! from the termination message of its Pod, else from the ledger, and is believed only where the artifact that it names
//! states the same for itself.
//!
//! A Job counts only where this process made it or the status recorded its uid. An owner reference proves nothing: any user
//! who may create Jobs can write one. A crash between the making of a Job and the record of its uid leaves a Job that
//! cannot be distinguished from an imitation, so it is deleted and made again; no result is ever taken from it.

use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, ObjectReference, PersistentVolumeClaim, Pod},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ListParams, PostParams},
    core::PartialObjectMeta,
};
use modelward_core::{
    attempt::{Asker, AskerKind, DatasetSeen, JobSeen, StageJob},
    names::name_hash,
    pods::{self, Cause, Hindrance},
    results::{self, Asked},
};
use modelward_crds::{
    AttemptStatus, Dataset, FIELD_MANAGER, ModelVersion, ModelVersionSpec, RemediationAction, TrainingSource,
    annotations, labels,
};
use modelward_wire::{Digest, JobResult, JobStage, LEDGER_AUDIENCE, Verdict};
use serde_json::{Value, json};

use crate::{
    Config, Context, Error,
    apply::{self, Applied, Owner, build},
    metrics::Verb,
};

/// User and group of every container that the operator makes.
pub(crate) const USER: i64 = 65532;

/// Failed Jobs that stay for their logs.
const FAILED_KEPT: usize = 2;

/// The trainer's container. Others in its Pod are not ours: a mesh or a policy added them.
const CONTAINER: &str = "trainer";

/// Where the job's spec, its sources and its token are mounted.
const SPEC_FILE: &str = "/etc/modelward/job/spec.json";
const SPEC_KEY: &str = "spec.json";
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
    /// What people call it.
    kind: AskerKind,
    reference: OwnerReference,
    about: ObjectReference,
}

/// A Job to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JobRequest<'a> {
    /// Name, stage and attempt.
    pub stage: &'a StageJob,
    /// Name of the version that the trainer gets.
    pub version: &'a str,
    /// What the trainer has to do. A snapshot reads its datasets.
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
        recorded: &[],
        by_content: true,
    };
    let spec = spec_map(owner, &spec_text(owner, request.version, request.spec))?;
    let spec_name = spec.name_any();
    let live = apply::live::<ConfigMap>(ctx, &owner.namespace, &spec_name).await?;
    match Box::pin(apply::child(ctx, &owner.namespace, &children, live, &spec, None)).await? {
        Applied::Going => return Ok(Started::Going),
        Applied::Taken => return Ok(Started::Taken(format!("ConfigMap {spec_name}"))),
        Applied::There(_) => {}
    }
    let job = job(&ctx.config, owner, request, &spec_name)?;
    let name = job.name_any();
    let api = Api::<Job>::namespaced(ctx.client.clone(), &owner.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    if let Some(job) = ctx.call(format!("read Job {name}"), api.get_opt(&name)).await? {
        let uid = job.uid().unwrap_or_default();
        if !is_owned(&job, &owner.uid) {
            return Ok(Started::Taken(format!("Job {name}")));
        }
        if job.metadata.deletion_timestamp.is_some() {
            return Ok(Started::Going);
        }
        if ctx.made_job(&uid) {
            return Ok(Started::Made(uid));
        }
        tracing::warn!(
            object.namespace = owner.namespace,
            object.name = name,
            "Job {name} is not recorded and was not made by this process; it is deleted and made again"
        );
        apply::delete(ctx, &owner.namespace, &job).await?;
        return Ok(Started::Going);
    }
    let create = api.create(&params, &job);
    let made = ctx.call(format!("create Job {name}"), create).await?;
    ctx.metrics.wrote("Job", Verb::Create);
    let uid = made.uid().unwrap_or_default();
    ctx.note_made_job(&uid);
    Ok(Started::Made(uid))
}

/// How the Job of an attempt stands, and what it left. `asked` is what it was asked to make, `version` the one that its spec names.
pub(crate) async fn seen(
    ctx: &Context,
    owner: &JobOwner,
    stage: JobStage,
    attempt: &AttemptStatus,
    asked: &Asked<'_>,
    version: &ModelVersion,
) -> Result<JobSeen, Error> {
    if attempt.retry_at.is_some() {
        return Ok(JobSeen::Missing);
    }
    let namespace = &owner.namespace;
    let api = Api::<Job>::namespaced(ctx.client.clone(), namespace);
    let name = &attempt.job;
    let Some(uid) = attempt.job_uid.clone() else {
        return Ok(JobSeen::Missing);
    };
    // It is recorded: what this process remembers of it is not needed any more.
    ctx.forget_made_job(&uid);
    let job = ctx.call(format!("read Job {name}"), api.get_opt(name)).await?;
    let Some(job) = job.filter(|job| job.uid().as_deref() == Some(uid.as_str())) else {
        // Deleted before its result was recorded: the ledger may know it.
        return match result_in_ledger(ctx, namespace, &uid).await {
            Ok(Some(result)) => checked(ctx, namespace, result, asked).await,
            Ok(None) => Ok(JobSeen::Missing),
            Err(away) => Ok(away),
        };
    };
    let pods = pods_of(ctx, namespace, &job).await?;
    let succeeded = pods
        .iter()
        .filter_map(|pod| pods::end_of(pod, CONTAINER))
        .find(|ended| ended.exit_code == 0);
    if !has_failed(&job) && (succeeded.is_some() || has_condition(&job, "Complete")) {
        // Our container is done, whatever else still runs in its Pod.
        let said = succeeded.and_then(|ended| parse(ended.message.as_deref()?, stage));
        let result = match said {
            Some(result) => Some(result),
            None => match result_in_ledger(ctx, namespace, &uid).await {
                Ok(result) => result,
                Err(away) => return Ok(away),
            },
        };
        return match result {
            Some(result) => checked(ctx, namespace, result, asked).await,
            None => Ok(JobSeen::ResultLost),
        };
    }
    let before = attempt.reason.as_deref().and_then(Cause::of);
    if has_failed(&job) {
        return Ok(ended(&pods, stage, || {
            pods::of_failed_job(&job, &pods, CONTAINER, before)
        }));
    }
    // A container that was added keeps the Pod, and with it the Job, from ending: ours has failed for good.
    // Without one the Pod ends a moment later, and the Job decides whether it starts another.
    let held = pods.iter().find_map(|pod| {
        let failed = pods::of_end(pod, CONTAINER, pods::end_of(pod, CONTAINER)?)?;
        pods::other_runs(pod, CONTAINER).then_some(failed)
    });
    if let Some(failed) = held {
        return Ok(ended(&pods, stage, || failed));
    }
    Box::pin(keep_spec(ctx, owner, &job, version)).await?;
    if pods.iter().any(|pod| pods::runs(pod, CONTAINER)) {
        // While the next Pod tries again, what kept the last one is all that is known.
        return Ok(unreachable(&pods, stage).map_or(JobSeen::Running, JobSeen::Hindered));
    }
    let mut uids = vec![uid.as_str()];
    uids.extend(pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()));
    let events = crate::pods::events(ctx, namespace, &uids).await;
    let hindrance = pods::of_job(&job, &pods, CONTAINER, &events, ctx.now());
    if let Some(found) = &hindrance
        && is_outdated(&job, &ctx.config)
    {
        // An administrator has set another image or other resources, perhaps because of this very hindrance.
        apply::delete(ctx, namespace, &job).await?;
        let words = format!(
            "{}; the operator's settings changed: another Job is made",
            found.message
        );
        return Ok(JobSeen::Interrupted(Hindrance::new(Cause::PodPending, words)));
    }
    let Some(found) = hindrance else {
        return Ok(JobSeen::Starting);
    };
    // A Pod that ended printed the trainer's result, and no text; the Job makes another.
    let result = (found.cause == Cause::ContainerFailed).then(|| unreachable(&pods, stage));
    Ok(JobSeen::Hindered(
        result.flatten().unwrap_or_else(|| explained(found)),
    ))
}

/// Whether a Job was made with another image or other resources than one that is made now. What the operator wrote counts, for
/// the API server and webhooks write it otherwise.
fn is_outdated(job: &Job, config: &Config) -> bool {
    let made_with = job.annotations().get(annotations::SETTINGS);
    made_with.is_some_and(|made_with| *made_with != settings(config))
}

/// The hash of the settings that decide whether the Pod of a Job can run.
fn settings(config: &Config) -> String {
    let resources = serde_json::to_vec(&config.trainer_resources).unwrap_or_default();
    name_hash([config.trainer_image.as_bytes(), &resources])
}

/// Puts the `ConfigMap` that a Job under way reads back where another writer changed or deleted it: its Pod may start again.
async fn keep_spec(ctx: &Context, owner: &JobOwner, job: &Job, version: &ModelVersion) -> Result<(), Error> {
    let Some(name) = spec_of(job) else {
        return Ok(());
    };
    let live = apply::live::<ConfigMap>(ctx, &owner.namespace, &name).await?;
    // The spec may have changed since; the name proves what it was.
    let found = live
        .as_ref()
        .and_then(|live| live.data["data"][SPEC_KEY].as_str().map(ToOwned::to_owned));
    let present = spec_text(owner, &version.name_any(), &version.spec);
    for text in found.into_iter().chain([present]) {
        let wanted = spec_map(owner, &text)?;
        if wanted.name_any() != name {
            continue;
        }
        let children = Owner {
            reference: owner.reference.clone(),
            about: &owner.about,
            settled: true,
            recorded: &[],
            by_content: true,
        };
        let namespace = &owner.namespace;
        let kept = Box::pin(apply::child(ctx, namespace, &children, live, &wanted, None)).await;
        return match kept {
            // The Job may end well without it.
            Err(error) if error.hinders() => {
                tracing::warn!(
                    object.namespace = namespace,
                    object.name = name,
                    "ConfigMap {name}, which a Job under way reads, cannot be put back: {}",
                    error.words()
                );
                Ok(())
            }
            kept => kept.map(drop),
        };
    }
    Ok(())
}

/// The `ConfigMap` that a Job reads its spec from.
fn spec_of(job: &Job) -> Option<String> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let spec = volumes.iter().find(|volume| volume.name == "spec")?;
    Some(spec.config_map.as_ref()?.name.clone())
}

/// Whether a Job belongs to an object: by its owners, or by the uid that one of these attempts records, for another writer
/// may change the owners.
pub(crate) fn is_of<'a>(
    job: &PartialObjectMeta<Job>,
    object: &impl Resource,
    attempts: impl IntoIterator<Item = &'a AttemptStatus>,
) -> bool {
    let uid = job.uid();
    let owned = object.meta().uid.as_deref().is_some_and(|uid| is_owned(job, uid));
    owned
        || attempts
            .into_iter()
            .any(|attempt| uid.is_some() && attempt.job_uid == uid)
}

/// Whether a `ConfigMap` of this name may hold the spec of one of this version's Jobs.
pub(crate) fn is_spec_of(version: &ModelVersion, map: &str) -> bool {
    let awaited = version.status.as_ref().is_some_and(|status| {
        let attempts = [&status.snapshot_attempt, &status.fit_attempt];
        attempts.into_iter().flatten().any(|attempt| !attempt.finished)
    });
    awaited && JobOwner::version(version).is_ok_and(|owner| map.starts_with(&spec_prefix(&owner.asker())))
}

/// The same of an action.
pub(crate) fn is_spec_of_action(action: &RemediationAction, map: &str) -> bool {
    let status = action.status.as_ref();
    let attempt = status.and_then(|status| status.snapshot_attempt.as_ref());
    attempt.is_some_and(|attempt| !attempt.finished)
        && JobOwner::action(action).is_ok_and(|owner| map.starts_with(&spec_prefix(&owner.asker())))
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
            .any(|attempt| !attempt.finished && attempt.retry_at.is_none() && attempt.job_uid == job.uid());
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
        Self::of(version, &version.spec.model, AskerKind::Version)
    }

    /// An action, for which data is read before its plan is made.
    pub(crate) fn action(action: &RemediationAction) -> Result<Self, Error> {
        Self::of(action, &action.spec.model, AskerKind::Action)
    }

    /// Who it is in decisions.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker {
            name: &self.name,
            uid: &self.uid,
            kind: self.kind,
        }
    }

    fn of<K>(object: &K, model: &str, kind: AskerKind) -> Result<Self, Error>
    where
        K: Resource<DynamicType = ()>,
    {
        let incomplete = Error::Incomplete {
            what: kind.as_str(),
            field: "metadata.uid",
        };
        Ok(Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            model: model.to_owned(),
            kind,
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
            label_of(self.kind): self.label_value(),
        });
        if let Some(stage) = stage {
            all[labels::STAGE] = stage.command().into();
        }
        all
    }
}

/// Label that carries the name of an owner on its Jobs.
fn label_of(kind: AskerKind) -> &'static str {
    match kind {
        AskerKind::Version => labels::VERSION,
        AskerKind::Action => labels::ACTION,
    }
}

// === what is made ===

/// The spec as the trainer reads it.
fn spec_text(owner: &JobOwner, version: &str, spec: &ModelVersionSpec) -> String {
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
fn spec_map(owner: &JobOwner, text: &str) -> Result<ConfigMap, Error> {
    let hash = name_hash([owner.uid.as_bytes(), text.as_bytes()]);
    build(
        "ConfigMap",
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": format!("{}{hash}", spec_prefix(&owner.asker())), "labels": owner.labels(None)},
            "immutable": true,
            "data": {SPEC_KEY: text},
        }),
    )
}

/// What names of ConfigMaps with specs begin with.
fn spec_prefix(asker: &Asker<'_>) -> String {
    format!("{}-job-", asker.short_name())
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
    let mut arguments = vec![json!(stage.stage.command())];
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
    let training = request
        .spec
        .source
        .training
        .as_ref()
        .and_then(results::training_digest);
    build(
        "Job",
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": stage.name, "labels": labels, "ownerReferences": [owner.reference],
                "annotations": {annotations::TRAINING: training, annotations::SETTINGS: settings(config)},
            },
            "spec": {
                "backoffLimit": 2,
                // A Pod that was evicted, preempted or drained says nothing about the program: it uses up no try.
                "podFailurePolicy": {"rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]},
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
                            "name": CONTAINER,
                            "image": config.trainer_image,
                            "imagePullPolicy": config.image_pull_policy,
                            "args": arguments,
                            "env": [
                                {"name": "MODELWARD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                                {"name": "MODELWARD_JOB_UID", "valueFrom": {"fieldRef": {
                                    "fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}}},
                                {"name": "MODELWARD_LEDGER_URL", "value": config.ledger_url},
                                {"name": "MODELWARD_LEDGER_TOKEN_FILE", "value": format!("{TOKEN_DIR}/token")},
                                {"name": "MODELWARD_ALLOW_SOURCES", "value": config.allow_sources.to_string()},
                                {"name": "MODELWARD_DENY_SOURCES", "value": config.deny_sources.to_string()},
                                {"name": "TMPDIR", "value": "/work"},
                            ],
                            "resources": config.trainer_resources,
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
    json!({"name": "ledger-token", "projected": {"sources": [token], "defaultMode": 420}})
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
    let labelled = ListParams::default().labels(&format!("{}={}", label_of(owner.kind), owner.label_value()));
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
        let (name, key) = (&source.name, &source.key);
        let what =
            format!("ConfigMap {name} (kubectl create configmap {name} --from-file={key}=FILE makes it)");
        let found = ctx
            .call(format!("read ConfigMap {name}"), api.get_metadata_opt(name))
            .await?;
        (
            what,
            found.map(|object| {
                let data = data_version(&object.metadata);
                [object.metadata.uid, data]
            }),
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

/// Changes whenever the data of a `ConfigMap` does, and not with its labels and annotations: who last wrote a key of `data`
/// and when, as the API server keeps it for each writer. Without such a record it is the resourceVersion, which changes with
/// everything.
fn data_version(metadata: &ObjectMeta) -> Option<String> {
    let writes = metadata.managed_fields.iter().flatten().filter_map(|entry| {
        let fields = &entry.fields_v1.as_ref()?.0;
        let wrote = fields.get("f:data").or_else(|| fields.get("f:binaryData"))?;
        let time = entry.time.as_ref().map(|time| time.0.to_string());
        let manager = entry.manager.as_deref().unwrap_or_default();
        Some(format!("{manager} {} {wrote}", time.unwrap_or_default()))
    });
    let mut writes: Vec<String> = writes.collect();
    if writes.is_empty() {
        return metadata.resource_version.clone();
    }
    writes.sort();
    Some(writes.join("\n"))
}

/// The result that the Job of this uid wrote into the ledger; in the error that the ledger cannot be asked.
async fn result_in_ledger(ctx: &Context, namespace: &str, uid: &str) -> Result<Option<JobResult>, JobSeen> {
    ctx.ledger.job_result(namespace, uid).await.map_err(|error| {
        ctx.metrics.ledger_failed();
        JobSeen::LedgerUnavailable(error.chain())
    })
}

/// A result that names an artifact counts only where the store has that artifact and it states the same for itself.
async fn checked(
    ctx: &Context,
    namespace: &str,
    result: JobResult,
    asked: &Asked<'_>,
) -> Result<JobSeen, Error> {
    let Some(digest) = result.digest else {
        return Ok(JobSeen::Finished(Box::new(result)));
    };
    let kind = result.stage.publishes().noun();
    match ctx.ledger.statement(namespace, &digest).await {
        Ok(Some(statement)) => Ok(match results::believe(asked, &result, &statement) {
            Ok(believed) => JobSeen::Finished(Box::new(believed)),
            Err(why) => JobSeen::Mismatch(why),
        }),
        Ok(None) => Ok(JobSeen::ArtifactMissing(format!(
            "the store has no {kind} {digest}, which the Job's result names"
        ))),
        Err(error) => {
            // The artifact is there, and its bytes are not whole or state nothing.
            if let Some((_, words)) = error.refusal() {
                return Ok(JobSeen::Mismatch(words.to_owned()));
            }
            ctx.metrics.ledger_failed();
            Ok(JobSeen::LedgerUnavailable(error.chain()))
        }
    }
}

/// How a Job ended whose program left no result: by the program itself, or by what it depends on.
fn ended(pods: &[Pod], stage: JobStage, why: impl FnOnce() -> Hindrance) -> JobSeen {
    let hindrance = unreachable(pods, stage).unwrap_or_else(|| explained(why()));
    if hindrance.cause.is_infrastructure() {
        JobSeen::Interrupted(hindrance)
    } else {
        JobSeen::Failed(hindrance)
    }
}

/// What a Pod of the Job could not reach, in the trainer's words.
fn unreachable(pods: &[Pod], stage: JobStage) -> Option<Hindrance> {
    let mut results = pods
        .iter()
        .filter_map(|pod| parse(pods::end_of(pod, CONTAINER)?.message.as_deref()?, stage));
    let result = results.find(|result| result.verdict == Verdict::Unreachable)?;
    Some(Hindrance::new(Cause::Unreachable, result.message))
}

/// A hindrance with what a user can do about it, where Kubernetes' words do not say so.
fn explained(hindrance: Hindrance) -> Hindrance {
    let remedy = match hindrance.cause {
        Cause::OutOfMemory => "the Helm value trainer.resources.limits.memory raises the limit",
        Cause::PodRefused => "where its size is refused, the Helm value trainer.resources changes it",
        _ => return hindrance,
    };
    Hindrance::new(hindrance.cause, format!("{}; {remedy}", hindrance.message))
}

/// The Pods that the Job controller made for this Job, newest first.
async fn pods_of(ctx: &Context, namespace: &str, job: &Job) -> Result<Vec<Pod>, Error> {
    let uid = job.uid().unwrap_or_default();
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/controller-uid={uid}"));
    let mut pods = ctx.list::<Pod>(Some(namespace), &of_job).await?;
    // A label can be copied; the Job controller takes a Pod for the Job's own by its controller reference.
    pods.retain(|pod| {
        let owners = pod.owner_references();
        owners
            .iter()
            .any(|owner| owner.controller == Some(true) && owner.kind == "Job" && owner.uid == uid)
    });
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
    Ok(pods)
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

    fn map(fields: &Value) -> ObjectMeta {
        serde_json::from_value(json!({
            "uid": "u", "resourceVersion": "7",
            "managedFields": fields,
        }))
        .unwrap()
    }

    #[test]
    fn labels_and_annotations_of_a_configmap_are_no_new_data_and_a_changed_key_is() {
        let data = |time: &str| {
            json!({"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": time, "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {".": {}, "f:cleveland.csv": {}}}})
        };
        let label = json!({"manager": "kubectl-label", "operation": "Update", "apiVersion": "v1",
            "time": "2026-11-23T10:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:labels": {}}}});
        let first = data_version(&map(&json!([data("2026-11-23T09:30:00Z")])));
        assert_eq!(
            first,
            data_version(&map(&json!([data("2026-11-23T09:30:00Z"), label])))
        );
        assert_ne!(first, data_version(&map(&json!([data("2026-11-23T09:31:00Z")]))));
        assert_eq!(
            data_version(&map(&json!([]))),
            Some("7".to_owned()),
            "without a record everything counts"
        );
    }
}
