//! A version that a custom trainer trains: whether the operator's configuration allows its image.

use jiff::Timestamp;
use modelward_crds::{AttemptStatus, ConditionType, ModelVersion, ModelVersionStatus, TrainingSource};

use crate::{
    attempt::{Stage, Step},
    conditions::Verdict,
    reason::Reason,
    version::{data::data_stage, fit::fit_stage, world::World},
};

/// An image that may not train.
#[derive(Debug)]
pub(super) struct RefusedTrainer {
    why: Verdict,
    /// Whether the rows are recorded, or a snapshot Job that was made while the image might train still runs.
    reads: bool,
    /// The same for a fit Job.
    fits: bool,
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
    // Or its result is not recorded yet.
    let runs = |attempt: &Option<AttemptStatus>| {
        let attempt = attempt.as_ref();
        attempt.is_some_and(|attempt| {
            !attempt.finished && attempt.job_uid.is_some() && attempt.retry_at.is_none()
        })
    };
    Some(RefusedTrainer {
        why: Verdict::fails(ConditionType::Trained, Reason::CustomTrainerRefused, why),
        reads: status.snapshot.is_some() || runs(&status.snapshot_attempt),
        fits: runs(&status.fit_attempt),
    })
}

// === impl RefusedTrainer ===

impl RefusedTrainer {
    /// The stages of its version: a Job that runs continues to its end, and no other is created.
    pub(super) fn stages(
        self,
        version: &ModelVersion,
        training: &TrainingSource,
        world: &World,
        now: Timestamp,
        (status, step): (&mut ModelVersionStatus, &mut Step),
    ) -> (Stage, Stage) {
        let refused = Stage::Terminal(self.why);
        if !self.reads {
            return (Stage::Waiting(unread()), refused);
        }
        let before = status.clone();
        let data = data_stage(version, training, world, now, status, step);
        if step.start.is_some() {
            (*status, *step) = (before, Step::default());
            return (Stage::Waiting(unread()), refused);
        }
        if data != Stage::Recorded || !self.fits {
            return (data, refused);
        }
        let before = status.clone();
        let trained = fit_stage(version, training, world, now, status, step);
        if step.start.is_some() {
            (*status, *step) = (before, Step::default());
            return (data, refused);
        }
        (data, trained)
    }
}

fn unread() -> Verdict {
    Verdict::unknown(
        ConditionType::DataValid,
        Reason::Waiting,
        "no data is read for an image that may not train",
    )
}
