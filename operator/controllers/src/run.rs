//! Watches, and the loops that turn them into reconciles.
//!
//! Each watch has its own backoff and its errors are counted and dropped before they are merged: one kind that cannot
//! be watched must not hold up the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, channel::mpsc::unbounded, future::ready};
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
    Api, Resource, ResourceExt as _,
    api::ObjectMeta,
    core::{DeserializeGuard, PartialObjectMeta, PartialObjectMetaExt as _},
    runtime::{
        Config as ControllerConfig, Controller, WatchStreamExt as _,
        controller::Action,
        reflector::{ObjectRef, Store, store},
        watcher,
    },
};
use modelward_crds::{Model, ModelVersion, RemediationAction, TrainingSource, labels};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::{
    Context, Error, backoff::Backoff, error::Category, jobs, ledger::chain, metrics::ControllerName, model,
    version,
};

/// Reconciles that may run at the same time, by controller.
pub(crate) const CONCURRENCY: u16 = 8;
/// When the process is asked to end, reconciles under way have so long to end by themselves. With the release of the lease
/// this must stay far below a Pod's grace of 30 s.
const DRAIN: Duration = Duration::from_secs(3);
/// A reconcile of a namespace that has its share of them is tried again so much later.
const BOUNCE: Duration = Duration::from_millis(500);
/// A whole reconcile that takes longer is given up and tried again.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);
/// A watch that says nothing for so long is made anew: a dead connection behind a load balancer looks the same.
const WATCH_TIMEOUT: u32 = 60;
/// So many failures in a row, the last one within [`WATCH_FAILING`], make a watch count as broken. A watch that was
/// started again is silent until something happens, so silence after a failure must count as health: otherwise the one
/// refusal that a young CRD gives would keep a process unready for as long as no object is made.
const WATCH_FAILURES: u32 = 3;
/// Longer than the longest backoff between two failures.
const WATCH_FAILING: Duration = Duration::from_secs(90);

pub(crate) type Guarded<K> = DeserializeGuard<K>;

/// What a readiness probe asks.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// By kind: failures since the last event, and when the last of them was.
    watches: Arc<Mutex<BTreeMap<String, (u32, Instant)>>>,
    started: Arc<AtomicBool>,
}

// === impl Health ===

impl Health {
    /// What is not as it should be, in words; empty where all is well.
    pub fn problems(&self) -> Vec<String> {
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        watches
            .iter()
            .filter(|(_, (failures, last))| *failures >= WATCH_FAILURES && last.elapsed() < WATCH_FAILING)
            .map(|(kind, _)| format!("{kind} cannot be watched"))
            .collect()
    }

    /// Whether the controllers were started: false in a process that stands by.
    pub fn started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    fn note(&self, kind: &str, healthy: bool) {
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if healthy {
            watches.remove(kind);
        } else {
            let failing = watches.entry(kind.to_owned()).or_insert((0, Instant::now()));
            *failing = (failing.0 + 1, Instant::now());
        }
    }
}

/// Runs the controllers until `shutdown`. Reconciles under way have a few seconds then: any write may be the last one, so
/// what does not end by itself is dropped.
///
/// Each controller is a task of its own: the decoding of one kind holds up neither another kind nor the renewal of the lease.
pub async fn run(ctx: Arc<Context>, health: Health, shutdown: impl Future<Output = ()> + Send + 'static) {
    health.started.store(true, Ordering::Relaxed);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stopped = move || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    let watching = Watching { ctx, health };
    let mut controllers = JoinSet::new();
    {
        let (watching, stopped) = (watching.clone(), stopped());
        controllers.spawn(async move { versions(&watching, stopped).await });
    }
    {
        let (watching, stopped) = (watching.clone(), stopped());
        controllers.spawn(async move { models(&watching, stopped).await });
    }
    {
        let (watching, stopped) = (watching.clone(), stopped());
        controllers.spawn(async move { crate::drift::run(&watching, stopped).await });
    }
    {
        let stopped = stopped();
        controllers.spawn(async move { crate::action::run(&watching, stopped).await });
    }
    let ending = async {
        shutdown.await;
        let _ = stop.send(true);
        // A controller whose first list is still under way never ends by itself: it waits for a list that it reads no more.
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = all_ended(&mut controllers) => {}
        () = ending => {
            let left = controllers.len();
            controllers.shutdown().await;
            tracing::info!("{left} controllers did not end within {} s and were dropped", DRAIN.as_secs());
        }
    }
}

async fn all_ended(controllers: &mut JoinSet<()>) {
    while let Some(ended) = controllers.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn versions(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<ModelVersion, _>(|ctx, version| {
        let uid = version.uid().unwrap_or_default();
        ctx.versions_backoff.succeeded(&key(version));
        ctx.forget_recorded(&uid);
        ctx.turns.bury(&uid);
    });
    let version_jobs = watching.objects_metadata::<Job>(labels::VERSION);
    let job_pods = watching.objects_metadata::<Pod>(labels::VERSION);
    let models = watching.objects::<Model>();
    let maps = watching.objects_metadata::<ConfigMap>("");
    let claims = watching.objects_metadata::<PersistentVolumeClaim>("");
    let actions = watching.objects::<RemediationAction>();

    let (of_model, of_map, of_claim, of_job, all) = (
        reader.clone(),
        reader.clone(),
        reader.clone(),
        reader.clone(),
        reader.clone(),
    );
    Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .watches_stream(version_jobs, move |job| {
            matching(&of_job, &job, |version, _| {
                let status = version.status.as_ref();
                let attempts = status.map(|status| [&status.snapshot_attempt, &status.fit_attempt]);
                jobs::is_of(&job, version, attempts.into_iter().flatten().flatten())
            })
        })
        // A Pod that starts, ends or cannot be scheduled changes its Job late or not at all.
        .watches_stream(job_pods, |pod| {
            let name = pod.labels().get(labels::VERSION)?.clone();
            Some(ObjectRef::new(&name).within(&pod.namespace()?))
        })
        .reconcile_on(ctx.turns.woken())
        .watches_stream(models, move |model| {
            matching(&of_model, &model, |version, name| version.spec.model == name)
        })
        .watches_stream(maps, move |map| {
            let uses = |version: &ModelVersion, name: &str| {
                let training = version.spec.source.training.as_ref();
                training
                    .into_iter()
                    .flat_map(TrainingSource::datasets)
                    .any(|dataset| {
                        dataset
                            .config_map
                            .as_ref()
                            .is_some_and(|source| source.name == name)
                    })
                    || jobs::is_spec_of(version, name)
            };
            matching(&of_map, &map, uses)
        })
        .watches_stream(claims, move |claim| {
            let uses = |version: &ModelVersion, name: &str| {
                let training = version.spec.source.training.as_ref();
                training
                    .into_iter()
                    .flat_map(TrainingSource::datasets)
                    .any(|dataset| {
                        dataset
                            .persistent_volume_claim
                            .as_ref()
                            .is_some_and(|source| source.claim_name == name)
                    })
            };
            matching(&of_claim, &claim, uses)
        })
        // A version that waits to be promoted says which action decides on it, and how that ended.
        .watches_stream(actions, |action| {
            let namespace = action.namespace().unwrap_or_default();
            let candidate = action.0.ok().and_then(|action| action.spec.candidate);
            candidate.map(|candidate| ObjectRef::new(&candidate.name).within(&namespace))
        })
        .graceful_shutdown_on(stopped)
        .run(
            move |object, ctx| {
                let all = all.clone();
                async move {
                    // A namespace with a thousand versions leaves room for the others.
                    let namespace = object.namespace().unwrap_or_default();
                    let Some(_share) = ctx.turns.share(&namespace) else {
                        return Ok(Action::requeue(crate::backoff::jittered(BOUNCE)));
                    };
                    ctx.turns.seed(|| all).await;
                    Box::pin(guarded(
                        &object,
                        &ctx,
                        ControllerName::ModelVersion,
                        &ctx.versions_backoff,
                        version::reconcile,
                    ))
                    .await
                }
            },
            |object, error, ctx| {
                policy(
                    &*object,
                    error,
                    &ctx,
                    ControllerName::ModelVersion,
                    &ctx.versions_backoff,
                )
            },
            ctx,
        )
        .for_each(|_| ready(()))
        .await;
}

async fn models(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<Model, _>(|ctx, model| {
        ctx.models_backoff.succeeded(&key(model));
        let (namespace, name) = (model.namespace().unwrap_or_default(), model.name_any());
        ctx.prober.forget(&namespace, &name);
        ctx.forget_children(&namespace, |child| child == name);
    });
    // A context runs once.
    let _ = ctx.models.set(reader.clone());
    let all = reader.clone();
    let (answers, answered) = unbounded::<(String, String)>();
    let answered = answered.map(|(namespace, name)| ObjectRef::new(&name).within(&namespace));
    let versions = watching.objects::<ModelVersion>();
    let actions = watching.objects::<RemediationAction>();
    let deployments = watching.objects_metadata::<Deployment>(labels::MODEL);
    let services = watching.objects_metadata::<Service>(labels::MODEL);
    let maps = watching.objects_metadata::<ConfigMap>(labels::MODEL);
    let budgets = watching.objects_metadata::<PodDisruptionBudget>(labels::MODEL);
    let scalers = watching.objects_metadata::<HorizontalPodAutoscaler>(labels::MODEL);
    let pods = watching.objects_metadata::<Pod>(labels::MODEL);

    let asking = ctx.clone();
    let probing = asking.prober.run(&asking.metrics, answers);
    let controller = Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .watches_stream(versions, |version| {
            let namespace = version.namespace().unwrap_or_default();
            version
                .0
                .ok()
                .map(|version| ObjectRef::new(&version.spec.model).within(&namespace))
        })
        .watches_stream(actions, |action| {
            let namespace = action.namespace().unwrap_or_default();
            action
                .0
                .ok()
                .map(|action| ObjectRef::new(&action.spec.model).within(&namespace))
        })
        .watches_stream(deployments, models_of(&all))
        .watches_stream(services, models_of(&all))
        .watches_stream(maps, models_of(&all))
        .watches_stream(budgets, models_of(&all))
        .watches_stream(scalers, models_of(&all))
        .watches_stream(pods, |pod| {
            let name = pod.labels().get(labels::MODEL)?;
            Some(ObjectRef::new(name).within(&pod.namespace()?))
        })
        .reconcile_on(answered)
        .graceful_shutdown_on(stopped)
        .run(
            |object, ctx| async move {
                Box::pin(guarded(
                    &object,
                    &ctx,
                    ControllerName::Model,
                    &ctx.models_backoff,
                    model::reconcile,
                ))
                .await
            },
            |object, error, ctx| policy(&*object, error, &ctx, ControllerName::Model, &ctx.models_backoff),
            ctx,
        )
        .for_each(|_| ready(()));
    tokio::select! {
        () = controller => {}
        () = probing => {}
    }
}

/// The models that a child concerns: those that its label and its owners name, and the one whose record has its uid, for a
/// writer that changes a child can change both.
fn models_of<K: Resource<DynamicType = ()>>(
    models: &Store<Guarded<Model>>,
) -> impl Fn(PartialObjectMeta<K>) -> Vec<ObjectRef<Guarded<Model>>> + use<K> {
    let models = models.clone();
    move |child| {
        let namespace = child.namespace().unwrap_or_default();
        let uid = child.uid().unwrap_or_default();
        let owners = child.owner_references().iter();
        let owners = owners.filter(|owner| owner.kind == Model::kind(&()));
        let named: BTreeSet<String> = (child.labels().get(labels::MODEL).cloned().into_iter())
            .chain(owners.map(|owner| owner.name.clone()))
            .collect();
        let mut found: Vec<_> = named
            .iter()
            .map(|name| ObjectRef::new(name).within(&namespace))
            .collect();
        let is_recorded = found
            .iter()
            .filter_map(|model| models.get(model))
            .any(|model| records(&model, &uid));
        if !is_recorded {
            let state = models.state();
            let here = state
                .iter()
                .filter(|model| model.namespace().as_deref() == Some(namespace.as_str()));
            found.extend(
                here.filter(|model| records(model, &uid))
                    .map(|model| ObjectRef::new(&model.name_any()).within(&namespace)),
            );
        }
        found
    }
}

fn records(model: &Guarded<Model>, uid: &str) -> bool {
    let status = model.0.as_ref().ok().and_then(|model| model.status.as_ref());
    status.is_some_and(|status| status.children.iter().any(|child| child.uid == uid))
}

// === watches ===

/// How every controller watches.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) ctx: Arc<Context>,
    health: Health,
}

impl Watching {
    /// The objects that a controller reconciles, each time one changes, and what is known of all of them. `gone` is called for
    /// each one that was deleted, also for those that a new list no longer has.
    pub(crate) fn primary<K, G>(
        &self,
        gone: G,
    ) -> (
        Store<Guarded<K>>,
        impl Stream<Item = watcher::Result<Guarded<K>>> + Send + use<K, G>,
    )
    where
        G: Fn(&Context, &PartialObjectMeta<K>) + Send + 'static,
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + Sync
            + 'static,
    {
        let (reader, writer) = store();
        let ctx = self.ctx.clone();
        let mut known = Known::default();
        let objects = self
            .stream(self.api::<Guarded<K>>(), "")
            .inspect_ok(move |event| {
                for metadata in known.follow(event) {
                    ctx.unreadable.forget(metadata.uid.as_deref().unwrap_or_default());
                    gone(&ctx, &metadata.into_response_partial());
                }
                ctx.metrics.unreadable(&K::kind(&()), known.unreadable);
            })
            .reflect(writer)
            .touched_objects();
        (reader, objects)
    }

    /// Other objects, each time one changes.
    pub(crate) fn objects<K>(&self) -> impl Stream<Item = watcher::Result<Guarded<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        self.stream(self.api::<Guarded<K>>(), "").touched_objects()
    }

    /// The same of those with this label, and metadata alone: a change of an object changes its resourceVersion, and its content
    /// is read when it is needed.
    pub(crate) fn objects_metadata<K>(
        &self,
        label: &str,
    ) -> impl Stream<Item = watcher::Result<PartialObjectMeta<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Send
            + 'static,
    {
        self.stream(self.api::<PartialObjectMeta<K>>(), label)
            .touched_objects()
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match &self.ctx.config.watch_namespace {
            Some(namespace) => Api::namespaced(self.ctx.client.clone(), namespace),
            None => Api::all(self.ctx.client.clone()),
        }
    }

    /// A watch with a backoff of its own. Its errors are counted and dropped here: it goes on by itself, and an error
    /// that reached the merged triggers would pause all of them.
    fn stream<K>(
        &self,
        api: Api<K>,
        label: &str,
    ) -> impl Stream<Item = watcher::Result<watcher::Event<K>>> + Send + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
    {
        let (metrics, health) = (self.ctx.metrics.clone(), self.health.clone());
        let kind = K::kind(&()).into_owned();
        let config = watcher::Config::default().timeout(WATCH_TIMEOUT).labels(label);
        let stream = watcher(api, config).default_backoff().filter(move |item| {
            health.note(&kind, item.is_ok());
            if let Err(error) = item {
                metrics.watch_failed(&kind);
                tracing::warn!(
                    watch.kind = kind,
                    "watch of {kind} failed and is tried again: {}",
                    chain(error)
                );
            }
            ready(item.is_ok())
        });
        stream.modify(|object| object.managed_fields_mut().clear())
    }
}

/// The objects that a watch has reported, and how many of them cannot be deserialised.
#[derive(Default)]
struct Known {
    objects: BTreeMap<(Option<String>, String), Seen>,
    /// What the list that is under way has reported so far.
    listing: BTreeMap<(Option<String>, String), Seen>,
    unreadable: usize,
}

struct Seen {
    uid: Option<String>,
    unreadable: bool,
}

// === impl Known ===

impl Known {
    /// Takes one event in, and gives the metadata of the objects that are gone since. A deletion that the watch missed shows
    /// as an object that the next list no longer has.
    fn follow<K: Resource>(&mut self, event: &watcher::Event<Guarded<K>>) -> Vec<ObjectMeta> {
        match event {
            watcher::Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.listing.insert(place(object), seen(object));
                Vec::new()
            }
            watcher::Event::InitDone => {
                let before = std::mem::replace(&mut self.objects, std::mem::take(&mut self.listing));
                self.unreadable = self.objects.values().filter(|seen| seen.unreadable).count();
                before
                    .into_iter()
                    .filter(|(place, seen)| self.objects.get(place).is_none_or(|now| now.uid != seen.uid))
                    .map(|(place, seen)| metadata(place, seen))
                    .collect()
            }
            watcher::Event::Apply(object) => {
                let (place, now) = (place(object), seen(object));
                let uid = now.uid.clone();
                self.unreadable += usize::from(now.unreadable);
                let before = self.objects.insert(place.clone(), now);
                self.forget(place, before, uid.as_deref())
            }
            watcher::Event::Delete(object) => {
                let place = place(object);
                let before = self.objects.remove(&place);
                self.forget(place, before, None)
            }
        }
    }

    /// Stops counting an object, and gives it where it is not the one that is there now.
    fn forget(
        &mut self,
        place: (Option<String>, String),
        before: Option<Seen>,
        now: Option<&str>,
    ) -> Vec<ObjectMeta> {
        let Some(before) = before else {
            return Vec::new();
        };
        self.unreadable -= usize::from(before.unreadable);
        if now.is_some() && before.uid.as_deref() == now {
            return Vec::new();
        }
        vec![metadata(place, before)]
    }
}

fn place<K: Resource>(object: &K) -> (Option<String>, String) {
    (object.namespace(), object.name_any())
}

fn seen<K: Resource>(object: &Guarded<K>) -> Seen {
    Seen {
        uid: object.meta().uid.clone(),
        unreadable: object.0.is_err(),
    }
}

fn metadata((namespace, name): (Option<String>, String), seen: Seen) -> ObjectMeta {
    ObjectMeta {
        namespace,
        name: Some(name),
        uid: seen.uid,
        ..ObjectMeta::default()
    }
}

/// The versions that an object of this name concerns, in its namespace.
fn matching<K: Resource>(
    versions: &Store<Guarded<ModelVersion>>,
    object: &K,
    concerns: impl Fn(&ModelVersion, &str) -> bool,
) -> Vec<ObjectRef<Guarded<ModelVersion>>> {
    let (namespace, name) = (object.namespace(), object.name_any());
    let state = versions.state();
    let readable = state.iter().filter_map(|version| version.0.as_ref().ok());
    let concerned = readable.filter(|version| version.namespace() == namespace && concerns(version, &name));
    concerned
        .map(|version| ObjectRef::new(&version.name_any()).within(namespace.as_deref().unwrap_or_default()))
        .collect()
}

// === reconciles ===

/// Reconciles an object that can be read, within a bound, and counts it.
pub(crate) async fn guarded<K, F>(
    object: &Guarded<K>,
    ctx: &Arc<Context>,
    controller: ControllerName,
    backoff: &Backoff,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()> + Clone,
    F: Future<Output = Result<Action, Error>>,
{
    let begun = Instant::now();
    ctx.metrics.begun(controller);
    let outcome = match &object.0 {
        Ok(object) => {
            let reconciled = reconcile(Arc::new(object.clone()), ctx.clone());
            let timeout = || Error::Timeout {
                action: "reconcile".to_owned(),
                seconds: RECONCILE_TIMEOUT.as_secs(),
            };
            tokio::time::timeout(RECONCILE_TIMEOUT, reconciled)
                .await
                .unwrap_or_else(|_| Err(timeout()))
        }
        Err(invalid) => {
            ctx.report_unreadable(object).await;
            Err(Error::Unreadable {
                what: format!(
                    "{} {}",
                    K::kind(&()),
                    invalid.metadata.name.as_deref().unwrap_or_default()
                ),
                problem: invalid.error.clone(),
            })
        }
    };
    ctx.metrics.ended(
        controller,
        begun.elapsed(),
        outcome.as_ref().err().map(Error::category),
    );
    if outcome.is_ok() {
        backoff.succeeded(&key(object));
        ctx.metrics.failing(controller, backoff.failing());
    }
    outcome
}

/// Tries again later, later each time. A conflict only means that another writer was faster.
pub(crate) fn policy<K: Resource>(
    object: &K,
    error: &Error,
    ctx: &Context,
    controller: ControllerName,
    backoff: &Backoff,
) -> Action {
    let name = object.name_any();
    if error.category() == Category::Conflict {
        return Action::requeue(crate::backoff::jittered(Duration::from_millis(200)));
    }
    // It was reported, and nothing but a change of the object makes a difference.
    if matches!(error, Error::Unreadable { .. }) {
        return Action::await_change();
    }
    let delay = backoff.failed(&key(object));
    ctx.metrics.failing(controller, backoff.failing());
    tracing::warn!(
        object.namespace = object.namespace(),
        object.name = name,
        reason = error.category().as_str(),
        "reconcile of {controller} {name} failed and is tried again in {} s: {}",
        delay.as_secs(),
        chain(error)
    );
    Action::requeue(delay)
}

pub(crate) fn key<K: Resource>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model(name: &str, uid: &str) -> Guarded<Model> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": uid}, "spec": {},
        }))
        .unwrap()
    }

    fn unreadable(name: &str) -> Guarded<Model> {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": "hospital", "uid": name}, "spec": 7,
        }))
        .unwrap()
    }

    fn gone(known: &mut Known, event: &watcher::Event<Guarded<Model>>) -> Vec<String> {
        let gone = known.follow(event).into_iter();
        gone.map(|metadata| metadata.uid.unwrap_or_default()).collect()
    }

    #[test]
    fn what_a_new_list_no_longer_has_is_gone_though_no_deletion_was_seen() {
        let mut known = Known::default();
        assert!(gone(&mut known, &watcher::Event::Init).is_empty());
        for name in ["a", "b", "c"] {
            assert!(gone(&mut known, &watcher::Event::InitApply(model(name, name))).is_empty());
        }
        assert!(gone(&mut known, &watcher::Event::InitDone).is_empty());
        assert_eq!(gone(&mut known, &watcher::Event::Delete(model("a", "a"))), ["a"]);
        // The watch was away: b was deleted, c was deleted and made again.
        gone(&mut known, &watcher::Event::Init);
        gone(&mut known, &watcher::Event::InitApply(model("c", "c-2")));
        assert_eq!(gone(&mut known, &watcher::Event::InitDone), ["b", "c"]);
        assert_eq!(
            gone(&mut known, &watcher::Event::Apply(model("c", "c-3"))),
            ["c-2"]
        );
        assert!(gone(&mut known, &watcher::Event::Apply(model("c", "c-3"))).is_empty());
    }

    #[test]
    fn a_child_whose_label_and_owner_lead_elsewhere_is_found_by_the_record() {
        let (models, mut writer) = store::<Guarded<Model>>();
        let heart = serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": "heart", "namespace": "hospital", "uid": "m"}, "spec": {},
            "status": {"children": [{"kind": "Service", "name": "heart", "uid": "recorded", "applied": "x"}]},
        }));
        writer.apply_watcher_event(&watcher::Event::Apply(heart.unwrap()));
        let found = |namespace: &str, label: &str, owner: &str, uid: &str| -> Vec<String> {
            let owner =
                json!({"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": owner, "uid": "o"});
            let child: PartialObjectMeta<Service> = serde_json::from_value(json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"name": "heart", "namespace": namespace, "uid": uid, "labels": {labels::MODEL: label},
                    "ownerReferences": [owner]},
            }))
            .unwrap();
            let found = models_of(&models)(child).into_iter();
            found.map(|model| model.name).collect()
        };
        assert_eq!(found("hospital", "heart", "heart", "recorded"), ["heart"]);
        assert_eq!(
            found("hospital", "other", "other", "recorded"),
            ["other", "heart"]
        );
        assert_eq!(
            found("hospital", "other", "eves", "recorded"),
            ["eves", "other", "heart"]
        );
        assert_eq!(found("hospital", "other", "other", "another"), ["other"]);
        assert_eq!(found("elsewhere", "other", "other", "recorded"), ["other"]);
    }

    #[test]
    fn objects_that_cannot_be_read_are_counted_until_they_can_be_or_are_gone() {
        let mut known = Known::default();
        known.follow(&watcher::Event::Apply(unreadable("a")));
        known.follow(&watcher::Event::Apply(unreadable("b")));
        known.follow(&watcher::Event::Apply(unreadable("b")));
        assert_eq!(known.unreadable, 2);
        known.follow(&watcher::Event::Apply(model("a", "a")));
        known.follow(&watcher::Event::Delete(unreadable("b")));
        assert_eq!(known.unreadable, 0);
        known.follow(&watcher::Event::<Guarded<Model>>::Init);
        known.follow(&watcher::Event::InitApply(unreadable("c")));
        known.follow(&watcher::Event::<Guarded<Model>>::InitDone);
        assert_eq!(known.unreadable, 1);
    }
}
