//! The conditions of a Model.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{ConditionType, ModelStatus, ServedRecord};
use modelward_wire::Digest;

use crate::{
    conditions::{self, Status, Verdict},
    model::{
        rollout::{Nothing, Rollout},
        world::{Answer, Serve, World},
    },
    reason::{Reason, WorkingReason},
    record::rollout::is_record_of,
};

/// Limit on the entries of the history.
const HISTORY: usize = 32;

pub(super) fn working_reason(reason: Option<Reason>) -> WorkingReason {
    reason
        .and_then(WorkingReason::part_of)
        .unwrap_or(WorkingReason::RolloutInProgress)
}

/// Records what serves: a version enters the history when every Pod serves it.
pub(super) fn record_serving(
    status: &mut ModelStatus,
    world: &World,
    rollout: &Rollout,
    serve: Option<&Serve>,
    now: Timestamp,
) {
    let complete = matches!(rollout, Rollout::Complete { .. } | Rollout::Untried { .. });
    if complete {
        status.serving_routes = serve.map(|serve| serve.routes.digest());
    }
    if complete
        && let Some(route) = status.routes.first()
        && status
            .history
            .first()
            .is_none_or(|record| !is_record_of(record, route))
    {
        let record = ServedRecord {
            version: route.version.clone(),
            uid: route.uid.clone(),
            digest: route.digest,
            weight: Some(route.weight),
            threshold: Some(route.threshold.clone()),
            since: Time(conditions::whole_seconds(now)),
        };
        status.history.insert(0, record);
        status.history.truncate(HISTORY);
    }
    // The serving version is kept until another one serves, or none should. A version that served before a time without any
    // does not serve again while the next one is being rolled out.
    let answers = match rollout {
        Rollout::Nothing(_) => false,
        Rollout::Complete { .. } | Rollout::Untried { .. } => true,
        _ => status.serving.is_some(),
    };
    let serving = status.history.first().filter(|_| answers);
    status.serving = serving.map(|record| record.version.clone());
    status.serving_digest = serving.map(|record| record.digest.short());
    let seen = world.deployment.as_ref();
    status.pods = seen.map(|seen| format!("{}/{}", seen.available, seen.wanted));
    status.ready_pods = seen.map(|seen| seen.available);
}

/// Possible reasons why the operator got no answer.
fn unreached(words: &str) -> String {
    format!(
        "the operator has no answer through the Service: {words}; a network policy may keep it out, or the Pods may have no \
         connection left for it"
    )
}

/// Whether requests are answered, judged by the Service's answers and not by the Pods' own status.
fn answering(status: &ModelStatus, rollout: &Rollout, world: &World, serve: Option<&Serve>) -> Verdict {
    let kind = ConditionType::Available;
    let expected = serve.map(|serve| serve.routes.digest());
    let answers = |digest: &Digest| Some(digest) == expected.as_ref();
    let Some(version) = &status.serving else {
        let version = status.routes.first().map_or("", |route| route.version.as_str());
        let answered = match &world.answer {
            Answer::Routes(digest) => answers(digest),
            Answer::NotAsked => conditions::is_true(&status.conditions, kind),
            _ => false,
        };
        let rolled_out = |words: &str| {
            let words = format!("{version} is being rolled out, and nothing else serves{words}");
            Verdict::fails(kind, Reason::RolloutInProgress, words)
        };
        return match rollout {
            Rollout::Nothing(_) => Verdict::fails(kind, Reason::NoVersion, "no version serves"),
            Rollout::Unanswered { reason, words, .. } => Verdict::fails(kind, *reason, words.clone()),
            Rollout::Underway(_) | Rollout::Short { .. } if answered => {
                let words = format!("{version} serves requests, but not all of its Pods are ready");
                Verdict::holds(kind, Reason::Serving, words)
            }
            Rollout::Underway(words) => rolled_out(&format!(": {words}")),
            _ => rolled_out(""),
        };
    };
    let available = world.deployment.as_ref().map_or(0, |seen| seen.available);
    let holds = || {
        let words = match available {
            0 => format!("{version} serves requests, from Pods that are terminating or not counted yet"),
            1 => format!("1 Pod answers with {version}"),
            _ => format!("{available} Pods answer with {version}"),
        };
        Verdict::holds(kind, Reason::Serving, words)
    };
    match &world.answer {
        // While a rollout is in progress the previous routes answer too.
        Answer::Routes(digest) if answers(digest) || Some(digest) == status.serving_routes.as_ref() => {
            holds()
        }
        _ if available == 0 => {
            Verdict::fails(kind, Reason::TooFewPods, format!("no Pod answers with {version}"))
        }
        Answer::Routes(other) => Verdict::fails(
            kind,
            Reason::WrongAnswer,
            format!("the Service's backend serves routes {}", other.short()),
        ),
        Answer::Other(words) => Verdict::fails(kind, Reason::WrongAnswer, words.clone()),
        Answer::Refused(words) => Verdict::fails(kind, Reason::NoAnswer, words.clone()),
        Answer::Unreachable(words) => Verdict::unknown(kind, Reason::NotReachable, unreached(words)),
        Answer::NotAsked => match conditions::find(&status.conditions, kind) {
            Some(before) if conditions::status(before) == Status::True => holds(),
            Some(before) if conditions::reason(before) == Some(Reason::NoAnswer) => {
                Verdict::fails(kind, Reason::NoAnswer, before.message.clone())
            }
            Some(before) if conditions::reason(before) == Some(Reason::WrongAnswer) => {
                Verdict::fails(kind, Reason::WrongAnswer, before.message.clone())
            }
            _ => Verdict::unknown(kind, Reason::NotReachable, "the Service has not been probed yet"),
        },
    }
}

pub(super) fn verdicts(
    status: &ModelStatus,
    rollout: &Rollout,
    world: &World,
    serve: Option<&Serve>,
) -> Vec<Verdict> {
    let answering = answering(status, rollout, world, serve);
    let (reason, message, ready, stalled) = match rollout {
        Rollout::Nothing(Nothing::Deleted(next)) => (
            Reason::ServingVersionDeleted,
            match next {
                Some(next) => format!("the version that served was deleted; {next} waits to be promoted"),
                None => "the version that served was deleted; an older one does not take over by itself"
                    .to_owned(),
            },
            false,
            false,
        ),
        Rollout::Nothing(Nothing::NotYet) => (
            Reason::NoVersion,
            "no version has passed its gates yet".to_owned(),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::Waits(passed, older)) => (
            Reason::Waiting,
            format!("{passed} passed its gates; {older} is older and still being trained, and goes first"),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::AwaitsApproval(version)) => (
            Reason::AwaitingPromotion,
            format!(
                "{version} passed its gates and waits to be promoted: the first version needs approval too"
            ),
            false,
            false,
        ),
        Rollout::Nothing(Nothing::Paused(version)) => (
            Reason::Paused,
            format!("{version} passed its gates and waits: the model is paused"),
            false,
            false,
        ),
        Rollout::Complete { available, wanted } => (
            Reason::Serving,
            format!("{available}/{wanted} Pods answer"),
            true,
            false,
        ),
        Rollout::Untried {
            available,
            wanted,
            words,
        } => (
            Reason::NotReachable,
            format!("{available}/{wanted} Pods are ready; {}", unreached(words)),
            false,
            false,
        ),
        Rollout::Unanswered { reason, words, .. } => ((*reason).into(), words.clone(), false, false),
        Rollout::Short {
            available,
            wanted,
            words,
        } => (
            Reason::TooFewPods,
            match words {
                Some(words) => format!("{available}/{wanted} Pods answer; {words}"),
                None => format!("{available}/{wanted} Pods answer"),
            },
            false,
            false,
        ),
        Rollout::Failing(words) => (Reason::ChildFailed, words.clone(), false, false),
        Rollout::Underway(words) => (Reason::RolloutInProgress, words.clone(), false, false),
        Rollout::Stuck(reason, message) => ((*reason).into(), message.clone(), false, true),
    };
    let untried = matches!(rollout, Rollout::Untried { .. });
    let working = !ready && !stalled && !untried && !matches!(rollout, Rollout::Nothing(_));
    let verdict = |kind, holds: bool| {
        let message = if holds || kind == ConditionType::Ready {
            message.clone()
        } else {
            String::new()
        };
        if holds {
            Verdict::holds(kind, reason, message)
        } else if untried && kind == ConditionType::Ready {
            Verdict::unknown(kind, reason, message)
        } else {
            Verdict::fails(kind, reason, message)
        }
    };
    vec![
        answering,
        verdict(ConditionType::Ready, ready),
        verdict(ConditionType::Reconciling, working),
        verdict(ConditionType::Stalled, stalled),
    ]
}
