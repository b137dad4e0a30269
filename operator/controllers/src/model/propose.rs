//! Proposes the promotion of another version.

use kube::{Resource as _, runtime::events::EventType};
use modelward_core::{
    model::{Proposed, Validated},
    reason::Reason,
};

use crate::{
    Error,
    api::{Env, create::create, events},
    model::build,
};

/// Creates the action that promotes another version. An existing one of its name is this action.
pub(super) async fn propose(
    env: &Env,
    namespace: &str,
    valid: &Validated,
    proposed: &Proposed,
) -> Result<(), Error> {
    let action = build::proposal(valid, proposed, env.whoami().await?);
    let name = &proposed.name;
    if !create(env, namespace, &action).await?.is_made() {
        return Ok(());
    }
    let about = valid.model().object_ref(&());
    let note = format!("{name} is proposed: {}", proposed.message);
    let reason = Reason::AwaitingPromotion;
    events::publish(env, &about, EventType::Normal, reason, "Propose", note).await;
    Ok(())
}
