//! What was counted of a model's traffic, and what its predictions turned out to be.

use modelward_profile::CountsBatch;
use modelward_wire::{FeedbackOutcome, FeedbackRecord, paths};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    client::{Client, Request},
    error::Error,
};

/// What became of a label.
#[derive(Deserialize)]
struct Kept {
    outcome: FeedbackOutcome,
}

impl Client {
    /// Reports what was counted by now. Reporting it twice does no harm.
    pub async fn put_counts(&self, namespace: &str, model: &str, batch: &CountsBatch) -> Result<(), Error> {
        let path = paths::counts(namespace, model);
        self.tell(&Request::json(Method::PUT, "counts", path, batch)?)
            .await
    }

    /// Reports a label. Reporting it twice does no harm.
    pub async fn post_feedback(
        &self,
        namespace: &str,
        model: &str,
        record: &FeedbackRecord,
    ) -> Result<FeedbackOutcome, Error> {
        let path = paths::feedback(namespace, model);
        let kept: Kept = self
            .ask_json(&Request::json(Method::POST, "feedback", path, record)?)
            .await?;
        Ok(kept.outcome)
    }
}
