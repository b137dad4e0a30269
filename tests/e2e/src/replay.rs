//! Requests for other patients, and the verdict on them.

use std::{ops::Range, time::Duration};

use anyhow::{Result, ensure};
use modelward_crds::{DriftReport, DriftReportStatus, DriftVerdict};
use serde::Deserialize;

use crate::{
    client::DATA,
    story::{SOON, Story},
    wait::until,
};

/// The columns of the Hungarian data, in the order of the file.
const COLUMNS: &str = "age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num";

/// The figures that the client prints at the end.
#[derive(Clone, Debug, Deserialize)]
pub struct Figures {
    /// Requests with a good response.
    pub answered: u64,
    /// Requests without a good response.
    pub failed: u64,
    /// Requests whose result is unknown.
    pub lost: u64,
    /// The window in which all requests were answered.
    pub window: Window,
}

/// A window of traffic.
#[derive(Clone, Debug, Deserialize)]
pub struct Window {
    /// Its end, such as `2026-01-31T12:00:00Z`.
    pub end: String,
}

// === impl Window ===

impl Window {
    /// The name of the report on this window of a version.
    pub fn report(&self, version: &str) -> String {
        let digits: String = self.end.chars().filter(char::is_ascii_digit).take(14).collect();
        let (date, time) = digits.split_at(digits.len().min(8));
        format!("{version}-{date}-{time}")
    }
}

// === impl Story ===

impl Story {
    /// Sends these patients of the Hungarian data to a model, in the order of seed 7: each once, and all in one window of this many
    /// seconds. Every request must be answered.
    pub async fn replay(&self, model: &str, patients: Range<u32>, window_seconds: i32) -> Result<Figures> {
        let url = format!("http://{model}.{}.svc/predict", self.namespace);
        let (from, count) = (patients.start.to_string(), patients.len().to_string());
        let (csv, window) = (format!("{DATA}/hungarian.csv"), window_seconds.to_string());
        let arguments = [
            "replay",
            "--url",
            &url,
            "--csv",
            &csv,
            "--columns",
            COLUMNS,
            "--leave-out",
            "num",
            "--seed",
            "7",
            "--from",
            &from,
            "--count",
            &count,
            "--entity-prefix",
            "hungarian",
            "--window-seconds",
            &window,
        ];
        let name = format!("replay-{model}-{from}");
        self.start_client(&name, model, &arguments).await?;
        let patience = SOON + Duration::from_secs(2 * u64::try_from(window_seconds)?);
        let (figures, log) = self.figures_of::<Figures>(&name, patience).await?;
        ensure!(
            figures.failed == 0 && figures.lost == 0,
            "not every patient was answered: {figures:?}\n{log}"
        );
        Ok(figures)
    }

    /// Waits for the verdict of a report.
    pub async fn awaits_verdict(&self, report: &str, patience: Duration) -> Result<DriftVerdict> {
        until(&format!("a verdict of {report}"), patience, async || {
            let status = self.report_status(report).await?;
            Ok(status.verdict)
        })
        .await
    }

    /// Waits for the action that a report leads to, and returns its name.
    pub async fn awaits_proposal(&self, report: &str) -> Result<String> {
        until(&format!("{report} leads to an action"), SOON, async || {
            let proposal = self.report_status(report).await?.proposal;
            Ok(proposal.and_then(|proposal| proposal.action))
        })
        .await
    }

    /// The status of a report; empty if it has none yet.
    pub async fn report_status(&self, report: &str) -> Result<DriftReportStatus> {
        let report = self.all::<DriftReport>().get_opt(report).await?;
        Ok(report.and_then(|report| report.status).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn a_report_has_the_name_of_its_version_and_the_end_of_its_window() {
        for end in ["2026-01-31T12:00:20Z", "2026-01-31T12:00:20.000Z"] {
            let window = Window { end: end.into() };
            assert_eq!(window.report("loop-1"), "loop-1-20260131-120020");
        }
    }
}
