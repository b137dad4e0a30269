//! Reasons of conditions and events. They are an API: alerts and scripts match them.

use modelward_wire::words;

words! {
    /// Why a condition is as it is, or what an event reports.
    #[derive(PartialOrd, Ord)]
    pub enum Reason {
        /// The operator has not got to it yet.
        Pending,
        /// The dataset does not exist; the version waits for it.
        DatasetNotFound,
        /// A snapshot Job reads and checks the data.
        SnapshotRunning,
        /// The data was read, checked and frozen.
        DataAccepted,
        /// The data breaks its schema or cannot be read.
        DataInvalid,
        /// The spec asks for what the trainer cannot do.
        SpecInvalid,
        /// A fit Job trains and evaluates.
        FitRunning,
        /// A bundle was published and read back.
        BundlePublished,
        /// The API server refuses the Pods: a quota, a `LimitRange`, a missing service account or a policy.
        PodRefused,
        /// The Job is suspended.
        Suspended,
        /// No node takes the Pod.
        Unschedulable,
        /// An image cannot be pulled.
        ImagePullFailed,
        /// A volume of the Pod cannot be attached or mounted.
        VolumeNotReady,
        /// The node cannot set up the Pod's sandbox or network.
        SandboxFailed,
        /// The container cannot be created or started as it is configured.
        ContainerNotStarted,
        /// The Pod has not started, and no cause is known.
        PodPending,
        /// The program in the container ended with an error.
        ContainerFailed,
        /// The program needs more memory than its limit.
        OutOfMemory,
        /// An eviction, the scheduler or a lost node ended the Pod.
        Disrupted,
        /// The program could not reach the ledger or a data source.
        Unreachable,
        /// The Job ran longer than it may, or the action held the claim on its model for longer than `claimSeconds`.
        DeadlineExceeded,
        /// The version waits until fewer Jobs run.
        Queued,
        /// What a Job reported is not what its artifact states, or the artifact is not what was asked for.
        ResultMismatch,
        /// A Job ended without a result, more often than it is tried.
        JobFailed,
        /// A Job ended well, but its result is nowhere to be had.
        ResultLost,
        /// The bundle that a result names is not in the store.
        ArtifactMissing,
        /// The ledger does not answer.
        LedgerUnavailable,
        /// Every gate holds.
        AllGatesPassed,
        /// At least one gate does not hold.
        GateFailed,
        /// The version waits for an earlier step.
        Waiting,
        /// Pods with the new routes are being started.
        RolloutInProgress,
        /// A rollout does not come to an end.
        RolloutStuck,
        /// A Pod refused a bundle because a file is not what its digest says.
        ArtifactInvalid,
        /// Enough Pods answer.
        Serving,
        /// Fewer Pods answer than should.
        TooFewPods,
        /// A newer version has taken over, or one was newer from the beginning.
        Retired,
        /// It passed its gates; the model is paused.
        Paused,
        /// No version has passed its gates.
        NoVersion,
        /// What served was deleted; older versions do not take over by themselves.
        ServingVersionDeleted,
        /// A child of the needed name exists and is not ours.
        NameTaken,
        /// A child was changed by another writer and was put back.
        RoutesTampered,
        /// The object holds a value that this version of the operator cannot deserialise.
        Unreadable,
        /// The API server refuses the action that would be proposed.
        ActionRefused,
        /// The API server refused a child.
        ChildRefused,
        /// The API server failed or could not be asked while a child was written; it is tried again.
        ChildFailed,
        /// The operator cannot reach the Service, so it does not know whether requests are answered.
        NotReachable,
        /// Nothing answers through the Service.
        NoAnswer,
        /// What answers through the Service does not serve the routes of the record.
        WrongAnswer,
        /// Admission changes what the operator writes.
        ChangedByWebhook,
        /// Another writer changes a child each time after it was put back.
        ChangedRepeatedly,
        /// A second autoscaler scales the Deployment.
        SecondAutoscaler,
        /// A second disruption budget selects the Pods: none of them can be evicted.
        SecondDisruptionBudget,
        /// Other models are upgraded first.
        AwaitingTurn,
        /// The upgrade stopped: a model does not come up with the new Pod template.
        UpgradeStopped,
        /// The window of a report is not over yet, or its last counts are still on their way.
        WindowOpen,
        /// The version that a report names does not exist.
        VersionNotFound,
        /// The model that an action names does not exist.
        ModelNotFound,
        /// The version that a report names has no bundle, so there is nothing to compare its traffic with.
        NoBundle,
        /// The ledger understood what was asked and refused it, such as a verdict on a bundle without a reference.
        LedgerRefused,
        /// At least one feature differs from its reference by more than the tolerance.
        DriftFound,
        /// There were enough rows, and no feature differs by more than the tolerance.
        NoDrift,
        /// There were too few rows to tell.
        InsufficientData,
        /// The spec of a version was changed.
        SpecChanged,
        /// An action was proposed.
        Proposed,
        /// A claim on a model was released because its action is gone.
        ClaimReleased,
        /// The report is not the newest one of what serves.
        NotServing,
        /// An action that answers the same is not done yet.
        ActionOpen,
        /// So many models drift at once that the data is to be looked at and nothing is retrained.
        StormBreaker,
        /// The version does not say on which data to retrain.
        NoRetraining,
        /// The last proposal for the model is too recent.
        CoolDown,
        /// The proposals that the model may have within a day are used up.
        BudgetSpent,
        /// A bundle is given: no data is read and nothing is trained.
        NoTraining,
        /// The given bundle is in the store.
        ArtifactFound,
        /// A version of a given bundle has no gates.
        NoGates,
        /// The version passed its gates; a PromoteModel or RollbackModel decides whether it serves.
        AwaitingPromotion,
        /// The version was left by a rollback or failed its promotion. It is not promoted until its hold is lifted.
        Held,
        /// The promotion of the version was rejected.
        PromotionRejected,
        /// The promotion of the version was not decided on in time.
        PromotionExpired,
        /// The promotion of the version has ended, and it does not serve.
        PromotionEnded,
        // Where an action stands, and how it ended.
        /// It has no plan yet, or waits for what its plan rests on.
        Planning,
        /// The plan waits until enough people have approved it.
        AwaitingApproval,
        /// Enough people approved, or none is needed.
        Approved,
        /// The approval of the action before it covers it.
        Covered,
        /// It was rejected, which is final.
        Rejected,
        /// Its plan was not carried out in time.
        Expired,
        /// What was planned is not what would be done any more: approvals of the former plan are void.
        PlanChanged,
        /// Something else came first.
        Superseded,
        /// There are too few new rows with labels.
        LabelsNeeded,
        /// It would change nothing.
        NoChange,
        /// The admission policies were seen at work on this action.
        ApprovalEnforced,
        /// The admission policies were not seen at work: an approval would prove nothing.
        ApprovalNotEnforced,
        /// The admission policies could not be tried: something else refuses what they are tried with.
        ApprovalNotTried,
        /// It needs no approval.
        NotNeeded,
        /// The model is claimed for it.
        Claimed,
        /// Another action is changing the model.
        ModelClaimed,
        /// So many actions are under way that it waits.
        TooManyInFlight,
        /// A new version is trained.
        Training,
        /// The version that it trained is promoted.
        Promoting,
        /// Pods with the planned routes are being started.
        RollingOut,
        /// The planned routes serve and are watched.
        Verifying,
        /// Traffic since the change shows no drift.
        Verified,
        /// Traffic since the change shows drift.
        DriftAfterChange,
        /// The plan was carried out.
        Executed,
        /// The planned version did not come up, and what served before serves again.
        RolledBack,
        /// The plan was made and shown, and nothing more was asked for.
        DryRun,
        /// There is nothing that could be returned to.
        NothingToReturnTo,
        /// The alert was delivered.
        Alerted,
        /// The alert was not accepted by the API server.
        NotDelivered,
    }

    /// Reasons of attempts that ended without an outcome.
    pub enum AttemptFailure: Reason {
        /// See [`Reason::DatasetNotFound`].
        DatasetNotFound,
        /// See [`Reason::SpecInvalid`].
        SpecInvalid,
        /// See [`Reason::DataInvalid`].
        DataInvalid,
        /// See [`Reason::ResultLost`].
        ResultLost,
        /// See [`Reason::ResultMismatch`].
        ResultMismatch,
        /// See [`Reason::ArtifactMissing`].
        ArtifactMissing,
        /// See [`Reason::JobFailed`].
        JobFailed,
        /// See [`Reason::OutOfMemory`].
        OutOfMemory,
        /// See [`Reason::DeadlineExceeded`].
        DeadlineExceeded,
    }

    /// Reasons of rollouts that do not come to an end by themselves.
    pub enum StuckReason: Reason {
        /// See [`Reason::ArtifactInvalid`].
        ArtifactInvalid,
        /// See [`Reason::NameTaken`].
        NameTaken,
        /// See [`Reason::ChildRefused`].
        ChildRefused,
        /// See [`Reason::ChangedRepeatedly`].
        ChangedRepeatedly,
        /// See [`Reason::NoAnswer`].
        NoAnswer,
        /// See [`Reason::WrongAnswer`].
        WrongAnswer,
        /// See [`Reason::RolloutStuck`].
        RolloutStuck,
    }

    /// Reasons of rollouts that go on.
    pub enum WorkingReason: Reason {
        /// See [`Reason::ChildFailed`].
        ChildFailed,
        /// See [`Reason::NoAnswer`].
        NoAnswer,
        /// See [`Reason::NotReachable`].
        NotReachable,
        /// See [`Reason::WrongAnswer`].
        WrongAnswer,
        /// See [`Reason::RolloutInProgress`].
        RolloutInProgress,
    }

    /// Reasons with which a promotion ends, and its retraining with it.
    pub enum Ending: Reason {
        /// See [`Reason::Verified`].
        Verified,
        /// See [`Reason::DriftAfterChange`].
        DriftAfterChange,
        /// See [`Reason::InsufficientData`].
        InsufficientData,
        /// See [`Reason::Executed`].
        Executed,
        /// See [`Reason::RolledBack`].
        RolledBack,
        /// See [`Reason::Rejected`].
        Rejected,
        /// See [`Reason::Expired`].
        Expired,
        /// See [`Reason::Held`].
        Held,
        /// See [`Reason::PlanChanged`].
        PlanChanged,
        /// See [`Reason::DeadlineExceeded`].
        DeadlineExceeded,
        /// See [`Reason::GateFailed`].
        GateFailed,
        /// See [`Reason::RolloutStuck`].
        RolloutStuck,
        /// See [`Reason::Waiting`].
        Waiting,
        /// See [`Reason::Superseded`].
        Superseded,
    }
}
