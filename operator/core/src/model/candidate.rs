//! Which version serves next: the first one automatically, any other by an approved action.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, ConditionType, Model, ModelStatus, ModelVersion, Proposal, RemediationAction, Role,
    RoutedVersion,
};

use crate::{
    action::kinds::facts,
    conditions,
    model::world::{ActionSeen, Proposed, VersionSeen, World},
    names::{promotion_name, rollback_name},
    order::Place,
    record::{holds::hold, proposals::remember},
};

/// Name of the newest version that passed its gates, if it is newer than this one.
pub(super) fn newest_passed<'a>(version: &ModelVersion, versions: &'a [ModelVersion]) -> Option<&'a str> {
    let passed = |version: &&ModelVersion| {
        let status = version.status.as_ref();
        status.is_some_and(|status| conditions::is_true(&status.conditions, ConditionType::GatesPassed))
            && version.metadata.deletion_timestamp.is_none()
    };
    let newest = versions
        .iter()
        .filter(passed)
        .max_by_key(|other| Place::of_version(other))?;
    let is_newer = Place::of_version(newest) > Place::of_version(version);
    is_newer.then_some(newest.metadata.name.as_deref()?)
}

/// Whether the record has no version that served.
pub(super) fn is_new(status: &ModelStatus) -> bool {
    status.newest_routed.is_none() && status.routes.is_empty() && status.history.is_empty()
}

/// The version that serves without a promotion.
pub(super) enum First<'a> {
    /// None: a version served before, or none has passed, or the first one needs approval too.
    None,
    /// This one.
    Serves(&'a VersionSeen),
    /// The first one has passed, but the second one is older and still being trained.
    Waits(&'a VersionSeen, &'a VersionSeen),
}

/// The version that serves without a promotion: the oldest one that has passed, if none ever served. In a record that was deleted
/// and recreated it is the version that served before.
pub(super) fn first<'a>(status: &ModelStatus, world: &'a World) -> First<'a> {
    if !is_new(status) {
        return First::None;
    }
    let there = || world.versions.iter().filter(|version| !version.deleting);
    let able = || there().filter(|version| version.passed.is_some());
    let live = able().filter(|version| version.role == Some(Role::Live));
    if let Some(live) = live.max_by_key(|version| version.place()) {
        return First::Serves(live);
    }
    let oldest = able().min_by_key(|version| version.place());
    let Some(oldest) = oldest.filter(|_| !world.approve_first) else {
        return First::None;
    };
    let older = there().filter(|version| version.pending && version.place() < oldest.place());
    match older.min_by_key(|version| version.place()) {
        Some(older) => First::Waits(oldest, older),
        None => First::Serves(oldest),
    }
}

/// The newest version that was superseded, if none served, so that no version counts as the first one in a record that was deleted
/// and recreated.
pub(super) fn remembered(versions: &[VersionSeen]) -> Option<RoutedVersion> {
    let of = |role| move |version: &&VersionSeen| version.role == Some(role);
    if versions.iter().any(|version| of(Role::Live)(&version)) {
        return None;
    }
    versions
        .iter()
        .filter(of(Role::Retired))
        .max_by_key(|version| version.place())
        .map(VersionSeen::routed)
}

/// The newest version that could be promoted: it passed, is not being deleted, is newer than every routed version, is not on hold,
/// and the action that created it does not handle its promotion.
pub(super) fn candidate<'a>(
    model: &Model,
    status: &ModelStatus,
    world: &'a World,
) -> Option<&'a VersionSeen> {
    let newest = status.newest_routed.as_ref().map(Place::of);
    if newest.is_none() && !world.approve_first {
        return None;
    }
    let newer = |version: &VersionSeen| newest.as_ref().is_none_or(|newest| version.place() > *newest);
    let routed = |version: &VersionSeen| status.routes.iter().any(|route| route.uid == version.uid);
    let held = |version: &VersionSeen| {
        let digest = version.passed.as_ref().map(|(digest, _)| digest);
        hold(model, &version.uid, digest).is_some()
    };
    let in_hand = |version: &VersionSeen| {
        let made_by = version.made_by.as_ref();
        made_by.is_some_and(|maker| {
            world
                .actions
                .iter()
                .any(|action| action.open && &action.uid == maker)
        })
    };
    world
        .versions
        .iter()
        .filter(|version| version.passed.is_some() && !version.deleting)
        .filter(|version| newer(version) && !routed(version) && !held(version) && !in_hand(version))
        .max_by_key(|version| version.place())
}

/// The action that would promote the candidate, unless one exists or existed.
pub(super) fn propose(
    model: &Model,
    status: &mut ModelStatus,
    world: &World,
    now: Timestamp,
) -> Option<Proposed> {
    if model.spec.paused {
        return None;
    }
    let candidate = candidate(model, status, world)?;
    let (digest, _) = candidate.passed.as_ref()?;
    let (name, uid) = (&candidate.name, &candidate.uid);
    let served = status.routes.iter().any(|route| route.digest == *digest);
    let before = status.history.iter().find(|record| record.digest == *digest);
    let present = status.routes.first();
    let takes_over = match present {
        Some(route) => format!("it would take over from {}", route.version),
        None => "nothing serves".to_owned(),
    };
    let proposed = match before.filter(|_| !served) {
        Some(before) => Proposed {
            name: rollback_name(name, uid),
            action: ActionType::RollbackModel,
            version: name.clone(),
            uid: uid.clone(),
            message: format!(
                "{name} names bundle {}, which served as {} before; {takes_over}",
                digest.short(),
                before.version
            ),
        },
        None => Proposed {
            name: promotion_name(name, uid),
            action: ActionType::PromoteModel,
            version: name.clone(),
            uid: uid.clone(),
            message: format!("{name} passed its gates, bundle {}; {takes_over}", digest.short()),
        },
    };
    // An existing proposal is final, however it ended, and stays in the record: one that was deleted is not created again.
    let remembered = status.proposals.iter().any(|proposal| proposal.cause == *uid);
    if let Some(there) = world.actions.iter().find(|action| action.name == proposed.name) {
        if !remembered {
            let proposal = Proposal {
                name: there.name.clone(),
                action: proposed.action,
                cause: uid.clone(),
                at: Time(conditions::whole_seconds(now)),
                reason: None,
            };
            status.proposals = remember(&status.proposals, proposal, now, |action| facts(action).budgeted);
        }
        return None;
    }
    let about = |action: &ActionSeen| {
        action
            .candidate
            .as_ref()
            .is_some_and(|about| about == uid || about == name)
    };
    let in_hand = world.actions.iter().any(|action| action.open && about(action));
    (!remembered && !in_hand).then_some(proposed)
}

/// Whether this action would promote this version.
pub(super) fn promotes(action: &RemediationAction, uid: &str, name: Option<&str>) -> bool {
    let spec = &action.spec;
    let about = |candidate: &modelward_crds::VersionReference| match &candidate.uid {
        Some(of) => of == uid,
        None => Some(candidate.name.as_str()) == name,
    };
    !spec.dry_run && facts(spec.action).serves_candidate && spec.candidate.as_ref().is_some_and(about)
}
