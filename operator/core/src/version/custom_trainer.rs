//! A version whose training is that of an image: whether the operator's configuration allows it.

use modelward_crds::{AttemptStatus, ConditionType, ModelVersionStatus, TrainingSource};

use crate::{attempt::Stage, conditions::Verdict, reason::Reason, version::world::World};

/// An image that may not train.
#[derive(Debug)]
pub(super) struct RefusedTrainer {
    why: Verdict,
    /// Whether a Job that was made while it might still runs, or its result is not recorded yet. It goes on to its end, and no other is made.
    pub(super) goes_on: bool,
}

/// The image of a training, if it may not train and has made no bundle yet.
pub(super) fn refused_trainer(
    training: &TrainingSource,
    world: &World,
    status: &ModelVersionStatus,
) -> Option<RefusedTrainer> {
    let trainer = training.custom_trainer.as_deref()?;
    if status.bundle.is_some() {
        return None;
    }
    let why = world.allowed_trainers.check(trainer).err()?;
    let goes_on = |attempt: &AttemptStatus| {
        !attempt.finished && attempt.job_uid.is_some() && attempt.retry_at.is_none()
    };
    Some(RefusedTrainer {
        why: Verdict::fails(ConditionType::Trained, Reason::CustomTrainerRefused, why),
        goes_on: status.fit_attempt.as_ref().is_some_and(goes_on),
    })
}

// === impl RefusedTrainer ===

impl RefusedTrainer {
    /// The stages of its version: no data is read for a training that will not be.
    pub(super) fn stages(&self, status: &ModelVersionStatus) -> (Stage, Stage) {
        let unread = Verdict::unknown(
            ConditionType::DataValid,
            Reason::Waiting,
            "no data is read for an image that may not train",
        );
        let data = match status.snapshot {
            Some(_) => Stage::Recorded,
            None => Stage::Waiting(unread),
        };
        (data, Stage::Terminal(self.why.clone()))
    }
}
