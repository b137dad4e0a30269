//! The state that the controllers share.

use std::sync::Arc;

use kube::Client;
use modelward_ledger_client::Client as LedgerClient;

use crate::{
    Clock, Config, Metrics,
    action::Blocked,
    api::{Env, OwnWrites},
    cache::Cache,
    model::{KeyNames, Prober, Upgrades},
    runtime::{backoff::Backoffs, turns::Turns},
    version::Recorded,
};

/// The state that the controllers share. What reads and writes a single object takes the `Env` alone.
pub struct Context {
    pub(crate) env: Arc<Env>,
    /// The watched objects, as far as they are kept in memory.
    pub(crate) cache: Cache,
    pub(crate) backoffs: Backoffs,
    pub(crate) writes: OwnWrites,
    /// Which versions have a Job or wait for one.
    pub(crate) turns: Turns,
    /// The versions that the ledger has.
    pub(crate) recorded: Recorded,
    pub(crate) key_names: KeyNames,
    pub(crate) upgrades: Upgrades,
    /// Probes every model through its Service.
    pub(crate) prober: Prober,
    pub(crate) blocked: Blocked,
    /// Held while actions in progress are counted and another one begins.
    pub(crate) claims: tokio::sync::Mutex<()>,
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
        Self {
            turns: Turns::new(config.jobs, cache.versions.clone()),
            prober: Prober::new(config.prober.clone()),
            env: Arc::new(Env::new(client, config, ledger, metrics, instance, clock)),
            cache,
            backoffs: Backoffs::default(),
            writes: OwnWrites::default(),
            recorded: Recorded::default(),
            key_names: KeyNames::default(),
            upgrades: Upgrades::default(),
            blocked: Blocked::default(),
            claims: tokio::sync::Mutex::default(),
        }
    }
}
