//! The metrics of the ledger. No label has a namespace, a name or a digest, so the number of series is fixed.

pub(crate) use modelward_service::metrics::CONTENT_TYPE;

const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

const KINDS: [&str; 2] = ["blob", "manifest"];
const PROOFS: [&str; 5] = [
    "accepted",
    "cached",
    "unauthenticated",
    "forbidden",
    "unavailable",
];
const TOTALS: [&str; 4] = ["kept", "repeated", "late", "refused"];
const LABELS: [&str; 3] = ["accepted", "repeated", "contradicted"];
const PUBLICATIONS: [&str; 2] = ["published", "failed"];
const REPORTS: [&str; 4] = ["drift", "no_drift", "insufficient_data", "repeated"];

modelward_service::metrics! {
    /// The metrics of the ledger.
    pub(crate) struct Metrics in "modelward_ledger", build "The program that runs" {
        pub(crate) requests: Counter<RequestLabels> = "requests", "Requests answered";
        pub(crate) seconds: Histogram<RouteLabels>[SECONDS] = "request_duration" seconds, "Time until the head of the answer; a body may stream for longer";
        pub(crate) received: Counter<KindLabels> {kind: KINDS} zero = "artifact_received" bytes, "Artifact bytes received, including uploads that were rejected";
        pub(crate) sent: Counter<KindLabels> {kind: KINDS} zero = "artifact_sent" bytes, "Artifact bytes sent";
        pub(crate) proofs: Counter<OutcomeLabels> {outcome: PROOFS} zero = "proofs", "Authentications of callers by outcome";
        pub(crate) index_rows: Counter = "index_rows", "Rows added to the index of artifacts";
        pub(crate) totals: Counter<OutcomeLabels> {outcome: TOTALS} zero = "totals", "Totals of counts received, by outcome";
        pub(crate) labels: Counter<OutcomeLabels> {outcome: LABELS} zero = "labels", "Labels received, by outcome";
        pub(crate) reports: Counter<OutcomeLabels> {outcome: REPORTS} zero = "reports", "Verdicts on windows by outcome; `repeated` counts those given before";
        pub(crate) publications: Counter<OutcomeLabels> {outcome: PUBLICATIONS} zero = "publications", "Attempts to publish a version to MLflow, by outcome";
        pub(crate) expired_rows: Counter = "expired_rows", "Rows of counts and labels deleted because of their age";
        pub(crate) database_up: Gauge = "database_up", "1 where PostgreSQL answers, else 0";
        pub(crate) store_up: Gauge = "store_up", "1 where the artifact store answers, else 0";
    }

    pub(crate) labels RequestLabels {
        /// The route's template, such as `/v1/jobs/{namespace}/{job}/result`.
        route: String,
        method: &'static str,
        /// `2xx`, `4xx`, …
        status: &'static str,
    }

    pub(crate) labels RouteLabels {
        route: String,
        method: &'static str,
    }

    pub(crate) labels KindLabels {
        /// `blob` or `manifest`.
        kind: &'static str,
    }

    pub(crate) labels OutcomeLabels {
        outcome: &'static str,
    }
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn proof(&self, outcome: &'static str) {
        self.proofs.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn label(&self, outcome: &'static str) {
        self.labels.get_or_create(&OutcomeLabels { outcome }).inc();
    }

    pub(crate) fn report(&self, outcome: &'static str) {
        self.reports.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_of_metrics_in_the_documentation_is_current() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/ledger.md");
        modelward_service::docs::check(&page, "modelward_ledger", Metrics::TABLE).unwrap();
    }
}
