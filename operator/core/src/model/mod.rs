//! The serving of a model: the version that serves, the proposal to replace it, and the state of its rollout.
//!
//! The first version of a model that passes its gates serves, unless the operator's configuration requires an approval: there
//! is no version that it could replace. It is the oldest one that passed; it waits for older ones that are still being trained,
//! so that the result does not depend on the speed of training. From then on only a `RemediationAction` changes the routes, even
//! after every version was deleted, and the record is written before the serving objects:
//!
//! ```text
//! never routed?  ── a version passed ──► it serves
//! routed before? ── a newer one passed ──► PromoteModel is proposed (RollbackModel if its bundle served before)
//!                                               └── carried out ──► the action writes the routes, and they are rolled out
//! ```
//!
//! The newest version that passed its gates is the candidate, by creation and then by name: two versions made in the
//! same second have a fixed order. An older one never replaces a newer one automatically, not even if the newer one was
//! deleted: that needs a rollback, which is a decision.

mod candidate;
mod rollout;
mod routes;
#[cfg(test)]
mod tests;
mod validate;
mod verdicts;
mod view;
mod world;

use jiff::Timestamp;
use modelward_crds::{ConditionType, Model, ModelStatus};
pub use rollout::PROGRESS_DEADLINE_SECONDS;
pub use validate::{Invalid, Validated, validate};
pub use view::{ModelView, awaits_promotion, promotion_seen, serving_seen};
pub use world::{
    ActionSeen, Altered, Answer, Decision, DeploymentSeen, Made, Proposed, Refusal, Rival, Serve,
    VersionSeen, World,
};

use crate::{
    conditions::{self, Status, Verdict},
    model::{
        candidate::{First, candidate, first, is_new, propose, remembered},
        rollout::{Nothing, Rollout, notices, rollout},
        routes::{kept, route_to},
        verdicts::{record_serving, verdicts},
    },
    reason::Reason,
    routes::routes_file,
};

/// Decides what a model serves. Pure: the same arguments give the same decision.
pub fn decide(valid: &Validated, world: &World, now: Timestamp) -> Decision {
    let (model, name) = (valid.model(), valid.name());
    let mut status = model.status.clone().unwrap_or_default();
    let generation = model.metadata.generation;

    let gone =
        |claim: &modelward_crds::ActiveAction| !world.actions.iter().any(|action| action.uid == claim.uid);
    // A claim dies with its action. One whose action has ended is released by that action.
    status.active_action = status.active_action.take().filter(|claim| !gone(claim));
    if is_new(&status) {
        status.newest_routed = remembered(&world.versions);
    }
    let first = first(&status, world);
    status.routes = match &first {
        First::Serves(first) if !model.spec.paused => {
            status.newest_routed = Some(first.routed());
            route_to(first).into_iter().collect()
        }
        _ => kept(&status, &world.versions),
    };
    let propose = propose(model, &mut status, world, now);
    if let Some(made) = &world.made {
        status.children.clone_from(&made.children);
        status.rollout.clone_from(&made.rollout);
        if made.key_secret.is_some() {
            status.key_secret.clone_from(&made.key_secret);
        }
    }

    let serve = status
        .routes
        .iter()
        .max_by_key(|route| route.weight)
        .and_then(|heaviest| {
            let version = world
                .versions
                .iter()
                .find(|version| version.uid == heaviest.uid)?;
            let window = u32::try_from(version.window_seconds).unwrap_or(3600);
            Some(Serve {
                routes: routes_file(name, &status.routes, window)?,
                serving: version.serving.clone(),
            })
        });

    let rollout = match &serve {
        None => Rollout::Nothing(match (first, &status.newest_routed) {
            (First::Serves(first), _) => Nothing::Paused(first.name.clone()),
            (First::Waits(passed, older), _) => Nothing::Waits(passed.name.clone(), older.name.clone()),
            (First::None, Some(_)) => {
                Nothing::Deleted(candidate(model, &status, world).map(|next| next.name.clone()))
            }
            (First::None, None) => match candidate(model, &status, world) {
                Some(next) => Nothing::AwaitsApproval(next.name.clone()),
                None => Nothing::NotYet,
            },
        }),
        Some(serve) => rollout(serve, &status, world, now),
    };
    record_serving(&mut status, world, &rollout, serve.as_ref(), now);
    let mut verdicts = verdicts(&status, &rollout, world, serve.as_ref());
    if model.spec.paused && serve.is_some() {
        let ready = verdicts
            .iter_mut()
            .filter(|verdict| verdict.kind == ConditionType::Ready);
        ready.for_each(|ready| ready.message.push_str("; the model is paused"));
    }
    verdicts.extend(notices(world.made.as_ref()));
    let mut merged = conditions::merge(&status.conditions, &verdicts, generation, now);
    if world.made.is_none() {
        let notices = [
            ConditionType::Altered,
            ConditionType::Contested,
            ConditionType::UpgradeHeld,
        ];
        merged.extend(
            notices
                .iter()
                .filter_map(|kind| conditions::find(&status.conditions, *kind).cloned()),
        );
    }
    if let Some(proposed) = &propose {
        let refused = world.unproposed.as_ref().map(|words| {
            let message = format!("{} cannot be made: {words}", proposed.name);
            Verdict::holds(ConditionType::ProposalRefused, Reason::ChildRefused, message)
        });
        // Until it is retried, the condition stays as it was.
        let known = || conditions::find(&status.conditions, ConditionType::ProposalRefused).cloned();
        merged.extend(match refused {
            Some(refused) => conditions::merge(&status.conditions, &[refused], generation, now),
            None => known().into_iter().collect(),
        });
    }
    status.observed_generation = generation;
    status.conditions = merged;
    if let Some(rollout) = &mut status.rollout {
        rollout.settled |= matches!(conditions::find(&status.conditions, ConditionType::Ready), Some(ready) if conditions::status(ready) != Status::False);
    }
    let again = match rollout {
        Rollout::Unanswered { until, .. } => Some(until),
        _ => None,
    };
    Decision {
        is_empty: is_empty(model, &status, world),
        status,
        serve,
        propose,
        again,
    }
}

/// A record without history is deleted with its last version, which frees the name. A record with a history or a decision is kept.
pub(super) fn is_empty(model: &Model, status: &ModelStatus, world: &World) -> bool {
    world.versions.is_empty()
        && world.actions.is_empty()
        && status.history.is_empty()
        && status.newest_routed.is_none()
        && status.routes.is_empty()
        && status.children.is_empty()
        && !model.spec.paused
}
