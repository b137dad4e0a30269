//! A namespace with everything that the reconcilers work with: a real API server, the real ledger, fake Pods.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
        autoscaling::v2::HorizontalPodAutoscaler,
        batch::v1::Job,
        core::v1::{ConfigMap, Pod, ResourceRequirements, Secret, Service, ServiceAccount},
        events::v1::Event,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{ClusterRole, RoleBinding},
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    client::ClientBuilder,
    core::ApiResource,
};
use modelward_controllers::{Config, Context, Health, Metrics, ProberConfig, Timestamp, ledger_client, run};
use modelward_core::{
    children::IgnoreRule, custom_trainer::AllowedTrainers, policy::Policy, record::rollout::reroute,
};
use modelward_crds::{
    ConditionType, FIELD_MANAGER, Model, ModelVersion, RemediationAction, Role, RouteStatus, RoutedVersion,
    annotations, labels,
};
use modelward_kit::{
    apiserver::ApiServer,
    calls::{Calls, Recorder},
    fake_controllers::{FakeControllers, JobEnd},
    front::Front,
    objects::Objects,
    postgres::Postgres,
    wait,
};
use modelward_ledger::{Ledger, MigrateConfig, migrate};
use modelward_wire::{
    BUNDLE_STATEMENT, Digest, FileEntry, GateResult, ImportRecord, JobResult, JobStage, LEDGER_AUDIENCE,
    Manifest, ManifestKind, MetricValue, Progress, SNAPSHOT_STATEMENT, SourceRecord, Stated, Verdict,
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{sync::oneshot, task::JoinHandle};

/// Nothing here takes so long unless it never comes.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A namespace and all that works in it.
pub struct TestCluster {
    pub api: &'static ApiServer,
    /// Its objects, with every right.
    pub objects: Objects,
    pub fakes: FakeControllers,
    /// What the operator asked of the API server.
    pub calls: Calls,
    pub ledger_url: String,
    pub store: Store,
    /// The operator's clock, where it does not go with the real one.
    pub clock: Arc<Mutex<Option<Timestamp>>>,
    /// Guard rails of the next operator that is started.
    pub policy: Policy,
    /// Its image of the trainer.
    pub trainer_image: String,
    /// Its image of the inference server.
    pub inference_image: String,
    /// What it lets others set.
    pub ignore_differences: Vec<IgnoreRule>,
    /// Whether the ledger is said to publish to MLflow.
    pub publishes: bool,
    pub allowed_trainers: AllowedTrainers,
    /// The way through Services.
    pub front: Front,
    metrics: Metrics,
    operator: Option<Running>,
    ledger: Option<Running>,
    /// Ends with the last cluster that has it.
    postgres: Option<Postgres>,
    directory: tempfile::TempDir,
}

/// Where the ledger keeps artifacts.
#[derive(Clone)]
pub struct Store(PathBuf);

impl Deref for TestCluster {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

type Running = (oneshot::Sender<()>, JoinHandle<()>);

// === impl Store ===

impl Store {
    /// Puts an artifact of one file there, as the trainer would through the ledger.
    pub fn publish(&self, kind: ManifestKind, content: &str) -> Digest {
        self.publish_files(kind, &[("model.json", content.as_bytes())])
    }

    /// Puts an artifact of these files there.
    pub fn publish_files(&self, kind: ManifestKind, files: &[(&str, &[u8])]) -> Digest {
        let entry = |(path, content): &(&str, &[u8])| FileEntry {
            path: (*path).into(),
            sha256: self.put("blobs", content),
            size: content.len() as u64,
        };
        let manifest = Manifest::new(kind, files.iter().map(entry).collect()).unwrap();
        self.put("manifests", &serde_json::to_vec(&manifest).unwrap())
    }

    /// The result of a trainer without a fault, whose artifact exists and states the same. `job` was asked for it.
    pub fn result(&self, job: &Job, f1: &str) -> JobResult {
        let of = job.labels().get(labels::VERSION).cloned().unwrap_or_default();
        let mut result = JobResult::new(JobStage::Snapshot, Verdict::Succeeded, "done");
        if stage_of(job) == "fit" {
            result.stage = JobStage::Fit;
            let passed = f1 >= "0.75";
            if !passed {
                result.verdict = Verdict::GatesFailed;
            }
            result.family = Some("LogisticRegression".into());
            result.threshold = Some("0.5".parse().unwrap());
            result.metrics = vec![MetricValue {
                name: "F1".into(),
                mean: f1.parse().unwrap(),
                standard_error: "0.0112".parse().unwrap(),
            }];
            result.gates = vec![GateResult {
                metric: "F1".into(),
                bound: "atLeast 0.75".into(),
                value: f1.parse().unwrap(),
                passed,
            }];
        } else if stage_of(job) == "import" {
            result.stage = JobStage::Import;
            result.rows = Some(48);
            result.family = Some("LightGBM".into());
            result.threshold = Some("0.5".parse().unwrap());
            result.imported = Some(ImportRecord {
                format: "LightGBM text".into(),
                file: digest_of(b"tree"),
                sample: Some(digest_of(b"rows")),
                mlflow: None,
            });
        } else {
            result.rows = Some(303);
            result.sources = vec![SourceRecord {
                name: "cleveland.csv".into(),
                sha256: digest_of(of.as_bytes()),
                rows: 303,
                positive_rows: Some(139),
            }];
        }
        result.digest = Some(self.publish_stating(job, &result, &[("model.json", of.as_bytes())]));
        result
    }

    /// Puts an artifact there that states what a result reports and what its Job was asked for.
    pub fn publish_stating(&self, job: &Job, result: &JobResult, files: &[(&str, &[u8])]) -> Digest {
        let (kind, name) = match result.stage {
            JobStage::Snapshot => (ManifestKind::Snapshot, SNAPSHOT_STATEMENT),
            JobStage::Fit | JobStage::Import => (ManifestKind::Bundle, BUNDLE_STATEMENT),
        };
        let stated = serde_json::to_vec(&stated(job, result)).unwrap();
        let mut all = vec![(name, stated.as_slice())];
        all.extend_from_slice(files);
        self.publish_files(kind, &all)
    }

    fn put(&self, folder: &str, bytes: &[u8]) -> Digest {
        let digest = digest_of(bytes);
        let directory = self.0.join(folder).join("sha256");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(digest.hex()), bytes).unwrap();
        digest
    }
}

// === impl TestCluster ===

impl TestCluster {
    /// A cluster with the operator at work, and a ledger without PostgreSQL.
    pub async fn open() -> Result<Self> {
        let mut cluster = Self::without_operator(None).await?;
        cluster.start_operator().await?;
        Ok(cluster)
    }

    /// A cluster whose ledger has a PostgreSQL.
    pub async fn with_postgres() -> Result<Self> {
        let postgres = Postgres::shared().await?;
        let database = postgres.database().await?;
        let mut cluster = Self::without_operator(Some(&database.url)).await?;
        cluster.postgres = Some(postgres);
        let ready = format!("{}/readyz", cluster.ledger_url);
        until("the ledger with its PostgreSQL", async || {
            Ok(reqwest::get(&ready)
                .await
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(()))
        })
        .await?;
        cluster.start_operator().await?;
        Ok(cluster)
    }

    pub async fn without_operator(database: Option<&str>) -> Result<Self> {
        Self::on(ApiServer::shared().await, database).await
    }

    /// A cluster on this API server, in which no program runs.
    pub async fn on(api: &'static ApiServer, database: Option<&str>) -> Result<Self> {
        let kube = api.client();
        let namespace = api.namespace().await;
        let directory = tempfile::tempdir()?;

        let store = Store(directory.path().join("artifacts").join(&namespace));
        let fakes = FakeControllers::start(kube.clone(), &namespace);
        let trainer = store.clone();
        fakes.jobs(move |job| trains(&trainer, job, "0.8151"));
        let mut cluster = Self {
            api,
            objects: Objects::new(kube, namespace, PATIENCE),
            fakes,
            calls: Calls::default(),
            ledger_url: String::new(),
            store,
            clock: Arc::default(),
            policy: Policy::default(),
            trainer_image: "modelward/trainer:test".into(),
            inference_image: "modelward/inference:test".into(),
            ignore_differences: Vec::new(),
            publishes: false,
            allowed_trainers: AllowedTrainers::default(),
            front: Front::start(api.client()).await?,
            metrics: Metrics::new(),
            postgres: None,
            operator: None,
            ledger: None,
            directory,
        };
        for account in ["default", "modelward-operator"] {
            cluster
                .create::<ServiceAccount>(json!({"metadata": {"name": account}}))
                .await?;
        }
        if let Some(url) = database {
            std::fs::write(cluster.path("url"), url)?;
            let config = MigrateConfig {
                database_url_file: cluster.path("url"),
                ledger_role: "postgres".into(),
                patience: Duration::from_secs(10),
            };
            migrate(config).await?;
        }
        cluster.start_ledger().await?;
        cluster.create::<ConfigMap>(dataset("rows")).await?;
        Ok(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the ledger on the address that it had before, if it had one.
    pub async fn start_ledger(&mut self) -> Result<()> {
        let addr = self
            .ledger_url
            .strip_prefix("http://")
            .unwrap_or("127.0.0.1:0")
            .parse()?;
        let config = modelward_ledger::Config {
            addr,
            database_url_file: self.path("url"),
            store: format!("file://{}", self.path("artifacts").display()),
            operator_service_account: format!("system:serviceaccount:{}:modelward-operator", self.namespace),
            ..modelward_ledger::Config::default()
        };
        let ledger = Ledger::bind(config, self.kube.clone()).await?;
        self.ledger_url = format!("http://{}", ledger.local_addr()?);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(ledger.run(async {
            let _ = stopped.await;
        }));
        self.ledger = Some((stop, task));
        Ok(())
    }

    pub async fn stop_ledger(&mut self) -> Result<()> {
        end(self.ledger.take()).await
    }

    /// Starts the reconcilers under the rights that the chart gives them, and no others.
    pub async fn start_operator(&mut self) -> Result<()> {
        let token = self.token("modelward-operator", None, &[LEDGER_AUDIENCE]).await?;
        std::fs::write(self.path("token"), token)?;
        let config = Config {
            trainer_image: self.trainer_image.clone(),
            inference_image: self.inference_image.clone(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: vec!["registry".into()],
            ledger_url: self.ledger_url.clone(),
            ledger_token_file: self.path("token"),
            workload_service_account: "default".into(),
            training_deadline_seconds: 3600,
            max_dataset_mib: 700,
            allow_sources: "10.1.2.3".parse()?,
            deny_sources: "10.96.0.0/12,fd00:10:96::/112".parse()?,
            trainer_resources: ResourceRequirements {
                limits: Some([("memory".to_owned(), Quantity("3Gi".into()))].into()),
                ..ResourceRequirements::default()
            },
            allowed_trainers: self.allowed_trainers.clone(),
            jobs: modelward_core::queue::Limits::default(),
            policy: self.policy.clone(),
            gate_children: false,
            publishes: self.publishes,
            ignore_differences: self.ignore_differences.clone(),
            upgrade_at_once: 1,
            prober: ProberConfig {
                every: Duration::from_millis(500),
                through: Some(self.front.url.clone()),
            },
            watch_namespace: Some(self.namespace.clone()),
        };
        let ledger = ledger_client(&self.ledger_url, self.path("token"))?;
        self.metrics = Metrics::new();
        let metrics = self.metrics.clone();
        let set = self.clock.clone();
        let clock = Arc::new(move || {
            let real = || Timestamp::try_from(SystemTime::now()).unwrap();
            locked(&set).unwrap_or_else(real)
        });
        let client = self.operator_client().await?;
        let context = Context::new(client, config, ledger, metrics, "modelward-operator-0", clock);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(Arc::new(context), Health::default(), async {
            let _ = stopped.await;
        }));
        self.operator = Some((stop, task));
        Ok(())
    }

    pub async fn stop_operator(&mut self) -> Result<()> {
        end(self.operator.take()).await
    }

    /// Ends the operator as SIGKILL does: wherever it is.
    pub async fn kill_operator(&mut self) {
        if let Some((stop, task)) = self.operator.take() {
            task.abort();
            let _ = task.await;
            drop(stop);
        }
    }

    pub async fn operator_client(&self) -> Result<Client> {
        let rules = chart_rules()?;
        let roles = Api::<ClusterRole>::all(self.kube.clone());
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "modelward-operator"}, "rules": rules,
        });
        let params = PatchParams::apply("tests").force();
        roles
            .patch("modelward-operator", &params, &Patch::Apply(&role))
            .await?;
        if Api::<RoleBinding>::namespaced(self.kube.clone(), &self.namespace)
            .get_opt("operator")
            .await?
            .is_none()
        {
            self.create::<RoleBinding>(json!({
                "metadata": {"name": "operator"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "modelward-operator"},
                "subjects": [{"kind": "ServiceAccount", "name": "modelward-operator", "namespace": self.namespace}],
            }))
            .await?;
        }
        let mut config = self.api.config()?;
        config.default_retry = false;
        config.auth_info.token = Some(self.token("modelward-operator", None, &[]).await?.into());
        let client = ClientBuilder::try_from(config)?
            .with_layer(&Recorder(self.calls.clone()))
            .build();
        // The API server learns of a new role by a watch of its own.
        let pods = Api::<Pod>::namespaced(client.clone(), &self.namespace);
        until("the operator's rights", async || {
            Ok(pods.list(&ListParams::default()).await.ok())
        })
        .await?;
        self.calls.clear();
        Ok(client)
    }

    /// A token of a service account in this namespace, bound to a Pod if there is one.
    pub async fn token(&self, account: &str, pod: Option<&Pod>, audiences: &[&str]) -> Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(ToString::to_string).collect(),
                bound_object_ref: pod.map(|pod| BoundObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Pod".into()),
                    name: Some(pod.name_any()),
                    uid: pod.uid(),
                }),
                expiration_seconds: Some(600),
            },
            ..TokenRequest::default()
        };
        let made = self
            .all::<ServiceAccount>()
            .create_token_request(account, &PostParams::default(), &request)
            .await?;
        Ok(made.status.context("a token request without a status")?.token)
    }

    /// Objects of a kind of child, with every field that the API server has.
    pub fn untyped(&self, kind: &str) -> Result<Api<DynamicObject>> {
        let resource = match kind {
            "Service" => ApiResource::erase::<Service>(&()),
            "Deployment" => ApiResource::erase::<Deployment>(&()),
            "HorizontalPodAutoscaler" => ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            "PodDisruptionBudget" => ApiResource::erase::<PodDisruptionBudget>(&()),
            _ => bail!("no child is a {kind}"),
        };
        Ok(Api::namespaced_with(
            self.kube.clone(),
            &self.namespace,
            &resource,
        ))
    }

    // === the story's words ===

    pub async fn apply_version(&self, name: &str) -> Result<ModelVersion> {
        self.create(version(name)).await
    }

    pub async fn wait_role(&self, name: &str, role: Role) -> Result<ModelVersion> {
        let what = format!("{role:?}");
        self.wait(name, &what, |version: &ModelVersion| {
            version.status.as_ref().and_then(|status| status.role) == Some(role)
        })
        .await
    }

    /// Waits until the version is Live and has nothing left to do.
    pub async fn wait_live(&self, name: &str) -> Result<ModelVersion> {
        self.wait(name, "Live and Ready", |version: &ModelVersion| {
            let role = version.status.as_ref().and_then(|status| status.role);
            role == Some(Role::Live) && says(version, ConditionType::Ready, "True", "Serving")
        })
        .await
    }

    /// Lets a version that waits for its promotion serve: does to the record what an approved PromoteModel does.
    pub async fn promote(&self, name: &str) -> Result<()> {
        let version = self
            .wait(name, "waiting for its promotion", |version: &ModelVersion| {
                says(version, ConditionType::Ready, "True", "AwaitingPromotion")
                    && message(version, ConditionType::Ready).ends_with("is approved and carried out")
            })
            .await?;
        let status = version.status.clone().context("a status")?;
        let route = RouteStatus {
            version: name.to_owned(),
            uid: version.uid().context("a uid")?,
            digest: status.bundle.context("a bundle")?.digest,
            weight: 100,
            threshold: status.threshold.context("a threshold")?,
        };
        let newest = RoutedVersion {
            created_at: version.creation_timestamp().context("a time")?,
            name: name.to_owned(),
            uid: route.uid.clone(),
        };
        self.reroute(vec![route], newest).await
    }

    /// Writes other routes on the record, beside other writers.
    async fn reroute(&self, routes: Vec<RouteStatus>, newest: RoutedVersion) -> Result<()> {
        let now = Timestamp::try_from(SystemTime::now())?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        until("a write of the record", async || {
            let model = self.all::<Model>().get("heart").await?;
            let status = reroute(&model, routes.clone(), Some(newest.clone()), now);
            let body = json!({
                "apiVersion": Model::api_version(&()), "kind": Model::kind(&()),
                "metadata": {"name": "heart", "resourceVersion": model.resource_version()},
                "status": status,
            });
            let written = self
                .all::<Model>()
                .patch_status("heart", &params, &Patch::Apply(&body))
                .await;
            Ok(written.ok().map(|_| ()))
        })
        .await
    }

    /// Waits until a condition of a version says this.
    pub async fn wait_says(
        &self,
        name: &str,
        kind: ConditionType,
        status: &str,
        reason: &str,
    ) -> Result<ModelVersion> {
        let what = format!("{kind}={status}/{reason}");
        self.wait(name, &what, |version: &ModelVersion| {
            says(version, kind, status, reason)
        })
        .await
    }

    pub async fn model_says(&self, kind: ConditionType, status: &str, reason: &str) -> Result<Model> {
        let what = format!("{kind}={status}/{reason}");
        self.wait("heart", &what, |model: &Model| {
            let conditions = model
                .status
                .as_ref()
                .map(|status| status.conditions.as_slice())
                .unwrap_or_default();
            conditions
                .iter()
                .any(|found| found.type_ == kind.as_str() && found.status == status && found.reason == reason)
        })
        .await
    }

    /// The Jobs of a stage of a version, oldest first.
    pub async fn jobs(&self, version: &str, stage: &str) -> Result<Vec<Job>> {
        let of = ListParams::default().labels(&format!(
            "{}={version},{}={stage}",
            labels::VERSION,
            labels::STAGE
        ));
        let mut jobs = self.all::<Job>().list(&of).await?.items;
        jobs.sort_by_key(|job| job.creation_timestamp().map(|time| time.0));
        Ok(jobs)
    }

    /// Waits for a Job of this stage that runs, and gives it with its Pod.
    pub async fn running_job(&self, version: &str, stage: &str) -> Result<(Job, Pod)> {
        until(&format!("a running {stage} Job of {version}"), async || {
            for job in self.jobs(version, stage).await? {
                let running = job.status.as_ref().is_some_and(|status| status.active == Some(1));
                if let (true, Some(pod)) = (
                    running,
                    self.all::<Pod>()
                        .get_opt(&format!("{}-x", job.name_any()))
                        .await?,
                ) {
                    return Ok(Some((job, pod)));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Writes a result into the ledger, as the Pod of the Job.
    pub async fn report(&self, job: &Job, pod: &Pod, result: &JobResult) -> Result<()> {
        self.put_of_job(job, pod, "result", result).await
    }

    /// Writes how far a Job is into the ledger, as its Pod.
    pub async fn report_progress(&self, job: &Job, pod: &Pod, progress: &Progress) -> Result<()> {
        self.put_of_job(job, pod, "progress", progress).await
    }

    async fn put_of_job(&self, job: &Job, pod: &Pod, what: &str, content: &impl Serialize) -> Result<()> {
        let token = self.token("default", Some(pod), &[LEDGER_AUDIENCE]).await?;
        let uid = job.uid().unwrap_or_default();
        let url = format!("{}/v1/jobs/{}/{uid}/{what}", self.ledger_url, self.namespace);
        let answer = reqwest::Client::new()
            .put(url)
            .bearer_auth(token)
            .json(content)
            .send()
            .await?;
        ensure!(
            answer.status().is_success(),
            "{}: {}",
            answer.status(),
            answer.text().await?
        );
        Ok(())
    }

    pub async fn wait_event(&self, reason: &str, words: &str) -> Result<()> {
        until(&format!("an Event {reason} with {words:?}"), async || {
            let events = self.all::<Event>().list(&ListParams::default()).await?;
            let found = events.iter().any(|event| {
                event.reason.as_deref() == Some(reason)
                    && event.note.as_ref().is_some_and(|note| note.contains(words))
            });
            Ok(found.then_some(()))
        })
        .await
    }

    /// What the operator says of itself to Prometheus.
    pub fn exposed(&self) -> String {
        self.metrics.encode().unwrap()
    }

    /// One of the operator's counters, summed over the labels that contain this text.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.exposed();
        let values = text
            .lines()
            .filter(|line| line.starts_with(&format!("modelward_operator_{name}")) && line.contains(label));
        values
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Makes both controllers reconcile by a label that means nothing, and waits until they have.
    pub async fn nudge(&self, version: &str) -> Result<()> {
        let done = || ["\"modelversion\"", "\"model\""].map(|label| self.metric("reconciles_total", label));
        let before = done();
        let label = format!(
            "{:?}",
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_nanos()
        );
        self.patch::<ModelVersion>(version, json!({"metadata": {"labels": {"unrelated": label}}}))
            .await?;
        until("both controllers to have looked", async || {
            let looked = done().iter().zip(before).all(|(now, before)| *now > before);
            Ok((looked && self.metric("active_reconciles", "").abs() < 0.5).then_some(()))
        })
        .await
    }

    /// Waits until a look changes nothing.
    pub async fn rest(&self, version: &str) -> Result<()> {
        for _ in 0..20 {
            self.calls.clear();
            self.nudge(version).await?;
            if self.calls.writes().is_empty() {
                return Ok(());
            }
        }
        bail!("it does not come to rest: {:#?}", self.calls.writes())
    }

    /// resourceVersions of everything in the namespace but tokens' owners and the versions that a nudge touches.
    pub async fn everything(&self) -> Result<BTreeMap<String, String>> {
        let kinds = [
            ApiResource::erase::<Model>(&()),
            ApiResource::erase::<RemediationAction>(&()),
            ApiResource::erase::<Job>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<ReplicaSet>(&()),
            ApiResource::erase::<Pod>(&()),
            ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
            ApiResource::erase::<Event>(&()),
        ];
        let mut found = BTreeMap::new();
        for kind in kinds {
            let api = Api::<DynamicObject>::namespaced_with(self.kube.clone(), &self.namespace, &kind);
            for object in api.list_metadata(&ListParams::default()).await? {
                let name = format!("{} {}", kind.kind, object.name_any());
                found.insert(name, object.resource_version().unwrap_or_default());
            }
        }
        Ok(found)
    }
}

// === the story's objects ===

pub fn version(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "model": "heart",
            "source": {"training": {
                "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}},
                "target": {"column": "num", "positiveWhen": {"greaterThan": "0"}},
                "gates": [{"metric": "F1", "atLeast": "0.75"}],
            }},
            "serving": {"access": "Open", "replicas": {"min": 2, "max": 4}},
            // A week: no window closes in the middle of a test.
            "monitoring": {"season": "None", "windowSeconds": 604_800},
        },
    })
}

pub fn dataset(content: &str) -> Value {
    json!({"metadata": {"name": "heart-disease"}, "data": {"cleveland.csv": content}})
}

/// A trainer without a fault.
pub fn trains(store: &Store, job: &Job, f1: &str) -> JobEnd {
    JobEnd::Succeeds(serde_json::to_string(&store.result(job, f1)).unwrap())
}

/// What the artifact of this result states for itself where its trainer did what the Job was asked for.
pub fn stated(job: &Job, result: &JobResult) -> Stated {
    let makes_bundle = result.stage.publishes() == ManifestKind::Bundle;
    let named = |name: &str| job.labels().get(name).cloned();
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let arguments = pod
        .and_then(|pod| pod.containers[0].args.clone())
        .unwrap_or_default();
    let after = arguments.iter().position(|argument| argument == "--snapshot");
    Stated {
        rows: result.rows.unwrap_or_default(),
        sources: if makes_bundle {
            Vec::new()
        } else {
            result.sources.clone()
        },
        model: named(labels::MODEL).filter(|_| makes_bundle),
        family: result.family.clone(),
        threshold: result.threshold.clone(),
        snapshot: after.and_then(|at| arguments.get(at + 1)?.parse().ok()),
        training: job
            .annotations()
            .get(annotations::TRAINING)
            .filter(|_| makes_bundle)
            .and_then(|text| text.parse().ok()),
        imported: result.imported.clone(),
        metrics: result.metrics.clone(),
        gates: result.gates.clone(),
    }
}

pub fn stage_of(job: &Job) -> &str {
    job.labels()
        .get(labels::STAGE)
        .map(String::as_str)
        .unwrap_or_default()
}

pub fn says(version: &ModelVersion, kind: ConditionType, status: &str, reason: &str) -> bool {
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions
        .iter()
        .any(|found| found.type_ == kind.as_str() && found.status == status && found.reason == reason)
}

pub fn message(version: &ModelVersion, kind: ConditionType) -> String {
    let conditions = version
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions
        .iter()
        .find(|found| found.type_ == kind.as_str())
        .map(|found| found.message.clone())
        .unwrap_or_default()
}

pub fn routes_of(deployment: &Deployment) -> String {
    let value = serde_json::to_value(deployment).unwrap();
    let volumes = value["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let routes = volumes
        .iter()
        .find(|volume| volume["name"] == "routes")
        .cloned()
        .unwrap_or_default();
    routes["configMap"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The rules of the operator's role in the chart.
pub fn chart_rules() -> Result<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/modelward/templates/operator/rbac.yaml");
    let text = std::fs::read_to_string(&path)?;
    let rules = text
        .split("\nrules:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n---").next());
    let rules = rules.with_context(|| format!("no rules in {}", path.display()))?;
    serde_saphyr::from_str(rules)
        .with_context(|| format!("the first rules in {} must hold no template", path.display()))
}

// === small ===

pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    wait::until(what, PATIENCE, ask).await
}

async fn end(running: Option<Running>) -> Result<()> {
    let (stop, task) = running.context("it does not run")?;
    let _ = stop.send(());
    Ok(task.await?)
}

/// A lock that a failed test does not spoil for the others.
pub fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
