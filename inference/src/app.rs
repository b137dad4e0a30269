//! The state that all requests share, and how it becomes ready.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use arc_swap::ArcSwap;
use futures::future::try_join_all;
use http::HeaderValue;
use modelward_wire::{Digest, Route, RouteMode, Routes};
use tokio::sync::Semaphore;

use crate::{
    args::Limits,
    counting::{Counting, RouteCounts},
    ledger::Ledger,
    loader::{Loaded, Loader, VerificationError},
    memory::Memory,
    metrics::{BundleLabels, Metrics, VersionLabel},
    prediction_id::Signer,
    routes::Split,
    serving::{LoadedRoute, Serving},
    traffic::TrafficKey,
};

/// How many bodies of up to [`SHADOW_UNIT`] may wait for the Shadows. Larger bodies take several slots.
const SHADOW_SLOTS: usize = 512;

/// Bytes of one slot. All slots together are 32 MiB.
pub const SHADOW_UNIT: usize = 64 << 10;

/// One server: its routes, their states, and its metrics.
#[derive(Debug)]
pub struct App {
    /// Namespace of the model.
    pub namespace: String,
    /// Name of the model.
    pub model: String,
    /// Every route with its state.
    pub entries: Vec<Entry>,
    /// Limits of a client.
    pub limits: Limits,
    /// The metrics.
    pub metrics: Metrics,
    /// The memory budget that all requests share.
    pub memory: Arc<Memory>,
    /// Digest of the routes file that this process serves from. Every answer has it as a header.
    pub routes_digest: Option<HeaderValue>,
    /// Slots for bodies that wait for the Shadows, in units of [`SHADOW_UNIT`]. A body without a free slot is dropped.
    pub shadow_slots: Arc<Semaphore>,
    /// Counts answered rows.
    pub counting: Arc<Counting>,
    /// Marks load as synthetic.
    pub traffic_key: TrafficKey,
    /// Receives counts and labels, if configured.
    pub ledger: Option<Ledger>,
    /// Seals and opens prediction ids.
    pub signer: Signer,
    serving: OnceLock<Arc<Serving>>,
    shadows: ArcSwap<Vec<Arc<LoadedRoute>>>,
    draining: AtomicBool,
}

/// A route and its state.
#[derive(Debug)]
pub struct Entry {
    /// What the operator wrote.
    pub route: Route,
    /// Its state.
    pub state: ArcSwap<State>,
}

/// The state of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not ready yet. The text says what is being done or waited for.
    Loading(String),
    /// Verified and warmed up.
    Ready,
    /// Will not become ready. The text says why.
    Failed(String),
}

// === impl App ===

impl App {
    /// A server for these routes that is not ready yet.
    pub fn new(namespace: String, routes: Routes, signer: Signer, mut limits: Limits) -> Self {
        let memory = Memory::new(limits.memory, limits.max_connections);
        let largest = memory.largest_body(limits.max_body);
        if largest < limits.max_body {
            tracing::warn!(
                "bodies are limited to {largest} bytes instead of {}; for more, raise the memory limit of the container",
                limits.max_body
            );
            limits.max_body = largest;
        }
        let entry = |route| Entry {
            route,
            state: ArcSwap::from_pointee(State::Loading("starting".to_owned())),
        };
        let metrics = Metrics::new();
        // The routes were checked when they were read.
        let seconds = NonZeroU32::new(routes.window_seconds).unwrap_or(NonZeroU32::MAX);
        let app = Self {
            counting: Arc::new(Counting::new(seconds, None, &metrics)),
            traffic_key: TrafficKey::default(),
            ledger: None,
            namespace,
            model: routes.model,
            entries: routes.routes.into_iter().map(entry).collect(),
            limits,
            metrics,
            memory: Arc::new(memory),
            routes_digest: None,
            shadow_slots: Arc::new(Semaphore::new(SHADOW_SLOTS)),
            signer,
            serving: OnceLock::new(),
            shadows: ArcSwap::default(),
            draining: AtomicBool::new(false),
        };
        for entry in &app.entries {
            app.metrics.bundle_verified.get_or_create(&entry.labels()).set(0);
        }
        app
    }

    /// Keeps counts in files of this directory, so that they outlive a crash of the process.
    #[must_use]
    pub fn with_counts_in(mut self, dir: &Path) -> Self {
        let seconds = self.counting.seconds();
        self.counting = Arc::new(Counting::new(seconds, Some(dir), &self.metrics));
        self
    }

    /// Sends this digest of the routes file with every answer.
    #[must_use]
    pub fn with_routes_digest(mut self, digest: &Digest) -> Self {
        self.routes_digest = HeaderValue::from_str(&digest.to_string()).ok();
        self
    }

    /// Treats load that has the key in this file as synthetic.
    #[must_use]
    pub fn with_traffic_key(mut self, file: PathBuf) -> Self {
        self.traffic_key = TrafficKey::new(file);
        self
    }

    /// Reports counts and labels to this ledger.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        self.ledger = Some(ledger);
        self
    }

    /// What answers requests, once every Live route is verified and warmed up.
    pub fn serving(&self) -> Option<&Arc<Serving>> {
        self.serving.get()
    }

    /// The Shadow routes that are ready.
    pub fn shadows(&self) -> Arc<Vec<Arc<LoadedRoute>>> {
        self.shadows.load_full()
    }

    /// Whether the process received SIGTERM.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Makes the server unready. It still answers requests.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.draining.set(1);
        self.metrics.ready.set(0);
    }

    /// Why no new requests should be sent here, or `None` if they should.
    pub fn unready(&self) -> Option<String> {
        if self.is_draining() {
            return Some("draining: this process is shutting down".to_owned());
        }
        if self.serving().is_some() {
            return None;
        }
        let waiting = self
            .entries
            .iter()
            .filter(|entry| entry.route.mode == RouteMode::Live)
            .filter_map(|entry| match entry.state.load().as_ref() {
                State::Loading(text) | State::Failed(text) => {
                    Some(format!("{}: {text}", entry.route.version))
                }
                State::Ready => None,
            });
        Some(waiting.collect::<Vec<_>>().join("; "))
    }

    /// Makes the routes ready: first all Live ones together, then the Shadows.
    ///
    /// A Live bundle that fails verification is an error. A Shadow's is not: no client waits for its answers.
    pub async fn load(&self, loader: &Loader) -> Result<(), VerificationError> {
        loader.remove_partial().await;
        let of_mode = |mode| self.entries.iter().filter(move |entry| entry.route.mode == mode);
        let digests: BTreeSet<Digest> = of_mode(RouteMode::Live).map(|entry| entry.route.digest).collect();
        let load = |digest: Digest| async move {
            self.bundle(loader, digest)
                .await
                .map(|loaded| (digest, Arc::new(loaded)))
        };
        let mut bundles: BTreeMap<Digest, Arc<Loaded>> = try_join_all(digests.into_iter().map(load))
            .await?
            .into_iter()
            .collect();
        let mut live = Vec::new();
        for entry in of_mode(RouteMode::Live) {
            if let Some(bundle) = bundles.get(&entry.route.digest) {
                let route = self.ready(entry, bundle);
                live.push((entry.route.version.clone(), entry.route.weight, route));
            }
        }
        let serving = Serving {
            model: self.model.clone(),
            live: Split::new(live),
            signer: self.signer.clone(),
        };
        if self.serving.set(Arc::new(serving)).is_ok() && !self.is_draining() {
            self.metrics.ready.set(1);
            tracing::info!(model = self.model, "ready: {} answers", self.model);
        }
        for entry in of_mode(RouteMode::Shadow) {
            let digest = entry.route.digest;
            let bundle = match bundles.get(&digest) {
                Some(bundle) => Ok(Arc::clone(bundle)),
                None => load(digest).await.map(|(_, bundle)| bundle),
            };
            match bundle {
                Ok(bundle) => {
                    let mut shadows = self.shadows.load().as_ref().clone();
                    shadows.push(self.ready(entry, &bundle));
                    self.shadows.store(Arc::new(shadows));
                    bundles.insert(digest, bundle);
                }
                Err(error) => {
                    let version = &entry.route.version;
                    tracing::error!(version, "shadow {version} is left out: {error}");
                    entry.state.store(Arc::new(State::Failed(error.to_string())));
                }
            }
        }
        Ok(())
    }

    async fn bundle(&self, loader: &Loader, digest: Digest) -> Result<Loaded, VerificationError> {
        let report = |text: String| {
            for entry in self.entries.iter().filter(|entry| entry.route.digest == digest) {
                entry.state.store(Arc::new(State::Loading(text.clone())));
            }
        };
        loader.load(&digest, &self.metrics, &report).await
    }

    fn ready(&self, entry: &Entry, loaded: &Loaded) -> Arc<LoadedRoute> {
        let bundle = &loaded.bundle;
        entry.state.store(Arc::new(State::Ready));
        self.metrics.bundle_verified.get_or_create(&entry.labels()).set(1);
        Arc::new(LoadedRoute::new(
            entry.route.clone(),
            Arc::clone(bundle),
            self.counts(&entry.route, loaded),
            &self.limits,
            &self.metrics,
        ))
    }

    /// Counts the rows of a route. Rows of a Shadow are not counted here: another version answers them, and counts
    /// them.
    fn counts(&self, route: &Route, loaded: &Loaded) -> Option<Arc<RouteCounts>> {
        if route.mode == RouteMode::Shadow {
            return None;
        }
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let counts = loaded.reference.clone().and_then(|reference| {
            let schema = loaded.bundle.schema();
            self.counting
                .add_route(route, reference.bins, schema, now, &self.metrics)
        });
        let version = route.version.clone();
        let counting = self
            .metrics
            .counting
            .get_or_create_owned(&VersionLabel { version });
        counting.set(i64::from(counts.is_ok()));
        counts
            .inspect_err(|reason| {
                let version = &route.version;
                tracing::error!(
                    version,
                    reason,
                    "the rows of {version} are scored but not counted, so its drift cannot be detected: {reason}"
                );
            })
            .ok()
    }
}

// === impl Entry ===

impl Entry {
    fn labels(&self) -> BundleLabels {
        BundleLabels {
            version: self.route.version.clone(),
            digest: self.route.digest.to_string(),
        }
    }
}
