//! Records: results and progress of Jobs, versions, and verdicts on traffic.

use modelward_wire::{
    Digest, JobResult, Progress, PublicationRecord, ReportRequest, ReportResult, SearchRound, VersionRecord,
    paths,
};
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::{
    client::{Client, Request},
    error::Error,
};

/// A verdict that was given earlier.
#[derive(Deserialize)]
struct Given {
    result: ReportResult,
}

impl Client {
    /// The result of the Job with this uid.
    pub async fn job_result(&self, namespace: &str, job: &str) -> Result<JobResult, Error> {
        self.ask_json(&Request::get("job result", paths::job_result(namespace, job)))
            .await
    }

    /// Stores the result of the Job with this uid.
    pub async fn put_job_result(&self, namespace: &str, job: &str, result: &JobResult) -> Result<(), Error> {
        let path = paths::job_result(namespace, job);
        self.tell(&Request::json(Method::PUT, "job result", path, result)?)
            .await
    }

    /// The progress of the Job with this uid.
    pub async fn progress(&self, namespace: &str, job: &str) -> Result<Progress, Error> {
        self.ask_json(&Request::get("progress", paths::job_progress(namespace, job)))
            .await
    }

    /// Stores the progress of the Job with this uid.
    pub async fn put_progress(&self, namespace: &str, job: &str, progress: &Progress) -> Result<(), Error> {
        let path = paths::job_progress(namespace, job);
        self.tell(&Request::json(Method::PUT, "progress", path, progress)?)
            .await
    }

    /// A round of a search that a Job of the same version stored.
    pub async fn search_round(
        &self,
        namespace: &str,
        job: &str,
        search: &Digest,
        round: u32,
    ) -> Result<SearchRound, Error> {
        let path = paths::search_round(namespace, job, search, round);
        self.ask_json(&Request::get("round of a search", path)).await
    }

    /// Stores a round of a search until the searches of the version are deleted. The first round with a number stays.
    pub async fn put_search_round(
        &self,
        namespace: &str,
        job: &str,
        search: &Digest,
        round: u32,
        kept: &SearchRound,
    ) -> Result<(), Error> {
        let path = paths::search_round(namespace, job, search, round);
        self.tell(&Request::json(Method::PUT, "round of a search", path, kept)?)
            .await
    }

    /// Deletes all rounds of searches of Jobs of the same version.
    pub async fn forget_searches(&self, namespace: &str, job: &str) -> Result<(), Error> {
        let path = paths::searches(namespace, job);
        self.tell(&Request::delete("searches", path)).await
    }

    /// Records the version with this uid. It is safe to repeat this.
    pub async fn put_version(&self, namespace: &str, uid: &str, record: &VersionRecord) -> Result<(), Error> {
        let path = paths::model_version(namespace, uid);
        self.tell(&Request::json(Method::PUT, "version", path, record)?)
            .await
    }

    /// The publication of the version with this uid to MLflow.
    pub async fn publication(&self, namespace: &str, uid: &str) -> Result<PublicationRecord, Error> {
        self.ask_json(&Request::get("publication", paths::publication(namespace, uid)))
            .await
    }

    /// The verdict on one window. Later calls with the same uid get the first verdict.
    pub async fn drift_report(
        &self,
        namespace: &str,
        uid: &str,
        request: &ReportRequest,
    ) -> Result<ReportResult, Error> {
        let what = "drift report";
        let path = paths::drift_report(namespace, uid);
        let put = Request::json(Method::PUT, what, path.clone(), request)?;
        match self.ask_json(&put).await {
            // It was judged before, and the tolerances of its version have changed since. The first verdict counts.
            Err(Error::Refused {
                status: StatusCode::CONFLICT,
                ..
            }) => {
                let given: Given = self.ask_json(&Request::get(what, path)).await?;
                Ok(given.result)
            }
            answer => answer,
        }
    }
}
