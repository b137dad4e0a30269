//! The `Model` controller: which version serves, and everything that makes it serve.

mod build;
mod dereference;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::{Deployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, Secret, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    children::{self, Bounds, Judgement},
    conditions::{self, Status},
    model::{self, Altered, Decision, DeploymentSeen, Made, Proposed, Serve},
    names::name_hash,
    reason::Reason,
    upgrade::Turn,
};
use modelward_crds::{
    ChildReference, ConditionType, FIELD_MANAGER, Model, ModelVersion, RemediationAction, RolloutStatus,
};
use modelward_wire::Digest;

use crate::{
    Context, Error,
    apply::{self, Applied, Child, Owner},
    backoff::jittered,
    events,
    metrics::Verb,
};

const RESYNC: Duration = Duration::from_mins(15);
const SOON: Duration = Duration::from_secs(2);
/// What no watch reports is looked at again after so long: a foreign object of a needed name, another model's upgrade.
const UNWATCHED: Duration = Duration::from_secs(10);

/// Brings one model closer to what it should be.
pub async fn reconcile(cached: Arc<Model>, ctx: Arc<Context>) -> Result<Action, Error> {
    let namespace = cached.namespace().unwrap_or_default();
    let name = cached.name_any();
    let Some(model) = apply::fresh(&ctx, &*cached).await? else {
        ctx.prober.forget(&namespace, &name);
        return Ok(Action::await_change());
    };
    if model.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let versions = dereference::versions(&ctx, &model).await?;
    let (mut world, pods) = dereference::world(&ctx, &model, &versions).await?;
    world.answer = ctx.prober.answer(&namespace, &name);
    let decision = model::decide(&model, &world, ctx.now());
    if decision.is_empty {
        apply::delete(&ctx, &namespace, &model).await?;
        return Ok(Action::await_change());
    }
    let mut model = disown(&ctx, &namespace, model, &versions).await?;
    let settled = is_ready(&model) && !routes_changed(&model, &decision);

    // The record is written before its effects: what serves is never newer than what the record says should.
    if routes_changed(&model, &decision) {
        model = write_status(&ctx, model, &decision).await?;
    }
    if decision.serve.is_some() {
        model = ensure_key(&ctx, &namespace, model).await.or_else(|failure| {
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
        Some(serve) => Box::pin(make(&ctx, &namespace, &model, serve, settled, &pods)).await,
        None => unmake(&ctx, &namespace, &model).await,
    };
    let (outcome, failure) = match made {
        Ok(outcome) => (outcome, None),
        Err(error) if error.refused() || error.failed() => {
            note_failure(&mut world, &error);
            (Outcome::default(), Some(error))
        }
        Err(error) => {
            // What could be decided is worth writing down though it could not be carried out. It is decided again, for the name of
            // the key may have been recorded since: without it the next reconcile would make another key, and another template.
            let decision = model::decide(&model, &world, ctx.now());
            write_status(&ctx, model, &decision).await?;
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
    let decision = model::decide(&model, &world, ctx.now());
    let model = write_status(&ctx, model, &decision).await?;
    if let Some(proposed) = &decision.propose
        && let Err(error) = propose(&ctx, &namespace, &model, proposed).await
    {
        if error.hinders() {
            world.unproposed = Some(error.words());
            let decision = model::decide(&model, &world, ctx.now());
            write_status(&ctx, model, &decision).await?;
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
        collect_routes(&ctx, &namespace, &model, &outcome.sets, in_use).await?;
    }
    let made = world.made.unwrap_or_default();
    let held = made.turn != Turn::Now || !made.rivals.is_empty();
    let admitted = made.altered.iter().any(|altered| altered.by_admission);
    let next = if outcome.going {
        SOON
    } else if outcome.taken.is_some() || held {
        UNWATCHED
    } else if admitted && !is_ready(&model) {
        // What admission makes of each write may be what keeps the model from being Ready.
        children::ADMITTED_FOR.unsigned_abs()
    } else {
        let again = decision.again.map(|at| ctx.now().duration_until(at));
        again
            .and_then(|wait| Duration::try_from(wait).ok())
            .map_or(RESYNC, |wait| wait.clamp(SOON, RESYNC))
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
    /// What the record says of the children, once all of them were looked at.
    made: Option<Made>,
    /// The Deployment as it is after it was compared and written.
    deployment: Option<DeploymentSeen>,
    /// The Service's address.
    address: Option<String>,
    /// The ReplicaSets of the Deployment.
    sets: Vec<ReplicaSet>,
}

/// What was made so far.
struct Making<'a> {
    ctx: &'a Context,
    namespace: &'a str,
    owner: Owner<'a>,
    outcome: Outcome,
    made: Made,
}

// === impl Making ===

impl Making<'_> {
    async fn child<K: Child>(&mut self, desired: K) -> Result<Option<serde_json::Value>, Error> {
        let live = apply::live::<K>(self.ctx, self.namespace, &desired.name_any()).await?;
        self.compared(live, desired, None).await
    }

    async fn compared<K: Child>(
        &mut self,
        live: Option<kube::api::DynamicObject>,
        desired: K,
        bounds: Option<Bounds>,
    ) -> Result<Option<serde_json::Value>, Error> {
        let (ctx, owner) = (self.ctx, &self.owner);
        match Box::pin(apply::child(ctx, self.namespace, owner, live, &desired, bounds)).await? {
            Applied::Going => self.outcome.going = true,
            Applied::Taken => {
                let taken = format!("{} {}", K::kind(&()), desired.name_any());
                self.outcome.taken.get_or_insert(taken);
            }
            Applied::There(there) => {
                self.made.children.push(there.reference);
                self.made.altered.extend(there.altered);
                return Ok(Some(there.object));
            }
        }
        Ok(None)
    }
}

/// No version owns the record: it stays when they go. Former releases made each version an owner.
async fn disown(
    ctx: &Context,
    namespace: &str,
    model: Model,
    versions: &[ModelVersion],
) -> Result<Model, Error> {
    let kind = ModelVersion::kind(&());
    let is_version = |uid: &str| {
        versions
            .iter()
            .any(|version| version.uid().as_deref() == Some(uid))
    };
    let kept: Vec<_> = model
        .owner_references()
        .iter()
        .filter(|owner| owner.kind != kind && !is_version(&owner.uid))
        .cloned()
        .collect();
    if kept.len() == model.owner_references().len() {
        return Ok(model);
    }
    let name = model.name_any();
    let patch = serde_json::json!({"metadata": {
        "uid": model.uid(),
        "resourceVersion": model.resource_version(),
        "ownerReferences": kept,
    }});
    let api = Api::<Model>::namespaced(ctx.client.clone(), namespace);
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&patch);
    let write = api.patch(&name, &params, &patch);
    let disowned = ctx
        .call(format!("take the owners from Model {name}"), write)
        .await?;
    ctx.metrics.wrote("Model", Verb::Merge);
    Ok(disowned)
}

fn note_failure(world: &mut model::World, error: &Error) {
    let words = Some(error.words());
    if error.refused() {
        world.refused = words;
    } else {
        world.failed = words;
    }
}

async fn make(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    serve: &Serve,
    settled: bool,
    pods: &[Pod],
) -> Result<Outcome, Error> {
    let about = model.object_ref(&());
    let status = model.status.clone().unwrap_or_default();
    let owner = owner_of(model, &about, settled, &status.children)?;
    let name = model.name_any();
    let key = recorded_key(model);
    let mut making = Making {
        ctx,
        namespace,
        owner,
        outcome: Outcome::default(),
        made: Made {
            key_secret: status.key_secret.clone(),
            children: key.cloned().into_iter().collect(),
            ..Made::default()
        },
    };

    // The Service first: where its name is taken, nothing else of ours should stand behind a name that is not ours.
    let service = making.child(build::service(model)?).await?;
    let address = service.as_ref().and_then(dereference::address);
    making.outcome.address = address.map(ToOwned::to_owned);
    making.child(build::routes(model, &serve.routes)?).await?;
    if making.outcome.going || making.outcome.taken.is_some() {
        return Ok(making.outcome);
    }
    let live = apply::live::<Deployment>(ctx, namespace, &name).await?;
    let secret = status.key_secret.as_deref().unwrap_or_default();
    let wanted = build::deployment(&ctx.config, model, serve, secret)?;
    let (wanted, configuration, turn) = in_turn(ctx, model, live.as_ref(), wanted)?;
    let bounds = serve.serving.replicas.clone();
    let bounds = Bounds {
        min: bounds.min,
        max: bounds.max,
    };
    let deployment = making.compared(live, wanted, Some(bounds)).await?;
    if making.outcome.taken.is_some() {
        // An autoscaler goes by name: ours would scale what is not ours.
        remove::<HorizontalPodAutoscaler>(ctx, namespace, model, &name).await?;
        return Ok(making.outcome);
    }
    making.child(build::autoscaler(model, serve)?).await?;
    making.child(build::budget(model)?).await?;
    let rivals = dereference::rivals(ctx, namespace, model).await?;
    making.made.set_rivals(rivals);
    let (Some(deployment), None, false) = (deployment, &making.outcome.taken, making.outcome.going) else {
        return Ok(making.outcome);
    };
    making.made.rollout = Some(rollout(ctx, model, &deployment, configuration));
    making.made.turn = turn;
    let typed: Deployment = apply::build("Deployment", deployment)?;
    making.outcome.deployment = Some(dereference::deployment_seen(&typed));
    making.outcome.sets = dereference::sets(ctx, namespace, model).await?;
    let altered = replace_strays(&making.owner, ctx, namespace, model, pods, &making.outcome.sets).await?;
    making.made.altered.extend(altered);
    making.outcome.made = Some(making.made);
    Ok(making.outcome)
}

fn owner_of<'a>(
    model: &Model,
    about: &'a k8s_openapi::api::core::v1::ObjectReference,
    settled: bool,
    recorded: &'a [ChildReference],
) -> Result<Owner<'a>, Error> {
    let reference = model.controller_owner_ref(&()).ok_or(Error::Incomplete {
        what: "Model",
        field: "metadata.uid",
    })?;
    Ok(Owner {
        reference,
        about,
        settled,
        recorded,
        by_content: false,
    })
}

/// The Deployment to have now: a change of the operator's configuration reaches the models in turn, and one that waits keeps
/// the template that it has, with what its record says in it.
fn in_turn(
    ctx: &Context,
    model: &Model,
    live: Option<&kube::api::DynamicObject>,
    wanted: Deployment,
) -> Result<(Deployment, String, Turn), Error> {
    let configuration = build::configuration(&ctx.config);
    let recorded = model.status.as_ref().and_then(|status| status.rollout.as_ref());
    let ours = |live: &&kube::api::DynamicObject| {
        live.owner_references()
            .iter()
            .any(|owner| Some(&owner.uid) == model.uid().as_ref())
    };
    let Some(live) = live.filter(ours) else {
        return Ok((wanted, configuration, Turn::Now));
    };
    let found = serde_json::to_value(live).map_err(|source| Error::Build {
        what: "Deployment".to_owned(),
        source,
    })?;
    let held = match recorded {
        Some(recorded) if recorded.configuration == configuration => false,
        // One that another writer changed cannot be put back to a template that this operator does not make.
        Some(recorded) => children::template_hash(&found) == recorded.template,
        None => true,
    };
    if !held {
        return Ok((wanted, configuration, Turn::Now));
    }
    let turn = ctx.turn(model, &configuration);
    if turn == Turn::Now {
        return Ok((wanted, configuration, turn));
    }
    let former = recorded.map_or_else(String::new, |recorded| recorded.configuration.clone());
    Ok((build::with_former_template(&wanted, &found)?, former, turn))
}

/// What the record says of the Pod template that is there now.
fn rollout(
    ctx: &Context,
    model: &Model,
    deployment: &serde_json::Value,
    configuration: String,
) -> RolloutStatus {
    let template = children::template_hash(deployment);
    let status = model.status.as_ref();
    let before = status.and_then(|status| status.rollout.as_ref());
    let settled = match before {
        Some(before) if before.configuration == configuration => before.settled,
        // A model that was not Ready before proves nothing about the new template.
        Some(_) => !was_ready(model),
        None => true,
    };
    RolloutStatus {
        since: match before {
            Some(before) if before.template == template => before.since.clone(),
            _ => Time(conditions::whole_seconds(ctx.now())),
        },
        template,
        configuration,
        settled,
    }
}

/// Deletes Pods behind the Service that are not what the Deployment makes. Their ReplicaSet makes new ones.
async fn replace_strays(
    owner: &Owner<'_>,
    ctx: &Context,
    namespace: &str,
    model: &Model,
    pods: &[Pod],
    sets: &[ReplicaSet],
) -> Result<Vec<Altered>, Error> {
    let strays = dereference::strays(model, pods, sets);
    let reasons: BTreeSet<_> = strays.iter().map(|stray| stray.why.clone()).collect();
    let mut left = Vec::new();
    for why in reasons {
        let (key, found) = (
            format!("{namespace}/Pod {}", model.name_any()),
            name_hash([why.as_bytes()]),
        );
        let alike = strays.iter().filter(|stray| stray.why == why);
        if ctx.judge_child(&key, "", &found) != Judgement::Restore {
            left.extend(alike.map(|stray| Altered {
                child: format!("Pod {}", stray.pod.name_any()),
                fields: vec!["/spec/containers/inference/image".to_owned()],
                by_admission: false,
            }));
            continue;
        }
        for stray in alike {
            let name = stray.pod.name_any();
            apply::delete(ctx, namespace, &stray.pod).await?;
            let note = format!("Pod {name} is deleted: {why}");
            apply::tampered::<Pod>(ctx, namespace, &name, owner, note).await;
        }
        ctx.child_written(&key, "", Some(&found), None);
    }
    Ok(left)
}

/// Makes the action that lets another version serve. One of its name is it.
async fn propose(ctx: &Context, namespace: &str, model: &Model, proposed: &Proposed) -> Result<(), Error> {
    let action = build::proposal(model, proposed, ctx.whoami().await?)?;
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
        Ok(_) => ctx.metrics.wrote("RemediationAction", Verb::Create),
        Err(error) if error.code() == Some(409) => return Ok(()),
        Err(error) => return Err(error),
    }
    let about = model.object_ref(&());
    let note = format!("{name} is proposed: {}", proposed.message);
    let reason = Reason::AwaitingPromotion;
    events::publish(ctx, &about, EventType::Normal, reason, "Propose", note).await;
    Ok(())
}

/// The Secret that the operator made for this model.
fn recorded_key(model: &Model) -> Option<&ChildReference> {
    let status = model.status.as_ref()?;
    let name = status.key_secret.as_ref()?;
    status
        .children
        .iter()
        .find(|child| child.kind == "Secret" && &child.name == name)
}

/// Makes sure of the Secret with the key of prediction ids and the one of synthetic traffic, and notes it on the record. The
/// operator may create Secrets and can read none, so it relies on no Secret that it did not make itself: the name is drawn at
/// random, and is noted with the uid before anything uses it.
async fn ensure_key(ctx: &Context, namespace: &str, model: Model) -> Result<Model, Box<(Model, Error)>> {
    let name = match recorded_key(&model) {
        // It cannot be looked at, only made: while all is well, or something else is known to be wrong, it must be there.
        Some(_) if !may_lack_its_key(&model) => return Ok(model),
        Some(recorded) => recorded.name.clone(),
        None => ctx.key_name(&model),
    };
    let made = match make_key(ctx, namespace, &model, &name).await {
        Ok(Some(made)) => made,
        Ok(None) => return Ok(model),
        Err(error) => {
            if error.code() == Some(409) {
                ctx.forget_key_name(&model);
            }
            return Err(Box::new((model, error)));
        }
    };
    let mut status = model.status.clone().unwrap_or_default();
    status.key_secret = Some(name);
    status.children.retain(|child| child.kind != "Secret");
    status.children.insert(0, made);
    let written = apply::status(ctx, &model, model.status.as_ref(), &status).await;
    // Made and not recorded: nothing uses it, and the next one has another name.
    ctx.forget_key_name(&model);
    match written {
        Ok(written) => Ok(written.unwrap_or(model)),
        Err(error) => Err(Box::new((model, error))),
    }
}

/// Makes the Secret. None where one of that name is there.
async fn make_key(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    name: &str,
) -> Result<Option<ChildReference>, Error> {
    let owner = model.controller_owner_ref(&()).ok_or(Error::Incomplete {
        what: "Model",
        field: "metadata.uid",
    })?;
    let key = rand::random::<[u8; 32]>().to_vec();
    let applied = name_hash([key.as_slice()]);
    let secret = Secret {
        metadata: kube::api::ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(build::label_map(model)),
            owner_references: Some(vec![owner]),
            ..kube::api::ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(
            [
                ("prediction-id.key", key),
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
    let made = ctx
        .call(format!("create Secret {name}"), api.create(&params, &secret))
        .await;
    match made {
        Ok(made) => {
            ctx.metrics.wrote("Secret", Verb::Create);
            Ok(Some(ChildReference {
                kind: "Secret".to_owned(),
                name: name.to_owned(),
                uid: made.uid().unwrap_or_default(),
                applied,
            }))
        }
        // It is there. A name that is not recorded is drawn again.
        Err(error) if error.code() == Some(409) && recorded_key(model).is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes away what serves: no version should. The Secret stays: its key signed the ids of predictions that were given.
async fn unmake(ctx: &Context, namespace: &str, model: &Model) -> Result<Outcome, Error> {
    let name = model.name_any();
    remove::<HorizontalPodAutoscaler>(ctx, namespace, model, &name).await?;
    remove::<Deployment>(ctx, namespace, model, &name).await?;
    remove::<PodDisruptionBudget>(ctx, namespace, model, &name).await?;
    remove::<Service>(ctx, namespace, model, &name).await?;
    let sets = dereference::sets(ctx, namespace, model).await?;
    collect_routes(ctx, namespace, model, &sets, BTreeSet::new()).await?;
    Ok(Outcome {
        made: Some(Made {
            children: recorded_key(model).cloned().into_iter().collect(),
            ..Made::default()
        }),
        ..Outcome::default()
    })
}

async fn remove<K: Child>(ctx: &Context, namespace: &str, model: &Model, name: &str) -> Result<(), Error> {
    let api = Api::<K>::namespaced(ctx.client.clone(), namespace);
    let kind = K::kind(&());
    let Some(found) = ctx.call(format!("read {kind} {name}"), api.get_opt(name)).await? else {
        return Ok(());
    };
    let recorded = model.status.iter().flat_map(|status| &status.children);
    let is_recorded = recorded
        .into_iter()
        .any(|child| child.kind == kind && Some(&child.uid) == found.uid().as_ref());
    let ours = is_recorded
        || found
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
    sets: &[ReplicaSet],
    mut in_use: BTreeSet<String>,
) -> Result<(), Error> {
    in_use.extend(dereference::named_routes(sets));
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
        let reason = Reason::ClaimReleased;
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
        let reason = Reason::RolloutInProgress;
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

/// Whether Pods do not come up for a reason that could be a Secret that was deleted.
fn may_lack_its_key(model: &Model) -> bool {
    let conditions = model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    let reason = conditions::find(conditions, ConditionType::Ready).and_then(conditions::reason);
    matches!(
        reason,
        None | Some(Reason::RolloutInProgress | Reason::RolloutStuck | Reason::TooFewPods)
    )
}

fn is_ready(model: &Model) -> bool {
    let conditions = model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions::is_true(conditions, ConditionType::Ready)
}

fn was_ready(model: &Model) -> bool {
    let conditions = model
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    conditions::find(conditions, ConditionType::Ready)
        .is_some_and(|ready| conditions::status(ready) != Status::False)
}
