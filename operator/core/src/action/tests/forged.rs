//! Objects that look like an action's own and are not.

use super::*;

/// A change of a version that is there.
type Change<'a> = &'a dyn Fn(&mut ModelVersion);

/// A retraining that claimed the model and ended before it made its version.
fn claimed() -> Simulation {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.annotate("retrain", "approve", "alice");
    simulation.crash_after = Some(simulation.writes + 2);
    simulation.reconcile("retrain");
    simulation.crash_after = None;
    assert_eq!(
        (simulation.claimed(), simulation.versions.len()),
        (Some("retrain"), 2)
    );
    simulation
}

/// The version that the retraining would make, as the API server would keep it.
fn own(simulation: &Simulation) -> ModelVersion {
    let action = simulation.actions["retrain"].clone();
    let mut made = None;
    for _ in 0..3 {
        let mut then = action.clone();
        then.status = Some(decide(&action, &simulation.world(&action), at(simulation.now)).status);
        if let Some(Step::CreateVersion(version)) =
            decide(&then, &simulation.world(&then), at(simulation.now)).step
        {
            made = Some(*version);
        }
    }
    let mut version: ModelVersion = object(serde_json::to_value(made.unwrap()).unwrap());
    version.metadata.uid = Some("v-there".into());
    version.metadata.creation_timestamp = Some(Time(at(simulation.now)));
    version
}

fn pass(version: &mut ModelVersion, bundle: u8) {
    let mut status = super::version(bundle).status.unwrap();
    status.conditions[0].status = "True".into();
    version.status = Some(status);
}

#[test]
fn a_version_that_another_made_with_the_name_and_provenance_of_an_action_is_not_its_own() {
    let mut simulation = claimed();
    let mut forged = own(&simulation);
    let annotations = forged.metadata.annotations.as_mut().unwrap();
    annotations.insert(annotations::CREATED_BY.into(), "eve".into());
    forged.spec.source = object(json!({"artifact": {"bundle": digest(66)}}));
    pass(&mut forged, 66);
    simulation.versions.push(forged);
    simulation.settle();
    simulation.succeeded("retrain", "Unknown", "NameTaken");
    assert_eq!(
        (simulation.serves(), simulation.routed.len()),
        (vec!["heart-1"], 0)
    );
    let status = simulation.actions["retrain"].status.clone().unwrap();
    assert_eq!(status.execution.unwrap().version, None);
    assert_eq!(status.obstacle.unwrap().reason, ObstacleReason::NameTaken);
    simulation.now += 2000;
    simulation.settle();
    simulation.succeeded("retrain", "False", "NameTaken");
    assert_eq!(simulation.claimed(), None);
}

#[test]
fn every_field_of_the_spec_counts_and_so_does_the_maker() {
    let changes: [(&str, Change<'_>); 10] = [
        ("maker", &|version| {
            let all = version.metadata.annotations.as_mut().unwrap();
            all.insert(annotations::CREATED_BY.into(), "eve".into());
        }),
        ("no maker", &|version| version.metadata.annotations = None),
        ("provenance", &|version| version.spec.provenance = None),
        ("parent", &|version| {
            version.spec.provenance.as_mut().unwrap().parent.name = "heart-2".into();
        }),
        ("snapshot", &|version| {
            version.spec.source.training.as_mut().unwrap().snapshot = Some(digest(66));
        }),
        ("gates", &|version| {
            version.spec.source.training.as_mut().unwrap().gates.clear();
        }),
        ("champion", &|version| {
            version.spec.source.training.as_mut().unwrap().not_worse_than = None;
        }),
        ("serving", &|version| version.spec.serving.replicas.max = 9),
        ("monitoring", &|version| {
            version.spec.monitoring.window_seconds = 10;
        }),
        ("retraining", &|version| version.spec.retraining = None),
    ];
    for (what, change) in changes {
        let mut simulation = claimed();
        let mut there = own(&simulation);
        change(&mut there);
        pass(&mut there, 9);
        simulation.versions.push(there);
        simulation.settle();
        simulation.succeeded("retrain", "Unknown", "NameTaken");
        assert_eq!(simulation.serves(), ["heart-1"], "{what}");
    }
    // Unchanged it is the action's own: the process ended between making it and recording it.
    let mut simulation = claimed();
    let mut there = own(&simulation);
    pass(&mut there, 9);
    simulation.versions.push(there);
    simulation.settle();
    assert_eq!(
        simulation.serves(),
        [name_of(simulation.versions.last().unwrap())]
    );
}

#[test]
fn a_version_that_takes_the_place_of_one_that_was_made_is_another() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    let made = simulation.versions.last_mut().unwrap();
    made.metadata.uid = Some("made again".into());
    pass(made, 9);
    simulation.settle();
    simulation.succeeded("retrain", "False", "Superseded");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn a_promotion_that_names_a_parent_and_was_not_made_by_the_operator_is_covered_by_nothing() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.gate.probe = Probe::Refused;
    simulation.approve("retrain", "alice");
    let made = simulation.versions.last().unwrap().clone();
    let candidate = json!({"name": name_of(&made), "uid": "v-made"});
    let parent = json!({"name": "retrain", "uid": "u-retrain"});
    let mut forged = action(
        "forged",
        "PromoteModel",
        json!({"candidate": candidate, "parentRef": parent}),
    );
    let annotations = forged.metadata.annotations.as_mut().unwrap();
    annotations.insert(annotations::PROPOSED_BY.into(), "eve".into());
    simulation.actions.insert("forged".into(), forged);
    let version = simulation.versions.last_mut().unwrap();
    pass(version, 9);
    simulation.reconcile("forged");
    simulation.succeeded("forged", "False", "Superseded");
    assert_eq!(simulation.serves(), ["heart-1"]);
    // And the retraining does not take it for its own.
    simulation.settle();
    assert_ne!(simulation.claimed(), Some("forged"));
    simulation.succeeded("retrain", "Unknown", "Promoting");
}

#[test]
fn an_action_of_the_promotions_name_that_is_about_something_else_is_in_the_way() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    let made = name_of(simulation.versions.last().unwrap()).to_owned();
    let name = promotion_name(&made, "v-made");
    let mut there = action(&name, "SendAlert", json!({"message": "x"}));
    there.spec.dry_run = true;
    simulation.actions.insert(name, there);
    gates(&mut simulation, "True");
    simulation.succeeded("retrain", "Unknown", "NameTaken");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

// === an approval is for one action and one model ===

#[test]
fn an_approval_does_not_carry_over_to_a_model_that_was_made_again() {
    let mut simulation = Simulation::new([promotion(2)]);
    simulation.settle();
    simulation.annotate("promote", "approve", "alice");
    simulation.model.metadata.uid = Some("made again".into());
    simulation.settle();
    simulation.succeeded("promote", "Unknown", "PlanChanged");
    assert_eq!(simulation.serves(), ["heart-1"]);
}

#[test]
fn what_was_claimed_for_a_model_does_not_go_on_with_one_that_was_made_again() {
    let mut simulation = claimed();
    simulation.model.metadata.uid = Some("made again".into());
    simulation.settle();
    simulation.succeeded("retrain", "False", "Superseded");
    assert!(simulation.message("retrain").contains("recreated"));
    assert_eq!(simulation.versions.len(), 2);
}

#[test]
fn an_approval_does_not_carry_over_to_an_action_a_namespace_or_a_version_that_was_made_again() {
    let changes: [&dyn Fn(&mut Simulation); 3] = [
        // The action, deleted and recreated, also in another namespace: it has another uid.
        &|simulation| {
            let action = simulation.actions.get_mut("promote").unwrap();
            action.metadata.uid = Some("made again".into());
            action.status = None;
        },
        &|simulation| {
            let action = simulation.actions.get_mut("promote").unwrap();
            action.metadata.namespace = Some("another".into());
            action.metadata.uid = Some("of another namespace".into());
        },
        // The version that would serve, of another lineage.
        &|simulation| {
            simulation.versions[1].metadata.uid = Some("another lineage".into());
            let action = simulation.actions.get_mut("promote").unwrap();
            action.spec.candidate.as_mut().unwrap().uid = None;
        },
    ];
    for change in changes {
        let mut simulation = Simulation::new([promotion(2)]);
        simulation.settle();
        simulation.annotate("promote", "approve", "alice");
        change(&mut simulation);
        simulation.settle();
        assert_eq!(
            (simulation.serves(), simulation.claimed()),
            (vec!["heart-1"], None)
        );
        assert_eq!(simulation.says("promote", ConditionType::Succeeded).0, "Unknown");
    }
}

#[test]
fn an_approval_of_a_retraining_covers_no_version_of_another_one() {
    let mut simulation = retraining(snapshot(294, Some(106)));
    simulation.approve("retrain", "alice");
    let candidate = json!({"name": "heart-2", "uid": "v2"});
    let parent = json!({"name": "retrain", "uid": "u-retrain"});
    let mut child = action(
        "child",
        "PromoteModel",
        json!({"candidate": candidate, "parentRef": parent}),
    );
    let annotations = child.metadata.annotations.as_mut().unwrap();
    annotations.insert(annotations::PROPOSED_BY.into(), OPERATOR.into());
    simulation.actions.insert("child".into(), child);
    simulation.reconcile("child");
    simulation.succeeded("child", "False", "Superseded");
    assert_eq!(simulation.serves(), ["heart-1"]);
}
