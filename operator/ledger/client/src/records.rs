//! Records: how Jobs ended and how far they are, versions, verdicts on traffic.

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

/// A verdict that was given before.
#[derive(Deserialize)]
struct Given {
    result: ReportResult,
}

impl Client {
    /// What the Job of this uid left.
    pub async fn job_result(&self, namespace: &str, job: &str) -> Result<JobResult, Error> {
        self.ask_json(&Request::get("job result", paths::job_result(namespace, job)))
            .await
    }

    /// Records the end of the Job of this uid.
    pub async fn put_job_result(&self, namespace: &str, job: &str, result: &JobResult) -> Result<(), Error> {
        let path = paths::job_result(namespace, job);
        self.tell(&Request::json(Method::PUT, "job result", path, result)?)
            .await
    }

    /// How far the Job of this uid is.
    pub async fn progress(&self, namespace: &str, job: &str) -> Result<Progress, Error> {
        self.ask_json(&Request::get("progress", paths::job_progress(namespace, job)))
            .await
    }

    /// Records how far the Job of this uid is.
    pub async fn put_progress(&self, namespace: &str, job: &str, progress: &Progress) -> Result<(), Error> {
        let path = paths::job_progress(namespace, job);
        self.tell(&Request::json(Method::PUT, "progress", path, progress)?)
            .await
    }

    /// A round of a search that a Job of the same version as this one made.
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

    /// Keeps a round of a search until the searches of the version are forgotten. The first one of a number stays.
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

    /// Deletes all rounds of searches that Jobs of the same version as this one made.
    pub async fn forget_searches(&self, namespace: &str, job: &str) -> Result<(), Error> {
        let path = paths::searches(namespace, job);
        self.tell(&Request::delete("searches", path)).await
    }

    /// Records the version of this uid. Recording it twice does no harm.
    pub async fn put_version(&self, namespace: &str, uid: &str, record: &VersionRecord) -> Result<(), Error> {
        let path = paths::model_version(namespace, uid);
        self.tell(&Request::json(Method::PUT, "version", path, record)?)
            .await
    }

    /// What was published of the version of this uid to MLflow.
    pub async fn publication(&self, namespace: &str, uid: &str) -> Result<PublicationRecord, Error> {
        self.ask_json(&Request::get("publication", paths::publication(namespace, uid)))
            .await
    }

    /// The verdict on one window. The first one that is given for a uid is given again.
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
            // It was judged before, and its version's tolerances were changed since: the verdict that was given is the one.
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
