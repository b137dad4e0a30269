//! Two rounds over the same world write nothing, whatever is in the way.

use super::*;

/// Lets nothing happen but time, and looks at everything again: no write, whatever the clock says.
#[track_caller]
fn rests(simulation: &mut Simulation, seconds: i64) {
    simulation.settle();
    let writes = simulation.writes;
    for _ in 0..seconds / 15 {
        simulation.now += 15;
        simulation.settle();
    }
    assert_eq!(simulation.writes, writes, "it writes though nothing happens");
}

fn refused(simulation: &mut Simulation, step: BlockedStep, answer: &str) {
    simulation.refuses = Some((step, answer.into()));
    simulation.settle();
}

/// A retraining that is approved, and whose version or promotion the API server refuses.
fn retraining_refused(step: BlockedStep) -> Simulation {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.refuses = Some((step, "exceeded quota: versions".into()));
    simulation.approve("retrain", "alice");
    if step == BlockedStep::CreatePromotion {
        gates(&mut simulation, "True");
    }
    simulation
}

fn refused_version(simulation: &mut Simulation) -> &mut modelward_crds::ModelVersionStatus {
    simulation.versions[1].status.as_mut().unwrap()
}

#[test]
fn every_world_comes_to_rest_and_a_minute_later_nothing_is_written() {
    let approved = || {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle().approve("promote", "alice");
        simulation
    };
    let waiting = || {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle();
        simulation
    };
    let worlds: Vec<(&str, Simulation)> = vec![
        ("awaiting approval", waiting()),
        ("half approved", {
            let mut simulation = waiting();
            simulation.policy.high_approvals = 2;
            simulation
                .policy
                .risks
                .insert(ActionType::PromoteModel, Risk::High);
            simulation.settle().approve("promote", "alice");
            simulation
        }),
        ("full in the namespace", {
            let mut simulation = waiting();
            simulation.in_flight.namespace = 4;
            simulation.approve("promote", "alice");
            simulation
        }),
        ("full in the cluster", {
            let mut simulation = waiting();
            simulation.in_flight.cluster = 16;
            simulation.approve("promote", "alice");
            simulation
        }),
        ("paused", {
            let mut simulation = waiting();
            simulation.model.spec.paused = true;
            simulation.approve("promote", "alice");
            simulation
        }),
        ("gate not at work", {
            let mut simulation = waiting();
            simulation.gate.probe = Probe::NotRefused("the policy is gone".into());
            simulation.approve("promote", "alice");
            simulation
        }),
        ("gate hidden by a quota", {
            let mut simulation = waiting();
            simulation.gate.probe = Probe::Hindered(Hindered {
                what: "a quota is in the way".into(),
                message: "exceeded quota".into(),
            });
            simulation.approve("promote", "alice");
            simulation
        }),
        ("rolling out", approved()),
        ("verifying", {
            let mut simulation = approved();
            simulation.roll_out();
            simulation
        }),
        ("stuck and taken back", {
            let mut simulation = approved();
            simulation.get_stuck();
            simulation
        }),
        ("rejected", {
            let mut simulation = waiting();
            simulation.annotate("promote", "reject", "bob");
            simulation
        }),
        ("gates open", {
            let mut simulation = waiting();
            refused_version(&mut simulation).conditions[0].status = "Unknown".into();
            simulation
        }),
        (
            "nothing to return to",
            Simulation::new([action("back", "RollbackModel", json!({}))]),
        ),
        ("data that never comes", {
            let mut simulation = Simulation::new([action("retrain", "RetrainModel", json!({}))]);
            simulation.dataset = DatasetSeen::Absent(vec!["ConfigMap hungarian".into()]);
            simulation
        }),
        ("the Job refused", {
            let mut simulation = Simulation::new([action("retrain", "RetrainModel", json!({}))]);
            refused(&mut simulation, BlockedStep::StartSnapshot, "exceeded quota");
            simulation
        }),
        ("a storm", {
            let mut simulation = retraining(snapshot(294, Some(106)));
            simulation.drifting = 5;
            simulation.approve("retrain", "alice");
            simulation
        }),
        ("training", {
            let mut simulation = retraining(snapshot(294, Some(106)));
            simulation.approve("retrain", "alice");
            simulation
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
            let mut simulation = Simulation::new([action("alert", "SendAlert", json!({"message": "x"}))]);
            refused(&mut simulation, BlockedStep::SendAlert, "forbidden");
            simulation
        }),
    ];
    for (name, mut simulation) in worlds {
        println!("{name}");
        rests(&mut simulation, 60);
    }
}

#[test]
fn what_is_refused_is_remembered_tried_again_and_forgotten_once_it_succeeds() {
    for (step, name) in [
        (BlockedStep::CreateVersion, "ModelVersion"),
        (BlockedStep::CreatePromotion, "RemediationAction"),
    ] {
        let mut simulation = retraining_refused(step);
        simulation.succeeded("retrain", "Unknown", "ChildRefused");
        let obstacle = simulation.actions["retrain"]
            .status
            .clone()
            .unwrap()
            .obstacle
            .unwrap();
        assert_eq!((obstacle.step, obstacle.reason), (step, ObstacleReason::Refused));
        assert!(obstacle.message.contains("exceeded quota: versions"), "{name}");
        assert_eq!(simulation.says("retrain", ConditionType::Stalled).0, "True");
        let tried = simulation.refused;
        simulation.now += 20;
        simulation.settle();
        assert_eq!(simulation.refused, tried + 1, "it is tried once a round");
        simulation.refuses = None;
        simulation.settle();
        assert_eq!(
            simulation.actions["retrain"].status.clone().unwrap().obstacle,
            None
        );
        assert_eq!(simulation.says("retrain", ConditionType::Stalled).0, "False");
    }
}

#[test]
fn what_is_refused_is_tried_less_and_less_often_and_given_up_with_its_claim() {
    let mut simulation = retraining_refused(BlockedStep::CreateVersion);
    assert_eq!(simulation.claimed(), Some("retrain"));
    let mut waits = Vec::new();
    while simulation.claimed().is_some() {
        let action = simulation.actions["retrain"].clone();
        let again = decide(&action, &simulation.world(&action), at(simulation.now))
            .again
            .unwrap();
        waits.push(again.as_second() - simulation.now);
        simulation.now = again.as_second() + 1;
        simulation.settle();
        assert!(waits.len() < 20, "{waits:?}");
    }
    assert!(
        waits[0] == 15 && waits.is_sorted() && waits.contains(&300),
        "{waits:?}"
    );
    simulation.succeeded("retrain", "False", "ChildRefused");
    assert!(simulation.message("retrain").contains("exceeded quota: versions"));
}

#[test]
fn after_a_long_outage_a_refused_step_is_tried_before_it_is_given_up() {
    let mut simulation = retraining_refused(BlockedStep::CreateVersion);
    simulation.now += 3 * 3600;
    simulation.refuses = None;
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "Training");
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
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    super::gates(&mut simulation, "True");
    let mut children = simulation
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
    let made = build::action(
        "promote",
        &crate::model::validate(simulation.model.clone()).unwrap(),
        OPERATOR,
        long,
    );
    assert_eq!(made.spec.message.unwrap().chars().count(), 1024);
    assert_eq!(made.spec.model, "heart");
    assert_eq!(made.metadata.namespace, simulation.model.metadata.namespace);
    let mut unborn = simulation.model.clone();
    unborn.metadata.uid = None;
    assert_eq!(crate::model::validate(unborn), Err(crate::model::Invalid::NoUid));
}

#[test]
fn nothing_can_belong_to_an_action_without_a_uid() {
    let mut action: RemediationAction = object(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction",
        "metadata": {"name": "alert", "namespace": "hospital", "uid": "u"},
        "spec": {"model": "heart", "type": "SendAlert", "message": "look"},
    }));
    assert_eq!(validate(action.clone()).unwrap().uid(), "u");
    action.metadata.uid = None;
    assert_eq!(validate(action), Err(Invalid::NoUid));
}
