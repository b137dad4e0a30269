//! Whether the admission policies that make approvals trustworthy exist and are enforced.
//!
//! The operator reads and tests them. Every test is a dry run that the policies have to reject: a decision in the name
//! of the operator, which may never decide, on the waiting action; a creator and a proposer other than the caller; and,
//! for each policy within the operator's permissions, a request whose field manager the policy rejects for every caller.
//! If a test fails, actions that need approval are suspended.

mod policies;
mod probe;
mod refusal;

use std::{future::Future, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use modelward_core::action::{GateSeen, Probe};
use modelward_crds::RemediationAction;
use modelward_service::chain;

use crate::{
    Error,
    api::Env,
    gate::{
        policies::read_policies,
        probe::{probe_with_action, probe_with_new_action},
        refusal::{Gap, probe_outcome},
    },
    runtime::backoff::jittered,
};

/// How often the policies are tested, in addition to each time that an action depends on them.
const EVERY: Duration = Duration::from_mins(3);

/// Reads the policies, and tests them once this action has a plan that users can decide on.
pub(crate) async fn seen(env: &Env, action: &RemediationAction) -> Result<GateSeen, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let (ids, operators) = match read_policies(env, &namespace).await? {
        Ok(found) => found,
        Err(gap) => {
            env.metrics.approval_enforced(false);
            return Ok(GateSeen {
                ids: None,
                probe: Probe::NotRefused(gap),
            });
        }
    };
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let probe = match plan {
        Some(plan) => {
            probe_outcome(probe_with_action(env, action, &plan.digest.to_string(), &operators).await?)
        }
        None => Probe::NotTried,
    };
    match &probe {
        Probe::NotTried => {}
        probe => env.metrics.approval_enforced(*probe == Probe::Refused),
    }
    Ok(GateSeen {
        ids: Some(ids),
        probe,
    })
}

/// Tests the policies at startup and every few minutes, until `stopped`.
pub(crate) async fn run(env: Arc<Env>, stopped: impl Future<Output = ()> + Send) {
    let watch = async {
        let mut before = None;
        loop {
            let found = probe_with_new_action(&env).await;
            env.metrics.approval_enforced(matches!(found, Ok(None)));
            let (enforced, words) = match &found {
                Ok(None) => (Some(true), String::new()),
                Ok(Some(Gap::NotEnforced(gap))) => (Some(false), gap.clone()),
                Ok(Some(Gap::Hindered(found))) => (None, found.words()),
                Err(error) => (None, chain(error)),
            };
            // Logged once for each change, because the conditions of the actions always have it.
            if before.replace(enforced) != Some(enforced) {
                match enforced {
                    Some(true) => tracing::info!("the admission policies rejected every test request"),
                    Some(false) => {
                        tracing::warn!(
                            "approvals are not enforced; actions that need approval are suspended: {words}"
                        );
                    }
                    None => tracing::warn!(
                        "cannot test the admission policies; actions that need approval are suspended: {words}"
                    ),
                }
            }
            tokio::time::sleep(jittered(EVERY)).await;
        }
    };
    tokio::select! {
        () = watch => {}
        () = stopped => {}
    }
}
