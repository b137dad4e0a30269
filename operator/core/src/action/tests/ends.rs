//! Every action comes to an end, and no claim outlives its deadline.

use super::*;

fn alert() -> RemediationAction {
    action("alert", "SendAlert", json!({"message": "heart drifts"}))
}

#[test]
fn an_alert_that_the_api_server_did_not_accept_has_not_succeeded_and_fails_in_the_end() {
    let mut simulation = Simulation::new([alert()]);
    simulation.refuses = Some((BlockedStep::SendAlert, "events is forbidden".into()));
    simulation.settle();
    simulation.succeeded("alert", "Unknown", "NotDelivered");
    simulation.now += 1700;
    simulation.settle();
    simulation.succeeded("alert", "Unknown", "NotDelivered");
    simulation.now += 200;
    simulation.settle();
    simulation.succeeded("alert", "False", "NotDelivered");
    assert_eq!(simulation.alerts, 0);

    let mut simulation = Simulation::new([alert()]);
    simulation.refuses = Some((BlockedStep::SendAlert, "events is forbidden".into()));
    simulation.settle();
    simulation.refuses = None;
    simulation.settle();
    simulation.succeeded("alert", "True", "Alerted");
    assert_eq!(simulation.alerts, 1);
}

#[test]
fn an_action_without_a_plan_expires_after_a_day_whatever_it_waits_for() {
    let day = Policy::default().planning_seconds;
    let absent = || {
        let mut simulation = Simulation::new([action("it", "RetrainModel", json!({}))]);
        simulation.dataset = DatasetSeen::Absent(vec!["ConfigMap hungarian".into()]);
        simulation
    };
    let refused = || {
        let mut simulation = Simulation::new([action("it", "RetrainModel", json!({}))]);
        simulation.refuses = Some((BlockedStep::StartSnapshot, "exceeded quota".into()));
        simulation
    };
    let running = || {
        let mut simulation = Simulation::new([action("it", "RetrainModel", json!({}))]);
        simulation.job = JobSeen::Running(None);
        simulation
    };
    let no_candidate = || {
        Simulation::new([action(
            "it",
            "PromoteModel",
            json!({"candidate": {"name": "heart-9"}}),
        )])
    };
    let nothing_serves = || {
        let mut simulation = Simulation::new([action("it", "RetrainModel", json!({}))]);
        simulation.status().routes.clear();
        simulation
    };
    let storm = || {
        let more = json!({"evidence": [{"kind": "DriftReport", "name": "r", "uid": "r"}]});
        let mut simulation = Simulation::new([action("it", "RetrainModel", more)]);
        simulation.drifting = 20;
        simulation
    };
    let worlds: [(&str, &dyn Fn() -> Simulation); 6] = [
        ("ConfigMap hungarian does not exist", &absent),
        ("exceeded quota", &refused),
        ("reads and checks the data", &running),
        ("there is no version heart-9", &no_candidate),
        ("no version serves", &nothing_serves),
        ("drifted within an hour", &storm),
    ];
    for (words, world) in worlds {
        let mut simulation = world();
        simulation.settle();
        simulation.now = FIRST + 100 + day - 1;
        simulation.settle();
        assert_eq!(
            simulation.says("it", ConditionType::Succeeded).0,
            "Unknown",
            "{words}"
        );
        let action = simulation.actions["it"].clone();
        let again = decide(&action, &simulation.world(&action), at(simulation.now)).again;
        assert!(again.unwrap() <= at(FIRST + 100 + day), "{words}");
        simulation.now += 1;
        simulation.settle();
        simulation.succeeded("it", "False", "Expired");
        assert!(
            simulation.message("it").contains(words),
            "{}",
            simulation.message("it")
        );
    }
}

#[test]
fn a_retraining_that_waits_for_data_does_not_hold_up_a_later_one() {
    let mut older = action("older", "RetrainModel", json!({"target": {"name": "heart-2"}}));
    older.metadata.creation_timestamp = Some(Time(at(FIRST)));
    let mut simulation = Simulation::new([older]);
    simulation.dataset = DatasetSeen::Absent(vec!["ConfigMap hungarian".into()]);
    simulation.settle();
    simulation.succeeded("older", "Unknown", "DatasetNotFound");
    assert!(is_waiting_for_a_plan(&simulation.actions["older"]));
    let younger = action("younger", "RetrainModel", json!({}));
    simulation.actions.insert("younger".into(), younger);
    simulation.dataset = DatasetSeen::Present("rows".into());
    simulation.job = snapshot(294, Some(106));
    simulation.reconcile("younger");
    simulation.succeeded("younger", "Unknown", "AwaitingApproval");
}

#[test]
fn a_storm_is_looked_at_again_at_the_plan_and_at_the_claim() {
    let more = json!({"evidence": [{"kind": "DriftReport", "name": "r", "uid": "r"}]});
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", more)]);
    simulation.job = snapshot(294, Some(106));
    simulation.drifting = 5;
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "StormBreaker");
    assert!(
        simulation.actions["retrain"]
            .status
            .clone()
            .unwrap()
            .snapshot_attempt
            .is_none()
    );
    simulation.drifting = 4;
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "AwaitingApproval");
    simulation.drifting = 5;
    simulation.approve("retrain", "alice");
    simulation.succeeded("retrain", "Unknown", "StormBreaker");
    assert_eq!((simulation.claimed(), simulation.versions.len()), (None, 2));
    simulation.drifting = 0;
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "Training");
}

#[test]
fn a_retraining_that_a_person_asked_for_is_not_held_up_by_a_storm() {
    let mut simulation = Simulation::new([action("retrain", "RetrainModel", json!({}))]);
    simulation.job = snapshot(294, Some(106));
    simulation.drifting = 50;
    simulation
        .settle()
        .succeeded("retrain", "Unknown", "AwaitingApproval");
}

#[test]
fn a_rollback_waits_for_no_other_model() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.roll_out();
    simulation.settle();
    simulation.now += 700;
    simulation.settle();
    simulation.in_flight = InFlight {
        namespace: 100,
        cluster: 100,
    };
    simulation
        .actions
        .insert("back".into(), action("back", "RollbackModel", json!({})));
    simulation.settle().approve("back", "alice");
    simulation.approve("back", "bob");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_namespace_has_a_share_of_what_is_in_flight() {
    let claimed = |namespace: &str, name: &str, kind: &str, paused: bool, since: i64| -> Model {
        object(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model",
            "metadata": {"name": name, "namespace": namespace, "uid": name},
            "spec": {"paused": paused},
            "status": {"activeAction": {"name": "a", "uid": "u", "type": kind, "digest": digest(1), "attempt": 1,
                "claimedAt": at(since).to_string()}},
        }))
    };
    let policy = Policy {
        in_flight_per_namespace: 2,
        ..Policy::default()
    };
    let own = promotion(2);
    let count = |models: &[Model]| in_flight(models, &own, &policy, at(FIRST));
    let many: Vec<Model> = (0..9)
        .map(|number| claimed("noisy", &format!("m{number}"), "RetrainModel", false, FIRST))
        .collect();
    assert_eq!(
        count(&many),
        InFlight {
            namespace: 0,
            cluster: 2
        }
    );
    let here = [
        claimed("hospital", "heart", "RetrainModel", false, FIRST),
        claimed("hospital", "a", "PromoteModel", false, FIRST),
        claimed("hospital", "b", "RollbackModel", false, FIRST),
        claimed("hospital", "c", "PromoteModel", true, FIRST),
        claimed("hospital", "d", "PromoteModel", false, FIRST - 13 * 3600),
    ];
    let only_a = InFlight {
        namespace: 1,
        cluster: 1,
    };
    assert_eq!(
        count(&here),
        only_a,
        "its own, a rollback, a paused one and a lapsed one do not count"
    );
}

#[test]
fn a_rollout_that_does_not_end_is_taken_back_when_its_claim_is_due() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle().approve("promote", "alice");
    simulation.now += Policy::default().claim_seconds;
    simulation.settle();
    assert_eq!(
        (simulation.serves(), simulation.claimed()),
        (vec!["heart-1"], Some("promote"))
    );
    // The Pods of the former version do not become ready either.
    simulation.now += Policy::default().claim_seconds;
    simulation.settle();
    simulation.succeeded("promote", "False", "RolledBack");
    assert!(simulation.message("promote").contains("was not rolled out by"));
    assert_eq!(simulation.claimed(), None);
}

#[test]
fn a_retraining_whose_version_never_ends_gives_its_claim_back() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    simulation.now += Policy::default().claim_seconds - 1;
    simulation.settle();
    assert_eq!(simulation.claimed(), Some("retrain"));
    simulation.now += 1;
    simulation.settle();
    simulation.succeeded("retrain", "False", "DeadlineExceeded");
    assert_eq!(simulation.claimed(), None);
}

#[test]
fn a_retraining_of_a_paused_model_does_not_keep_its_claim() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    simulation.model.spec.paused = true;
    gates(&mut simulation, "True");
    simulation.succeeded("retrain", "True", "AwaitingPromotion");
    assert_eq!(
        (simulation.claimed(), simulation.serves()),
        (None, vec!["heart-1"])
    );
}

#[test]
fn a_covered_promotion_that_cannot_begin_ends_when_the_claim_is_due() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    simulation.gate.probe = Probe::NotRefused("the policy is gone".into());
    gates(&mut simulation, "True");
    simulation.succeeded("retrain", "Unknown", "Promoting");
    simulation.now += Policy::default().claim_seconds;
    simulation.settle();
    simulation.succeeded("retrain", "False", "DeadlineExceeded");
    assert_eq!(
        (simulation.claimed(), simulation.serves()),
        (None, vec!["heart-1"])
    );
}

// === records ===

fn ended(name: &str, kind: &str, decided: bool, created: i64) -> RemediationAction {
    let mut ended = action(name, kind, json!({"message": "x"}));
    ended.metadata.creation_timestamp = Some(Time(at(created)));
    let decisions = if decided {
        json!([{"number": 1, "decision": "Approve", "user": "alice", "digest": digest(1), "seenAt": at(created).to_string()}])
    } else {
        json!([])
    };
    ended.status = Some(object(json!({
        "decisions": decisions,
        "conditions": [{"type": "Succeeded", "status": "True", "reason": "Executed", "message": "",
            "lastTransitionTime": at(created).to_string()}],
    })));
    ended
}

#[test]
fn alerts_and_undecided_actions_never_push_out_what_people_decided_on() {
    let mut all = vec![ended("decided", "RetrainModel", true, 0)];
    for number in 0..100 {
        all.push(ended(&format!("alert-{number}"), "SendAlert", false, 10 + number));
        all.push(ended(
            &format!("undecided-{number}"),
            "PromoteModel",
            false,
            10 + number,
        ));
    }
    let simulation = Simulation::new([]);
    let policy = Policy::default();
    let names = |all: &[RemediationAction], now: i64| -> Vec<String> {
        let gone = surplus(all, Some(&simulation.model), &policy, at(now));
        gone.into_iter()
            .map(|action| name_of(action).to_owned())
            .collect()
    };
    let gone = names(&all, 400 * 86_400);
    assert_eq!(gone.len(), 2 * (100 - 24));
    assert!(!gone.contains(&"decided".to_owned()));
    // Decided ones are kept by number, and all of them for thirty days.
    let decided: Vec<_> = (0..30)
        .map(|number| ended(&format!("d-{number:02}"), "PromoteModel", true, number * 3600))
        .collect();
    assert!(names(&decided, 29 * 86_400).is_empty());
    assert_eq!(
        names(&decided, 40 * 86_400),
        ["d-00", "d-01", "d-02", "d-03", "d-04", "d-05"]
    );
}

#[test]
fn a_promotion_that_was_covered_is_a_record_of_the_same_decision() {
    let parent = ended("parent", "RetrainModel", true, 0);
    let mut child = ended("child", "PromoteModel", false, 1);
    child.spec.parent_ref = Some(modelward_crds::ActionReference {
        name: "parent".into(),
        uid: "u-parent".into(),
    });
    let mut all = vec![parent, child];
    all.extend((0..50).map(|number| ended(&format!("u-{number}"), "PromoteModel", false, 10 + number)));
    let gone = surplus(&all, None, &Policy::default(), at(86_400));
    assert!(gone.iter().all(|action| name_of(*action).starts_with("u-")));
}
