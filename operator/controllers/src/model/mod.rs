//! The `Model` controller: which version serves, and everything that makes it serve.

mod build;
mod dereference;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{ConfigMap, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    conditions,
    model::{self, Decision, Proposed, Serve},
    reasons,
};
use modelward_crds::{FIELD_MANAGER, Model, ModelVersion, RemediationAction, annotations, conditions::types};
use modelward_wire::Digest;

use crate::{
    Context, Error,
    apply::{self, Applied, Child, Owner},
    backoff::jittered,
    events,
    ledger::chain,
};

const RESYNC: Duration = Duration::from_mins(15);
const SOON: Duration = Duration::from_secs(2);

/// Brings one model closer to what it should be.
pub async fn reconcile(cached: Arc<Model>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let Some(model) = apply::fresh(&ctx, &*cached).await? else {
        return Ok(Action::await_change());
    };
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let versions = dereference::versions(&ctx, &model).await?;
    let mut world = dereference::world(&ctx, &model, &versions).await?;
    let mut decision = model::decide(&model, &world, ctx.now());
    if decision.remove {
        // The garbage collector does this where the owners were deleted; it does not where they were orphaned.
        apply::delete(&ctx, &namespace, &model).await?;
        return Ok(Action::await_change());
    }
    let mut model = own(&ctx, &namespace, model, &versions).await?;
    let settled = is_ready(&model) && !routes_changed(&model, &decision);

    // The record is written before its effects: what serves is never newer than what the record says should.
    if routes_changed(&model, &decision) {
        model = write_status(&ctx, model, &decision).await?;
    }
    let made = match &decision.serve {
        Some(serve) => Box::pin(make(&ctx, &namespace, &model, serve, settled)).await,
        None => unmake(&ctx, &namespace, &model)
            .await
            .map(|()| Outcome::default()),
    };
    let (outcome, refusal) = match made {
        Ok(outcome) => (outcome, None),
        Err(error) if error.refused() => (Outcome::default(), Some(error)),
        Err(error) => {
            // What could be decided is worth writing down though it could not be carried out.
            write_status(&ctx, model, &decision).await?;
            return Err(error);
        }
    };
    world.refused = refusal.as_ref().map(|error| chain(error));
    world.taken.clone_from(&outcome.taken);
    if world.refused.is_some() || world.taken.is_some() {
        decision = model::decide(&model, &world, ctx.now());
    }
    if outcome.key_secret.is_some() {
        decision.status.key_secret = outcome.key_secret;
    }
    let model = write_status(&ctx, model, &decision).await?;
    if let Some(proposed) = &decision.propose {
        propose(&ctx, &namespace, &model, proposed).await?;
    }
    if let Some(error) = refusal {
        return Err(error);
    }
    if let Some(serve) = &decision.serve {
        let template = world.deployment.and_then(|deployment| deployment.routes);
        let in_use = [Some(serve.routes.name.clone()), template]
            .into_iter()
            .flatten()
            .collect();
        collect_routes(&ctx, &namespace, &model, in_use).await?;
    }
    let next = if outcome.going {
        SOON
    } else if outcome.taken.is_some() {
        // It carries no label of ours, so nothing tells us when it goes.
        Duration::from_secs(10)
    } else {
        RESYNC
    };
    Ok(Action::requeue(jittered(next)))
}

/// What came of making the children.
#[derive(Default)]
struct Outcome {
    /// Something of ours is being deleted and has to be made again afterwards.
    going: bool,
    /// A child of that name is not ours.
    taken: Option<String>,
    /// The Secret that was made sure of.
    key_secret: Option<String>,
}

// === impl Outcome ===

impl Outcome {
    fn note<K: Child>(&mut self, applied: &Applied, name: &str) {
        match applied {
            Applied::Going => self.going = true,
            Applied::Taken if self.taken.is_none() => self.taken = Some(format!("{} {name}", K::kind(&()))),
            Applied::Taken | Applied::Unchanged | Applied::Written => {}
        }
    }
}

/// Every version owns the record, so that it goes with the last of them and not before.
async fn own(
    ctx: &Context,
    namespace: &str,
    model: Model,
    versions: &[ModelVersion],
) -> Result<Model, Error> {
    let mut wanted: Vec<OwnerReference> = versions
        .iter()
        .filter_map(|version| version.owner_ref(&()))
        .collect();
    wanted.sort_by(|a, b| a.uid.cmp(&b.uid));
    let mut present = model.owner_references().to_vec();
    present.sort_by(|a, b| a.uid.cmp(&b.uid));
    if wanted.is_empty() || wanted == present {
        return Ok(model);
    }
    let name = model.name_any();
    let patch = serde_json::json!({"metadata": {
        "uid": model.uid(),
        "resourceVersion": model.resource_version(),
        "ownerReferences": wanted,
    }});
    let api = Api::<Model>::namespaced(ctx.client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let write = api.patch(&name, &params, &patch);
    let owned = ctx.call(format!("own Model {name}"), write).await?;
    ctx.metrics.wrote("Model", "merge");
    Ok(owned)
}

async fn make(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    serve: &Serve,
    settled: bool,
) -> Result<Outcome, Error> {
    let about = model.object_ref(&());
    let reference = model.controller_owner_ref(&()).ok_or(Error::Incomplete {
        what: "Model",
        field: "metadata.uid",
    })?;
    let owner = Owner {
        reference,
        about: &about,
        settled,
    };
    let name = model.name_any();
    let mut outcome = Outcome::default();

    // It cannot be looked at, only made: while all is well, or something else is known to be wrong, it must be there.
    if model
        .status
        .as_ref()
        .is_none_or(|status| status.key_secret.is_none())
        || may_lack_its_key(model)
    {
        outcome.key_secret = Some(make_key(ctx, namespace, model, &owner).await?);
    }
    // The Service first: where its name is taken, nothing else of ours should stand behind a name that is not ours.
    let service: Service = build::service(model)?;
    let applied = apply::child(ctx, namespace, &owner, service).await?;
    outcome.note::<Service>(&applied, &name);
    let routes: ConfigMap = build::routes(model, &serve.routes)?;
    let applied = apply::child(ctx, namespace, &owner, routes).await?;
    outcome.note::<ConfigMap>(&applied, &serve.routes.name);
    if outcome.going || outcome.taken.is_some() {
        return Ok(outcome);
    }
    let deployment: Deployment = build::deployment(&ctx.config, model, serve)?;
    let applied = Box::pin(apply::child(ctx, namespace, &owner, deployment)).await?;
    outcome.note::<Deployment>(&applied, &name);
    if outcome.taken.is_some() {
        // An autoscaler goes by name: ours would scale what is not ours.
        remove::<HorizontalPodAutoscaler>(ctx, namespace, model, &name).await?;
        return Ok(outcome);
    }
    let autoscaler: HorizontalPodAutoscaler = build::autoscaler(model, serve)?;
    let applied = apply::child(ctx, namespace, &owner, autoscaler).await?;
    outcome.note::<HorizontalPodAutoscaler>(&applied, &name);
    let budget: PodDisruptionBudget = build::budget(model)?;
    let applied = apply::child(ctx, namespace, &owner, budget).await?;
    outcome.note::<PodDisruptionBudget>(&applied, &name);
    Ok(outcome)
}

/// Makes the action that lets another version serve. One of its name is it.
async fn propose(ctx: &Context, namespace: &str, model: &Model, proposed: &Proposed) -> Result<(), Error> {
    let mut action = build::proposal(model, proposed)?;
    // The admission policies ask for it; a cluster that stamps it says the same.
    let proposer = ctx.whoami().await?.to_owned();
    action
        .annotations_mut()
        .insert(annotations::PROPOSED_BY.to_owned(), proposer);
    let name = &proposed.name;
    let api = Api::<RemediationAction>::namespaced(ctx.client.clone(), namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match ctx
        .call(
            format!("create RemediationAction {name}"),
            api.create(&params, &action),
        )
        .await
    {
        Ok(_) => ctx.metrics.wrote("RemediationAction", "create"),
        Err(error) if error.code() == Some(409) => return Ok(()),
        Err(error) => return Err(error),
    }
    let about = model.object_ref(&());
    let note = format!("{name} is proposed: {}", proposed.message);
    let reason = reasons::AWAITING_PROMOTION;
    events::publish(ctx, &about, EventType::Normal, reason, "Propose", note).await;
    Ok(())
}

/// Makes the Secret with the key of prediction ids and the one of synthetic traffic, once. The operator may create Secrets
/// and can read none.
async fn make_key(ctx: &Context, namespace: &str, model: &Model, owner: &Owner<'_>) -> Result<String, Error> {
    let name = format!("{}-modelward", model.name_any());
    let secret = Secret {
        metadata: kube::api::ObjectMeta {
            name: Some(name.clone()),
            labels: Some(build::label_map(model)),
            owner_references: Some(vec![owner.reference.clone()]),
            ..kube::api::ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(
            [
                ("prediction-id.key", rand::random::<[u8; 32]>().to_vec()),
                // As text: it travels in a header.
                (
                    "traffic.key",
                    Digest::from_bytes(rand::random()).hex().into_bytes(),
                ),
            ]
            .map(|(name, key)| (name.to_owned(), ByteString(key)))
            .into(),
        ),
        ..Secret::default()
    };
    let api = Api::<Secret>::namespaced(ctx.client.clone(), namespace);
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match ctx
        .call(format!("create Secret {name}"), api.create(&params, &secret))
        .await
    {
        Ok(_) => ctx.metrics.wrote("Secret", "create"),
        Err(error) if error.code() == Some(409) => {}
        Err(error) => return Err(error),
    }
    Ok(name)
}

/// Takes away what serves: no version should.
async fn unmake(ctx: &Context, namespace: &str, model: &Model) -> Result<(), Error> {
    let name = model.name_any();
    remove::<HorizontalPodAutoscaler>(ctx, namespace, model, &name).await?;
    remove::<Deployment>(ctx, namespace, model, &name).await?;
    remove::<PodDisruptionBudget>(ctx, namespace, model, &name).await?;
    remove::<Service>(ctx, namespace, model, &name).await?;
    collect_routes(ctx, namespace, model, BTreeSet::new()).await
}

async fn remove<K: Child>(ctx: &Context, namespace: &str, model: &Model, name: &str) -> Result<(), Error> {
    let api = Api::<K>::namespaced(ctx.client.clone(), namespace);
    let kind = K::kind(&());
    let Some(found) = ctx.call(format!("read {kind} {name}"), api.get_opt(name)).await? else {
        return Ok(());
    };
    let ours = found
        .owner_references()
        .iter()
        .any(|reference| Some(&reference.uid) == model.uid().as_ref());
    if ours && found.meta().deletion_timestamp.is_none() {
        apply::delete(ctx, namespace, &found).await?;
    }
    Ok(())
}

/// Deletes routes that no `ReplicaSet` names any more: a Pod of one that does could not start again without them.
async fn collect_routes(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    mut in_use: BTreeSet<String>,
) -> Result<(), Error> {
    in_use.extend(dereference::named_routes(ctx, namespace, model).await?);
    for routes in dereference::routes(ctx, namespace, model).await? {
        if !in_use.contains(&routes.name_any()) {
            apply::delete(ctx, namespace, &routes).await?;
        }
    }
    Ok(())
}

async fn write_status(ctx: &Context, model: Model, decision: &Decision) -> Result<Model, Error> {
    let old = model.status.as_ref();
    let Some(written) = apply::status(ctx, &model, old, &decision.status).await? else {
        return Ok(model);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    events::conditions_changed(ctx, &model, before, &decision.status.conditions).await;
    let claim = old.and_then(|status| status.active_action.as_ref());
    if let (Some(claim), None) = (claim, &decision.status.active_action) {
        let note = format!("{} is gone, and its claim on the model is released", claim.name);
        let reason = reasons::CLAIM_RELEASED;
        events::publish(
            ctx,
            &model.object_ref(&()),
            EventType::Warning,
            reason,
            "Release",
            note,
        )
        .await;
    }
    if routes_changed(&model, decision) {
        let about = model.object_ref(&());
        let note = match decision.status.routes.first() {
            Some(route) => format!("{} takes over, bundle {}", route.version, route.digest),
            None => "no version serves any more".to_owned(),
        };
        let reason = reasons::ROLLOUT_IN_PROGRESS;
        events::publish(ctx, &about, EventType::Normal, reason, "Route", note).await;
    }
    Ok(written)
}

fn routes_changed(model: &Model, decision: &Decision) -> bool {
    let before = model
        .status
        .as_ref()
        .map(|status| status.routes.as_slice())
        .unwrap_or_default();
    before != decision.status.routes
}

/// Whether Pods do not come up for a reason that could be a Secret that somebody deleted.
fn may_lack_its_key(model: &Model) -> bool {
    let conditions = model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let reason = conditions::find(conditions, types::READY).map(|ready| ready.reason.as_str());
    matches!(
        reason,
        None | Some(reasons::ROLLOUT_IN_PROGRESS | reasons::ROLLOUT_STUCK | reasons::TOO_FEW_PODS)
    )
}

fn is_ready(model: &Model) -> bool {
    let conditions = model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions::is_true(conditions, types::READY)
}
