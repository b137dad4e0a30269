//! The `ModelVersion` controller: snapshot and fit Jobs, their results, and the version's serving.

mod build;
mod dereference;
mod recorded;

use std::{sync::Arc, time::Duration};

use kube::{
    Resource as _, ResourceExt as _,
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    attempt::{Obstacle, RequesterKind, StageJob},
    conditions,
    queue::Turn,
    reason::{Reason, StuckReason},
    version::{self, Decision, Invalid, ServingSeen, Validated},
};
use modelward_crds::{ModelVersion, ModelVersionStatus, Role, annotations};
use modelward_service::chain;
use modelward_wire::{MetricValue, VersionRecord};

use crate::{
    Context, Error,
    api::{Env, NamespacedName, apply, create::create, events},
    cache::version::CachedVersion,
    jobs::{self, JobOwner, JobRequest, Started},
    runtime::backoff::jittered,
};

pub(crate) use recorded::Recorded;

/// Without any event an object is reconciled again after this long: a lost event must not be lost forever.
const RESYNC: Duration = Duration::from_mins(15);
/// A version whose record the ledger did not accept is sent again after this long.
const LEDGER_RETRY: Duration = Duration::from_secs(30);
/// When an object of the operator is being deleted, its successor is created soon after.
const SOON: Duration = Duration::from_secs(2);

/// Reconciles one version.
pub(crate) async fn reconcile(cached: Arc<CachedVersion>, ctx: Arc<Context>) -> Result<Action, Error> {
    let uid = cached.uid().unwrap_or_default();
    let action = Box::pin(reconcile_version(&cached, &ctx)).await;
    if action.is_err() {
        // It cannot use its turn while it cannot be reconciled, so others do not wait for it.
        ctx.turns.pass(&uid);
    }
    action
}

async fn reconcile_version(cached: &CachedVersion, ctx: &Context) -> Result<Action, Error> {
    let name = NamespacedName::of(cached);
    let Some(version) = apply::fresh::<ModelVersion>(&ctx.env, &name).await? else {
        return Ok(Action::await_change());
    };
    let NamespacedName { namespace, .. } = name;
    if version.metadata.deletion_timestamp.is_some() {
        // Its dependents are deleted by owner references. A finalizer may keep the version, but not its place in the queue.
        ctx.turns.leave(&version.uid().unwrap_or_default());
        return Ok(Action::await_change());
    }
    let valid = match version::validate(&version) {
        Ok(valid) => valid,
        Err(why) => return report_invalid(ctx, &version, why).await,
    };
    let owner = JobOwner::version(&valid);
    let (mut world, has_model) = dereference::world(ctx, &valid, &owner).await?;
    let refused_model = if has_model {
        None
    } else {
        create_model(&ctx.env, &namespace, &valid).await?
    };
    if let Some(refusal) = refused_model {
        // Without the record the version cannot serve, so no Job is created before.
        world.serving = ServingSeen::Stuck(StuckReason::ChildRefused, refusal.clone());
        world.obstacle = Some(Obstacle::Refused(refusal));
    }
    let mut decision = version::decide(&valid, &world, ctx.env.now());

    // If its Job was not created, the version has the place that it requested, or none: its status may name an earlier Job that
    // has ended, which would keep others waiting.
    let mut refused = false;
    if let Some(job) = &decision.start {
        match begin(ctx, &valid, &owner, job, &decision).await? {
            Begun::Job(uid) => note_uid(&mut decision.status, job, uid),
            Begun::Going => return Ok(Action::requeue(SOON)),
            Begun::Not(obstacle) => {
                refused = true;
                world.obstacle = Some(obstacle);
            }
        }
    }
    if world.obstacle.is_some() {
        // The decision could not be carried out: an attempt that was not started is not counted.
        decision = version::decide(&valid, &world, ctx.env.now());
    }
    if !refused {
        ctx.turns.note(&version, &decision.status);
    }
    write_status(&ctx.env, &version, &decision).await?;
    let attempts = [
        decision.status.snapshot_attempt.as_ref(),
        decision.status.fit_attempt.as_ref(),
    ];
    jobs::collect(&ctx.env, &ctx.cache.job_owners, &owner, &attempts).await?;
    let recorded = record_in_ledger(ctx, &namespace, &version, &decision.status).await;

    let next = match (decision.again_after_seconds, recorded) {
        (Some(seconds), _) => Duration::from_secs(seconds),
        (None, false) => LEDGER_RETRY,
        (None, true) => RESYNC,
    };
    Ok(Action::requeue(jittered(next)))
}

/// Reports why nothing can be decided about a version. Nothing is created for it.
async fn report_invalid(ctx: &Context, version: &ModelVersion, why: Invalid) -> Result<Action, Error> {
    match why {
        Invalid::NoUid => Err(Error::no_uid(RequesterKind::Version.as_str())),
        Invalid::NoSource => {
            let decision = version::refuse(version, why, ctx.env.now());
            ctx.turns.note(version, &decision.status);
            write_status(&ctx.env, version, &decision).await?;
            Ok(Action::requeue(jittered(RESYNC)))
        }
    }
}

/// The result of starting a Job.
enum Begun {
    /// It exists, with this uid.
    Job(String),
    /// A Job with the same name has to be deleted first, or other Jobs have to be created first.
    Going,
    /// It is blocked.
    Not(Obstacle),
}

/// Creates the Job of a version, if it is the version's turn.
async fn begin(
    ctx: &Context,
    valid: &Validated<'_>,
    owner: &JobOwner,
    job: &StageJob,
    decision: &Decision,
) -> Result<Begun, Error> {
    let version = valid.version();
    if let Turn::Later(wait) = ctx.turns.ask(version, ctx.env.now()) {
        // Versions whose Jobs are rejected request again and again. One that requests while another one does is not queued
        // because of that: its status would alternate.
        if wait.soon && was_refused(version) {
            return Ok(Begun::Going);
        }
        return Ok(Begun::Not(Obstacle::Queued(wait)));
    }
    let request = JobRequest {
        stage: job,
        version: &version.name_any(),
        spec: &version.spec,
        snapshot: decision.status.snapshot.as_ref().map(|snapshot| snapshot.digest),
        counts_new_rows: false,
    };
    let begun = match Box::pin(jobs::start(&ctx.env, &ctx.writes, owner, &request)).await {
        Ok(Started::Made(uid)) => return Ok(Begun::Job(uid)),
        Ok(Started::Going) => Ok(Begun::Going),
        Ok(Started::Taken(what)) => Ok(Begun::Not(Obstacle::Taken(what))),
        Err(error) if error.hinders() => Ok(Begun::Not(Obstacle::Refused(error.words()))),
        Err(error) => Err(error),
    };
    // Another version may have its place in the meantime.
    ctx.turns.leave(&owner.uid);
    begun
}

/// Whether the status says that the API server rejected a Job of this version.
fn was_refused(version: &ModelVersion) -> bool {
    let conditions = version.status.iter().flat_map(|status| &status.conditions);
    conditions
        .into_iter()
        .any(|found| conditions::reason(found) == Some(Reason::ChildRefused))
}

/// Creates the record of the model with its first version; the `Model` controller does the rest. Returns the API server's message
/// if it rejects the record.
async fn create_model(env: &Env, namespace: &str, valid: &Validated<'_>) -> Result<Option<String>, Error> {
    let model = build::model(valid)?;
    match create(env, namespace, &model).await {
        Ok(_) => Ok(None),
        Err(error) if error.hinders() => Ok(Some(error.words())),
        Err(error) => Err(error),
    }
}

/// The Job whose result is the bundle in the status.
fn fit_job(status: &ModelVersionStatus) -> Option<String> {
    let attempt = status.fit_attempt.as_ref().filter(|attempt| attempt.finished)?;
    status.bundle.as_ref().and(attempt.job_uid.clone())
}

fn note_uid(status: &mut ModelVersionStatus, job: &StageJob, uid: String) {
    let attempts = [&mut status.snapshot_attempt, &mut status.fit_attempt];
    if let Some(attempt) = attempts
        .into_iter()
        .flatten()
        .find(|attempt| attempt.job == job.name)
    {
        attempt.job_uid = Some(uid);
    }
}

async fn write_status(env: &Env, version: &ModelVersion, decision: &Decision) -> Result<(), Error> {
    let old = version.status.as_ref();
    if apply::status(env, version, old, &decision.status)
        .await?
        .is_some()
    {
        let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
        events::conditions_changed(env, version, before, &decision.status.conditions).await;
        report_change(env, version).await;
    }
    Ok(())
}

/// Reports changes of monitoring, retraining and replicas, which need no approval.
async fn report_change(env: &Env, version: &ModelVersion) {
    let seen = version
        .status
        .as_ref()
        .and_then(|status| status.observed_generation);
    let generation = version.metadata.generation;
    if seen.is_none() || seen >= generation {
        return;
    }
    let changers = annotations::changers(version.annotations());
    let by = if changers.is_empty() {
        String::new()
    } else {
        format!(", so far by {}", changers.join(", "))
    };
    let note = format!(
        "the spec was changed (generation {}){by}",
        generation.unwrap_or_default()
    );
    let about = version.object_ref(&());
    events::publish(
        env,
        &about,
        EventType::Normal,
        Reason::SpecChanged,
        "Change",
        note,
    )
    .await;
}

/// Records the version in the ledger if its record differs. Errors of the ledger do not stop the reconcile.
async fn record_in_ledger(
    ctx: &Context,
    namespace: &str,
    version: &ModelVersion,
    status: &ModelVersionStatus,
) -> bool {
    let uid = version.uid().unwrap_or_default();
    let role = status.role.unwrap_or(Role::Pending);
    let mut record = VersionRecord {
        name: version.name_any(),
        model: version.spec.model.clone(),
        role,
        generation: version.metadata.generation.unwrap_or_default(),
        snapshot: status.snapshot.as_ref().map(|snapshot| snapshot.digest),
        bundle: status.bundle.as_ref().map(|bundle| bundle.digest),
        job: fit_job(status),
        family: status.family.map(|family| family.as_str().to_owned()),
        metrics: (status.metrics.iter())
            .map(|metric| MetricValue {
                name: metric.name.as_str().to_owned(),
                mean: metric.mean.clone(),
                standard_error: metric.standard_error.clone(),
            })
            .collect(),
        observed_at: String::new(),
    };
    let Ok(what) = serde_json::to_string(&record) else {
        return true;
    };
    if ctx.recorded.has(&uid, &what) {
        return true;
    }
    record.observed_at = ctx.env.now().to_string();
    match ctx.env.ledger.put_version(namespace, &uid, &record).await {
        Ok(()) => {
            ctx.recorded.note(&uid, what);
            true
        }
        Err(error) => {
            ctx.env.metrics.ledger_failed();
            tracing::info!(
                version.namespace = namespace,
                version.name = record.name,
                "ledger did not take the record of {}: {}",
                record.name,
                chain(&error)
            );
            false
        }
    }
}
