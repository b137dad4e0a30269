//! What Prometheus sees. No label holds a namespace, a name or a digest: the number of series is fixed by the code.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// The one content type under which Prometheus reads this text as OpenMetrics.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    pub(crate) received: Family<KindLabels, Counter>,
    pub(crate) sent: Family<KindLabels, Counter>,
    pub(crate) proofs: Family<OutcomeLabels, Counter>,
    pub(crate) index_rows: Counter,
    pub(crate) totals: Family<OutcomeLabels, Counter>,
    pub(crate) labels: Family<OutcomeLabels, Counter>,
    pub(crate) reports: Family<OutcomeLabels, Counter>,
    pub(crate) expired_rows: Counter,
    pub(crate) database_up: Gauge,
    pub(crate) store_up: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    /// The route's template, such as `/v1/jobs/{namespace}/{job}/result`.
    pub(crate) route: String,
    pub(crate) method: &'static str,
    /// `2xx`, `4xx`, …
    pub(crate) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) route: String,
    pub(crate) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabels {
    /// `blob` or `manifest`.
    pub(crate) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) outcome: &'static str,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("modelward_ledger"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(latency as fn() -> Histogram),
            received: Family::default(),
            sent: Family::default(),
            proofs: Family::default(),
            index_rows: Counter::default(),
            totals: Family::default(),
            labels: Family::default(),
            reports: Family::default(),
            expired_rows: Counter::default(),
            database_up: Gauge::default(),
            store_up: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time until the head of the answer; a body may stream for longer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register_with_unit(
            "artifact_received",
            "Artifact bytes taken in, also of uploads that were refused in the end",
            Unit::Bytes,
            metrics.received.clone(),
        );
        registry.register_with_unit(
            "artifact_sent",
            "Artifact bytes given out",
            Unit::Bytes,
            metrics.sent.clone(),
        );
        registry.register("proofs", "Callers' proofs by outcome", metrics.proofs.clone());
        registry.register(
            "index_rows",
            "Rows added to the index of artifacts",
            metrics.index_rows.clone(),
        );
        registry.register(
            "totals",
            "Totals of counts taken in by outcome",
            metrics.totals.clone(),
        );
        registry.register("labels", "Labels taken in by outcome", metrics.labels.clone());
        registry.register(
            "reports",
            "Verdicts on windows by outcome; repeated are those given before",
            metrics.reports.clone(),
        );
        registry.register(
            "expired_rows",
            "Rows of counts and labels deleted because of their age",
            metrics.expired_rows.clone(),
        );
        registry.register(
            "database_up",
            "1 where PostgreSQL answers, else 0",
            metrics.database_up.clone(),
        );
        registry.register(
            "store_up",
            "1 where the artifact store answers, else 0",
            metrics.store_up.clone(),
        );
        // A series that is absent until its first event hides that event from `rate`.
        for outcome in [
            "accepted",
            "cached",
            "unauthenticated",
            "forbidden",
            "unavailable",
        ] {
            drop(metrics.proofs.get_or_create(&OutcomeLabels { outcome }));
        }
        for (family, outcomes) in [
            (&metrics.totals, &["kept", "repeated", "late", "refused"][..]),
            (&metrics.labels, &["accepted", "repeated", "contradicted"]),
            (
                &metrics.reports,
                &["drift", "no_drift", "insufficient_data", "repeated"],
            ),
        ] {
            for outcome in outcomes {
                drop(family.get_or_create(&OutcomeLabels { outcome }));
            }
        }
        for kind in ["blob", "manifest"] {
            drop(metrics.received.get_or_create(&KindLabels { kind }));
            drop(metrics.sent.get_or_create(&KindLabels { kind }));
        }
        metrics
    }

    pub(crate) fn proof(&self, outcome: &'static str) {
        self.proofs.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn label(&self, outcome: &'static str) {
        self.labels.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn report(&self, outcome: &'static str) {
        self.reports.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn latency() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
    ])
}
