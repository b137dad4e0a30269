//! Types of conditions. Reasons are defined next to the decisions that use them.

use modelward_wire::words;

words! {
    /// Types of conditions of the four kinds.
    pub enum ConditionType {
        /// The object has reached the desired state, and nothing is left to do.
        Ready,
        /// Work is in progress (kstatus). Otherwise absent or False.
        Reconciling,
        /// The object needs intervention (kstatus). The message says what would help.
        Stalled,
        /// The data was read and matches its schema.
        DataValid,
        /// A bundle was trained, published and read back.
        Trained,
        /// All gates of the spec have passed.
        GatesPassed,
        /// Enough verified and warmed-up Pods serve this version.
        Serving,
        /// The version, its run and its bundle were published to MLflow.
        Published,
        /// At least one version answers requests.
        Available,
        /// The object completed successfully.
        Succeeded,
        /// Enough users with the permission to approve have approved this plan.
        Approved,
        /// The admission policies that prove approvals were tested on this action.
        ApprovalEnforced,
        /// The plan has been carried out.
        Executed,
        /// Traffic after the change shows no drift.
        Verified,
        /// A child keeps differing from what the operator writes because a webhook, a policy or another controller changes it.
        Altered,
        /// The model keeps its previous Pod template, because other models are upgraded first or one of them does not become ready.
        UpgradeHeld,
        /// An autoscaler or a disruption budget that the operator did not create also acts on the model's Pods.
        Contested,
        /// The API server rejects the action that would promote another version.
        ProposalRefused,
    }
}
