//! What answers: verified bundles behind the routes, and what one request does with them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicU64},
    time::SystemTime,
};

use modelward_model::{Bundle, FeatureSchema, Row, RowError, Warning};
use modelward_profile::route_digest;
use modelward_wire::Route;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use crate::{
    args::Limits,
    counting::{Answered, Origin, RouteCounts},
    json::Bounds,
    metrics::{Metrics, PredictionLabels, VersionLabel, WarningLabels},
    prediction_id::{PredictionId, Signer},
    problem::{Detail, MAX_DETAILS},
    routes::{Split, point_of_key},
};

/// One route with its verified bundle.
#[derive(Debug)]
pub struct LoadedRoute {
    /// What the operator wrote.
    pub route: Route,
    /// The verified, warmed-up bundle.
    pub bundle: Arc<Bundle>,
    /// Probability from which the class is 1: the route's, which may differ from the bundle's.
    pub threshold: f64,
    /// Where each feature is in the schema.
    pub positions: HashMap<String, usize>,
    /// Bounds of a request.
    pub bounds: Bounds,
    route_prefix: [u8; 8],
    /// What counts its rows, where its bundle says how.
    counts: Option<Arc<RouteCounts>>,
    /// Predictions of class 0 and 1.
    counters: [Counter<u64, AtomicU64>; 2],
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

/// One answered row.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prediction<'a> {
    /// 1 where the probability is at or over the threshold, else 0.
    pub class: u8,
    /// Probability of class 1.
    pub probability: f64,
    /// The threshold that was used.
    pub threshold: f64,
    /// Name of the model.
    pub model: &'a str,
    /// Name of the version that answered.
    pub version: &'a str,
    /// Joins a label to this answer later.
    pub prediction_id: String,
    /// What the caller should know of the row.
    pub warnings: Vec<Notice>,
    /// More warnings of the row, which are counted and not written.
    #[serde(skip_serializing_if = "is_zero")]
    pub warnings_omitted: usize,
}

/// A warning as it is answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// The feature that is meant.
    pub feature: String,
    /// `OutOfRange` or `UnknownCategory`.
    pub kind: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// What a request is, beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it was received, milliseconds since 1970.
    pub time_ms: u64,
    /// Where it falls when requests are split.
    pub point: u64,
}

/// Collects the errors of many rows, bounded.
#[derive(Debug, Default)]
pub struct RowErrors {
    /// The first [`MAX_DETAILS`].
    pub details: Vec<Detail>,
    /// All of them.
    pub total: usize,
    /// Rows with a wrong type, by feature of the model.
    pub wrong_types: BTreeMap<String, u64>,
}

/// No answer describes more warnings than this, and none of its rows more than [`MAX_ROW_WARNINGS`]; the others are counted.
pub const MAX_WARNINGS: usize = 100;

/// Warnings that are described for one row.
pub const MAX_ROW_WARNINGS: usize = 20;

/// The kinds of warnings, in answers and metrics.
const WARNING_KINDS: [&str; 2] = ["OutOfRange", "UnknownCategory"];

/// Counts the warnings of a request, and says which of them are described.
#[derive(Debug)]
pub struct Warnings {
    described: usize,
    most: usize,
    total: usize,
    /// By feature and by place in [`WARNING_KINDS`]; empty while there is no warning.
    counts: Vec<[u64; 2]>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for this signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The place of a warning's kind in [`WARNING_KINDS`].
fn kind_of(warning: &Warning) -> usize {
    match warning {
        Warning::OutOfRange { .. } => 0,
        Warning::UnknownCategory { .. } => 1,
    }
}

// === impl LoadedRoute ===

impl LoadedRoute {
    /// A route over its bundle.
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

    /// Counts rows that were refused because of wrong types.
    pub fn count_type_errors(&self, metrics: &Metrics, call: Call, origin: &Origin, errors: &RowErrors) {
        let features = &errors.wrong_types;
        if let Some(counts) = &self.counts
            && !origin.synthetic
            && !features.is_empty()
        {
            let features = features.iter().map(|(name, rows)| (name.as_str(), *rows));
            counts.add_type_errors(metrics, call.seconds(), features);
        }
    }

    /// Counts answered rows by class, and their warnings, in the metrics.
    pub fn count(&self, metrics: &Metrics, classes: [u64; 2], warnings: &Warnings) {
        for (counter, rows) in self.counters.iter().zip(classes) {
            if rows > 0 {
                counter.inc_by(rows);
            }
        }
        for (feature, counts) in self.bundle.schema().names().zip(&warnings.counts) {
            for (kind, count) in WARNING_KINDS.into_iter().zip(*counts) {
                if count > 0 {
                    let labels = WarningLabels {
                        version: self.route.version.clone(),
                        feature: feature.to_owned(),
                        kind,
                    };
                    metrics.warnings.get_or_create(&labels).inc_by(count);
                }
            }
        }
        let omitted = warnings.omitted();
        if omitted > 0 {
            metrics.warnings_omitted.inc_by(omitted as u64);
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

    /// A call that was received now. `key` holds a caller to one version while the weights stay.
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

// === impl Warnings ===

impl Warnings {
    /// None yet; the first `most` will be described.
    pub fn new(most: usize) -> Self {
        Self {
            described: 0,
            most,
            total: 0,
            counts: Vec::new(),
        }
    }

    /// Adds the warnings of a row: those that are described, and how many are not.
    pub fn add(&mut self, route: &LoadedRoute, warnings: &[Warning]) -> (Vec<Notice>, usize) {
        if warnings.is_empty() {
            return (Vec::new(), 0);
        }
        if self.counts.is_empty() {
            self.counts = vec![[0; 2]; route.positions.len()];
        }
        for warning in warnings {
            let count = route
                .positions
                .get(warning.feature())
                .and_then(|at| self.counts.get_mut(*at))
                .and_then(|counts| counts.get_mut(kind_of(warning)));
            if let Some(count) = count {
                *count += 1;
            }
        }
        let described = (self.most - self.described)
            .min(MAX_ROW_WARNINGS)
            .min(warnings.len());
        self.described += described;
        self.total += warnings.len();
        let notices = warnings[..described].iter().map(|warning| Notice {
            feature: warning.feature().to_owned(),
            kind: WARNING_KINDS[kind_of(warning)],
            message: route.bundle.schema().describe_warning(warning),
        });
        (notices.collect(), warnings.len() - described)
    }

    /// Warnings that were not described.
    pub fn omitted(&self) -> usize {
        self.total - self.described
    }
}

// === impl RowErrors ===

impl RowErrors {
    /// Adds an error of a row.
    pub fn push(&mut self, row: Option<usize>, feature: Option<&str>, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.details.len() < MAX_DETAILS {
            let feature = feature.map(|name| name.chars().take(MAX_NAME).collect());
            self.details.push(Detail {
                row,
                feature,
                message: message(),
            });
        }
    }

    /// Adds every error of a row of this schema.
    pub fn extend(&mut self, row: Option<usize>, schema: &FeatureSchema, errors: &[RowError]) {
        for error in errors {
            if let RowError::WrongType { feature, .. } = error {
                match self.wrong_types.get_mut(feature) {
                    Some(rows) => *rows += 1,
                    None => _ = self.wrong_types.insert(feature.clone(), 1),
                }
            }
            self.push(row, error.feature(), || schema.describe_error(error));
        }
    }
}

/// Names that a client sent are given back up to this many characters.
const MAX_NAME: usize = 200;
