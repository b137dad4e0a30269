//! Names of conditions. Reasons live with the decisions that give them.

/// Condition types of the four kinds, spelled once.
pub mod types {
    /// The object has reached the state that its spec asks for and has nothing left to do.
    pub const READY: &str = "Ready";
    /// Work is under way: absent or False at rest (kstatus).
    pub const RECONCILING: &str = "Reconciling";
    /// The operator cannot go on by itself; the message says what would help (kstatus).
    pub const STALLED: &str = "Stalled";
    /// The data could be read and keeps its schema.
    pub const DATA_VALID: &str = "DataValid";
    /// A bundle was made, published and read back.
    pub const TRAINED: &str = "Trained";
    /// Every gate of the spec holds.
    pub const GATES_PASSED: &str = "GatesPassed";
    /// Enough verified and warmed-up Pods answer with this version.
    pub const SERVING: &str = "Serving";
    /// At least one version answers requests.
    pub const AVAILABLE: &str = "Available";
    /// The bounded piece of work has ended well.
    pub const SUCCEEDED: &str = "Succeeded";
    /// Enough people who may decide have approved this very plan.
    pub const APPROVED: &str = "Approved";
    /// The admission policies that prove approvals were seen at work on this very action.
    pub const APPROVAL_ENFORCED: &str = "ApprovalEnforced";
    /// The plan's effects have been carried out.
    pub const EXECUTED: &str = "Executed";
    /// What was carried out keeps its promise.
    pub const VERIFIED: &str = "Verified";
    /// A child differs from what the operator writes, and it stays so: a webhook, a policy or another controller changes it.
    pub const ALTERED: &str = "Altered";
    /// The model keeps its former Pod template: other models are upgraded first, or one of them does not come up.
    pub const UPGRADE_HELD: &str = "UpgradeHeld";
    /// An autoscaler or a disruption budget that is not the operator's acts on the model's Pods as well.
    pub const CONTESTED: &str = "Contested";
    /// The API server refuses the action that would let another version serve.
    pub const PROPOSAL_REFUSED: &str = "ProposalRefused";
}
