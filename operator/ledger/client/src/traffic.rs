//! Counts of a model's traffic, and labels of its predictions.

use modelward_profile::CountsBatch;
use modelward_wire::{FeedbackOutcome, FeedbackRecord, paths};
use reqwest::Method;
use serde::Deserialize;

use crate::{
    client::{Client, Request},
    error::Error,
};

/// The result for a label.
#[derive(Deserialize)]
struct Kept {
    outcome: FeedbackOutcome,
}

impl Client {
    /// Reports the current counts. It is safe to repeat this.
    pub async fn put_counts(&self, namespace: &str, model: &str, batch: &CountsBatch) -> Result<(), Error> {
        let path = paths::counts(namespace, model);
        self.tell(&Request::json(Method::PUT, "counts", path, batch)?)
            .await
    }

    /// Reports a label. It is safe to repeat this.
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
