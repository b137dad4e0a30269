//! One reconcile: with a time limit, counted, and retried if it fails.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt as _, runtime::controller::Action};
use modelward_service::chain;

use crate::{
    Context, Error,
    api::{Guarded, NamespacedName, error::Category},
    metrics::ControllerName,
};

/// A reconcile that takes longer is aborted and retried.
const RECONCILE_TIMEOUT: Duration = Duration::from_mins(1);

/// Reconciles an object that can be read, within the time limit, and counts it.
pub(crate) async fn guarded<K, F>(
    object: &Guarded<K>,
    ctx: &Arc<Context>,
    controller: ControllerName,
    reconcile: impl Fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()> + Clone,
    F: Future<Output = Result<Action, Error>>,
{
    let begun = Instant::now();
    ctx.env.metrics.begun(controller);
    let outcome = match &object.0 {
        Ok(object) => {
            let reconciled = Box::pin(reconcile(Arc::new(object.clone()), ctx.clone()));
            let timeout = || Error::Timeout {
                action: "reconcile".to_owned(),
                seconds: RECONCILE_TIMEOUT.as_secs(),
            };
            tokio::time::timeout(RECONCILE_TIMEOUT, reconciled)
                .await
                .unwrap_or_else(|_| Err(timeout()))
        }
        Err(invalid) => {
            ctx.env.report_unreadable(object).await;
            Err(Error::Unreadable {
                what: format!(
                    "{} {}",
                    K::kind(&()),
                    invalid.metadata.name.as_deref().unwrap_or_default()
                ),
                problem: invalid.error.clone(),
            })
        }
    };
    ctx.env.metrics.ended(
        controller,
        begun.elapsed(),
        outcome.as_ref().err().map(Error::category),
    );
    if outcome.is_ok() {
        let backoff = ctx.backoffs.of(controller);
        backoff.succeeded(&NamespacedName::of(object).to_string());
        ctx.env.metrics.failing(controller, backoff.failing());
    }
    outcome
}

/// Retries with increasing delays. A conflict only means that another client wrote first.
pub(crate) fn policy<K: Resource>(
    object: &K,
    error: &Error,
    ctx: &Context,
    controller: ControllerName,
) -> Action {
    let name = object.name_any();
    if error.category() == Category::Conflict {
        return Action::requeue(crate::runtime::backoff::jittered(Duration::from_millis(200)));
    }
    // It was reported, and only a change of the object makes a difference.
    if matches!(error, Error::Unreadable { .. }) {
        return Action::await_change();
    }
    let backoff = ctx.backoffs.of(controller);
    let delay = backoff.failed(&NamespacedName::of(object).to_string());
    ctx.env.metrics.failing(controller, backoff.failing());
    tracing::warn!(
        object.namespace = object.namespace(),
        object.name = name,
        reason = error.category().as_str(),
        "reconcile of {controller} {name} failed; retrying in {} s: {}",
        delay.as_secs(),
        chain(error)
    );
    Action::requeue(delay)
}
