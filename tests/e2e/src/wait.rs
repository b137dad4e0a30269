//! Waiting for asynchronous changes.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Resource};
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction};
use modelward_kit::wait::{self, until_so};
use serde::{Serialize, de::DeserializeOwned};

/// Time between two attempts of [`until`].
const AGAIN: Duration = Duration::from_millis(250);

/// Repeats `ask` until it returns a value. A failed attempt is repeated; the error contains the last failure.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let mut failure = None;
    let answer = wait::until(what, patience, async || {
        match ask().await {
            Ok(Some(answer)) => return Ok(Some(answer)),
            Ok(None) => failure = None,
            Err(error) => failure = Some(error),
        }
        tokio::time::sleep(AGAIN).await;
        Ok(None)
    })
    .await;
    match failure {
        Some(failure) => answer.with_context(|| format!("the last attempt failed: {failure:#}")),
        None => answer,
    }
}

/// Objects with conditions.
pub trait Conditions:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// The conditions of its status.
    fn conditions(&self) -> &[Condition];

    /// The condition with this type.
    fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        let mut conditions = self.conditions().iter();
        conditions.find(|condition| condition.type_ == kind.as_str())
    }
}

impl Conditions for ModelVersion {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Conditions for Model {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

impl Conditions for RemediationAction {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }
}

/// Waits until a condition has this status and this reason, and returns it. The error contains the last status of the object.
pub async fn await_condition<K: Conditions>(
    api: Api<K>,
    name: &str,
    kind: ConditionType,
    (status, reason): (&str, &str),
    patience: Duration,
) -> Result<Condition> {
    let is_so = |object: &K| {
        object
            .condition(kind)
            .is_some_and(|condition| condition.status == status && condition.reason == reason)
    };
    let what = format!("{}={status} {reason}", kind.as_str());
    let object = until_so(api, name, &what, patience, is_so).await?;
    let condition = object.condition(kind);
    Ok(condition.context("an existing condition is missing")?.clone())
}
