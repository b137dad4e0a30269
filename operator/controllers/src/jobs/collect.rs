//! Deletes Jobs whose results are recorded.

use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt as _, api::ListParams};
use modelward_crds::AttemptStatus;

use crate::{
    Error,
    api::{Env, apply},
    cache::job_owners::JobOwners,
    jobs::{
        owner::{JobOwner, is_owned, label_of},
        result::has_failed,
    },
};

/// Number of failed Jobs that are kept for their logs.
const FAILED_KEPT: usize = 2;

/// Deletes Jobs whose results are recorded, except those of attempts in progress. The newest failed ones are kept for their
/// logs.
pub(crate) async fn collect(
    env: &Env,
    job_owners: &JobOwners,
    owner: &JobOwner,
    attempts: &[Option<&AttemptStatus>],
) -> Result<(), Error> {
    // A Job that the watch has not reported yet is collected when it reports it.
    if !job_owners.may_have_jobs(&owner.uid) {
        return Ok(());
    }
    let mut failed = Vec::new();
    for job in jobs(env, owner).await? {
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
            apply::delete(env, &owner.namespace, &job).await?;
        }
    }
    failed.sort_by_key(|job| std::cmp::Reverse(job.creation_timestamp().map(|time| time.0)));
    for job in failed.into_iter().skip(FAILED_KEPT) {
        apply::delete(env, &owner.namespace, &job).await?;
    }
    Ok(())
}

/// The Jobs of this owner, by owner reference and not by label, because a label can be copied.
async fn jobs(env: &Env, owner: &JobOwner) -> Result<Vec<Job>, Error> {
    let labelled = ListParams::default().labels(&format!("{}={}", label_of(owner.kind), owner.label_value()));
    let found = env.list::<Job>(Some(&owner.namespace), &labelled).await?;
    Ok(found
        .into_iter()
        .filter(|job| is_owned(job, &owner.uid))
        .collect())
}
