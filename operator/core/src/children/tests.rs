use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

const BOUNDS: Bounds = Bounds { min: 2, max: 4 };

fn wanted() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "heart", "labels": {"modelward.io/model": "heart"}, "ownerReferences": [{"uid": "model"}]},
        "spec": {
            "selector": {"matchLabels": {"modelward.io/model": "heart"}},
            "template": {
                "metadata": {"labels": {"modelward.io/model": "heart"}},
                "spec": {
                    "containers": [{"name": "inference", "image": "a", "env": [{"name": "X", "value": "1"}], "args": []}],
                    "volumes": [{"name": "routes", "configMap": {"name": "r", "defaultMode": 420}}],
                },
            },
        },
    })
}

/// The wanted Deployment as it is in the cluster, with a change.
fn live(change: impl FnOnce(&mut Value)) -> Value {
    let mut live = wanted();
    live["metadata"]["uid"] = "u".into();
    live["metadata"]["resourceVersion"] = "7".into();
    live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3"});
    live["spec"]["replicas"] = 3.into();
    live["status"] = json!({"replicas": 3});
    change(&mut live);
    live
}

fn found(live: &Value) -> Vec<String> {
    differences(live, &target("Deployment", live, &wanted(), Some(BOUNDS), &[]))
}

#[test]
fn what_the_server_and_the_autoscaler_set_is_no_difference() {
    assert_eq!(found(&live(|_| ())), Vec::<String>::new());
    let free = live(|live| {
        live["metadata"]["labels"]["team"] = "a17".into();
        live["metadata"]["annotations"]["example.com/note"] = "x".into();
        live["metadata"]["annotations"]["kubernetes.io/change-cause"] = "x".into();
        live["spec"]["template"]["metadata"]["annotations"] = json!({RESTARTED_AT: "now"});
        live["spec"]["template"]["metadata"]["creationTimestamp"] = Value::Null;
    });
    assert_eq!(found(&free), Vec::<String>::new());
    let kept = target("Deployment", &free, &wanted(), Some(BOUNDS), &[]);
    assert_eq!(
        kept, free,
        "what others set stays when something else is restored"
    );
}

#[test]
fn a_field_that_was_added_changed_or_removed_is_a_difference_whatever_it_is() {
    let pod = "/spec/template/spec";
    let cases: Vec<(&str, Value, String)> = vec![
        ("/spec/paused", json!(true), "/spec/paused".into()),
        ("/spec/minReadySeconds", json!(9), "/spec/minReadySeconds".into()),
        (
            "/metadata/finalizers",
            json!(["x/y"]),
            "/metadata/finalizers".into(),
        ),
        (
            "/metadata/ownerReferences",
            json!([]),
            "/metadata/ownerReferences".into(),
        ),
        (
            "/metadata/labels/app.kubernetes.io~1x",
            json!("1"),
            "/metadata/labels/app.kubernetes.io~1x".into(),
        ),
        (
            "/spec/template/spec/hostAliases",
            json!([{"ip": "1.2.3.4"}]),
            format!("{pod}/hostAliases"),
        ),
        (
            "/spec/template/spec/dnsConfig",
            json!({"nameservers": ["1.2.3.4"]}),
            format!("{pod}/dnsConfig"),
        ),
        (
            "/spec/template/spec/nodeSelector",
            json!({"a": "b"}),
            format!("{pod}/nodeSelector"),
        ),
        (
            "/spec/template/spec/containers/0/lifecycle",
            json!({"preStop": {"sleep": {"seconds": 9}}}),
            format!("{pod}/containers/0/lifecycle"),
        ),
        (
            "/spec/template/spec/containers/0/startupProbe",
            json!({"tcpSocket": {"port": 1}}),
            format!("{pod}/containers/0/startupProbe"),
        ),
        (
            "/spec/template/spec/containers/0/env",
            json!([]),
            format!("{pod}/containers/0/env"),
        ),
        (
            "/spec/template/spec/containers/0/image",
            json!("evil"),
            format!("{pod}/containers/0/image"),
        ),
        (
            "/spec/template/spec/containers/0/args",
            json!(["x"]),
            format!("{pod}/containers/0/args"),
        ),
        (
            "/spec/template/spec/volumes/0/configMap/items",
            json!([{"key": "other", "path": "routes.json"}]),
            format!("{pod}/volumes/0/configMap/items"),
        ),
        // A field that no version of Kubernetes knew when this was written.
        (
            "/spec/template/spec/newField",
            json!(1),
            format!("{pod}/newField"),
        ),
        (
            "/spec/template/metadata/annotations",
            json!({"a": "b"}),
            "/spec/template/metadata/annotations".into(),
        ),
    ];
    for (pointer, value, expected) in cases {
        let changed = live(|live| set(live, pointer, value));
        assert_eq!(found(&changed), [expected], "{pointer}");
        let target = target("Deployment", &changed, &wanted(), Some(BOUNDS), &[]);
        assert_eq!(
            differences(&live(|_| ()), &target),
            Vec::<String>::new(),
            "{pointer} is restored"
        );
    }
}

/// Sets what a pointer names, with what leads to it.
fn set(object: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    object.pointer_mut(parent).unwrap()[key.as_str()] = value;
}

#[test]
fn the_number_of_pods_is_the_autoscalers_within_its_bounds_alone() {
    for (replicas, put) in [(0, 2), (1, 2), (2, 2), (4, 4), (9, 4)] {
        let live = live(|live| live["spec"]["replicas"] = replicas.into());
        let target = target("Deployment", &live, &wanted(), Some(BOUNDS), &[]);
        assert_eq!(target["spec"]["replicas"], put, "{replicas}");
        assert_eq!(found(&live).is_empty(), replicas == put, "{replicas}");
    }
}

#[test]
fn a_service_keeps_its_addresses_and_nothing_else() {
    let wanted = json!({"metadata": {"name": "heart"}, "spec": {
        "type": "ClusterIP", "selector": {"a": "b"}, "ports": [{"port": 80}], "sessionAffinity": "None",
    }});
    let mut live = wanted.clone();
    live["spec"]["clusterIP"] = "10.0.0.9".into();
    live["spec"]["clusterIPs"] = json!(["10.0.0.9"]);
    let of = |live: &Value| differences(live, &target("Service", live, &wanted, None, &[]));
    assert_eq!(of(&live), Vec::<String>::new());
    for (key, value) in [
        ("publishNotReadyAddresses", json!(true)),
        ("externalIPs", json!(["1.2.3.4"])),
        ("sessionAffinity", json!("ClientIP")),
        ("selector", json!({"a": "b", "more": "x"})),
        ("externalName", json!("evil.example")),
        ("type", json!("NodePort")),
    ] {
        let mut changed = live.clone();
        changed["spec"][key] = value;
        let expected = match key {
            "selector" => "/spec/selector/more".to_owned(),
            key => format!("/spec/{key}"),
        };
        assert_eq!(of(&changed), [expected]);
    }
    let mut external = live.clone();
    external["spec"]["type"] = "ExternalName".into();
    external["spec"].as_object_mut().unwrap().remove("clusterIP");
    let back = target("Service", &external, &wanted, None, &[]);
    assert_eq!(back["spec"], wanted["spec"], "it gets a new address");
    assert!(!must_be_made_again("Service", &external, &back));
    let mut headless = live.clone();
    headless["spec"]["clusterIP"] = "None".into();
    assert!(must_be_made_again("Service", &headless, &wanted));
}

#[test]
fn only_a_new_map_can_be_right_where_an_immutable_one_has_other_content() {
    let wanted = json!({"metadata": {}, "immutable": true, "data": {"routes.json": "a"}});
    let with = |change: Value| {
        let mut live = wanted.clone();
        for (key, value) in change.as_object().unwrap() {
            live[key] = value.clone();
        }
        let target = target("ConfigMap", &live, &wanted, None, &[]);
        (
            differences(&live, &target),
            must_be_made_again("ConfigMap", &live, &target),
        )
    };
    assert_eq!(with(json!({})), (vec![], false));
    assert_eq!(
        with(json!({"data": {"routes.json": "b"}})),
        (vec!["/data/routes.json".into()], true)
    );
    assert_eq!(
        with(json!({"data": {"routes.json": "a", "other": "b"}})),
        (vec!["/data/other".into()], true)
    );
    assert_eq!(
        with(json!({"binaryData": {"x": "eA=="}})),
        (vec!["/binaryData".into()], true)
    );
    assert_eq!(
        with(json!({"immutable": false, "data": {"routes.json": "b"}})),
        (vec!["/data/routes.json".into(), "/immutable".into()], false)
    );
}

#[test]
fn an_ignore_rule_lets_others_set_one_field_of_one_kind() {
    let rule = |kind: &str, path: &str| -> Result<IgnoreRule, _> {
        serde_json::from_value(json!({"kind": kind, "path": path}))
    };
    let rules = [
        rule("Deployment", "/spec/template/spec/tolerations").unwrap(),
        rule("Deployment", "/spec/template/spec/containers/*/image").unwrap(),
    ];
    let changed = live(|live| {
        live["spec"]["template"]["spec"]["tolerations"] = json!([{"key": "a"}]);
        live["spec"]["template"]["spec"]["containers"][0]["image"] = "mirror/a".into();
        live["spec"]["template"]["spec"]["hostNetwork"] = true.into();
    });
    let target = target("Deployment", &changed, &wanted(), Some(BOUNDS), &rules);
    assert_eq!(
        differences(&changed, &target),
        ["/spec/template/spec/hostNetwork"]
    );
    assert_eq!(
        target["spec"]["template"]["spec"]["tolerations"],
        json!([{"key": "a"}])
    );

    let wrong = rule("Pod", "/spec/x").unwrap_err().to_string();
    assert!(wrong.contains("kind \"Pod\" is not one of Deployment"), "{wrong}");
    for path in ["", "/spec", "/spec/", "spec.replicas", "/status/x"] {
        let wrong = rule("Deployment", path).unwrap_err().to_string();
        assert!(
            wrong.contains("is not a JSON pointer of a field under /spec/"),
            "{wrong}"
        );
    }
}

#[test]
fn fields_are_named_as_people_write_them() {
    let pointers = [
        "/spec/template/spec/containers/0/image",
        "/metadata/labels/a.b~1c",
        "/x",
        "/y",
        "/z",
    ];
    assert_eq!(
        in_words(&pointers.map(ToOwned::to_owned)),
        "spec.template.spec.containers[0].image, metadata.labels[a.b/c], x and 2 more"
    );
    assert_eq!(in_words(&["/x".to_owned()]), "x");
}

// === what was found before ===

#[test]
fn a_change_that_comes_back_three_times_within_ten_minutes_is_left_alone_for_an_hour() {
    let mut memory = Memory::default();
    for round in 0..3 {
        assert_eq!(memory.judge("w", "cpu", at(round * 60)), Judgement::Restore);
        memory.written("w", Some("cpu"), None, at(round * 60));
    }
    for second in [180, 1800, 3700] {
        assert_eq!(memory.judge("w", "cpu", at(second)), Judgement::LeftAlone);
    }
    assert_eq!(
        memory.judge("w", "cpu", at(3781)),
        Judgement::Restore,
        "and tried again"
    );
    assert_eq!(memory.judge("w", "image", at(3782)), Judgement::Restore);
}

#[test]
fn another_change_another_wish_and_slow_rounds_are_no_conflict() {
    let mut memory = Memory::default();
    for round in 0..9 {
        let found = format!("{}", round % 3);
        assert_eq!(
            memory.judge("w", &found, at(round)),
            Judgement::Restore,
            "{round}"
        );
        memory.written("w", Some(&found), None, at(round));
    }
    assert_eq!(memory.judge("w", "0", at(10)), Judgement::LeftAlone);
    assert_eq!(
        memory.judge("w", "7", at(11)),
        Judgement::Restore,
        "something else is restored"
    );
    assert_eq!(memory.judge("other", "0", at(12)), Judgement::Restore);
    let mut slow = Memory::default();
    for round in 0..9 {
        assert_eq!(slow.judge("w", "x", at(round * 400)), Judgement::Restore);
        slow.written("w", Some("x"), None, at(round * 400));
    }
}

#[test]
fn what_admission_makes_of_our_own_write_stays_without_another_write() {
    let mut memory = Memory::default();
    let made = Some(("cpu".to_owned(), vec!["/spec/x".to_owned()]));
    memory.written("w", None, made.clone(), at(0));
    assert_eq!(memory.judge("w", "cpu", at(1)), Judgement::Admitted);
    assert_eq!(memory.admitted(), ["/spec/x"]);
    assert_eq!(memory.judge("w", "cpu and image", at(2)), Judgement::Restore);
    memory.written("w", Some("cpu and image"), made, at(2));
    assert_eq!(memory.judge("w", "cpu", at(3)), Judgement::Admitted);
    assert_eq!(
        memory.judge("w", "cpu", at(122)),
        Judgement::Restore,
        "what did that may be gone"
    );
    assert_eq!(
        memory.judge("other", "cpu", at(4)),
        Judgement::Restore,
        "it is tried with another wish"
    );
}
