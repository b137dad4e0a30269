//! Watches, and the loops that turn them into reconciles.
//!
//! Each watch has its own backoff, and its errors are counted and dropped before the watches are merged, so that one kind that
//! cannot be watched does not block the others.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{StreamExt as _, channel::mpsc::unbounded, future::ready};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        Config as ControllerConfig, Controller,
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use modelward_crds::{Model, ModelVersion, RemediationAction, TrainingSource, labels};
use tokio::task::JoinSet;

use crate::{
    Context,
    guarded::{CONCURRENCY, Guarded},
    health::Health,
    jobs,
    metrics::ControllerName,
    model,
    reconcile::{guarded, key, policy},
    version,
    watch::Watching,
};

/// How long reconciles in progress may take to finish at shutdown. Together with the release of the lease this must stay far below a
/// Pod's grace period of 30 s.
const DRAIN: Duration = Duration::from_secs(3);
/// The delay of a reconcile if its namespace has used up its share.
const BOUNCE: Duration = Duration::from_millis(500);

/// Runs the controllers until `shutdown`. Reconciles in progress then have a few seconds; those that do not finish are dropped,
/// which is safe after any write.
///
/// Each controller is a separate task, so that decoding one kind delays neither another kind nor the renewal of the lease.
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
        // A controller whose first list is still in progress never ends: it waits for a list that it no longer reads.
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
        // A Pod that starts, ends or cannot be scheduled changes its Job late or not at all, so Pods are watched too.
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
                    // A namespace with a thousand versions must leave room for the others.
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

/// The models that a child concerns: those that its label and its owner references name, and the one whose record has its uid,
/// because a client that changes a child can change both.
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

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector::store, watcher};
    use serde_json::json;

    use super::*;

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
}
