//! Whether the admission policies that make approvals trustworthy are there and at work.
//!
//! The operator reads them and tries them. Every trial is a dry run that the policies have to refuse: a decision in the name
//! of the operator, which may never decide, on the action that waits; a maker and a proposer that are not the caller; and
//! for each policy that the operator's rights reach, a request whose field manager the policy refuses for every caller.
//! Nothing that needs an approval runs otherwise.

mod policies;
mod probe;
mod refusal;

use std::{future::Future, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use modelward_core::action::{GateSeen, Probe};
use modelward_crds::RemediationAction;
use modelward_service::chain;

use crate::{
    Context, Error,
    backoff::jittered,
    gate::{
        policies::read_policies,
        probe::{probe_with_action, probe_with_new_action},
        refusal::{Gap, probe_outcome},
    },
};

/// How often the policies are tried, besides every time that an action depends on them.
const EVERY: Duration = Duration::from_mins(3);

/// Reads the policies, and tries them once this action has a plan that could be decided on.
pub(crate) async fn seen(ctx: &Context, action: &RemediationAction) -> Result<GateSeen, Error> {
    let namespace = action.namespace().unwrap_or_default();
    let (ids, operators) = match read_policies(ctx, &namespace).await? {
        Ok(found) => found,
        Err(gap) => {
            ctx.metrics.approval_enforced(false);
            return Ok(GateSeen {
                ids: None,
                probe: Probe::NotRefused(gap),
            });
        }
    };
    let plan = action.status.as_ref().and_then(|status| status.plan.as_ref());
    let probe = match plan {
        Some(plan) => {
            probe_outcome(probe_with_action(ctx, action, &plan.digest.to_string(), &operators).await?)
        }
        None => Probe::NotTried,
    };
    match &probe {
        Probe::NotTried => {}
        probe => ctx.metrics.approval_enforced(*probe == Probe::Refused),
    }
    Ok(GateSeen {
        ids: Some(ids),
        probe,
    })
}

/// Tries the policies at the start and every few minutes, until `stopped`.
pub(crate) async fn run(ctx: Arc<Context>, stopped: impl Future<Output = ()> + Send) {
    let watch = async {
        let mut before = None;
        loop {
            let found = probe_with_new_action(&ctx).await;
            ctx.metrics.approval_enforced(matches!(found, Ok(None)));
            let (enforced, words) = match &found {
                Ok(None) => (Some(true), String::new()),
                Ok(Some(Gap::NotEnforced(gap))) => (Some(false), gap.clone()),
                Ok(Some(Gap::Hindered(found))) => (None, found.words()),
                Err(error) => (None, chain(error)),
            };
            // Once for each change: the conditions of the actions have it all the time.
            if before.replace(enforced) != Some(enforced) {
                match enforced {
                    Some(true) => tracing::info!("the admission policies refused every trial"),
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
