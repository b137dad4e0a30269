//! The loops that turn wakes into reconciles.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{
    FutureExt as _, Stream, StreamExt as _,
    channel::mpsc::unbounded,
    future::ready,
    stream::{pending, select},
};
use kube::{
    ResourceExt as _,
    runtime::{
        Config as ControllerConfig, Controller,
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use tokio::task::JoinSet;

use crate::{
    Context, Error, action,
    api::{Guarded, NamespacedName},
    cache::{
        cached::Cached,
        version::CachedVersion,
        wake::{Queues, Target},
    },
    drift, gate,
    metrics::ControllerName,
    model,
    runtime::{
        backoff::jittered,
        health::Health,
        reconcile::{guarded, policy},
        streams::Watching,
        turns::CONCURRENCY,
    },
    version,
};

/// How long reconciles in progress may take to finish at shutdown. Together with the release of the lease this must stay far below a
/// Pod's grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(3);
/// The delay of a reconcile if its namespace has used up its share.
const BOUNCE: Duration = Duration::from_millis(500);

/// Runs the controllers until `shutdown`. Reconciles in progress then have a few seconds; those that do not finish are dropped,
/// which is safe after any write.
///
/// Each watch and each controller is a separate task, so that decoding one kind delays neither another kind nor the renewal of the
/// lease. A context runs once.
pub async fn run(ctx: Arc<Context>, health: Health, shutdown: impl Future<Output = ()> + Send + 'static) {
    health.started.store(true, Ordering::Relaxed);
    let Some(feeds) = ctx.cache.take_feeds() else {
        tracing::error!("these controllers were started before");
        return;
    };
    let mut shutdown = Box::pin(shutdown);
    let watching = Watching::new(ctx.clone(), health);
    let mut watches = tokio::select! {
        watches = watching.start(feeds.writers) => watches,
        () = &mut shutdown => return,
    };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stopped = move || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let mut probing = JoinSet::new();
    probing.spawn(probe(ctx.clone()));
    let mut controllers = start(&ctx, feeds.queues, stopped);
    let ending = async {
        shutdown.await;
        let _ = stop.send(true);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = all_ended(&mut controllers) => {}
        () = all_ended(&mut watches) => {}
        () = all_ended(&mut probing) => {}
        () = ending => {
            let left = controllers.len();
            controllers.shutdown().await;
            tracing::info!("{left} controllers did not end within {} s and were dropped", DRAIN.as_secs());
        }
    }
}

/// Starts the controllers, each in a task.
fn start<S>(ctx: &Arc<Context>, queues: Queues, stopped: impl Fn() -> S) -> JoinSet<()>
where
    S: Future<Output = ()> + Send + Sync + 'static,
{
    let mut controllers = JoinSet::new();
    let woken = select(queues.versions, ctx.turns.woken());
    let store = ctx.cache.versions.store();
    controllers.spawn(control(
        ctx,
        ControllerName::ModelVersion,
        store,
        woken,
        reconcile_version,
        stopped(),
    ));
    controllers.spawn(control(
        ctx,
        ControllerName::Model,
        ctx.cache.models.store(),
        queues.models,
        |object, ctx| async move { guarded(&object, &ctx, ControllerName::Model, model::reconcile).await },
        stopped(),
    ));
    controllers.spawn(control(
        ctx,
        ControllerName::DriftSchedule,
        ctx.cache.models.store(),
        queues.schedules,
        |object, ctx| async move {
            guarded(
                &object,
                &ctx,
                ControllerName::DriftSchedule,
                drift::reconcile_schedule,
            )
            .await
        },
        stopped(),
    ));
    controllers.spawn(control(
        ctx,
        ControllerName::DriftReport,
        ctx.cache.reports.store(),
        queues.reports,
        |object, ctx| async move {
            guarded(
                &object,
                &ctx,
                ControllerName::DriftReport,
                drift::reconcile_report,
            )
            .await
        },
        stopped(),
    ));
    controllers.spawn(control(
        ctx,
        ControllerName::Action,
        ctx.cache.actions.store(),
        queues.actions,
        |object, ctx| async move { guarded(&object, &ctx, ControllerName::Action, action::reconcile).await },
        stopped(),
    ));
    controllers.spawn(gate::run(ctx.env.clone(), stopped()));
    controllers
}

/// Reconciles the objects of a queue until `stopped`.
fn control<R, F>(
    ctx: &Arc<Context>,
    controller: ControllerName,
    store: Store<Guarded<R>>,
    queue: impl Stream<Item = ObjectRef<Guarded<R>>> + Send + 'static,
    reconcile: impl Fn(Arc<Guarded<R>>, Arc<Context>) -> F + Send + 'static,
    stopped: impl Future<Output = ()> + Send + Sync + 'static,
) -> impl Future<Output = ()> + Send + 'static
where
    R: Cached,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    // The queue says what to reconcile. The trigger of the controller itself stays silent.
    Controller::for_stream(pending(), store)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .reconcile_on(queue)
        .graceful_shutdown_on(stopped)
        .run(
            move |object, ctx| reconcile(object, ctx).boxed(),
            move |object, error, ctx| policy(&*object, error, &ctx, controller),
            ctx.clone(),
        )
        .for_each(|_| ready(()))
}

async fn reconcile_version(object: Arc<Guarded<CachedVersion>>, ctx: Arc<Context>) -> Result<Action, Error> {
    // A namespace with a thousand versions must leave room for the others.
    let namespace = object.namespace().unwrap_or_default();
    let Some(_share) = ctx.turns.share(&namespace) else {
        return Ok(Action::requeue(jittered(BOUNCE)));
    };
    ctx.turns.seed().await;
    guarded(&object, &ctx, ControllerName::ModelVersion, version::reconcile).await
}

/// Probes every model through its Service, and wakes those whose answer changed.
async fn probe(ctx: Arc<Context>) {
    let (answers, answered) = unbounded::<(String, String)>();
    let wake = answered.for_each(|(namespace, name)| {
        ctx.cache
            .wake
            .wake(&Target::Model(NamespacedName::new(namespace, name)));
        ready(())
    });
    tokio::join!(ctx.prober.run(&ctx.env.metrics, answers), wake);
}

async fn all_ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
