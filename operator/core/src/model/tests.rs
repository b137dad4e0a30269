use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_crds::{
    ActionType, Hold, Model, ModelVersion, Proposal, RemediationAction, Role, RolloutStatus, RouteStatus,
    ServingSpec,
};
use modelward_wire::Digest;
use proptest::prelude::*;
use serde_json::json;

use super::{routes::*, view::*, world::*, *};
use crate::{
    names::{promotion_name, rollback_name},
    order::Place,
    reason::{StuckReason, WorkingReason},
    record::rollout::{RolloutSeen, reroute, rollout_seen},
    upgrade::Turn,
    version::{ServingSeen, Settling},
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn model() -> Model {
    let mut model = Model::new("heart", modelward_crds::ModelSpec::default());
    model.metadata.generation = Some(1);
    model.metadata.uid = Some("uid of heart".into());
    model
}

fn decide(model: &Model, world: &World, now: Timestamp) -> Decision {
    super::decide(&validate(model.clone()).unwrap(), world, now)
}

fn serving(min: i32, max: i32) -> ServingSpec {
    serde_json::from_value(json!({"access": "Open", "replicas": {"min": min, "max": max}})).unwrap()
}

/// The version `heart-<number>`, created in that second.
fn seen(number: u8) -> VersionSeen {
    VersionSeen {
        name: format!("heart-{number}"),
        uid: format!("uid-{number}"),
        created: at(number.into()),
        deleting: false,
        passed: Some((Digest::from_bytes([number; 32]), "0.5".parse().unwrap())),
        serving: serving(2, 4),
        window_seconds: 3600,
        made_by: None,
        role: None,
        pending: false,
    }
}

fn not_passed(number: u8) -> VersionSeen {
    VersionSeen {
        passed: None,
        ..seen(number)
    }
}

fn world(versions: impl IntoIterator<Item = VersionSeen>) -> World {
    World {
        versions: versions.into_iter().collect(),
        ..World::default()
    }
}

/// A Deployment whose `ready` of `wanted` Pods serve these routes.
fn pods(routes: &str, ready: i32, wanted: i32) -> DeploymentSeen {
    DeploymentSeen {
        routes: Some(routes.to_owned()),
        observed: true,
        wanted,
        updated: wanted,
        available: ready,
        total: wanted,
        deadline_exceeded: None,
        failure: None,
    }
}

/// Decides and writes the status. Where the world does not say otherwise, what is routed answers through the Service as long as
/// there is a Pod.
fn step(model: &mut Model, world: &World, second: i64) -> Decision {
    let mut world = world.clone();
    if world.answer == Answer::NotAsked
        && let Some(serve) = decide(model, &world, at(second)).serve
    {
        world.answer = match &world.deployment {
            Some(deployment) if deployment.available > 0 => Answer::Routes(serve.routes.digest()),
            _ => Answer::Refused("the connection was refused".into()),
        };
    }
    let decision = decide(model, &world, at(second));
    model.status = Some(decision.status.clone());
    decision
}

/// Rolls out what should serve, Pod by Pod until all are there.
fn roll_out(model: &mut Model, world: &mut World, second: i64) -> Decision {
    let decision = step(model, world, second);
    let routes = decision.serve.expect("something should serve").routes.name;
    world.deployment = Some(pods(&routes, 2, 2));
    step(model, world, second)
}

/// Does what the action that promotes a version does to the record.
fn promote(model: &mut Model, seen: &VersionSeen, second: i64) {
    let routes = route_to(seen).into_iter().collect();
    model.status = Some(reroute(model, routes, Some(seen.routed()), at(second)));
}

/// The second version takes over from the first and every Pod answers with it.
fn second_serves(model: &mut Model, world: &mut World) {
    roll_out(model, world, 10);
    world.versions.push(seen(2));
    step(model, world, 20);
    promote(model, &seen(2), 20);
    roll_out(model, world, 20);
}

/// The action that was proposed, as it is then seen.
fn made(proposed: &Proposed) -> ActionSeen {
    ActionSeen {
        name: proposed.name.clone(),
        uid: format!("uid of {}", proposed.name),
        open: true,
        candidate: Some(proposed.uid.clone()),
    }
}

/// An action that would promote `heart-2`, as it is written.
fn promotion(status: &serde_json::Value) -> RemediationAction {
    serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction",
        "metadata": {"name": promotion_name("heart-2", "uid-2"), "uid": "action", "creationTimestamp": at(20).to_string()},
        "spec": {"model": "heart", "type": "PromoteModel", "candidate": {"name": "heart-2", "uid": "uid-2"}},
        "status": status,
    }))
    .unwrap()
}

fn ended(reason: &str, message: &str) -> serde_json::Value {
    json!({"conditions": [{
        "type": "Succeeded", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": at(30).to_string(),
    }]})
}

fn on_hold(number: u8) -> Hold {
    serde_json::from_value(json!({
        "uid": format!("uid-{number}"), "version": format!("heart-{number}"), "digest": Digest::from_bytes([number; 32]),
        "since": at(30).to_string(), "action": {"name": "rollback", "uid": "r"}, "reason": "it answered wrongly",
    }))
    .unwrap()
}

fn status(model: &Model) -> &ModelStatus {
    model.status.as_ref().unwrap()
}

fn routed(model: &Model) -> Vec<&str> {
    status(model)
        .routes
        .iter()
        .map(|route| route.version.as_str())
        .collect()
}

fn condition(model: &Model, kind: ConditionType) -> (&str, Reason, &str) {
    let found = conditions::find(&status(model).conditions, kind).unwrap();
    (&found.status, conditions::reason(found).unwrap(), &found.message)
}

fn version(seen: &VersionSeen) -> ModelVersion {
    serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
        "metadata": {"name": seen.name, "uid": seen.uid, "creationTimestamp": seen.created.to_string()},
        "spec": {
            "model": "heart",
            "source": {"training": {"dataset": {"uri": "https://example.com/x.csv"}, "target": {"column": "num"}}},
            "serving": seen.serving,
        },
    }))
    .unwrap()
}

fn says(model: &Model, number: u8) -> ServingSeen {
    serving_seen(Some(model), &version(&seen(number)))
}

fn bad_file(routes: &str) -> Refusal {
    Refusal {
        routes: routes.into(),
        message: "Pod heart-x ended with exit code 3: model.json".into(),
        verification: true,
    }
}

// === which version ===

#[test]
fn the_record_of_a_model_that_never_served_goes_with_its_last_version() {
    let mut model = model();
    assert!(!step(&mut model, &world([not_passed(1)]), 10).is_empty);
    assert!(step(&mut model, &world([]), 20).is_empty);
    model.spec.paused = true;
    assert!(!step(&mut model, &world([]), 30).is_empty);
}

#[test]
fn the_record_of_a_model_that_served_stays() {
    let mut model = model();
    step(&mut model, &world([seen(1)]), 10);
    assert!(!step(&mut model, &world([]), 20).is_empty);
}

#[test]
fn nothing_serves_before_a_version_passed_its_gates() {
    let mut model = model();
    let decision = step(&mut model, &world([not_passed(1)]), 10);
    assert_eq!(decision.serve, None);
    assert_eq!(condition(&model, ConditionType::Ready).1, Reason::NoVersion);
    assert_eq!(condition(&model, ConditionType::Available).0, "False");
    assert_eq!(says(&model, 1), ServingSeen::NotYet);
}

#[test]
fn two_versions_of_the_same_second_have_one_order_whatever_the_order_of_the_list() {
    let twin = |uid: &str| VersionSeen {
        uid: uid.into(),
        name: format!("heart-{uid}"),
        created: at(5),
        ..seen(1)
    };
    let mut one = model();
    step(&mut one, &world([twin("a"), twin("b")]), 10);
    let mut other = model();
    step(&mut other, &world([twin("b"), twin("a")]), 10);
    assert_eq!(routed(&one), ["heart-a"]);
    assert_eq!(routed(&other), ["heart-a"]);

    let mut late = model();
    let slow = VersionSeen {
        passed: None,
        ..twin("b")
    };
    step(&mut late, &world([twin("a"), slow]), 10);
    assert_eq!(routed(&late), ["heart-a"], "the first to pass begins");
    let proposed = step(&mut late, &world([twin("a"), twin("b")]), 20).propose;
    assert_eq!(routed(&late), ["heart-a"]);
    assert_eq!(
        proposed.unwrap().version,
        "heart-b",
        "and the order stays the same"
    );
}

#[test]
fn an_older_version_that_passes_later_does_not_take_over() {
    let mut model = model();
    let mut world = world([not_passed(1), seen(2)]);
    roll_out(&mut model, &mut world, 10);
    world.versions = vec![seen(1), seen(2)];
    step(&mut model, &world, 20);
    assert_eq!(routed(&model), ["heart-2"]);
    assert!(
        matches!(says(&model, 1), ServingSeen::Retired(message) if message.starts_with("heart-2 serves"))
    );
}

#[test]
fn an_older_version_does_not_take_over_from_a_newer_one_that_was_deleted() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    roll_out(&mut model, &mut world, 20);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-2"));

    world.versions = vec![seen(1)];
    let decision = step(&mut model, &world, 30);
    assert_eq!(decision.serve, None);
    assert_eq!(
        condition(&model, ConditionType::Ready).1,
        Reason::ServingVersionDeleted
    );
    assert_eq!(status(&model).serving, None);
    assert!(matches!(says(&model, 1), ServingSeen::Retired(_)));
    world.deployment = None;
    step(&mut model, &world, 40);
    assert_eq!(routed(&model), [""; 0]);
}

#[test]
fn a_version_that_is_being_deleted_counts_as_gone() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions[0].deleting = true;
    assert_eq!(step(&mut model, &world, 20).serve, None);
}

#[test]
fn a_newer_version_after_a_deletion_does_not_make_the_deleted_one_seem_to_answer() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions = vec![not_passed(2)];
    step(&mut model, &world, 20);
    world.versions = vec![seen(2)];
    world.deployment = None;
    let proposed = step(&mut model, &world, 30).propose;
    assert_eq!(
        routed(&model),
        [""; 0],
        "it is not the first one, though nothing serves"
    );
    assert_eq!(
        proposed.unwrap().message,
        "heart-2 passed its gates, bundle sha256:020202020202; nothing serves"
    );
    assert_eq!(
        condition(&model, ConditionType::Ready).2,
        "the version that served was deleted; heart-2 waits to be promoted"
    );
    promote(&mut model, &seen(2), 40);
    step(&mut model, &world, 40);
    assert_eq!(routed(&model), ["heart-2"]);
    assert_eq!(
        status(&model).serving,
        None,
        "heart-1 is gone and answers no request"
    );
    assert_eq!(condition(&model, ConditionType::Available).0, "False");
}

#[test]
fn deleting_a_version_before_it_took_over_leaves_what_answers() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes;
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    let second = step(&mut model, &world, 20).serve.unwrap().routes;
    world.refusals = vec![bad_file(&second.name)];
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        ..pods(&second.name, 2, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(
        condition(&model, ConditionType::Stalled).1,
        Reason::ArtifactInvalid
    );

    world.versions = vec![seen(1)];
    let back = step(&mut model, &world, 40)
        .serve
        .expect("heart-1 never stopped answering");
    assert_eq!(back.routes, first);
    world.deployment = Some(pods(&first.name, 2, 2));
    step(&mut model, &world, 50);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
    assert!(matches!(says(&model, 1), ServingSeen::Live { enough: true, .. }));
    assert_eq!(status(&model).history.len(), 1, "it is the same stay");
}

#[test]
fn the_record_outlives_its_versions_and_what_serves_next_is_approved() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    model.status.as_mut().unwrap().holds.push(on_hold(9));
    model.status.as_mut().unwrap().plan_sequence = Some(7);
    let before = status(&model).clone();
    world.versions.clear();
    let decision = step(&mut model, &world, 20);
    assert_eq!(decision.serve, None);
    let after = status(&model).clone();
    assert_eq!(
        (
            &after.history,
            &after.holds,
            after.plan_sequence,
            &after.newest_routed
        ),
        (
            &before.history,
            &before.holds,
            before.plan_sequence,
            &before.newest_routed
        )
    );

    world.deployment = None;
    world.versions = vec![seen(2)];
    let proposed = step(&mut model, &world, 30).propose.unwrap();
    assert_eq!(
        (proposed.action, proposed.version.as_str()),
        (ActionType::PromoteModel, "heart-2")
    );
    assert_eq!(
        routed(&model),
        [""; 0],
        "it serves nothing before that is approved"
    );
    assert!(awaits_promotion(&says(&model, 2)));
}

#[test]
fn the_first_version_is_the_oldest_that_may_still_pass_and_not_the_one_that_is_trained_fastest() {
    let trained = |number| VersionSeen {
        pending: true,
        ..not_passed(number)
    };
    let mut model = model();
    let decision = step(&mut model, &world([trained(1), seen(2), seen(3)]), 10);
    assert_eq!((decision.serve, decision.propose), (None, None));
    assert_eq!(
        condition(&model, ConditionType::Ready).2,
        "heart-2 passed its gates; heart-1 is older and still being trained, and goes first"
    );
    let mut failed = model.clone();
    step(&mut failed, &world([not_passed(1), seen(2), seen(3)]), 20);
    assert_eq!(routed(&failed), ["heart-2"], "heart-1 failed its gates");
    let decision = step(&mut model, &world([seen(1), seen(2), seen(3)]), 20);
    assert_eq!(routed(&model), ["heart-1"]);
    assert_eq!(
        decision.propose.unwrap().version,
        "heart-3",
        "the newest one is proposed"
    );
}

#[test]
fn the_first_version_waits_for_an_approval_where_the_configuration_asks_for_it() {
    let mut model = model();
    let world = World {
        approve_first: true,
        ..world([seen(1), seen(2)])
    };
    let decision = step(&mut model, &world, 10);
    assert_eq!(decision.serve, None);
    let proposed = decision.propose.unwrap();
    assert_eq!(
        (proposed.action, proposed.version.as_str()),
        (ActionType::PromoteModel, "heart-2")
    );
    assert_eq!(
        condition(&model, ConditionType::Ready).1,
        Reason::AwaitingPromotion
    );
    assert!(awaits_promotion(&says(&model, 2)));
    promote(&mut model, &seen(2), 20);
    assert!(step(&mut model, &world, 20).serve.is_some());
    assert_eq!(routed(&model), ["heart-2"]);
}

#[test]
fn while_a_model_is_paused_nothing_takes_over_and_what_serves_serves_on() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    model.spec.paused = true;
    world.versions.push(seen(2));
    let decision = step(&mut model, &world, 20);
    assert!(decision.serve.is_some());
    assert_eq!(routed(&model), ["heart-1"]);
    let (ready, _, message) = condition(&model, ConditionType::Ready);
    assert_eq!((ready, message), ("True", "2/2 Pods answer; the model is paused"));
    assert_eq!(says(&model, 2), ServingSeen::Paused);
    assert_eq!(decision.propose, None, "nothing is proposed either");
    model.spec.paused = false;
    let proposed = step(&mut model, &world, 30).propose;
    assert_eq!(proposed.unwrap().version, "heart-2");
}

#[test]
fn a_model_that_was_paused_before_its_first_version_says_so() {
    let mut model = model();
    model.spec.paused = true;
    step(&mut model, &world([seen(1)]), 10);
    let (_, reason, message) = condition(&model, ConditionType::Ready);
    assert_eq!(
        (reason, message),
        (
            Reason::Paused,
            "heart-1 passed its gates and waits: the model is paused"
        )
    );
}

// === proposals and holds ===

#[test]
fn a_second_version_that_passes_changes_nothing_and_its_promotion_is_proposed_once() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve;
    world.versions.push(seen(2));
    let decision = step(&mut model, &world, 20);
    assert_eq!(decision.serve, first);
    let proposed = decision.propose.expect("a proposal");
    assert_eq!(
        (proposed.action, proposed.version.as_str(), proposed.uid.as_str()),
        (ActionType::PromoteModel, "heart-2", "uid-2")
    );
    assert_eq!(proposed.name, promotion_name("heart-2", "uid-2"));
    assert_eq!(
        proposed.message,
        "heart-2 passed its gates, bundle sha256:020202020202; it would take over from heart-1"
    );
    assert!(awaits_promotion(&says(&model, 2)));
    assert_eq!(
        decide(&model, &world, at(25)).propose.as_ref(),
        Some(&proposed),
        "until it is there"
    );

    world.actions = vec![made(&proposed)];
    assert_eq!(step(&mut model, &world, 30).propose, None);
    assert_eq!(status(&model).proposals[0].cause, "uid-2");
    world.actions[0].open = false;
    assert_eq!(
        step(&mut model, &world, 40).propose,
        None,
        "not again after it ended"
    );
    world.actions.clear();
    assert_eq!(
        step(&mut model, &world, 50).propose,
        None,
        "nor after it was deleted"
    );
    assert_eq!(status(&model).proposals.len(), 1);
    assert_eq!(routed(&model), ["heart-1"]);
}

#[test]
fn only_the_newest_version_that_passed_is_proposed_and_none_that_was_proposed_already() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.extend([seen(2), seen(3), not_passed(4)]);
    assert_eq!(decide(&model, &world, at(20)).propose.unwrap().version, "heart-3");
    let by_hand = |open| ActionSeen {
        name: "by-hand".into(),
        uid: "b".into(),
        open,
        candidate: Some("heart-3".into()),
    };
    world.actions = vec![by_hand(true)];
    assert_eq!(decide(&model, &world, at(20)).propose, None);
    world.actions = vec![by_hand(false)];
    assert!(decide(&model, &world, at(20)).propose.is_some());
    world.versions[2].deleting = true;
    assert_eq!(decide(&model, &world, at(20)).propose.unwrap().version, "heart-2");
}

#[test]
fn a_version_of_a_retraining_is_left_to_it_until_it_has_ended() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.push(VersionSeen {
        made_by: Some("retrain".into()),
        ..seen(2)
    });
    world.actions = vec![ActionSeen {
        name: "retrain-heart".into(),
        uid: "retrain".into(),
        open: true,
        candidate: None,
    }];
    assert_eq!(decide(&model, &world, at(20)).propose, None);
    world.actions[0].open = false;
    assert_eq!(decide(&model, &world, at(20)).propose.unwrap().version, "heart-2");
}

#[test]
fn a_version_of_a_bundle_that_served_before_is_a_rollback_and_one_of_the_present_bundle_is_not() {
    let mut model = model();
    let mut world = world([seen(1)]);
    second_serves(&mut model, &mut world);
    let of_bundle = |number: u8| VersionSeen {
        passed: seen(number).passed,
        ..seen(3)
    };
    world.versions.push(of_bundle(1));
    let proposed = decide(&model, &world, at(30)).propose.unwrap();
    assert_eq!(proposed.action, ActionType::RollbackModel);
    assert_eq!(proposed.name, rollback_name("heart-3", "uid-3"));
    assert_eq!(
        proposed.message,
        "heart-3 names bundle sha256:010101010101, which served as heart-1 before; it would take over from heart-2"
    );
    world.versions[2] = of_bundle(2);
    let proposed = decide(&model, &world, at(30)).propose.unwrap();
    assert_eq!(proposed.action, ActionType::PromoteModel);
}

#[test]
fn what_is_on_hold_is_not_proposed_by_uid_or_by_bundle_until_the_hold_is_lifted() {
    let mut model = model();
    let mut world = world([seen(1)]);
    second_serves(&mut model, &mut world);
    // Back to the first one; the second one is held.
    model.status = Some(reroute(
        &model,
        route_to(&seen(1)).into_iter().collect(),
        Some(seen(1).routed()),
        at(30),
    ));
    model.status.as_mut().unwrap().holds.push(on_hold(2));
    roll_out(&mut model, &mut world, 30);
    assert_eq!(
        status(&model).newest_routed,
        Some(seen(2).routed()),
        "the order only goes up"
    );
    let ServingSeen::Held(message) = says(&model, 2) else {
        panic!("{:?}", says(&model, 2));
    };
    assert!(
        message.contains("after rollback: it answered wrongly"),
        "{message}"
    );
    assert!(message.contains("uid-2"), "{message}");

    world.versions.push(VersionSeen {
        passed: seen(2).passed,
        ..seen(3)
    });
    assert_eq!(
        decide(&model, &world, at(40)).propose,
        None,
        "it is the same bundle"
    );
    model.spec.lift_holds = vec!["uid-2".into()];
    let proposed = decide(&model, &world, at(50)).propose.unwrap();
    assert_eq!(proposed.action, ActionType::RollbackModel, "it served before");
    assert!(matches!(says(&model, 2), ServingSeen::Retired(_)));
}

#[test]
fn a_proposal_that_is_refused_is_a_condition_until_it_is_made() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes;
    world.deployment = Some(pods(&routes.name, 2, 2));
    step(&mut model, &world, 20);
    world.versions.push(seen(2));
    let proposed = step(&mut model, &world, 30).propose.unwrap();
    assert_eq!(
        conditions::find(&status(&model).conditions, ConditionType::ProposalRefused),
        None
    );

    world.unproposed = Some("exceeded quota: few".into());
    step(&mut model, &world, 31);
    let (state, reason, message) = condition(&model, ConditionType::ProposalRefused);
    assert_eq!((state, reason), ("True", Reason::ChildRefused));
    let words = format!("{} cannot be made: exceeded quota: few", proposed.name);
    assert_eq!(message, words);
    let second = version(&seen(2));
    assert_eq!(
        promotion_seen(Some(&model), &second, &[], &[]),
        ServingSeen::AwaitingPromotion(words)
    );

    // The next look has not tried it yet.
    world.unproposed = None;
    let before = status(&model).clone();
    step(&mut model, &world, 40);
    assert_eq!(&before, status(&model));
    world.actions.push(made(&proposed));
    step(&mut model, &world, 50);
    assert_eq!(
        conditions::find(&status(&model).conditions, ConditionType::ProposalRefused),
        None
    );
}

#[test]
fn a_version_says_which_action_decides_on_it_and_how_that_ended() {
    let second = version(&seen(2));
    let seen_with = |actions: &[RemediationAction]| promotion_seen(None, &second, actions, &[]);
    let name = promotion_name("heart-2", "uid-2");
    assert_eq!(
        seen_with(&[]),
        ServingSeen::AwaitingPromotion("its promotion is being proposed".into())
    );
    let mut model = model();
    let proposal = json!({"name": name, "type": "PromoteModel", "cause": "uid-2", "at": at(1).to_string()});
    let proposed: Proposal = serde_json::from_value(proposal).unwrap();
    model.status.get_or_insert_default().proposals = vec![proposed];
    assert_eq!(
        promotion_seen(Some(&model), &second, &[], &[]),
        ServingSeen::NotPromoted(
            Reason::PromotionEnded,
            format!(
                "{name} was deleted; to promote this version, create a PromoteModel with it as candidate"
            )
        )
    );
    assert_eq!(
        seen_with(&[promotion(&json!({}))]),
        ServingSeen::AwaitingPromotion(format!("waits until {name} is approved and carried out"))
    );
    let mut third = version(&seen(3));
    let passed = json!({"conditions": [{"type": "GatesPassed", "status": "True", "reason": "AllGatesPassed", "message": "",
        "lastTransitionTime": at(1).to_string()}]});
    third.status = serde_json::from_value(passed).unwrap();
    let overtaken = promotion_seen(None, &second, &[], &[second.clone(), third]);
    assert_eq!(
        overtaken,
        ServingSeen::AwaitingPromotion(
            "superseded by the newer heart-3; to promote this version, create a PromoteModel with it as candidate".into()
        )
    );
    for (why, reason) in [
        ("Rejected", Reason::PromotionRejected),
        ("Expired", Reason::PromotionExpired),
        ("Superseded", Reason::PromotionEnded),
    ] {
        assert_eq!(
            seen_with(&[promotion(&ended(why, "by alice"))]),
            ServingSeen::NotPromoted(reason, format!("{name} has ended, {why}: by alice"))
        );
    }
    let mut dry_run = promotion(&json!({}));
    dry_run.spec.dry_run = true;
    let mut of_another = promotion(&json!({}));
    of_another.spec.candidate.as_mut().unwrap().uid = Some("uid-9".into());
    assert_eq!(seen_with(&[dry_run, of_another]), seen_with(&[]));
}

#[test]
fn what_was_said_of_the_former_routes_is_not_said_of_the_new_ones() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    let routes = |number: u8| route_to(&seen(number)).into_iter().collect::<Vec<_>>();
    assert_eq!(rollout_seen(&model, &routes(1)), RolloutSeen::Answers);
    assert_eq!(rollout_seen(&model, &routes(2)), RolloutSeen::OtherRoutes);
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    assert!(matches!(
        rollout_seen(&model, &routes(2)),
        RolloutSeen::Underway(_)
    ));
    assert_eq!(
        condition(&model, ConditionType::Available).0,
        "True",
        "the first one goes on answering"
    );
    assert_eq!(
        condition(&model, ConditionType::Ready).1,
        Reason::RolloutInProgress
    );
    let second = step(&mut model, &world, 30).serve.unwrap().routes.name;
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        ..pods(&second, 2, 2)
    });
    world.refusals = vec![bad_file(&second)];
    step(&mut model, &world, 40);
    let RolloutSeen::Stuck(reason, _) = rollout_seen(&model, &routes(2)) else {
        panic!("{:?}", rollout_seen(&model, &routes(2)));
    };
    assert_eq!(reason, StuckReason::ArtifactInvalid);
    promote(&mut model, &seen(1), 50);
    assert!(matches!(
        rollout_seen(&model, &routes(1)),
        RolloutSeen::Underway(_)
    ));
}

#[test]
fn a_record_that_was_deleted_and_made_again_makes_no_version_the_first_one() {
    let was = |number: u8, role| VersionSeen {
        role: Some(role),
        ..seen(number)
    };
    let mut restored = model();
    let both = world([was(1, Role::Live), was(2, Role::Candidate)]);
    assert_eq!(step(&mut restored, &both, 10).propose.unwrap().version, "heart-2");
    assert_eq!(routed(&restored), ["heart-1"], "what answered answers again");

    let mut left = model();
    let retired = world([was(1, Role::Retired), was(2, Role::Candidate)]);
    let decision = step(&mut left, &retired, 10);
    assert_eq!(decision.serve, None, "nothing served any more");
    assert_eq!(decision.propose.unwrap().version, "heart-2");
    assert!(matches!(says(&left, 1), ServingSeen::Retired(_)));
    step(&mut left, &retired, 20);
    assert_eq!(routed(&left), [""; 0]);
}

#[test]
fn what_others_write_on_the_record_stays() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    let status = model.status.as_mut().unwrap();
    status.holds.push(on_hold(9));
    status.plan_sequence = Some(7);
    status.rolled_back_at = Some(Time(at(5)));
    status.active_action = serde_json::from_value(json!({
        "name": "a", "uid": "u", "type": "PromoteModel", "digest": Digest::from_bytes([1; 32]), "attempt": 1,
        "claimedAt": at(5).to_string(),
    }))
    .unwrap();
    world.actions.push(ActionSeen {
        name: "a".into(),
        uid: "u".into(),
        open: false,
        candidate: None,
    });
    let before = model.status.clone();
    step(&mut model, &world, 20);
    assert_eq!(model.status, before);
    // A claim of an action that is gone is released.
    world.actions[0].uid = "made again".into();
    step(&mut model, &world, 20);
    assert_eq!(model.status.unwrap().active_action, None);
}

#[test]
fn the_window_of_the_heaviest_version_is_in_the_routes_file() {
    let mut model = model();
    let decision = step(
        &mut model,
        &world([VersionSeen {
            window_seconds: 60,
            ..seen(1)
        }]),
        10,
    );
    let content: serde_json::Value = serde_json::from_str(&decision.serve.unwrap().routes.content).unwrap();
    assert_eq!(content["windowSeconds"], 60);
}

// === rollouts ===

#[test]
fn a_version_is_live_only_after_every_pod_answers_with_it() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes.name;
    let not_yet = [
        // The autoscaler has not set the fewest Pods yet.
        pods(&routes, 1, 1),
        pods(&routes, 0, 2),
        pods(&routes, 1, 2),
        // Enough, and not all.
        pods(&routes, 2, 3),
        // Pods of the previous template are there still.
        DeploymentSeen {
            total: 3,
            ..pods(&routes, 3, 2)
        },
        DeploymentSeen {
            observed: false,
            ..pods(&routes, 2, 2)
        },
        pods("heart-routes-00000000", 2, 2),
    ];
    for deployment in not_yet {
        world.deployment = Some(deployment.clone());
        step(&mut model, &world, 20);
        assert_eq!(
            condition(&model, ConditionType::Ready).0,
            "False",
            "{deployment:?}"
        );
        assert_eq!(
            condition(&model, ConditionType::Reconciling).0,
            "True",
            "{deployment:?}"
        );
        assert!(
            matches!(says(&model, 1), ServingSeen::RollingOut(..)),
            "{deployment:?}"
        );
    }
    world.deployment = Some(pods(&routes, 2, 2));
    step(&mut model, &world, 30);
    assert_eq!(
        condition(&model, ConditionType::Ready),
        ("True", Reason::Serving, "2/2 Pods answer")
    );
    assert_eq!(condition(&model, ConditionType::Available).0, "True");
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    let live = ServingSeen::Live {
        enough: true,
        pods: "2/2 Pods".into(),
        rest: Settling::Done,
    };
    assert_eq!(says(&model, 1), live);
}

#[test]
fn the_autoscaler_may_add_pods_without_anything_seeming_to_change() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    world.deployment = Some(pods(&routes, 2, 4));
    step(&mut model, &world, 20);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Live {
            enough: true,
            rest: Settling::Done,
            ..
        }
    ));

    world.deployment = Some(pods(&routes, 1, 2));
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, ConditionType::Ready).1, Reason::TooFewPods);
    assert_eq!(
        condition(&model, ConditionType::Available).0,
        "True",
        "one Pod answers"
    );
    assert!(matches!(says(&model, 1), ServingSeen::Live { enough: false, .. }));
    world.deployment = Some(pods(&routes, 0, 2));
    step(&mut model, &world, 40);
    assert_eq!(condition(&model, ConditionType::Available).0, "False");
}

#[test]
fn a_change_of_the_template_alone_leaves_the_version_serving() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        ..pods(&routes, 2, 2)
    });
    step(&mut model, &world, 20);
    assert_eq!(
        condition(&model, ConditionType::Ready).1,
        Reason::RolloutInProgress
    );
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Live {
            enough: true,
            rest: Settling::Working(..),
            ..
        }
    ));
}

#[test]
fn while_a_second_version_is_rolled_out_the_first_goes_on_being_what_answers() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    let second = step(&mut model, &world, 20).serve.unwrap().routes.name;
    assert_ne!(first, second);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    assert_eq!(
        says(&model, 1),
        ServingSeen::BeingReplaced("it serves until heart-2 has taken over".into())
    );
    assert!(matches!(says(&model, 2), ServingSeen::RollingOut(..)));

    world.deployment = Some(pods(&second, 2, 2));
    step(&mut model, &world, 30);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-2"));
    let history: Vec<_> = status(&model)
        .history
        .iter()
        .map(|record| record.version.as_str())
        .collect();
    assert_eq!(history, ["heart-2", "heart-1"]);
    assert_eq!(
        says(&model, 1),
        ServingSeen::Retired("heart-2 serves; a rollback can return to this version".into())
    );
}

#[test]
fn a_bad_artifact_stalls_at_once_names_the_file_and_the_former_version_serves_on() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    let second = step(&mut model, &world, 20).serve.unwrap().routes.name;
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        ..pods(&second, 2, 2)
    });
    let crash = Refusal {
        routes: second.clone(),
        message: "Pod a ended with exit code 1".into(),
        verification: false,
    };
    world.refusals = vec![bad_file(&first), crash, bad_file(&second)];
    step(&mut model, &world, 30);
    let (stalled, reason, message) = condition(&model, ConditionType::Stalled);
    assert_eq!((stalled, reason), ("True", Reason::ArtifactInvalid));
    assert!(message.contains("model.json"), "{message}");
    assert_eq!(condition(&model, ConditionType::Available).0, "True");
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    assert!(matches!(
        says(&model, 2),
        ServingSeen::Stuck(StuckReason::ArtifactInvalid, _)
    ));
    assert!(matches!(says(&model, 1), ServingSeen::BeingReplaced(_)));
}

#[test]
fn a_pod_that_crashes_for_another_reason_is_named_and_stalls_only_after_the_deadline() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes.name;
    world.refusals = vec![Refusal {
        routes: routes.clone(),
        message: "Pod a: ImagePullBackOff".into(),
        verification: false,
    }];
    world.deployment = Some(pods(&routes, 0, 2));
    step(&mut model, &world, 20);
    assert_eq!(condition(&model, ConditionType::Stalled).0, "False");
    assert!(
        condition(&model, ConditionType::Ready)
            .2
            .contains("ImagePullBackOff")
    );
    world.deployment = Some(DeploymentSeen {
        deadline_exceeded: Some(at(30)),
        ..pods(&routes, 0, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, ConditionType::Stalled).1, Reason::RolloutStuck);
}

#[test]
fn a_newer_version_replaces_one_whose_rollout_is_stuck() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    let second = step(&mut model, &world, 20).serve.unwrap().routes.name;
    world.refusals = vec![bad_file(&second)];
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        deadline_exceeded: Some(at(30)),
        ..pods(&second, 2, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, ConditionType::Stalled).0, "True");

    world.versions.push(seen(3));
    promote(&mut model, &seen(3), 40);
    let third = step(&mut model, &world, 40).serve.unwrap().routes.name;
    assert_eq!(routed(&model), ["heart-3"]);
    assert_eq!(
        condition(&model, ConditionType::Stalled).0,
        "False",
        "the broken Pods belong to the routes before"
    );
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    world.deployment = Some(pods(&third, 2, 2));
    world.refusals.clear();
    step(&mut model, &world, 50);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-3"));
    assert!(matches!(says(&model, 2), ServingSeen::Retired(_)));
}

#[test]
fn a_foreign_child_stalls_by_name_and_is_recovered_from() {
    let mut model = model();
    let mut world = world([seen(1)]);
    world.taken = Some("Service heart".into());
    step(&mut model, &world, 10);
    assert_eq!(condition(&model, ConditionType::Stalled).1, Reason::NameTaken);
    assert!(
        condition(&model, ConditionType::Ready)
            .2
            .starts_with("Service heart exists and does not belong to this model")
    );
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Stuck(StuckReason::NameTaken, _)
    ));
    world.taken = None;
    roll_out(&mut model, &mut world, 20);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");

    world.taken = Some("Service heart".into());
    step(&mut model, &world, 30);
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Live {
            enough: true,
            rest: Settling::Stuck(StuckReason::NameTaken, _),
            ..
        }
    ));
}

#[test]
fn a_child_that_the_api_server_refuses_is_named() {
    let mut model = model();
    let mut world = world([seen(1)]);
    world.refused = Some("failed to apply Deployment heart: exceeded quota".into());
    step(&mut model, &world, 10);
    assert_eq!(condition(&model, ConditionType::Stalled).1, Reason::ChildRefused);
    assert!(
        condition(&model, ConditionType::Ready)
            .2
            .contains("exceeded quota")
    );
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Stuck(StuckReason::ChildRefused, _)
    ));
}

// === through the Service ===

fn answered(model: &mut Model, world: &mut World, answer: Answer, second: i64) -> Decision {
    world.answer = answer;
    step(model, world, second)
}

fn refused() -> Answer {
    Answer::Refused("the Service refuses connections".into())
}

#[test]
fn a_model_is_available_and_ready_only_where_its_routes_answered_through_the_service() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes;
    world.deployment = Some(pods(&routes.name, 2, 2));
    let decision = decide(&model, &world, at(20));
    let ready = conditions::find(&decision.status.conditions, ConditionType::Ready).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.message.as_str()),
        (
            "False",
            "2/2 Pods are ready, and the Service has not been probed yet"
        )
    );
    assert!(decision.status.history.is_empty(), "nothing served yet");

    let other = Answer::Routes(Digest::from_bytes([9; 32]));
    for (answer, reason) in [
        (refused(), Reason::NoAnswer),
        (Answer::Other("a blog".into()), Reason::WrongAnswer),
        (other, Reason::WrongAnswer),
    ] {
        answered(&mut model, &mut world, answer, 20);
        assert_eq!(condition(&model, ConditionType::Ready).0, "False");
        assert_eq!(condition(&model, ConditionType::Ready).1, reason);
        assert_eq!(condition(&model, ConditionType::Available).0, "False");
        assert_eq!(condition(&model, ConditionType::Reconciling).0, "True");
        assert!(status(&model).history.is_empty());
    }
    answered(&mut model, &mut world, Answer::Routes(routes.digest()), 30);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
    assert_eq!(condition(&model, ConditionType::Available).0, "True");
    assert_eq!(status(&model).serving_routes, Some(routes.digest()));
}

#[test]
fn no_answer_through_the_service_takes_ready_away_and_stalls_after_five_minutes() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    let again = answered(&mut model, &mut world, refused(), 1000).again;
    assert_eq!(condition(&model, ConditionType::Available).1, Reason::NoAnswer);
    assert_eq!(
        condition(&model, ConditionType::Ready),
        (
            "False",
            Reason::NoAnswer,
            "2/2 Pods are ready, and the Service refuses connections"
        )
    );
    let ServingSeen::Live { enough, rest, .. } = says(&model, 1) else {
        panic!("{:?}", says(&model, 1));
    };
    assert!(!enough && matches!(rest, Settling::Working(WorkingReason::NoAnswer, _)));
    assert_eq!(again, Some(at(1300)), "it is looked at when it stalls");
    answered(&mut model, &mut world, refused(), 1299);
    assert_eq!(condition(&model, ConditionType::Stalled).0, "False");
    answered(&mut model, &mut world, refused(), 1300);
    assert_eq!(condition(&model, ConditionType::Stalled).1, Reason::NoAnswer);
    let before = status(&model).clone();
    answered(&mut model, &mut world, refused(), 9000);
    assert_eq!(&before, status(&model), "and comes to rest");
}

#[test]
fn where_the_operator_cannot_reach_the_service_it_does_not_know_and_rollouts_go_on() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes;
    world.deployment = Some(pods(&routes.name, 2, 2));
    let unreachable = Answer::Unreachable("no answer within 2 s".into());
    answered(&mut model, &mut world, unreachable, 20);
    assert_eq!(
        condition(&model, ConditionType::Available),
        (
            "Unknown",
            Reason::NotReachable,
            "the operator has no answer through the Service: no answer within 2 s; a network policy may keep it out, or the \
             Pods may have no connection left for it"
        )
    );
    assert_eq!(condition(&model, ConditionType::Ready).0, "Unknown");
    assert_eq!(condition(&model, ConditionType::Ready).1, Reason::NotReachable);
    assert_eq!(
        rollout_seen(&model, &status(&model).routes.clone()),
        RolloutSeen::Answers
    );
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
}

#[test]
fn after_a_start_of_the_operator_what_was_known_holds_until_the_service_was_asked() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.answer = Answer::NotAsked;
    assert_eq!(&decide(&model, &world, at(20)).status, status(&model));
    answered(&mut model, &mut world, refused(), 30);
    world.answer = Answer::NotAsked;
    let after = decide(&model, &world, at(40)).status;
    let available = conditions::find(&after.conditions, ConditionType::Available).unwrap();
    assert_eq!(
        (available.status.as_str(), conditions::reason(available)),
        ("False", Some(Reason::NoAnswer))
    );
}

#[test]
fn an_answer_counts_where_pods_are_too_few_or_are_ending() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes;
    world.deployment = Some(pods(&routes.name, 1, 2));
    answered(&mut model, &mut world, Answer::Routes(routes.digest()), 20);
    assert_eq!(
        condition(&model, ConditionType::Available),
        (
            "True",
            Reason::Serving,
            "heart-1 serves requests, but not all of its Pods are ready"
        )
    );
    assert_eq!(condition(&model, ConditionType::Ready).0, "False");
    let before = status(&model).clone();
    answered(&mut model, &mut world, Answer::NotAsked, 21);
    assert_eq!(status(&model), &before, "a start of the operator changes nothing");

    world.deployment = Some(pods(&routes.name, 2, 2));
    answered(&mut model, &mut world, Answer::Routes(routes.digest()), 30);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
    // Both Pods were deleted, and continue answering while they end.
    world.deployment = Some(pods(&routes.name, 0, 2));
    answered(&mut model, &mut world, Answer::Routes(routes.digest()), 40);
    assert_eq!(condition(&model, ConditionType::Available).0, "True");
    assert_eq!(condition(&model, ConditionType::Ready).0, "False");
    let refused = Answer::Refused("the connection was refused".into());
    answered(&mut model, &mut world, refused, 50);
    assert_eq!(condition(&model, ConditionType::Available).1, Reason::TooFewPods);
}

#[test]
fn while_a_rollout_is_under_way_the_former_routes_may_answer() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes;
    world.versions.push(seen(2));
    promote(&mut model, &seen(2), 20);
    answered(&mut model, &mut world, Answer::Routes(first.digest()), 20);
    assert_eq!(condition(&model, ConditionType::Available).0, "True");
    let second = decide(&model, &world, at(20)).serve.unwrap().routes;
    world.deployment = Some(pods(&second.name, 2, 2));
    answered(&mut model, &mut world, Answer::Routes(first.digest()), 30);
    assert_eq!(
        condition(&model, ConditionType::Ready).1,
        Reason::WrongAnswer,
        "not once it is over"
    );
    answered(&mut model, &mut world, Answer::Routes(second.digest()), 40);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
}

// === what is in the way ===

fn looked_at(rollout: Option<RolloutStatus>, altered: Vec<Altered>, turn: Turn) -> Made {
    Made {
        rollout,
        altered,
        turn,
        ..Made::default()
    }
}

fn since(second: i64) -> RolloutStatus {
    RolloutStatus {
        since: Time(at(second)),
        template: "t".into(),
        configuration: "c".into(),
        settled: false,
    }
}

#[test]
fn a_deadline_that_passed_for_the_former_rollout_does_not_fail_this_one() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = step(&mut model, &world, 10).serve.unwrap().routes.name;
    world.made = Some(looked_at(Some(since(1000)), Vec::new(), Turn::Now));
    let late = |passed| {
        Some(DeploymentSeen {
            deadline_exceeded: Some(at(passed)),
            ..pods(&routes, 0, 2)
        })
    };
    for (passed, stalled) in [(900, "False"), (1005, "False"), (1300, "True")] {
        world.deployment = late(passed);
        step(&mut model, &world, 1310);
        assert_eq!(condition(&model, ConditionType::Stalled).0, stalled, "{passed}");
    }
}

#[test]
fn why_pods_cannot_be_made_is_reported_while_the_rollout_is_under_way() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let routes = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    let quota = "pods \"heart-x\" is forbidden: exceeded quota: small";
    world.deployment = Some(DeploymentSeen {
        updated: 0,
        total: 1,
        failure: Some(quota.into()),
        ..pods(&routes, 1, 1)
    });
    step(&mut model, &world, 20);
    assert_eq!(
        condition(&model, ConditionType::Ready).2,
        format!("0 of 2 Pods serve the new routes; {quota}")
    );
    // The former Pod is ready, and the one with the new image is not.
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 2,
        ..pods(&routes, 1, 1)
    });
    world.refusals = vec![Refusal {
        routes: routes.clone(),
        message: "Pod heart-y: ImagePullBackOff not found".into(),
        verification: false,
    }];
    step(&mut model, &world, 30);
    assert_eq!(
        condition(&model, ConditionType::Ready).2,
        format!("0 of 2 Pods serve the new routes; Pod heart-y: ImagePullBackOff not found")
    );
}

#[test]
fn a_failure_of_the_api_server_is_reported_and_forgotten_when_it_is_over() {
    let mut model = model();
    let mut world = world([seen(1)]);
    world.failed = Some("failed to create Deployment heart: failed calling webhook".into());
    step(&mut model, &world, 10);
    assert_eq!(
        condition(&model, ConditionType::Ready),
        (
            "False",
            Reason::ChildFailed,
            "failed to create Deployment heart: failed calling webhook"
        )
    );
    assert_eq!(condition(&model, ConditionType::Reconciling).0, "True");
    world.failed = None;
    roll_out(&mut model, &mut world, 20);
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
}

#[test]
fn a_second_autoscaler_is_named_and_its_doing_is_no_repeated_change() {
    let replicas = |fields: &[&str]| Altered {
        child: "Deployment heart".into(),
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        by_admission: false,
    };
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    let mut made = looked_at(None, vec![replicas(&["/spec/replicas"])], Turn::Now);
    made.set_rivals(vec![
        Rival::Autoscaler("three".into()),
        Rival::Budget("all".into()),
    ]);
    world.made = Some(made.clone());
    step(&mut model, &world, 20);
    let (status, reason, message) = condition(&model, ConditionType::Contested);
    assert_eq!((status, reason), ("True", Reason::SecondAutoscaler));
    assert!(
        message.contains("kubectl delete hpa three") && message.contains("kubectl delete pdb all"),
        "{message}"
    );
    assert_eq!(condition(&model, ConditionType::Ready).0, "True");
    assert_eq!(condition(&model, ConditionType::Stalled).0, "False");

    made.altered = vec![replicas(&["/spec/replicas", "/spec/paused"])];
    made.set_rivals(vec![Rival::Autoscaler("three".into())]);
    world.made = Some(made);
    step(&mut model, &world, 30);
    assert_eq!(
        condition(&model, ConditionType::Stalled).1,
        Reason::ChangedRepeatedly
    );
}

#[test]
fn a_child_that_stays_other_than_it_should_be_is_reported_once() {
    let altered = |by_admission| Altered {
        child: "Deployment heart".into(),
        fields: vec!["/spec/template/spec/containers/0/resources/limits/cpu".into()],
        by_admission,
    };
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.made = Some(looked_at(None, vec![altered(true)], Turn::Now));
    step(&mut model, &world, 20);
    assert_eq!(
        condition(&model, ConditionType::Ready).0,
        "True",
        "the cluster's own policies are no attack"
    );
    let (_, reason, message) = condition(&model, ConditionType::Altered);
    assert_eq!(reason, Reason::ChangedByWebhook);
    assert!(
        message.contains("spec.template.spec.containers[0].resources.limits.cpu"),
        "{message}"
    );
    let before = status(&model).clone();
    step(
        &mut model,
        &World {
            made: None,
            ..world.clone()
        },
        30,
    );
    assert_eq!(
        &before,
        status(&model),
        "it stays until the children were looked at again"
    );

    world.made = Some(looked_at(None, vec![altered(false)], Turn::Now));
    step(&mut model, &world, 40);
    assert_eq!(
        condition(&model, ConditionType::Stalled).1,
        Reason::ChangedRepeatedly
    );
    assert_eq!(
        condition(&model, ConditionType::Altered).1,
        Reason::ChangedRepeatedly
    );
    world.made = Some(looked_at(None, Vec::new(), Turn::Now));
    step(&mut model, &world, 50);
    assert_eq!(
        conditions::find(&status(&model).conditions, ConditionType::Altered),
        None
    );
}

#[test]
fn a_model_that_waits_for_its_turn_says_for_which_one_and_stays_ready() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    for (turn, reason) in [
        (Turn::Waits("n/liver".into()), Reason::AwaitingTurn),
        (Turn::Stopped("n/liver".into()), Reason::UpgradeStopped),
    ] {
        world.made = Some(looked_at(Some(since(5)), Vec::new(), turn));
        step(&mut model, &world, 20);
        assert_eq!(condition(&model, ConditionType::Ready).0, "True");
        let (_, found, message) = condition(&model, ConditionType::UpgradeHeld);
        assert_eq!(found, reason);
        assert!(message.contains("n/liver"), "{message}");
        assert!(
            status(&model).rollout.as_ref().unwrap().settled,
            "it is Ready with this template"
        );
    }
}

#[test]
fn versions_that_do_not_serve_see_nothing_of_pods_and_all_see_the_routes() {
    let (mut model, mut world) = (model(), world([seen(1), seen(2)]));
    second_serves(&mut model, &mut world);
    let before = ModelView::of(&model);
    assert_eq!(before.live, ["uid-2".to_owned()].into());
    let status = model.status.as_mut().unwrap();
    status.ready_pods = Some(0);
    status.children.clear();
    status.observed_generation = Some(99);
    let now = ModelView::of(&model);
    assert_eq!(now.all, before.all);
    assert_ne!(now.pods, before.pods);
    model.status.as_mut().unwrap().routes.clear();
    assert_ne!(ModelView::of(&model).all, before.all);
    model.spec.paused = true;
    let paused = ModelView::of(&model).all;
    model.spec.paused = false;
    assert_ne!(ModelView::of(&model).all, paused);
}

// === properties ===

fn any_version() -> impl Strategy<Value = VersionSeen> {
    (1_u8..5, any::<bool>(), prop::bool::weighted(0.2), any::<bool>()).prop_map(
        |(number, passed, deleting, twin)| VersionSeen {
            deleting,
            // Two of them were made in the same second.
            created: if twin { at(2) } else { at(number.into()) },
            ..if passed { seen(number) } else { not_passed(number) }
        },
    )
}

fn any_world() -> impl Strategy<Value = (Vec<VersionSeen>, i32, i32, i32, bool, bool, Option<String>)> {
    let taken = prop_oneof![4 => Just(None), 1 => Just(Some("Service heart".to_owned()))];
    (
        prop::collection::vec(any_version(), 0..4),
        0_i32..4,
        0_i32..4,
        1_i32..4,
        any::<bool>(),
        any::<bool>(),
        taken,
    )
}

/// Whether these views of a model are equal for the version of this number.
fn sees_the_same(was: &ModelView, now: &ModelView, number: u8) -> bool {
    let live = |view: &ModelView| view.live.contains(&format!("uid-{number}"));
    was.all == now.all && (was.pods == now.pods || !(live(was) || live(now)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_a_model_keeps_its_promises_and_comes_to_rest(
        worlds in prop::collection::vec((any_world(), prop::bool::weighted(0.2), any::<bool>()), 1..8),
        later in 1_i64..1_000_000,
    ) {
        let mut model = model();
        let mut second = 0;
        let mut current = world([]);
        let mut actions = Vec::new();
        let mut former = model.clone();
        for ((mut versions, updated, available, wanted, broken, late, taken), paused, approved) in worlds {
            second += 10;
            versions.sort_by(|a, b| a.uid.cmp(&b.uid));
            versions.dedup_by(|a, b| a.uid == b.uid);
            model.spec.paused = paused;
            let before = model.status.clone().unwrap_or_default();
            let routes = before.routes.first().map(|_| crate::routes::routes_file("heart", &before.routes, 3600).unwrap().name);
            current = World { taken, actions: actions.clone(), ..world(versions) };
            current.deployment = routes.clone().map(|routes| DeploymentSeen {
                updated: updated.min(wanted), total: wanted, deadline_exceeded: late.then(|| at(second)), ..pods(&routes, available.min(wanted), wanted)
            });
            if let (true, Some(routes)) = (broken, routes) {
                current.refusals.push(bad_file(&routes));
            }
            let decision = step(&mut model, &current, second);
            let (was, now) = (ModelView::of(&former), ModelView::of(&model));
            for number in (1..5).filter(|number| former.status.is_some() && sees_the_same(&was, &now, *number)) {
                prop_assert_eq!(says(&former, number), says(&model, number));
            }
            former = model.clone();
            let truth = |kind| condition(&model, kind).0 == "True";
            let summary = [ConditionType::Ready, ConditionType::Reconciling, ConditionType::Stalled].map(truth);
            prop_assert!(summary.iter().filter(|holds| **holds).count() <= 1);
            prop_assert_eq!(decision.serve.is_some(), !decision.status.routes.is_empty());
            for route in &decision.status.routes {
                prop_assert!(current.versions.iter().any(|version| version.uid == route.uid && !version.deleting && version.passed.is_some()) || before.routes.contains(route));
            }
            if let (Some(old), Some(new)) = (&before.newest_routed, &decision.status.newest_routed) {
                prop_assert!(Place::of(old) <= Place::of(new), "the order only goes up");
            }
            if before.newest_routed.is_some() {
                let known = |route: &RouteStatus| {
                    before.routes.contains(route) || before.history.iter().any(|record| record.uid == route.uid)
                };
                prop_assert!(decision.status.routes.iter().all(known), "nothing takes over by itself");
            }
            if paused {
                prop_assert!(decision.propose.is_none());
                prop_assert_eq!(&before.newest_routed, &decision.status.newest_routed, "nothing takes over");
            }
            let mut shuffled = current.clone();
            shuffled.versions.reverse();
            let same = Model { status: Some(before), ..model.clone() };
            prop_assert_eq!(decide(&same, &shuffled, at(second)), decide(&same, &current, at(second)));
            if let Some(proposed) = decision.propose {
                prop_assert!(!actions.contains(&made(&proposed)), "it is proposed once");
                actions.push(made(&proposed));
                let candidate = current.versions.iter().find(|version| version.uid == proposed.uid).unwrap();
                if approved {
                    promote(&mut model, candidate, second);
                }
            }
        }
        current.actions = actions;
        let mut settled = false;
        for _ in 0..4 {
            let before = model.status.clone();
            step(&mut model, &current, second);
            settled |= model.status == before;
        }
        prop_assert!(settled, "it does not come to rest");
        prop_assert_eq!(&decide(&model, &current, at(second + later)).status, status(&model));
    }
}
