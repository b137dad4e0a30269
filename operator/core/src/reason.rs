//! Reasons of conditions and events. They are an API: alerts and scripts match them.

use modelward_wire::words;

words! {
    /// The reason of a condition or an Event.
    #[derive(PartialOrd, Ord)]
    pub enum Reason {
        /// The operator has not processed it yet.
        Pending,
        /// The dataset does not exist; the version waits for it.
        DatasetNotFound,
        /// A snapshot Job reads and checks the data.
        SnapshotRunning,
        /// The data was read, checked and frozen.
        DataAccepted,
        /// The data violates its schema or cannot be read.
        DataInvalid,
        /// The spec requests something that the trainer does not support.
        SpecInvalid,
        /// A fit Job trains and evaluates.
        FitRunning,
        /// A bundle was published and read back.
        BundlePublished,
        /// An import Job makes a bundle of a model that was trained elsewhere.
        ImportRunning,
        /// The bundle of an imported model was published and read back.
        Imported,
        /// The model or its sample was refused; the message says why and what to do.
        ImportRefused,
        /// The operator's configuration does not allow the image, or its service account, to train.
        CustomTrainerRefused,
        /// The API server rejects the Pods: a quota, a `LimitRange`, a missing service account or a policy.
        PodRefused,
        /// The Job is suspended.
        Suspended,
        /// No node accepts the Pod.
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
        /// The Pod wrote more to its volumes than their limits allow.
        OutOfDisk,
        /// An eviction, the scheduler or a lost node terminated the Pod.
        Disrupted,
        /// The program could not reach the ledger or a data source.
        Unreachable,
        /// The Job exceeded its deadline, or the action held the claim on its model for longer than `claimSeconds`.
        DeadlineExceeded,
        /// The version waits until fewer Jobs run.
        Queued,
        /// The result of a Job does not match its artifact, or the artifact does not match the request.
        ResultMismatch,
        /// Jobs failed without a result, as often as there are attempts.
        JobFailed,
        /// A Job succeeded, but its result is missing.
        ResultLost,
        /// The bundle that a result names is not in the store.
        ArtifactMissing,
        /// The ledger does not answer.
        LedgerUnavailable,
        /// MLflow has the version.
        PublishedToMlflow,
        /// No attempt to publish the version has ended.
        PublicationPending,
        /// The last attempt to publish the version to MLflow failed; another one follows.
        PublicationFailed,
        /// Every gate passed.
        AllGatesPassed,
        /// At least one gate failed.
        GateFailed,
        /// The version waits for an earlier step.
        Waiting,
        /// Pods with the new routes are being started.
        RolloutInProgress,
        /// A rollout does not complete.
        RolloutStuck,
        /// A Pod rejected a bundle because a file does not match its digest.
        ArtifactInvalid,
        /// Enough Pods serve.
        Serving,
        /// Fewer Pods serve than wanted.
        TooFewPods,
        /// A newer version serves.
        Retired,
        /// It passed its gates; the model is paused.
        Paused,
        /// No version has passed its gates.
        NoVersion,
        /// The version that served was deleted; older versions do not take over automatically.
        ServingVersionDeleted,
        /// An object with a needed name exists and is not the operator's.
        NameTaken,
        /// Another client changed a child, and the operator restored it.
        RoutesTampered,
        /// The object holds a value that this version of the operator cannot deserialize.
        Unreadable,
        /// The API server rejects the action that would be proposed.
        ActionRefused,
        /// The API server rejected a child.
        ChildRefused,
        /// Writing a child failed because of the API server; it is retried.
        ChildFailed,
        /// The operator cannot reach the Service, so it does not know whether requests are answered.
        NotReachable,
        /// The Service has no backend that answers.
        NoAnswer,
        /// The Service's backend does not serve the routes of the record.
        WrongAnswer,
        /// Admission changes the operator's writes.
        ChangedByWebhook,
        /// Another client changes a child again after each restore.
        ChangedRepeatedly,
        /// A second autoscaler scales the Deployment.
        SecondAutoscaler,
        /// A second disruption budget selects the Pods: none of them can be evicted.
        SecondDisruptionBudget,
        /// Other models are upgraded first.
        AwaitingTurn,
        /// The upgrade stopped: a model does not become ready with the new Pod template.
        UpgradeStopped,
        /// The window of a report has not ended yet, or its last counts have not arrived.
        WindowOpen,
        /// The version that a report names does not exist.
        VersionNotFound,
        /// The model that an action names does not exist.
        ModelNotFound,
        /// The version that a report names has no bundle, so there is nothing to compare its traffic with.
        NoBundle,
        /// The ledger rejected the request, such as a verdict on a bundle without a reference.
        LedgerRefused,
        /// At least one feature differs from its reference by more than the tolerance.
        DriftFound,
        /// There were enough rows, and no feature differs by more than the tolerance.
        NoDrift,
        /// There were not enough rows.
        InsufficientData,
        /// The spec of a version was changed.
        SpecChanged,
        /// An action was proposed.
        Proposed,
        /// A claim on a model was released because its action no longer exists.
        ClaimReleased,
        /// The report is not the newest one of the version that serves.
        NotServing,
        /// A user requested the report: only the operator's own reports lead to proposals.
        OnRequest,
        /// An action for the same model has not ended.
        ActionOpen,
        /// Many models drift at once: the data has to be checked, and nothing is retrained.
        StormBreaker,
        /// The version does not specify the data to retrain on.
        NoRetraining,
        /// Rows are refused because of a wrong type, which no retraining changes.
        RefusedRows,
        /// The amount of traffic has changed, which no retraining changes.
        TrafficChanged,
        /// The window that a retraining accepts cannot become a reference.
        WindowNotAcceptable,
        /// A whole season has not passed since drift was first found.
        SeasonOpen,
        /// The last proposal for the model is too recent.
        CoolDown,
        /// The daily budget of proposals is used up.
        BudgetSpent,
        /// A bundle is given: no data is read and nothing is trained.
        NoTraining,
        /// The given bundle is in the store.
        ArtifactFound,
        /// The version has no gates: its spec sets none, or names a bundle or an imported model.
        NoGates,
        /// The version passed its gates; a PromoteModel or RollbackModel decides whether it serves.
        AwaitingPromotion,
        /// The version was rolled back or its promotion failed. It is not promoted until its hold is lifted.
        Held,
        /// The promotion of the version was rejected.
        PromotionRejected,
        /// The promotion of the version was not decided on in time.
        PromotionExpired,
        /// The promotion of the version has ended, and it does not serve.
        PromotionEnded,
        // The state of an action, and its end.
        /// It has no plan yet, or waits for an input of its plan.
        Planning,
        /// The plan waits until enough users have approved it.
        AwaitingApproval,
        /// Enough users approved, or none is needed.
        Approved,
        /// The approval of an earlier action covers it.
        Covered,
        /// It was rejected, which is final.
        Rejected,
        /// Its plan was not carried out in time.
        Expired,
        /// The plan has changed, so approvals of the previous plan are void.
        PlanChanged,
        /// Another action or version took precedence.
        Superseded,
        /// There are too few new rows with labels.
        LabelsNeeded,
        /// It would change nothing.
        NoChange,
        /// The admission policies were tested on this action.
        ApprovalEnforced,
        /// The admission policies are not enforced, so an approval proves nothing.
        ApprovalNotEnforced,
        /// The admission policies could not be tested, because something else rejects the test requests.
        ApprovalNotTried,
        /// It needs no approval.
        NotNeeded,
        /// It holds the claim on the model.
        Claimed,
        /// Another action is changing the model.
        ModelClaimed,
        /// It waits because too many actions are in progress.
        TooManyInFlight,
        /// A new version is trained.
        Training,
        /// The version that it trained is promoted.
        Promoting,
        /// Pods with the planned routes are being started.
        RollingOut,
        /// The planned routes serve and are monitored.
        Verifying,
        /// Traffic since the change shows no drift.
        Verified,
        /// Traffic since the change shows drift.
        DriftAfterChange,
        /// The plan was carried out.
        Executed,
        /// The planned version did not become ready, and the previous routes serve again.
        RolledBack,
        /// A dry run: the plan was made and shown.
        DryRun,
        /// There is no version to return to.
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
        /// See [`Reason::ImportRefused`].
        ImportRefused,
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
        /// See [`Reason::OutOfDisk`].
        OutOfDisk,
        /// See [`Reason::DeadlineExceeded`].
        DeadlineExceeded,
    }

    /// Reasons of rollouts that are stuck.
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

    /// Reasons of rollouts in progress.
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

    /// Reasons with which a promotion ends, and with it its retraining.
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
