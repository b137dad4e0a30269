//! The routes with their verified bundles, and what a request does with them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::SystemTime,
};

use modelward_model::{Bundle, Row};
use modelward_profile::route_digest;
use modelward_service::metrics::Counter;
use modelward_wire::Route;

use crate::{
    args::Limits,
    bounds::Bounds,
    counting::{Answered, Origin, RouteCounts},
    metrics::{Metrics, PredictionLabels, VersionLabel},
    prediction_id::{PredictionId, Signer},
    routes::{Split, point_of_key},
};

/// One route with its verified bundle.
#[derive(Debug)]
pub struct LoadedRoute {
    /// What the operator wrote.
    pub route: Route,
    /// The verified, warmed-up bundle.
    pub bundle: Arc<Bundle>,
    /// Probability from which the class is 1. It is the threshold of the route, which may differ from the bundle's.
    pub threshold: f64,
    /// The index of each feature in the schema.
    pub positions: HashMap<String, usize>,
    /// Bounds of a request.
    pub bounds: Bounds,
    route_prefix: [u8; 8],
    /// Counts its rows, if its bundle has a usable reference.
    counts: Option<Arc<RouteCounts>>,
    /// Predictions of class 0 and 1.
    counters: [Counter; 2],
}

/// The versions that answer.
#[derive(Debug)]
pub struct Serving {
    /// Name of the model.
    pub model: String,
    /// The Live routes by weight.
    pub live: Split<Arc<LoadedRoute>>,
    /// Seals prediction ids.
    pub signer: Signer,
}

/// A request without its body.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it was received, milliseconds since 1970.
    pub time_ms: u64,
    /// Its point when requests are split.
    pub point: u64,
}

// === impl LoadedRoute ===

impl LoadedRoute {
    /// A route with its bundle.
    pub fn new(
        route: Route,
        bundle: Arc<Bundle>,
        counts: Option<Arc<RouteCounts>>,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Self {
        let labels = |class| PredictionLabels {
            version: route.version.clone(),
            mode: route.mode.as_str(),
            class,
        };
        let counters = [0, 1].map(|class| metrics.predictions.get_or_create_owned(&labels(class)));
        let positions = bundle
            .schema()
            .names()
            .enumerate()
            .map(|(at, name)| (name.to_owned(), at))
            .collect();
        let bounds = limits.bounds(bundle.schema().features.len());
        let mut route_prefix = [0; 8];
        route_prefix.copy_from_slice(&route_digest(&route).as_bytes()[..8]);
        Self {
            threshold: route.threshold.to_f64(),
            bundle,
            positions,
            bounds,
            route_prefix,
            counts,
            counters,
            route,
        }
    }

    /// Scores a row: its class and probability.
    pub fn score(&self, row: &Row) -> (u8, f64) {
        let probability = self.bundle.score(row);
        (u8::from(probability >= self.threshold), probability)
    }

    /// The sealed id of an answer.
    pub fn prediction_id(&self, signer: &Signer, call: Call, class: u8, score: f64) -> String {
        signer.seal(&PredictionId {
            route: self.route_prefix,
            time_ms: call.time_ms,
            score,
            class,
            random: rand::random(),
        })
    }

    /// Counts the rows of an answer for the ledger, before it is sent.
    pub fn count_answered<'a>(
        &self,
        metrics: &Metrics,
        call: Call,
        origin: &Origin,
        rows: impl ExactSizeIterator<Item = Answered<'a>>,
    ) {
        if let Some(counts) = &self.counts {
            return counts.add(metrics, call.seconds(), origin, rows);
        }
        let version = self.route.version.clone();
        metrics
            .rows_uncounted
            .get_or_create(&VersionLabel { version })
            .inc_by(rows.len() as u64);
    }

    /// Counts rows that were refused because of wrong types, by feature.
    pub fn count_type_errors(
        &self,
        metrics: &Metrics,
        call: Call,
        origin: &Origin,
        features: &BTreeMap<String, u64>,
    ) {
        if let Some(counts) = &self.counts
            && !origin.synthetic
            && !features.is_empty()
        {
            let features = features.iter().map(|(name, rows)| (name.as_str(), *rows));
            counts.add_type_errors(metrics, call.seconds(), features);
        }
    }

    /// Counts rows that were refused for a reason other than the type of a value. A body that cannot be read counts as
    /// one row.
    pub fn count_refused(&self, metrics: &Metrics, call: Call, origin: &Origin, rows: u64) {
        if let Some(counts) = &self.counts
            && !origin.synthetic
            && rows > 0
        {
            counts.add_refused(metrics, call.seconds(), rows);
        }
    }

    /// Counts rows of class 0 and 1 in the metrics.
    pub fn count_classes(&self, classes: [u64; 2]) {
        for (counter, rows) in self.counters.iter().zip(classes) {
            if rows > 0 {
                counter.inc_by(rows);
            }
        }
    }

    /// Bytes of the names that each answered row repeats.
    pub fn names_length(&self, model: &str) -> usize {
        model.len() + self.route.version.len()
    }
}

// === impl Serving ===

impl Serving {
    /// The route for this call.
    pub fn pick(&self, call: Call) -> Option<&Arc<LoadedRoute>> {
        self.live.pick(call.point)
    }

    /// The Live route of this version.
    pub fn version(&self, name: &str) -> Option<&Arc<LoadedRoute>> {
        self.live.iter().find(|route| route.route.version == name)
    }

    /// A call that was received now. Calls with the same `key` go to the same version while the weights do not change.
    pub fn call(&self, key: Option<&[u8]>) -> Call {
        let time_ms = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |elapsed| elapsed.as_millis() as u64);
        let point = match key {
            _ if self.live.is_single() => 0,
            Some(key) => point_of_key(&self.model, key),
            None => rand::random(),
        };
        Call { time_ms, point }
    }
}

// === impl Call ===

impl Call {
    /// When it was received, in seconds since 1970.
    fn seconds(self) -> i64 {
        i64::try_from(self.time_ms / 1000).unwrap_or(i64::MAX)
    }
}
