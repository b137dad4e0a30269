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

use kube::runtime::controller::Action;
use modelward_core::{children, conditions, model, upgrade::Turn};
use modelward_crds::{ConditionType, Model};

use crate::{
    Context, Error,
    api::NamespacedName,
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
    let found = crate::api::apply::fresh::<Model>(&ctx.env, &place).await?;
    let NamespacedName { namespace, name } = place;
    let Some(model) = found else {
        ctx.prober.forget(&namespace, &name);
        return Ok(Action::await_change());
    };
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let versions = dereference::versions(&ctx.env, &model).await?;
    let (mut world, pods) = dereference::world(&ctx.env, &model, &versions).await?;
    world.answer = ctx.prober.answer(&namespace, &name);
    let decision = model::decide(&model, &world, ctx.env.now());
    if decision.is_empty {
        crate::api::apply::delete(&ctx.env, &namespace, &model).await?;
        return Ok(Action::await_change());
    }
    let mut model = disown(&ctx.env, &namespace, model, &versions).await?;
    let settled = is_ready(&model) && !routes_changed(&model, &decision);

    // The record is written before its effects, so the serving objects are never newer than it.
    if routes_changed(&model, &decision) {
        model = write_status(&ctx.env, model, &decision).await?;
    }
    if decision.serve.is_some() {
        model = ensure_key(&ctx.env, &ctx.key_names, &namespace, model)
            .await
            .or_else(|failure| {
                let (model, error) = *failure;
                let refused = error.refused() || error.failed();
                if !refused {
                    return Err(error);
                }
                note_failure(&mut world, &error);
                Ok(model)
            })?;
    }
    let keyless = world.refused.is_some() || world.failed.is_some();
    let made = match &decision.serve {
        Some(_) if keyless => Ok(Outcome::default()),
        Some(serve) => Box::pin(apply_children(&ctx, &namespace, &model, serve, settled, &pods)).await,
        None => delete_children(&ctx.env, &namespace, &model).await,
    };
    let (outcome, failure) = match made {
        Ok(outcome) => (outcome, None),
        Err(error) if error.refused() || error.failed() => {
            note_failure(&mut world, &error);
            (Outcome::default(), Some(error))
        }
        Err(error) => {
            // The decision is recorded although it could not be carried out. It is decided again, because the name of
            // the key may have been recorded since: without it the next reconcile would make another key, and another template.
            let decision = model::decide(&model, &world, ctx.env.now());
            write_status(&ctx.env, model, &decision).await?;
            return Err(error);
        }
    };
    world.taken.clone_from(&outcome.taken);
    if let Some(deployment) = outcome.deployment {
        world.deployment = Some(deployment);
    }
    match (&decision.serve, &outcome.address) {
        (Some(serve), Some(address)) => {
            ctx.prober
                .expect(&namespace, &name, address, serve.routes.digest());
            world.answer = ctx.prober.answer(&namespace, &name);
        }
        (None, _) => ctx.prober.forget(&namespace, &name),
        _ => {}
    }
    world.made = outcome.made;
    let decision = model::decide(&model, &world, ctx.env.now());
    let model = write_status(&ctx.env, model, &decision).await?;
    if let Some(proposed) = &decision.propose
        && let Err(error) = propose(&ctx.env, &namespace, &model, proposed).await
    {
        if error.hinders() {
            world.unproposed = Some(error.words());
            let decision = model::decide(&model, &world, ctx.env.now());
            write_status(&ctx.env, model, &decision).await?;
        }
        return Err(error);
    }
    if let Some(error) = failure {
        return Err(error);
    }
    if keyless {
        return Ok(Action::requeue(jittered(UNWATCHED)));
    }
    if let Some(serve) = &decision.serve {
        let template = world.deployment.and_then(|deployment| deployment.routes);
        let in_use = [Some(serve.routes.name.clone()), template]
            .into_iter()
            .flatten()
            .collect();
        collect_routes(&ctx.env, &namespace, &model, &outcome.sets, in_use).await?;
    }
    let made = world.made.unwrap_or_default();
    let held = made.turn != Turn::Now || !made.rivals.is_empty();
    let admitted = made.altered.iter().any(|altered| altered.by_admission);
    let next = if outcome.going {
        SOON
    } else if outcome.taken.is_some() || held {
        UNWATCHED
    } else if admitted && !is_ready(&model) {
        // Admission's changes may be the reason why the model is not Ready.
        children::ADMITTED_FOR.unsigned_abs()
    } else {
        let again = decision.again.map(|at| ctx.env.now().duration_until(at));
        again
            .and_then(|wait| Duration::try_from(wait).ok())
            .map_or(RESYNC, |wait| wait.clamp(SOON, RESYNC))
    };
    Ok(Action::requeue(jittered(next)))
}

fn note_failure(world: &mut model::World, error: &Error) {
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
