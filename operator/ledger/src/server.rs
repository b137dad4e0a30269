//! Starts the parts of the ledger, listens, and shuts down in order.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use kube::Client;
use modelward_service::chain;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    Config, StoreError,
    api::{App, probes, router},
    auth::Authenticator,
    budget::Budget,
    database::{Database, SUM_COUNTERS},
    health::{Health, State},
    index::Index,
    listen::{self, Limits},
    metrics::Metrics,
    publisher::{MlflowConfig, publish_due},
    quota::Quota,
    store::Store,
};

/// A ledger that is ready to listen.
pub struct Ledger {
    listener: TcpListener,
    router: Router,
    /// The port of the probes, if there is one.
    probes: Option<(TcpListener, Router)>,
    app: Arc<App>,
    idle_timeout: Duration,
    mlflow: Option<MlflowConfig>,
}

/// Why the ledger cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is in use or not available.
    #[error("failed to listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The artifact store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is neither the environment of a Pod nor a kubeconfig.
    #[error("failed to load the configuration of the Kubernetes client")]
    Kubernetes(#[source] kube::config::InferConfigError),
    /// The client cannot be created from the configuration.
    #[error("failed to create a client for the API server")]
    Client(#[source] Box<kube::Error>),
}

/// Time limit for requests in flight at the end. A Pod has 30 s by default.
const GRACE: Duration = Duration::from_secs(25);
const CHECK_UP: Duration = Duration::from_secs(3);
const CHECK_DOWN: Duration = Duration::from_secs(1);
const CHECK_STORE: Duration = Duration::from_secs(10);
const CHECK_LIMIT: Duration = Duration::from_secs(20);
const LEVEL: Duration = Duration::from_mins(5);
const EXPIRE: Duration = Duration::from_hours(1);
const EXPIRE_FIRST: Duration = Duration::from_mins(1);
/// Rows of each table in one statement, so that it ends well within its time limit, and statements in one round.
const EXPIRE_ROWS: i32 = 1000;
const EXPIRE_STATEMENTS: usize = 200;

/// Serves until `shutdown` completes and the requests in flight have ended.
///
/// An unavailable PostgreSQL, S3 bucket or API server is not an error: the ledger waits for it, and `/readyz` reports it.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
    let ledger = Ledger::bind(config, client().await?).await?;
    ledger.run(shutdown).await;
    Ok(())
}

/// A client for the API server, from the Pod's environment or the kubeconfig.
pub async fn client() -> Result<Client, Error> {
    let mut config = kube::Config::infer().await.map_err(Error::Kubernetes)?;
    // The default retries for minutes. Callers should get an answer sooner and retry themselves.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(3));
    Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))
}

// === impl Ledger ===

impl Ledger {
    /// Opens the store and the port. Does not call PostgreSQL or the API server yet.
    pub async fn bind(config: Config, client: Client) -> Result<Self, Error> {
        let Config {
            addr,
            probe_addr,
            body_memory_bytes,
            quotas,
            database_url_file,
            store,
            audience,
            operator_service_account,
            max_blob_bytes,
            max_manifest_bytes,
            idle_timeout,
            proof_lifetime,
            mlflow,
        } = config;
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::new(metrics.clone()));
        let store = Arc::new(Store::open(&store)?);
        let database = Arc::new(Database::new(database_url_file, health.clone()));
        let index = Index {
            store: store.clone(),
            database: database.clone(),
            metrics: metrics.clone(),
            max_manifest_bytes,
        };
        let authenticator = Authenticator::new(
            client,
            audience,
            operator_service_account,
            proof_lifetime,
            metrics.clone(),
        );
        let app = Arc::new(App {
            store,
            database,
            index: Arc::new(index),
            authenticator,
            health,
            metrics,
            budget: Budget::new(body_memory_bytes),
            judged: Arc::new(Semaphore::new(SUM_COUNTERS)),
            wide: Arc::new(Semaphore::new(1)),
            quota: Quota::new(quotas),
            max_blob_bytes,
            max_manifest_bytes,
            idle_timeout,
        });
        let bind = async |addr| {
            TcpListener::bind(addr)
                .await
                .map_err(|source| Error::Listen { addr, source })
        };
        let listener = bind(addr).await?;
        let probes = match probe_addr {
            Some(addr) => Some((bind(addr).await?, probes(app.clone()))),
            None => None,
        };
        Ok(Self {
            listener,
            router: router(app.clone()),
            probes,
            app,
            idle_timeout,
            mlflow,
        })
    }

    /// The address on which it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The address of the probes, if they have a separate port.
    pub fn probe_addr(&self) -> Option<std::io::Result<SocketAddr>> {
        self.probes.as_ref().map(|(listener, _)| listener.local_addr())
    }

    /// Serves until `shutdown` completes and the requests in flight have ended.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self {
            listener,
            router,
            probes,
            app,
            idle_timeout,
            mlflow,
        } = self;
        // The tasks end when this set is dropped.
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_database(app.clone()));
        tasks.spawn(watch_store(app.clone()));
        tasks.spawn(level_index(app.clone()));
        tasks.spawn(expire(app.clone()));
        if let Some(mlflow) = mlflow {
            tasks.spawn(publish_due(app.clone(), mlflow));
        }
        if let Ok(addr) = listener.local_addr() {
            tracing::info!("the ledger listens on {addr}");
        }
        let (end, ended) = watch::channel(false);
        let probing = probes.map(|(listener, router)| {
            let mut ended = ended.clone();
            tokio::spawn(async move {
                let ended = async {
                    let _ = ended.wait_for(|ended| *ended).await;
                };
                listen::serve(listener, router, Limits::PROBES, ended, Duration::ZERO).await;
            })
        });
        let limits = Limits {
            idle: idle_timeout,
            ..Limits::API
        };
        listen::serve(listener, router, limits, shutdown, GRACE).await;
        let _ = end.send(true);
        if let Some(probing) = probing {
            let _ = probing.await;
        }
        tasks.shutdown().await;
        let _ = timeout(CHECK_LIMIT, app.database.close()).await;
        tracing::info!("the ledger has ended");
    }
}

/// Probes PostgreSQL every few seconds, more often while it is unavailable.
async fn watch_database(app: Arc<App>) {
    loop {
        // Each step of a check has its own time limit. This one is for unexpected cases.
        if timeout(CHECK_LIMIT, app.database.check()).await.is_err() {
            app.health.set_database(State::Down("it does not answer".into()));
        }
        let up = app.health.database() == State::Up;
        sleep(if up { CHECK_UP } else { CHECK_DOWN }).await;
    }
}

async fn watch_store(app: Arc<App>) {
    loop {
        let state = match timeout(CHECK_LIMIT, app.store.check()).await {
            Ok(Ok(())) => State::Up,
            Ok(Err(why)) => State::Down(why),
            Err(_) => State::Down("it does not answer".into()),
        };
        let up = state == State::Up;
        app.health.set_store(state);
        sleep(if up { CHECK_STORE } else { CHECK_DOWN }).await;
    }
}

/// Updates the index whenever PostgreSQL becomes available, and every few minutes.
async fn level_index(app: Arc<App>) {
    let mut database = app.health.watch_database();
    let mut tick = interval(LEVEL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => app.store.sweep().await,
            changed = database.changed() => if changed.is_err() { return },
        }
        if *database.borrow_and_update() == State::Up {
            app.index.level().await;
        }
    }
}

/// Deletes expired counts and labels, a limited number in each round.
async fn expire(app: Arc<App>) {
    // The first round comes early, so that a ledger that restarts often also deletes rows.
    let mut pause = EXPIRE_FIRST;
    loop {
        sleep(pause).await;
        pause = EXPIRE;
        for _ in 0..EXPIRE_STATEMENTS {
            match app.database.delete_expired(EXPIRE_ROWS).await {
                Ok(0) => break,
                Ok(deleted) => {
                    app.metrics.expired_rows.inc_by(deleted);
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "expired rows will be deleted in the next round"
                    );
                    break;
                }
            }
        }
    }
}
