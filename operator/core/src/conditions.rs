//! Merging and reading of conditions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use modelward_crds::{ConditionType, wire::words};
use modelward_wire::shorten;

use crate::reason::Reason;

/// The content of a condition; [`merge`] adds the times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Type of the condition.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: Status,
    /// The reason in CamelCase, a word of the API.
    pub reason: Reason,
    /// The message.
    pub message: String,
}

words! {
    /// The three values of a condition.
    pub enum Status {
        /// It holds.
        True,
        /// It does not hold.
        False,
        /// It is not known.
        Unknown,
    }
}

/// Messages of conditions are truncated to this length: the 32768 characters that Kubernetes accepts are too many to read.
const MESSAGE_LIMIT: usize = 1024;

// === impl Verdict ===

impl Verdict {
    /// A condition that holds.
    pub fn holds(kind: ConditionType, reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: Status::True,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A condition that does not hold.
    pub fn fails(kind: ConditionType, reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: Status::False,
            reason: reason.into(),
            message: message.into(),
        }
    }

    /// A condition whose status is unknown.
    pub fn unknown(kind: ConditionType, reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self {
            kind,
            status: Status::Unknown,
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// The old conditions updated by these verdicts, in the verdicts' order.
///
/// The transition time changes only if the status does. Conditions of types that are not among the verdicts are dropped.
pub fn merge(
    old: &[Condition],
    verdicts: &[Verdict],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let merged = |verdict: &Verdict| {
        let before = find(old, verdict.kind).filter(|before| before.status == verdict.status.as_str());
        Condition {
            type_: verdict.kind.to_string(),
            status: verdict.status.as_str().to_owned(),
            reason: verdict.reason.as_str().to_owned(),
            message: shorten(&verdict.message, MESSAGE_LIMIT),
            observed_generation: generation,
            last_transition_time: before.map_or_else(
                || Time(whole_seconds(now)),
                |before| before.last_transition_time.clone(),
            ),
        }
    };
    verdicts.iter().map(merged).collect()
}

/// The condition of this type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// Whether a condition holds. A text that is not one of the three values reads as unknown.
pub fn status(condition: &Condition) -> Status {
    Status::of(&condition.status).unwrap_or(Status::Unknown)
}

/// The reason of a condition, if this release knows it.
pub fn reason(condition: &Condition) -> Option<Reason> {
    Reason::of(&condition.reason)
}

/// Whether the condition of this type is True.
pub fn is_true(conditions: &[Condition], kind: ConditionType) -> bool {
    find(conditions, kind).is_some_and(|condition| status(condition) == Status::True)
}

/// Conditions whose status or reason has changed: each causes an Event.
pub fn changed<'a>(old: &[Condition], new: &'a [Condition]) -> Vec<&'a Condition> {
    let same = |before: &Condition, after: &Condition| {
        before.status == after.status && before.reason == after.reason
    };
    new.iter()
        .filter(|after| !former(old, after).is_some_and(|before| same(before, after)))
        .collect()
}

/// The condition of the same type among these.
fn former<'a>(old: &'a [Condition], condition: &Condition) -> Option<&'a Condition> {
    old.iter().find(|before| before.type_ == condition.type_)
}

/// The changed conditions that are worth an Event, without those of these types.
///
/// A condition that starts as Unknown, or as waiting, only says that nothing has happened yet. If several conditions change with the
/// same reason and message, the first one is enough.
pub fn worth_an_event<'a>(
    old: &[Condition],
    new: &'a [Condition],
    without: &[ConditionType],
) -> Vec<&'a Condition> {
    let mut worth = Vec::<&Condition>::new();
    for after in changed(old, new) {
        let idle = status(after) == Status::Unknown
            || matches!(reason(after), Some(Reason::Waiting | Reason::Pending));
        let starts_idle = idle && former(old, after).is_none();
        let said = worth
            .iter()
            .any(|before| before.reason == after.reason && before.message == after.message);
        if !starts_idle && !said && !without.iter().any(|kind| kind.as_str() == after.type_) {
            worth.push(after);
        }
    }
    worth
}

/// Kubernetes stores whole seconds; the fraction must not make two equal statuses differ.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_where_the_status_flips() {
        let first = merge(
            &[],
            &[Verdict::fails(ConditionType::Ready, Reason::Pending, "")],
            Some(1),
            at(10),
        );
        let reworded = merge(
            &first,
            &[Verdict::fails(ConditionType::Ready, Reason::Waiting, "for data")],
            Some(2),
            at(20),
        );
        assert_eq!(reworded[0].last_transition_time.0, at(10));
        assert_eq!(reworded[0].observed_generation, Some(2));
        let flipped = merge(
            &reworded,
            &[Verdict::holds(ConditionType::Ready, Reason::Serving, "")],
            Some(2),
            at(30),
        );
        assert_eq!(flipped[0].last_transition_time.0, at(30));
    }

    #[test]
    fn merging_the_same_verdict_again_changes_nothing() {
        let verdicts = [Verdict::holds(ConditionType::Ready, Reason::Serving, "2 Pods")];
        let first = merge(&[], &verdicts, Some(1), at(10));
        assert_eq!(merge(&first, &verdicts, Some(1), at(99)), first);
    }

    #[test]
    fn a_condition_that_starts_as_unknown_is_no_event_and_one_that_becomes_unknown_is() {
        let waiting = [Verdict::unknown(
            ConditionType::Trained,
            Reason::Waiting,
            "the data is not accepted yet",
        )];
        let first = merge(&[], &waiting, Some(1), at(10));
        assert!(worth_an_event(&[], &first, &[]).is_empty());
        let trained = merge(
            &first,
            &[Verdict::holds(
                ConditionType::Trained,
                Reason::BundlePublished,
                "",
            )],
            Some(1),
            at(20),
        );
        let lost = merge(
            &trained,
            &[Verdict::unknown(ConditionType::Trained, Reason::ResultLost, "")],
            Some(1),
            at(30),
        );
        assert_eq!(worth_an_event(&trained, &lost, &[])[0].reason, "ResultLost");
    }

    #[test]
    fn conditions_that_change_for_one_reason_in_one_sentence_are_one_event() {
        let rejected = [
            Verdict::fails(
                ConditionType::DataValid,
                Reason::DataInvalid,
                "column num is missing",
            ),
            Verdict::fails(ConditionType::Ready, Reason::DataInvalid, "column num is missing"),
            Verdict::holds(ConditionType::Stalled, Reason::DataInvalid, "it cannot go on"),
        ];
        let new = merge(&[], &rejected, Some(1), at(10));
        let worth = worth_an_event(&[], &new, &[ConditionType::Stalled]);
        assert_eq!(
            worth
                .iter()
                .map(|condition| condition.type_.as_str())
                .collect::<Vec<_>>(),
            ["DataValid"]
        );
    }

    #[test]
    fn a_new_message_alone_is_no_event() {
        let old = merge(
            &[],
            &[Verdict::holds(ConditionType::Ready, Reason::Serving, "1 Pod")],
            Some(1),
            at(10),
        );
        let new = merge(
            &old,
            &[Verdict::holds(ConditionType::Ready, Reason::Serving, "2 Pods")],
            Some(1),
            at(20),
        );
        assert!(changed(&old, &new).is_empty());
        assert_eq!(changed(&[], &new).len(), 1);
    }
}
