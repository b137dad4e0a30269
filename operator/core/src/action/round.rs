//! One round: read, decide and write, one write at a time, until nothing is left to write.

use super::{
    Decision, Obstacle, Step, Validated, World, decide,
    effects::{Effect, take},
    hands::Hands,
};

/// Limit on the writes of one round: no action has more of them between two waits.
const WRITES: usize = 24;

/// How a round ended.
#[derive(Clone, Debug)]
pub enum Rest {
    /// The action no longer exists.
    Gone,
    /// Nothing is left to write for now.
    Settled(Box<Settled>),
    /// Something has to be deleted first, or there is more to write than one round allows.
    Busy,
}

/// The last state in a round.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The action.
    pub action: Validated,
    /// Its world.
    pub world: World,
    /// The decision, which requires no further write.
    pub decision: Decision,
}

/// Advances one action. After each write everything is read again, so that the next decision is made from the current state.
pub async fn round<H: Hands>(hands: &mut H) -> Result<Rest, H::Error> {
    let (mut number, mut delivered) = (None, false);
    // A failed step is not retried in the same round.
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
        if recorded_first && hands.write(action.action(), &decision.status).await? {
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
        // A created object is recorded immediately.
        status.obstacle = None;
        hands.write(action.action(), &decision.status).await?;
    }
    Ok(Rest::Busy)
}
