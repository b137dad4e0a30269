//! Fakes of what a bare API server lacks: Job controller, Deployment controller, autoscaler, kubelet, garbage collector.
//!
//! Tests determine how Jobs and Pods end. Otherwise the fakes follow the rules of the real components as far as these are visible
//! in objects: owner references, labels, conditions in the order that the API server requires, termination messages, new Pods
//! before old ones are removed. Timing, eviction and real garbage collection are tested on a real cluster.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, future::ready, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{ConfigMap, Event, Pod, PodTemplateSpec, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, PartialObjectMeta},
    runtime::{WatchStreamExt as _, watcher},
};
use modelward_crds::{DriftReport, Model, ModelVersion, RemediationAction};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// It runs.
    Runs,
    /// It does not end, and its Pod has this status instead of running.
    Stuck(Value),
    /// It does not end, and no Pod can be created for it.
    NoPod,
    /// It succeeds, and its container writes this termination message.
    Succeeds(String),
    /// It succeeds, and its Pod is deleted before it can be read.
    SucceedsAndVanishes,
    /// Every attempt ends with this exit code and termination message.
    Fails(i32, String),
}

/// The state of a Pod of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodEnd {
    /// It is starting.
    Starts,
    /// It is ready.
    Ready,
    /// Its container repeatedly ends with this exit code and termination message.
    Crashes(i32, String),
}

type JobScript = Box<dyn Fn(&Job) -> JobEnd + Send>;
type PodScript = Box<dyn Fn(&Pod) -> PodEnd + Send>;

struct Scripts {
    jobs: JobScript,
    pods: PodScript,
    garbage: bool,
}

/// The fake controllers of one namespace; they end when this is dropped.
pub struct FakeControllers {
    scripts: Arc<Mutex<Scripts>>,
    wake: Arc<Wake>,
    /// Locked during garbage collection.
    collecting: Arc<tokio::sync::Mutex<()>>,
    task: JoinHandle<()>,
}

/// What to look at. Looking at everything after each event would load the API server more than the tests do.
#[derive(Default)]
struct Wake {
    notify: Notify,
    jobs: AtomicBool,
    rollouts: AtomicBool,
    /// An object was deleted, so its dependents must be deleted.
    garbage: AtomicBool,
    /// An object was created, perhaps after its owner was deleted. It is checked once nothing else happens.
    made: AtomicBool,
}

/// Idle time after which new objects are checked for missing owners.
const QUIET: Duration = Duration::from_millis(300);
/// Delay before a rejected Pod is created again.
const REFUSED: Duration = Duration::from_secs(1);

// === impl FakeControllers ===

impl FakeControllers {
    /// Starts the fakes in this namespace. By default, Jobs run forever and Pods become ready.
    pub fn start(client: Client, namespace: &str) -> Self {
        let scripts = Arc::new(Mutex::new(Scripts {
            jobs: Box::new(|_| JobEnd::Runs),
            pods: Box::new(|_| PodEnd::Ready),
            garbage: true,
        }));
        let wake = Arc::new(Wake::default());
        let collecting = Arc::default();
        let stage = Stage {
            client,
            namespace: namespace.to_owned(),
            scripts: scripts.clone(),
            collecting: Arc::clone(&collecting),
            refused: AtomicBool::new(false),
        };
        let task = tokio::spawn(stage.play(wake.clone()));
        Self {
            scripts,
            wake,
            collecting,
            task,
        }
    }

    /// Sets how Jobs end from now on.
    pub fn jobs(&self, script: impl Fn(&Job) -> JobEnd + Send + 'static) {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).jobs = Box::new(script);
        self.wake.all();
    }

    /// Sets the state of Pods of Deployments from now on.
    pub fn pods(&self, script: impl Fn(&Pod) -> PodEnd + Send + 'static) {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner).pods = Box::new(script);
        self.wake.all();
    }

    /// Stops the controllers.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// Sets whether garbage is collected from now on. A running collection has ended when this returns.
    pub async fn garbage(&self, collect: bool) {
        self.scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .garbage = collect;
        drop(self.collecting.lock().await);
        self.wake.all();
    }
}

impl Drop for FakeControllers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === wakes ===

struct Stage {
    client: Client,
    namespace: String,
    scripts: Arc<Mutex<Scripts>>,
    collecting: Arc<tokio::sync::Mutex<()>>,
    /// A Pod was rejected since the last attempt.
    refused: AtomicBool,
}

// === impl Wake ===

impl Wake {
    fn all(&self) {
        for flag in [&self.jobs, &self.rollouts, &self.garbage] {
            flag.store(true, Ordering::Relaxed);
        }
        self.notify.notify_one();
    }

    fn set(&self, flag: &AtomicBool) {
        flag.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }
}

impl Stage {
    async fn play(self, wake: Arc<Wake>) {
        let mut watches = JoinSet::new();
        watches.spawn(self.watch::<Pod>(&wake, |wake| &wake.rollouts));
        watches.spawn(self.watch::<ReplicaSet>(&wake, |wake| &wake.rollouts));
        watches.spawn(self.watch::<Job>(&wake, |wake| &wake.jobs));
        watches.spawn(self.watch::<Deployment>(&wake, |wake| &wake.rollouts));
        watches.spawn(self.watch::<HorizontalPodAutoscaler>(&wake, |wake| &wake.rollouts));
        watches.spawn(self.watch::<Model>(&wake, |wake| &wake.made));
        watches.spawn(self.watch::<ModelVersion>(&wake, |wake| &wake.made));
        watches.spawn(self.watch::<RemediationAction>(&wake, |wake| &wake.made));
        loop {
            let woken = tokio::time::timeout(QUIET, wake.notify.notified());
            if woken.await.is_err() {
                if wake.made.swap(false, Ordering::Relaxed) {
                    wake.garbage.store(true, Ordering::Relaxed);
                } else if self.refused.swap(false, Ordering::Relaxed) {
                    tokio::time::sleep(REFUSED).await;
                    wake.all();
                } else {
                    wake.notify.notified().await;
                }
            }
            // After a failure because an object has changed, the change itself triggers another attempt.
            if let Err(error) = Box::pin(self.pass(&wake)).await {
                eprintln!("fake controllers: {error:#}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                wake.all();
            }
        }
    }

    /// Any event of an object raises `flag`. A deletion also makes its dependents garbage.
    fn watch<K>(
        &self,
        wake: &Arc<Wake>,
        flag: fn(&Wake) -> &AtomicBool,
    ) -> impl Future<Output = ()> + Send + use<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned + Send + 'static,
    {
        let api = Api::<PartialObjectMeta<K>>::namespaced(self.client.clone(), &self.namespace);
        let wake = wake.clone();
        let mut seen = BTreeSet::new();
        watcher(api, watcher::Config::default())
            .default_backoff()
            .for_each(move |event| {
                match event {
                    Ok(watcher::Event::Delete(_)) | Err(_) => {
                        wake.set(&wake.garbage);
                        wake.set(flag(&wake));
                    }
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        if seen.insert(object.uid().unwrap_or_default()) {
                            wake.made.store(true, Ordering::Relaxed);
                        }
                        // Modelward's objects need only garbage collection.
                        if !std::ptr::eq(flag(&wake), &raw const wake.made) {
                            wake.set(flag(&wake));
                        }
                    }
                    Ok(watcher::Event::Init | watcher::Event::InitDone) => {}
                }
                ready(())
            })
    }

    async fn pass(&self, wake: &Wake) -> Result<()> {
        // Garbage first, because other objects wait for the names of deleted ones.
        if wake.garbage.swap(false, Ordering::Relaxed) {
            self.collect().await.context("garbage")?;
        }
        if wake.jobs.swap(false, Ordering::Relaxed) {
            for job in self.api::<Job>().list(&ListParams::default()).await? {
                self.job(&job)
                    .await
                    .with_context(|| format!("Job {}", job.name_any()))?;
            }
        }
        if wake.rollouts.swap(false, Ordering::Relaxed) {
            for deployment in self.api::<Deployment>().list(&ListParams::default()).await? {
                let name = deployment.name_any();
                Box::pin(self.deployment(deployment))
                    .await
                    .with_context(|| format!("Deployment {name}"))?;
            }
        }
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn owned<K>(&self, uid: Option<&str>) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned,
    {
        let mut all = self.api::<K>().list(&ListParams::default()).await?.items;
        all.retain(|object| {
            let owners = object.owner_references();
            owners.iter().any(|owner| Some(owner.uid.as_str()) == uid)
        });
        Ok(all)
    }

    /// Writes the status of this object, but not of a newer object with the same name: the API server compares the uid.
    async fn write_status<K>(&self, object: &K, status: Value) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned,
    {
        let patch = Patch::Merge(json!({"metadata": {"uid": object.uid()}, "status": status}));
        let written = self
            .api::<K>()
            .patch_status(&object.name_any(), &PatchParams::default(), &patch)
            .await;
        ignore_gone(written.map(|_| ()))
    }

    async fn remove<K>(&self, object: &K) -> Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug,
        K: DeserializeOwned,
    {
        let gone = self
            .api::<K>()
            .delete(&object.name_any(), &now_and_only(object.uid()))
            .await;
        ignore_gone(gone.map(|_| ()))
    }

    // === Jobs ===

    async fn job(&self, job: &Job) -> Result<()> {
        let ended = job
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        if job.metadata.deletion_timestamp.is_some() || ended.count() > 0 {
            return Ok(());
        }
        let uid = job.uid();
        let name = job.name_any();
        let end = (self.scripts.lock().unwrap_or_else(PoisonError::into_inner).jobs)(job);
        if end == JobEnd::NoPod {
            return Ok(());
        }
        let pods = self.owned::<Pod>(uid.as_deref()).await?;
        let pod = if let Some(pod) = pods.into_iter().next() {
            pod
        } else {
            let owner = job.controller_owner_ref(&()).context("a Job has a uid")?;
            let template = &job.spec.as_ref().context("a Job has a spec")?.template;
            match self.make_pod(&format!("{name}-x"), owner, template).await? {
                Ok(pod) => pod,
                Err(_) => return Ok(()),
            }
        };
        let began = job.creation_timestamp().map(|time| time.0.to_string());
        let (kinds, succeeded, failed) = match &end {
            JobEnd::Runs | JobEnd::Stuck(_) | JobEnd::NoPod => {
                self.keep_pod(&pod, &end).await?;
                if job.status.as_ref().is_none_or(|status| status.active != Some(1)) {
                    self.write_status(job, json!({"startTime": began, "active": 1}))
                        .await?;
                }
                return Ok(());
            }
            JobEnd::Succeeds(message) => {
                self.end_pod(&pod, "Succeeded", 0, message).await?;
                (["SuccessCriteriaMet", "Complete"], 1, 0)
            }
            JobEnd::SucceedsAndVanishes => {
                self.remove(&pod).await?;
                (["SuccessCriteriaMet", "Complete"], 1, 0)
            }
            JobEnd::Fails(code, message) => {
                self.end_pod(&pod, "Failed", *code, message).await?;
                (["FailureTarget", "Failed"], 0, 1)
            }
        };
        let conditions = kinds.map(|kind| {
            let reason = if failed > 0 {
                "BackoffLimitExceeded"
            } else {
                "CompletionsReached"
            };
            let message = if failed > 0 {
                "Job has reached the specified backoff limit"
            } else {
                ""
            };
            json!({
                "type": kind, "status": "True", "reason": reason, "message": message,
                "lastTransitionTime": began, "lastProbeTime": began,
            })
        });
        let mut status = json!({
            "startTime": began, "active": null, "succeeded": succeeded, "failed": failed, "conditions": conditions,
        });
        if failed == 0 {
            status["completionTime"] = json!(began);
        }
        self.write_status(job, status).await
    }

    /// Sets the status of the Pod of a running Job, once.
    async fn keep_pod(&self, pod: &Pod, end: &JobEnd) -> Result<()> {
        let status = match end {
            JobEnd::Stuck(status) => status.clone(),
            _ => json!({
                "phase": "Running",
                "containerStatuses": [{
                    "name": container_of(pod), "image": "played", "imageID": "", "ready": true, "restartCount": 0,
                    "started": true, "state": {"running": {}},
                }],
            }),
        };
        let phase = pod.status.as_ref().and_then(|found| found.phase.as_deref());
        let same_phase = status["phase"].as_str() == phase;
        let shown = pod
            .status
            .as_ref()
            .is_some_and(|found| found.container_statuses.is_some() || found.conditions.is_some());
        if same_phase && shown {
            return Ok(());
        }
        self.write_status(pod, status).await
    }

    async fn end_pod(&self, pod: &Pod, phase: &str, code: i32, message: &str) -> Result<()> {
        let container = container_of(pod);
        let status = json!({
            "phase": phase,
            "containerStatuses": [{
                "name": container, "image": "played", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "message": message}},
            }],
        });
        self.write_status(pod, status).await
    }

    /// Creates a Pod. If the API server rejects it, creates an Event about the owner and returns the error as text.
    async fn make_pod(
        &self,
        name: &str,
        owner: OwnerReference,
        template: &PodTemplateSpec,
    ) -> Result<Result<Pod, String>> {
        let about = json!({
            "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid,
            "namespace": self.namespace,
        });
        let mut metadata = template.metadata.clone().unwrap_or_default();
        metadata.name = Some(name.to_owned());
        metadata.owner_references = Some(vec![owner]);
        let pod = Pod {
            metadata,
            spec: template.spec.clone(),
            status: None,
        };
        let words = match self.api::<Pod>().create(&PostParams::default(), &pod).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422) => status.message.clone(),
            made => return Ok(Ok(made?)),
        };
        self.refused.store(true, Ordering::Relaxed);
        let now = format!("{:.0}", k8s_openapi::jiff::Timestamp::now());
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.refused")},
            "involvedObject": about, "type": "Warning", "reason": "FailedCreate",
            "message": format!("Error creating: {words}"),
            "firstTimestamp": now, "lastTimestamp": now, "source": {"component": "played"},
        });
        self.api::<Event>()
            .patch(
                &format!("{name}.refused"),
                &PatchParams::apply("played").force(),
                &Patch::Apply(event),
            )
            .await?;
        Ok(Err(words))
    }

    // === Deployments ===

    async fn deployment(&self, deployment: Deployment) -> Result<()> {
        if deployment.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let deployment = self.autoscaled(deployment).await?;
        let spec = deployment.spec.clone().context("a Deployment has a spec")?;
        let wanted = usize::try_from(spec.replicas.unwrap_or(1))?;
        let newest = self.replica_set(&deployment, &spec.template).await?;
        let sets: BTreeSet<String> = self
            .owned::<ReplicaSet>(deployment.uid().as_deref())
            .await?
            .iter()
            .filter_map(ResourceExt::uid)
            .collect();

        let template = newest
            .spec
            .as_ref()
            .and_then(|spec| spec.template.clone())
            .context("a ReplicaSet has a template")?;
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for pod in self.api::<Pod>().list(&ListParams::default()).await? {
            let owner = pod
                .owner_references()
                .first()
                .map(|owner| owner.uid.clone())
                .unwrap_or_default();
            if Some(&owner) == newest.uid().as_ref() {
                new.push(pod);
            } else if sets.contains(&owner) {
                old.push(pod);
            }
        }
        for pod in new.drain(wanted.min(new.len())..).collect::<Vec<_>>() {
            self.remove(&pod).await?;
        }
        // Pods that were never ready are removed first, because nothing depends on them.
        let mut answering_old = Vec::new();
        for pod in old {
            if self.kubelet(&pod).await? {
                answering_old.push(pod);
            } else {
                self.remove(&pod).await?;
            }
        }
        let mut old = answering_old;
        // maxSurge 1, maxUnavailable 0: one Pod more, and one less as soon as the new one is ready.
        let mut answering = 0;
        let mut failure = None;
        for index in 0.. {
            let pod = match new.get(index) {
                Some(pod) => pod.clone(),
                None if new.len() < wanted && new.len() + old.len() <= wanted => {
                    let taken = |number: &usize| {
                        new.iter()
                            .any(|pod: &Pod| pod.name_any().ends_with(&format!("-{number}")))
                    };
                    let number = (0..=new.len()).find(|number| !taken(number));
                    let pod_name = format!("{}-{}", newest.name_any(), number.unwrap_or(0));
                    let owner = newest
                        .controller_owner_ref(&())
                        .context("a ReplicaSet has a uid")?;
                    match self.make_pod(&pod_name, owner, &template).await? {
                        Ok(pod) => {
                            new.push(pod.clone());
                            pod
                        }
                        Err(words) => {
                            failure = Some(words);
                            break;
                        }
                    }
                }
                None => break,
            };
            if self.kubelet(&pod).await? {
                answering += 1;
                if answering + old.len() > wanted
                    && let Some(surplus) = old.pop()
                {
                    self.remove(&surplus).await?;
                }
            }
        }
        let done = old.is_empty() && answering >= wanted;
        let reason = if done {
            "NewReplicaSetAvailable"
        } else {
            "ReplicaSetUpdated"
        };
        let available = answering + old.len();
        let mut status = json!({
            "observedGeneration": deployment.metadata.generation,
            "replicas": new.len() + old.len(),
            "updatedReplicas": new.len(),
            "readyReplicas": available,
            "availableReplicas": available,
            "unavailableReplicas": (new.len() + old.len()).saturating_sub(available),
            "conditions": [{"type": "Progressing", "status": "True", "reason": reason}],
        });
        let before = serde_json::to_value(&deployment.status)?;
        // The first error is kept while Pods are rejected.
        let known = deployment
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let known = known
            .into_iter()
            .find(|condition| condition.type_ == "ReplicaFailure");
        let fails = failure.is_some();
        if let (Some(words), Some(all)) = (failure, status["conditions"].as_array_mut()) {
            let words = known.and_then(|known| known.message.clone()).unwrap_or(words);
            all.push(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}));
        }
        let same = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "availableReplicas",
        ]
        .iter()
        .all(|field| before.get(field).unwrap_or(&json!(0)) == &status[field]);
        if !same || fails != known.is_some() {
            self.write_status(&deployment, status).await?;
        }
        Ok(())
    }

    /// The autoscaler: at least its minimum number of Pods.
    async fn autoscaled(&self, deployment: Deployment) -> Result<Deployment> {
        let name = deployment.name_any();
        let Some(scaler) = self.api::<HorizontalPodAutoscaler>().get_opt(&name).await? else {
            return Ok(deployment);
        };
        let (least, most) = scaler
            .spec
            .map_or((1, 1), |spec| (spec.min_replicas.unwrap_or(1), spec.max_replicas));
        let present = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        if (least..=most).contains(&present) {
            return Ok(deployment);
        }
        let patch = Patch::Merge(json!({"spec": {"replicas": present.clamp(least, most)}}));
        let params = PatchParams {
            field_manager: Some("played-autoscaler".into()),
            ..PatchParams::default()
        };
        self.api::<Deployment>()
            .patch_scale(&name, &params, &patch)
            .await?;
        Ok(self.api::<Deployment>().get(&name).await?)
    }

    async fn replica_set(&self, deployment: &Deployment, template: &PodTemplateSpec) -> Result<ReplicaSet> {
        let mut hash: u32 = 2_166_136_261;
        for byte in serde_json::to_string(template)?.bytes() {
            hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
        }
        let hash = format!("{hash:08x}");
        let name = format!("{}-{hash}", deployment.name_any());
        let api = self.api::<ReplicaSet>();
        if let Some(found) = api.get_opt(&name).await? {
            return Ok(found);
        }
        let mut labels = template
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.labels.clone())
            .unwrap_or_default();
        labels.insert("pod-template-hash".into(), hash);
        let mut template = template.clone();
        template.metadata.get_or_insert_default().labels = Some(labels.clone());
        let owner = deployment
            .controller_owner_ref(&())
            .context("a Deployment has a uid")?;
        let set: ReplicaSet = serde_json::from_value(json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }))?;
        Ok(api.create(&PostParams::default(), &set).await?)
    }

    /// Moves a Pod to the state that the test set, and returns whether it is ready.
    async fn kubelet(&self, pod: &Pod) -> Result<bool> {
        let end = (self.scripts.lock().unwrap_or_else(PoisonError::into_inner).pods)(pod);
        let (ready, restarts, state, last) = match &end {
            PodEnd::Starts => (
                false,
                0,
                json!({"waiting": {"reason": "ContainerCreating"}}),
                json!({}),
            ),
            PodEnd::Ready => (true, 0, json!({"running": {}}), json!({})),
            PodEnd::Crashes(code, message) => (
                false,
                1,
                json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}),
                json!({"terminated": {"exitCode": code, "message": message}}),
            ),
        };
        let present = pod
            .status
            .as_ref()
            .and_then(|status| status.container_statuses.as_ref()?.first());
        let known = present.map(|status| (status.ready, status.restart_count));
        if known != Some((ready, restarts)) {
            let truth = if ready { "True" } else { "False" };
            let status = json!({
                "phase": if ready { "Running" } else { "Pending" },
                "conditions": [{"type": "Ready", "status": truth}],
                "containerStatuses": [{
                    "name": container_of(pod), "image": "played", "imageID": "", "ready": ready,
                    "restartCount": restarts, "state": state, "lastState": last,
                }],
            });
            self.write_status(pod, status).await?;
        }
        Ok(ready)
    }

    // === garbage ===

    /// Deletes objects that have owners but none that exists.
    async fn collect(&self) -> Result<()> {
        let _collecting = self.collecting.lock().await;
        if !self
            .scripts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .garbage
        {
            return Ok(());
        }
        // Children are listed before owners: if an owner is missing in the later list, it was deleted while its child still
        // existed.
        let kinds = [
            ApiResource::erase::<Pod>(&()),
            ApiResource::erase::<ReplicaSet>(&()),
            ApiResource::erase::<Job>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<RemediationAction>(&()),
            ApiResource::erase::<DriftReport>(&()),
            ApiResource::erase::<Model>(&()),
            ApiResource::erase::<ModelVersion>(&()),
        ];
        let lists = stream::iter(kinds).then(async |kind| {
            let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &kind);
            let found = api.list_metadata(&ListParams::default()).await?;
            anyhow::Ok((api, found.items))
        });
        let lists: Vec<_> = lists.collect().await;
        let lists = lists.into_iter().collect::<Result<Vec<_>>>()?;
        let alive: BTreeSet<String> = lists
            .iter()
            .flat_map(|(_, items)| items.iter().filter_map(ResourceExt::uid))
            .collect();
        for (api, items) in &lists {
            for item in items {
                let owners = item.owner_references();
                let orphan = !owners.is_empty() && owners.iter().all(|owner| !alive.contains(&owner.uid));
                if orphan && item.metadata.deletion_timestamp.is_none() {
                    let gone = api.delete(&item.name_any(), &now_and_only(item.uid())).await;
                    ignore_gone(gone.map(|_| ()))?;
                }
            }
        }
        Ok(())
    }
}

// === small ===

fn container_of(pod: &Pod) -> String {
    let containers = pod
        .spec
        .as_ref()
        .map(|spec| spec.containers.as_slice())
        .unwrap_or_default();
    containers
        .first()
        .map(|container| container.name.clone())
        .unwrap_or_default()
}

fn now_and_only(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        ..DeleteParams::background().grace_period(0)
    }
}

/// Ignores objects that were deleted or replaced.
fn ignore_gone(answer: kube::Result<()>) -> Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        answer => Ok(answer?),
    }
}
