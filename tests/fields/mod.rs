//! The kinds that the operator makes, with every field of them, edited by a person with the built-in role `edit`.

pub mod hints;

use std::{collections::BTreeMap, fmt, sync::Arc};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::{apps::v1::Deployment, rbac::v1::RoleBinding};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use modelward_crds::{ModelVersion, labels};
use modelward_kit::{
    apiserver::User,
    fake_controllers::JobEnd,
    fields::{Change, Edit, Schemas, differences},
    raw,
};
use modelward_trials::{cluster::TestCluster, stage, story, world::World};
use serde_json::{Value, json};

/// A kind of child, and which object of it is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deployment,
    Service,
    Routes,
    JobSpec,
    Autoscaler,
    Budget,
    Secret,
    Job,
}

/// An object that is edited, with its kind's schema.
pub struct Subject {
    pub kind: Kind,
    /// Path of the object on the API server.
    pub path: String,
    /// Leaf fields that the API server's OpenAPI gives the kind.
    pub leaves: usize,
    pub edits: Vec<Edit>,
    pub object: Value,
}

/// What came of one edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// A policy of the chart refused it.
    Policy,
    /// It was written, and the operator put it back.
    PutBack,
    /// The API server's validation refused each candidate, or the field is immutable.
    Validation,
    /// RBAC refused it: the status of a child.
    Roles,
    /// It was accepted and changed nothing: the API server sets the field itself or ignores it.
    Nothing,
    /// It is in the written list of what others may set.
    Listed,
    /// It makes of the object what an edit before it made.
    Repeated,
    /// It was let in, or it stayed.
    Effect,
}

/// How many edits came out how, by kind.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<&'static str, (usize, BTreeMap<Outcome, usize>)>,
    pub wrong: Vec<String>,
}

// === impl Kind ===

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::Service,
        Self::Routes,
        Self::JobSpec,
        Self::Autoscaler,
        Self::Budget,
        Self::Secret,
        Self::Job,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::Service => "Service",
            Self::Routes => "ConfigMap of routes",
            Self::JobSpec => "ConfigMap of a Job",
            Self::Autoscaler => "HorizontalPodAutoscaler",
            Self::Budget => "PodDisruptionBudget",
            Self::Secret => "Secret",
            Self::Job => "Job",
        }
    }

    /// Group, version, kind and plural.
    const fn gvk(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Routes | Self::JobSpec => ("", "v1", "ConfigMap", "configmaps"),
            Self::Autoscaler => (
                "autoscaling",
                "v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
            Self::Budget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
        }
    }

    fn api_path(self) -> String {
        match self.gvk() {
            ("", version, ..) => format!("api/{version}"),
            (group, version, ..) => format!("apis/{group}/{version}"),
        }
    }

    /// Whether an object of the model is the one that is edited.
    fn is_it(self, object: &DynamicObject) -> bool {
        let name = object.name_any();
        match self {
            Self::Routes => name.contains("-routes-"),
            // Those of a Job that runs: most fields of one that has ended mean nothing.
            Self::JobSpec if !name.contains("-job-") => false,
            Self::JobSpec | Self::Job => {
                object.labels().get(labels::VERSION).map(String::as_str) == Some(TRAINS)
            }
            _ => true,
        }
    }
}

/// The version that trains for as long as the test takes.
const TRAINS: &str = "heart-2";

/// A model that serves and another version of it that trains; eve has `edit` in the namespace.
///
/// `children`: whether the policies on what the operator makes are there.
pub async fn open(world: &Arc<World>, children: bool) -> Result<TestCluster> {
    let mut cluster = TestCluster::open_at(world, [], 0).await?;
    cluster.children = children;
    let trainer = cluster.heart.clone();
    cluster.fakes.jobs(move |job| {
        if job.labels().get(labels::VERSION).map(String::as_str) == Some(TRAINS) {
            JobEnd::Runs
        } else {
            trainer.trains(job)
        }
    });
    grant_edit(&cluster).await?;
    cluster.start_operator()?;
    story::serves(&cluster).await?;
    cluster.create::<ModelVersion>(stage::version(TRAINS)).await?;
    cluster
        .until("a Job that runs", async || {
            let jobs = cluster.list::<k8s_openapi::api::batch::v1::Job>().await?;
            let runs = jobs
                .iter()
                .any(|job| job.status.as_ref().is_some_and(|status| status.active == Some(1)));
            Ok(runs.then_some(()))
        })
        .await?;
    cluster.settles().await?;
    Ok(cluster)
}

/// Gives eve the built-in role in the namespace, and waits until it is at work.
pub async fn grant_edit(cluster: &TestCluster) -> Result<()> {
    cluster.world.api.aggregate_roles().await?;
    cluster
        .create::<RoleBinding>(json!({
            "metadata": {"name": "eve-edits"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "eve"}],
        }))
        .await?;
    let deployments = cluster.of::<Deployment>(&cluster.world.person(User::Eve)?);
    cluster
        .until("eve's role", async || {
            Ok(deployments.list(&ListParams::default()).await.ok().map(drop))
        })
        .await
}

// === impl Subject ===

impl Subject {
    /// Reads the object and lists its edits by the API server's own schema.
    pub async fn read(cluster: &TestCluster, kind: Kind) -> Result<Self> {
        let (group, version, name, plural) = kind.gvk();
        let gvk = GroupVersionKind::gvk(group, version, name);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api =
            Api::<DynamicObject>::namespaced_with(cluster.world.admin.clone(), &cluster.namespace, &resource);
        let of_the_model = ListParams::default().labels(&format!("{}=heart", labels::MODEL));
        let found = api.list(&of_the_model).await?.items;
        let object = found
            .into_iter()
            .find(|object| kind.is_it(object))
            .with_context(|| format!("the operator made no {}", kind.as_str()))?;
        let path = format!(
            "/{}/namespaces/{}/{plural}/{}",
            kind.api_path(),
            cluster.namespace,
            object.name_any()
        );
        let schemas = Schemas::read(&cluster.world.api.openapi(&kind.api_path()).await?)?;
        let schema = schemas.kind(group, version, name)?;
        let object = raw::get(&cluster.world.admin, &path).await?;
        Ok(Self {
            kind,
            path,
            leaves: schemas.leaves(schema).len(),
            edits: schemas.edits(schema, &object, &hints::of(kind)),
            object,
        })
    }

    /// Whether all of this is in the written list of what others may set.
    pub fn is_listed(&self, paths: &[Vec<String>]) -> bool {
        paths.iter().all(|path| hints::is_listed(self.kind, path))
    }
}

/// What an edit changed, outside of what the API server counts by itself.
pub fn changed(before: &Value, after: &Value) -> Vec<Vec<String>> {
    let mut found = differences(before, after);
    found.retain(|path| !is_bookkeeping(path));
    found
}

/// Fields that the API server writes with every change, and which object it is.
fn is_bookkeeping(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path[..],
        ["metadata", "managedFields" | "resourceVersion" | "generation", ..]
    )
}

/// One edit as a request: with `dry_run` nothing comes of it.
pub async fn put(who: &Client, path: &str, edit: &Edit, body: &Value, dry_run: bool) -> kube::Result<Value> {
    let is_status = edit.field == "status" || edit.field.starts_with("status.");
    let sub = if is_status { "/status" } else { "" };
    let query = if dry_run { "?dryRun=All" } else { "" };
    raw::put(who, &format!("{path}{sub}{query}"), body).await
}

/// What refused a request.
pub fn refusal(error: &kube::Error) -> Result<Outcome> {
    let kube::Error::Api(status) = error else {
        bail!("{error}");
    };
    if status.message.contains(".modelward.io' with binding") {
        Ok(Outcome::Policy)
    } else if status.code == 403 && status.message.contains(" cannot ") {
        Ok(Outcome::Roles)
    } else if matches!(status.code, 400 | 403 | 409 | 422)
        || ["invalid syntax", "failed to allocate"]
            .iter()
            .any(|words| status.message.contains(words))
    {
        // A resourceVersion that is no number and a port that cannot be drawn are answered with 500.
        Ok(Outcome::Validation)
    } else {
        bail!("{}: {}", status.code, status.message)
    }
}

/// Whether no value would be accepted, whatever it is.
pub fn is_immutable(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    status.code == 422
        && (status.message.contains("field is immutable")
            || status.message.contains("ephemeral containers not allowed"))
}

/// An edit in words.
pub fn words(kind: Kind, edit: &Edit) -> String {
    let change = match edit.change {
        Change::Added => "added",
        Change::Changed => "changed",
        Change::Removed => "removed",
    };
    format!("{}: {} {change}", kind.as_str(), edit.field)
}

// === impl Table ===

impl Table {
    pub fn leaves(&mut self, kind: Kind, leaves: usize) {
        self.rows.entry(kind.as_str()).or_default().0 = leaves;
    }

    pub fn count(&mut self, kind: Kind, outcome: Outcome) {
        let row = self.rows.entry(kind.as_str()).or_default();
        *row.1.entry(outcome).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (kind, (leaves, outcomes)) in other.rows {
            let row = self.rows.entry(kind).or_default();
            row.0 = row.0.max(leaves);
            for (outcome, count) in outcomes {
                *row.1.entry(outcome).or_default() += count;
            }
        }
        self.wrong.extend(other.wrong);
    }

    /// Prints what came of the edits, for `make attack` to sum up, and fails where one had an effect. `refused` is what was
    /// to become of them.
    pub fn conclude(&self, refused: Outcome) {
        println!("{} attacks had an effect", self.wrong.len());
        println!(
            "{} attacks refused, {} honest uses allowed",
            self.total(refused),
            self.total(Outcome::Listed)
        );
        assert!(
            self.wrong.is_empty(),
            "{} had an effect: {:#?}",
            self.wrong.len(),
            self.wrong
        );
    }

    pub fn total(&self, outcome: Outcome) -> usize {
        let rows = self.rows.values();
        rows.map(|row| row.1.get(&outcome).copied().unwrap_or_default())
            .sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = [
            (Outcome::Policy, "by policy"),
            (Outcome::PutBack, "put back"),
            (Outcome::Validation, "validation"),
            (Outcome::Roles, "by roles"),
            (Outcome::Nothing, "nothing"),
            (Outcome::Listed, "listed"),
            (Outcome::Repeated, "repeated"),
            (Outcome::Effect, "EFFECT"),
        ];
        let columns = || {
            columns
                .into_iter()
                .filter(|(outcome, _)| *outcome == Outcome::Effect || self.total(*outcome) > 0)
        };
        write!(f, "{:<24} {:>6} {:>6}", "kind", "fields", "edits")?;
        for (_, title) in columns() {
            write!(f, " {title:>10}")?;
        }
        let mut all = (0, 0);
        for (kind, (leaves, outcomes)) in &self.rows {
            let edits: usize = outcomes.values().sum();
            all = (all.0 + leaves, all.1 + edits);
            write!(f, "\n{kind:<24} {leaves:>6} {edits:>6}")?;
            for (outcome, _) in columns() {
                write!(f, " {:>10}", outcomes.get(&outcome).copied().unwrap_or_default())?;
            }
        }
        write!(f, "\n{:<24} {:>6} {:>6}", "all", all.0, all.1)?;
        for (outcome, _) in columns() {
            write!(f, " {:>10}", self.total(outcome))?;
        }
        Ok(())
    }
}
