//! The rollout of the routes in the record.

use jiff::{SignedDuration, Timestamp};
use modelward_crds::{ConditionType, ModelStatus, RolloutStatus};

use crate::{
    children::in_words,
    conditions::{self, Status, Verdict},
    model::{
        routes::least,
        world::{Altered, Answer, Made, Rival, Serve, World},
    },
    reason::{Reason, StuckReason},
    record::rollout::already_answers,
    upgrade::Turn,
};

/// `progressDeadlineSeconds` of a model's Deployment.
pub const PROGRESS_DEADLINE_SECONDS: i32 = 300;

/// A Service without a correct answer for this long counts as stuck.
const ANSWER_WITHIN: SignedDuration = SignedDuration::from_secs(300);

pub(super) enum Rollout {
    Nothing(Nothing),
    /// Every Pod is ready, and the Service answered correctly.
    Complete {
        available: i32,
        wanted: i32,
    },
    /// Every Pod is ready, but the Service cannot be reached.
    Untried {
        available: i32,
        wanted: i32,
        words: String,
    },
    /// Every Pod is ready, but the Service does not answer correctly.
    Unanswered {
        reason: StuckReason,
        words: String,
        until: Timestamp,
    },
    Short {
        available: i32,
        wanted: i32,
        words: Option<String>,
    },
    Underway(String),
    Failing(String),
    Stuck(StuckReason, String),
}

/// Why no version should serve.
pub(super) enum Nothing {
    NotYet,
    /// The first one has passed, but the second one is older and still being trained.
    Waits(String, String),
    /// It passed, but the first version of a model needs approval too.
    AwaitsApproval(String),
    /// The version that served was deleted; the version that waits to be promoted, if any.
    Deleted(Option<String>),
    Paused(String),
}

pub(super) fn rollout(serve: &Serve, status: &ModelStatus, world: &World, now: Timestamp) -> Rollout {
    if let Some(taken) = &world.taken {
        let message = format!("{taken} exists and does not belong to this model; delete or rename it");
        return Rollout::Stuck(StuckReason::NameTaken, message);
    }
    if let Some(refused) = &world.refused {
        return Rollout::Stuck(StuckReason::ChildRefused, refused.clone());
    }
    if let Some(failed) = &world.failed {
        return Rollout::Failing(failed.clone());
    }
    let altered = world.made.iter().flat_map(|made| &made.altered);
    if let Some(altered) = altered.into_iter().find(|altered| !altered.by_admission) {
        return Rollout::Stuck(StuckReason::ChangedRepeatedly, repeated(altered));
    }
    let Some(seen) = &world.deployment else {
        return Rollout::Underway("the Deployment is being created".to_owned());
    };
    if seen.routes.as_deref() != Some(&serve.routes.name) || !seen.observed {
        let words = "the Deployment is being changed";
        return Rollout::Underway(match &seen.failure {
            Some(failure) => format!("{words}; {failure}"),
            None => words.to_owned(),
        });
    }
    let (least, available, wanted) = (least(&serve.serving), seen.available, seen.wanted);
    // A rollout needs every Pod. After that the autoscaler adds and removes Pods, and the minimum is enough.
    let answered = already_answers(status);
    let new_pods_only = seen.updated == seen.total;
    if new_pods_only && available >= least && (answered || available >= wanted) {
        return through_the_service(serve, status, world, (available, wanted), now);
    }
    let mut refusals: Vec<_> = world
        .refusals
        .iter()
        .filter(|refusal| refusal.routes == serve.routes.name)
        .collect();
    refusals.sort_by_key(|refusal| !refusal.verification);
    // Pods of the previous template stay ready: none is removed before its replacement answers.
    let former = seen.total - seen.updated;
    let words = format!(
        "{} of {} Pods serve the new routes",
        (available - former).clamp(0, seen.updated.max(0)),
        wanted.max(least)
    );
    let late = seen
        .deadline_exceeded
        .is_some_and(|at| is_of_this_rollout(at, status.rollout.as_ref()));
    let refusal = refusals.first();
    let why: Vec<_> = seen
        .failure
        .iter()
        .chain(refusal.map(|refusal| &refusal.message))
        .cloned()
        .collect();
    let why = (!why.is_empty()).then(|| why.join("; "));
    match refusal {
        Some(refusal) if refusal.verification => {
            Rollout::Stuck(StuckReason::ArtifactInvalid, refusal.message.clone())
        }
        _ if late => Rollout::Stuck(
            StuckReason::RolloutStuck,
            why.unwrap_or_else(|| format!("{words}, and the rollout's deadline passed")),
        ),
        _ if answered && new_pods_only => Rollout::Short {
            available,
            wanted: wanted.max(least),
            words: why,
        },
        _ => Rollout::Underway(match why {
            Some(why) => format!("{words}; {why}"),
            None => words,
        }),
    }
}

/// Every Pod is ready by its own probes; now the answer of the Service decides.
fn through_the_service(
    serve: &Serve,
    status: &ModelStatus,
    world: &World,
    (available, wanted): (i32, i32),
    now: Timestamp,
) -> Rollout {
    let expected = serve.routes.digest();
    let (reason, words) = match &world.answer {
        Answer::Routes(digest) if *digest == expected => return Rollout::Complete { available, wanted },
        Answer::Unreachable(words) => {
            return Rollout::Untried {
                available,
                wanted,
                words: words.clone(),
            };
        }
        Answer::NotAsked => {
            // After a start of the operator the recorded state of these routes is kept until the Service was probed.
            let ready = conditions::find(&status.conditions, ConditionType::Ready);
            let same = status.serving_routes == Some(expected);
            return match ready.filter(|_| same && already_answers(status)) {
                Some(ready) if conditions::status(ready) == Status::True => {
                    Rollout::Complete { available, wanted }
                }
                Some(ready) if conditions::status(ready) == Status::Unknown => Rollout::Untried {
                    available,
                    wanted,
                    words: "not probed since the operator started".to_owned(),
                },
                _ => Rollout::Underway(format!(
                    "{available}/{wanted} Pods are ready, and the Service has not been probed yet"
                )),
            };
        }
        Answer::Routes(other) => (
            StuckReason::WrongAnswer,
            format!(
                "the Service's backend serves routes {}, expected {} ({})",
                other.short(),
                serve.routes.name,
                expected.short()
            ),
        ),
        Answer::Other(words) => (StuckReason::WrongAnswer, words.clone()),
        Answer::Refused(words) => (StuckReason::NoAnswer, words.clone()),
    };
    let words = format!("{available}/{wanted} Pods are ready, and {words}");
    // The cluster's network needs a moment to route to the Pods of a new rollout.
    let unanswered = conditions::find(&status.conditions, ConditionType::Available)
        .filter(|available| conditions::status(available) != Status::True)
        .map_or(now, |available| available.last_transition_time.0);
    let since = status
        .rollout
        .as_ref()
        .map_or(unanswered, |rollout| rollout.since.0);
    let until = since.max(unanswered) + ANSWER_WITHIN;
    if now >= until {
        Rollout::Stuck(reason, words)
    } else {
        Rollout::Unanswered { reason, words, until }
    }
}

/// Whether a progress deadline that passed at `at` belongs to the current rollout. The Deployment's condition stays until its
/// controller has observed the next rollout, and the deadline of the current rollout cannot pass before its full length. Half of that
/// length allows for clock skew.
fn is_of_this_rollout(at: Timestamp, rollout: Option<&RolloutStatus>) -> bool {
    let half = SignedDuration::from_secs(i64::from(PROGRESS_DEADLINE_SECONDS) / 2);
    rollout.is_none_or(|rollout| at >= rollout.since.0 + half)
}

fn repeated(altered: &Altered) -> String {
    format!(
        "{} was restored three times and changed again each time at {}; leaving it for an hour: stop what changes it, or \
         name the fields in operator.ignoreDifferences",
        altered.child,
        in_words(&altered.fields)
    )
}

fn rival_words(rival: &Rival) -> String {
    match rival {
        Rival::Autoscaler(name) => format!(
            "HorizontalPodAutoscaler {name} scales the model's Deployment too, which has an autoscaler: Pods are made and \
             ended in turn. Delete it (kubectl delete hpa {name}) and set spec.serving.replicas of the ModelVersion"
        ),
        Rival::Budget(name) => format!(
            "PodDisruptionBudget {name} selects the model's Pods too, which have a budget, and Pods with two budgets cannot be \
             evicted: add {{key: modelward.io/model, operator: DoesNotExist}} to its spec.selector.matchExpressions, or delete \
             it (kubectl delete pdb {name})"
        ),
    }
}

/// The conditions that are present only when True.
pub(super) fn notices(made: Option<&Made>) -> Vec<Verdict> {
    let Some(made) = made else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    if let Some(first) = made.altered.iter().min_by_key(|altered| altered.by_admission) {
        let words = made.altered.iter().map(|altered| {
            if altered.by_admission {
                format!(
                    "{}: a webhook or an admission policy overrides {} on every write by the operator; leaving it, and retrying periodically",
                    altered.child,
                    in_words(&altered.fields)
                )
            } else {
                repeated(altered)
            }
        });
        let words: Vec<_> = words.collect();
        let reason = if first.by_admission {
            Reason::ChangedByWebhook
        } else {
            Reason::ChangedRepeatedly
        };
        notices.push(Verdict::holds(ConditionType::Altered, reason, words.join("; ")));
    }
    if let Some(first) = made.rivals.first() {
        let reason = match first {
            Rival::Autoscaler(_) => Reason::SecondAutoscaler,
            Rival::Budget(_) => Reason::SecondDisruptionBudget,
        };
        let words: Vec<_> = made.rivals.iter().map(rival_words).collect();
        notices.push(Verdict::holds(ConditionType::Contested, reason, words.join("; ")));
    }
    let held = match &made.turn {
        Turn::Now => None,
        Turn::Waits(other) => Some((
            Reason::AwaitingTurn,
            format!("the operator's configuration changed; {other} takes the new Pod template first"),
        )),
        Turn::Stopped(other) => Some((
            Reason::UpgradeStopped,
            format!(
                "{other} does not become ready with the new Pod template; this model keeps its previous one until {other} is Ready or the \
                 operator's configuration is changed"
            ),
        )),
    };
    notices.extend(held.map(|(reason, words)| Verdict::holds(ConditionType::UpgradeHeld, reason, words)));
    notices
}
