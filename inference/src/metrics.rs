//! The metrics of this process.
//!
//! Every label is bounded: `route` is the pattern of a path of this program, codes are those of HTTP, versions those of
//! the routes file, features those of the bundles' schemas, and reasons and kinds are fixed words of this program.

use modelward_wire::{RouteMode, words};

use crate::ledger::Failure;

pub use modelward_service::metrics::CONTENT_TYPE;

/// From the time of one row to the time of a full batch.
const SECONDS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// The kinds of warnings.
pub const WARNING_KINDS: [&str; 2] = ["OutOfRange", "UnknownCategory"];

const ROWS: [f64; 10] = [
    1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0, 5_000.0, 10_000.0,
];

words! {
    /// Why counts are dropped.
    pub enum Dropped {
        /// The ledger refused them too often.
        Refused,
        /// Too many windows wait for the ledger.
        TooMany,
        /// What a killed process left cannot be read.
        Unreadable,
    }

    /// What became of a label, or of a request with labels.
    pub enum Feedback {
        /// The ledger keeps it.
        Accepted,
        /// The ledger had it.
        Repeated,
        /// The ledger had another one for the same prediction.
        Contradicted,
        /// A request with a wrong label.
        Refused,
        /// It could not be kept.
        Unavailable,
    }
}

modelward_service::metrics! {
    /// The numbers of this process.
    pub struct Metrics in "modelward_inference", build "The program that runs" {
        pub requests: Counter<RequestLabels> = "requests", "Requests answered, by route and status";
        pub duration: Histogram<RouteLabel>[SECONDS] = "request_duration" seconds, "Time from a request's head to its answer";
        pub in_flight: Gauge = "requests_in_flight", "Requests that are being answered";
        pub predictions: Counter<PredictionLabels> {mode: RouteMode::NAMES, class: ["0", "1"]} = "predictions", "Rows scored, by version, its mode and the class answered";
        pub batch_rows: Histogram[ROWS] = "batch_rows", "Rows of each scored request";
        pub warnings: Counter<WarningLabels> {kind: WARNING_KINDS} = "warnings", "Values scored with a warning, by version, feature and kind";
        pub warnings_omitted: Counter = "warnings_omitted", "Warnings that were counted and not described in their answer, because it had too many";
        pub shadow_dropped: Counter = "shadow_dropped", "Requests that a shadow version did not score because it was busy";
        pub ready: Gauge = "ready", "1 where predictions are answered";
        pub draining: Gauge = "draining", "1 between SIGTERM and the end";
        pub bundle_verified: Gauge<BundleLabels> = "bundle_verified", "1 where every file and the warm-up sample of the bundle were verified";
        pub fetch_failures: Counter<ReasonLabel> {reason: Failure::NAMES} = "bundle_fetch_failures", "Attempts to fetch a bundle from the ledger that failed, by reason";
        pub cache_dropped: Counter = "bundle_cache_dropped", "Damaged copies of a bundle that were dropped from the cache";
        pub ledger_reachable: Gauge = "ledger_reachable", "1 where the ledger answered the last call, 0 where it did not or was never needed";
        pub connections: Gauge = "connections", "Open connections";
        pub counting: Gauge<VersionLabel> = "counting", "1 where answered rows of the version are counted, 0 where its bundle has no usable reference";
        pub rows_uncounted: Counter<VersionLabel> = "rows_uncounted", "Answered rows that were not counted, by version";
        pub entities_full: Counter = "entities_full", "Rows that were counted without a look for repeats, because their window had too many entities";
        pub counts_durable: Gauge = "counts_durable", "1 where counts are in mapped files and outlive a crash of the process";
        pub counts_unsent: Gauge = "counts_unsent_windows", "Windows of which the ledger did not have all after the last flush";
        pub windows_dropped: Counter<ReasonLabel> {reason: Dropped::NAMES} = "counts_dropped_windows", "Windows that were dropped before the ledger had all of them, by reason";
        pub rows_dropped: Counter = "counts_dropped_rows", "Counted rows that the ledger will never have";
        pub windows_recovered: Counter = "counts_recovered_windows", "Windows that an earlier process of this Pod left behind and this one took over";
        pub flush_failures: Counter<ReasonLabel> {reason: Failure::NAMES} = "counts_flush_failures", "Messages with counts that the ledger did not take, by reason";
        pub feedback: Counter<OutcomeLabel> {outcome: Feedback::NAMES} = "feedback", "Labels, by what became of them";
        pub last_flush: FloatGauge = "counts_last_flush_timestamp" seconds, "When the ledger last had all counts, since 1970";
    }

    /// Labels of a request.
    pub labels RequestLabels {
        /// Pattern of the path, such as `/predict`.
        route: &'static str,
        /// HTTP status.
        code: u16,
    }

    /// Label of a duration.
    pub labels RouteLabel {
        /// Pattern of the path, such as `/predict`.
        route: &'static str,
    }

    /// Labels of predictions.
    pub labels PredictionLabels {
        /// Name of the `ModelVersion`.
        version: String,
        /// `Live` or `Shadow`.
        mode: &'static str,
        /// 0 or 1.
        class: u8,
    }

    /// Labels of warnings.
    pub labels WarningLabels {
        /// Name of the `ModelVersion`.
        version: String,
        /// The feature.
        feature: String,
        /// `OutOfRange` or `UnknownCategory`.
        kind: &'static str,
    }

    /// Labels of a bundle.
    pub labels BundleLabels {
        /// Name of the `ModelVersion`.
        version: String,
        /// Digest of its bundle.
        digest: String,
    }

    /// Label of a version.
    pub labels VersionLabel {
        /// Name of the `ModelVersion`.
        version: String,
    }

    /// Label of what became of labels.
    pub labels OutcomeLabel {
        /// One of [`Feedback`].
        outcome: &'static str,
    }

    /// Label of a reason.
    pub labels ReasonLabel {
        /// What went wrong, one word.
        reason: &'static str,
    }
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_table_of_metrics_in_the_documentation_is_current() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/serving.md");
        modelward_service::docs::check(&page, "modelward_inference", Metrics::TABLE).unwrap();
    }
}
