//! One round: an action is looked at, decided on and brought forward by one write at a time, until nothing is left to write.
//!
//! The order of reads and writes is here, once. What reads and writes is [`Hands`]: the controller's are an API server, those
//! of the tests are objects in memory.

use std::future::Future;

use jiff::Timestamp;
use modelward_crds::{RemediationAction, RemediationActionStatus, VersionReference};

use super::{Decision, Obstacle, Step, World, decide};
use crate::objects::name_of;

/// Writes of one round: no action has more of them between two waits.
const WRITES: usize = 24;

/// Reads and writes on behalf of one action.
pub trait Hands: Send {
    /// Why a read or a write failed.
    type Error: Send;

    /// The action as it is now. None where it is gone or is being deleted.
    fn action(&mut self) -> impl Future<Output = Result<Option<RemediationAction>, Self::Error>> + Send;

    /// What is around it now.
    fn world(
        &mut self,
        action: &RemediationAction,
    ) -> impl Future<Output = Result<World, Self::Error>> + Send;

    /// The present moment.
    fn now(&self) -> Timestamp;

    /// Writes the status where it is not what it was, and says whether it did.
    fn write(
        &mut self,
        action: &RemediationAction,
        status: &RemediationActionStatus,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Takes a step.
    fn take(
        &mut self,
        step: Step,
        action: &RemediationAction,
        world: &World,
    ) -> impl Future<Output = Result<Taken, Self::Error>> + Send;
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It was taken, or has to be decided on again.
    Done,
    /// An object was made, or was there and is this action's; its uid.
    Made(String),
    /// It could not be taken.
    Blocked(Obstacle),
    /// A namesake is being deleted; look again soon.
    Later,
}

/// What a step makes of which the record keeps the uid.
enum Makes {
    Version(String),
    SnapshotJob,
    /// Nothing, or an object that is found again by its name and owner.
    Nothing,
}

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
        let (taking_number, alerting) = (
            matches!(step, Step::TakeNumber(_)),
            matches!(step, Step::Alert(_)),
        );
        let next_number = match &step {
            Step::TakeNumber(record) => record.plan_sequence,
            _ => None,
        };
        let makes = match &step {
            Step::CreateVersion(version) => Makes::Version(name_of(&**version).to_owned()),
            Step::StartSnapshot(_) => Makes::SnapshotJob,
            _ => Makes::Nothing,
        };
        match hands.take(step, &action, &world).await? {
            Taken::Done => {
                if taking_number {
                    number = next_number;
                }
                delivered |= alerting;
            }
            Taken::Made(uid) => {
                let status = &mut decision.status;
                status.obstacle = None;
                // The uid is recorded at once: what has this name later is not what was made here.
                match (makes, &mut status.execution, &mut status.snapshot_attempt) {
                    (Makes::Version(name), Some(execution), _) => {
                        execution.version = Some(VersionReference { name, uid: Some(uid) });
                    }
                    (Makes::SnapshotJob, _, Some(attempt)) => attempt.job_uid = Some(uid),
                    _ => {}
                }
                hands.write(&action, &decision.status).await?;
            }
            Taken::Blocked(found) => obstacle = Some(found),
            Taken::Later => return Ok(Rest::Busy),
        }
    }
    Ok(Rest::Busy)
}
