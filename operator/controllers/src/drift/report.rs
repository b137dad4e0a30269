//! One report: its verdict, requested once, and the proposal because of it.
//!
//! The process may end after any of the writes: verdict, proposal in the model's record, action, status of the report. A later call
//! finds what was done, by names that are derived from the report's uid.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Resource as _, ResourceExt as _,
    api::ListParams,
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    action::{build, kinds::facts},
    conditions,
    drift::{self, Decision, Proposed, Step, Validated, World},
    model,
    reason::Reason,
    record::proposals,
};
use modelward_crds::{
    ConditionType, DriftReport, DriftReportStatus, DriftVerdict, Model, ModelVersion, RemediationAction,
    ReportProposal, Season, labels,
};
use modelward_service::chain;
use modelward_wire::shorten;

use super::{
    models::drifting,
    reads::{RESYNC, reports_of, until, version_named},
};
use crate::{
    Context, Error,
    api::{
        Env, NamespacedName, apply,
        create::{Created, create, refusal},
        events,
    },
    cache::report::CachedReport,
    ledger::JUDGE_TIMEOUT,
    runtime::backoff::jittered,
};

/// The delay before a ledger that did not answer is asked again, and before an expected verdict is looked up.
const SOON: Duration = Duration::from_secs(10);
/// The longest message of a proposal that the schema accepts.
const MESSAGE: usize = 512;
/// A bundle that is missing may be restored, and a quota raised.
const LATER: Duration = Duration::from_mins(5);

/// Advances one report: its verdict, then the response.
pub(crate) async fn reconcile(cached: Arc<CachedReport>, ctx: Arc<Context>) -> Result<Action, Error> {
    // A complete report never changes again, so it need not be read.
    if cached.complete {
        return Ok(Action::await_change());
    }
    let name = NamespacedName::of(&*cached);
    let Some(report) = apply::fresh::<DriftReport>(&ctx.env, &name).await? else {
        return Ok(Action::await_change());
    };
    let NamespacedName { namespace, .. } = name;
    if report.metadata.deletion_timestamp.is_some() || drift::is_complete(&report) {
        return Ok(Action::await_change());
    }
    let version = version_named(&ctx.env, &namespace, &report.spec.version).await?;
    let is_judged = report
        .status
        .as_ref()
        .is_some_and(|status| status.verdict.is_some());
    let model = match &version {
        // The time since which it serves matters if whole seasons are compared.
        Some(version) if !is_judged && version.spec.monitoring.season != Season::None => {
            let (api, name) = (
                Api::<Model>::namespaced(ctx.env.client.clone(), &namespace),
                &version.spec.model,
            );
            ctx.env
                .call(format!("read Model {name}"), api.get_opt(name))
                .await?
        }
        _ => None,
    };
    let now = ctx.env.now();
    let mut valid = drift::validate(report)?;
    match (
        drift::step(&valid, version.as_ref(), model.as_ref(), now),
        &version,
    ) {
        (Step::Wait { status, until: then }, _) => {
            write(&ctx.env, valid, *status).await?;
            let wait = then.map_or(jittered(RESYNC), |then| until(then, now).min(jittered(RESYNC)));
            return Ok(Action::requeue(wait));
        }
        (Step::Ask(request), Some(version)) => {
            let judging = ctx.env.ledger.within(JUDGE_TIMEOUT);
            match judging.drift_report(&namespace, valid.uid(), &request).await {
                Ok(result) => {
                    // The time when drift began matters if a retraining accepts a season.
                    let others = match version.spec.monitoring.season {
                        Season::None => Vec::new(),
                        Season::Day | Season::Week => {
                            reports_of(&ctx.env, &namespace, &version.spec.model).await?
                        }
                    };
                    let status = drift::verdict_status(valid.report(), version, &result, &others, now);
                    valid = write(&ctx.env, valid, status).await?;
                }
                Err(error) => {
                    ctx.env.metrics.ledger_failed();
                    let report = valid.report();
                    let (status, wait) = match error.refusal() {
                        Some((code, words)) => (drift::refused_status(report, code, words, now), LATER),
                        None => (drift::away_status(report, &chain(&error), now), SOON),
                    };
                    write(&ctx.env, valid, status).await?;
                    return Ok(Action::requeue(jittered(wait)));
                }
            }
        }
        (Step::Ask(_) | Step::Done, _) => {}
    }
    if drifted(valid.report()) {
        let settled = version
            .as_ref()
            .map(|version| drift::settled_at(valid.report(), version));
        if let Some(settled) = settled.filter(|settled| now < *settled) {
            return Ok(Action::requeue(until(settled, now)));
        }
        if let Some(wait) = propose(&ctx, &namespace, &valid, version.as_ref()).await? {
            return Ok(Action::requeue(jittered(wait)));
        }
    }
    Ok(Action::await_change())
}

/// Writes the status and publishes Events about the changes.
async fn write(env: &Env, valid: Validated, status: DriftReportStatus) -> Result<Validated, Error> {
    let report = valid.report();
    let old = report.status.as_ref();
    let Some(written) = apply::status(env, report, old, &status).await? else {
        return Ok(valid);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let judged = old.is_none_or(|status| status.verdict.is_none());
    match status.verdict.filter(|_| judged) {
        Some(verdict) => {
            env.metrics.judged(verdict);
            let type_ = if verdict == DriftVerdict::Drift {
                EventType::Warning
            } else {
                EventType::Normal
            };
            let succeeded = conditions::find(&status.conditions, ConditionType::Succeeded);
            if let Some((succeeded, reason)) =
                succeeded.and_then(|found| Some((found, conditions::reason(found)?)))
            {
                let (about, note) = (report.object_ref(&()), succeeded.message.clone());
                events::publish(env, &about, type_, reason, "Judge", note).await;
            }
        }
        None => events::conditions_changed(env, report, before, &status.conditions).await,
    }
    Ok(valid.written(written))
}

// === proposals ===

/// Decides on the response to drift, and carries it out. Returns when to check again if that has to wait for the verdict on a newer
/// window, or because the API server rejects the action.
async fn propose(
    ctx: &Context,
    namespace: &str,
    valid: &Validated,
    version: Option<&ModelVersion>,
) -> Result<Option<Duration>, Error> {
    let (env, report) = (&ctx.env, valid.report());
    let name = version.map_or_else(
        || report.labels().get(labels::MODEL).cloned(),
        |version| Some(version.spec.model.clone()),
    );
    let model = match &name {
        Some(name) => {
            let api = Api::<Model>::namespaced(env.client.clone(), namespace);
            env.call(format!("read Model {name}"), api.get_opt(name)).await?
        }
        None => None,
    };
    let Some(about) = model.map(model::validate).transpose()? else {
        let message = format!("there is no model of {} any more", report.spec.version);
        close(env, report, Reason::NotServing, message, None, "None").await?;
        return Ok(None);
    };
    let model = about.model();
    let reports = reports_of(env, namespace, about.name()).await?;
    let actions = env
        .actions_of(namespace, about.name(), model.metadata.uid.as_deref())
        .await?;
    let now = env.now();
    let world = World {
        report: valid,
        model,
        retrains: version.is_some_and(|version| version.spec.retraining.is_some()),
        season: version.map_or(Season::None, |version| version.spec.monitoring.divided_season()),
        settled_until: drift::settled_until(version, now),
        reports: &reports,
        actions: &actions,
        drifting: drifting(env, &ctx.cache.reports, namespace).await?,
        retrainings: retrainings(env, namespace).await?,
        policy: &env.config.policy,
    };
    match drift::propose(&world, now) {
        Decision::Nothing => {}
        Decision::Wait => return Ok(Some(SOON)),
        Decision::Kept { reason, message } => close(env, report, reason, message, None, "None").await?,
        Decision::Propose(proposed) => {
            let action = action_of(env, &about, &proposed).await?;
            // Before the proposal is recorded: a rejected action uses no budget.
            if let Some(why) = refusal(env, namespace, &action).await? {
                refused(env, report, &proposed.name, &chain(&why)).await?;
                return Ok(Some(LATER));
            }
            remember(env, model, valid, &proposed).await?;
            let made = make(env, namespace, model, valid, &proposed, &action).await?;
            let type_ = proposed.spec.action.as_str();
            if made {
                let Proposed {
                    name,
                    reason,
                    message,
                    ..
                } = *proposed;
                close(env, report, reason, message, Some(name), type_).await?;
                return Ok(None);
            }
            let message = format!(
                "RemediationAction {} already exists with a different cause",
                proposed.name
            );
            close(env, report, Reason::NameTaken, message, None, "None").await?;
        }
    }
    Ok(None)
}

/// Retrainings that were proposed within a day for the models of the namespace.
async fn retrainings(env: &Env, namespace: &str) -> Result<usize, Error> {
    let models = env.list::<Model>(Some(namespace), &ListParams::default()).await?;
    Ok(drift::retrainings_within_a_day(&models, env.now()))
}

/// Records the proposal in the model before the action is created, so that guard rails hold even if the action is deleted.
async fn remember(env: &Env, model: &Model, report: &Validated, proposed: &Proposed) -> Result<(), Error> {
    let mut status = model.status.clone().unwrap_or_default();
    let known = |one: &modelward_crds::Proposal| one.cause == report.uid();
    if status.proposals.iter().any(known) {
        return Ok(());
    }
    let now = env.now();
    status.proposals = proposals::remember(
        &status.proposals,
        proposed.remembered(report, now),
        now,
        |action| facts(action).budgeted,
    );
    // With the resourceVersion of the decision: of two reports that decide at the same time, one has to decide again.
    apply::status(env, model, model.status.as_ref(), &status).await?;
    Ok(())
}

/// The action to create.
async fn action_of(
    env: &Env,
    model: &model::Validated,
    proposed: &Proposed,
) -> Result<RemediationAction, Error> {
    let proposer = env.whoami().await?;
    Ok(build::action(
        &proposed.name,
        model,
        proposer,
        proposed.spec.clone(),
    ))
}

/// Writes to the report that its action is rejected.
async fn refused(env: &Env, report: &DriftReport, name: &str, why: &str) -> Result<(), Error> {
    let mut status = report.status.clone().unwrap_or_default();
    let message = format!("RemediationAction {name} is rejected; retrying every few minutes: {why}");
    let message = shorten(&message, MESSAGE);
    status.proposal = Some(ReportProposal {
        reason: Reason::ActionRefused.to_string(),
        message: message.clone(),
        action: None,
    });
    if apply::status(env, report, report.status.as_ref(), &status)
        .await?
        .is_some()
    {
        env.metrics.proposed("None", Reason::ActionRefused);
        let (about, reason) = (report.object_ref(&()), Reason::ActionRefused);
        events::publish(env, &about, EventType::Warning, reason, "Propose", message).await;
    }
    Ok(())
}

/// Creates the action, and returns whether the action of that name is this one.
async fn make(
    env: &Env,
    namespace: &str,
    model: &Model,
    report: &Validated,
    proposed: &Proposed,
    action: &RemediationAction,
) -> Result<bool, Error> {
    let name = &proposed.name;
    match create(env, namespace, action).await? {
        Created::Made(_) => {
            let note = format!("{}: {}", proposed.spec.action.as_str(), proposed.message);
            let about = model.object_ref(&());
            events::publish(env, &about, EventType::Warning, proposed.reason, "Propose", note).await;
            Ok(true)
        }
        Created::Exists(_) => {
            let api = Api::<RemediationAction>::namespaced(env.client.clone(), namespace);
            let read = api.get_opt(name);
            let found = env.call(format!("read RemediationAction {name}"), read).await?;
            // It existed and was deleted in the meantime.
            Ok(found.is_none_or(|found| {
                let mut evidence = found.spec.evidence.iter();
                evidence.any(|evidence| evidence.uid == report.uid())
            }))
        }
    }
}

/// Writes the result to the report, which completes it.
async fn close(
    env: &Env,
    report: &DriftReport,
    reason: Reason,
    message: String,
    action: Option<String>,
    type_: &'static str,
) -> Result<(), Error> {
    let mut status = report.status.clone().unwrap_or_default();
    status.proposal = Some(ReportProposal {
        reason: reason.to_string(),
        message,
        action,
    });
    apply::status(env, report, report.status.as_ref(), &status).await?;
    env.metrics.proposed(type_, reason);
    Ok(())
}

// === small ===

fn drifted(report: &DriftReport) -> bool {
    let verdict = report.status.as_ref().and_then(|status| status.verdict);
    verdict == Some(DriftVerdict::Drift)
}
