//! The decisions of users, read from the annotations that the admission policies protect.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{ActionPlan, Decision, DecisionKind, RemediationAction, annotations};
use modelward_wire::Digest;

use crate::conditions;

/// The largest number of decisions that the admission policies allow.
const MOST: i32 = 16;
/// The admission policies do not allow longer names or comments.
const LONGEST: usize = 512;

/// All decisions in their order, with the reason for each that does not count. `before` has when each was first seen.
pub fn read(
    action: &RemediationAction,
    plan: Option<&ActionPlan>,
    before: &[Decision],
    now: Timestamp,
) -> Vec<Decision> {
    let annotated = action.metadata.annotations.as_ref();
    let line = |number: i32| annotated?.get(&format!("{}{number}", annotations::DECISION_PREFIX));
    let proposer = annotated.and_then(|all| all.get(annotations::PROPOSED_BY));
    let mut approved: BTreeSet<String> = BTreeSet::new();
    let mut decisions: Vec<Decision> = (1..=MOST)
        .filter_map(|number| parse(number, line(number)?))
        .collect();
    for decision in &mut decisions {
        let seen = before.iter().find(|seen| is_same(seen, decision));
        decision.seen_at = seen.map_or_else(
            || Time(conditions::whole_seconds(now)),
            |seen| seen.seen_at.clone(),
        );
        decision.void_because = match decision.decision {
            // A rejection is final, for any plan.
            DecisionKind::Reject => None,
            DecisionKind::Approve => void(decision, plan, proposer, &mut approved).map(ToOwned::to_owned),
        };
    }
    decisions
}

/// The different users whose approval counts, in the order in which they decided.
pub fn approvers(decisions: &[Decision]) -> Vec<&str> {
    let counts =
        |decision: &&Decision| decision.decision == DecisionKind::Approve && decision.void_because.is_none();
    decisions
        .iter()
        .filter(counts)
        .map(|decision| decision.user.as_str())
        .collect()
}

/// The first rejection that counts.
pub fn rejection(decisions: &[Decision]) -> Option<&Decision> {
    decisions
        .iter()
        .find(|decision| decision.decision == DecisionKind::Reject && decision.void_because.is_none())
}

fn void(
    decision: &Decision,
    plan: Option<&ActionPlan>,
    proposer: Option<&String>,
    approved: &mut BTreeSet<String>,
) -> Option<&'static str> {
    let user = decision.user.as_str();
    let Some(plan) = plan.filter(|plan| plan.digest == decision.digest) else {
        return Some("it is for another plan than the present one");
    };
    if user.starts_with("system:") {
        return Some("service accounts and system users cannot decide");
    }
    if proposer.is_some_and(|proposer| proposer == user) {
        return Some("the user who proposed an action cannot approve it");
    }
    if plan.excluded_approvers.iter().any(|excluded| excluded == user) {
        return Some("a user who created or changed the version cannot approve it");
    }
    (!approved.insert(user.to_owned())).then_some("the same person has approved this plan before")
}

fn parse(number: i32, line: &str) -> Option<Decision> {
    let (decision, rest) = if let Some(rest) = line.strip_prefix("approve ") {
        (DecisionKind::Approve, rest)
    } else {
        (DecisionKind::Reject, line.strip_prefix("reject ")?)
    };
    let (digest, rest) = rest.split_once(' ')?;
    let digest: Digest = digest.parse().ok()?;
    let (user, comment) = match rest.split_once(" # ") {
        Some((user, comment)) => (user, Some(comment)),
        None => (rest, None),
    };
    let fits = |text: &str| !text.is_empty() && text.chars().count() <= LONGEST;
    fits(user).then(|| Decision {
        number,
        decision,
        user: user.to_owned(),
        digest,
        seen_at: Time(Timestamp::UNIX_EPOCH),
        comment: comment.filter(|comment| fits(comment)).map(ToOwned::to_owned),
        void_because: None,
    })
}

fn is_same(seen: &Decision, decision: &Decision) -> bool {
    seen.number == decision.number
        && seen.decision == decision.decision
        && seen.user == decision.user
        && seen.digest == decision.digest
}
