//! Creates the objects that serve a model, or deletes them.

use std::collections::BTreeSet;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        autoscaling::v2::HorizontalPodAutoscaler,
        core::v1::{Pod, Service},
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Api, Resource as _, ResourceExt as _};
use modelward_core::{
    children::{self, Bounds, Judgement},
    conditions::{self, Status},
    model::{Altered, DeploymentSeen, Made, Serve, Validated},
    names::name_hash,
    upgrade::Turn,
};
use modelward_crds::{ConditionType, Model, RolloutStatus};

use crate::{
    Context, Error,
    api::{
        Env,
        apply::{self, Applied, Owner},
        create::Namespaced,
    },
    model::{build, dereference, key::recorded_key, pods, status::conditions_of},
};

/// The result of writing the children.
#[derive(Default)]
pub(super) struct Outcome {
    /// A child is being deleted and has to be recreated afterwards.
    pub(super) going: bool,
    /// An object with that name is not the operator's.
    pub(super) taken: Option<String>,
    /// The entries of the children in the record, once all of them were processed.
    pub(super) made: Option<Made>,
    /// The Deployment after it was compared and written.
    pub(super) deployment: Option<DeploymentSeen>,
    /// The Service's address.
    pub(super) address: Option<String>,
    /// The ReplicaSets of the Deployment.
    pub(super) sets: Vec<ReplicaSet>,
}

/// The children so far.
struct Making<'a> {
    ctx: &'a Context,
    namespace: &'a str,
    owner: Owner<'a>,
    outcome: Outcome,
    made: Made,
}

// === impl Making ===

impl Making<'_> {
    async fn child<K: Namespaced>(&mut self, desired: K) -> Result<Option<serde_json::Value>, Error> {
        let live = apply::live::<K>(&self.ctx.env, self.namespace, &desired.name_any()).await?;
        self.compared(live, desired, None).await
    }

    async fn compared<K: Namespaced>(
        &mut self,
        live: Option<kube::api::DynamicObject>,
        desired: K,
        bounds: Option<Bounds>,
    ) -> Result<Option<serde_json::Value>, Error> {
        let (ctx, owner) = (self.ctx, &self.owner);
        let (env, writes, namespace) = (&ctx.env, &ctx.writes, self.namespace);
        match Box::pin(apply::child(
            env, writes, namespace, owner, live, &desired, bounds,
        ))
        .await?
        {
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

pub(super) async fn apply_children(
    ctx: &Context,
    namespace: &str,
    valid: &Validated,
    serve: &Serve,
    settled: bool,
    pods: &[Pod],
) -> Result<Outcome, Error> {
    let model = valid.model();
    let about = model.object_ref(&());
    let status = model.status.clone().unwrap_or_default();
    let owner = Owner {
        reference: valid.owner().clone(),
        about: &about,
        settled,
        recorded: &status.children,
        by_content: false,
    };
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

    // The Service first: if its name is taken, no Pods should be created behind an object of another owner.
    let service = making.child(build::service(model)?).await?;
    let address = service.as_ref().and_then(dereference::address);
    making.outcome.address = address.map(ToOwned::to_owned);
    making.child(build::routes(model, &serve.routes)?).await?;
    if making.outcome.going || making.outcome.taken.is_some() {
        return Ok(making.outcome);
    }
    let live = apply::live::<Deployment>(&ctx.env, namespace, &name).await?;
    let secret = status.key_secret.as_deref().unwrap_or_default();
    let wanted = build::deployment(&ctx.env.config, model, serve, secret)?;
    let (wanted, configuration, turn) = in_turn(ctx, model, live.as_ref(), wanted)?;
    let bounds = serve.serving.replicas.clone();
    let bounds = Bounds {
        min: bounds.min,
        max: bounds.max,
    };
    let deployment = making.compared(live, wanted, Some(bounds)).await?;
    if making.outcome.taken.is_some() {
        // An autoscaler selects its target by name: the operator's would scale an object of another owner.
        delete_child::<HorizontalPodAutoscaler>(&ctx.env, namespace, model, &name).await?;
        return Ok(making.outcome);
    }
    making.child(build::autoscaler(model, serve)?).await?;
    making.child(build::budget(model)?).await?;
    let rivals = dereference::rivals(&ctx.env, namespace, model).await?;
    making.made.set_rivals(rivals);
    let (Some(deployment), None, false) = (deployment, &making.outcome.taken, making.outcome.going) else {
        return Ok(making.outcome);
    };
    making.made.rollout = Some(rollout(&ctx.env, model, &deployment, configuration));
    making.made.turn = turn;
    let typed: Deployment = apply::build("Deployment", deployment)?;
    making.outcome.deployment = Some(pods::deployment_seen(&typed));
    making.outcome.sets = dereference::sets(&ctx.env, namespace, model).await?;
    let altered = replace_strays(ctx, &making.owner, namespace, model, pods, &making.outcome.sets).await?;
    making.made.altered.extend(altered);
    making.outcome.made = Some(making.made);
    Ok(making.outcome)
}

/// The desired Deployment: a change of the operator's configuration reaches the models in turn, and a waiting one keeps its template,
/// with the routes of its record.
fn in_turn(
    ctx: &Context,
    model: &Model,
    live: Option<&kube::api::DynamicObject>,
    wanted: Deployment,
) -> Result<(Deployment, String, Turn), Error> {
    let configuration = build::configuration(&ctx.env.config);
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
        // One that another client changed cannot be restored to a template that this operator does not make.
        Some(recorded) => children::template_hash(&found) == recorded.template,
        None => true,
    };
    if !held {
        return Ok((wanted, configuration, Turn::Now));
    }
    let turn = ctx
        .upgrades
        .turn(&ctx.env, &ctx.cache.models, model, &configuration);
    if turn == Turn::Now {
        return Ok((wanted, configuration, turn));
    }
    let former = recorded.map_or_else(String::new, |recorded| recorded.configuration.clone());
    Ok((build::with_former_template(&wanted, &found)?, former, turn))
}

/// The entry of the current Pod template in the record.
fn rollout(env: &Env, model: &Model, deployment: &serde_json::Value, configuration: String) -> RolloutStatus {
    let template = children::template_hash(deployment);
    let status = model.status.as_ref();
    let before = status.and_then(|status| status.rollout.as_ref());
    let settled = match before {
        Some(before) if before.configuration == configuration => before.settled,
        // A model that was not Ready before says nothing about the new template.
        Some(_) => !was_ready(model),
        None => true,
    };
    RolloutStatus {
        since: match before {
            Some(before) if before.template == template => before.since.clone(),
            _ => Time(conditions::whole_seconds(env.now())),
        },
        template,
        configuration,
        settled,
    }
}

/// Deletes Pods behind the Service that do not come from the Deployment. Their ReplicaSet creates new ones.
async fn replace_strays(
    ctx: &Context,
    owner: &Owner<'_>,
    namespace: &str,
    model: &Model,
    pods: &[Pod],
    sets: &[ReplicaSet],
) -> Result<Vec<Altered>, Error> {
    let strays = pods::strays(model, pods, sets);
    let reasons: BTreeSet<_> = strays.iter().map(|stray| stray.why.clone()).collect();
    let mut left = Vec::new();
    for why in reasons {
        let (key, found) = (
            format!("{namespace}/Pod {}", model.name_any()),
            name_hash([why.as_bytes()]),
        );
        let alike = strays.iter().filter(|stray| stray.why == why);
        if ctx.writes.judge_child(&key, "", &found, ctx.env.now()) != Judgement::Restore {
            left.extend(alike.map(|stray| Altered {
                child: format!("Pod {}", stray.pod.name_any()),
                fields: vec!["/spec/containers/inference/image".to_owned()],
                by_admission: false,
            }));
            continue;
        }
        for stray in alike {
            let name = stray.pod.name_any();
            apply::delete(&ctx.env, namespace, &stray.pod).await?;
            let note = format!("Pod {name} is deleted: {why}");
            apply::tampered::<Pod>(&ctx.env, namespace, &name, owner, note).await;
        }
        ctx.writes.note_child(&key, "", Some(&found), None, ctx.env.now());
    }
    Ok(left)
}

/// Deletes the serving objects, because no version should serve. The Secret is kept, because its key signed the ids of earlier
/// predictions.
pub(super) async fn delete_children(env: &Env, namespace: &str, model: &Model) -> Result<Outcome, Error> {
    let name = model.name_any();
    delete_child::<HorizontalPodAutoscaler>(env, namespace, model, &name).await?;
    delete_child::<Deployment>(env, namespace, model, &name).await?;
    delete_child::<PodDisruptionBudget>(env, namespace, model, &name).await?;
    delete_child::<Service>(env, namespace, model, &name).await?;
    let sets = dereference::sets(env, namespace, model).await?;
    collect_routes(env, namespace, model, &sets, BTreeSet::new()).await?;
    Ok(Outcome {
        made: Some(Made {
            children: recorded_key(model).cloned().into_iter().collect(),
            ..Made::default()
        }),
        ..Outcome::default()
    })
}

async fn delete_child<K: Namespaced>(
    env: &Env,
    namespace: &str,
    model: &Model,
    name: &str,
) -> Result<(), Error> {
    let api = Api::<K>::namespaced(env.client.clone(), namespace);
    let kind = K::kind(&());
    let Some(found) = env.call(format!("read {kind} {name}"), api.get_opt(name)).await? else {
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
        apply::delete(env, namespace, &found).await?;
    }
    Ok(())
}

/// Deletes routes that no `ReplicaSet` names any more. A Pod of a ReplicaSet that names them needs them to restart.
pub(super) async fn collect_routes(
    env: &Env,
    namespace: &str,
    model: &Model,
    sets: &[ReplicaSet],
    mut in_use: BTreeSet<String>,
) -> Result<(), Error> {
    in_use.extend(dereference::named_routes(sets));
    for routes in dereference::routes(env, namespace, model).await? {
        if !in_use.contains(&routes.name_any()) {
            apply::delete(env, namespace, &routes).await?;
        }
    }
    Ok(())
}

fn was_ready(model: &Model) -> bool {
    conditions::find(conditions_of(model), ConditionType::Ready)
        .is_some_and(|ready| conditions::status(ready) != Status::False)
}
