//! What Prometheus can ask this process.
//!
//! Every label is bounded: routes are the patterns of this program, codes are HTTP's, versions are those of the
//! routes file, features those of the bundles' schemas, reasons and kinds are words of this program.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

/// The content type of this text, as scrapers need it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// Pattern of the path, such as `/predict`.
    pub route: &'static str,
    /// HTTP status.
    pub code: u16,
}

/// Label of a duration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// Pattern of the path, such as `/predict`.
    pub route: &'static str,
}

/// Labels of predictions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PredictionLabels {
    /// Name of the `ModelVersion`.
    pub version: String,
    /// `Live` or `Shadow`.
    pub mode: &'static str,
    /// 0 or 1.
    pub class: u8,
}

/// Labels of warnings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WarningLabels {
    /// Name of the `ModelVersion`.
    pub version: String,
    /// The feature.
    pub feature: String,
    /// `OutOfRange` or `UnknownCategory`.
    pub kind: &'static str,
}

/// Labels of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BundleLabels {
    /// Name of the `ModelVersion`.
    pub version: String,
    /// Digest of its bundle.
    pub digest: String,
}

/// Label of a version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VersionLabel {
    /// Name of the `ModelVersion`.
    pub version: String,
}

/// Label of what became of labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// `Accepted`, `Repeated`, `Contradicted`, `Refused` or `Unavailable`.
    pub outcome: &'static str,
}

/// Label of a reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// What went wrong, one word.
    pub reason: &'static str,
}

/// The numbers of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds from a request's head to its answer.
    pub duration: Family<RouteLabel, Histogram, fn() -> Histogram>,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    /// Rows scored.
    pub predictions: Family<PredictionLabels, Counter>,
    /// Rows of each scored request.
    pub batch_rows: Histogram,
    /// Warnings given.
    pub warnings: Family<WarningLabels, Counter>,
    /// Warnings that were counted and not described in their answer.
    pub warnings_omitted: Counter,
    /// Requests that a shadow did not score.
    pub shadow_dropped: Counter,
    /// 1 where requests are answered.
    pub ready: Gauge,
    /// 1 between SIGTERM and the end.
    pub draining: Gauge,
    /// 1 where the bundle was verified and warmed up, 0 before.
    pub bundle_verified: Family<BundleLabels, Gauge>,
    /// Attempts to fetch a bundle that failed.
    pub fetch_failures: Family<ReasonLabel, Counter>,
    /// Copies in the cache that were damaged and dropped.
    pub cache_dropped: Counter,
    /// 1 where the last call of the ledger was answered.
    pub ledger_reachable: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// 1 where answered rows of the version are counted.
    pub counting: Family<VersionLabel, Gauge>,
    /// Answered rows that were not counted.
    pub rows_uncounted: Family<VersionLabel, Counter>,
    /// Rows of entities that were not looked for because a window had too many.
    pub entities_full: Counter,
    /// 1 where counts outlive a crash of the process.
    pub counts_durable: Gauge,
    /// Windows of which the ledger does not have all.
    pub counts_unsent: Gauge,
    /// Windows that were dropped before the ledger had all of them.
    pub windows_dropped: Family<ReasonLabel, Counter>,
    /// Rows that were counted in them and that the ledger does not have.
    pub rows_dropped: Counter,
    /// Windows that a killed process left behind.
    pub windows_recovered: Counter,
    /// Flushes that the ledger did not take.
    pub flush_failures: Family<ReasonLabel, Counter>,
    /// When the ledger last had everything, since 1970.
    pub last_flush: Gauge<f64, AtomicU64>,
    /// Labels by what became of them.
    pub feedback: Family<OutcomeLabel, Counter>,
}

// === impl Metrics ===

impl Metrics {
    /// All numbers at zero.
    pub fn new() -> Self {
        // From what one scored row takes to what a full batch does.
        let seconds: fn() -> Histogram = || {
            Histogram::new([
                0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
                2.5, 5.0, 10.0, 30.0,
            ])
        };
        let mut metrics = Self {
            registry: Registry::with_prefix("modelward_inference"),
            requests: Family::default(),
            duration: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
            predictions: Family::default(),
            batch_rows: Histogram::new([
                1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0,
            ]),
            warnings: Family::default(),
            warnings_omitted: Counter::default(),
            shadow_dropped: Counter::default(),
            ready: Gauge::default(),
            draining: Gauge::default(),
            bundle_verified: Family::default(),
            fetch_failures: Family::default(),
            cache_dropped: Counter::default(),
            ledger_reachable: Gauge::default(),
            connections: Gauge::default(),
            counting: Family::default(),
            rows_uncounted: Family::default(),
            entities_full: Counter::default(),
            counts_durable: Gauge::default(),
            counts_unsent: Gauge::default(),
            windows_dropped: Family::default(),
            rows_dropped: Counter::default(),
            windows_recovered: Counter::default(),
            flush_failures: Family::default(),
            last_flush: Gauge::default(),
            feedback: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", build);
        let started = Gauge::<f64, AtomicU64>::default();
        started.set(seconds_since_1970());
        registry.register_with_unit(
            "start_time",
            "When the process started, since 1970",
            Unit::Seconds,
            started,
        );
        registry.register(
            "requests",
            "Requests answered, by route and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
        registry.register(
            "predictions",
            "Rows scored, by version, its mode and the class answered",
            self.predictions.clone(),
        );
        registry.register(
            "batch_rows",
            "Rows of each scored request",
            self.batch_rows.clone(),
        );
        registry.register(
            "warnings",
            "Values scored with a warning, by version, feature and kind",
            self.warnings.clone(),
        );
        registry.register(
            "warnings_omitted",
            "Warnings that were counted and not described in their answer, because it had too many",
            self.warnings_omitted.clone(),
        );
        registry.register(
            "shadow_dropped",
            "Requests that a shadow version did not score because it was busy",
            self.shadow_dropped.clone(),
        );
        registry.register("ready", "1 where predictions are answered", self.ready.clone());
        registry.register("draining", "1 between SIGTERM and the end", self.draining.clone());
        registry.register(
            "bundle_verified",
            "1 where every file and the warm-up sample of the bundle were verified",
            self.bundle_verified.clone(),
        );
        registry.register(
            "bundle_fetch_failures",
            "Attempts to fetch a bundle from the ledger that failed, by reason",
            self.fetch_failures.clone(),
        );
        registry.register(
            "bundle_cache_dropped",
            "Damaged copies of a bundle that were dropped from the cache",
            self.cache_dropped.clone(),
        );
        registry.register(
            "ledger_reachable",
            "1 where the ledger answered the last call, 0 where it did not or was never needed",
            self.ledger_reachable.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        self.register_counting();
    }

    fn register_counting(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "counting",
            "1 where answered rows of the version are counted, 0 where its bundle has no usable reference",
            self.counting.clone(),
        );
        registry.register(
            "rows_uncounted",
            "Answered rows that were not counted, by version",
            self.rows_uncounted.clone(),
        );
        registry.register(
            "entities_full",
            "Rows that were counted without a look for repeats, because their window had too many entities",
            self.entities_full.clone(),
        );
        registry.register(
            "counts_durable",
            "1 where counts are in mapped files and outlive a crash of the process",
            self.counts_durable.clone(),
        );
        registry.register(
            "counts_unsent_windows",
            "Windows of which the ledger did not have all after the last flush",
            self.counts_unsent.clone(),
        );
        registry.register(
            "counts_dropped_windows",
            "Windows that were dropped before the ledger had all of them, by reason",
            self.windows_dropped.clone(),
        );
        registry.register(
            "counts_dropped_rows",
            "Counted rows that the ledger will never have",
            self.rows_dropped.clone(),
        );
        registry.register(
            "counts_recovered_windows",
            "Windows that an earlier process of this Pod left behind and this one took over",
            self.windows_recovered.clone(),
        );
        registry.register(
            "counts_flush_failures",
            "Messages with counts that the ledger did not take, by reason",
            self.flush_failures.clone(),
        );
        registry.register(
            "feedback",
            "Labels, by what became of them",
            self.feedback.clone(),
        );
        registry.register_with_unit(
            "counts_last_flush_timestamp",
            "When the ledger last had all counts, since 1970",
            Unit::Seconds,
            self.last_flush.clone(),
        );
    }

    /// All numbers as `OpenMetrics` text, of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(8 << 10);
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds_since_1970() -> f64 {
    std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}
