//! Carries out the decided step. The only interpreter of [`Step`].

use modelward_crds::{BlockedStep, ModelStatus, ObstacleReason, RemediationAction, VersionReference};

use super::{
    Obstacle, Step, Validated, World,
    hands::{About, Announcement, Hands, Tried},
    snapshot_version, target,
};
use crate::{objects::name_of, reason::Reason};

/// The result of a step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// It was taken, or has to be decided again.
    Done,
    /// The plan number from the model's record.
    Numbered(Option<i64>),
    /// The alert was delivered.
    Delivered,
    /// The version was created. A later object with this name is a different one.
    Version(VersionReference),
    /// The Job was created, with this uid.
    Job(String),
    /// An object was created that is found by its name and owner.
    Made,
    /// The step could not be taken.
    Blocked(Obstacle),
    /// An object with the same name is being deleted; try again soon.
    Later,
}

/// Takes a step.
pub(super) async fn take<H: Hands>(
    hands: &mut H,
    step: Step,
    valid: &Validated,
    world: &World,
) -> Result<Effect, H::Error> {
    let action = valid.action();
    Ok(match step {
        Step::TakeNumber(record) => {
            hands.write_record(world, &record).await?;
            Effect::Numbered(record.plan_sequence)
        }
        Step::Claim(record) => {
            // What was counted before others were held off is counted again.
            if !hands.hold_claims().await {
                hands.write_record(world, &record).await?;
                hands.release_claims();
            }
            Effect::Done
        }
        Step::Release(record) => {
            hands.write_record(world, &record).await?;
            Effect::Done
        }
        Step::Route(record, text) => {
            route(hands, action, world, &record, text).await?;
            Effect::Done
        }
        Step::StartSnapshot(job) => {
            let version = (world.model.as_ref())
                .and_then(|model| target(action, model, &world.versions))
                .and_then(|target| snapshot_version(action, target));
            let Some(version) = version else {
                return Ok(Effect::Later);
            };
            let tried = hands.start_job(valid, &job, &version).await?;
            made(tried, BlockedStep::StartSnapshot, Effect::Job)
        }
        Step::CreateVersion(version) => {
            let tried = hands.create_version(&version).await?;
            made(tried, BlockedStep::CreateVersion, |uid| {
                Effect::Version(VersionReference {
                    name: name_of(&*version).to_owned(),
                    uid: Some(uid),
                })
            })
        }
        Step::CreatePromotion(child) => {
            let tried = hands.create_action(&child).await?;
            made(tried, BlockedStep::CreatePromotion, |_| Effect::Made)
        }
        Step::Alert(text) => {
            let event = Announcement {
                about: About::Action,
                reason: Reason::Alerted,
                verb: "Alert",
                text,
            };
            if hands.publish(action, world, event).await {
                Effect::Delivered
            } else {
                Effect::Blocked(Obstacle {
                    step: BlockedStep::SendAlert,
                    reason: ObstacleReason::Refused,
                    object: format!("the Event about RemediationAction {}", name_of(action)),
                    message: "the operator's log says why".to_owned(),
                })
            }
        }
    })
}

/// The record is written first, so the serving objects are never newer than it.
async fn route<H: Hands>(
    hands: &mut H,
    action: &RemediationAction,
    world: &World,
    record: &ModelStatus,
    text: String,
) -> Result<(), H::Error> {
    hands.write_record(world, record).await?;
    let event = Announcement {
        about: About::Model,
        reason: Reason::RolloutInProgress,
        verb: "Route",
        text,
    };
    hands.publish(action, world, event).await;
    Ok(())
}

fn made(tried: Tried, step: BlockedStep, made: impl FnOnce(String) -> Effect) -> Effect {
    let blocked = |reason, object, message| {
        Effect::Blocked(Obstacle {
            step,
            reason,
            object,
            message,
        })
    };
    match tried {
        Tried::Made(Some(uid)) => made(uid),
        Tried::Made(None) => Effect::Done,
        Tried::Exists(object) => blocked(ObstacleReason::NameTaken, object, String::new()),
        Tried::Refused { object, message } => blocked(ObstacleReason::Refused, object, message),
        Tried::Going => Effect::Later,
    }
}
