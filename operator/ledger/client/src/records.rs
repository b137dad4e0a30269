//! Records: how Jobs ended and how far they are, versions, verdicts on traffic.

use modelward_wire::{
    JobResult, Progress, PublicationRecord, ReportRequest, ReportResult, VersionRecord, paths,
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
