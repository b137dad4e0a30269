//! Proposes that another version serves.

use kube::{Api, Resource as _, api::PostParams, runtime::events::EventType};
use modelward_core::{model::Proposed, reason::Reason};
use modelward_crds::{FIELD_MANAGER, Model, RemediationAction};

use crate::{Context, Error, events, metrics::Verb, model::build};

/// Makes the action that lets another version serve. One of its name is it.
pub(super) async fn propose(
    ctx: &Context,
    namespace: &str,
    model: &Model,
    proposed: &Proposed,
) -> Result<(), Error> {
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
