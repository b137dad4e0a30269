//! The controller of `RemediationAction`s: plans, decisions and effects.
//!
//! [`round`] makes one write at a time, in its order, through this implementation of its reads and writes.

mod dereference;

use std::{future::Future, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::ready};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Resource, ResourceExt as _,
    runtime::{
        Config as ControllerConfig, Controller,
        controller::Action,
        events::EventType,
        reflector::{ObjectRef, Store},
    },
};
use modelward_core::{
    action::{
        self, Decision, World,
        hands::{About, Announcement, Hands, Tried},
        round::{Rest, Settled, round},
    },
    attempt::StageJob,
    conditions, objects,
    reason::Reason,
};
use modelward_crds::{
    ActionType, ConditionType, DriftReport, Model, ModelStatus, ModelVersion, RemediationAction,
    RemediationActionStatus, labels,
};
use modelward_service::chain;

use crate::{
    Context, Error, apply,
    backoff::jittered,
    create::{Created, Namespaced, create},
    events, gate,
    guarded::{CONCURRENCY, Guarded},
    jobs::{self, JobOwner, JobRequest, Started},
    metrics::ControllerName,
    reconcile::{guarded, key, policy},
    watch::Watching,
};

/// Without any event an open action is reconciled again after this long.
const RESYNC: Duration = Duration::from_mins(15);
/// When an object of the operator is being deleted, its successor is created soon after.
const SOON: Duration = Duration::from_secs(2);

/// Watches, and reconciles until `stopped`.
pub(crate) async fn run(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<RemediationAction, _>(|ctx, action| {
        ctx.actions_backoff.succeeded(&key(action));
        ctx.blocked.note(&ctx.metrics, &key(action), None);
    });
    let others = watching.objects::<RemediationAction>();
    let models = watching.objects::<Model>();
    let versions = watching.objects::<ModelVersion>();
    let reports = watching.objects::<DriftReport>();
    let action_jobs = watching.objects_metadata::<Job>(labels::ACTION);
    let maps = watching.objects_metadata::<ConfigMap>(labels::ACTION);

    let (of_action, of_model, of_version, of_report) =
        (reader.clone(), reader.clone(), reader.clone(), reader.clone());
    let (of_job, of_map) = (reader.clone(), reader.clone());
    let (stop, others_stopped) = tokio::sync::watch::channel(false);
    let trying = gate::run(ctx.clone(), async move {
        let mut stopped = others_stopped;
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    let working = Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .watches_stream(action_jobs, move |job| {
            concerned(&of_job, job.namespace().as_deref(), |action| {
                let status = action.status.as_ref();
                let attempt = status.and_then(|status| status.snapshot_attempt.as_ref());
                jobs::is_of(&job, action, attempt)
            })
        })
        .watches_stream(maps, move |map| {
            concerned(&of_map, map.namespace().as_deref(), |action| {
                jobs::is_spec_of_action(action, &map.name_any())
            })
        })
        // An action that ends or is deleted makes room for others of its model.
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
                Box::pin(guarded(
                    &object,
                    &ctx,
                    ControllerName::Action,
                    &ctx.actions_backoff,
                    reconcile,
                ))
                .await
            },
            |object, error, ctx| {
                policy(
                    &*object,
                    error,
                    &ctx,
                    ControllerName::Action,
                    &ctx.actions_backoff,
                )
            },
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
        Some(action.spec.model.as_str()) == model && !objects::has_ended(action)
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

/// Whether an action waits for this report: for its window, or for its verdict on the promoted version.
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
    !objects::has_ended(action) && (accepts || serves)
}

// === one action ===

/// Advances one action.
pub async fn reconcile(cached: Arc<RemediationAction>, ctx: Arc<Context>) -> Result<Action, Error> {
    let mut cluster = Cluster {
        ctx: &ctx,
        cached: &cached,
        counting: None,
    };
    match Box::pin(round(&mut cluster)).await? {
        Rest::Gone => {
            ctx.blocked.note(&ctx.metrics, &key(&*cached), None);
            Ok(Action::await_change())
        }
        Rest::Busy => Ok(Action::requeue(SOON)),
        Rest::Settled(settled) => rest(&ctx, &settled).await,
    }
}

/// The cluster, for one round of one action.
struct Cluster<'a> {
    ctx: &'a Context,
    cached: &'a RemediationAction,
    /// Held from counting other actions to the claim, so that none begins in between.
    counting: Option<tokio::sync::MutexGuard<'a, ()>>,
}

// === impl Cluster ===

impl Hands for Cluster<'_> {
    type Error = Error;

    async fn action(&mut self) -> Result<Option<RemediationAction>, Error> {
        let action = apply::fresh(self.ctx, self.cached).await?;
        Ok(action.filter(|action| action.metadata.deletion_timestamp.is_none()))
    }

    async fn world(&mut self, action: &RemediationAction) -> Result<World, Error> {
        let owner = JobOwner::action(action)?;
        Box::pin(dereference::world(self.ctx, action, &owner)).await
    }

    fn now(&self) -> Timestamp {
        self.ctx.now()
    }

    async fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> Result<bool, Error> {
        write_status(self.ctx, action, status).await
    }

    async fn hold_claims(&mut self) -> bool {
        if self.counting.is_some() {
            return false;
        }
        self.counting = Some(self.ctx.claims.lock().await);
        true
    }

    fn release_claims(&mut self) {
        self.counting = None;
    }

    async fn write_record(&mut self, world: &World, record: &ModelStatus) -> Result<(), Error> {
        if let Some(model) = &world.model {
            apply::status(self.ctx, model, model.status.as_ref(), record).await?;
        }
        Ok(())
    }

    async fn create_version(&mut self, version: &ModelVersion) -> Result<Tried, Error> {
        self.create(version).await
    }

    async fn create_action(&mut self, action: &RemediationAction) -> Result<Tried, Error> {
        self.create(action).await
    }

    async fn start_job(
        &mut self,
        action: &RemediationAction,
        job: &StageJob,
        version: &ModelVersion,
    ) -> Result<Tried, Error> {
        let owner = JobOwner::action(action)?;
        let name = version.name_any();
        let request = JobRequest {
            stage: job,
            version: &name,
            spec: &version.spec,
            snapshot: None,
        };
        match Box::pin(jobs::start(self.ctx, &owner, &request)).await {
            Ok(Started::Made(uid)) => Ok(Tried::Made(Some(uid))),
            Ok(Started::Going) => Ok(Tried::Going),
            Ok(Started::Taken(what)) => Ok(Tried::Exists(what)),
            Err(error) => refused(format!("Job {}", job.name), error),
        }
    }

    async fn publish(&mut self, action: &RemediationAction, world: &World, event: Announcement) -> bool {
        let (about, severity) = match (event.about, &world.model) {
            (About::Action, _) => (action.object_ref(&()), EventType::Warning),
            (About::Model, Some(model)) => (model.object_ref(&()), EventType::Normal),
            (About::Model, None) => return false,
        };
        events::publish(self.ctx, &about, severity, event.reason, event.verb, event.text).await
    }
}

impl Cluster<'_> {
    async fn create<K: Namespaced>(&self, object: &K) -> Result<Tried, Error> {
        let what = format!("{} {}", K::kind(&()), object.name_any());
        let namespace = self.cached.namespace().unwrap_or_default();
        match create(self.ctx, &namespace, object).await {
            Ok(Created::Made(made)) => Ok(Tried::Made(made.meta().uid.clone())),
            Ok(Created::Exists(_)) => Ok(Tried::Exists(what)),
            Err(error) => refused(what, error),
        }
    }
}

/// An error as a refusal, if the API server answered and rejected the object: a missing permission, a quota, a policy, a failing
/// webhook.
fn refused(object: String, error: Error) -> Result<Tried, Error> {
    if !error.refused() && !matches!(error.code(), Some(404 | 500)) {
        return Err(error);
    }
    Ok(Tried::Refused {
        object,
        message: answer(&error),
    })
}

/// Nothing is left to write for now.
async fn rest(ctx: &Context, settled: &Settled) -> Result<Action, Error> {
    let Settled {
        action,
        world,
        decision,
    } = settled;
    let owner = JobOwner::action(action)?;
    ctx.blocked
        .note(&ctx.metrics, &key(action), blocked(action, decision));
    let attempt = decision.status.snapshot_attempt.as_ref();
    if attempt.is_some_and(|attempt| attempt.finished) {
        jobs::collect(ctx, &owner, &[attempt]).await?;
    }
    if objects::has_ended(action) {
        let policy = &ctx.config.policy;
        for old in action::surplus(&world.actions, world.model.as_ref(), policy, ctx.now()) {
            apply::delete(ctx, &owner.namespace, old).await?;
        }
        return Ok(Action::await_change());
    }
    let now = ctx.now();
    let again = decision.again.map(|again| {
        // Rounded up to a whole second, so that the deadline has passed by then.
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

/// The type and reason of a blocked action, for metrics.
fn blocked(action: &RemediationAction, decision: &Decision) -> Option<(ActionType, Reason)> {
    let conditions = &decision.status.conditions;
    let succeeded = conditions::find(conditions, ConditionType::Succeeded)?;
    let reason = conditions::reason(succeeded)?;
    let waits = matches!(
        reason,
        Reason::TooManyInFlight | Reason::ModelClaimed | Reason::StormBreaker
    );
    let is_blocked = conditions::is_true(conditions, ConditionType::Stalled) || waits;
    (is_blocked && !objects::has_ended(action)).then_some((action.spec.action, reason))
}

/// Writes the status if it differs, and publishes Events about the changes.
async fn write_status(
    ctx: &Context,
    action: &RemediationAction,
    status: &RemediationActionStatus,
) -> Result<bool, Error> {
    let old = action.status.as_ref();
    let Some(written) = apply::status(ctx, action, old, status).await? else {
        return Ok(false);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    events::conditions_changed(ctx, action, before, &status.conditions).await;
    if objects::has_ended(&written) && !objects::has_ended(action) {
        let succeeded = conditions::find(&status.conditions, ConditionType::Succeeded);
        if let Some(reason) = succeeded.and_then(conditions::reason) {
            ctx.metrics.action_ended(action.spec.action, reason);
        }
    }
    Ok(true)
}

/// The message of the API server.
fn answer(error: &Error) -> String {
    if let Error::Api { source, .. } = error
        && let kube::Error::Api(status) = &**source
    {
        return status.message.clone();
    }
    chain(error)
}
