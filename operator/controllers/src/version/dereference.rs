//! What there is around a version: its dataset, the Job that its status names, and the model's record. Reads only.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
};
use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    model::serving_seen,
    name_hash,
    version::{DatasetSeen, JobSeen, World},
};
use modelward_crds::{AttemptStatus, Model, ModelVersion, labels};
use modelward_wire::{JobResult, JobStage, ManifestKind};

use crate::{Context, Error};

/// Looks at everything that a decision about this version needs.
pub async fn world(ctx: &Context, version: &ModelVersion) -> Result<World, Error> {
    let namespace = version.namespace().unwrap_or_default();
    let models = Api::<Model>::namespaced(ctx.client.clone(), &namespace);
    let name = &version.spec.model;
    let model = ctx
        .call(format!("read Model {name}"), models.get_opt(name))
        .await?;
    Ok(World {
        dataset: dataset(ctx, &namespace, version).await?,
        job: job(ctx, &namespace, version).await?,
        serving: serving_seen(model.as_ref(), version),
        obstacle: None,
    })
}

/// The Jobs of this version, by owner and not by label: a label can be copied.
pub async fn jobs(ctx: &Context, namespace: &str, version: &ModelVersion) -> Result<Vec<Job>, Error> {
    let api = Api::<Job>::namespaced(ctx.client.clone(), namespace);
    let labelled = ListParams::default().labels(&format!("{}={}", labels::VERSION, version.name_any()));
    let list = ctx
        .call(
            format!("list Jobs of {}", version.name_any()),
            api.list(&labelled),
        )
        .await?;
    let uid = version.uid();
    Ok(list
        .items
        .into_iter()
        .filter(|job| is_owned(job, uid.as_deref()))
        .collect())
}

/// Whether this uid is among the owners.
pub fn is_owned<K: kube::Resource>(object: &K, uid: Option<&str>) -> bool {
    object
        .owner_references()
        .iter()
        .any(|reference| Some(reference.uid.as_str()) == uid)
}

/// Whether a Job has ended and not done what it should.
pub fn has_failed(job: &Job) -> bool {
    has_condition(job, "Failed")
}

// === dataset ===

/// Whether the dataset is there. Only metadata is read: the operator may not see the data of its users.
async fn dataset(ctx: &Context, namespace: &str, version: &ModelVersion) -> Result<DatasetSeen, Error> {
    let dataset = &version.spec.source.training.dataset;
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
    Ok(match found {
        Some(parts) => DatasetSeen::Present(name_hash(parts.iter().flatten().map(String::as_bytes))),
        None => DatasetSeen::Absent(what),
    })
}

// === the Job that the status names ===

async fn job(ctx: &Context, namespace: &str, version: &ModelVersion) -> Result<JobSeen, Error> {
    let Some((stage, attempt)) = awaited(version) else {
        return Ok(JobSeen::Missing);
    };
    let api = Api::<Job>::namespaced(ctx.client.clone(), namespace);
    let name = &attempt.job;
    let job = ctx.call(format!("read Job {name}"), api.get_opt(name)).await?;
    let job = job.filter(|job| is_owned(job, version.uid().as_deref()));
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

fn awaited(version: &ModelVersion) -> Option<(JobStage, &AttemptStatus)> {
    let status = version.status.as_ref()?;
    let snapshot = status
        .snapshot_attempt
        .as_ref()
        .map(|attempt| (JobStage::Snapshot, attempt));
    let fit = status
        .fit_attempt
        .as_ref()
        .map(|attempt| (JobStage::Fit, attempt));
    [fit, snapshot]
        .into_iter()
        .flatten()
        .find(|(_, attempt)| !attempt.finished)
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
    let api = Api::<Pod>::namespaced(ctx.client.clone(), namespace);
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/controller-uid={uid}"));
    let mut pods = ctx
        .call(format!("list Pods of Job {}", job.name_any()), api.list(&of_job))
        .await?
        .items;
    // The label could be anybody's; the owner reference is the Job controller's.
    pods.retain(|pod| {
        pod.owner_references()
            .iter()
            .any(|reference| reference.uid == uid)
    });
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

fn has_condition(job: &Job, kind: &str) -> bool {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == kind && condition.status == "True")
}
