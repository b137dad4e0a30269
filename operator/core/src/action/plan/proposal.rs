//! What an action proposes.

use modelward_crds::{
    ArtifactStatus, Champion, Gate, PlannedDataset, PlannedDifference, PlannedReference, PlannedRoute,
    PlannedVersion, Risk, SourceStatus, VersionReference,
};
use modelward_wire::Digest;

/// What would be done, before it is given a number and an end.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// How much can go wrong.
    pub risk: Risk,
    /// How many people have to approve it.
    pub approvals: i32,
    /// People whose approval does not count.
    pub excluded: Vec<String>,
    /// People who changed the version since it was created.
    pub changed_by: Vec<String>,
    /// The version whose spec decides what would run.
    pub version: Option<PlannedVersion>,
    /// In which fields and files what would serve differs from what serves.
    pub differences: Vec<PlannedDifference>,
    /// What serves now.
    pub present: Vec<PlannedRoute>,
    /// What would serve.
    pub planned: Vec<PlannedRoute>,
    /// What would be trained.
    pub training: Option<ProposedTraining>,
    /// The same in words.
    pub summary: String,
}

/// What would be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedTraining {
    /// The version that is retrained.
    pub target: VersionReference,
    /// Where its rows come from.
    pub datasets: Vec<PlannedDataset>,
    /// Hash of everything that the training depends on.
    pub spec: Digest,
    /// The data, frozen.
    pub snapshot: ArtifactStatus,
    /// Where it came from.
    pub sources: Vec<SourceStatus>,
    /// Bounds that it has to keep.
    pub gates: Vec<Gate>,
    /// What it must not be worse than.
    pub not_worse_than: Option<Champion>,
    /// Whether it takes over when its gates pass.
    pub serve_when_gates_pass: bool,
    /// What its traffic would be compared with.
    pub reference: Option<PlannedReference>,
}
