//! The `Model` controller: the version that serves, and its serving objects.

mod apply;
mod build;
mod dereference;
mod key;
mod key_names;
mod owners;
mod pods;
mod prober;
mod propose;
mod status;
mod upgrades;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::controller::Action;
use modelward_core::{
    children, conditions,
    model::{self, Decision, Made, Validated, World},
    upgrade::Turn,
};
use modelward_crds::{ConditionType, Model};

use crate::{
    Context, Error,
    api::{
        Env, NamespacedName,
        apply::{delete, fresh},
    },
    cache::model::CachedModel,
    model::{
        apply::{Outcome, apply_children, collect_routes, delete_children},
        key::ensure_key,
        owners::disown,
        propose::propose,
        status::{conditions_of, routes_changed, write_status},
    },
    runtime::backoff::jittered,
};

pub(crate) use key_names::KeyNames;
pub(crate) use prober::Prober;
pub use prober::ProberConfig;
pub(crate) use upgrades::Upgrades;

const RESYNC: Duration = Duration::from_mins(15);

const SOON: Duration = Duration::from_secs(2);

/// The interval of reconciles for changes that no watch reports: an object of another owner with a needed name, another model's
/// upgrade.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Reconciles one model.
pub(crate) async fn reconcile(cached: Arc<CachedModel>, ctx: Arc<Context>) -> Result<Action, Error> {
    let place = NamespacedName::of(&*cached);
    let (env, namespace) = (&*ctx.env, place.namespace.as_str());
    let Some(model) = fresh::<Model>(env, &place).await? else {
        ctx.prober.forget(namespace, &place.name);
        return Ok(Action::await_change());
    };
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let valid = model::validate(model)?;
    let versions = dereference::versions(env, valid.model()).await?;
    let (mut world, pods) = dereference::world(env, valid.model(), &versions).await?;
    world.answer = ctx.prober.answer(namespace, &place.name);
    let decision = model::decide(&valid, &world, env.now());
    if decision.is_empty {
        delete(env, namespace, valid.model()).await?;
        return Ok(Action::await_change());
    }
    let valid = disown(env, namespace, valid, &versions).await?;
    let (valid, made) = carry_out(&ctx, namespace, valid, &decision, &mut world, &pods).await?;
    let (outcome, failure) = match made {
        Ok(outcome) => (outcome, None),
        Err(error) if error.refused() || error.failed() => {
            note_failure(&mut world, &error);
            (Outcome::default(), Some(error))
        }
        Err(error) => {
            // The decision is recorded although it could not be carried out. It is decided again, because the name of
            // the key may have been recorded since: without it the next reconcile would make another key, and another template.
            let decision = model::decide(&valid, &world, env.now());
            write_status(env, valid, &decision).await?;
            return Err(error);
        }
    };
    let keyless = failure.is_none() && is_held_up(&world);
    note_outcome(&ctx, &place, &decision, &outcome, &mut world);
    let decision = model::decide(&valid, &world, env.now());
    let valid = write_status(env, valid, &decision).await?;
    let valid = propose_next(env, namespace, valid, &decision, &mut world).await?;
    if let Some(error) = failure {
        return Err(error);
    }
    if keyless {
        return Ok(Action::requeue(jittered(UNWATCHED)));
    }
    if let Some(serve) = &decision.serve {
        let template = world.deployment.take().and_then(|deployment| deployment.routes);
        let in_use = [Some(serve.routes.name.clone()), template];
        let in_use = in_use.into_iter().flatten().collect();
        collect_routes(env, namespace, valid.model(), &outcome.sets, in_use).await?;
    }
    let made = world.made.unwrap_or_default();
    let next = next_look(&made, &outcome, valid.model(), decision.again, env.now());
    Ok(Action::requeue(jittered(next)))
}

/// Records a change of routes, then brings key and children to the desired state. Returns the model as recorded, and the result for its
/// children.
async fn carry_out(
    ctx: &Context,
    namespace: &str,
    valid: Validated,
    decision: &Decision,
    world: &mut World,
    pods: &[Pod],
) -> Result<(Validated, Result<Outcome, Error>), Error> {
    let env = &*ctx.env;
    let changed = routes_changed(valid.model(), decision);
    let settled = is_ready(valid.model()) && !changed;
    // The record is written before its effects, so the serving objects are never newer than it.
    let valid = if changed {
        write_status(env, valid, decision).await?
    } else {
        valid
    };
    let Some(serve) = &decision.serve else {
        let made = delete_children(env, namespace, valid.model()).await;
        return Ok((valid, made));
    };
    let keyed = ensure_key(env, &ctx.key_names, namespace, valid).await;
    let valid = keyed.or_else(|failure| {
        let (valid, error) = *failure;
        if !error.refused() && !error.failed() {
            return Err(error);
        }
        note_failure(world, &error);
        Ok(valid)
    })?;
    if is_held_up(world) {
        return Ok((valid, Ok(Outcome::default())));
    }
    let made = Box::pin(apply_children(ctx, namespace, &valid, serve, settled, pods)).await;
    Ok((valid, made))
}

/// Adds the result for the children to the world, and has the Service probed.
fn note_outcome(
    ctx: &Context,
    place: &NamespacedName,
    decision: &Decision,
    outcome: &Outcome,
    world: &mut World,
) {
    let NamespacedName { namespace, name } = place;
    world.taken.clone_from(&outcome.taken);
    if let Some(deployment) = &outcome.deployment {
        world.deployment = Some(deployment.clone());
    }
    match (&decision.serve, &outcome.address) {
        (Some(serve), Some(address)) => {
            let digest = serve.routes.digest();
            ctx.prober.expect(namespace, name, address, digest);
            world.answer = ctx.prober.answer(namespace, name);
        }
        (None, _) => ctx.prober.forget(namespace, name),
        _ => {}
    }
    world.made.clone_from(&outcome.made);
}

/// Proposes the next version, if the decision says so. A rejection by the API server is recorded.
async fn propose_next(
    env: &Env,
    namespace: &str,
    valid: Validated,
    decision: &Decision,
    world: &mut World,
) -> Result<Validated, Error> {
    let Some(proposed) = &decision.propose else {
        return Ok(valid);
    };
    let Err(error) = propose(env, namespace, &valid, proposed).await else {
        return Ok(valid);
    };
    if error.hinders() {
        world.unproposed = Some(error.words());
        let decision = model::decide(&valid, world, env.now());
        write_status(env, valid, &decision).await?;
    }
    Err(error)
}

/// When to reconcile again without an event.
fn next_look(
    made: &Made,
    outcome: &Outcome,
    model: &Model,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Duration {
    let held = made.turn != Turn::Now || !made.rivals.is_empty();
    let admitted = made.altered.iter().any(|altered| altered.by_admission);
    if outcome.going {
        SOON
    } else if outcome.taken.is_some() || held {
        UNWATCHED
    } else if admitted && !is_ready(model) {
        // Admission's changes may be the reason why the model is not Ready.
        children::ADMITTED_FOR.unsigned_abs()
    } else {
        again
            .and_then(|at| Duration::try_from(now.duration_until(at)).ok())
            .map_or(RESYNC, |wait| wait.clamp(SOON, RESYNC))
    }
}

/// Whether the API server did not create what the children need.
fn is_held_up(world: &World) -> bool {
    world.refused.is_some() || world.failed.is_some()
}

fn note_failure(world: &mut World, error: &Error) {
    let words = Some(error.words());
    if error.refused() {
        world.refused = words;
    } else {
        world.failed = words;
    }
}

fn is_ready(model: &Model) -> bool {
    conditions::is_true(conditions_of(model), ConditionType::Ready)
}
