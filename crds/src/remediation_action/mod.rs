//! `RemediationAction`: a proposed change to what runs.

mod decision;
mod plan;
mod spec;
mod status;

pub use decision::{Decision, DecisionKind};
pub use plan::{
    ActionPlan, PlannedDataset, PlannedDifference, PlannedRoute, PlannedTraining, PlannedVersion, Risk,
};
pub use spec::{ActionType, Diagnosis, RemediationAction, RemediationActionSpec};
pub use status::{
    BlockedStep, Execution, NewRowsStatus, ObstacleReason, RemediationActionStatus, StepObstacle,
};
