//! Creates reports on the windows of one model as they close, and deletes old ones.

use std::sync::Arc;

use kube::{Api, ResourceExt as _, runtime::controller::Action};
use modelward_core::{
    drift::{self, DueWindow},
    model::{self, Validated},
};
use modelward_crds::{DriftReport, DriftReportSpec, Model, labels};

use super::reads::{RESYNC, reports_of, until, version_named};
use crate::{
    Context, Error,
    api::{Env, Guarded, NamespacedName, apply, create::create},
    cache::model::CachedModel,
    runtime::backoff::jittered,
};

/// Creates the reports that are due and deletes those beyond the limit.
pub(crate) async fn reconcile(cached: Arc<CachedModel>, ctx: Arc<Context>) -> Result<Action, Error> {
    let NamespacedName { namespace, .. } = NamespacedName::of(&*cached);
    let Some(model) = apply::fresh::<Model>(&ctx.env, &NamespacedName::of(&*cached)).await? else {
        return Ok(Action::await_change());
    };
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let valid = model::validate(model)?;
    let (model, name) = (valid.model(), valid.name());
    let reports = reports_of(&ctx.env, &namespace, name).await?;
    let served = model.status.as_ref().and_then(|status| status.history.first());
    let version = match served {
        Some(record) => version_named(&ctx.env, &namespace, &record.version).await?,
        None => None,
    };
    let now = ctx.env.now();
    let schedule = drift::schedule(model, version.as_slice(), &reports, now);
    for window in &schedule.due {
        make(&ctx.env, &namespace, &valid, window).await?;
    }
    prune(&ctx.env, &namespace, model, &reports).await?;
    ctx.env
        .metrics
        .drifted(&namespace, name, drifted(model, &reports));

    // Exactly then: an earlier reconcile finds nothing, and a later one is late.
    let next = schedule.next.map(|next| until(next, now));
    Ok(Action::requeue(
        next.map_or(jittered(RESYNC), |next| next.min(jittered(RESYNC))),
    ))
}

async fn make(env: &Env, namespace: &str, valid: &Validated, window: &DueWindow) -> Result<(), Error> {
    if create_report(env, namespace, valid, window, &window.name).await? {
        return Ok(());
    }
    // Created by a reconcile that the list does not include yet, or by a user who knew the name.
    let api = Api::<Guarded<DriftReport>>::namespaced(env.client.clone(), namespace);
    let what = format!("read DriftReport {}", window.name);
    let found = env.call(what, api.get_opt(&window.name)).await?;
    let readable = found.and_then(|found| found.0.ok());
    if readable.is_some_and(|found| drift::is_report_on(&found, valid.model(), window)) {
        return Ok(());
    }
    let name = format!("{}-{:08x}", window.name, rand::random::<u32>());
    tracing::info!(
        object.namespace = namespace,
        object.name = window.name,
        "DriftReport {} already exists and was not created by the operator; using {name} for this window",
        window.name
    );
    create_report(env, namespace, valid, window, &name).await?;
    Ok(())
}

/// Creates the report of a window, and returns whether the name was free.
async fn create_report(
    env: &Env,
    namespace: &str,
    valid: &Validated,
    window: &DueWindow,
    name: &str,
) -> Result<bool, Error> {
    let spec = DriftReportSpec {
        version: window.version.clone(),
        start_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(window.start),
        end_time: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(window.end),
    };
    let mut report = DriftReport::new(name, spec);
    report.owner_references_mut().push(valid.owner().clone());
    let labelled = [
        (labels::MODEL.to_owned(), valid.name().to_owned()),
        (labels::VERSION.to_owned(), window.version.clone()),
    ];
    report.labels_mut().extend(labelled);
    Ok(create(env, namespace, &report).await?.is_made())
}

/// Deletes reports beyond the limit. Actions are read only if a report may be deleted.
async fn prune(env: &Env, namespace: &str, model: &Model, reports: &[DriftReport]) -> Result<(), Error> {
    let kept = env.config.policy.reports_kept;
    if drift::prunable(model, reports, &[], kept).is_empty() {
        return Ok(());
    }
    let actions = env
        .actions_of(namespace, &model.name_any(), model.metadata.uid.as_deref())
        .await?;
    for report in drift::prunable(model, reports, &actions, kept) {
        apply::delete(env, namespace, report).await?;
    }
    Ok(())
}

/// Features that drifted in the newest window with enough rows. Windows with too few rows do not change this.
fn drifted(model: &Model, reports: &[DriftReport]) -> Option<usize> {
    let newest = reports
        .iter()
        .filter(|report| drift::is_scheduled(report, model) && drift::has_enough_rows(report))
        .max_by_key(|report| report.spec.end_time.0)?;
    let status = newest.status.as_ref()?;
    let names: std::collections::BTreeSet<_> = status.features.iter().map(|feature| &feature.name).collect();
    Some(names.len())
}
