//! Types of conditions. Reasons live with the decisions that give them.

use modelward_wire::words;

words! {
    /// Types of conditions of the four kinds.
    pub enum ConditionType {
        /// The object has reached the state that its spec asks for and has nothing left to do.
        Ready,
        /// Work is under way: absent or False at rest (kstatus).
        Reconciling,
        /// The operator cannot go on by itself; the message says what would help (kstatus).
        Stalled,
        /// The data could be read and keeps its schema.
        DataValid,
        /// A bundle was made, published and read back.
        Trained,
        /// Every gate of the spec holds.
        GatesPassed,
        /// Enough verified and warmed-up Pods answer with this version.
        Serving,
        /// At least one version answers requests.
        Available,
        /// The bounded piece of work has ended well.
        Succeeded,
        /// Enough people who may decide have approved this very plan.
        Approved,
        /// The admission policies that prove approvals were seen at work on this very action.
        ApprovalEnforced,
        /// The plan's effects have been carried out.
        Executed,
        /// What was carried out keeps its promise.
        Verified,
        /// A child differs from what the operator writes, and it stays so: a webhook, a policy or another controller changes it.
        Altered,
        /// The model keeps its former Pod template: other models are upgraded first, or one of them does not come up.
        UpgradeHeld,
        /// An autoscaler or a disruption budget that is not the operator's acts on the model's Pods as well.
        Contested,
        /// The API server refuses the action that would let another version serve.
        ProposalRefused,
    }
}
