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
/// The API server refuses the Pods: a quota, a `LimitRange`, a missing service account or a policy.
pub const POD_REFUSED: &str = "PodRefused";
/// The Job is suspended.
pub const SUSPENDED: &str = "Suspended";
/// No node takes the Pod.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// An image cannot be pulled.
pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
/// A volume of the Pod cannot be attached or mounted.
pub const VOLUME_NOT_READY: &str = "VolumeNotReady";
/// The node cannot set up the Pod's sandbox or network.
pub const SANDBOX_FAILED: &str = "SandboxFailed";
/// The container cannot be created or started as it is configured.
pub const CONTAINER_NOT_STARTED: &str = "ContainerNotStarted";
/// The Pod has not started, and no cause is known.
pub const POD_PENDING: &str = "PodPending";
/// The program in the container ended with an error.
pub const CONTAINER_FAILED: &str = "ContainerFailed";
/// The program needs more memory than its limit.
pub const OUT_OF_MEMORY: &str = "OutOfMemory";
/// An eviction, the scheduler or a lost node ended the Pod.
pub const DISRUPTED: &str = "Disrupted";
/// The program could not reach the ledger or a data source.
pub const UNREACHABLE: &str = "Unreachable";
/// The Job ran longer than it may.
pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
/// The version waits until fewer Jobs run.
pub const QUEUED: &str = "Queued";
/// What a Job reported is not what its artifact states, or the artifact is not what was asked for.
pub const RESULT_MISMATCH: &str = "ResultMismatch";
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
/// A child was changed by another writer and was put back.
pub const ROUTES_TAMPERED: &str = "RoutesTampered";
/// The object holds a value that this version of the operator cannot deserialise.
pub const UNREADABLE: &str = "Unreadable";
/// The API server refuses the action that would be proposed.
pub const ACTION_REFUSED: &str = "ActionRefused";
/// The API server refused a child.
pub const CHILD_REFUSED: &str = "ChildRefused";

/// The API server failed or could not be asked while a child was written; it is tried again.
pub const CHILD_FAILED: &str = "ChildFailed";
/// The operator cannot reach the Service, so it does not know whether requests are answered.
pub const NOT_REACHABLE: &str = "NotReachable";
/// Nothing answers through the Service.
pub const NO_ANSWER: &str = "NoAnswer";
/// What answers through the Service does not serve the routes of the record.
pub const WRONG_ANSWER: &str = "WrongAnswer";
/// Admission changes what the operator writes.
pub const CHANGED_BY_WEBHOOK: &str = "ChangedByWebhook";
/// Another writer changes a child each time after it was put back.
pub const CHANGED_REPEATEDLY: &str = "ChangedRepeatedly";
/// A second autoscaler scales the Deployment.
pub const SECOND_AUTOSCALER: &str = "SecondAutoscaler";
/// A second disruption budget selects the Pods: none of them can be evicted.
pub const SECOND_BUDGET: &str = "SecondDisruptionBudget";
/// Other models are upgraded first.
pub const AWAITING_TURN: &str = "AwaitingTurn";
/// The upgrade stopped: a model does not come up with the new Pod template.
pub const UPGRADE_STOPPED: &str = "UpgradeStopped";

/// The window of a report is not over yet, or its last counts are still on their way.
pub const WINDOW_OPEN: &str = "WindowOpen";
/// The version that a report names does not exist.
pub const VERSION_NOT_FOUND: &str = "VersionNotFound";
/// The model that an action names does not exist.
pub const MODEL_NOT_FOUND: &str = "ModelNotFound";
/// The version that a report names has no bundle, so there is nothing to compare its traffic with.
pub const NO_BUNDLE: &str = "NoBundle";
/// The ledger understood what was asked and refused it, such as a verdict on a bundle without a reference.
pub const LEDGER_REFUSED: &str = "LedgerRefused";
/// At least one feature differs from its reference by more than the tolerance.
pub const DRIFT_FOUND: &str = "DriftFound";
/// There were enough rows, and no feature differs by more than the tolerance.
pub const NO_DRIFT: &str = "NoDrift";
/// There were too few rows to tell.
pub const INSUFFICIENT_DATA: &str = "InsufficientData";

/// The spec of a version was changed.
pub const SPEC_CHANGED: &str = "SpecChanged";

/// An action was proposed.
pub const PROPOSED: &str = "Proposed";
/// A claim on a model was released because its action is gone.
pub const CLAIM_RELEASED: &str = "ClaimReleased";
/// The report is not the newest one of what serves.
pub const NOT_SERVING: &str = "NotServing";
/// An action that answers the same is not done yet.
pub const ACTION_OPEN: &str = "ActionOpen";
/// So many models drift at once that the data is to be looked at and nothing is retrained.
pub const STORM_BREAKER: &str = "StormBreaker";
/// The version does not say on which data to retrain.
pub const NO_RETRAINING: &str = "NoRetraining";
/// The last proposal for the model is too recent.
pub const COOL_DOWN: &str = "CoolDown";
/// The proposals that the model may have within a day are used up.
pub const BUDGET_SPENT: &str = "BudgetSpent";

/// A bundle is given: no data is read and nothing is trained.
pub const NO_TRAINING: &str = "NoTraining";
/// The given bundle is in the store.
pub const ARTIFACT_FOUND: &str = "ArtifactFound";
/// A version of a given bundle has no gates.
pub const NO_GATES: &str = "NoGates";
/// The version passed its gates; a PromoteModel or RollbackModel decides whether it serves.
pub const AWAITING_PROMOTION: &str = "AwaitingPromotion";
/// The version was left by a rollback or failed its promotion. It is not promoted until its hold is lifted.
pub const HELD: &str = "Held";
/// The promotion of the version was rejected.
pub const PROMOTION_REJECTED: &str = "PromotionRejected";
/// The promotion of the version was not decided on in time.
pub const PROMOTION_EXPIRED: &str = "PromotionExpired";
/// The promotion of the version has ended, and it does not serve.
pub const PROMOTION_ENDED: &str = "PromotionEnded";

/// Reasons of actions: where each stands, and how it ended.
pub mod action {
    /// It has no plan yet, or waits for what its plan rests on.
    pub const PLANNING: &str = "Planning";
    /// The plan waits until enough people have approved it.
    pub const AWAITING_APPROVAL: &str = "AwaitingApproval";
    /// Enough people approved, or none is needed.
    pub const APPROVED: &str = "Approved";
    /// The approval of the action before it covers it.
    pub const COVERED: &str = "Covered";
    /// It was rejected, which is final.
    pub const REJECTED: &str = "Rejected";
    /// Its plan was not carried out in time.
    pub const EXPIRED: &str = "Expired";
    /// What was planned is not what would be done any more: approvals of the former plan are void.
    pub const PLAN_CHANGED: &str = "PlanChanged";
    /// Something else came first.
    pub const SUPERSEDED: &str = "Superseded";
    /// There are too few new rows with labels.
    pub const LABELS_NEEDED: &str = "LabelsNeeded";
    /// It would change nothing.
    pub const NO_CHANGE: &str = "NoChange";
    /// The version passed its gates and waits for an action that promotes it.
    pub const AWAITING_PROMOTION: &str = "AwaitingPromotion";
    /// The admission policies were seen at work on this action.
    pub const APPROVAL_ENFORCED: &str = "ApprovalEnforced";
    /// The admission policies were not seen at work: an approval would prove nothing.
    pub const APPROVAL_NOT_ENFORCED: &str = "ApprovalNotEnforced";
    /// The admission policies could not be tried: something else refuses what they are tried with.
    pub const APPROVAL_NOT_TRIED: &str = "ApprovalNotTried";
    /// It needs no approval.
    pub const NOT_NEEDED: &str = "NotNeeded";
    /// The model is claimed for it.
    pub const CLAIMED: &str = "Claimed";
    /// Another action is changing the model.
    pub const MODEL_CLAIMED: &str = "ModelClaimed";
    /// So many actions are under way that it waits.
    pub const TOO_MANY_IN_FLIGHT: &str = "TooManyInFlight";
    /// A new version is trained.
    pub const TRAINING: &str = "Training";
    /// The version that it trained is promoted.
    pub const PROMOTING: &str = "Promoting";
    /// Pods with the planned routes are being started.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// The planned routes serve and are watched.
    pub const VERIFYING: &str = "Verifying";
    /// Traffic since the change shows no drift.
    pub const VERIFIED: &str = "Verified";
    /// Traffic since the change shows drift.
    pub const DRIFT_AFTER_CHANGE: &str = "DriftAfterChange";
    /// There was too little traffic to say.
    pub const INSUFFICIENT_DATA: &str = "InsufficientData";
    /// The plan was carried out.
    pub const EXECUTED: &str = "Executed";
    /// The planned version did not come up, and what served before serves again.
    pub const ROLLED_BACK: &str = "RolledBack";
    /// The version is on hold until the hold is lifted.
    pub const HELD: &str = "Held";
    /// The plan was made and shown, and nothing more was asked for.
    pub const DRY_RUN: &str = "DryRun";
    /// There is nothing that could be returned to.
    pub const NOTHING_TO_RETURN_TO: &str = "NothingToReturnTo";
    /// The alert was delivered.
    pub const ALERTED: &str = "Alerted";
    /// The alert was not accepted by the API server.
    pub const NOT_DELIVERED: &str = "NotDelivered";
    /// The action held the claim on its model for `claimSeconds` and had not done what was planned.
    pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
}

/// The reason that an attempt without an outcome left, as the constant of that text.
pub fn of_a_finished_attempt(reason: &str) -> Option<&'static str> {
    [
        DATASET_NOT_FOUND,
        SPEC_INVALID,
        DATA_INVALID,
        RESULT_LOST,
        RESULT_MISMATCH,
        ARTIFACT_MISSING,
        JOB_FAILED,
        OUT_OF_MEMORY,
        DEADLINE_EXCEEDED,
    ]
    .into_iter()
    .find(|known| *known == reason)
}
