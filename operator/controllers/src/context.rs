//! The state that all reconciles share.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use modelward_core::{
    children::{Judgement, Memory},
    drift::DriftingModels,
    upgrade::{ModelSeen, Turn, turn},
};
use modelward_crds::Model;
use modelward_ledger_client::Client as LedgerClient;
use tokio::sync::OnceCell;

use crate::{
    Config, Error, Metrics,
    backoff::Backoff,
    blocked::Blocked,
    cache::{
        Cache,
        cached::{Key, NamespacedName},
    },
    metrics::ControllerName,
    prober::Prober,
    recorder::Recorder,
    turns::Turns,
    unreadable::Unreadable,
};

/// A call to the API server that takes longer is aborted: the client would otherwise retry for minutes.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The clock. Reconciles do not read the time of the machine.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The state that all reconciles share: clients of the cluster and the ledger, configuration, metrics, the clock.
pub struct Context {
    /// The cluster.
    pub client: Client,
    /// The operator's configuration.
    pub config: Config,
    /// The ledger.
    pub ledger: LedgerClient,
    /// The operator's metrics.
    pub metrics: Metrics,
    pub(crate) recorder: Recorder,
    pub(crate) unreadable: Unreadable,
    pub(crate) blocked: Blocked,
    versions_backoff: Backoff,
    models_backoff: Backoff,
    reports_backoff: Backoff,
    schedules_backoff: Backoff,
    actions_backoff: Backoff,
    /// The last record of each version in the ledger, by uid, to skip repeating it.
    pub(crate) recorded: Mutex<HashMap<String, String>>,
    /// Held while actions in progress are counted and another one begins.
    pub(crate) claims: tokio::sync::Mutex<()>,
    /// The watched objects, as far as they are kept in memory.
    pub(crate) cache: Cache,
    /// Which versions have a Job or wait for one.
    pub(crate) turns: Turns,
    /// Uids of Jobs that this process created and that are not recorded yet.
    made_jobs: Mutex<HashSet<String>>,
    /// Uids of children that this process deleted to recreate them.
    deleted_children: Mutex<HashSet<String>>,
    /// Names for Secrets with keys that are not created yet, by uid of the Model, so that each rejection names the same Secret.
    key_names: Mutex<HashMap<String, String>>,
    /// Probes every model through its Service.
    pub(crate) prober: Prober,
    /// Models that may take a new Pod template but whose record does not say so yet.
    upgrading: Mutex<Vec<String>>,
    /// The memory of each child, by namespace, kind and name.
    children: Mutex<HashMap<String, Memory>>,
    me: OnceCell<String>,
    clock: Clock,
}

// === impl Context ===

impl Context {
    /// A context for one process. `instance` names the process in Events.
    pub fn new(
        client: Client,
        config: Config,
        ledger: LedgerClient,
        metrics: Metrics,
        instance: &str,
        clock: Clock,
    ) -> Self {
        let cache = Cache::new();
        let turns = Turns::new(config.jobs, cache.versions.clone());
        let prober = Prober::new(config.prober.clone());
        Self {
            client,
            config,
            ledger,
            metrics,
            recorder: Recorder::new(instance),
            unreadable: Unreadable::default(),
            blocked: Blocked::default(),
            versions_backoff: Backoff::default(),
            models_backoff: Backoff::default(),
            reports_backoff: Backoff::default(),
            schedules_backoff: Backoff::default(),
            actions_backoff: Backoff::default(),
            recorded: Mutex::default(),
            claims: tokio::sync::Mutex::default(),
            cache,
            turns,
            made_jobs: Mutex::default(),
            deleted_children: Mutex::default(),
            key_names: Mutex::default(),
            prober,
            upgrading: Mutex::default(),
            children: Mutex::default(),
            me: OnceCell::new(),
            clock,
        }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes a call to the API server within the time limit.
    pub(crate) async fn call<T>(
        &self,
        action: impl Into<String>,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(Error::Api {
                action: action.into(),
                source: Box::new(source),
            }),
            Err(_) => Err(Error::Timeout {
                action: action.into(),
                seconds: CALL_TIMEOUT.as_secs(),
            }),
        }
    }

    /// The models that drift now in all watched namespaces, from the watch of reports, without a call.
    pub(crate) async fn drifting(&self) -> Result<DriftingModels, Error> {
        let late = || Error::Timeout {
            action: "read the watched DriftReports".to_owned(),
            seconds: CALL_TIMEOUT.as_secs(),
        };
        let ready = tokio::time::timeout(CALL_TIMEOUT, self.cache.reports.is_ready()).await;
        if ready != Ok(true) {
            return Err(late());
        }
        let reports = self.cache.reports.of(&Key::Drift);
        let readable = reports.iter().filter_map(|report| report.0.as_ref().ok());
        let drifts = readable.filter_map(|report| report.drift.as_ref());
        Ok(DriftingModels::of(drifts, self.now()))
    }

    /// The failures in a row of a controller's objects.
    pub(crate) fn backoff(&self, controller: ControllerName) -> &Backoff {
        match controller {
            ControllerName::ModelVersion => &self.versions_backoff,
            ControllerName::Model => &self.models_backoff,
            ControllerName::DriftReport => &self.reports_backoff,
            ControllerName::DriftSchedule => &self.schedules_backoff,
            ControllerName::Action => &self.actions_backoff,
        }
    }

    /// The user name of this operator at the API server, which its proposals name as the proposer.
    pub(crate) async fn whoami(&self) -> Result<&str, Error> {
        let ask = async || {
            let api = Api::<SelfSubjectReview>::all(self.client.clone());
            let (params, question) = (PostParams::default(), SelfSubjectReview::default());
            let answer = self
                .call(
                    "read the operator's own user name",
                    api.create(&params, &question),
                )
                .await?;
            let user = answer.status.and_then(|status| status.user_info);
            user.and_then(|user| user.username).ok_or(Error::Incomplete {
                what: "SelfSubjectReview",
                field: "status.userInfo.username",
            })
        };
        self.me.get_or_try_init(ask).await.map(String::as_str)
    }

    /// What to do about a child that differs from the desired state.
    pub(crate) fn judge_child(&self, key: &str, wanted: &str, found: &str) -> Judgement {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children
            .entry(key.to_owned())
            .or_default()
            .judge(wanted, found, self.now())
    }

    /// Records a write of a child: how it differed before, and how the API server's answer differs.
    pub(crate) fn child_written(
        &self,
        key: &str,
        wanted: &str,
        found: Option<&str>,
        made: Option<(String, Vec<String>)>,
    ) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_some() || made.is_some() || children.contains_key(key) {
            let memory = children.entry(key.to_owned()).or_default();
            memory.written(wanted, found, made, self.now());
        }
    }

    /// Forgets the children of this name.
    pub(crate) fn forget_children(&self, namespace: &str, names: impl Fn(&str) -> bool) {
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|key, _| {
            let name = key
                .strip_prefix(namespace)
                .and_then(|rest| rest.strip_prefix('/'));
            let name = name.and_then(|rest| rest.split_once(' ')).map(|(_, name)| name);
            !name.is_some_and(&names)
        });
    }

    /// Whether this model may take the Pod template of this configuration now. If so, it is counted from now on.
    pub(crate) fn turn(&self, model: &Model, configuration: &str) -> Turn {
        let key = NamespacedName::of(model).to_string();
        let mut taken = self.upgrading.lock().unwrap_or_else(PoisonError::into_inner);
        let models = self.cache.models.all();
        let readable = models.iter().filter_map(|model| model.0.as_ref().ok());
        let models: Vec<_> = readable.filter_map(|model| model.upgrade.clone()).collect();
        // Their records say so now.
        taken.retain(|taken| {
            models
                .iter()
                .any(|model: &ModelSeen| &model.key == taken && model.configuration != configuration)
        });
        let turn = turn(&key, configuration, &models, &taken, self.config.upgrade_at_once);
        let waits = |model: &&ModelSeen| model.configuration != configuration;
        let held = models
            .iter()
            .filter(waits)
            .filter(|model| turn != Turn::Now || model.key != key);
        let held = held.count();
        let stopped = matches!(turn, Turn::Stopped(_));
        self.metrics.upgrades(held, if stopped { held } else { 0 });
        if turn == Turn::Now && !taken.contains(&key) {
            taken.push(key);
        }
        turn
    }

    /// Whether the ledger already has this record of the version.
    pub(crate) fn is_recorded(&self, uid: &str, what: &str) -> bool {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(uid)
            .is_some_and(|recorded| recorded == what)
    }

    /// Remembers what was recorded in the ledger.
    pub(crate) fn note_recorded(&self, uid: &str, what: String) {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid.to_owned(), what);
    }

    /// Forgets a deleted version.
    pub(crate) fn forget_recorded(&self, uid: &str) {
        self.recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid);
    }

    /// Remembers that this process deleted the child of this uid to recreate it.
    pub(crate) fn note_deleted_child(&self, uid: &str) {
        let mut deleted = self
            .deleted_children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deleted.insert(uid.to_owned());
    }

    /// Whether this process deleted the child of this uid to recreate it. This forgets the uid.
    pub(crate) fn deleted_child(&self, uid: &str) -> bool {
        let mut deleted = self
            .deleted_children
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        deleted.remove(uid)
    }

    /// The name for the Secret with the keys of a model: generated once, and again after [`Context::forget_key_name`].
    pub(crate) fn key_name(&self, model: &Model) -> String {
        let mut names = self.key_names.lock().unwrap_or_else(PoisonError::into_inner);
        let draw = || format!("{}-{:08x}-modelward", model.name_any(), rand::random::<u32>());
        names
            .entry(model.uid().unwrap_or_default())
            .or_insert_with(draw)
            .clone()
    }

    /// Forgets that name, because its Secret is recorded, or an object of another owner has it.
    pub(crate) fn forget_key_name(&self, model: &Model) {
        let mut names = self.key_names.lock().unwrap_or_else(PoisonError::into_inner);
        names.remove(&model.uid().unwrap_or_default());
    }

    /// Remembers that this process created the Job of this uid.
    pub(crate) fn note_made_job(&self, uid: &str) {
        let mut made = self.made_jobs.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(uid.to_owned());
    }

    /// Whether this process created the Job of this uid.
    pub(crate) fn made_job(&self, uid: &str) -> bool {
        let made = self.made_jobs.lock().unwrap_or_else(PoisonError::into_inner);
        made.contains(uid)
    }

    /// Forgets a Job whose uid is recorded.
    pub(crate) fn forget_made_job(&self, uid: &str) {
        let mut made = self.made_jobs.lock().unwrap_or_else(PoisonError::into_inner);
        made.remove(uid);
    }
}
