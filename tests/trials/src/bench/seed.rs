//! A cluster in which everything was decided long ago, so that the operator has only to check it.

use std::{
    fmt::Debug,
    future::Future,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Namespace, ServiceAccount},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use modelward_controllers::Timestamp;
use modelward_core::{
    attempt::{DatasetSeen, JobSeen},
    drift::report_name,
    model::serving_seen,
    names::promotion_name,
    version::{self, BundleSeen, PublicationSeen, SnapshotSeen, World},
};
use modelward_crds::{
    ActionType, DriftReport, FIELD_MANAGER, Model, ModelVersion, RemediationAction, annotations, labels,
};
use modelward_wire::Digest;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::report::Sizes;
use modelward_kit::objects::{Objects, object};
use modelward_trials::world::PATIENCE;

/// Versions of each model.
pub const VERSIONS: usize = 4;
/// Number of objects that are created concurrently.
const AT_ONCE: usize = 32;
/// A window of a week, so that none closes during the run.
const WINDOW: i64 = 604_800;
/// Entries of a record's history.
const HISTORY: usize = 32;
/// One action in this many was decided on by a user.
const DECIDED: usize = 96;
/// Interval between progress messages of a long step.
const PROGRESS: Duration = Duration::from_secs(5);

/// The seeded objects.
pub struct Seeded {
    /// The models, each with its versions in order; the last one is the wide one.
    pub models: Vec<SeededModel>,
}

/// A seeded model.
pub struct SeededModel {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    model: Model,
    versions: Vec<ModelVersion>,
}

/// The progress of a long step.
pub struct Progress {
    what: String,
    total: usize,
    done: usize,
    said: Instant,
}

// === impl SeededModel ===

impl SeededModel {
    /// Metadata of an object that the operator created for the model.
    fn metadata(&self, name: &str) -> Result<Value> {
        let owner = self
            .model
            .controller_owner_ref(&())
            .context("a Model has a uid")?;
        Ok(json!({"name": name, "labels": {labels::MODEL: self.name}, "ownerReferences": [owner]}))
    }
}

// === impl Progress ===

impl Progress {
    /// A step with this number of parts.
    pub fn new(what: &str, total: usize) -> Self {
        Self {
            what: what.to_owned(),
            total,
            done: 0,
            said: Instant::now(),
        }
    }

    /// Counts one more part as done.
    pub fn step(&mut self) {
        self.done += 1;
        if self.done == self.total || self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            eprintln!("{}: {} of {}", self.what, self.done, self.total);
        }
    }
}

/// Creates everything.
pub async fn seed(kube: &Client, sizes: &Sizes, now: Timestamp) -> Result<Seeded> {
    let cluster = Cluster { kube, now };
    for number in 0..sizes.namespaces {
        cluster.namespace(&namespace(number)).await?;
    }
    let wide = (0, "wide".to_owned(), sizes.wide);
    let usual = (0..sizes.models).map(|number| {
        let name = format!("m{number:03}");
        (number % sizes.namespaces, name, VERSIONS)
    });
    let models = usual.chain([wide]).map(|(number, name, versions)| {
        let cluster = &cluster;
        async move { cluster.model(namespace(number), name, versions).await }
    });
    let models = each("Models with their versions", sizes.models + 1, models).await?;

    let usual = &models[..sizes.models];
    let of = |number: usize| &usual[number % usual.len()];
    let actions = (0..sizes.actions).map(|number| {
        let round = number / usual.len();
        cluster.action(of(number), round, number % DECIDED == 0)
    });
    each("RemediationActions", sizes.actions, actions).await?;
    let reports = (0..sizes.reports).map(|number| cluster.report(of(number), number / usual.len()));
    each("DriftReports", sizes.reports, reports).await?;
    let maps = (0..sizes.maps).map(|number| {
        let content = json!({"metadata": {"name": foreign(number)}, "data": {"settings": "x".repeat(1000)}});
        cluster.create::<ConfigMap>(namespace(number % sizes.namespaces), content)
    });
    each("ConfigMaps", sizes.maps, maps).await?;
    Ok(Seeded { models })
}

/// Name of a namespace.
pub fn namespace(number: usize) -> String {
    format!("bench-{number}")
}

/// Name of a ConfigMap of another owner.
pub fn foreign(number: usize) -> String {
    format!("foreign-{number}")
}

/// Runs all of them, many concurrently, and returns the results in order.
async fn each<T>(
    what: &str,
    total: usize,
    work: impl Iterator<Item = impl Future<Output = Result<T>>>,
) -> Result<Vec<T>> {
    let mut progress = Progress::new(what, total);
    stream::iter(work)
        .buffered(AT_ONCE)
        .inspect_ok(|_| progress.step())
        .try_collect()
        .await
        .with_context(|| format!("cannot seed the {what}"))
}

/// The API server, with all permissions.
struct Cluster<'a> {
    kube: &'a Client,
    now: Timestamp,
}

// === impl Cluster ===

impl Cluster<'_> {
    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = object(json!({"metadata": {"name": name}}))?;
        Api::<Namespace>::all(self.kube.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        let account = json!({"metadata": {"name": "default"}});
        self.create::<ServiceAccount>(name.to_owned(), account).await?;
        let rows = json!({"metadata": {"name": "heart-disease"}, "data": {"cleveland.csv": "rows"}});
        self.create::<ConfigMap>(name.to_owned(), rows).await?;
        Ok(())
    }

    /// A model whose newest version serves and whose other versions served before.
    async fn model(&self, namespace: String, name: String, count: usize) -> Result<SeededModel> {
        let content = json!({"metadata": {"name": name}, "spec": {}});
        let model = self.create::<Model>(namespace.clone(), content).await?;
        let mut versions = Vec::new();
        for number in 1..=count {
            let content = version(&name, &format!("{name}-{number}"));
            versions.push(self.create::<ModelVersion>(namespace.clone(), content).await?);
        }
        let served = (0..).zip(versions.iter().rev().take(HISTORY));
        let history = served.map(|(windows, version)| {
            let since = self.before(windows * WINDOW);
            json!({
                "version": version.name_any(), "uid": version.uid(), "digest": bundle(&version.name_any()),
                "weight": 100, "threshold": "0.5", "since": since,
            })
        });
        let history: Vec<Value> = history.collect();
        let live = versions.last().context("a model has a version")?;
        let status = json!({
            "observedGeneration": 1,
            "routes": [{
                "version": live.name_any(), "uid": live.uid(), "digest": bundle(&live.name_any()), "weight": 100,
                "threshold": "0.5",
            }],
            "history": history,
            "newestRouted": {
                "createdAt": live.creation_timestamp(), "name": live.name_any(), "uid": live.uid(),
            },
            "serving": live.name_any(),
            "servingDigest": bundle(&live.name_any()).short(),
            "planSequence": count,
        });
        let model = self.write_status(&model, status).await?;
        for version in &mut versions {
            *version = self.trained(&model, version).await?;
        }
        Ok(SeededModel {
            namespace,
            name,
            model,
            versions,
        })
    }

    /// The version with the status that the operator writes once it is trained.
    async fn trained(&self, model: &Model, version: &ModelVersion) -> Result<ModelVersion> {
        let name = version.name_any();
        let attempt = |stage: &str| {
            let job = format!("{name}-{stage}-1");
            json!({
                "attempt": 1, "job": job, "jobUid": uid(&job), "input": &digest(&job).hex()[..8], "finished": true,
                "startedAt": self.before(3600),
            })
        };
        let mut version = version.clone();
        version.status = Some(serde_json::from_value(json!({
            "role": "Live",
            "family": "LogisticRegression",
            "score": "LogLoss 0.4012",
            "threshold": "0.5",
            "snapshot": {"digest": digest(&format!("snapshot of {name}")), "rows": 303},
            "sources": [{"name": "cleveland.csv", "sha256": digest("rows"), "rows": 303, "positiveRows": 139}],
            "bundle": {"digest": bundle(&name)},
            "metrics": METRICS.map(|metric| json!({"name": metric, "mean": "0.8151", "standardError": "0.0112"})),
            "gates": [{"metric": "F1", "bound": "atLeast 0.75", "value": "0.8151", "passed": true}],
            "snapshotAttempt": attempt("snapshot"),
            "fitAttempt": attempt("fit"),
        }))?);
        let world = World {
            dataset: DatasetSeen::Present(String::new()),
            job: JobSeen::Missing,
            snapshot: SnapshotSeen::NotAsked,
            bundle: BundleSeen::NotAsked,
            serving: serving_seen(Some(model), &version),
            publication: PublicationSeen::NotAsked,
            image_ran: None,
            allowed_trainers: modelward_core::custom_trainer::AllowedTrainers::default(),
            obstacle: None,
        };
        let status = version::decide(&version::validate(&version)?, &world, self.now).status;
        self.write_status(&version, serde_json::to_value(status)?).await
    }

    /// An action that has ended: the first three rounds promoted versions, the others are alerts.
    async fn action(&self, of: &SeededModel, round: usize, decided: bool) -> Result<()> {
        let (name, spec) = if let Some(version) = of.versions.get(round + 1) {
            let uid = version.uid().unwrap_or_default();
            let name = promotion_name(&version.name_any(), &uid);
            let message = format!("{} passed its gates; it would take over", version.name_any());
            let candidate = json!({"name": version.name_any(), "uid": uid});
            let spec = json!({
                "model": of.name, "type": ActionType::PromoteModel, "candidate": candidate, "message": message,
            });
            (name, spec)
        } else {
            let name = format!("alert-{}-{round}", of.name);
            let message = "age and oldpeak drift, and no training is left for today".repeat(3);
            let spec = json!({"model": of.name, "type": ActionType::SendAlert, "message": message});
            (name, spec)
        };
        let mut metadata = of.metadata(&name)?;
        metadata["annotations"] = json!({annotations::PROPOSED_BY: OPERATOR});
        let content = json!({"metadata": metadata, "spec": spec});
        let action = self
            .create::<RemediationAction>(of.namespace.clone(), content)
            .await?;
        let status = self.ended(of, &action, round, decided)?;
        self.write_status(&action, status).await?;
        Ok(())
    }

    fn ended(
        &self,
        of: &SeededModel,
        action: &RemediationAction,
        round: usize,
        decided: bool,
    ) -> Result<Value> {
        let live = of.versions.last().context("a model has a version")?;
        let differences: Vec<Value> = (0..3)
            .map(|number| {
                json!({
                    "field": format!("source.training.gates[{number}].atLeast"), "before": "\"0.75\"", "after": "\"0.7\"",
                })
            })
            .collect();
        let content = serde_json::to_string(&json!({
            "action": action.uid(), "model": of.model.uid(), "spec": live.spec, "differences": differences,
            "policy": "x".repeat(500),
        }))?;
        let plan = digest(&content);
        let route = json!({
            "version": live.name_any(), "uid": live.uid(), "digest": bundle(&live.name_any()), "weight": 100,
            "threshold": "0.5",
        });
        let promotes = action.spec.action == ActionType::PromoteModel;
        let words = "the version answers with all of its Pods, and what it answers was watched";
        let conditions = [
            "Approved",
            "ApprovalEnforced",
            "Executed",
            "Verified",
            "Succeeded",
        ];
        let conditions = conditions.map(|kind| self.condition(kind, "True", "Succeeded", words));
        let rest = ["Reconciling", "Stalled"].map(|kind| self.condition(kind, "False", "Succeeded", ""));
        let decisions = json!([{
            "number": 1, "decision": "Approve", "user": "alice", "digest": plan, "seenAt": self.before(1800),
        }]);
        Ok(json!({
            "observedGeneration": 1,
            "plan": {
                "digest": plan, "planFormat": 2, "planSequence": round + 1, "content": content,
                "risk": if promotes { "Medium" } else { "Low" },
                "approvalsRequired": i32::from(promotes),
                "notAfter": self.before(-3600),
                "summary": "what would serve, by data, gates, champion and Pods".repeat(8),
                "presentRoutes": [route], "plannedRoutes": [route],
                "differences": differences,
                "version": {"name": live.name_any(), "uid": live.uid().unwrap_or_default(), "generation": 1},
            },
            "approvals": if promotes { "1/1" } else { "0/0" },
            "decisions": if decided { decisions } else { json!([]) },
            "execution": {
                "digest": plan, "attempt": 1, "claimedAt": self.before(1700), "routedAt": self.before(1600),
                "verifyUntil": self.before(1000), "endedAt": self.before(900),
            },
            "conditions": conditions.into_iter().chain(rest).collect::<Vec<_>>(),
        }))
    }

    /// A report on a window of the serving version, this many windows ago.
    async fn report(&self, of: &SeededModel, windows: usize) -> Result<()> {
        let live = of.versions.last().context("a model has a version")?;
        let version = live.name_any();
        let now = self.now.as_second();
        let end = Timestamp::from_second(now - now.rem_euclid(WINDOW) - i64::try_from(windows)? * WINDOW)?;
        let start = Timestamp::from_second(end.as_second() - WINDOW)?;
        let mut metadata = of.metadata(&report_name(&version, end))?;
        metadata["labels"][labels::VERSION] = version.clone().into();
        let content = json!({
            "metadata": metadata,
            "spec": {"version": version, "startTime": start.to_string(), "endTime": end.to_string()},
        });
        let report = self.create::<DriftReport>(of.namespace.clone(), content).await?;
        let words = "10000 rows: no feature differs from the reference by more than its tolerance";
        let features = ["age", "oldpeak", "thalach"].map(|name| {
            json!({
                "name": name, "aspect": "Values", "effect": "0.11", "lower": "0.08", "upper": "0.14",
                "tolerance": "0.1", "windows": 1, "logEvidence": "0.7", "logThreshold": "3.91",
            })
        });
        let status = json!({
            "observedGeneration": 1,
            "verdict": "NoDrift",
            "rows": 10_000,
            "versionUid": live.uid(),
            "features": features,
            "coverage": "0.98",
            "aside": {"synthetic": 0, "repeated": 200, "overLimit": 0},
            "counts": digest(&format!("counts of {version} {windows}")),
            "reference": {"kind": "TrainingData", "digest": digest("reference"), "rows": 303},
            "incarnations": {"total": 2, "unclosed": 0},
            "conditions": [
                self.condition("Succeeded", "True", "NoDrift", words),
                self.condition("Reconciling", "False", "NoDrift", ""),
                self.condition("Stalled", "False", "NoDrift", ""),
            ],
        });
        self.write_status(&report, status).await?;
        Ok(())
    }

    // === small ===

    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": self.before(900),
        })
    }

    /// The time this many seconds ago.
    fn before(&self, seconds: i64) -> String {
        let at = Timestamp::from_second(self.now.as_second() - seconds);
        at.unwrap_or(self.now).to_string()
    }

    async fn create<K>(&self, namespace: String, content: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        Objects::new(self.kube.clone(), namespace, PATIENCE)
            .create(content)
            .await
    }

    /// Writes a status like the operator, so that fields that the operator later omits are removed.
    async fn write_status<K>(&self, of: &K, status: Value) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let (namespace, name) = (of.namespace().unwrap_or_default(), of.name_any());
        let api = Api::<K>::namespaced(self.kube.clone(), &namespace);
        let body = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch_status(&name, &params, &Patch::Apply(&body)).await;
        written.with_context(|| format!("cannot write the status of {} {namespace}/{name}", K::kind(&())))
    }
}

/// Metrics that a training reports.
const METRICS: [&str; 3] = ["F1", "LogLoss", "RocAuc"];
/// The operator's user name in the API server.
const OPERATOR: &str = "system:serviceaccount:modelward-system:modelward-operator";

fn version(model: &str, name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "model": model,
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open", "replicas": {"min": 1, "max": 2}},
            "monitoring": {"season": "None", "windowSeconds": WINDOW},
        },
    })
}

fn bundle(version: &str) -> Digest {
    digest(&format!("bundle of {version}"))
}

fn digest(of: &str) -> Digest {
    Digest::from_bytes(Sha256::digest(of.as_bytes()).into())
}

/// The uid of an object that was deleted long ago.
fn uid(of: &str) -> String {
    let hex = digest(of).hex();
    format!(
        "{}-{}-4{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}
