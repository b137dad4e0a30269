//! The behaviour of a kind of action.

use modelward_crds::ActionPlan;

use super::facts::Facts;
use crate::action::{
    case::Case,
    draft::{Draft, Outcome},
    plan::proposal::Proposal,
};

/// The behaviour of a kind of action in the chain. No method has a default body.
pub(in crate::action) trait Kind: Sync {
    /// Its properties.
    fn facts(&self) -> &'static Facts;

    /// The proposal for the current state. It may have data read first.
    fn propose(&self, case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Outcome>;

    /// The whole effect of a kind without a claim. None passes on to the claim.
    fn without_claim(&self, case: &Case<'_>, draft: &mut Draft) -> Option<Outcome>;

    /// Whether this action still holds the claim on the model, by itself or through an action that it created. Otherwise it ends.
    fn holds_claim(&self, case: &Case<'_>) -> bool;

    /// Whether the plan has begun to change what serves. A rejection ends the action before that, and is void afterwards.
    fn has_begun(&self, case: &Case<'_>, draft: &Draft, plan: &ActionPlan) -> bool;

    /// The effects from the claim to the end, while the claim is held and the plan was not rejected in time.
    fn carry_out(&self, case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Outcome, Outcome>;

    /// Name of the action of this kind that the operator proposes for a version. None if it does not propose this kind.
    fn proposal_name(&self, version: &str, uid: &str) -> Option<String>;
}
