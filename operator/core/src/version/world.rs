//! What is decided from, and what is decided.

use modelward_crds::ModelVersionStatus;
use modelward_wire::SourceRecord;

use crate::{
    attempt::{DatasetSeen, JobSeen, Obstacle, StageJob},
    reason::{Reason, StuckReason, WorkingReason},
};

/// What the controller saw around a version.
#[derive(Clone, Debug)]
pub struct World {
    /// The data that it is trained on.
    pub dataset: DatasetSeen,
    /// The Job that the status names for the stage under way, if any.
    pub job: JobSeen,
    /// The frozen rows that the spec names, where it names some.
    pub snapshot: SnapshotSeen,
    /// The bundle that the spec names, where it names one.
    pub bundle: BundleSeen,
    /// What the model's record says about serving.
    pub serving: ServingSeen,
    /// What kept the Job that was to be made from being made.
    pub obstacle: Option<Obstacle>,
}

/// Frozen rows that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotSeen {
    /// They were not looked for: the spec names none, or what they state is recorded.
    NotAsked,
    /// They are there, and state this.
    Present {
        /// How many there are.
        rows: u64,
        /// The files that they came from.
        sources: Vec<SourceRecord>,
    },
    /// They are not there, or are something else. The fit says so.
    Absent,
    /// The ledger is away; in words.
    LedgerUnavailable(String),
}

/// A bundle that a spec names, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSeen {
    /// It was not looked for: none is named, or it was found before.
    NotAsked,
    /// It is there and is a bundle.
    Present,
    /// It is not there, or is something else; in words.
    Absent(String),
    /// The ledger is away; in words.
    LedgerUnavailable(String),
}

/// What the model's record says about this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServingSeen {
    /// The record does not exist yet, or has not looked at this version.
    NotYet,
    /// It is routed, and its Pods are not all there; reason and message of the rollout.
    RollingOut(Reason, String),
    /// It is routed and its rollout cannot end by itself; reason and message.
    Stuck(StuckReason, String),
    /// It answers.
    Live {
        /// Whether at least the fewest Pods that its spec allows answer.
        enough: bool,
        /// Such as `2/2 Pods`.
        pods: String,
        /// Whether the model is as it should be otherwise.
        rest: Settling,
    },
    /// It answers, while another version is being rolled out.
    BeingReplaced(String),
    /// Another version answers and is newer, or this one was in use before.
    Retired(String),
    /// It could take over; the model is paused.
    Paused,
    /// It waits for the action that promotes it.
    AwaitingPromotion(String),
    /// It may not be promoted: it was left by a rollback, or its promotion failed.
    Held(String),
    /// The action that was to promote it has ended otherwise; reason and message.
    NotPromoted(Reason, String),
}

/// Whether what answers is also all as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// Nothing is left to do.
    Done,
    /// Something of it is being changed; reason and message.
    Working(WorkingReason, String),
    /// It cannot become what it should be by itself; reason and message.
    Stuck(StuckReason, String),
}

/// What to do about a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status to write.
    pub status: ModelVersionStatus,
    /// The Job to make, if it is not there.
    pub start: Option<StageJob>,
    /// When to look again, in seconds, though nothing has happened.
    pub again_after_seconds: Option<u64>,
}
