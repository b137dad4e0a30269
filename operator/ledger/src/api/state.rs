//! The state of all handlers.

use std::{sync::Arc, time::Duration};

use axum::extract::State;
use tokio::sync::Semaphore;

use crate::{
    auth::Authenticator, budget::Budget, database::Database, health::Health, index::Index, metrics::Metrics,
    quota::Quota, store::Store,
};

/// The state of all handlers.
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) database: Arc<Database>,
    pub(crate) index: Arc<Index>,
    pub(crate) authenticator: Authenticator,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    /// One permit for each counter of the windows that are judged at the same time.
    pub(crate) judged: Arc<Semaphore>,
    /// The permit of a report with a wide reference.
    pub(crate) wide: Arc<Semaphore>,
    pub(crate) quota: Quota,
    pub(crate) max_blob_bytes: u64,
    pub(crate) max_manifest_bytes: u64,
    pub(crate) idle_timeout: Duration,
}

pub(super) type Shared = State<Arc<App>>;
