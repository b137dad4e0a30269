//! The watches: one for each kind, in a task of its own, so that decoding one kind delays neither another kind nor a controller.
//!
//! Each watch has its own backoff, and its errors are counted and dropped here, so that one kind that cannot be watched does not
//! block the others.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, future::ready};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Resource,
    api::ObjectMeta,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher},
};
use modelward_crds::labels;
use modelward_service::chain;
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Context,
    api::{Guarded, NamespacedName},
    cache::{
        Cache, Writers,
        cached::Cached,
        index::{Change, IndexWriter},
    },
    metrics::ControllerName,
    runtime::{
        health::Health,
        wires::{self, Targets},
    },
};

/// A watch without events for this long is restarted, because a dead connection behind a load balancer looks the same.
const WATCH_TIMEOUT: u32 = 60;
/// The controllers start when every kind is listed, or after this long: a kind that cannot be listed does not stop them.
const FIRST_LISTS: Duration = Duration::from_secs(10);

/// How every kind is watched.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) ctx: Arc<Context>,
    pub(crate) health: Health,
    listed: watch::Sender<usize>,
}

// === impl Watching ===

impl Watching {
    pub(crate) fn new(ctx: Arc<Context>, health: Health) -> Self {
        Self {
            ctx,
            health,
            listed: watch::Sender::new(0),
        }
    }

    /// Starts all watches, and returns once every kind is listed or the patience is over.
    pub(crate) async fn start(&self, writers: Writers) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(
            self.clone()
                .objects(writers.versions, wires::version, |ctx, gone| {
                    let uid = gone.uid.as_deref().unwrap_or_default();
                    ctx.backoffs
                        .of(ControllerName::ModelVersion)
                        .succeeded(&name_of(gone).to_string());
                    ctx.recorded.forget(uid);
                    ctx.turns.bury(uid);
                }),
        );
        tasks.spawn(self.clone().objects(writers.models, wires::model, |ctx, gone| {
            let name = name_of(gone);
            for controller in [ControllerName::Model, ControllerName::DriftSchedule] {
                ctx.backoffs.of(controller).succeeded(&name.to_string());
            }
            ctx.prober.forget(&name.namespace, &name.name);
            ctx.writes
                .forget_children(&name.namespace, |child| child == name.name);
            ctx.env.metrics.drifted(&name.namespace, &name.name, None);
        }));
        tasks.spawn(self.clone().objects(writers.actions, wires::action, |ctx, gone| {
            let name = name_of(gone).to_string();
            ctx.backoffs.of(ControllerName::Action).succeeded(&name);
            ctx.blocked.note(&ctx.env.metrics, &name, None);
        }));
        tasks.spawn(self.clone().objects(writers.reports, wires::report, |ctx, gone| {
            ctx.backoffs
                .of(ControllerName::DriftReport)
                .succeeded(&name_of(gone).to_string());
        }));
        let watching = self.clone();
        tasks.spawn(async move {
            let ctx = watching.ctx.clone();
            let follow = move |event: &_| ctx.cache.job_owners.follow(event);
            watching.metadata::<Job>(labels::MODEL, wires::job, follow).await;
        });
        tasks.spawn(self.clone().metadata::<Pod>(labels::MODEL, wires::pod, |_| {}));
        tasks.spawn(self.clone().metadata::<ConfigMap>("", wires::config_map, |_| {}));
        tasks.spawn(
            self.clone()
                .metadata::<PersistentVolumeClaim>("", wires::claim, |_| {}),
        );
        tasks.spawn(
            self.clone()
                .metadata::<Deployment>(labels::MODEL, wires::child, |_| {}),
        );
        tasks.spawn(
            self.clone()
                .metadata::<Service>(labels::MODEL, wires::child, |_| {}),
        );
        tasks.spawn(
            self.clone()
                .metadata::<PodDisruptionBudget>(labels::MODEL, wires::child, |_| {}),
        );
        tasks.spawn(
            self.clone()
                .metadata::<HorizontalPodAutoscaler>(labels::MODEL, wires::child, |_| {}),
        );
        let mut listed = self.listed.subscribe();
        let watches = tasks.len();
        let all = listed.wait_for(|listed| *listed >= watches);
        if tokio::time::timeout(FIRST_LISTS, all).await.is_err() {
            tracing::warn!(
                "not every kind could be listed within {} s; starting without",
                FIRST_LISTS.as_secs()
            );
        }
        tasks
    }

    /// Follows the objects of a kind that is cached. `gone` is called for each deleted one, including those that are missing from
    /// a new list.
    async fn objects<R: Cached>(
        self,
        mut writer: IndexWriter<R>,
        wires: impl Fn(&Cache, &Change<R>) -> Targets + Send,
        gone: impl Fn(&Context, &ObjectMeta) + Send,
    ) {
        let index = writer.index();
        let kind = R::kind(&());
        let mut events = Box::pin(self.events(self.api::<Guarded<R>>(), ""));
        let mut unlisted = true;
        while let Some(event) = events.next().await {
            for change in writer.apply(&event) {
                if let Some(metadata) = change.deleted() {
                    let uid = metadata.uid.as_deref().unwrap_or_default();
                    self.ctx.env.unreadable.forget(uid);
                    gone(&self.ctx, metadata);
                }
                self.wake(&wires(&self.ctx.cache, &change));
            }
            self.ctx.env.metrics.unreadable(&kind, index.unreadable());
            self.note_listed(&event, &mut unlisted);
        }
    }

    /// Follows the objects of another kind with this label, with metadata only: a change of an object changes its resourceVersion,
    /// and its content is read when it is needed.
    async fn metadata<K>(
        self,
        label: &'static str,
        wires: impl Fn(&Cache, &PartialObjectMeta<K>) -> Targets + Send,
        follow: impl Fn(&watcher::Event<PartialObjectMeta<K>>) + Send,
    ) where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let mut events = Box::pin(self.events(self.api::<PartialObjectMeta<K>>(), label));
        let mut unlisted = true;
        while let Some(event) = events.next().await {
            follow(&event);
            if let watcher::Event::Apply(object)
            | watcher::Event::InitApply(object)
            | watcher::Event::Delete(object) = &event
            {
                self.wake(&wires(&self.ctx.cache, object));
            }
            self.note_listed(&event, &mut unlisted);
        }
    }

    fn wake(&self, targets: &Targets) {
        for target in targets {
            self.ctx.cache.wake.wake(target);
        }
    }

    /// Counts the first complete list of a watch.
    fn note_listed<K>(&self, event: &watcher::Event<K>, unlisted: &mut bool) {
        if matches!(event, watcher::Event::InitDone) && std::mem::take(unlisted) {
            self.listed.send_modify(|listed| *listed += 1);
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.ctx.env.config.watch_namespace {
            Some(namespace) => Api::namespaced(self.ctx.env.client.clone(), namespace),
            None => Api::all(self.ctx.env.client.clone()),
        }
    }

    /// The events of a watch, which is restarted with increasing delays when it fails.
    fn events<K>(&self, api: Api<K>, label: &str) -> impl Stream<Item = watcher::Event<K>> + Send + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let (metrics, health) = (self.ctx.env.metrics.clone(), self.health.clone());
        let kind = K::kind(&()).into_owned();
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT).labels(label);
        watcher(api, config).default_backoff().filter_map(move |item| {
            health.note(&kind, item.is_ok());
            if let Err(error) = &item {
                metrics.watch_failed(&kind);
                tracing::warn!(
                    watch.kind = kind,
                    "watch of {kind} failed; retrying: {}",
                    chain(error)
                );
            }
            ready(item.ok())
        })
    }
}

fn name_of(metadata: &ObjectMeta) -> NamespacedName {
    NamespacedName::new(
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}
