//! Which ended actions are kept, and which may be deleted.

use jiff::Timestamp;
use modelward_crds::{ConditionType, Model, RemediationAction};

use super::kinds::{Shelf, facts};
use crate::{
    conditions,
    objects::{active, has_ended, parent_uid, uid_of},
    policy::Policy,
};

const DAY: i64 = 86_400;

/// The kind of record that an ended action is. Each kind has its own limit: many of one never displace another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    /// Users decided on it, or on the action that covers it.
    Decided,
    /// It could have changed something, and no user decided on it.
    Undecided,
    /// An alert.
    Alert,
}

/// The ended actions of a model that may be deleted, oldest first.
///
/// The newest ones of each kind of record are kept; those with decisions are also kept for `decidedDays`. Open actions, actions
/// with a claim on the model, and parents of open actions are never deleted.
pub fn surplus<'a>(
    actions: &'a [RemediationAction],
    model: Option<&Model>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<&'a RemediationAction> {
    let claimed = model.and_then(active).map(|active| active.uid.as_str());
    let parent_of_open = |uid: &str| {
        actions
            .iter()
            .any(|action| !has_ended(action) && parent_uid(action) == Some(uid))
    };
    let mut ended: Vec<&RemediationAction> = actions
        .iter()
        .filter(|action| has_ended(action) && action.metadata.deletion_timestamp.is_none())
        .filter(|action| claimed != Some(uid_of(*action)) && !parent_of_open(uid_of(*action)))
        .collect();
    ended.sort_by_key(|action| {
        let created = action.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, uid_of(*action).to_owned())
    });
    let number = |kept: i32| usize::try_from(kept).unwrap_or(0);
    let mut surplus = Vec::new();
    for (kind, kept) in [
        (Record::Decided, number(policy.actions_kept)),
        (Record::Undecided, number(policy.actions_kept)),
        (Record::Alert, number(policy.alerts_kept)),
    ] {
        let of_kind: Vec<&RemediationAction> = ended
            .iter()
            .copied()
            .filter(|action| record_of(action, actions) == kind)
            .collect();
        let beyond = of_kind.len().saturating_sub(kept);
        let old = of_kind.into_iter().take(beyond).filter(|action| {
            kind != Record::Decided || age(action, now) >= i64::from(policy.decided_days.max(0)) * DAY
        });
        surplus.extend(old);
    }
    surplus
}

fn record_of(action: &RemediationAction, all: &[RemediationAction]) -> Record {
    let decided = |action: &RemediationAction| {
        let status = action.status.as_ref();
        status.is_some_and(|status| !status.decisions.is_empty())
    };
    let parent = parent_uid(action).and_then(|uid| all.iter().find(|other| uid_of(*other) == uid));
    if decided(action) || parent.is_some_and(decided) {
        Record::Decided
    } else if facts(action.spec.action).shelf == Shelf::Alert {
        Record::Alert
    } else {
        Record::Undecided
    }
}

/// Seconds since it ended.
fn age(action: &RemediationAction, now: Timestamp) -> i64 {
    let conditions = action.status.as_ref().map(|status| status.conditions.as_slice());
    let ended = conditions::find(conditions.unwrap_or_default(), ConditionType::Succeeded);
    ended.map_or(0, |ended| {
        now.as_second() - ended.last_transition_time.0.as_second()
    })
}
