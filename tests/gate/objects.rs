//! Status of every kind, versions, the record of a model, and that the operator and the roles can do their work.

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    rbac::v1::ClusterRole,
};
use kube::{
    Api, Resource,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use modelward_crds::{
    ActionType, DriftReport, FIELD_MANAGER, Model, ModelVersion, RemediationAction,
    annotations::{CONFIRM_DELETE, CREATED_BY},
    gate::{MODELS, ORIGINS, STATUS, VERSIONS},
};
use modelward_kit::apiserver::User;
use serde_json::{Value, json};

use crate::support::{
    By, ELSEWHERE, Gate, Person, REMOVED, Tally, digest, in_namespace, object, of_object, plan, report_spec,
    version_spec,
};

/// What is the case is the operator's to say, of each kind.
pub async fn status(gate: &Gate, tally: &mut Tally) {
    let made = PostParams::default();
    let version = object::<ModelVersion>("heart-1", &version_spec());
    gate.of::<ModelVersion>(&gate.bob)
        .create(&made, &version)
        .await
        .unwrap();
    let model = object::<Model>("heart", &json!({}));
    gate.of::<Model>(&gate.operator)
        .create(&made, &model)
        .await
        .unwrap();
    let report = object::<DriftReport>("drift-1", &report_spec());
    tally.allowed(
        "bob asks for a report",
        gate.of::<DriftReport>(&gate.bob).create(&made, &report).await,
    );

    is_the_operators::<ModelVersion>(
        gate,
        tally,
        "heart-1",
        json!({"role": "Retired", "score": "F1 0.9999"}),
    )
    .await;
    is_the_operators::<Model>(gate, tally, "heart", json!({"serving": "heart-0", "pods": "9/9"})).await;
    is_the_operators::<DriftReport>(gate, tally, "drift-1", json!({"verdict": "NoDrift", "rows": 1})).await;
    is_the_operators::<RemediationAction>(
        gate,
        tally,
        "r1",
        json!({"plan": plan(&digest(0xe)), "approvals": "9/1"}),
    )
    .await;

    // Who looks after one namespace has no say in another, and the other way round.
    let elsewhere = |who: &Person| in_namespace::<ModelVersion>(who, ELSEWHERE);
    elsewhere(&gate.admin).create(&made, &version).await.unwrap();
    let role = Patch::Merge(json!({"status": {"role": "Retired"}}));
    let outcome = elsewhere(&gate.operator)
        .patch_status("heart-1", &PatchParams::default(), &role)
        .await;
    tally.refused(
        "a namespace that another operator looks after",
        By::Policy(STATUS),
        "is written by the operator",
        outcome,
    );
    let outcome = elsewhere(&gate.other_operator)
        .patch_status("heart-1", &PatchParams::default(), &role)
        .await;
    tally.allowed("the operator of that namespace", outcome);
}

/// Only the operator writes a status, in whatever way.
async fn is_the_operators<K: Resource<DynamicType = ()>>(
    gate: &Gate,
    tally: &mut Tally,
    name: &str,
    status: Value,
) {
    let kind = K::kind(&());
    for who in [&gate.bob, &gate.admin, &gate.other_operator] {
        let outcome = gate.write_status::<K>(who, name, status.clone(), false).await;
        let attack = format!("a forged status of a {kind} by {}", who.name);
        let words = format!("alone ({}), not by {}", gate.operator.name, who.name);
        tally.refused(&attack, By::Policy(STATUS), &words, outcome);
    }
    let apply = json!({"apiVersion": "modelward.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "status": status});
    let params = PatchParams::apply("bob").force();
    let outcome = gate
        .of::<K>(&gate.bob)
        .patch_status(name, &params, &Patch::Apply(&apply))
        .await;
    let attack = format!("a forged status of a {kind} by server-side apply");
    tally.refused(&attack, By::Policy(STATUS), "is written by the operator", outcome);
    let mut whole = gate.of::<K>(&gate.bob).get(name).await.unwrap();
    whole.data["status"] = status.clone();
    let outcome = gate
        .of::<K>(&gate.bob)
        .replace_status(name, &PostParams::default(), &whole)
        .await;
    let attack = format!("a forged status of a {kind} by a whole object");
    tally.refused(&attack, By::Policy(STATUS), "is written by the operator", outcome);
    // A status in a write of the object itself does not count.
    let outcome = gate
        .patch::<K>(&gate.bob, name, json!({"status": status}), false)
        .await;
    let left = outcome.map(|object| object.data.get("status").cloned());
    let holds = matches!(&left, Ok(found) if found.as_ref().is_none_or(|found| *found != status));
    tally.holds(
        &format!("a status in a write of the {kind}"),
        holds,
        "the API server drops it",
    );
    let outcome = gate.write_status::<K>(&gate.operator, name, status, false).await;
    tally.allowed(&format!("the operator writes the status of a {kind}"), outcome);
}

/// Who made a version stays known; one that is Live is not deleted by accident.
pub async fn versions(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(VERSIONS);
    let bob = gate.of::<ModelVersion>(&gate.bob);
    let made_by = async |name: &str| of_object(&bob.get(name).await.unwrap(), CREATED_BY);
    let made = PostParams::default();

    // --- who made it
    tally.is(
        "who made a version is stamped",
        &made_by("heart-1").await,
        &"bob".to_owned(),
    );
    let mut forged = object::<ModelVersion>("heart-2", &version_spec());
    forged.metadata.annotations = Some([(CREATED_BY.to_owned(), "alice".to_owned())].into());
    tally.allowed(
        "bob's claim to be alice is overwritten",
        bob.create(&made, &forged).await,
    );
    tally.is("bob it is", &made_by("heart-2").await, &"bob".to_owned());
    for who in [&gate.bob, &gate.admin] {
        let forged = json!({"metadata": {"annotations": {CREATED_BY: "alice"}}});
        let outcome = gate.patch::<ModelVersion>(who, "heart-2", forged, false).await;
        let attack = format!("{} makes alice the maker", who.name);
        tally.refused(
            &attack,
            by,
            "modelward.io/created-by says who made this version and cannot be changed",
            outcome,
        );
    }
    let removed = json!({"metadata": {"annotations": {CREATED_BY: null}}});
    gate.patch::<ModelVersion>(&gate.bob, "heart-2", removed, false)
        .await
        .unwrap();
    tally.holds(
        "bob takes the maker away",
        made_by("heart-2").await == "bob",
        "the API server puts it back",
    );

    // --- files that are applied again and again
    let file = json!({"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "heart-3"}, "spec": version_spec()});
    for arguments in [
        &["apply", "-f", "-"][..],
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &["replace", "-f", "-"],
    ] {
        for time in ["once", "again"] {
            let (done, said) = gate.kubectl(User::Bob, arguments, &file.to_string());
            tally.is(
                &format!("kubectl {} {time}", arguments.join(" ")),
                &(done, if done { "" } else { &said }),
                &(true, ""),
            );
        }
    }
    tally.is(
        "and its maker is known",
        &made_by("heart-3").await,
        &"bob".to_owned(),
    );

    // --- what it is
    let seed = json!({"spec": {"source": {"training": {"validation": {"seed": 8}}}}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-2", seed, false)
        .await;
    tally.refused(
        "bob changes what was trained",
        By::Schema,
        "source is immutable",
        outcome,
    );
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-2", json!({"spec": {"model": "stroke"}}), false)
        .await;
    tally.refused(
        "bob gives a version to another model",
        By::Schema,
        "model is immutable",
        outcome,
    );
    let serving =
        json!({"spec": {"serving": {"replicas": {"min": 3}, "resources": {"limits": {"memory": "1Gi"}}}}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-2", serving, false)
        .await;
    tally.allowed("bob changes replicas and resources", outcome);

    // --- deleting what is Live
    live(gate, "heart-2").await;
    let uid = bob.get("heart-2").await.unwrap().metadata.uid.unwrap();
    let how = format!(
        "heart-2 answers requests. To delete it all the same, type this first: kubectl annotate --overwrite --namespace {} mv/heart-2 modelward.io/confirm-delete={uid}",
        gate.namespace
    );
    for who in [&gate.bob, &gate.admin, &gate.operator] {
        let outcome = gate.delete::<ModelVersion>(who, "heart-2").await;
        tally.refused(&format!("{} deletes what answers", who.name), by, &how, outcome);
    }
    let outcome = bob
        .delete_collection(
            &DeleteParams::default(),
            &ListParams::default().fields("metadata.name=heart-2"),
        )
        .await;
    tally.refused("bob deletes every version", by, &how, outcome);
    let confirm = async |value: &str| {
        let value = if value == REMOVED {
            Value::Null
        } else {
            json!(value)
        };
        let annotate = json!({"metadata": {"annotations": {CONFIRM_DELETE: value}}});
        gate.patch::<ModelVersion>(&gate.bob, "heart-2", annotate, false)
            .await
    };
    let words = "modelward.io/confirm-delete is the uid of the version that may be deleted, and has no effect otherwise. Type: kubectl annotate";
    for value in ["true", "heart-2", "", &uid[..35]] {
        let outcome = confirm(value).await;
        tally.refused(&format!("a confirmation that says {value:?}"), by, words, outcome);
    }
    let outcome = gate.delete::<ModelVersion>(&gate.bob, "heart-2").await;
    tally.refused("bob deletes what he has not confirmed", by, &how, outcome);
    let absent = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-2", absent.clone(), false)
        .await;
    tally.refused(
        "bob gives what answers to the collector",
        By::AnyOf(&[VERSIONS, ORIGINS]),
        "owner",
        outcome,
    );

    // The refusal is to be typed as it stands.
    let error = gate
        .delete::<ModelVersion>(&gate.bob, "heart-2")
        .await
        .unwrap_err()
        .to_string();
    let typed = error
        .split_once("type this first: kubectl ")
        .map(|(_, line)| line.split(':').next().unwrap_or_default());
    let typed: Vec<_> = typed.unwrap_or_default().split_whitespace().collect();
    let (done, said) = gate.kubectl(User::Bob, &typed, "");
    tally.is(
        "what the refusal says can be typed",
        &(done, said.trim()),
        &(true, "modelversion.modelward.io/heart-2 annotated"),
    );
    tally.allowed(
        "confirmed, it is deleted",
        gate.delete::<ModelVersion>(&gate.bob, "heart-2").await,
    );

    let mut again = object::<ModelVersion>("heart-2", &version_spec());
    again.metadata.annotations = Some([(CONFIRM_DELETE.to_owned(), uid)].into());
    bob.create(&made, &again).await.unwrap();
    live(gate, "heart-2").await;
    let outcome = gate.delete::<ModelVersion>(&gate.bob, "heart-2").await;
    tally.refused(
        "the confirmation of a former namesake",
        by,
        "heart-2 answers requests",
        outcome,
    );
    tally.allowed(
        "the garbage collector deletes it",
        gate.delete::<ModelVersion>(&gate.collector, "heart-2").await,
    );
    bob.create(&made, &object::<ModelVersion>("heart-2", &version_spec()))
        .await
        .unwrap();
    live(gate, "heart-2").await;
    let outcome = gate
        .delete::<ModelVersion>(&gate.namespace_controller, "heart-2")
        .await;
    tally.allowed("the namespace controller deletes it", outcome);
    bob.create(&made, &object::<ModelVersion>("heart-2", &version_spec()))
        .await
        .unwrap();
    let serving = json!({"type": "Serving", "status": "False", "reason": "RolloutInProgress", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    gate.write_status::<ModelVersion>(
        &gate.operator,
        "heart-2",
        json!({"role": "Candidate", "conditions": [serving]}),
        false,
    )
    .await
    .unwrap();
    let outcome = gate.delete::<ModelVersion>(&gate.bob, "heart-2").await;
    tally.refused(
        "bob deletes what is being rolled out",
        by,
        "heart-2 is being rolled out. To delete it",
        outcome,
    );
    gate.delete::<ModelVersion>(&gate.namespace_controller, "heart-2")
        .await
        .unwrap();
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-3", absent, true)
        .await;
    tally.refused(
        "bob gives a version that answers nothing to the collector",
        By::Policy(ORIGINS),
        "only the operator sets metadata.ownerReferences of a ModelVersion, a Model and a report on a window, also at its creation",
        outcome,
    );
    tally.allowed(
        "a version that answers nothing is deleted",
        gate.delete::<ModelVersion>(&gate.bob, "heart-3").await,
    );
}

async fn live(gate: &Gate, name: &str) {
    gate.write_status::<ModelVersion>(&gate.operator, name, json!({"role": "Live"}), false)
        .await
        .unwrap();
}

/// The record of a model is the operator's.
pub async fn models(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(MODELS);
    for who in [&gate.bob, &gate.admin, &gate.other_operator] {
        let model = object::<Model>("stroke", &json!({}));
        let outcome = gate.of::<Model>(who).create(&PostParams::default(), &model).await;
        tally.refused(
            &format!("{} makes a record", who.name),
            by,
            "only the operator makes a Model, when its first version appears",
            outcome,
        );
    }
    let absent = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]);
    for (attack, metadata) in [
        (
            "bob gives the record to the collector",
            json!({"ownerReferences": absent}),
        ),
        (
            "bob wedges the record",
            json!({"finalizers": ["example.com/wedge"]}),
        ),
    ] {
        let outcome = gate
            .patch::<Model>(&gate.bob, "heart", json!({"metadata": metadata}), false)
            .await;
        tally.refused(attack, By::AnyOf(&[MODELS, ORIGINS]), "the operator set", outcome);
    }
    for paused in [true, false] {
        let outcome = gate
            .patch::<Model>(&gate.bob, "heart", json!({"spec": {"paused": paused}}), false)
            .await;
        tally.allowed(&format!("bob sets paused to {paused}"), outcome);
    }
}

/// Everything that the operator writes of these kinds, in the way in which it does.
pub async fn the_operators_work(gate: &Gate, tally: &mut Tally) {
    let operator = &gate.operator;
    let version = gate.of::<ModelVersion>(operator).get("heart-1").await.unwrap();
    let owner = json!([{"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "name": "heart-1", "uid": version.metadata.uid}]);
    let mut model = object::<Model>("stroke", &json!({"paused": false}));
    model.metadata.owner_references = serde_json::from_value(owner.clone()).unwrap();
    let made = gate
        .of::<Model>(operator)
        .create(&PostParams::default(), &model)
        .await;
    let made = tally
        .allowed("the operator makes a Model that a version owns", made)
        .unwrap();
    let owners = json!({"metadata": {"uid": made.metadata.uid, "resourceVersion": made.metadata.resource_version, "ownerReferences": []}});
    tally.allowed(
        "the operator changes its owners",
        gate.patch::<Model>(operator, "stroke", owners, false).await,
    );
    let outcome = applied::<Model>(gate, "stroke", json!({"serving": "heart-1", "routes": []})).await;
    tally.allowed("the operator applies the status of a Model", outcome);
    let outcome = applied::<ModelVersion>(gate, "heart-1", json!({"role": "Live"})).await;
    tally.allowed("the operator applies the status of a ModelVersion", outcome);
    // Foreground deletion: the collector takes owners away before their dependents go.
    let outcome = gate
        .patch::<Model>(
            &gate.collector,
            "stroke",
            json!({"metadata": {"ownerReferences": owner}}),
            true,
        )
        .await;
    tally.allowed("the garbage collector changes the owners of a Model", outcome);
    let served = json!({"history": [{"version": "stroke-1", "uid": "u", "digest": digest(1), "since": "2026-01-01T00:00:00Z"}]});
    gate.write_status::<Model>(operator, "stroke", served, false)
        .await
        .unwrap();
    tally.refused(
        "the operator deletes the record of a model that served",
        By::Policy(MODELS),
        "the record of the Model stroke is kept: it says what served and who approved it",
        gate.delete::<Model>(operator, "stroke").await,
    );
    tally.allowed(
        "the garbage collector deletes a Model",
        gate.delete::<Model>(&gate.collector, "stroke").await,
    );
    let retrained = object::<ModelVersion>("heart-4", &version_spec());
    let outcome = gate
        .of::<ModelVersion>(operator)
        .create(&PostParams::default(), &retrained)
        .await;
    let stamped = tally
        .allowed("the operator makes a version", outcome)
        .map(|made| of_object(&made, CREATED_BY));
    tally.is(
        "whose maker is the operator",
        &stamped,
        &Some(operator.name.clone()),
    );
    let labels = json!({"metadata": {"labels": {"modelward.io/model": "heart"}}});
    let outcome = gate
        .patch::<RemediationAction>(operator, "r1", labels, false)
        .await;
    tally.allowed("the operator labels an action that was decided on", outcome);
}

/// A status as the operator writes it.
async fn applied<K: Resource<DynamicType = ()>>(
    gate: &Gate,
    name: &str,
    status: Value,
) -> Result<DynamicObject, kube::Error> {
    let object = gate.of::<K>(&gate.operator).get(name).await?;
    let body = json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": K::kind(&()),
        "metadata": {"name": name, "uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version},
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    gate.of::<K>(&gate.operator)
        .patch_status(name, &params, &Patch::Apply(&body))
        .await
}

/// Nothing of approval comes with the roles that people have anyway, nor with the operator's own.
pub async fn roles(gate: &Gate, tally: &mut Tally) {
    let roles = Api::<ClusterRole>::all(gate.admin.client.clone())
        .list(&ListParams::default())
        .await
        .unwrap();
    let on_actions: Vec<(String, bool)> = roles
        .items
        .iter()
        .filter(|role| {
            let rules = role.rules.iter().flatten();
            let mut ours = rules.filter(|rule| {
                rule.api_groups
                    .iter()
                    .flatten()
                    .any(|group| group == "modelward.io")
            });
            ours.any(|rule| {
                rule.resources
                    .iter()
                    .flatten()
                    .any(|resource| ["actions", "*"].contains(&&**resource))
            })
        })
        .map(|role| {
            let aggregated = role
                .metadata
                .labels
                .iter()
                .flatten()
                .any(|(label, _)| label.contains("aggregate-to"));
            (role.metadata.name.clone().unwrap_or_default(), aggregated)
        })
        .collect();
    let ours = [
        "modelward-approver",
        "modelward-operator",
        "modelward-proposer",
        "proposing-operator",
    ];
    tally.is(
        "no role but these names actions, and none is aggregated",
        &on_actions,
        &ours.map(|name| (name.to_owned(), false)).to_vec(),
    );
    for (role, label) in [
        ("modelward-viewer", "aggregate-to-view"),
        ("modelward-editor", "aggregate-to-edit"),
    ] {
        let found = roles
            .items
            .iter()
            .find(|found| found.metadata.name.as_deref() == Some(role));
        let labels = found
            .and_then(|role| role.metadata.labels.clone())
            .unwrap_or_default();
        let is = labels.contains_key(&format!("rbac.authorization.k8s.io/{label}"));
        tally.is(&format!("{role} has {label}"), &is, &true);
    }
    for kind in ActionType::ALL {
        for (who, verb, may) in [
            (&gate.operator, "approve", false),
            (&gate.carol, "approve", true),
            (&gate.carol, "propose", false),
            (&gate.dave, "propose", true),
            (&gate.bob, "approve", false),
            (&gate.bob, "delete", false),
        ] {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(ResourceAttributes {
                        group: Some("modelward.io".into()),
                        resource: Some("actions".into()),
                        name: Some(kind.as_str().into()),
                        namespace: Some(gate.namespace.clone()),
                        verb: Some(verb.into()),
                        ..ResourceAttributes::default()
                    }),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let answer = Api::all(who.client.clone())
                .create(&PostParams::default(), &review)
                .await
                .unwrap();
            let allowed = answer.status.is_some_and(|status| status.allowed);
            let not = if may { "may" } else { "may not" };
            tally.is(
                &format!("{} {not} {verb} {}", who.name, kind.as_str()),
                &allowed,
                &may,
            );
        }
    }
}
