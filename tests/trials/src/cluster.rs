//! One namespace with its operator, which may lose its connection, and the steps that stories use.

use std::{
    fmt::Debug,
    future::Future,
    ops::Deref,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod, ResourceRequirements, ServiceAccount},
    },
};
use kube::{Resource, ResourceExt as _, api::ListParams};
use modelward_controllers::{Config, Context, Health, Metrics, ProberConfig, Timestamp, ledger_client, run};
use modelward_core::policy::Policy;
use modelward_crds::{Model, ModelVersion};
use modelward_kit::{
    apiserver::User,
    fake_controllers::FakeControllers,
    faults::{At, Cut, Faults},
    front::Front,
    objects::Objects,
    wait,
};
use modelward_profile::{
    Counts, CountsBatch, Envelope, Incarnation, TotalKey, route_digest, totals::ENVELOPE_FORMAT,
};
use modelward_wire::{Route, RouteMode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    stage::{self, Heart, PLAN, Store, VERIFICATION, WINDOW},
    world::{PATIENCE, World},
};

/// If the operator makes no request for this time, the objects are touched, which replaces the passing of time in a cluster.
const NUDGE: Duration = Duration::from_millis(400);

/// One namespace, everything that runs in it, and the clock of its operator.
pub struct TestCluster {
    /// What it shares with other namespaces.
    pub world: Arc<World>,
    /// Its objects, with all permissions.
    pub objects: Objects,
    /// The fake controllers of Jobs, Pods, rollouts and garbage.
    pub fakes: FakeControllers,
    /// The operator's writes and cuts.
    pub faults: Faults,
    /// The artifacts that its trainings publish.
    pub heart: Heart,
    /// Risks, quorums and guard rails of its operator.
    pub policy: Policy,
    /// The fake network path through Services.
    front: Front,
    /// Whether its operator expects the policies on its objects.
    pub children: bool,
    /// Seconds by which its clock is ahead.
    ahead: Arc<AtomicI64>,
    lives: Arc<AtomicUsize>,
    touched: AtomicUsize,
    operator: Option<JoinHandle<()>>,
    /// The metrics of its current operator.
    metrics: Arc<Mutex<Metrics>>,
}

/// The state that an operator may change only with an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// The routes that should serve.
    pub routes: Vec<String>,
    /// The Pod templates that are rolled out.
    pub templates: Vec<String>,
    /// Versions that actions created.
    pub made: Vec<String>,
}

impl Deref for TestCluster {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

// === impl TestCluster ===

impl TestCluster {
    /// A cluster with everything except an operator. Its clock is two windows behind, because the ledger uses the machine's clock
    /// and rejects counts of future windows.
    pub async fn open(world: &Arc<World>, cuts: impl IntoIterator<Item = (At, Cut)>) -> Result<Self> {
        Self::open_at(world, cuts, -2 * WINDOW).await
    }

    /// A cluster with a clock that is ahead of the machine's by this number of seconds.
    pub async fn open_at(
        world: &Arc<World>,
        cuts: impl IntoIterator<Item = (At, Cut)>,
        ahead: i64,
    ) -> Result<Self> {
        let kube = world.admin.clone();
        let namespace = world.api.namespace().await;
        let heart = Heart::publish(&Store(world.artifacts(&namespace)))?;
        let fakes = FakeControllers::start(world.person(User::Controllers)?, &namespace);
        let trainer = heart.clone();
        fakes.jobs(move |job| trainer.trains(job));
        let cluster = Self {
            world: world.clone(),
            objects: Objects::new(kube.clone(), namespace, PATIENCE),
            fakes,
            faults: Faults::new(cuts),
            front: Front::start(kube).await?,
            heart,
            policy: Policy {
                verification_seconds: VERIFICATION,
                plan_seconds: PLAN,
                ..Policy::default()
            },
            children: false,
            ahead: Arc::new(AtomicI64::new(ahead)),
            lives: Arc::default(),
            touched: AtomicUsize::new(0),
            operator: None,
            metrics: Arc::default(),
        };
        cluster
            .create::<ServiceAccount>(json!({"metadata": {"name": "default"}}))
            .await?;
        cluster.create::<ConfigMap>(stage::datasets()).await?;
        Ok(cluster)
    }

    /// Runs an operator from now on. When its connection is cut, it is ended immediately, and another one starts with only the
    /// state in the cluster.
    pub fn start_operator(&mut self) -> Result<()> {
        let config = Config {
            trainer_image: "modelward/trainer:test".into(),
            inference_image: "modelward/inference:test".into(),
            image_pull_policy: "IfNotPresent".into(),
            image_pull_secrets: Vec::new(),
            ledger_url: self.world.ledger_url.clone(),
            ledger_token_file: self.world.token_file(),
            workload_service_account: "default".into(),
            training_deadline_seconds: 3600,
            max_dataset_mib: 512,
            allowed_trainers: modelward_core::custom_trainer::AllowedTrainers::default(),
            allow_sources: modelward_crds::Networks::default(),
            deny_sources: modelward_crds::Networks::default(),
            trainer_resources: ResourceRequirements::default(),
            jobs: modelward_core::queue::Limits::default(),
            policy: self.policy.clone(),
            gate_children: self.children,
            publishes: false,
            ignore_differences: Vec::new(),
            upgrade_at_once: 1,
            prober: ProberConfig {
                every: std::time::Duration::from_millis(500),
                through: Some(self.front.url.clone()),
            },
            watch_namespace: Some(self.namespace.clone()),
        };
        let (world, faults, lives, ahead, metrics) = (
            self.world.clone(),
            self.faults.clone(),
            self.lives.clone(),
            self.ahead.clone(),
            self.metrics.clone(),
        );
        let ledger = ledger_client(&world.ledger_url, world.token_file())?;
        self.operator = Some(tokio::spawn(async move {
            loop {
                let life = faults.life();
                let number = lives.fetch_add(1, Ordering::Relaxed) + 1;
                let client = match world.operator(&life) {
                    Ok(client) => client,
                    Err(error) => {
                        eprintln!("an operator without a client: {error:#}");
                        return;
                    }
                };
                let ahead = ahead.clone();
                let clock = Arc::new(move || now_and(ahead.load(Ordering::Relaxed)));
                let counted = Metrics::new();
                *metrics.lock().unwrap_or_else(PoisonError::into_inner) = counted.clone();
                let name = format!("modelward-operator-{number}");
                let context = Context::new(client, config.clone(), ledger.clone(), counted, &name, clock);
                // They are aborted with this task, as they would end with a process.
                let mut operator = tokio::task::JoinSet::new();
                operator.spawn(run(Arc::new(context), Health::default(), std::future::pending()));
                faults.died().await;
                operator.shutdown().await;
            }
        }));
        Ok(())
    }

    /// Ends the operator at any point, like SIGKILL.
    pub async fn kill_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.abort();
            let _ = operator.await;
        }
    }

    /// The number of changes of children of this kind that the current operator has reported.
    pub fn reported(&self, kind: &str) -> Result<u64> {
        let metrics = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let text = metrics.encode()?;
        let label = format!("kind=\"{kind}\"");
        let lines = text
            .lines()
            .filter(|line| line.contains("tampered_total{") && line.contains(&label));
        Ok(lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum())
    }

    /// The number of operators that were started.
    pub fn lives(&self) -> usize {
        self.lives.load(Ordering::Relaxed)
    }

    /// The current time in the cluster.
    pub fn now(&self) -> Timestamp {
        now_and(self.ahead.load(Ordering::Relaxed))
    }

    /// Advances the clock and touches all objects.
    pub async fn advance(&self, seconds: i64) -> Result<()> {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
        self.nudge().await
    }

    /// Touches every object of Modelward's kinds with an unrelated label.
    pub async fn nudge(&self) -> Result<()> {
        let number = self.touched.fetch_add(1, Ordering::Relaxed).to_string();
        self.touch_all(&number).await
    }

    // === the API server ===

    /// Waits until the object matches, and touches the objects when the operator makes no more requests. The error contains its
    /// status.
    pub async fn wait<K>(&self, name: &str, what: &str, is_so: impl Fn(&K) -> bool + Send) -> Result<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
    {
        let waiting = self.objects.wait(name, what, is_so);
        self.nudged(Box::pin(waiting)).await?
    }

    /// Repeats `ask` until it returns a value.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        self.nudged(Box::pin(wait::until(what, PATIENCE, ask)))
            .await?
            .with_context(|| format!("in namespace {}", self.namespace))
    }

    /// Waits, and touches the objects when the operator makes no more requests.
    async fn nudged<T>(&self, mut waiting: impl Future<Output = T> + Unpin) -> Result<T> {
        let mut asked = self.faults.asked();
        loop {
            tokio::select! {
                biased;
                done = &mut waiting => return Ok(done),
                () = tokio::time::sleep(NUDGE) => {}
            }
            let now = self.faults.asked();
            if now == asked {
                self.nudge().await?;
            }
            asked = self.faults.asked();
        }
    }

    /// Waits until the operator has checked everything and makes no more requests.
    pub async fn settles(&self) -> Result<()> {
        let mut quiet = 0;
        let begun = tokio::time::Instant::now();
        while quiet < 3 {
            anyhow::ensure!(
                begun.elapsed() < PATIENCE,
                "it does not come to rest within {PATIENCE:?}"
            );
            let writes = self.faults.writes().len();
            self.nudge().await?;
            let mut asked = usize::MAX;
            while asked != self.faults.asked() {
                asked = self.faults.asked();
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            quiet = if self.faults.writes().len() == writes {
                quiet + 1
            } else {
                0
            };
        }
        Ok(())
    }

    /// The state that was carried out so far.
    pub async fn effects(&self) -> Result<Effects> {
        let models = self.list::<Model>().await?;
        let routes = models
            .iter()
            .filter_map(|model| model.status.as_ref())
            .flat_map(|status| &status.routes)
            .map(|route| format!("{} {}", route.version, route.digest))
            .collect();
        let templates = self.list::<Deployment>().await?.into_iter().map(|deployment| {
            let template = deployment.spec.map(|spec| spec.template);
            serde_json::to_string(&template).unwrap_or_default()
        });
        let made = self.list::<ModelVersion>().await?.into_iter();
        Ok(Effects {
            routes,
            templates: templates.collect(),
            made: made
                .filter(|version| version.spec.provenance.is_some())
                .map(|version| version.name_any())
                .collect(),
        })
    }

    /// Writes the result of a Job to the ledger with this token. Returns the response's status and text.
    pub async fn writes_result(&self, token: &str, job: &str, result: &Value) -> Result<(u16, String)> {
        let url = format!(
            "{}/v1/jobs/{}/{job}/result",
            self.world.ledger_url, self.namespace
        );
        let request = reqwest::Client::new().put(url).bearer_auth(token).json(result);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await?))
    }

    // === steps of stories ===

    /// Reports counts in the current window to the ledger, as a Pod of the model. Returns the window's start.
    pub async fn counts(&self, counts: &Counts) -> Result<i64> {
        let model = self.all::<Model>().get("heart").await?;
        let status = model.status.context("the model has a status")?;
        let routes: Vec<Route> = status
            .routes
            .iter()
            .map(|route| Route {
                version: route.version.clone(),
                digest: route.digest,
                weight: u32::try_from(route.weight).unwrap_or_default(),
                threshold: route.threshold.clone(),
                mode: RouteMode::Live,
            })
            .collect();
        let route = routes.first().context("the model serves")?;
        let window_start = self.now().as_second().div_euclid(WINDOW) * WINDOW;
        let batch = CountsBatch {
            format: ENVELOPE_FORMAT,
            window_seconds: u32::try_from(WINDOW)?,
            envelopes: vec![Envelope {
                format: ENVELOPE_FORMAT,
                key: TotalKey {
                    route: route_digest(route),
                    window_start,
                    incarnation: Incarnation(7),
                },
                sequence: 1,
                closed: true,
                counts: counts.clone(),
            }],
            routes,
        };
        let of = ListParams::default().labels("modelward.io/model=heart");
        let pods = self.all::<Pod>().list(&of).await?;
        let pod = pods
            .items
            .into_iter()
            .find(|pod| !pod.labels().contains_key("modelward.io/stage"))
            .context("the model has a Pod")?;
        let token = self.world.pod_token(&self.namespace, &pod).await?;
        let url = format!("{}/v1/counts/{}/heart", self.world.ledger_url, self.namespace);
        // Like a server, it retries a total that a busy ledger rejected.
        self.until("the ledger to take the counts", async || {
            let answer = reqwest::Client::new()
                .put(&url)
                .bearer_auth(&token)
                .json(&batch)
                .send()
                .await?;
            let status = answer.status();
            let text = answer.text().await?;
            let busy = status == reqwest::StatusCode::SERVICE_UNAVAILABLE;
            anyhow::ensure!(
                busy || status.is_success(),
                "counts were answered {status}: {text}"
            );
            Ok((!busy).then_some(()))
        })
        .await?;
        Ok(window_start)
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.abort();
        }
    }
}

fn now_and(ahead: i64) -> Timestamp {
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    now.saturating_add(jiff::SignedDuration::from_secs(ahead))
        .unwrap_or(now)
}
