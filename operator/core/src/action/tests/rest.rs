//! Two rounds over the same world write nothing, whatever is in the way.

use super::*;

/// Lets nothing happen but time, and looks at everything again: no write, whatever the clock says.
#[track_caller]
fn rests(house: &mut House, seconds: i64) {
    house.settle();
    let writes = house.writes;
    for _ in 0..seconds / 15 {
        house.now += 15;
        house.settle();
    }
    assert_eq!(house.writes, writes, "it writes though nothing happens");
}

fn refused(house: &mut House, step: BlockedStep, answer: &str) {
    house.refuses = Some((step, answer.into()));
    house.settle();
}

/// A retraining that is approved, and whose version or promotion the API server refuses.
fn retraining_refused(step: BlockedStep) -> House {
    let mut house = retraining(snapshot(294, Some(106)));
    house.refuses = Some((step, "exceeded quota: versions".into()));
    house.approve("retrain", "alice");
    if step == BlockedStep::CreatePromotion {
        gates(&mut house, "True");
    }
    house
}

fn refused_version(house: &mut House) -> &mut modelward_crds::ModelVersionStatus {
    house.versions[1].status.as_mut().unwrap()
}

#[test]
fn every_world_comes_to_rest_and_a_minute_later_nothing_is_written() {
    let approved = || {
        let mut house = House::new([promotion(2)]);
        house.settle().approve("promote", "alice");
        house
    };
    let waiting = || {
        let mut house = House::new([promotion(2)]);
        house.settle();
        house
    };
    let worlds: Vec<(&str, House)> = vec![
        ("awaiting approval", waiting()),
        ("half approved", {
            let mut house = waiting();
            house.policy.high_approvals = 2;
            house.policy.risks.insert(ActionType::PromoteModel, Risk::High);
            house.settle().approve("promote", "alice");
            house
        }),
        ("full in the namespace", {
            let mut house = waiting();
            house.in_flight.namespace = 4;
            house.approve("promote", "alice");
            house
        }),
        ("full in the cluster", {
            let mut house = waiting();
            house.in_flight.cluster = 16;
            house.approve("promote", "alice");
            house
        }),
        ("paused", {
            let mut house = waiting();
            house.model.spec.paused = true;
            house.approve("promote", "alice");
            house
        }),
        ("gate not at work", {
            let mut house = waiting();
            house.gate.probe = Probe::NotRefused("the policy is gone".into());
            house.approve("promote", "alice");
            house
        }),
        ("gate hidden by a quota", {
            let mut house = waiting();
            house.gate.probe = Probe::Hindered(Hindered {
                what: "a quota is in the way".into(),
                message: "exceeded quota".into(),
            });
            house.approve("promote", "alice");
            house
        }),
        ("rolling out", approved()),
        ("verifying", {
            let mut house = approved();
            house.roll_out();
            house
        }),
        ("stuck and taken back", {
            let mut house = approved();
            house.get_stuck();
            house
        }),
        ("rejected", {
            let mut house = waiting();
            house.annotate("promote", "reject", "bob");
            house
        }),
        ("gates open", {
            let mut house = waiting();
            refused_version(&mut house).conditions[0].status = "Unknown".into();
            house
        }),
        (
            "nothing to return to",
            House::new([action("back", "RollbackModel", json!({}))]),
        ),
        ("data that never comes", {
            let mut house = House::new([action("retrain", "RetrainModel", json!({}))]);
            house.dataset = DatasetSeen::Absent(vec!["ConfigMap hungarian".into()]);
            house
        }),
        ("the Job refused", {
            let mut house = House::new([action("retrain", "RetrainModel", json!({}))]);
            refused(&mut house, BlockedStep::StartSnapshot, "exceeded quota");
            house
        }),
        ("a storm", {
            let mut house = retraining(snapshot(294, Some(106)));
            house.drifting = 5;
            house.approve("retrain", "alice");
            house
        }),
        ("training", {
            let mut house = retraining(snapshot(294, Some(106)));
            house.approve("retrain", "alice");
            house
        }),
        (
            "the version refused",
            retraining_refused(BlockedStep::CreateVersion),
        ),
        (
            "the promotion refused",
            retraining_refused(BlockedStep::CreatePromotion),
        ),
        ("the alert refused", {
            let mut house = House::new([action("alert", "SendAlert", json!({"message": "x"}))]);
            refused(&mut house, BlockedStep::SendAlert, "forbidden");
            house
        }),
    ];
    for (name, mut house) in worlds {
        println!("{name}");
        rests(&mut house, 60);
    }
}

#[test]
fn what_is_refused_is_remembered_tried_again_and_forgotten_once_it_succeeds() {
    for (step, name) in [
        (BlockedStep::CreateVersion, "ModelVersion"),
        (BlockedStep::CreatePromotion, "RemediationAction"),
    ] {
        let mut house = retraining_refused(step);
        house.succeeded("retrain", "Unknown", "ChildRefused");
        let obstacle = house.actions["retrain"].status.clone().unwrap().obstacle.unwrap();
        assert_eq!((obstacle.step, obstacle.reason), (step, ObstacleReason::Refused));
        assert!(obstacle.message.contains("exceeded quota: versions"), "{name}");
        assert_eq!(house.says("retrain", ConditionType::Stalled).0, "True");
        let tried = house.refused;
        house.now += 20;
        house.settle();
        assert_eq!(house.refused, tried + 1, "it is tried once a round");
        house.refuses = None;
        house.settle();
        assert_eq!(house.actions["retrain"].status.clone().unwrap().obstacle, None);
        assert_eq!(house.says("retrain", ConditionType::Stalled).0, "False");
    }
}

#[test]
fn what_is_refused_is_tried_less_and_less_often_and_given_up_with_its_claim() {
    let mut house = retraining_refused(BlockedStep::CreateVersion);
    assert_eq!(house.claimed(), Some("retrain"));
    let mut waits = Vec::new();
    while house.claimed().is_some() {
        let action = house.actions["retrain"].clone();
        let again = decide(&action, &house.world(&action), at(house.now))
            .again
            .unwrap();
        waits.push(again.as_second() - house.now);
        house.now = again.as_second() + 1;
        house.settle();
        assert!(waits.len() < 20, "{waits:?}");
    }
    assert!(
        waits[0] == 15 && waits.is_sorted() && waits.contains(&300),
        "{waits:?}"
    );
    house.succeeded("retrain", "False", "ChildRefused");
    assert!(house.message("retrain").contains("exceeded quota: versions"));
}

#[test]
fn after_a_long_outage_a_refused_step_is_tried_before_it_is_given_up() {
    let mut house = retraining_refused(BlockedStep::CreateVersion);
    house.now += 3 * 3600;
    house.refuses = None;
    house.settle();
    house.succeeded("retrain", "Unknown", "Training");
}

#[test]
fn an_action_of_a_deleted_model_is_not_one_of_the_model_that_has_its_name_now() {
    let owned_by = |name: &str, uid: &str| {
        let mut action = promotion(2);
        action.metadata.owner_references = Some(vec![object(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": name, "uid": uid, "controller": true,
        }))]);
        action
    };
    assert!(is_of_deleted_model(&owned_by("heart", "former"), Some("now")));
    assert!(is_of_deleted_model(&owned_by("heart", "former"), None));
    assert!(!is_of_deleted_model(&owned_by("heart", "now"), Some("now")));
    assert!(!is_of_deleted_model(&owned_by("lung", "another"), Some("now")));
    assert!(
        !is_of_deleted_model(&promotion(2), Some("now")),
        "a person made it"
    );
}

#[test]
fn every_action_that_the_operator_makes_has_the_label_and_the_owner_of_its_model() {
    let mut house = retraining(snapshot(294, Some(106)));
    house.approve("retrain", "alice");
    super::gates(&mut house, "True");
    let mut children = house
        .actions
        .values()
        .filter(|action| action.spec.parent_ref.is_some());
    let child = children.next().unwrap();
    let labels = child.metadata.labels.clone().unwrap();
    assert_eq!(labels["modelward.io/model"], "heart");
    let owners = child.metadata.owner_references.clone().unwrap();
    assert_eq!(
        (owners[0].kind.as_str(), owners[0].controller),
        ("Model", Some(true))
    );
    let long = build::serving_spec(
        ActionType::PromoteModel,
        &object(json!({"name": "heart-2", "uid": "v2"})),
        "x".repeat(2000),
        None,
        None,
    );
    let made = build::action("promote", &house.model, OPERATOR, long.clone()).unwrap();
    assert_eq!(made.spec.message.unwrap().len(), 1024);
    assert_eq!(made.spec.model, "heart");
    assert_eq!(made.metadata.namespace, house.model.metadata.namespace);
    let mut unborn = house.model.clone();
    unborn.metadata.uid = None;
    assert_eq!(build::action("promote", &unborn, OPERATOR, long), None);
}
