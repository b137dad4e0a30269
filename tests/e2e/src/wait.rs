//! Waiting for conditions of Modelward's objects.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Resource};
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction};
use modelward_kit::wait::until_so;
use serde::{Serialize, de::DeserializeOwned};

/// What has conditions.
pub trait Conditions:
    Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// The conditions of its status.
    fn conditions(&self) -> &[Condition];

    /// The condition of this type.
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

/// Waits until a condition has this status and this reason, and gives it. The error has the status of the object as it was
/// at last.
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
    Ok(condition.context("a condition that was there is gone")?.clone())
}
