//! Reads the world of an action: the model, its versions and its other actions, the data, reports, the admission
//! policies. Reads only, apart from a dry run.

use kube::{Api, ResourceExt as _, api::ListParams};
use modelward_core::{
    action::{self, GateSeen, InFlight, World, kinds},
    attempt::{DatasetSeen, JobSeen},
    objects,
    results::{Asked, Work},
};
use modelward_crds::{DriftReport, Model, ModelVersion, RemediationAction};
use modelward_wire::JobStage;

use crate::{
    Context, Error,
    api::Env,
    drift, gate,
    jobs::{self, JobOwner},
};

/// Reads everything that a decision about this action needs.
pub async fn world(ctx: &Context, action: &RemediationAction, owner: &JobOwner) -> Result<World, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let name = &action.spec.model;
    let of_model = ListParams::default().fields(&format!("spec.model={name}"));
    let models = Api::<Model>::namespaced(ctx.env.client.clone(), &namespace);
    // The record is read last: its resourceVersion guards the decision.
    let actions = ctx
        .env
        .list::<RemediationAction>(Some(&namespace), &of_model)
        .await?;
    let versions = ctx.env.list::<ModelVersion>(Some(&namespace), &of_model).await?;
    let ended = objects::has_ended(action);
    let status = action.status.clone().unwrap_or_default();
    let gate = if ended || status.execution.is_some() {
        GateSeen::default()
    } else {
        gate::seen(&ctx.env, action).await?
    };
    let in_flight = if action::counts_others(action, ctx.env.now()) {
        Some(in_flight(&ctx.env, action).await?)
    } else {
        None
    };
    let drifting = if action::asks_for_drift(action) {
        Some(drift::drifting(&ctx.env, &ctx.cache.reports, &namespace).await?)
    } else {
        None
    };
    let reports = if ended {
        Vec::new()
    } else {
        reports(&ctx.env, &namespace, action).await?
    };
    let window = if ended {
        None
    } else {
        window(&ctx.env, &namespace, action).await?
    };
    let model = ctx
        .env
        .call(format!("read Model {name}"), models.get_opt(name))
        .await?;
    let reading = kinds::facts(action.spec.action).reads_data && !ended && status.snapshot.is_none();
    let (dataset, job) = match &model {
        Some(model) if reading => Box::pin(data(ctx, action, owner, model, &versions)).await?,
        _ => (DatasetSeen::Present(String::new()), JobSeen::Missing),
    };
    Ok(World {
        policy: ctx.env.config.policy.clone(),
        allowed_trainers: ctx.env.config.allowed_trainers.clone(),
        model,
        versions,
        actions,
        window,
        reports,
        dataset,
        // This controller does not watch the data.
        watched: false,
        job,
        obstacle: None,
        gate,
        in_flight,
        drifting,
        operator: ctx.env.whoami().await?.to_owned(),
        number: None,
        delivered: false,
    })
}

async fn data(
    ctx: &Context,
    action: &RemediationAction,
    owner: &JobOwner,
    model: &Model,
    versions: &[ModelVersion],
) -> Result<(DatasetSeen, JobSeen), Error> {
    let version =
        action::target(action, model, versions).and_then(|target| action::snapshot_version(action, target));
    let dataset = match version
        .as_ref()
        .and_then(|version| version.spec.source.training.as_ref())
    {
        Some(training) => {
            let read = serde_json::to_string(training).unwrap_or_default();
            jobs::dataset_seen(&ctx.env, &owner.namespace, training.datasets())
                .await?
                .read_as(&read)
        }
        None => DatasetSeen::Present(String::new()),
    };
    let attempt = action
        .status
        .as_ref()
        .and_then(|status| status.snapshot_attempt.as_ref())
        .filter(|attempt| !attempt.finished);
    let asked = version.as_ref().and_then(|version| {
        let asked = Asked {
            model: &version.spec.model,
            work: Work::Training {
                training: version.spec.source.training.as_ref()?,
                snapshot: None,
            },
        };
        Some((asked, version))
    });
    let job = match (attempt, asked) {
        (Some(attempt), Some((asked, version))) => {
            let stage = JobStage::Snapshot;
            Box::pin(jobs::seen(
                &ctx.env,
                &ctx.writes,
                owner,
                stage,
                attempt,
                &asked,
                version,
            ))
            .await?
        }
        _ => JobSeen::Missing,
    };
    Ok((dataset, job))
}

/// The report whose window would become the reference, until a plan contains it.
async fn window(
    env: &Env,
    namespace: &str,
    action: &RemediationAction,
) -> Result<Option<DriftReport>, Error> {
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let Some(report) = &action.spec.accept_window else {
        return Ok(None);
    };
    if plan.is_some_and(|plan| plan.reference.is_some()) {
        return Ok(None);
    }
    let api = Api::<DriftReport>::namespaced(env.client.clone(), namespace);
    env.call(
        format!("read DriftReport {}", report.name),
        api.get_opt(&report.name),
    )
    .await
}

/// Reports of the promoted version, while it is monitored.
async fn reports(env: &Env, namespace: &str, action: &RemediationAction) -> Result<Vec<DriftReport>, Error> {
    let status = action.status.clone().unwrap_or_default();
    let watched = status
        .execution
        .is_some_and(|execution| execution.routed_at.is_some());
    let routes = status.plan.map(|plan| plan.planned_routes).unwrap_or_default();
    let mut reports = Vec::new();
    for route in routes.iter().filter(|_| watched) {
        let of_version = ListParams::default().fields(&format!("spec.version={}", route.version));
        reports.extend(env.list::<DriftReport>(Some(namespace), &of_version).await?);
    }
    Ok(reports)
}

/// Other models that actions are changing now.
async fn in_flight(env: &Env, action: &RemediationAction) -> Result<InFlight, Error> {
    let models = env.list::<Model>(None, &ListParams::default()).await?;
    Ok(action::in_flight(&models, action, &env.config.policy, env.now()))
}
