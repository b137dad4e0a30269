//! What a kind of action does.

use modelward_crds::ActionPlan;

use super::facts::Facts;
use crate::action::{
    case::Case,
    draft::{Draft, Outcome},
    plan::proposal::Proposal,
};

/// A kind of action, to the chain. No method has a default body.
pub(in crate::action) trait Kind: Sync {
    /// What others ask about it.
    fn facts(&self) -> &'static Facts;

    /// What would be done now. It may have data read first.
    fn propose(&self, case: &Case<'_>, draft: &mut Draft) -> Result<Proposal, Outcome>;

    /// The whole effect of a kind that claims nothing. None hands over to the claim.
    fn without_claim(&self, case: &Case<'_>, draft: &mut Draft) -> Option<Outcome>;

    /// From the claim to the end.
    fn carry_out(&self, case: &Case<'_>, draft: &mut Draft, plan: &ActionPlan) -> Result<Outcome, Outcome>;

    /// Name of the action of this kind that the operator proposes by itself for a version. None where it proposes none.
    fn proposal_name(&self, version: &str, uid: &str) -> Option<String>;
}
