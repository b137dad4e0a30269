//! Who made, changed and ends what, what people may write beside it, and where a version comes from.

use kube::api::{DeleteParams, PostParams};
use modelward_crds::{
    ActionType::{PromoteModel, RetrainModel},
    DriftReport, Model, ModelVersion, RemediationAction,
    annotations::{APPROVE, CHANGED_BY_PREFIX, COMMENT, CREATED_BY, MOST_CHANGERS, REJECT},
    gate::{DECISIONS, MODELS, ORIGINS, RECORDS, VERSIONS},
};
use modelward_kit::apiserver::User;
use serde_json::{Value, json};

use crate::support::{
    By, Gate, Person, Tally, action, decision, digest, object, of_object, plan, report_spec, version_spec,
};

fn changed_by(number: usize) -> String {
    format!("{CHANGED_BY_PREFIX}{number}")
}

fn replicas(min: i64) -> Value {
    json!({"spec": {"serving": {"replicas": {"min": min, "max": 20}}}})
}

/// Who makes a version and who changes it.
pub async fn makers_and_editors(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(VERSIONS);
    let admin = &gate.admin;
    gate.of::<ModelVersion>(&gate.bob)
        .create(
            &PostParams::default(),
            &object::<ModelVersion>("edited-1", &version_spec()),
        )
        .await
        .unwrap();
    let patched =
        async |who: &Person, patch: Value| gate.patch::<ModelVersion>(who, "edited-1", patch, false).await;
    let recorded = async || {
        let version = gate.of::<ModelVersion>(admin).get("edited-1").await.unwrap();
        (1..=3)
            .map(|number| of_object(&version, &changed_by(number)))
            .collect::<Vec<_>>()
    };
    tally.allowed("admin changes spec", patched(admin, replicas(2)).await);
    tally.allowed("bob changes spec", patched(&gate.bob, replicas(3)).await);
    tally.allowed("admin changes spec again", patched(admin, replicas(4)).await);
    tally.allowed(
        "admin annotates",
        patched(admin, json!({"metadata": {"annotations": {"team": "x"}}})).await,
    );
    let both = vec![admin.name.clone(), "bob".to_owned(), String::new()];
    tally.is(
        "each who changed spec is recorded once, in order",
        &recorded().await,
        &both,
    );

    let file = json!({"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "edited-1"}, "spec": version_spec()});
    let (done, said) = gate.kubectl(User::Bob, &["replace", "-f", "-"], &file.to_string());
    tally.is(
        "kubectl replace without the record",
        &(done, if done { "" } else { &said }),
        &(true, ""),
    );
    tally.is("keeps it", &recorded().await, &both);

    let next = changed_by(3);
    for (attack, patch, words) in [
        (
            "writes another user",
            json!({"metadata": {"annotations": {&next: "alice"}}, "spec": replicas(5)["spec"]}),
            "record who changed spec, once for each user",
        ),
        (
            "writes a user without a change",
            json!({"metadata": {"annotations": {&next: "alice"}}}),
            "do not add changed-by.modelward.io/3",
        ),
        (
            "changes the record",
            json!({"metadata": {"annotations": {changed_by(1): "alice"}}}),
            "record who changed this version: leave them unchanged",
        ),
        (
            "leaves a gap",
            json!({"metadata": {"annotations": {changed_by(9): "bob"}}, "spec": replicas(5)["spec"]}),
            "record who changed spec",
        ),
    ] {
        tally.refused(
            &format!("bob {attack}"),
            by,
            words,
            patched(&gate.bob, patch).await,
        );
    }
    let carol = Person::impersonated(gate.api, "erin # bob", &["system:masters"]);
    tally.allowed(
        "a user with an odd name changes spec",
        patched(&carol, replicas(6)).await,
    );
    tally.is(
        "the whole name is recorded",
        &recorded().await[2],
        &"erin # bob".to_owned(),
    );
    let mut born = object::<ModelVersion>("edited-2", &version_spec());
    born.metadata.annotations = Some([(changed_by(1), "alice".to_owned())].into());
    let outcome = gate
        .of::<ModelVersion>(&gate.bob)
        .create(&PostParams::default(), &born)
        .await;
    tally.refused(
        "a version made with changes on it",
        by,
        "a new version has no changes yet",
        outcome,
    );

    for number in 4..=MOST_CHANGERS {
        let user = Person::impersonated(gate.api, &format!("user-{number}"), &["system:masters"]);
        patched(&user, replicas(i64::try_from(number).unwrap()))
            .await
            .unwrap();
    }
    let last = Person::impersonated(gate.api, "one-too-many", &["system:masters"]);
    tally.refused(
        "one user more than there is room for",
        by,
        "16 different users have changed this version",
        patched(&last, replicas(19)).await,
    );
    tally.allowed(
        "who is recorded changes it again",
        patched(&gate.bob, replicas(1)).await,
    );

    // A number without quotes: the field is named.
    let mut unquoted = version_spec();
    unquoted["source"]["training"]["gates"] = json!([{"metric": "RocAuc", "atLeast": 0.75}]);
    let mut file = json!({"apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "unquoted"}, "spec": unquoted});
    let (done, said) = gate.kubectl(User::Bob, &["create", "-f", "-"], &file.to_string());
    let named =
        said.contains("spec.source.training.gates[0].atLeast") && said.contains("must be of type string");
    tally.holds(
        "a number without quotes",
        !done && named && !said.contains("failed to convert"),
        &said,
    );
    file["spec"]["source"]["training"]["gates"][0]["atLeast"] = "0.75".into();
    let (done, said) = gate.kubectl(User::Bob, &["create", "-f", "-"], &file.to_string());
    tally.is(
        "with quotes it is made",
        &(done, if done { "" } else { &said }),
        &(true, ""),
    );

    behind_service_accounts(gate, tally).await;
}

/// A version of a service account is not approved by a person who may act as that account.
async fn behind_service_accounts(gate: &Gate, tally: &mut Tally) {
    let account = gate.ci.name.clone();
    let mut excluding = plan(&digest(0x70));
    excluding["excludedApprovers"] = json!([account, gate.operator.name]);
    gate.propose(&gate.operator, "by-ci", PromoteModel, &[])
        .await
        .unwrap();
    gate.write_status::<RemediationAction>(&gate.operator, "by-ci", json!({"plan": excluding}), false)
        .await
        .unwrap();
    let outcome = gate.annotate(&gate.admin, "by-ci", &[(APPROVE, "true")]).await;
    let words = format!(
        "{account} proposed this action, or created or changed the version, and admin may act as that service account"
    );
    tally.refused(
        "who may create tokens of the maker approves",
        By::Policy(DECISIONS),
        &words,
        outcome,
    );
    tally.allowed(
        "who may not, approves",
        gate.annotate(&gate.carol, "by-ci", &[(APPROVE, "true")]).await,
    );
    tally.allowed(
        "who may, rejects",
        gate.annotate(&gate.admin, "by-ci", &[(REJECT, "true")]).await,
    );
    // A Pod of her own, or a Secret of that type, has a token of the account too.
    for (name, resource) in [("pat", "pods"), ("quinn", "secrets")] {
        let person = Person::impersonated(gate.api, name, &[]);
        let namespace = account.split(':').nth(2).unwrap_or_default();
        assert_eq!(namespace, gate.namespace, "the account is one of this namespace");
        let rules = json!([
            {"apiGroups": ["modelward.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": [resource], "verbs": ["create"]},
        ]);
        gate.bind_rules(&person, rules).await;
        let outcome = gate.annotate(&person, "by-ci", &[(APPROVE, "true")]).await;
        let words = format!("{name} may act as that service account");
        let attack = format!("who may create {resource} beside the maker approves");
        tally.refused(&attack, By::Policy(DECISIONS), &words, outcome);
    }
}

/// Annotations, labels, their room, and user names that look like others.
pub async fn records(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(RECORDS);
    let planned = digest(0x60);
    gate.planned("noted", RetrainModel, &planned).await;
    for (key, words) in [
        ("modelward.io/approved", "did you mean modelward.io/approve?"),
        ("modelward.io/Approve", "did you mean modelward.io/approve?"),
        ("modelward.io/aprove", "did you mean modelward.io/approve?"),
        ("modelward.io/rejected", "did you mean modelward.io/reject?"),
        ("modelward.io/comments", "did you mean modelward.io/comment?"),
        ("modelward.dev/approve", "did you mean modelward.io/approve?"),
        ("modelward/approve", "did you mean modelward.io/approve?"),
        ("modelwards.io/approve", "did you mean modelward.io/approve?"),
        ("modleward.io/approve", "did you mean modelward.io/approve?"),
        ("model-ward.io/reject", "did you mean modelward.io/reject?"),
        ("modelword.io/reject", "did you mean modelward.io/reject?"),
        ("modelward-io/approve", "did you mean modelward.io/approve?"),
        ("modelward.io.approve", "did you mean modelward.io/approve?"),
        ("modelward-approve", "did you mean modelward.io/approve?"),
        (
            "approvals.modelward.io/1",
            "is not an annotation of remediationactions",
        ),
        ("approve", "did you mean modelward.io/approve?"),
        (
            "modelward.io/confirm-delete",
            "did you mean modelward.io/confirm-delete, which goes on modelversions?",
        ),
        (
            "modelward.io/priority",
            "Known: modelward.io/approve, modelward.io/reject",
        ),
    ] {
        let outcome = gate.annotate(&gate.bob, "noted", &[(key, "true")]).await;
        tally.refused(&format!("bob annotates {key}"), by, words, outcome);
    }
    let annotate = json!({"metadata": {"annotations": {"modelward.io/approve": "true"}}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-1", annotate.clone(), false)
        .await;
    tally.refused(
        "bob approves a version",
        by,
        "did you mean modelward.io/approve, which goes on remediationactions?",
        outcome,
    );
    for key in [
        "modelward.io/confirm-deletion",
        "modelward.io/confirmdelete",
        "modelward.io/Confirm-Delete",
        "modelward.io/delete",
        "modelword.io/confirm-delete",
    ] {
        let mistyped = json!({"metadata": {"annotations": {key: "heart-1"}}});
        let outcome = gate
            .patch::<ModelVersion>(&gate.bob, "heart-1", mistyped, false)
            .await;
        let words = "did you mean modelward.io/confirm-delete?";
        tally.refused(&format!("bob annotates a version with {key}"), by, words, outcome);
    }
    let outcome = gate
        .patch::<Model>(&gate.bob, "heart", annotate.clone(), false)
        .await;
    tally.refused(
        "bob approves a Model",
        by,
        "No annotation of modelward.io is known there",
        outcome,
    );
    let outcome = gate
        .patch::<DriftReport>(&gate.bob, "drift-1", annotate, false)
        .await;
    tally.refused(
        "bob approves a report",
        by,
        "which goes on remediationactions?",
        outcome,
    );
    let mut report = object::<DriftReport>("drift-2", &report_spec());
    report.metadata.annotations = Some([("modelward.io/confirm".to_owned(), "x".to_owned())].into());
    let outcome = gate
        .of::<DriftReport>(&gate.bob)
        .create(&PostParams::default(), &report)
        .await;
    tally.refused(
        "bob makes a report with one",
        by,
        "did you mean modelward.io/confirm-delete, which goes on modelversions?",
        outcome,
    );

    let label = json!({"metadata": {"labels": {"modelward.io/model": "stroke"}}});
    let outcome = gate
        .patch::<RemediationAction>(&gate.bob, "noted", label.clone(), false)
        .await;
    tally.refused(
        "bob labels an action as of another model",
        by,
        "only the operator sets and removes labels of modelward.io",
        outcome,
    );
    let outcome = gate
        .patch::<RemediationAction>(&gate.operator, "noted", label, false)
        .await;
    tally.allowed("the operator labels it", outcome);
    let unlabel = json!({"metadata": {"labels": {"modelward.io/model": null}}});
    let outcome = gate
        .patch::<RemediationAction>(&gate.bob, "noted", unlabel, false)
        .await;
    tally.refused(
        "bob takes the label off",
        by,
        "leave modelward.io/model unchanged",
        outcome,
    );
    let label = json!({"metadata": {"labels": {"team": "cardiology"}, "annotations": {"example.com/note": "x", "model.example.com/approve": "x"}}});
    let outcome = gate
        .patch::<RemediationAction>(&gate.bob, "noted", label, false)
        .await;
    tally.allowed("bob labels and annotates with his own prefix", outcome);

    // However much bob writes, sixteen decisions of the greatest length fit.
    let words = "annotations may have 32768 characters in all, so that there is room for decisions";
    let outcome = gate
        .annotate(&gate.bob, "noted", &[("a", &"é".repeat(40_000))])
        .await;
    tally.refused("bob fills the annotations", by, words, outcome);
    let outcome = gate
        .annotate(&gate.bob, "noted", &[("a", &"é".repeat(32_000))])
        .await;
    tally.allowed("bob writes as much as he may", outcome);
    let many: serde_json::Map<String, Value> = (0..200)
        .map(|number| (format!("l{number}"), "x".repeat(60).into()))
        .collect();
    let outcome = gate
        .patch::<RemediationAction>(&gate.bob, "noted", json!({"metadata": {"labels": many}}), false)
        .await;
    tally.refused(
        "bob fills the labels",
        by,
        "labels may have 8192 characters in all",
        outcome,
    );
    let head = format!("approve {planned} {}", gate.carol.name).chars().count() + 3;
    for number in 1..=16_u32 {
        gate.plan("noted", &digest(0x60 + number)).await.unwrap();
        let comment = "é".repeat(512 - head);
        let decides = if number <= 14 { APPROVE } else { REJECT };
        let who = if number == 16 { &gate.dave } else { &gate.carol };
        // The word reject is a letter shorter and dave's name is too: what is left of the room stays empty.
        let outcome = gate
            .annotate(who, "noted", &[(decides, "true"), (COMMENT, &comment)])
            .await;
        tally.allowed(&format!("decision {number} of 512 characters fits"), outcome);
    }

    // --- names
    gate.planned("names", RetrainModel, &digest(0x90)).await;
    let words = "could be read as another one in a record of decisions";
    for name in [
        "alice #",
        "alice # carol",
        "alice  b",
        "alice\u{a0}",
        "alice\u{200b}",
        "al\tice",
        "alice #x",
    ] {
        let mask = Person::impersonated(gate.api, name, &["system:masters"]);
        for annotations in [
            vec![(APPROVE, "true")],
            vec![(APPROVE, "true"), (COMMENT, "fine")],
        ] {
            let outcome = gate.annotate(&mask, "names", &annotations).await;
            if matches!(&outcome, Err(kube::Error::Api(status)) if status.message.contains(words)) {
                tally.refused(
                    &format!("{name:?} decides"),
                    By::Policy(DECISIONS),
                    words,
                    outcome,
                );
            } else {
                // A header takes no such name: the API server sees another one, and nothing of it may be recorded as alice.
                let found = gate.annotation("names", &decision(1)).await;
                tally.holds(
                    &format!("{name:?} decides"),
                    !found.contains(" alice"),
                    &format!("{outcome:?}"),
                );
            }
        }
    }
    let mask = Person::impersonated(gate.api, "Alice Smith", &["system:masters"]);
    let outcome = gate
        .annotate(&mask, "names", &[(APPROVE, "true"), (COMMENT, "fine")])
        .await;
    tally.allowed("a name of two words decides", outcome);
}

/// Provenance, owners, finalizers, and the end of a model.
pub async fn origins(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(ORIGINS);
    let made = PostParams::default();
    let uid = "00000000-0000-0000-0000-000000000000";
    let mut spec = version_spec();
    spec["provenance"] =
        json!({"action": {"name": "r1", "uid": uid}, "parent": {"name": "heart-1", "uid": uid}});
    let forged = object::<ModelVersion>("forged-1", &spec);
    for who in [&gate.bob, &gate.admin] {
        let outcome = gate.of::<ModelVersion>(who).create(&made, &forged).await;
        tally.refused(&format!("{} makes the version of an approved action", who.name), by, "spec.provenance says which approved action made a version, and only the operator sets it: leave it out", outcome);
    }
    let outcome = gate
        .of::<ModelVersion>(&gate.operator)
        .create(&made, &forged)
        .await;
    tally.allowed("the operator makes the version of an action", outcome);
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": uid}]);
    let mut owned = object::<ModelVersion>("forged-2", &version_spec());
    owned.metadata.owner_references = serde_json::from_value(owner).unwrap();
    let outcome = gate.of::<ModelVersion>(&gate.bob).create(&made, &owned).await;
    tally.refused(
        "a version made with an owner",
        by,
        "also at its creation",
        outcome,
    );
    let mut wedged = object::<ModelVersion>("forged-2", &version_spec());
    wedged.metadata.finalizers = Some(vec!["example.com/wedge".into()]);
    let outcome = gate.of::<ModelVersion>(&gate.bob).create(&made, &wedged).await;
    tally.refused(
        "a version made with a finalizer",
        by,
        "only Kubernetes and the operator set metadata.finalizers",
        outcome,
    );
    let wedge = json!({"metadata": {"finalizers": ["orphan"]}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "forged-1", wedge.clone(), false)
        .await;
    tally.refused(
        "the finalizer that orphans",
        by,
        "only Kubernetes and the operator set metadata.finalizers",
        outcome,
    );
    let outcome = gate
        .patch::<DriftReport>(&gate.bob, "drift-1", wedge, false)
        .await;
    tally.refused(
        "a report that cannot be deleted",
        by,
        "only Kubernetes and the operator set metadata.finalizers",
        outcome,
    );
    reports_stay(gate, tally).await;
    let foreground = DeleteParams::foreground();
    let outcome = gate
        .of::<ModelVersion>(&gate.bob)
        .delete("forged-1", &foreground)
        .await;
    tally.allowed(
        "a version is deleted with what it owns, in the foreground",
        outcome,
    );

    let ended = json!({"metadata": {"finalizers": null}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.collector, "forged-1", ended, false)
        .await;
    tally.allowed("the garbage collector ends that deletion", outcome);

    // --- ending a model for good
    let by = By::Policy(MODELS);
    for name in ["ended", "kept", "mistyped"] {
        let model = object::<Model>(name, &json!({}));
        gate.of::<Model>(&gate.operator)
            .create(&made, &model)
            .await
            .unwrap();
    }
    let served = json!({"history": [{"version": "kept-1", "uid": uid, "digest": digest(1), "since": "2026-01-01T00:00:00Z"}]});
    gate.write_status::<Model>(&gate.operator, "kept", served, false)
        .await
        .unwrap();
    let words = "To stop serving, delete the ModelVersions of the model. Ending the model for good takes the verb end on models.modelward.io in namespace";
    let deleter = Person::impersonated(gate.api, "frank", &[]);
    let ender = Person::impersonated(gate.api, "grace", &[]);
    gate.bind_rules(&deleter, json!([{"apiGroups": ["modelward.io"], "resources": ["models"], "verbs": ["get", "list", "delete", "deletecollection"]}]))
        .await;
    gate.bind_rules(&ender, json!([
        {"apiGroups": ["modelward.io"], "resources": ["models"], "verbs": ["get", "list", "delete", "deletecollection"]},
        {"apiGroups": ["modelward.io"], "resources": ["models"], "resourceNames": ["ended"], "verbs": ["end"]},
    ]))
    .await;
    for (who, name) in [(&deleter, "ended"), (&ender, "kept"), (&gate.operator, "kept")] {
        let outcome = gate.delete::<Model>(who, name).await;
        tally.refused(&format!("{} ends {name}", who.name), by, words, outcome);
    }
    let all = gate
        .of::<Model>(&deleter)
        .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
        .await;
    tally.refused("frank ends all models", by, words, all);
    tally.refused(
        "frank ends one that never served",
        by,
        words,
        gate.delete::<Model>(&deleter, "mistyped").await,
    );
    tally.allowed(
        "the operator deletes the record of a model that never served",
        gate.delete::<Model>(&gate.operator, "mistyped").await,
    );
    tally.allowed(
        "grace ends the one that she may",
        gate.delete::<Model>(&ender, "ended").await,
    );
    tally.allowed(
        "the namespace controller takes one away",
        gate.delete::<Model>(&gate.namespace_controller, "kept").await,
    );
}

/// What the operator reported on windows is not erased; a report that a user asked for is the user's.
async fn reports_stay(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(ORIGINS);
    let model = gate.of::<Model>(&gate.operator).get("heart").await.unwrap();
    let owner = json!([{"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": "heart", "uid": model.metadata.uid, "controller": true}]);
    let mut report = object::<DriftReport>("window-1", &report_spec());
    report.metadata.owner_references = serde_json::from_value(owner.clone()).unwrap();
    let made = PostParams::default();
    let outcome = gate.of::<DriftReport>(&gate.bob).create(&made, &report).await;
    tally.refused(
        "bob makes a report of a window",
        by,
        "only the operator sets metadata.ownerReferences",
        outcome,
    );
    gate.of::<DriftReport>(&gate.operator)
        .create(&made, &report)
        .await
        .unwrap();
    // bob has every verb of the group, `end` too.
    let deleter = Person::impersonated(gate.api, "heidi", &[]);
    gate.bind_rules(&deleter, json!([{"apiGroups": ["modelward.io"], "resources": ["models", "driftreports"], "verbs": ["get", "list", "delete", "deletecollection"]}]))
        .await;
    let words =
        "the operator made the report window-1 and deletes it once newer ones take its place (reportsKept)";
    let outcome = gate.delete::<DriftReport>(&deleter, "window-1").await;
    tally.refused("heidi deletes a report of a window", by, words, outcome);
    let everything = gate
        .of::<DriftReport>(&deleter)
        .delete_collection(
            &DeleteParams::default(),
            &kube::api::ListParams::default().fields("metadata.name=window-1"),
        )
        .await;
    tally.refused("heidi deletes all of them", by, words, everything);
    let dead = json!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "00000000-0000-0000-0000-000000000000"}]}});
    let outcome = gate
        .patch::<DriftReport>(&gate.bob, "window-1", dead.clone(), false)
        .await;
    tally.refused(
        "bob gives one to the collector",
        by,
        "only the operator sets metadata.ownerReferences",
        outcome,
    );
    let claim = json!({"metadata": {"ownerReferences": owner}});
    let outcome = gate
        .patch::<DriftReport>(&gate.bob, "drift-1", claim, false)
        .await;
    tally.refused(
        "bob has his own report owned by the model",
        by,
        "makes an object of modelward.io an owner",
        outcome,
    );
    let outcome = gate.patch::<DriftReport>(&gate.bob, "drift-1", dead, false).await;
    tally.allowed("bob gives his own report an owner of his own", outcome);
    tally.allowed(
        "the operator prunes a report",
        gate.delete::<DriftReport>(&gate.operator, "window-1").await,
    );
}

/// Before Kubernetes 1.36 the caller types who changes a version.
pub async fn where_nothing_stamps(gate: &Gate, tally: &mut Tally) {
    let by = By::Policy(VERSIONS);
    let patched = async |annotations: Value, min: i64| {
        let mut patch = replicas(min);
        patch["metadata"] = json!({"annotations": annotations});
        gate.patch::<ModelVersion>(&gate.bob, "heart-6", patch, false)
            .await
    };
    let words = "a change of spec has to name the user who makes it: add the annotation changed-by.modelward.io/1: bob in the same request";
    tally.refused(
        "a change without its user",
        by,
        words,
        patched(json!({}), 2).await,
    );
    let alice = json!({changed_by(1): "alice"});
    tally.refused(
        "a change in another user's name",
        by,
        "write changed-by.modelward.io/1: bob and no other",
        patched(alice, 2).await,
    );
    let second = json!({changed_by(2): "bob"});
    tally.refused(
        "a change out of turn",
        by,
        "write changed-by.modelward.io/1: bob and no other",
        patched(second, 2).await,
    );
    tally.allowed(
        "bob changes spec in his own name",
        patched(json!({changed_by(1): "bob"}), 2).await,
    );
    tally.allowed("and again without typing it", patched(json!({}), 3).await);
    let removed = gate
        .patch::<ModelVersion>(
            &gate.bob,
            "heart-6",
            json!({"metadata": {"annotations": {changed_by(1): null}}}),
            false,
        )
        .await;
    tally.refused(
        "bob takes the record away",
        by,
        "record who changed this version: leave them unchanged",
        removed,
    );
    let removed = gate
        .patch::<ModelVersion>(
            &gate.bob,
            "heart-6",
            json!({"metadata": {"annotations": {CREATED_BY: null}}}),
            false,
        )
        .await;
    tally.refused(
        "bob takes the maker away",
        by,
        "modelward.io/created-by says who made this version and cannot be changed",
        removed,
    );
    let born = action("born-2", RetrainModel, &[]);
    let outcome = gate
        .actions(&gate.dave)
        .create(&PostParams::default(), &born)
        .await;
    tally.refused(
        "a proposal without its user",
        By::Policy(DECISIONS),
        "must say who creates the action: dave",
        outcome,
    );
}
