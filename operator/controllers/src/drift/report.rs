//! One report: its verdict, asked for once, and what is proposed because of it.
//!
//! The order of the writes lets any of them be the last: verdict, the model's memory of the proposal, the action, the report's
//! word on it. A later call finds what was done, by names that the report's uid fixes.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Resource as _, ResourceExt as _,
    api::ListParams,
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    action::{build, kinds::facts},
    conditions,
    drift::{self, Decision, Proposed, Step, World},
    reason::Reason,
    record::proposals,
};
use modelward_crds::{
    ConditionType, DriftReport, DriftReportStatus, DriftVerdict, Model, ModelVersion, RemediationAction,
    ReportProposal, labels,
};
use modelward_service::chain;

use super::reads::{RESYNC, reports_of, until, version_named};
use crate::{
    Context, Error, apply,
    backoff::jittered,
    create::{Created, create, refusal},
    events,
    ledger::JUDGE_TIMEOUT,
};

/// A ledger that does not answer is asked again after this long, and a verdict that is to come is looked for.
const SOON: Duration = Duration::from_secs(10);
/// What the schema takes of a proposal's message.
const MESSAGE: usize = 512;
/// A bundle that is missing may be restored, and a quota raised.
const LATER: Duration = Duration::from_mins(5);

/// Brings one report closer to its verdict, and the verdict to what comes of it.
pub async fn reconcile(cached: Arc<DriftReport>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let Some(mut report) = apply::fresh(&ctx, &*cached).await? else {
        return Ok(Action::await_change());
    };
    if report.metadata.deletion_timestamp.is_some() || is_done(&report) {
        return Ok(Action::await_change());
    }
    let version = version_named(&ctx, &namespace, &report.spec.version).await?;
    let now = ctx.now();
    match (drift::step(&report, version.as_ref(), now), &version) {
        (Step::Wait { status, until: then }, _) => {
            write(&ctx, report, *status).await?;
            let wait = then.map_or(jittered(RESYNC), |then| until(then, now).min(jittered(RESYNC)));
            return Ok(Action::requeue(wait));
        }
        (Step::Ask(request), Some(version)) => {
            let uid = report.uid().unwrap_or_default();
            let judging = ctx.ledger.within(JUDGE_TIMEOUT);
            match judging.drift_report(&namespace, &uid, &request).await {
                Ok(result) => {
                    let status = drift::verdict_status(&report, version, &result, now);
                    report = write(&ctx, report, status).await?;
                }
                Err(error) => {
                    ctx.metrics.ledger_failed();
                    let (status, wait) = match error.refusal() {
                        Some((code, words)) => (drift::refused_status(&report, code, words, now), LATER),
                        None => (drift::away_status(&report, &chain(&error), now), SOON),
                    };
                    write(&ctx, report, status).await?;
                    return Ok(Action::requeue(jittered(wait)));
                }
            }
        }
        (Step::Ask(_) | Step::Done, _) => {}
    }
    if drifted(&report) {
        let settled = version
            .as_ref()
            .map(|version| drift::settled_at(&report, version));
        if let Some(settled) = settled.filter(|settled| now < *settled) {
            return Ok(Action::requeue(until(settled, now)));
        }
        if let Some(wait) = propose(&ctx, &namespace, report, version.as_ref()).await? {
            return Ok(Action::requeue(jittered(wait)));
        }
    }
    Ok(Action::await_change())
}

/// Writes the status and publishes Events of what changed.
async fn write(ctx: &Context, report: DriftReport, status: DriftReportStatus) -> Result<DriftReport, Error> {
    let old = report.status.as_ref();
    let Some(written) = apply::status(ctx, &report, old, &status).await? else {
        return Ok(report);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let judged = old.is_none_or(|status| status.verdict.is_none());
    match status.verdict.filter(|_| judged) {
        Some(verdict) => {
            ctx.metrics.judged(verdict);
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
                events::publish(ctx, &about, type_, reason, "Judge", note).await;
            }
        }
        None => events::conditions_changed(ctx, &report, before, &status.conditions).await,
    }
    Ok(written)
}

// === proposals ===

/// Decides what comes of drift, and carries it out. Gives when to look again where that has to wait: for the verdict on a newer
/// window, or for an API server that refuses the action.
async fn propose(
    ctx: &Context,
    namespace: &str,
    report: DriftReport,
    version: Option<&ModelVersion>,
) -> Result<Option<Duration>, Error> {
    let name = version.map_or_else(
        || report.labels().get(labels::MODEL).cloned(),
        |version| Some(version.spec.model.clone()),
    );
    let model = match &name {
        Some(name) => {
            let api = Api::<Model>::namespaced(ctx.client.clone(), namespace);
            ctx.call(format!("read Model {name}"), api.get_opt(name)).await?
        }
        None => None,
    };
    let Some(model) = model else {
        let message = format!("there is no model of {} any more", report.spec.version);
        close(ctx, report, Reason::NotServing, message, None, "None").await?;
        return Ok(None);
    };
    let reports = reports_of(ctx, namespace, &model.name_any()).await?;
    let actions = ctx
        .actions_of(namespace, &model.name_any(), model.metadata.uid.as_deref())
        .await?;
    let now = ctx.now();
    let world = World {
        report: &report,
        model: &model,
        retrains: version.is_some_and(|version| version.spec.retraining.is_some()),
        settled_until: drift::settled_until(version, now),
        reports: &reports,
        actions: &actions,
        drifting: drifting(ctx, namespace).await?,
        retrainings: retrainings(ctx, namespace).await?,
        policy: &ctx.config.policy,
    };
    match drift::propose(&world, now) {
        Decision::Nothing => {}
        Decision::Wait => return Ok(Some(SOON)),
        Decision::Kept { reason, message } => close(ctx, report, reason, message, None, "None").await?,
        Decision::Propose(proposed) => {
            let action = action_of(ctx, &model, &proposed).await?;
            // Before anything is remembered: what the API server refuses spends no budget.
            if let Some(why) = refusal(ctx, namespace, &action).await? {
                refused(ctx, report, &proposed.name, &chain(&why)).await?;
                return Ok(Some(LATER));
            }
            remember(ctx, &model, &report, &proposed).await?;
            let made = make(ctx, namespace, &model, &report, &proposed, &action).await?;
            let type_ = proposed.spec.action.as_str();
            if made {
                let Proposed {
                    name,
                    reason,
                    message,
                    ..
                } = *proposed;
                close(ctx, report, reason, message, Some(name), type_).await?;
                return Ok(None);
            }
            let message = format!(
                "a RemediationAction {} is there and rests on something else",
                proposed.name
            );
            close(ctx, report, Reason::NameTaken, message, None, "None").await?;
        }
    }
    Ok(None)
}

/// Models that drift at present, as they count for the namespace.
pub(crate) async fn drifting(ctx: &Context, namespace: &str) -> Result<usize, Error> {
    let models = ctx.drifting().await?;
    Ok(models.counted_for(namespace, ctx.config.policy.storm_models()))
}

/// Retrainings that were proposed within a day for the models of the namespace.
async fn retrainings(ctx: &Context, namespace: &str) -> Result<usize, Error> {
    let models = ctx.list::<Model>(Some(namespace), &ListParams::default()).await?;
    Ok(drift::retrainings_within_a_day(&models, ctx.now()))
}

/// The model remembers the proposal before there is an action: guard rails hold whatever becomes of the action.
async fn remember(
    ctx: &Context,
    model: &Model,
    report: &DriftReport,
    proposed: &Proposed,
) -> Result<(), Error> {
    let mut status = model.status.clone().unwrap_or_default();
    let known = |one: &modelward_crds::Proposal| Some(&one.cause) == report.metadata.uid.as_ref();
    if status.proposals.iter().any(known) {
        return Ok(());
    }
    let now = ctx.now();
    status.proposals = proposals::remember(
        &status.proposals,
        proposed.remembered(report, now),
        now,
        |action| facts(action).budgeted,
    );
    // With the resourceVersion that was decided from: of two reports that decide at the same time, one decides again.
    apply::status(ctx, model, model.status.as_ref(), &status).await?;
    Ok(())
}

/// The action as it is sent.
async fn action_of(ctx: &Context, model: &Model, proposed: &Proposed) -> Result<RemediationAction, Error> {
    let proposer = ctx.whoami().await?;
    build::action(&proposed.name, model, proposer, proposed.spec.clone()).ok_or(Error::Incomplete {
        what: "Model",
        field: "metadata.uid",
    })
}

/// Writes on the report that its action is refused.
async fn refused(ctx: &Context, report: DriftReport, name: &str, why: &str) -> Result<(), Error> {
    let mut status = report.status.clone().unwrap_or_default();
    let message = format!("RemediationAction {name} is refused and tried again every few minutes: {why}");
    let message: String = message.chars().take(MESSAGE).collect();
    status.proposal = Some(ReportProposal {
        reason: Reason::ActionRefused.to_string(),
        message: message.clone(),
        action: None,
    });
    if apply::status(ctx, &report, report.status.as_ref(), &status)
        .await?
        .is_some()
    {
        ctx.metrics.proposed("None", Reason::ActionRefused);
        let (about, reason) = (report.object_ref(&()), Reason::ActionRefused);
        events::publish(ctx, &about, EventType::Warning, reason, "Propose", message).await;
    }
    Ok(())
}

/// Makes the action, and gives whether the action of that name is this one.
async fn make(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    report: &DriftReport,
    proposed: &Proposed,
    action: &RemediationAction,
) -> Result<bool, Error> {
    let name = &proposed.name;
    match create(ctx, namespace, action).await? {
        Created::Made(_) => {
            let note = format!("{}: {}", proposed.spec.action.as_str(), proposed.message);
            let about = model.object_ref(&());
            events::publish(ctx, &about, EventType::Warning, proposed.reason, "Propose", note).await;
            Ok(true)
        }
        Created::Exists => {
            let api = Api::<RemediationAction>::namespaced(ctx.client.clone(), namespace);
            let read = api.get_opt(name);
            let found = ctx.call(format!("read RemediationAction {name}"), read).await?;
            let uid = report.metadata.uid.as_ref();
            // Gone again: it was there and was deleted meanwhile.
            Ok(found.is_none_or(|found| {
                let mut evidence = found.spec.evidence.iter();
                evidence.any(|evidence| Some(&evidence.uid) == uid)
            }))
        }
    }
}

/// Writes on the report what came of it: after this nothing is done about it any more.
async fn close(
    ctx: &Context,
    report: DriftReport,
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
    apply::status(ctx, &report, report.status.as_ref(), &status).await?;
    ctx.metrics.proposed(type_, reason);
    Ok(())
}

// === small ===

/// Whether nothing is left to do about a report.
fn is_done(report: &DriftReport) -> bool {
    let Some(status) = &report.status else {
        return false;
    };
    match status.verdict {
        Some(DriftVerdict::Drift) => status
            .proposal
            .as_ref()
            .is_some_and(|proposal| Reason::of(&proposal.reason) != Some(Reason::ActionRefused)),
        Some(_) => true,
        None => false,
    }
}

fn drifted(report: &DriftReport) -> bool {
    let verdict = report.status.as_ref().and_then(|status| status.verdict);
    verdict == Some(DriftVerdict::Drift)
}
