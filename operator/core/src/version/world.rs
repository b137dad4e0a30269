//! The input and the output of a decision.

use modelward_crds::ModelVersionStatus;
use modelward_wire::{PublicationRecord, SourceRecord};

use crate::{
    attempt::{DatasetSeen, JobSeen, Obstacle, StageJob},
    custom_trainer::AllowedTrainers,
    reason::{Reason, StuckReason, WorkingReason},
};

/// Everything that a decision about a version depends on, as read by the controller.
#[derive(Clone, Debug)]
pub struct World {
    /// The data that it is trained on.
    pub dataset: DatasetSeen,
    /// The Job that the status names for the current stage, if any.
    pub job: JobSeen,
    /// The snapshot that the spec names, if any.
    pub snapshot: SnapshotSeen,
    /// The bundle that the spec names, if any.
    pub bundle: BundleSeen,
    /// The state of the version in the model's record.
    pub serving: ServingSeen,
    /// What the ledger says about its publication to MLflow.
    pub publication: PublicationSeen,
    /// The image that the node ran for the fit Job that has ended, with its digest.
    pub image_ran: Option<String>,
    /// Which images may train.
    pub allowed_trainers: AllowedTrainers,
    /// Why the Job could not be created.
    pub obstacle: Option<Obstacle>,
}

/// The snapshot that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSeen {
    /// It was not looked up: the spec names none, or its statement is already recorded.
    NotAsked,
    /// It exists, with this statement.
    Present {
        /// Number of rows.
        rows: u64,
        /// The files that the rows were read from.
        sources: Vec<SourceRecord>,
    },
    /// It does not exist, or is another kind of artifact. The fit reports this.
    Absent,
    /// The ledger is unavailable; the text says why.
    LedgerUnavailable(String),
}

/// The bundle that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSeen {
    /// It was not looked up: the spec names none, or it was found before.
    NotAsked,
    /// It exists and is a bundle.
    Present,
    /// It does not exist, or is another kind of artifact; the text says what.
    Absent(String),
    /// The ledger is unavailable; the text says why.
    LedgerUnavailable(String),
}

/// The publication of this version to MLflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicationSeen {
    /// Nothing is published, or there is no bundle yet.
    NotAsked,
    /// The status says already that it is published.
    Recorded,
    /// The ledger has not begun with it.
    Absent,
    /// What the ledger has recorded.
    Found(PublicationRecord),
    /// The ledger is unavailable; the text says why.
    LedgerUnavailable(String),
}

/// The state of this version in the model's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingSeen {
    /// The record does not exist yet, or does not include this version yet.
    NotYet,
    /// It is routed, but not all of its Pods are ready; reason and message of the rollout.
    RollingOut(Reason, String),
    /// It is routed, and its rollout is stuck; reason and message.
    Stuck(StuckReason, String),
    /// It serves.
    Live {
        /// Whether at least the minimum number of Pods serve it.
        enough: bool,
        /// Such as `2/2 Pods`.
        pods: String,
        /// Whether the model is otherwise in its desired state.
        rest: Settling,
    },
    /// It serves, while another version is being rolled out.
    BeingReplaced(String),
    /// A newer version serves, or this one served before.
    Retired(String),
    /// It could take over, but the model is paused.
    Paused,
    /// It waits for the action that promotes it.
    AwaitingPromotion(String),
    /// It may not be promoted: it was rolled back, or its promotion failed.
    Held(String),
    /// The action that would have promoted it has ended; reason and message.
    NotPromoted(Reason, String),
}

/// Whether a serving model is in its desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing is left to do.
    Done,
    /// It is being changed; reason and message.
    Working(WorkingReason, String),
    /// It needs intervention; reason and message.
    Stuck(StuckReason, String),
}

/// What to do about a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelVersionStatus,
    /// The Job to create, if it does not exist.
    pub start: Option<StageJob>,
    /// When to reconcile again without an event, in seconds.
    pub again_after_seconds: Option<u64>,
}
