//! Changes of the routes by a promotion or a rollback, and the return to the previous routes if they do not become ready.

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use modelward_crds::{
    ActionPlan, ActionReference, ConditionType, DriftAspect, DriftReport, DriftVerdict, Hold, ModelStatus,
    PlannedRoute, RemediationAction, RouteStatus, RoutedVersion,
};
use modelward_wire::shorten;

use crate::{
    action::{
        case::{Case, now},
        claim::{due, lost},
        cover::covered,
        draft::{Draft, Outcome, Step, executed_says},
        plan::routes,
    },
    conditions::{self, Status, Verdict},
    drift::is_scheduled,
    objects::{name_of, parent_uid, uid_of},
    order::Place,
    reason::{Reason, StuckReason},
    record::rollout::{self, RolloutSeen},
};

/// The differences between a promotion and a rollback.
pub(super) struct Switch {
    /// Whether the previous routes are restored if the planned ones do not become ready.
    pub goes_back: bool,
    /// Whether the replaced version is put on hold.
    pub holds_what_it_left: bool,
    /// Whether the version must still have the bundle that was approved.
    pub checks_bundle: fn(&RemediationAction) -> bool,
}

/// The largest number of holds in a record.
const HOLDS: usize = 32;

pub(super) fn switch(
    case: &Case<'_>,
    draft: &mut Draft,
    plan: &ActionPlan,
    way: &Switch,
) -> Result<Outcome, Outcome> {
    if let Some(hold) = own_hold(case, plan) {
        return Ok(gone_back(case, draft, plan, &hold.reason));
    }
    let routed_at = draft
        .status
        .execution
        .as_ref()
        .and_then(|execution| execution.routed_at.clone());
    let routes: Vec<RouteStatus> = plan.planned_routes.iter().map(routes::recorded).collect();
    let words = routes::names(&plan.planned_routes).unwrap_or_default();
    let seen = rollout::rollout_seen(case.model, &routes);
    if seen == RolloutSeen::OtherRoutes {
        if executed_says(draft, Reason::RolledBack) {
            // The hold has been lifted.
            return Ok(gone_back(case, draft, plan, "its Pods did not become ready"));
        }
        if routed_at.is_some() || executed_says(draft, Reason::RollingOut) {
            return Err(Outcome::fails(
                Reason::Superseded,
                "a version that was to serve was deleted while it was rolled out",
            ));
        }
        return begin(case, draft, plan, way);
    }
    let end = due(case, draft);
    let routed_at = match (seen, routed_at) {
        // A quota or a policy: it is retried, and the rollout continues once there is room.
        (RolloutSeen::Stuck(reason, refusal), None)
            if reason == StuckReason::ChildRefused && end > case.now =>
        {
            draft.executed = Verdict::unknown(ConditionType::Executed, Reason::RollingOut, refusal.clone());
            let words = format!("{words} cannot be rolled out: {refusal}; retrying until {end}");
            return Ok(Outcome::stalls(Reason::ChildRefused, words).again(Some(end)));
        }
        (RolloutSeen::Stuck(StuckReason::ChildRefused, _), Some(routed_at)) => routed_at,
        (RolloutSeen::Stuck(reason, words), _) => {
            return go_back(case, draft, plan, way, reason.into(), &words);
        }
        (_, Some(routed_at)) => routed_at,
        (RolloutSeen::Answers, None) => now(case),
        (RolloutSeen::Underway(rollout), None) => {
            if end <= case.now {
                let words = format!("it was not rolled out by {end}: {rollout}");
                return go_back(case, draft, plan, way, Reason::RolloutStuck, &words);
            }
            draft.executed = Verdict::unknown(ConditionType::Executed, Reason::RollingOut, rollout.clone());
            return Ok(Outcome::works(
                Reason::RollingOut,
                format!("{words} is being rolled out: {rollout}"),
            )
            .again(Some(end)));
        }
        (RolloutSeen::OtherRoutes, None) => return Err(lost(case)),
    };
    draft.executed = Verdict::holds(
        ConditionType::Executed,
        Reason::Executed,
        format!("{words} took over at {}", routed_at.0),
    );
    if let Some(execution) = &mut draft.status.execution {
        execution.routed_at = Some(routed_at.clone());
    }
    Ok(verify(case, draft, plan, &routed_at))
}

/// Whether the routes were changed by this action.
pub(super) fn has_begun(case: &Case<'_>, draft: &Draft, plan: &ActionPlan) -> bool {
    let was_routed = (draft.status.execution.as_ref()).is_some_and(|execution| execution.routed_at.is_some());
    let routes: Vec<RouteStatus> = plan.planned_routes.iter().map(routes::recorded).collect();
    was_routed
        || own_hold(case, plan).is_some()
        || executed_says(draft, Reason::RolledBack)
        || executed_says(draft, Reason::RollingOut)
        || rollout::rollout_seen(case.model, &routes) != RolloutSeen::OtherRoutes
}

/// The hold of this action on a version of its plan: the routes were changed back.
fn own_hold<'a>(case: &Case<'a>, plan: &ActionPlan) -> Option<&'a Hold> {
    let is_own = |hold: &&Hold| {
        hold.action.uid == case.uid() && plan.planned_routes.iter().any(|route| route.uid == hold.uid)
    };
    let record = case.model.status.as_ref()?;
    record.holds.iter().find(is_own)
}

/// Changes the routes.
fn begin(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan, way: &Switch) -> Result<Outcome, Outcome> {
    let mut newest: Option<RoutedVersion> = None;
    for route in &plan.planned_routes {
        let version = routes::by_uid(&case.world.versions, &route.uid)
            .ok_or_else(|| Outcome::fails(Reason::Superseded, format!("{} is gone", route.version)))?;
        if parent_uid(case.action).is_some() {
            covered(case, version)?;
        }
        let bundle = version.status.as_ref().and_then(|status| status.bundle.as_ref());
        if (way.checks_bundle)(case.action) && bundle.is_none_or(|bundle| bundle.digest != route.digest) {
            return Err(Outcome::fails(
                Reason::PlanChanged,
                format!("the bundle of {} is not the one that was approved", route.version),
            ));
        }
        let created = version.metadata.creation_timestamp.clone();
        if let Some(created_at) = created {
            let this = RoutedVersion {
                created_at,
                name: route.version.clone(),
                uid: route.uid.clone(),
            };
            newest = newest.into_iter().chain([this]).max_by_key(Place::of);
        }
    }
    let left = routes::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let next = routes::names(&plan.planned_routes).unwrap_or_else(|| "nothing".to_owned());
    let routes = plan.planned_routes.iter().map(routes::recorded).collect();
    let mut record = rollout::reroute(case.model, routes, newest, case.now);
    if way.holds_what_it_left {
        record.rolled_back_at = Some(now(case));
        let reason = format!("{} returned to {next}", name_of(case.action));
        for route in &plan.present_routes {
            if !plan.planned_routes.contains(route) {
                hold(&mut record, case, route, &reason);
            }
        }
    }
    let words = format!("{next} takes over from {left} by {}", name_of(case.action));
    draft.executed = Verdict::unknown(ConditionType::Executed, Reason::Claimed, words.clone());
    Ok(Outcome::works(Reason::Claimed, words.clone()).with(Step::Route(Box::new(record), words)))
}

/// Restores the previous routes because the planned ones do not become ready. This is part of the plan.
fn go_back(
    case: &Case<'_>,
    draft: &mut Draft,
    plan: &ActionPlan,
    way: &Switch,
    reason: Reason,
    words: &str,
) -> Result<Outcome, Outcome> {
    let what = routes::names(&plan.planned_routes).unwrap_or_default();
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::RolledBack, words.to_owned());
    if !way.goes_back {
        // The previous version was replaced on purpose; the version that serves keeps serving.
        let message = format!(
            "{}; {what} did not become ready: {reason}: {words}",
            draft.approval_summary(case)
        );
        return Err(Outcome::fails(Reason::RolloutStuck, message));
    }
    let there = |route: &&PlannedRoute| routes::by_uid(&case.world.versions, &route.uid).is_some();
    let routes = plan
        .present_routes
        .iter()
        .filter(there)
        .map(routes::recorded)
        .collect();
    let mut record = rollout::reroute(case.model, routes, None, case.now);
    record.rolled_back_at = Some(now(case));
    let why = shorten(&format!("{reason}: {words}"), 256);
    for route in &plan.planned_routes {
        hold(&mut record, case, route, &why);
    }
    let former = routes::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let words = format!("{what} did not become ready; rolling back to {former}: {why}");
    Ok(Outcome::works(Reason::RolledBack, words.clone()).with(Step::Route(Box::new(record), words)))
}

/// Waits after the previous routes were written, until they serve or the rollout is stuck.
fn gone_back(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan, reason: &str) -> Outcome {
    let what = routes::names(&plan.planned_routes).unwrap_or_default();
    let former = routes::names(&plan.present_routes).unwrap_or_else(|| "nothing".to_owned());
    let message = format!(
        "{}; {what} did not become ready ({reason}), and {former} serves again; {what} is on hold",
        draft.approval_summary(case)
    );
    draft.executed = Verdict::fails(ConditionType::Executed, Reason::RolledBack, message.clone());
    let record = case.record();
    let settled = record.routes.is_empty()
        || is_true(&record.conditions, ConditionType::Ready).is_some()
        || is_true(&record.conditions, ConditionType::Stalled).is_some();
    // The previous routes are final. Pods that do not become ready must not keep the claim.
    let returned_at = record.rolled_back_at.as_ref().map_or(case.now, |time| time.0);
    let end = case.deadline(&Time(returned_at));
    if settled {
        Outcome::fails(Reason::RolledBack, message)
    } else if end <= case.now {
        let message = format!(
            "{}; {what} did not become ready ({reason}); the routes are those of {former} again, and its Pods are not ready yet; {what} is on hold",
            draft.approval_summary(case)
        );
        Outcome::fails(Reason::RolledBack, message)
    } else {
        Outcome::works(Reason::RolledBack, format!("rolling back to {former}")).again(Some(end))
    }
}

/// Monitors the new routes for a while. A verdict on their traffic ends this early.
fn verify(case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan, routed_at: &Time) -> Outcome {
    let seconds = case.world.policy.verification_seconds.max(0);
    let Some(execution) = &mut draft.status.execution else {
        return lost(case);
    };
    let until = execution.verify_until.get_or_insert_with(|| {
        let until = routed_at.0.checked_add(seconds.seconds());
        Time(until.unwrap_or(Timestamp::MAX))
    });
    let until = until.0;
    let what = routes::names(&plan.planned_routes).unwrap_or_default();
    let left = match routes::names(&plan.present_routes) {
        Some(names) => format!(" in place of {names}"),
        None => String::new(),
    };
    let approvals = format!(
        "{}; {what} serves since {}{left}",
        draft.approval_summary(case),
        routed_at.0
    );
    let kind = ConditionType::Verified;
    match conclusive(case, plan, routed_at) {
        Some((report, DriftVerdict::Drift)) => {
            let words = format!("traffic since shows drift ({})", name_of(report));
            draft.verified = Verdict::fails(kind, Reason::DriftAfterChange, words.clone());
            Outcome::succeeds(Reason::DriftAfterChange, format!("{approvals}; {words}"))
        }
        Some((report, _)) => {
            let words = format!("traffic since shows no drift ({})", name_of(report));
            draft.verified = Verdict::holds(kind, Reason::Verified, words.clone());
            Outcome::succeeds(Reason::Verified, format!("{approvals}; {words}"))
        }
        None if until <= case.now => {
            let words = format!("there was too little traffic until {until} for a verdict");
            draft.verified = Verdict::unknown(kind, Reason::InsufficientData, words.clone());
            Outcome::succeeds(Reason::Executed, format!("{approvals}; {words}"))
        }
        None => {
            let words = format!("watched until {until}");
            draft.verified = Verdict::unknown(kind, Reason::Verifying, words.clone());
            Outcome::works(Reason::Verifying, format!("{approvals}; {words}")).again(Some(until))
        }
    }
}

/// The first verdict on traffic after the change.
fn conclusive<'a>(
    case: &Case<'a>,
    plan: &ActionPlan,
    routed_at: &Time,
) -> Option<(&'a DriftReport, DriftVerdict)> {
    let verdict = |report: &'a DriftReport| {
        let status = report.status.as_ref()?;
        let uid = status.version_uid.as_ref();
        let planned = plan
            .planned_routes
            .iter()
            .find(|route| route.version == report.spec.version && uid.is_none_or(|uid| *uid == route.uid))?;
        // A user's report is about an interval that the user chose.
        if report.spec.end_time.0 <= routed_at.0 || !is_scheduled(report, case.model) {
            return None;
        }
        match status.verdict? {
            DriftVerdict::InsufficientData => None,
            // A window may drift by its traffic or its refused rows without enough rows to show that its values do not.
            DriftVerdict::Drift if status.only(&DriftAspect::NOT_OF_VALUES) => {
                let version = routes::by_uid(&case.world.versions, &planned.uid)?;
                let rows = status
                    .season
                    .as_ref()
                    .map_or(status.rows, |season| Some(season.rows));
                let has_rows = rows >= Some(version.spec.monitoring.minimum_rows);
                has_rows.then_some((report, DriftVerdict::NoDrift))
            }
            verdict => Some((report, verdict)),
        }
    };
    case.world
        .reports
        .iter()
        .filter_map(verdict)
        .min_by_key(|(report, _)| (report.spec.end_time.0, uid_of(*report).to_owned()))
}

fn hold(record: &mut ModelStatus, case: &Case<'_>, route: &PlannedRoute, reason: &str) {
    record.holds.retain(|hold| hold.uid != route.uid);
    record.holds.push(Hold {
        uid: route.uid.clone(),
        version: route.version.clone(),
        digest: route.digest,
        since: now(case),
        action: ActionReference {
            name: name_of(case.action).to_owned(),
            uid: case.uid().to_owned(),
        },
        reason: shorten(reason, 256),
    });
    let surplus = record.holds.len().saturating_sub(HOLDS);
    record.holds.drain(..surplus);
}

pub(in crate::action) fn is_true(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions::find(conditions, kind).filter(|condition| conditions::status(condition) == Status::True)
}
