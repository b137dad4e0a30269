//! The proposal of an action.

use modelward_crds::{
    ArtifactStatus, Champion, Gate, PlannedDataset, PlannedDifference, PlannedReference, PlannedRoute,
    PlannedVersion, Risk, SourceStatus, VersionReference,
};
use modelward_wire::Digest;

/// A plan without its number and expiry.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The risk.
    pub risk: Risk,
    /// How many users have to approve it.
    pub approvals: i32,
    /// Users whose approval does not count.
    pub excluded: Vec<String>,
    /// Users who changed the version since it was created.
    pub changed_by: Vec<String>,
    /// The version whose spec determines what would run.
    pub version: Option<PlannedVersion>,
    /// The fields and files in which the planned version differs from the one that serves.
    pub differences: Vec<PlannedDifference>,
    /// The routes that serve now.
    pub present: Vec<PlannedRoute>,
    /// The routes that would serve.
    pub planned: Vec<PlannedRoute>,
    /// The training.
    pub training: Option<ProposedTraining>,
    /// A message with details.
    pub summary: String,
}

/// The training.
#[derive(Clone, Debug, PartialEq)]
pub struct ProposedTraining {
    /// The version that is retrained.
    pub target: VersionReference,
    /// Its datasets.
    pub datasets: Vec<PlannedDataset>,
    /// Hash of everything that the training depends on.
    pub spec: Digest,
    /// The snapshot.
    pub snapshot: ArtifactStatus,
    /// The sources of the snapshot.
    pub sources: Vec<SourceStatus>,
    /// Bounds that the result has to meet.
    pub gates: Vec<Gate>,
    /// The champion that it must not be worse than.
    pub not_worse_than: Option<Champion>,
    /// Whether the approval also covers the promotion once the gates pass.
    pub serve_when_gates_pass: bool,
    /// The reference that its traffic would be compared with.
    pub reference: Option<PlannedReference>,
}
