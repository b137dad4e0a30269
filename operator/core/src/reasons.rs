//! Reasons of conditions and events. They are an API: alerts and scripts match them.

/// The operator has not got to it yet.
pub const PENDING: &str = "Pending";
/// The dataset does not exist; the version waits for it.
pub const DATASET_NOT_FOUND: &str = "DatasetNotFound";
/// A snapshot Job reads and checks the data.
pub const SNAPSHOT_RUNNING: &str = "SnapshotRunning";
/// The data was read, checked and frozen.
pub const DATA_ACCEPTED: &str = "DataAccepted";
/// The data breaks its schema or cannot be read.
pub const DATA_INVALID: &str = "DataInvalid";
/// The spec asks for what the trainer cannot do.
pub const SPEC_INVALID: &str = "SpecInvalid";
/// A fit Job trains and evaluates.
pub const FIT_RUNNING: &str = "FitRunning";
/// A bundle was published and read back.
pub const BUNDLE_PUBLISHED: &str = "BundlePublished";
/// A Job ended without a result, more often than it is tried.
pub const JOB_FAILED: &str = "JobFailed";
/// A Job ended well, but its result is nowhere to be had.
pub const RESULT_LOST: &str = "ResultLost";
/// The bundle that a result names is not in the store.
pub const ARTIFACT_MISSING: &str = "ArtifactMissing";
/// The ledger does not answer.
pub const LEDGER_UNAVAILABLE: &str = "LedgerUnavailable";
/// Every gate holds.
pub const ALL_GATES_PASSED: &str = "AllGatesPassed";
/// At least one gate does not hold.
pub const GATE_FAILED: &str = "GateFailed";
/// The version waits for an earlier step.
pub const WAITING: &str = "Waiting";
/// Pods with the new routes are being started.
pub const ROLLOUT_IN_PROGRESS: &str = "RolloutInProgress";
/// A rollout does not come to an end.
pub const ROLLOUT_STUCK: &str = "RolloutStuck";
/// A Pod refused a bundle because a file is not what its digest says.
pub const ARTIFACT_INVALID: &str = "ArtifactInvalid";
/// Enough Pods answer.
pub const SERVING: &str = "Serving";
/// Fewer Pods answer than should.
pub const TOO_FEW_PODS: &str = "TooFewPods";
/// A newer version has taken over, or one was newer from the beginning.
pub const RETIRED: &str = "Retired";
/// It passed its gates; the model is paused.
pub const PAUSED: &str = "Paused";
/// No version has passed its gates.
pub const NO_VERSION: &str = "NoVersion";
/// What served was deleted; older versions do not take over by themselves.
pub const SERVING_VERSION_DELETED: &str = "ServingVersionDeleted";
/// A child of the needed name exists and is not ours.
pub const NAME_TAKEN: &str = "NameTaken";
/// A child was changed by somebody else and was put back.
pub const ROUTES_TAMPERED: &str = "RoutesTampered";
/// The API server refused a child.
pub const CHILD_REFUSED: &str = "ChildRefused";

/// The reason that an attempt without an outcome left in its condition, as the constant of that text.
pub fn of_a_finished_attempt(reason: &str) -> &'static str {
    [
        DATASET_NOT_FOUND,
        SPEC_INVALID,
        DATA_INVALID,
        RESULT_LOST,
        ARTIFACT_MISSING,
    ]
    .into_iter()
    .find(|known| *known == reason)
    .unwrap_or(JOB_FAILED)
}
