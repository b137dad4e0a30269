//! The controller of `RemediationAction`s: plans, decisions and effects.
//!
//! [`round`] makes one write at a time, in its order, through this implementation of its reads and writes.

mod blocked;
mod dereference;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Resource, ResourceExt as _,
    runtime::{controller::Action, events::EventType},
};
use modelward_core::{
    action::{
        self, Decision, Validated, World,
        hands::{About, Announcement, Hands, Tried},
        round::{Rest, Settled, round},
    },
    attempt::StageJob,
    conditions, objects,
    policy::Policy,
    reason::Reason,
};
use modelward_crds::{
    ActionType, ConditionType, ModelStatus, ModelVersion, RemediationAction, RemediationActionStatus,
};
use modelward_service::chain;

use crate::{
    Context, Error,
    api::{
        Env, NamespacedName, apply,
        create::{Created, Namespaced, create},
        events,
    },
    cache::{Cache, action::CachedAction, cached::Key},
    jobs::{self, JobOwner, JobRequest, Started},
    runtime::backoff::jittered,
};

pub(crate) use blocked::Blocked;

/// Without any event an open action is reconciled again after this long.
const RESYNC: Duration = Duration::from_mins(15);
/// When an object of the operator is being deleted, its successor is created soon after.
const SOON: Duration = Duration::from_secs(2);

/// Advances one action.
pub(crate) async fn reconcile(cached: Arc<CachedAction>, ctx: Arc<Context>) -> Result<Action, Error> {
    if is_over(&ctx.cache, &cached, &ctx.env.config.policy) {
        return Ok(Action::await_change());
    }
    let name = NamespacedName::of(&*cached);
    let mut cluster = Cluster {
        ctx: &ctx,
        name: &name,
        counting: None,
    };
    match Box::pin(round(&mut cluster)).await? {
        Rest::Gone => {
            ctx.blocked.note(&ctx.env.metrics, &name.to_string(), None);
            Ok(Action::await_change())
        }
        Rest::Busy => Ok(Action::requeue(SOON)),
        Rest::Settled(settled) => rest(&ctx, &settled).await,
    }
}

/// Whether an action has ended and nothing is left to do for it, so that it need not be read: no model has a claim for it, it has no
/// Jobs, and either the ended actions of its model are within the limits or a later one deletes the surplus.
fn is_over(cache: &Cache, cached: &CachedAction, policy: &Policy) -> bool {
    let Some(ended_at) = cached.ended_at.filter(|_| cached.observed) else {
        return false;
    };
    let uid = cached.uid().unwrap_or_default();
    let model = NamespacedName::of(cached).beside(&cached.model);
    let own_model = cache.models.get(&model);
    let readable = own_model.as_ref().and_then(|model| model.0.as_ref().ok());
    if readable.is_none_or(|model| model.claim.as_ref() == Some(&uid)) || cache.job_owners.may_have_jobs(&uid)
    {
        return false;
    }
    let (mut alerts, mut others, mut is_last) = (0_i32, 0_i32, true);
    for action in cache.actions.of(&Key::Model(model)) {
        let Some((ended, action)) =
            (action.0.as_ref().ok()).and_then(|action| Some((action.ended_at?, action)))
        else {
            continue;
        };
        *(if action.alert { &mut alerts } else { &mut others }) += 1;
        is_last &= ended <= ended_at;
    }
    !is_last || (alerts <= policy.alerts_kept && others <= policy.actions_kept)
}

/// The cluster, for one round of one action.
struct Cluster<'a> {
    ctx: &'a Context,
    name: &'a NamespacedName,
    /// Held from counting other actions to the claim, so that none begins in between.
    counting: Option<tokio::sync::MutexGuard<'a, ()>>,
}

// === impl Cluster ===

impl Hands for Cluster<'_> {
    type Error = Error;

    async fn action(&mut self) -> Result<Option<Validated>, Error> {
        let action = apply::fresh::<RemediationAction>(&self.ctx.env, self.name).await?;
        let present = action.filter(|action| action.metadata.deletion_timestamp.is_none());
        Ok(present.map(action::validate).transpose()?)
    }

    async fn world(&mut self, action: &Validated) -> Result<World, Error> {
        let owner = JobOwner::action(action);
        Box::pin(dereference::world(self.ctx, action.action(), &owner)).await
    }

    fn now(&self) -> Timestamp {
        self.ctx.env.now()
    }

    async fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> Result<bool, Error> {
        write_status(&self.ctx.env, action, status).await
    }

    async fn hold_claims(&mut self) -> bool {
        if self.counting.is_some() {
            return false;
        }
        self.counting = Some(self.ctx.claims.lock().await);
        true
    }

    fn release_claims(&mut self) {
        self.counting = None;
    }

    async fn write_record(&mut self, world: &World, record: &ModelStatus) -> Result<(), Error> {
        if let Some(model) = &world.model {
            apply::status(&self.ctx.env, model, model.status.as_ref(), record).await?;
        }
        Ok(())
    }

    async fn create_version(&mut self, version: &ModelVersion) -> Result<Tried, Error> {
        self.create(version).await
    }

    async fn create_action(&mut self, action: &RemediationAction) -> Result<Tried, Error> {
        self.create(action).await
    }

    async fn start_job(
        &mut self,
        action: &Validated,
        job: &StageJob,
        version: &ModelVersion,
    ) -> Result<Tried, Error> {
        let owner = JobOwner::action(action);
        let name = version.name_any();
        let request = JobRequest {
            stage: job,
            version: &name,
            spec: &version.spec,
            snapshot: None,
            counts_new_rows: true,
        };
        match Box::pin(jobs::start(&self.ctx.env, &self.ctx.writes, &owner, &request)).await {
            Ok(Started::Made(uid)) => Ok(Tried::Made(Some(uid))),
            Ok(Started::Going) => Ok(Tried::Going),
            Ok(Started::Taken(what)) => Ok(Tried::Exists(what)),
            Err(error) => refused(format!("Job {}", job.name), error),
        }
    }

    async fn publish(&mut self, action: &RemediationAction, world: &World, event: Announcement) -> bool {
        let (about, severity) = match (event.about, &world.model) {
            (About::Action, _) => (action.object_ref(&()), EventType::Warning),
            (About::Model, Some(model)) => (model.object_ref(&()), EventType::Normal),
            (About::Model, None) => return false,
        };
        events::publish(
            &self.ctx.env,
            &about,
            severity,
            event.reason,
            event.verb,
            event.text,
        )
        .await
    }
}

impl Cluster<'_> {
    async fn create<K: Namespaced>(&self, object: &K) -> Result<Tried, Error> {
        let what = format!("{} {}", K::kind(&()), object.name_any());
        match create(&self.ctx.env, &self.name.namespace, object).await {
            Ok(Created::Made(made)) => Ok(Tried::Made(made.meta().uid.clone())),
            Ok(Created::Exists(_)) => Ok(Tried::Exists(what)),
            Err(error) => refused(what, error),
        }
    }
}

/// An error as a refusal, if the API server answered and rejected the object: a missing permission, a quota, a policy, a failing
/// webhook.
fn refused(object: String, error: Error) -> Result<Tried, Error> {
    if !error.refused() && !matches!(error.code(), Some(404 | 500)) {
        return Err(error);
    }
    Ok(Tried::Refused {
        object,
        message: answer(&error),
    })
}

/// Nothing is left to write for now.
async fn rest(ctx: &Context, settled: &Settled) -> Result<Action, Error> {
    let Settled {
        action,
        world,
        decision,
    } = settled;
    let owner = JobOwner::action(action);
    let action = action.action();
    ctx.blocked.note(
        &ctx.env.metrics,
        &NamespacedName::of(action).to_string(),
        blocked(action, decision),
    );
    let attempt = decision.status.snapshot_attempt.as_ref();
    if attempt.is_some_and(|attempt| attempt.finished) {
        jobs::collect(&ctx.env, &ctx.cache.job_owners, &owner, &[attempt]).await?;
    }
    if objects::has_ended(action) {
        let policy = &ctx.env.config.policy;
        for old in action::surplus(&world.actions, world.model.as_ref(), policy, ctx.env.now()) {
            apply::delete(&ctx.env, &owner.namespace, old).await?;
        }
        return Ok(Action::await_change());
    }
    let now = ctx.env.now();
    let again = decision.again.map(|again| {
        // Rounded up to a whole second, so that the deadline has passed by then.
        let seconds = again
            .as_second()
            .saturating_sub(now.as_second())
            .saturating_add(1);
        Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1))
    });
    Ok(Action::requeue(match again {
        Some(again) if again < RESYNC => again,
        _ => jittered(RESYNC),
    }))
}

/// The type and reason of a blocked action, for metrics.
fn blocked(action: &RemediationAction, decision: &Decision) -> Option<(ActionType, Reason)> {
    let conditions = &decision.status.conditions;
    let succeeded = conditions::find(conditions, ConditionType::Succeeded)?;
    let reason = conditions::reason(succeeded)?;
    let waits = matches!(
        reason,
        Reason::TooManyInFlight | Reason::ModelClaimed | Reason::StormBreaker
    );
    let is_blocked = conditions::is_true(conditions, ConditionType::Stalled) || waits;
    (is_blocked && !objects::has_ended(action)).then_some((action.spec.action, reason))
}

/// Writes the status if it differs, and publishes Events about the changes.
async fn write_status(
    env: &Env,
    action: &RemediationAction,
    status: &RemediationActionStatus,
) -> Result<bool, Error> {
    let old = action.status.as_ref();
    let Some(written) = apply::status(env, action, old, status).await? else {
        return Ok(false);
    };
    let before = old.map(|status| status.conditions.as_slice()).unwrap_or_default();
    events::conditions_changed(env, action, before, &status.conditions).await;
    if objects::has_ended(&written) && !objects::has_ended(action) {
        let succeeded = conditions::find(&status.conditions, ConditionType::Succeeded);
        if let Some(reason) = succeeded.and_then(conditions::reason) {
            env.metrics.action_ended(action.spec.action, reason);
        }
    }
    Ok(true)
}

/// The message of the API server.
fn answer(error: &Error) -> String {
    if let Error::Api { source, .. } = error
        && let kube::Error::Api(status) = &**source
    {
        return status.message.clone();
    }
    chain(error)
}

#[cfg(test)]
mod tests {
    use kube::{core::DeserializeGuard, runtime::watcher};
    use modelward_crds::Model;
    use serde_json::{Value, json};

    use super::*;
    use crate::cache::{cached::Cached, index::IndexWriter, model::CachedModel};

    fn object<K: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: &Value, status: &Value) -> K {
        serde_json::from_value(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": kind, "spec": spec, "status": status,
            "metadata": {"name": name, "namespace": "hospital", "uid": name, "generation": 1},
        }))
        .unwrap()
    }

    /// A promotion of `heart` that ended at that second; an open one without a second.
    fn promotion(name: &str, ended: Option<i64>) -> CachedAction {
        let time = Timestamp::from_second(1_795_685_400 + ended.unwrap_or(0)).unwrap();
        let status = if ended.is_some() { "True" } else { "Unknown" };
        let action: RemediationAction = object(
            "RemediationAction",
            name,
            &json!({"model": "heart", "type": "PromoteModel"}),
            &json!({"observedGeneration": 1, "conditions": [{
                "type": "Succeeded", "status": status, "reason": "Succeeded", "message": "",
                "lastTransitionTime": time.to_string(),
            }]}),
        );
        action.into()
    }

    /// `heart`, which this action has claimed.
    fn heart(claim: Option<&str>) -> CachedModel {
        let claim = claim.map(|uid| {
            let digest = format!("sha256:{}", "0".repeat(64));
            json!({
                "name": uid, "uid": uid, "type": "PromoteModel", "digest": digest, "attempt": 1,
                "claimedAt": "2026-11-23T09:30:00Z",
            })
        });
        object::<Model>("Model", "heart", &json!({}), &json!({"activeAction": claim})).into()
    }

    fn apply<R: Cached>(writer: &mut IndexWriter<R>, object: R) {
        writer.apply(&watcher::Event::Apply(DeserializeGuard(Ok(object))));
    }

    #[test]
    fn an_ended_action_is_read_while_a_claim_or_jobs_of_it_may_be_left() {
        let (cache, policy) = (Cache::new(), Policy::default());
        let mut writers = cache.take_feeds().unwrap().writers;
        let ended = promotion("promote", Some(0));
        assert!(!is_over(&cache, &ended, &policy), "its model is not known");
        apply(&mut writers.models, heart(None));
        assert!(!is_over(&cache, &ended, &policy), "Jobs are not known");
        cache.job_owners.follow(&watcher::Event::Init);
        cache.job_owners.follow(&watcher::Event::InitDone);
        assert!(is_over(&cache, &ended, &policy));
        apply(&mut writers.models, heart(Some("promote")));
        assert!(!is_over(&cache, &ended, &policy), "it holds the claim");
        apply(&mut writers.models, heart(Some("another")));
        assert!(is_over(&cache, &ended, &policy));
        assert!(
            !is_over(&cache, &promotion("promote", None), &policy),
            "it is open"
        );
    }

    #[test]
    fn of_too_many_ended_actions_the_last_one_is_read_and_deletes_the_surplus() {
        let cache = Cache::new();
        let mut writers = cache.take_feeds().unwrap().writers;
        apply(&mut writers.models, heart(None));
        cache.job_owners.follow(&watcher::Event::Init);
        cache.job_owners.follow(&watcher::Event::InitDone);
        let policy = Policy {
            actions_kept: 2,
            ..Policy::default()
        };
        let actions = ["a", "b", "c"].map(|name| promotion(name, Some(i64::from(name.as_bytes()[0]))));
        for action in &actions[..2] {
            apply(&mut writers.actions, action.clone());
        }
        apply(&mut writers.actions, promotion("open", None));
        assert!(actions[..2].iter().all(|action| is_over(&cache, action, &policy)));
        apply(&mut writers.actions, actions[2].clone());
        let over = actions.map(|action| is_over(&cache, &action, &policy));
        assert_eq!(over, [true, true, false]);
    }
}
