//! The proposals in a model's record. Guard rails are computed from these, not from actions, because those can be deleted.

use jiff::Timestamp;
use modelward_crds::{ActionType, Model, Proposal};

/// Limit on the proposals in a record, from its schema.
pub(crate) const REMEMBERED: usize = 32;

/// The period of a budget in seconds.
pub(crate) const DAY: i64 = 86_400;

/// The proposals of a model including this one, newest first.
///
/// If there is no room, the oldest one that no guard rail needs is removed: not the newest of its type and reason, from which
/// cool-down is measured, and not a retraining of the last day, which counts towards the budget.
pub fn remember(
    proposals: &[Proposal],
    new: Proposal,
    now: Timestamp,
    is_budgeted: impl Fn(ActionType) -> bool,
) -> Vec<Proposal> {
    let mut kept = vec![new];
    kept.extend(proposals.iter().cloned());
    while kept.len() > REMEMBERED {
        let counts = |index: usize| {
            let one = &kept[index];
            let is_same = |other: &Proposal| (other.action, &other.reason) == (one.action, &one.reason);
            let newest = !kept[..index].iter().any(is_same);
            newest || (is_budgeted(one.action) && seconds_since(one, now) < DAY)
        };
        let idle = (0..kept.len()).rev().find(|index| !counts(*index));
        kept.remove(idle.unwrap_or(kept.len() - 1));
    }
    kept
}

pub(crate) fn proposals(model: &Model) -> &[Proposal] {
    let status = model.status.as_ref();
    status
        .map(|status| status.proposals.as_slice())
        .unwrap_or_default()
}

pub(crate) fn of_type(model: &Model, action: ActionType) -> impl Iterator<Item = &Proposal> {
    proposals(model).iter().filter(move |one| one.action == action)
}

/// Whole seconds, as in the record. They are negative if the clock was set back, which counts as recent.
pub(crate) fn seconds_since(proposal: &Proposal, now: Timestamp) -> i64 {
    now.as_second() - proposal.at.0.as_second()
}
