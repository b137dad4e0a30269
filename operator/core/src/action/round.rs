//! One round: an action is looked at, decided on and brought forward by one write at a time, until nothing is left to write.

use modelward_crds::RemediationAction;

use super::{
    Decision, Obstacle, Step, World, decide,
    effects::{Effect, take},
    hands::Hands,
};

/// Writes of one round: no action has more of them between two waits.
const WRITES: usize = 24;

/// How a round ended.
#[derive(Clone, Debug)]
pub enum Rest {
    /// The action is gone.
    Gone,
    /// Nothing is left to write for now.
    Settled(Box<Settled>),
    /// Something has to go first, or there is more to write than fits into a round.
    Busy,
}

/// What the last look of a round found.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The action.
    pub action: RemediationAction,
    /// What is around it.
    pub world: World,
    /// What was decided: nothing that is not there already.
    pub decision: Decision,
}

/// Brings one action closer to its end. After each write everything is read again, so that what comes next is decided from
/// what is there and never from what was there before.
pub async fn round<H: Hands>(hands: &mut H) -> Result<Rest, H::Error> {
    let (mut number, mut delivered) = (None, false);
    // What could not be done is not tried again in the same round.
    let mut obstacle: Option<Obstacle> = None;
    for _ in 0..WRITES {
        let Some(action) = hands.action().await? else {
            return Ok(Rest::Gone);
        };
        let mut world = hands.world(&action).await?;
        world.number = number.take();
        world.delivered = delivered;
        world.obstacle.clone_from(&obstacle);
        let mut decision = decide(&action, &world, hands.now());

        let recorded_first = decision.step.as_ref().is_none_or(Step::is_recorded_first);
        if recorded_first && hands.write(&action, &decision.status).await? {
            continue;
        }
        let Some(step) = decision.step.take() else {
            return Ok(Rest::Settled(Box::new(Settled {
                action,
                world,
                decision,
            })));
        };
        let effect = take(hands, step, &action, &world).await?;
        let status = &mut decision.status;
        match effect {
            Effect::Done => continue,
            Effect::Numbered(next) => {
                number = next;
                continue;
            }
            Effect::Delivered => {
                delivered = true;
                continue;
            }
            Effect::Blocked(found) => {
                obstacle = Some(found);
                continue;
            }
            Effect::Later => return Ok(Rest::Busy),
            Effect::Made => {}
            Effect::Version(made) => {
                if let Some(execution) = &mut status.execution {
                    execution.version = Some(made);
                }
            }
            Effect::Job(uid) => {
                if let Some(attempt) = &mut status.snapshot_attempt {
                    attempt.job_uid = Some(uid);
                }
            }
        }
        // What was made is recorded at once.
        status.obstacle = None;
        hands.write(&action, &decision.status).await?;
    }
    Ok(Rest::Busy)
}
