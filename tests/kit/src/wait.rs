//! Waiting for asynchronous changes.

use std::{fmt::Debug, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use kube::{Api, Resource, runtime::wait::await_condition};
use serde::{Serialize, de::DeserializeOwned};

/// Time between two attempts.
const AGAIN: Duration = Duration::from_millis(25);

/// Repeats `ask` until it returns a value.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let asked = tokio::time::timeout(patience, async {
        loop {
            if let Some(answer) = ask().await? {
                return anyhow::Ok(answer);
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    asked
        .await
        .with_context(|| format!("{what}: not within {patience:?}"))?
}

/// Waits until the object matches. The error contains its current state.
pub async fn until_so<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    patience: Duration,
    is_so: impl Fn(&K) -> bool + Send,
) -> Result<K>
where
    K: Resource<DynamicType = ()>,
    K: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let condition = |object: Option<&K>| object.is_some_and(&is_so);
    let waited = tokio::time::timeout(patience, await_condition(api.clone(), name, condition)).await;
    if let Ok(waited) = waited {
        return waited?.context("a matching object exists");
    }
    let found = api.get_opt(name).await?;
    let found = found.map(serde_json::to_value).transpose()?;
    let found = found.map(|found| serde_json::to_string_pretty(&found["status"]).unwrap_or_default());
    let kind = K::kind(&());
    bail!(
        "{kind} {name}: not {what} within {patience:?}; it is {}",
        found.as_deref().unwrap_or("not there")
    )
}

/// Waits until no object with this name exists.
pub async fn until_gone<K>(api: Api<K>, name: &str, patience: Duration) -> Result<()>
where
    K: Resource<DynamicType = ()>,
    K: DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let is_gone = |object: Option<&K>| object.is_none();
    let waited = tokio::time::timeout(patience, await_condition(api, name, is_gone)).await;
    ensure!(
        waited.is_ok(),
        "{} {name} is still there after {patience:?}",
        K::kind(&())
    );
    Ok(())
}
