//! The controller of `RemediationAction`s: plans, decisions and effects.
//!
//! One write at a time. After each of them everything is read anew, so that what comes next is decided from what is there
//! and never from what was there before the write.

mod dereference;

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::ready};
use k8s_openapi::{NamespaceResourceScope, api::batch::v1::Job};
use kube::{
    Api, Resource, ResourceExt as _,
    api::PostParams,
    runtime::{
        Config as ControllerConfig, Controller,
        controller::Action,
        events::EventType,
        reflector::{ObjectRef, Store},
    },
};
use modelward_core::{
    action::{self, Decision, Step, World},
    attempt::{Obstacle, StageJob},
    conditions, reasons,
};
use modelward_crds::{
    DriftReport, FIELD_MANAGER, Model, ModelStatus, ModelVersion, RemediationAction, annotations,
    conditions::types, labels,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Context, Error, apply,
    backoff::jittered,
    events, gate,
    jobs::{self, JobOwner, JobRequest, Started},
    ledger::chain,
    run::{CONCURRENCY, Guarded, Watching, guarded, key, policy},
};

/// Without any event an open action is looked at again after this long.
const RESYNC: Duration = Duration::from_mins(15);
/// When something of ours is on its way out, its successor is made soon after.
const SOON: Duration = Duration::from_secs(2);
/// Writes of one reconcile: no action has more of them between two waits.
const WRITES: usize = 24;

/// Watches, and reconciles until `stopped`.
pub(crate) async fn run(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<RemediationAction, _>(|ctx, action| {
        ctx.actions_backoff.succeeded(&key(action));
    });
    let others = watching.objects::<RemediationAction>();
    let models = watching.objects::<Model>();
    let versions = watching.objects::<ModelVersion>();
    let reports = watching.objects::<DriftReport>();
    let jobs = watching.objects_metadata::<Job>(labels::ACTION);

    let (of_action, of_model, of_version, of_report) =
        (reader.clone(), reader.clone(), reader.clone(), reader.clone());
    let (stop, others_stopped) = tokio::sync::watch::channel(false);
    let trying = gate::run(ctx.clone(), async move {
        let mut stopped = others_stopped;
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let working = Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .owns_stream(jobs)
        // One that ends or is deleted makes room for others of its model.
        .watches_stream(others, move |other| {
            let model = other.0.as_ref().ok().map(|other| other.spec.model.clone());
            open(&of_action, other.namespace().as_deref(), model.as_deref())
        })
        .watches_stream(models, move |model| {
            open(&of_model, model.namespace().as_deref(), Some(&model.name_any()))
        })
        .watches_stream(versions, move |version| {
            let model = version.0.as_ref().ok().map(|version| version.spec.model.clone());
            open(&of_version, version.namespace().as_deref(), model.as_deref())
        })
        .watches_stream(reports, move |report| {
            let version = report.0.as_ref().ok().map(|report| report.spec.version.clone());
            concerned(&of_report, report.namespace().as_deref(), |action| {
                watches(action, version.as_deref(), &report.name_any())
            })
        })
        .graceful_shutdown_on(stopped)
        .run(
            |object, ctx| async move {
                Box::pin(guarded(&object, &ctx, "action", &ctx.actions_backoff, reconcile)).await
            },
            |object, error, ctx| policy(&*object, error, &ctx, "action", &ctx.actions_backoff),
            ctx,
        )
        .for_each(|_| ready(()));
    let working = async {
        working.await;
        let _ = stop.send(true);
    };
    tokio::join!(working, trying);
}

/// The actions of a model that have not ended.
fn open(
    actions: &Store<Guarded<RemediationAction>>,
    namespace: Option<&str>,
    model: Option<&str>,
) -> Vec<ObjectRef<Guarded<RemediationAction>>> {
    concerned(actions, namespace, |action| {
        Some(action.spec.model.as_str()) == model && !action::has_ended(action)
    })
}

fn concerned(
    actions: &Store<Guarded<RemediationAction>>,
    namespace: Option<&str>,
    concerns: impl Fn(&RemediationAction) -> bool,
) -> Vec<ObjectRef<Guarded<RemediationAction>>> {
    let state = actions.state();
    state
        .iter()
        .filter_map(|action| action.0.as_ref().ok())
        .filter(|action| action.namespace().as_deref() == namespace && concerns(action))
        .map(|action| ObjectRef::new(&action.name_any()).within(namespace.unwrap_or_default()))
        .collect()
}

/// Whether an action waits for this report: for its window, or for what it says of what was put to work.
fn watches(action: &RemediationAction, version: Option<&str>, report: &str) -> bool {
    let accepts = action
        .spec
        .accept_window
        .as_ref()
        .is_some_and(|window| window.name == report);
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let serves = plan.is_some_and(|plan| {
        plan.planned_routes
            .iter()
            .any(|route| Some(route.version.as_str()) == version)
    });
    !action::has_ended(action) && (accepts || serves)
}

// === one action ===

/// What is known for one round only.
#[derive(Default)]
struct Known {
    number: Option<i64>,
    alerted: bool,
    obstacle: Option<Obstacle>,
}

/// Brings one action closer to its end.
pub async fn reconcile(cached: Arc<RemediationAction>, ctx: Arc<Context>) -> Result<Action, Error> {
    let mut known = Known::default();
    let mut counting = None;
    for _ in 0..WRITES {
        let Some(action) = apply::fresh(&ctx, &*cached).await? else {
            return Ok(Action::await_change());
        };
        if action.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change());
        }
        let owner = JobOwner::action(&action)?;
        let mut world = Box::pin(dereference::world(&ctx, &action, &owner, counting.is_some())).await?;
        world.number = known.number.take();
        world.alerted = known.alerted;
        world.obstacle = known.obstacle.take();
        let mut decision = action::decide(&action, &world, ctx.now());

        let recorded_first = decision.step.as_ref().is_none_or(Step::is_recorded_first);
        if recorded_first && write_status(&ctx, &action, &decision).await? {
            continue;
        }
        let Some(step) = decision.step.take() else {
            return rest(&ctx, &action, &owner, &world, &decision).await;
        };
        match step {
            // Nobody else may begin between the counting and the claim.
            Step::Claim(_) if counting.is_none() => counting = Some(ctx.claims.lock().await),
            Step::Claim(status) => {
                write_model(&ctx, &world, &status).await?;
                counting = None;
            }
            Step::TakeNumber(status) => {
                write_model(&ctx, &world, &status).await?;
                known.number = status.plan_sequence;
            }
            Step::Route(status, words) => {
                write_model(&ctx, &world, &status).await?;
                if let Some(model) = &world.model {
                    let about = model.object_ref(&());
                    let reason = reasons::ROLLOUT_IN_PROGRESS;
                    events::publish(&ctx, &about, EventType::Normal, reason, "Route", words).await;
                }
            }
            Step::Release(status) => write_model(&ctx, &world, &status).await?,
            Step::StartSnapshot(job) => match Box::pin(start(&ctx, &action, &owner, &world, &job)).await? {
                Started::Made(uid) => {
                    if let Some(attempt) = &mut decision.status.snapshot_attempt {
                        attempt.job_uid = Some(uid);
                    }
                    write_status(&ctx, &action, &decision).await?;
                }
                Started::Going => return Ok(Action::requeue(SOON)),
                Started::Taken(what) => known.obstacle = Some(Obstacle::Taken(what)),
            },
            Step::CreateVersion(mut version) => {
                // Typed, for clusters that do not stamp it.
                let maker = ctx.whoami().await?.to_owned();
                version
                    .annotations_mut()
                    .insert(annotations::CREATED_BY.to_owned(), maker);
                known.obstacle = create(&ctx, &owner, &*version).await?;
            }
            Step::CreatePromotion(mut promotion) => {
                let proposer = ctx.whoami().await?.to_owned();
                promotion
                    .annotations_mut()
                    .insert(annotations::PROPOSED_BY.to_owned(), proposer);
                known.obstacle = create(&ctx, &owner, &*promotion).await?;
            }
            Step::Alert(words) => {
                let about = action.object_ref(&());
                let reason = reasons::action::ALERTED;
                events::publish(&ctx, &about, EventType::Warning, reason, "Alert", words).await;
                known.alerted = true;
            }
        }
    }
    Ok(Action::requeue(SOON))
}

/// Nothing is left to write for now.
async fn rest(
    ctx: &Context,
    action: &RemediationAction,
    owner: &JobOwner,
    world: &World,
    decision: &Decision,
) -> Result<Action, Error> {
    let attempt = decision.status.snapshot_attempt.as_ref();
    if attempt.is_some_and(|attempt| attempt.finished) {
        jobs::collect(ctx, owner, &[attempt]).await?;
    }
    if action::has_ended(action) {
        let surplus = action::surplus(
            &world.actions,
            world.model.as_ref(),
            ctx.config.policy.actions_kept,
        );
        for old in surplus {
            apply::delete(ctx, &owner.namespace, old).await?;
        }
        return Ok(Action::await_change());
    }
    let now = ctx.now();
    let again = decision.again.map(|again| {
        // The whole second after it: what ends at a moment has not ended before it.
        let seconds = again
            .as_second()
            .saturating_sub(now.as_second())
            .saturating_add(1);
        Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1))
    });
    Ok(Action::requeue(match again {
        Some(again) if again < RESYNC => again,
        _ => jittered(RESYNC),
    }))
}

/// Writes the status, if it is not so already, and tells of what changed.
async fn write_status(ctx: &Context, action: &RemediationAction, decision: &Decision) -> Result<bool, Error> {
    let old = action.status.as_ref();
    let Some(written) = apply::status(ctx, action, old, &decision.status).await? else {
        return Ok(false);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    events::conditions_changed(ctx, action, before, &decision.status.conditions).await;
    if action::has_ended(&written) && !action::has_ended(action) {
        let succeeded = conditions::find(&decision.status.conditions, types::SUCCEEDED);
        let reason = succeeded.map(|succeeded| succeeded.reason.as_str());
        ctx.metrics
            .action_ended(action.spec.action.as_str(), reason.unwrap_or_default());
    }
    Ok(true)
}

/// Writes the model's record, unless somebody else has written it since it was read.
async fn write_model(ctx: &Context, world: &World, status: &ModelStatus) -> Result<(), Error> {
    if let Some(model) = &world.model {
        apply::status(ctx, model, model.status.as_ref(), status).await?;
    }
    Ok(())
}

/// Makes the Job that reads the data.
async fn start(
    ctx: &Context,
    action: &RemediationAction,
    owner: &JobOwner,
    world: &World,
    job: &StageJob,
) -> Result<Started, Error> {
    let version = world
        .model
        .as_ref()
        .and_then(|model| action::target(action, model, &world.versions))
        .and_then(|target| action::snapshot_version(action, target));
    let Some(version) = version else {
        return Ok(Started::Going);
    };
    let name = version.name_any();
    let request = JobRequest {
        stage: job,
        version: &name,
        spec: &version.spec,
        snapshot: None,
    };
    match jobs::start(ctx, owner, &request).await {
        Err(error) if error.refused() => {
            tracing::warn!(
                object.name = job.name,
                "Job {} was refused: {}",
                job.name,
                chain(&error)
            );
            Ok(Started::Taken(format!("Job {} ({})", job.name, chain(&error))))
        }
        started => started,
    }
}

/// Makes an object of a fixed name. One that is there is looked at in the next round.
async fn create<K>(ctx: &Context, owner: &JobOwner, object: &K) -> Result<Option<Obstacle>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    let api = Api::<K>::namespaced(ctx.client.clone(), &owner.namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match ctx
        .call(format!("create {kind} {name}"), api.create(&params, object))
        .await
    {
        Ok(_) => {
            ctx.metrics.wrote(&kind, "create");
            Ok(None)
        }
        Err(error) if error.code() == Some(409) => Ok(Some(Obstacle::Taken(format!("{kind} {name}")))),
        Err(error) if error.refused() => Ok(Some(Obstacle::Refused(chain(&error)))),
        Err(error) => Err(error),
    }
}
