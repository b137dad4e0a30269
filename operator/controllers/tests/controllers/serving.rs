//! What keeps a version from serving, and what other hands do to what serves.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::ResourceExt as _;
use modelward_core::names::promotion_name;
use modelward_crds::{ConditionType, Model, ModelVersion, RemediationAction, Role};
use modelward_kit::fake_controllers::PodEnd;
use serde_json::{Value, json};

use crate::support::{TestCluster, message, routes_of, until};

fn names(text: &impl serde::Serialize, word: &str) -> bool {
    serde_json::to_string(text).unwrap().contains(word)
}

fn contested(model: &Model) -> Option<String> {
    let conditions = model.status.iter().flat_map(|status| &status.conditions);
    let mut contested = conditions.filter(|condition| condition.type_ == ConditionType::Contested.as_str());
    contested.next().map(|condition| condition.message.clone())
}

/// A cluster where `heart-1` serves and `heart-2` waits for its promotion.
async fn with_a_waiting_second_version() -> Result<TestCluster> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster.apply_version("heart-2").await?;
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "AwaitingPromotion")
        .await?;
    Ok(cluster)
}

/// A cluster where `heart-1` serves and Pods with any other routes end as a server with a bad file does.
async fn with_a_broken_second_version() -> Result<(TestCluster, String)> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let first = routes_of(&cluster.all::<Deployment>().get("heart").await?);
    let good = first.clone();
    cluster.fakes.pods(move |pod| {
        if names(pod, &good) {
            PodEnd::Ready
        } else {
            PodEnd::Crashes(3, "model.json is not what its digest says".into())
        }
    });
    cluster.apply_version("heart-2").await?;
    cluster.promote("heart-2").await?;
    cluster
        .wait_says("heart-2", ConditionType::Stalled, "True", "ArtifactInvalid")
        .await?;
    Ok((cluster, first))
}

#[tokio::test]
async fn a_bad_artifact_never_serves_the_former_version_does_and_the_file_is_named() -> Result<()> {
    let (cluster, _) = with_a_broken_second_version().await?;
    let broken = cluster.all::<ModelVersion>().get("heart-2").await?;
    let words = message(&broken, ConditionType::Ready);
    ensure!(
        words.contains("exit code 3") && words.contains("model.json is not what its digest says"),
        "{words}"
    );
    assert_eq!(
        broken.status.and_then(|status| status.role),
        Some(Role::Candidate)
    );
    let first = cluster
        .wait("heart-1", "answering", |version: &ModelVersion| {
            message(version, ConditionType::Serving).contains("until heart-2 has taken over")
        })
        .await?;
    assert_eq!(first.status.and_then(|status| status.role), Some(Role::Live));
    let model = cluster
        .model_says(ConditionType::Available, "True", "Serving")
        .await?;
    let status = model.status.context("a status")?;
    assert_eq!(
        (status.serving.as_deref(), status.ready_pods),
        (Some("heart-1"), Some(2))
    );
    cluster.wait_event("ArtifactInvalid", "model.json").await?;
    cluster.rest("heart-2").await
}

#[tokio::test]
async fn a_newer_version_is_taken_while_a_broken_rollout_is_in_flight() -> Result<()> {
    let (cluster, first) = with_a_broken_second_version().await?;
    let second = routes_of(&cluster.all::<Deployment>().get("heart").await?);
    assert_ne!(first, second);
    cluster.fakes.pods(move |pod| {
        if names(pod, &second) {
            PodEnd::Crashes(3, "model.json is not what its digest says".into())
        } else {
            PodEnd::Ready
        }
    });
    cluster.apply_version("heart-3").await?;
    cluster.promote("heart-3").await?;
    cluster.wait_live("heart-3").await?;
    cluster.wait_role("heart-2", Role::Retired).await?;
    cluster.wait_role("heart-1", Role::Retired).await?;
    Ok(())
}

#[tokio::test]
async fn deleting_the_broken_version_heals_the_model() -> Result<()> {
    let (cluster, first) = with_a_broken_second_version().await?;
    cluster.delete::<ModelVersion>("heart-2").await?;
    cluster
        .wait("heart", "on its former routes", |deployment: &Deployment| {
            routes_of(deployment) == first
        })
        .await?;
    cluster.wait_live("heart-1").await?;
    cluster
        .model_says(ConditionType::Ready, "True", "Serving")
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_service_of_the_models_name_is_never_overwritten_and_is_recovered_from() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let service = json!({"metadata": {"name": "heart"}, "spec": {"ports": [{"port": 5432}]}});
    let foreign: Service = cluster.create(service).await?;
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "NameTaken")
        .await?;
    ensure!(
        message(&stalled, ConditionType::Ready)
            .starts_with("Service heart exists and does not belong to this model")
    );
    cluster
        .model_says(ConditionType::Stalled, "True", "NameTaken")
        .await?;
    cluster.rest("heart-1").await?;
    let same = cluster.all::<Service>().get("heart").await?;
    assert_eq!(same.resource_version(), foreign.resource_version());
    ensure!(
        cluster.all::<Deployment>().get_opt("heart").await?.is_none(),
        "nothing stands behind a name that is not ours"
    );
    cluster.delete::<Service>("heart").await?;
    cluster.nudge("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn an_autoscaler_and_a_budget_of_others_on_the_models_pods_are_named_until_they_are_gone() -> Result<()>
{
    let cluster = TestCluster::open().await?;
    cluster
        .create::<HorizontalPodAutoscaler>(json!({
            "metadata": {"name": "three"},
            "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "heart"}, "minReplicas": 3, "maxReplicas": 3},
        }))
        .await?;
    for (name, selector) in [
        ("all", json!({})),
        (
            "others",
            json!({"matchExpressions": [{"key": "modelward.io/model", "operator": "DoesNotExist"}]}),
        ),
        ("some", json!({"matchLabels": {"modelward.io/model": "heart"}})),
    ] {
        let budget = json!({"metadata": {"name": name}, "spec": {"maxUnavailable": 1, "selector": selector}});
        cluster.create::<PodDisruptionBudget>(budget).await?;
    }
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let model = cluster
        .model_says(ConditionType::Contested, "True", "SecondAutoscaler")
        .await?;
    let words = contested(&model).unwrap_or_default();
    for named in [
        "HorizontalPodAutoscaler three",
        "PodDisruptionBudget all",
        "PodDisruptionBudget some",
    ] {
        ensure!(words.contains(named), "{named} is not in: {words}");
    }
    ensure!(!words.contains("others"), "{words}");
    cluster.rest("heart-1").await?;

    cluster.delete::<HorizontalPodAutoscaler>("three").await?;
    cluster
        .model_says(ConditionType::Contested, "True", "SecondDisruptionBudget")
        .await?;
    cluster.delete::<PodDisruptionBudget>("all").await?;
    cluster.delete::<PodDisruptionBudget>("some").await?;
    cluster
        .wait("heart", "not contested", |model: &Model| {
            contested(model).is_none()
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_deployment_of_the_models_name_is_never_overwritten() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let foreign: Deployment = cluster.create(json!({
        "metadata": {"name": "heart"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "foreign"}]}},
        },
    })).await?;
    cluster.apply_version("heart-1").await?;
    let stalled = cluster
        .wait_says("heart-1", ConditionType::Stalled, "True", "NameTaken")
        .await?;
    ensure!(message(&stalled, ConditionType::Ready).starts_with("Deployment heart exists"));
    let same = cluster.all::<Deployment>().get("heart").await?;
    assert_eq!(
        (same.uid(), same.metadata.generation),
        (foreign.uid(), foreign.metadata.generation)
    );
    Ok(())
}

#[tokio::test]
async fn what_others_change_in_the_deployment_is_put_back_and_reported() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let ours = cluster.all::<Deployment>().get("heart").await?;
    let template = |deployment: &Deployment| {
        serde_json::to_value(deployment).unwrap()["spec"]["template"]["spec"].clone()
    };
    let container = |change: &dyn Fn(&mut Value)| {
        let mut containers = template(&ours)["containers"].clone();
        change(&mut containers);
        json!({"containers": containers})
    };
    let changes = [
        ("an image", container(&|all| all[0]["image"] = "evil:1".into())),
        (
            "a value",
            container(&|all| all[0]["env"][3]["value"] = "other".into()),
        ),
        (
            "a variable",
            container(&|all| {
                all[0]["env"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!({"name": "EVIL", "value": "1"}));
            }),
        ),
        (
            "a command",
            container(&|all| all[0]["command"] = json!(["/bin/evil"])),
        ),
        (
            "a container",
            container(&|all| {
                all.as_array_mut()
                    .unwrap()
                    .push(json!({"name": "evil", "image": "evil:1"}));
            }),
        ),
        (
            "a container before",
            json!({"initContainers": [{"name": "evil", "image": "evil:1"}]}),
        ),
        ("routes", {
            let mut volumes = template(&ours)["volumes"].clone();
            volumes[0]["configMap"]["name"] = json!("evil");
            json!({"volumes": volumes})
        }),
        ("the network", json!({"hostNetwork": true})),
    ];
    for (reported, (what, change)) in changes.into_iter().enumerate() {
        cluster
            .patch::<Deployment>("heart", json!({"spec": {"template": {"spec": change}}}))
            .await
            .with_context(|| format!("changing {what}"))?;
        let expected = template(&ours);
        cluster
            .wait(
                "heart",
                &format!("as it was before {what} was changed"),
                |found: &Deployment| template(found) == expected,
            )
            .await?;
        until("the count", async || {
            Ok((cluster.metric("tampered_total", "Deployment") > reported as f64).then_some(()))
        })
        .await?;
    }
    cluster
        .wait_event(
            "RoutesTampered",
            "Deployment heart was changed at spec.template.spec",
        )
        .await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn what_others_delete_is_made_again_and_reported() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let routes = routes_of(&cluster.all::<Deployment>().get("heart").await?);
    let before = cluster.all::<ConfigMap>().get(&routes).await?;
    cluster.delete::<ConfigMap>(&routes).await?;
    let after = cluster
        .wait(&routes, "another", |map: &ConfigMap| map.uid() != before.uid())
        .await?;
    assert_eq!(after.data, before.data);
    cluster
        .wait_event(
            "RoutesTampered",
            &format!("ConfigMap {routes} was deleted by another client; recreating it"),
        )
        .await?;

    let before = cluster.all::<Service>().get("heart").await?.uid();
    cluster.delete::<Service>("heart").await?;
    cluster
        .wait("heart", "another", |service: &Service| service.uid() != before)
        .await?;
    cluster
        .patch::<HorizontalPodAutoscaler>("heart", json!({"spec": {"minReplicas": 1, "maxReplicas": 1}}))
        .await?;
    cluster
        .wait("heart", "as it was", |scaler: &HorizontalPodAutoscaler| {
            scaler
                .spec
                .as_ref()
                .is_some_and(|spec| (spec.min_replicas, spec.max_replicas) == (Some(2), 4))
        })
        .await?;
    let before = cluster.all::<Deployment>().get("heart").await?.uid();
    cluster.delete::<Deployment>("heart").await?;
    cluster
        .wait("heart", "another", |deployment: &Deployment| {
            deployment.uid() != before
        })
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn a_record_that_is_deleted_is_made_again_and_the_model_serves_again() -> Result<()> {
    let cluster = with_a_waiting_second_version().await?;
    let before = cluster.all::<Model>().get("heart").await?.uid();
    cluster.delete::<Model>("heart").await?;
    cluster
        .wait("heart", "another", |model: &Model| model.uid() != before)
        .await?;
    cluster
        .model_says(ConditionType::Ready, "True", "Serving")
        .await?;
    cluster.wait_live("heart-1").await?;
    // No version becomes the first one by that: the second version waits as it did.
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "AwaitingPromotion")
        .await?;
    Ok(())
}

#[tokio::test]
async fn the_promotion_of_a_deleted_record_is_not_the_one_of_the_record_that_replaces_it() -> Result<()> {
    let cluster = with_a_waiting_second_version().await?;
    let former = cluster.all::<Model>().get("heart").await?.uid();
    let owned_by = |uid: &Option<String>| {
        let uid = uid.clone();
        move |action: &RemediationAction| {
            let mut owners = action.owner_references().iter();
            owners.any(|owner| Some(&owner.uid) == uid.as_ref())
        }
    };
    let waiting = cluster.all::<ModelVersion>().get("heart-2").await?;
    let name = promotion_name("heart-2", &waiting.uid().context("uid")?);
    cluster
        .wait(&name, "of the first record", owned_by(&former))
        .await?;

    // Garbage collection is later than the operator.
    cluster.fakes.garbage(false).await;
    cluster.delete::<Model>("heart").await?;
    cluster
        .wait("heart", "another, with a status", |model: &Model| {
            model.uid() != former && !model.status.clone().unwrap_or_default().conditions.is_empty()
        })
        .await?;
    cluster.fakes.garbage(true).await;
    let now = cluster.all::<Model>().get("heart").await?.uid();
    cluster
        .wait(&name, "of the second record", owned_by(&now))
        .await?;
    cluster
        .wait("heart-2", "about its promotion", |version: &ModelVersion| {
            message(version, ConditionType::Ready)
                == format!("waits until {name} is approved and carried out")
        })
        .await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_rollout_undo_and_a_routes_file_of_another_writer_are_put_back() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let former = cluster.all::<Deployment>().get("heart").await?;
    cluster.apply_version("heart-2").await?;
    cluster.promote("heart-2").await?;
    cluster.wait_live("heart-2").await?;
    let ours = routes_of(&cluster.all::<Deployment>().get("heart").await?);

    // What `kubectl rollout undo` does: the template of the former ReplicaSet, in one patch.
    let template = serde_json::to_value(&former)?["spec"]["template"].clone();
    cluster
        .patch::<Deployment>("heart", json!({"spec": {"template": template}}))
        .await?;
    cluster
        .wait("heart", "on its routes", |deployment: &Deployment| {
            routes_of(deployment) == ours
        })
        .await?;
    until("the count", async || {
        Ok((cluster.metric("tampered_total", "Deployment") > 0.0).then_some(()))
    })
    .await?;

    // The map is immutable: it can only be made anew with other content.
    let map = cluster.all::<ConfigMap>().get(&ours).await?;
    let content = map.data.clone().context("data")?["routes.json"].clone();
    let edit = cluster
        .patch::<ConfigMap>(&ours, json!({"data": {"routes.json": "{}"}}))
        .await;
    ensure!(edit.is_err(), "an immutable map was edited");
    cluster.delete::<ConfigMap>(&ours).await?;
    let forged = json!({
        "metadata": {"name": ours, "ownerReferences": map.metadata.owner_references, "labels": map.metadata.labels},
        "data": {"routes.json": content.replace("heart-2", "heart-1")},
    });
    // Whichever writer is faster, the operator's content is there in the end.
    let _ = cluster.create::<ConfigMap>(forged).await;
    cluster
        .wait(&ours, "as it was", |map: &ConfigMap| {
            map.immutable == Some(true)
                && map
                    .data
                    .as_ref()
                    .is_some_and(|data| data["routes.json"] == content)
        })
        .await?;
    cluster.wait_live("heart-2").await?;
    cluster.wait_role("heart-1", Role::Retired).await?;
    Ok(())
}

#[tokio::test]
async fn other_bounds_of_a_live_version_reach_the_autoscaler_without_another_rollout() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let before = cluster.all::<Deployment>().get("heart").await?;
    cluster
        .patch::<ModelVersion>(
            "heart-1",
            json!({"spec": {"serving": {"replicas": {"min": 3, "max": 5}}}}),
        )
        .await?;
    cluster
        .wait("heart", "3 of 3 Pods", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.pods.as_deref() == Some("3/3"))
        })
        .await?;
    cluster.wait_live("heart-1").await?;
    assert_eq!(
        routes_of(&cluster.all::<Deployment>().get("heart").await?),
        routes_of(&before)
    );
    Ok(())
}

#[tokio::test]
async fn odd_spellings_of_amounts_come_to_rest() -> Result<()> {
    let cluster = TestCluster::open().await?;
    let mut version = crate::support::version("heart-1");
    version["spec"]["serving"]["resources"] = json!({
        "requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"cpu": "2500m", "memory": "2097152Ki"},
    });
    cluster.create::<ModelVersion>(version).await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-1").await
}

/// What was changed in the model's children, and what has to be back within ten seconds.
struct Change {
    what: &'static str,
    kind: &'static str,
    /// A JSON pointer, and the value that is put there.
    at: &'static str,
    value: Value,
}

fn change(what: &'static str, kind: &'static str, at: &'static str, value: Value) -> Change {
    Change {
        what,
        kind,
        at,
        value,
    }
}

/// The object without what the API server keeps.
fn content(object: &kube::api::DynamicObject) -> Value {
    let mut content = serde_json::to_value(object).unwrap();
    for key in ["managedFields", "resourceVersion", "generation"] {
        content["metadata"].as_object_mut().unwrap().remove(key);
    }
    content.as_object_mut().unwrap().remove("status");
    content
}

#[tokio::test]
async fn a_change_of_any_field_of_any_child_is_put_back_whole_within_ten_seconds() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-1").await?;
    let container = json!({"preStop": {"sleep": {"seconds": 5}}});
    let changes = [
        change(
            "a key more in the selector",
            "Service",
            "/spec/selector/evil",
            json!("1"),
        ),
        change("a type", "Service", "/spec/type", json!("NodePort")),
        change(
            "Pods that are not ready",
            "Service",
            "/spec/publishNotReadyAddresses",
            json!(true),
        ),
        change("an address", "Service", "/spec/externalIPs", json!(["192.0.2.1"])),
        change(
            "an affinity",
            "Service",
            "/spec/sessionAffinity",
            json!("ClientIP"),
        ),
        change(
            "a label that hides it",
            "Service",
            "/metadata/labels/service.kubernetes.io~1service-proxy-name",
            json!("x"),
        ),
        change("a pause", "Deployment", "/spec/paused", json!(true)),
        change("no Pods", "Deployment", "/spec/replicas", json!(0)),
        change(
            "an alias",
            "Deployment",
            "/spec/template/spec/hostAliases",
            json!([{"ip": "192.0.2.1", "hostnames": ["ledger"]}]),
        ),
        change(
            "name servers",
            "Deployment",
            "/spec/template/spec/dnsConfig",
            json!({"nameservers": ["192.0.2.1"]}),
        ),
        change(
            "a node",
            "Deployment",
            "/spec/template/spec/nodeSelector",
            json!({"a": "b"}),
        ),
        change(
            "a hook",
            "Deployment",
            "/spec/template/spec/containers/0/lifecycle",
            container,
        ),
        change(
            "a probe",
            "Deployment",
            "/spec/template/spec/containers/0/startupProbe",
            json!({"tcpSocket": {"port": 1}, "periodSeconds": 1}),
        ),
        change(
            "a probed host",
            "Deployment",
            "/spec/template/spec/containers/0/readinessProbe/httpGet/host",
            json!("192.0.2.1"),
        ),
        change(
            "a part of a volume",
            "Deployment",
            "/spec/template/spec/containers/0/volumeMounts/0/subPath",
            json!("x"),
        ),
        change(
            "an item of the routes",
            "Deployment",
            "/spec/template/spec/volumes/0/configMap/items",
            json!([{"key": "other", "path": "routes.json"}]),
        ),
        change(
            "a token",
            "Deployment",
            "/spec/template/spec/automountServiceAccountToken",
            json!(true),
        ),
        change(
            "a finalizer",
            "Deployment",
            "/metadata/finalizers",
            json!(["example.com/keep"]),
        ),
        change("no owner", "Deployment", "/metadata/ownerReferences", json!([])),
        change("no owner", "Service", "/metadata/ownerReferences", json!([])),
        change(
            "behaviour",
            "HorizontalPodAutoscaler",
            "/spec/behavior",
            json!({"scaleDown": {"selectPolicy": "Disabled"}}),
        ),
        change(
            "a key more in the selector",
            "PodDisruptionBudget",
            "/spec/selector/matchLabels/evil",
            json!("1"),
        ),
    ];
    for Change {
        what,
        kind,
        at,
        value,
    } in changes
    {
        let api = cluster.untyped(kind)?;
        let before = content(&api.get("heart").await?);
        let reported = cluster.metric("tampered_total", "");
        let (parent, key) = at.rsplit_once('/').context("a pointer")?;
        let key = key.replace("~1", "/");
        // The controllers of Kubernetes write on it too.
        until(&format!("a write of {what}"), async || {
            let mut changed = serde_json::to_value(api.get("heart").await?)?;
            changed.pointer_mut(parent).context(at)?[key.as_str()] = value.clone();
            let changed: kube::api::DynamicObject = serde_json::from_value(changed)?;
            match api
                .replace("heart", &kube::api::PostParams::default(), &changed)
                .await
            {
                Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
                written => Ok(Some(written.with_context(|| format!("{kind}: {what}"))?)),
            }
        })
        .await?;
        let begun = std::time::Instant::now();
        until(&format!("{kind} as it was before {what}"), async || {
            let now = content(&api.get("heart").await?);
            Ok((now == before).then_some(()))
        })
        .await?;
        ensure!(
            begun.elapsed() < std::time::Duration::from_secs(10),
            "{kind}: {what}: {:?}",
            begun.elapsed()
        );
        // The fake autoscaler restores the number of Pods before the operator does; every other change is reported.
        if at != "/spec/replicas" {
            until(&format!("a report of {what}"), async || {
                Ok((cluster.metric("tampered_total", "") > reported).then_some(()))
            })
            .await?;
        }
    }
    cluster
        .wait_event(
            "RoutesTampered",
            "Service heart was changed at spec.selector.evil",
        )
        .await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn a_service_that_leads_elsewhere_and_one_without_an_address_are_made_right() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let external = json!({"spec": {"type": "ExternalName", "externalName": "evil.example", "clusterIP": null, "clusterIPs": null,
        "ipFamilies": null, "ipFamilyPolicy": null}});
    cluster.patch::<Service>("heart", external).await?;
    let right = |service: &Service| {
        service.spec.as_ref().is_some_and(|spec| {
            let address = spec.cluster_ip.as_deref().unwrap_or_default();
            spec.type_.as_deref() == Some("ClusterIP")
                && !matches!(address, "" | "None")
                && spec.external_name.is_none()
        })
    };
    cluster.wait("heart", "with an address", right).await?;
    cluster
        .model_says(ConditionType::Ready, "True", "Serving")
        .await?;
    cluster.rest("heart-1").await
}

#[tokio::test]
async fn what_others_may_set_stays_and_nothing_is_written() -> Result<()> {
    let mut cluster = TestCluster::without_operator(None).await?;
    cluster.ignore_differences = serde_json::from_value(json!([
        {"kind": "Deployment", "path": "/spec/template/spec/tolerations"},
    ]))?;
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let restarted =
        json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-25T00:00:00Z"}}});
    cluster
        .patch::<Deployment>(
            "heart",
            json!({
                "metadata": {"labels": {"team": "a17"}, "annotations": {"example.com/note": "x"}},
                "spec": {"replicas": 3, "template": {
                    "metadata": restarted["metadata"], "spec": {"tolerations": [{"key": "a", "operator": "Exists"}]},
                }},
            }),
        )
        .await?;
    cluster
        .wait("heart", "3 of 3 Pods", |model: &Model| {
            model
                .status
                .as_ref()
                .is_some_and(|status| status.pods.as_deref() == Some("3/3"))
        })
        .await?;
    cluster.wait_live("heart-1").await?;
    cluster.rest("heart-1").await?;
    let deployment = serde_json::to_value(cluster.all::<Deployment>().get("heart").await?)?;
    assert_eq!(deployment["metadata"]["labels"]["team"], "a17");
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(
        deployment["spec"]["template"]["spec"]["tolerations"][0]["key"],
        "a"
    );
    assert_eq!(
        deployment["spec"]["template"]["metadata"]["annotations"],
        restarted["metadata"]["annotations"]
    );
    assert_eq!(cluster.metric("tampered_total", ""), 0.0);
    Ok(())
}

#[tokio::test]
async fn the_record_stays_when_the_last_version_goes_and_the_next_one_waits_for_an_approval() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let before = cluster.all::<Model>().get("heart").await?;
    ensure!(
        before.owner_references().is_empty(),
        "{:?}",
        before.owner_references()
    );
    cluster.delete::<ModelVersion>("heart-1").await?;
    cluster.wait_gone::<Deployment>("heart").await?;
    cluster.wait_gone::<Service>("heart").await?;
    let after = cluster
        .model_says(ConditionType::Ready, "False", "ServingVersionDeleted")
        .await?;
    assert_eq!(after.uid(), before.uid());
    let history = |model: &Model| model.status.as_ref().map(|status| status.history.clone());
    assert_eq!(history(&after), history(&before));
    cluster.apply_version("heart-2").await?;
    cluster
        .wait_says("heart-2", ConditionType::Ready, "True", "AwaitingPromotion")
        .await?;
    ensure!(
        cluster.all::<Deployment>().get_opt("heart").await?.is_none(),
        "it serves without an approval"
    );
    cluster.promote("heart-2").await?;
    cluster.wait_live("heart-2").await?;
    cluster.rest("heart-2").await
}

#[tokio::test]
async fn the_key_of_a_reconcile_that_failed_later_is_the_one_that_is_used() -> Result<()> {
    let mut cluster = TestCluster::without_operator(None).await?;
    cluster.calls.break_next("create", "deployments");
    cluster.start_operator().await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    ensure!(cluster.calls.has_broken(), "no Deployment was to be made");
    let mut calls = cluster.calls.all();
    calls.retain(|call| (call.verb, &*call.resource, call.status) == ("create", "secrets", 201));
    assert_eq!(calls.len(), 1, "{calls:?}");
    Ok(())
}

#[tokio::test]
async fn a_pod_that_only_looks_like_ours_is_deleted_and_a_secret_made_before_is_not_used() -> Result<()> {
    let cluster = TestCluster::open().await?;
    cluster
        .create::<k8s_openapi::api::core::v1::Secret>(json!({"metadata": {"name": "heart-modelward"}}))
        .await?;
    cluster.apply_version("heart-1").await?;
    cluster.wait_live("heart-1").await?;
    let model = cluster
        .all::<Model>()
        .get("heart")
        .await?
        .status
        .context("a status")?;
    let secret = model.key_secret.context("a Secret")?;
    ensure!(
        secret != "heart-modelward" && secret.ends_with("-modelward"),
        "{secret}"
    );
    let made = cluster
        .all::<k8s_openapi::api::core::v1::Secret>()
        .get(&secret)
        .await?;
    let recorded = model.children.iter().find(|child| child.kind == "Secret");
    assert_eq!(recorded.map(|child| child.uid.clone()), made.uid());

    let template = cluster.all::<Deployment>().get("heart").await?;
    let labels = serde_json::to_value(&template)?["spec"]["template"]["metadata"]["labels"].clone();
    cluster
        .create::<k8s_openapi::api::core::v1::Pod>(json!({
            "metadata": {"name": "evil", "labels": labels},
            "spec": {"containers": [{"name": "inference", "image": "evil:1"}]},
        }))
        .await?;
    cluster
        .wait_event("RoutesTampered", "Pod evil is deleted: no ReplicaSet made it")
        .await?;
    cluster.wait_live("heart-1").await?;
    Ok(())
}

#[tokio::test]
async fn another_image_reaches_one_model_after_the_other_and_stops_at_one_that_does_not_come_up() -> Result<()>
{
    let mut cluster = TestCluster::open().await?;
    for name in ["heart", "kidney", "liver"] {
        let mut version = crate::support::version(&format!("{name}-1"));
        version["spec"]["model"] = name.into();
        cluster.create::<ModelVersion>(version).await?;
        cluster.wait_live(&format!("{name}-1")).await?;
    }
    cluster.stop_operator().await?;
    cluster.fakes.pods(|pod| {
        if names(pod, "inference:bad") {
            PodEnd::Starts
        } else {
            PodEnd::Ready
        }
    });
    cluster.inference_image = "modelward/inference:bad".into();
    cluster.start_operator().await?;
    let images = async || -> Result<Vec<bool>> {
        let mut images = Vec::new();
        for name in ["heart", "kidney", "liver"] {
            images.push(names(
                &cluster.all::<Deployment>().get(name).await?,
                "inference:bad",
            ));
        }
        Ok(images)
    };
    until("one model with the new image", async || {
        Ok((images().await?.iter().filter(|new| **new).count() == 1).then_some(()))
    })
    .await?;
    let held = |model: &Model| names(&model.status, "AwaitingTurn");
    until("two models that wait", async || {
        let models = cluster
            .all::<Model>()
            .list(&kube::api::ListParams::default())
            .await?;
        Ok((models.iter().filter(|model| held(model)).count() == 2).then_some(()))
    })
    .await?;
    tokio::time::sleep(std::time::Duration::from_secs(12)).await;
    assert_eq!(
        images().await?.iter().filter(|new| **new).count(),
        1,
        "the others wait"
    );

    // It comes up: the next one follows, until all have it.
    cluster.fakes.pods(|_| PodEnd::Ready);
    until("every model with the new image", async || {
        Ok(images().await?.iter().all(|new| *new).then_some(()))
    })
    .await?;
    for name in ["heart", "kidney", "liver"] {
        cluster.wait_live(&format!("{name}-1")).await?;
        cluster
            .wait(name, "without a notice", |model: &Model| {
                !names(&model.status, "UpgradeHeld")
            })
            .await?;
    }
    Ok(())
}
