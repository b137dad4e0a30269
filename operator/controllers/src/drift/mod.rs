//! The controllers of `DriftReport`s: closed windows, their verdicts, and proposals because of them.

mod reads;
mod report;
mod schedule;

pub(crate) use report::drifting;

use futures::{FutureExt as _, StreamExt as _, future::ready};
use kube::{
    ResourceExt as _,
    runtime::{Config as ControllerConfig, Controller, reflector::ObjectRef},
};
use modelward_crds::{DriftReport, Model, ModelVersion, labels};

use crate::{
    guarded::CONCURRENCY,
    metrics::ControllerName,
    reconcile::{guarded, key, policy},
    watch::Watching,
};

/// Watches, and reconciles until `stopped`.
pub(crate) async fn run(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let stopped = stopped.shared();
    tokio::join!(schedules(watching, stopped.clone()), reports(watching, stopped));
}

/// For each model, the windows that closed.
async fn schedules(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<Model, _>(|ctx, model| {
        ctx.schedules_backoff.succeeded(&key(model));
        let namespace = model.namespace().unwrap_or_default();
        ctx.metrics.drifted(&namespace, &model.name_any(), None);
    });
    let reports = watching.objects_metadata::<DriftReport>(labels::MODEL);

    Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .watches_stream(reports, |report| {
            let model = report.labels().get(labels::MODEL)?;
            Some(ObjectRef::new(model).within(&report.namespace()?))
        })
        .graceful_shutdown_on(stopped)
        .run(
            |object, ctx| async move {
                guarded(
                    &object,
                    &ctx,
                    ControllerName::DriftSchedule,
                    &ctx.schedules_backoff,
                    schedule::reconcile,
                )
                .await
            },
            |object, error, ctx| {
                policy(
                    &*object,
                    error,
                    &ctx,
                    ControllerName::DriftSchedule,
                    &ctx.schedules_backoff,
                )
            },
            ctx,
        )
        .for_each(|_| ready(()))
        .await;
}

/// For each report, its verdict and the response to it.
async fn reports(watching: &Watching, stopped: impl Future<Output = ()> + Send + Sync + 'static) {
    let ctx = watching.ctx.clone();
    let (reader, primary) = watching.primary::<DriftReport, _>(|ctx, report| {
        ctx.reports_backoff.succeeded(&key(report));
    });
    let versions = watching.objects_metadata::<ModelVersion>("");

    // The number of drifting models is computed from this store, not from a list.
    let _ = ctx.reports.set(reader.clone());
    let of_version = reader.clone();
    Controller::for_stream(primary, reader)
        .with_config(ControllerConfig::default().concurrency(CONCURRENCY))
        .watches_stream(versions, move |version| {
            let (namespace, name) = (version.namespace().unwrap_or_default(), version.name_any());
            let waits = |report: &DriftReport| {
                let judged = report
                    .status
                    .as_ref()
                    .is_some_and(|status| status.verdict.is_some());
                !judged
                    && report.spec.version == name
                    && report.metadata.namespace.as_deref() == Some(&namespace)
            };
            let state = of_version.state();
            let waiting = state.iter().filter_map(|report| report.0.as_ref().ok());
            waiting
                .filter(|report| waits(report))
                .map(|report| ObjectRef::new(&report.name_any()).within(&namespace))
                .collect::<Vec<_>>()
        })
        .graceful_shutdown_on(stopped)
        .run(
            |object, ctx| async move {
                Box::pin(guarded(
                    &object,
                    &ctx,
                    ControllerName::DriftReport,
                    &ctx.reports_backoff,
                    report::reconcile,
                ))
                .await
            },
            |object, error, ctx| {
                policy(
                    &*object,
                    error,
                    &ctx,
                    ControllerName::DriftReport,
                    &ctx.reports_backoff,
                )
            },
            ctx,
        )
        .for_each(|_| ready(()))
        .await;
}
