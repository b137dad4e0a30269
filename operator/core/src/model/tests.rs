use jiff::Timestamp;
use modelward_crds::Model;
use modelward_wire::Digest;
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn model() -> Model {
    let mut model = Model::new("heart", modelward_crds::ModelSpec::default());
    model.metadata.generation = Some(1);
    model
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
        deployment: None,
        refusals: Vec::new(),
        taken: None,
        refused: None,
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
        deadline_exceeded: false,
    }
}

fn step(model: &mut Model, world: &World, second: i64) -> Decision {
    let decision = decide(model, world, at(second));
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

fn condition<'a>(model: &'a Model, kind: &str) -> (&'a str, &'a str, &'a str) {
    let found = conditions::find(&status(model).conditions, kind).unwrap();
    (&found.status, &found.reason, &found.message)
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
fn nothing_serves_before_a_version_passed_its_gates() {
    let mut model = model();
    let decision = step(&mut model, &world([not_passed(1)]), 10);
    assert_eq!((decision.serve, decision.remove), (None, false));
    assert_eq!(condition(&model, types::READY).1, reasons::NO_VERSION);
    assert_eq!(condition(&model, types::AVAILABLE).0, "False");
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
    assert_eq!(routed(&one), ["heart-b"]);
    assert_eq!(routed(&other), ["heart-b"]);

    let mut late = model();
    let slow = VersionSeen {
        passed: None,
        ..twin("b")
    };
    step(&mut late, &world([twin("a"), slow]), 10);
    assert_eq!(routed(&late), ["heart-a"], "the first to pass begins");
    step(&mut late, &world([twin("a"), twin("b")]), 20);
    assert_eq!(routed(&late), ["heart-b"], "and the order is the same in the end");
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
    roll_out(&mut model, &mut world, 20);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-2"));

    world.versions = vec![seen(1)];
    let decision = step(&mut model, &world, 30);
    assert_eq!((decision.serve, decision.remove), (None, false));
    assert_eq!(
        condition(&model, types::READY).1,
        reasons::SERVING_VERSION_DELETED
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
    step(&mut model, &world, 30);
    assert_eq!(routed(&model), ["heart-2"]);
    assert_eq!(status(&model).serving, None, "heart-1 is gone and answers nobody");
    assert_eq!(condition(&model, types::AVAILABLE).0, "False");
}

#[test]
fn deleting_a_version_before_it_took_over_leaves_what_answers() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes;
    world.versions.push(seen(2));
    let second = step(&mut model, &world, 20).serve.unwrap().routes;
    world.refusals = vec![bad_file(&second.name)];
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        ..pods(&second.name, 2, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, types::STALLED).1, reasons::ARTIFACT_INVALID);

    world.versions = vec![seen(1)];
    let back = step(&mut model, &world, 40)
        .serve
        .expect("heart-1 never stopped answering");
    assert_eq!(back.routes, first);
    world.deployment = Some(pods(&first.name, 2, 2));
    step(&mut model, &world, 50);
    assert_eq!(condition(&model, types::READY).0, "True");
    assert!(matches!(says(&model, 1), ServingSeen::Live { enough: true, .. }));
    assert_eq!(status(&model).history.len(), 1, "it is the same stay");
}

#[test]
fn the_record_goes_with_the_last_version() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.clear();
    let decision = step(&mut model, &world, 20);
    assert!(decision.remove && decision.serve.is_none());
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
    assert_eq!(condition(&model, types::READY).0, "True");
    assert_eq!(says(&model, 2), ServingSeen::Paused);
    model.spec.paused = false;
    step(&mut model, &world, 30);
    assert_eq!(routed(&model), ["heart-2"]);
}

#[test]
fn a_model_that_was_paused_before_its_first_version_says_so() {
    let mut model = model();
    model.spec.paused = true;
    step(&mut model, &world([seen(1)]), 10);
    let (_, reason, message) = condition(&model, types::READY);
    assert_eq!(
        (reason, message),
        (
            reasons::PAUSED,
            "heart-1 passed its gates and waits: the model is paused"
        )
    );
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
        // Pods of the former template are there still.
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
        assert_eq!(condition(&model, types::READY).0, "False", "{deployment:?}");
        assert_eq!(condition(&model, types::RECONCILING).0, "True", "{deployment:?}");
        assert!(
            matches!(says(&model, 1), ServingSeen::RollingOut(..)),
            "{deployment:?}"
        );
    }
    world.deployment = Some(pods(&routes, 2, 2));
    step(&mut model, &world, 30);
    assert_eq!(
        condition(&model, types::READY),
        ("True", reasons::SERVING, "2/2 Pods answer")
    );
    assert_eq!(condition(&model, types::AVAILABLE).0, "True");
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
    assert_eq!(condition(&model, types::READY).0, "True");
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
    assert_eq!(condition(&model, types::READY).1, reasons::TOO_FEW_PODS);
    assert_eq!(condition(&model, types::AVAILABLE).0, "True", "one Pod answers");
    assert!(matches!(says(&model, 1), ServingSeen::Live { enough: false, .. }));
    world.deployment = Some(pods(&routes, 0, 2));
    step(&mut model, &world, 40);
    assert_eq!(condition(&model, types::AVAILABLE).0, "False");
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
    assert_eq!(condition(&model, types::READY).1, reasons::ROLLOUT_IN_PROGRESS);
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
    let second = step(&mut model, &world, 20).serve.unwrap().routes.name;
    assert_ne!(first, second);
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    assert_eq!(
        says(&model, 1),
        ServingSeen::BeingReplaced("it answers until heart-2 has taken over".into())
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
        ServingSeen::Retired("heart-2 serves; this version can be returned to".into())
    );
}

#[test]
fn a_bad_artifact_stalls_at_once_names_the_file_and_the_former_version_serves_on() {
    let mut model = model();
    let mut world = world([seen(1)]);
    let first = roll_out(&mut model, &mut world, 10).serve.unwrap().routes.name;
    world.versions.push(seen(2));
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
    let (stalled, reason, message) = condition(&model, types::STALLED);
    assert_eq!((stalled, reason), ("True", reasons::ARTIFACT_INVALID));
    assert!(message.contains("model.json"), "{message}");
    assert_eq!(condition(&model, types::AVAILABLE).0, "True");
    assert_eq!(status(&model).serving.as_deref(), Some("heart-1"));
    assert!(matches!(
        says(&model, 2),
        ServingSeen::Stuck(reasons::ARTIFACT_INVALID, _)
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
    assert_eq!(condition(&model, types::STALLED).0, "False");
    assert!(condition(&model, types::READY).2.contains("ImagePullBackOff"));
    world.deployment = Some(DeploymentSeen {
        deadline_exceeded: true,
        ..pods(&routes, 0, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, types::STALLED).1, reasons::ROLLOUT_STUCK);
}

#[test]
fn a_newer_version_replaces_one_whose_rollout_is_stuck() {
    let mut model = model();
    let mut world = world([seen(1)]);
    roll_out(&mut model, &mut world, 10);
    world.versions.push(seen(2));
    let second = step(&mut model, &world, 20).serve.unwrap().routes.name;
    world.refusals = vec![bad_file(&second)];
    world.deployment = Some(DeploymentSeen {
        updated: 1,
        total: 3,
        deadline_exceeded: true,
        ..pods(&second, 2, 2)
    });
    step(&mut model, &world, 30);
    assert_eq!(condition(&model, types::STALLED).0, "True");

    world.versions.push(seen(3));
    let third = step(&mut model, &world, 40).serve.unwrap().routes.name;
    assert_eq!(routed(&model), ["heart-3"]);
    assert_eq!(
        condition(&model, types::STALLED).0,
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
    assert_eq!(condition(&model, types::STALLED).1, reasons::NAME_TAKEN);
    assert!(
        condition(&model, types::READY)
            .2
            .starts_with("Service heart exists and does not belong to this model")
    );
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Stuck(reasons::NAME_TAKEN, _)
    ));
    world.taken = None;
    roll_out(&mut model, &mut world, 20);
    assert_eq!(condition(&model, types::READY).0, "True");

    world.taken = Some("Service heart".into());
    step(&mut model, &world, 30);
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Live {
            enough: true,
            rest: Settling::Stuck(reasons::NAME_TAKEN, _),
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
    assert_eq!(condition(&model, types::STALLED).1, reasons::CHILD_REFUSED);
    assert!(condition(&model, types::READY).2.contains("exceeded quota"));
    assert!(matches!(
        says(&model, 1),
        ServingSeen::Stuck(reasons::CHILD_REFUSED, _)
    ));
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_a_model_keeps_its_promises_and_comes_to_rest(
        worlds in prop::collection::vec((any_world(), prop::bool::weighted(0.2)), 1..8),
        later in 1_i64..1_000_000,
    ) {
        let mut model = model();
        let mut second = 0;
        let mut current = world([]);
        for ((mut versions, updated, available, wanted, broken, late, taken), paused) in worlds {
            second += 10;
            versions.sort_by(|a, b| a.uid.cmp(&b.uid));
            versions.dedup_by(|a, b| a.uid == b.uid);
            model.spec.paused = paused;
            let before = model.status.clone().unwrap_or_default();
            let routes = before.routes.first().map(|_| crate::routes::routes_file("heart", &before.routes).unwrap().name);
            current = World { taken, ..world(versions) };
            current.deployment = routes.clone().map(|routes| DeploymentSeen {
                updated: updated.min(wanted), total: wanted, deadline_exceeded: late, ..pods(&routes, available.min(wanted), wanted)
            });
            if let (true, Some(routes)) = (broken, routes) {
                current.refusals.push(bad_file(&routes));
            }
            let decision = step(&mut model, &current, second);
            let truth = |kind| condition(&model, kind).0 == "True";
            let summary = [types::READY, types::RECONCILING, types::STALLED].map(truth);
            prop_assert!(summary.iter().filter(|holds| **holds).count() <= 1);
            prop_assert_eq!(decision.serve.is_some(), !decision.status.routes.is_empty());
            for route in &decision.status.routes {
                prop_assert!(current.versions.iter().any(|version| version.uid == route.uid && !version.deleting && version.passed.is_some()) || before.routes.contains(route));
            }
            if let (Some(old), Some(new)) = (&before.newest_routed, &decision.status.newest_routed) {
                prop_assert!((old.created_at.0, &old.uid) <= (new.created_at.0, &new.uid), "the order only goes up");
            }
            if paused {
                prop_assert_eq!(&before.newest_routed, &decision.status.newest_routed, "nothing takes over");
            }
            let mut shuffled = current.clone();
            shuffled.versions.reverse();
            let same = Model { status: Some(before), ..model.clone() };
            prop_assert_eq!(decide(&same, &shuffled, at(second)), decide(&same, &current, at(second)));
        }
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
