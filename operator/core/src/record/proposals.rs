//! What a model remembers of the actions that were proposed for it. Guard rails are counted over these and never over actions:
//! those can be deleted.

use jiff::Timestamp;
use modelward_crds::{ActionType, Model, Proposal};

/// Proposals that a model remembers: as many as its schema holds.
pub(crate) const REMEMBERED: usize = 32;

/// A budget is for so many seconds.
pub(crate) const DAY: i64 = 86_400;

/// The proposals that a model remembers once this one is made: newest first.
///
/// Where there is no room, the oldest that no guard rail counts goes: neither the newest of its type, from which cool-down is
/// measured, nor a retraining of the last day, of which the budget is made.
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
            let newest = kept[..index].iter().all(|other| other.action != one.action);
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

/// Whole seconds, as the record keeps them. A clock that was set back makes them negative, which is recent.
pub(crate) fn seconds_since(proposal: &Proposal, now: Timestamp) -> i64 {
    now.as_second() - proposal.at.0.as_second()
}
