//! What has to hold of a report before anything is decided about it.

use modelward_crds::DriftReport;

/// A report that the API server has stored, so that a verdict and a proposal can name it. Decisions take this, so that none of them has
/// to check it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Validated {
    report: DriftReport,
    uid: String,
}

/// Why nothing can be decided about a report.
///
/// Its interval is not checked here: the schema rejects one that is empty, and [`bounds`](super::schedule) is the one place that reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It has no uid. Names of proposals derive from it.
    #[error("the report has no metadata.uid")]
    NoUid,
}

/// Checks a report once for every decision.
pub fn validate(report: DriftReport) -> Result<Validated, Invalid> {
    let uid = report.metadata.uid.clone().ok_or(Invalid::NoUid)?;
    Ok(Validated { report, uid })
}

// === impl Validated ===

impl Validated {
    /// The object.
    pub fn report(&self) -> &DriftReport {
        &self.report
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The same report as a write returned it. Writes name the uid, so it is the same object.
    #[must_use]
    pub fn written(self, report: DriftReport) -> Self {
        Self { report, ..self }
    }
}
