//! The state of a Job: from its Pods, its own status, and the ledger.

use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    attempt::JobSeen,
    pods::{self, Cause, Hindrance, PREPARE},
    results::{self, Asked},
};
use modelward_crds::{AttemptStatus, ModelVersion};
use modelward_ledger_client::Optional as _;
use modelward_service::chain;
use modelward_wire::{JobResult, JobStage, Verdict};

use crate::{
    Error,
    api::{Env, OwnWrites, apply},
    jobs::{
        build::{CONTAINER, is_outdated},
        owner::JobOwner,
        start::keep_spec,
    },
};

/// The state of the Job of an attempt, with its result. `asked` is its request, `version` the one that its spec names.
pub(crate) async fn seen(
    env: &Env,
    writes: &OwnWrites,
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
    let api = Api::<Job>::namespaced(env.client.clone(), namespace);
    let name = &attempt.job;
    let Some(uid) = attempt.job_uid.clone() else {
        return Ok(JobSeen::Missing);
    };
    // It is recorded, so this process no longer has to remember it.
    writes.forget_job(&uid);
    let job = env.call(format!("read Job {name}"), api.get_opt(name)).await?;
    let Some(job) = job.filter(|job| job.uid().as_deref() == Some(uid.as_str())) else {
        // Deleted before its result was recorded; the ledger may have it.
        return match result_in_ledger(env, namespace, &uid).await {
            Ok(Some(result)) => checked(env, namespace, result, asked).await,
            Ok(None) => Ok(JobSeen::Missing),
            Err(away) => Ok(away),
        };
    };
    let pods = pods_of(env, namespace, &uid).await?;
    let succeeded = pods
        .iter()
        .filter_map(|pod| pods::end_of(pod, CONTAINER))
        .find(|ended| ended.exit_code == 0);
    if !has_failed(&job) && (succeeded.is_some() || has_condition(&job, "Complete")) {
        // The trainer's container has ended, even if others still run in its Pod.
        let reported = succeeded.and_then(|ended| parse(ended.message.as_deref()?, stage));
        if let Some(result) = reported {
            return checked_message(env, namespace, &uid, result, asked).await;
        }
        return match result_in_ledger(env, namespace, &uid).await {
            Ok(Some(result)) => checked(env, namespace, result, asked).await,
            Ok(None) => Ok(JobSeen::ResultLost),
            Err(away) => Ok(away),
        };
    }
    let before = attempt.reason.as_deref().and_then(Cause::of);
    if has_failed(&job) {
        if let Some(refused) = refused_files(&pods, stage) {
            return Ok(JobSeen::Finished(Box::new(refused)));
        }
        return Ok(ended(&pods, stage, || {
            pods::of_failed_job(&job, &pods, CONTAINER, before)
        }));
    }
    // An added container keeps the Pod, and with it the Job, from ending: the trainer's has failed finally.
    // Without one the Pod ends soon, and the Job decides whether to start another.
    let held = pods.iter().find_map(|pod| {
        let failed = pods::of_end(pod, CONTAINER, pods::end_of(pod, CONTAINER)?)?;
        pods::other_runs(pod, CONTAINER).then_some(failed)
    });
    if let Some(failed) = held {
        return Ok(ended(&pods, stage, || failed));
    }
    Box::pin(keep_spec(env, writes, owner, &job, version)).await?;
    if pods.iter().any(|pod| pods::runs(pod, CONTAINER)) {
        // While the next Pod retries, only the problem of the last one is known.
        if let Some(hindrance) = unreachable(&pods, stage) {
            return Ok(JobSeen::Hindered(hindrance));
        }
        return Ok(JobSeen::Running(percent_done(env, namespace, stage, &uid).await));
    }
    let mut uids = vec![uid.as_str()];
    uids.extend(pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()));
    let events = crate::api::pod_events::events(env, namespace, &uids).await;
    let hindrance = pods::of_job(&job, &pods, CONTAINER, &events, env.now());
    if let Some(found) = &hindrance
        && is_outdated(&job, &env.config)
    {
        // An administrator has set another image or other resources, perhaps because of this hindrance.
        apply::delete(env, namespace, &job).await?;
        let words = format!(
            "{}; the operator's settings changed, creating a new Job",
            found.message
        );
        return Ok(JobSeen::Interrupted(Hindrance::new(Cause::PodPending, words)));
    }
    let Some(found) = hindrance else {
        return Ok(JobSeen::Starting);
    };
    // The Pod ended with the trainer's result as its message; the Job creates another.
    let result = (found.cause == Cause::ContainerFailed).then(|| unreachable(&pods, stage));
    Ok(JobSeen::Hindered(
        result.flatten().unwrap_or_else(|| explained(found)),
    ))
}

/// The custom trainer's image that the node ran for this attempt, with its digest; none once its Pod is gone.
pub(crate) async fn image_ran(
    env: &Env,
    namespace: &str,
    attempt: &AttemptStatus,
) -> Result<Option<String>, Error> {
    let Some(uid) = &attempt.job_uid else {
        return Ok(None);
    };
    let pods = pods_of(env, namespace, uid).await?;
    let mut images = pods.iter().filter_map(pods::custom_image);
    Ok(images.next().map(ToOwned::to_owned))
}

/// The result that the Job of this uid wrote to the ledger; the error says that the ledger is unavailable.
async fn result_in_ledger(env: &Env, namespace: &str, uid: &str) -> Result<Option<JobResult>, JobSeen> {
    let result = env.ledger.job_result(namespace, uid).await;
    result.optional().map_err(|error| {
        env.metrics.ledger_failed();
        JobSeen::LedgerUnavailable(chain(&error))
    })
}

/// How much of its work the fit Job of this uid has done, as it reported to the ledger. Nothing depends on it, so errors count as
/// no report.
async fn percent_done(env: &Env, namespace: &str, stage: JobStage, uid: &str) -> Option<u8> {
    if stage != JobStage::Fit {
        return None;
    }
    let progress = env.ledger.progress(namespace, uid).await.optional();
    match progress {
        Ok(progress) => progress.map(|progress| progress.percent),
        Err(error) => {
            tracing::debug!("cannot read the progress of Job {uid}: {}", chain(&error));
            None
        }
    }
}

/// The result in a termination message or, if that is cut, the whole one in the ledger.
async fn checked_message(
    env: &Env,
    namespace: &str,
    uid: &str,
    short: JobResult,
    asked: &Asked<'_>,
) -> Result<JobSeen, Error> {
    if !short.cut {
        return checked(env, namespace, short, asked).await;
    }
    let unavailable = match result_in_ledger(env, namespace, uid).await {
        // An earlier Pod of the Job may have recorded another one.
        Ok(Some(whole)) if (whole.verdict, whole.digest) == (short.verdict, short.digest) => {
            return checked(env, namespace, whole, asked).await;
        }
        Ok(_) => None,
        Err(unavailable) => Some(unavailable),
    };
    let seen = checked(env, namespace, short, asked).await?;
    // The whole result may match the artifact.
    Ok(match (seen, unavailable) {
        (JobSeen::Mismatch(_), Some(unavailable)) => unavailable,
        (seen, _) => seen,
    })
}

/// A result that names an artifact is accepted only if the store has that artifact and it states the same.
async fn checked(env: &Env, namespace: &str, result: JobResult, asked: &Asked<'_>) -> Result<JobSeen, Error> {
    let Some(digest) = result.digest else {
        return Ok(JobSeen::Finished(Box::new(result)));
    };
    let kind = result.stage.publishes().noun();
    match env.ledger.statement(namespace, &digest).await.optional() {
        Ok(Some(statement)) => Ok(match results::believe(asked, &result, &statement) {
            Ok(believed) => JobSeen::Finished(Box::new(believed)),
            Err(why) => JobSeen::Mismatch(why),
        }),
        Ok(None) => Ok(JobSeen::ArtifactMissing(format!(
            "the store has no {kind} {digest}, which the Job's result names"
        ))),
        Err(error) => {
            // The artifact exists, but its bytes are damaged or have no statement.
            if let Some((_, words)) = error.refusal() {
                return Ok(JobSeen::Mismatch(words.to_owned()));
            }
            env.metrics.ledger_failed();
            Ok(JobSeen::LedgerUnavailable(chain(&error)))
        }
    }
}

/// How a Job without a result ended: because of the program, or of a dependency.
fn ended(pods: &[Pod], stage: JobStage, why: impl FnOnce() -> Hindrance) -> JobSeen {
    let hindrance = unreachable(pods, stage).unwrap_or_else(|| explained(why()));
    if hindrance.cause.is_infrastructure() {
        JobSeen::Interrupted(hindrance)
    } else {
        JobSeen::Failed(hindrance)
    }
}

/// Why the files that an image trains on were not written: spec or rows were refused.
fn refused_files(pods: &[Pod], stage: JobStage) -> Option<JobResult> {
    let ends = pods.iter().filter_map(|pod| pods::end_of(pod, PREPARE));
    let mut results = ends.filter_map(|end| parse(end.message.as_deref()?, stage));
    results.find(|result| matches!(result.verdict, Verdict::SpecInvalid | Verdict::DataInvalid))
}

/// What a Pod of the Job could not reach, by the trainer's message.
fn unreachable(pods: &[Pod], stage: JobStage) -> Option<Hindrance> {
    // Never the container of a custom trainer, which may write what it likes.
    let ends = pods
        .iter()
        .flat_map(|pod| [CONTAINER, PREPARE].map(|name| pods::end_of(pod, name)));
    let mut results = ends.filter_map(|end| parse(end?.message.as_deref()?, stage));
    let result = results.find(|result| result.verdict == Verdict::Unreachable)?;
    Some(Hindrance::new(Cause::Unreachable, result.message))
}

/// A hindrance with what a user can do about it, if the message of Kubernetes does not say so.
fn explained(hindrance: Hindrance) -> Hindrance {
    let remedy = match hindrance.cause {
        Cause::OutOfMemory => "the Helm value trainer.resources.limits.memory raises the limit",
        Cause::PodRefused => {
            "if a quota refuses it, raise the quota; if the Pod is too large, lower the Helm value trainer.resources"
        }
        _ => return hindrance,
    };
    Hindrance::new(hindrance.cause, format!("{}; {remedy}", hindrance.message))
}

/// The Pods that the Job controller made for the Job of this uid, newest first.
async fn pods_of(env: &Env, namespace: &str, uid: &str) -> Result<Vec<Pod>, Error> {
    let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/controller-uid={uid}"));
    let mut pods = env.list::<Pod>(Some(namespace), &of_job).await?;
    // A label can be copied; the Job controller identifies its Pods by their controller reference.
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

/// Whether a Job has failed.
pub(super) fn has_failed(job: &Job) -> bool {
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
