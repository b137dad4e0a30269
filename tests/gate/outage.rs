//! The gate narrowed, broken or without its stamps.

use std::time::Duration;

use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    core::v1::ConfigMap,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use modelward_crds::{
    ActionType::RetrainModel,
    ModelVersion, RemediationAction,
    annotations::{APPROVE, CREATED_BY, PROPOSED_BY},
    gate::{DECISIONS, ORIGINS, RECORDS, STATUS, VERSIONS},
};
use modelward_kit::apiserver::User;
use serde_json::json;

use crate::changes;
use crate::support::{
    By, Gate, SYSTEM, Tally, action, apply_chart, decision, digest, object, until, version_spec,
};

/// The operator can tell from outside whether the gate stands: a forged decision of its own, as a dry run on the very
/// action, is refused by the policy's name or it is not.
pub async fn what_the_operator_sees(gate: &Gate, tally: &mut Tally) {
    gate.planned("probe", RetrainModel, &digest(0x40)).await;
    let probe = async || {
        let forged = json!({"metadata": {"annotations": {decision(1): format!("approve {} {}", digest(0x40), gate.operator.name)}}});
        gate.patch::<RemediationAction>(&gate.operator, "probe", forged, true)
            .await
    };
    let stands = async || {
        probe()
            .await
            .is_err_and(|error| error.to_string().contains(DECISIONS))
    };
    let policies = Api::<ValidatingAdmissionPolicy>::all(gate.admin.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(gate.admin.client.clone());
    let params = PatchParams::default();
    tally.refused(
        "the operator's probe",
        By::Policy(DECISIONS),
        "may not decide",
        probe().await,
    );

    let mark = async || {
        let (policy, binding) = (
            policies.get(DECISIONS).await.unwrap(),
            bindings.get(DECISIONS).await.unwrap(),
        );
        [
            policy.uid(),
            policy.metadata.generation.map(|at| at.to_string()),
            binding.uid(),
            binding.metadata.generation.map(|at| at.to_string()),
        ]
    };
    for attack in [
        "binding narrowed",
        "binding deleted",
        "policy forged",
        "policy deleted",
    ] {
        let before = mark().await;
        let gone = DeleteParams::default();
        match attack {
            "binding narrowed" => {
                let narrow = json!({"spec": {"matchResources": {"namespaceSelector": {"matchLabels": {"gated": "yes"}}}}});
                bindings
                    .patch(DECISIONS, &params, &Patch::Merge(narrow))
                    .await
                    .map(drop)
                    .unwrap();
            }
            "binding deleted" => bindings.delete(DECISIONS, &gone).await.map(drop).unwrap(),
            "policy forged" => {
                let weak = json!({"spec": {"validations": [{"expression": "true"}]}});
                policies
                    .patch(DECISIONS, &params, &Patch::Merge(weak))
                    .await
                    .map(drop)
                    .unwrap();
            }
            _ => policies.delete(DECISIONS, &gone).await.map(drop).unwrap(),
        }
        let seen = until("the probe to be let through", async || !stands().await)
            .await
            .is_ok();
        tally.holds(
            attack,
            seen,
            "the operator's probe on the very action is let through, so nothing risky runs",
        );
        apply_chart(gate.api, true).unwrap();
        until("the gate restored", stands).await.unwrap();
        tally.is(
            "restored, it is recognised by uid and generation",
            &(mark().await == before),
            &false,
        );
    }

    // Without its parameters no user is the operator.
    let parameters = Api::<ConfigMap>::namespaced(gate.admin.client.clone(), SYSTEM);
    parameters
        .delete("modelward-gate", &DeleteParams::default())
        .await
        .unwrap();
    let status = async || {
        gate.write_status::<ModelVersion>(&gate.operator, "heart-1", json!({"score": "x"}), true)
            .await
    };
    let closed = until("the gate without parameters", async || status().await.is_err())
        .await
        .is_ok();
    tally.is("the gate without its parameters is closed", &closed, &true);
    tally.refused(
        "a status while the parameters are away",
        By::Policy(STATUS),
        "no params found",
        status().await,
    );
    let approve = json!({"metadata": {"annotations": {APPROVE: "true"}}});
    let outcome = gate
        .patch::<RemediationAction>(&gate.alice, "probe", approve, true)
        .await;
    tally.refused(
        "an approval while the parameters are away",
        By::AnyOf(&[DECISIONS, RECORDS]),
        "no params found",
        outcome,
    );
    let version = object::<ModelVersion>("heart-5", &version_spec());
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let outcome = gate.of::<ModelVersion>(&gate.bob).create(&dry, &version).await;
    tally.refused(
        "a version while the parameters are away",
        By::AnyOf(&[RECORDS, ORIGINS]),
        "no params found",
        outcome,
    );
    apply_chart(gate.api, true).unwrap();
    until("the parameters back", async || status().await.is_ok())
        .await
        .unwrap();
}

/// Before Kubernetes 1.36 the line is typed in full, as the refusal of the short form prints it.
pub async fn without_stamps(gate: &Gate, tally: &mut Tally) {
    gate.planned("in-full", RetrainModel, &digest(0x50)).await;
    for kind in ["MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"] {
        let kind = ApiResource {
            group: "admissionregistration.k8s.io".into(),
            version: "v1".into(),
            api_version: "admissionregistration.k8s.io/v1".into(),
            plural: if kind.ends_with("Binding") {
                "mutatingadmissionpolicybindings"
            } else {
                "mutatingadmissionpolicies"
            }
            .into(),
            kind: kind.into(),
        };
        let api = Api::<DynamicObject>::all_with(gate.admin.client.clone(), &kind);
        api.delete_collection(&DeleteParams::default(), &ListParams::default())
            .await
            .unwrap();
    }
    apply_chart(gate.api, false).unwrap();
    let approve = json!({"metadata": {"annotations": {APPROVE: "true"}}});
    let short = async || {
        gate.patch::<RemediationAction>(&gate.alice, "in-full", approve.clone(), true)
            .await
    };
    until("no stamps", async || short().await.is_err()).await.unwrap();
    let by = By::Policy(DECISIONS);
    tally.refused(
        "the short form where nothing stamps it",
        by,
        "before Kubernetes 1.36 the value must be written in full: kubectl annotate",
        short().await,
    );

    let error = short().await.unwrap_err().to_string();
    let typed = error
        .split_once("written in full: kubectl ")
        .map(|(_, line)| line.to_owned())
        .unwrap_or_default();
    let (arguments, rest) = typed.split_once("=\"").unwrap_or_default();
    let value = rest.split('"').next().unwrap_or_default();
    let mut words: Vec<_> = arguments.split_whitespace().map(ToOwned::to_owned).collect();
    if let Some(last) = words.last_mut() {
        *last = format!("{last}={value}");
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let (done, said) = gate.kubectl(User::Alice, &words, "");
    tally.is(
        "what the refusal says can be typed",
        &(done, said.trim()),
        &(true, "remediationaction.modelward.io/in-full annotated"),
    );
    tally.is(
        "and decides",
        &gate.annotation("in-full", &decision(1)).await,
        &format!("approve {} alice", digest(0x50)),
    );

    let outcome = gate.propose(&gate.dave, "by-dave", RetrainModel, &[]).await;
    tally.refused(
        "a proposal without a proposer",
        by,
        "the annotation modelward.io/proposed-by must say who creates the action: dave",
        outcome,
    );
    let outcome = gate
        .propose(&gate.dave, "by-dave", RetrainModel, &[(PROPOSED_BY, "alice")])
        .await;
    tally.refused(
        "a proposal in another user's name",
        by,
        "must say who creates the action: dave",
        outcome,
    );
    let outcome = gate
        .propose(&gate.dave, "by-dave", RetrainModel, &[(PROPOSED_BY, "dave")])
        .await;
    tally.allowed("dave proposes in his own name", outcome);
    let outcome = gate.annotate(&gate.dave, "by-dave", &[(APPROVE, "true")]).await;
    tally.refused(
        "the short form by the proposer",
        by,
        "the user who proposed an action may reject it but not approve it",
        outcome,
    );
    let outcome = gate.annotate(&gate.alice, "by-dave", &[(APPROVE, "true")]).await;
    tally.refused(
        "the short form before there is a plan",
        by,
        "set either modelward.io/approve",
        outcome,
    );
    let born = action("born", RetrainModel, &[(PROPOSED_BY, "dave"), (APPROVE, "true")]);
    let outcome = gate
        .actions(&gate.dave)
        .create(&PostParams::default(), &born)
        .await;
    tally.refused(
        "planting the short form at birth",
        by,
        "an action cannot be created with modelward.io/approve",
        outcome,
    );

    let mut version = object::<ModelVersion>("heart-6", &version_spec());
    version.metadata.annotations = Some([(CREATED_BY.to_owned(), "alice".to_owned())].into());
    let bob = gate.of::<ModelVersion>(&gate.bob);
    let outcome = bob.create(&PostParams::default(), &version).await;
    tally.refused(
        "a version in another user's name",
        By::Policy(VERSIONS),
        "modelward.io/created-by is alice, but bob makes this version: write bob",
        outcome,
    );
    version.metadata.annotations = None;
    tally.refused(
        "a version without a maker",
        By::Policy(VERSIONS),
        "this version has to name the user who makes it: add the annotation modelward.io/created-by: bob",
        bob.create(&PostParams::default(), &version).await,
    );
    version.metadata.annotations = Some([(CREATED_BY.to_owned(), "bob".to_owned())].into());
    tally.allowed(
        "a version in bob's own name",
        bob.create(&PostParams::default(), &version).await,
    );
    let claim = json!({"metadata": {"annotations": {CREATED_BY: "alice"}}});
    let outcome = gate
        .patch::<ModelVersion>(&gate.bob, "heart-6", claim, false)
        .await;
    tally.refused(
        "a maker that is claimed later",
        By::Policy(VERSIONS),
        "modelward.io/created-by says who made this version and cannot be changed",
        outcome,
    );
    changes::where_nothing_stamps(gate, tally).await;
}

/// Uninstalling the kinds before the policies leaves Pods and Services writable.
pub async fn without_the_kinds(gate: &Gate, tally: &mut Tally) {
    let kinds = Api::<CustomResourceDefinition>::all(gate.admin.client.clone());
    for crd in modelward_crds::crds() {
        kinds
            .delete(&crd.name_any(), &DeleteParams::default())
            .await
            .unwrap();
    }
    until("the kinds gone", async || {
        kinds
            .list(&ListParams::default())
            .await
            .is_ok_and(|left| left.items.is_empty())
    })
    .await
    .unwrap();
    // The API server learns that its parameters are gone by a watch of its own.
    for second in 0..6 {
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("after-{second}")}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("after-{second}")}, "spec": {"ports": [{"port": 80}]}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("after-{second}")}, "spec": {"containers": [{"name": "c", "image": "x"}]}},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": format!("after-{second}")}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}},
            {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": format!("after-{second}")}, "spec": {"maxUnavailable": 0, "selector": {"matchLabels": {"a": "b"}}}},
        ]});
        let (done, said) = gate.kubectl(User::Admin, &["create", "-f", "-"], &objects.to_string());
        tally.is(
            &format!("core kinds {second} s after the kinds were deleted"),
            &(done, if done { "" } else { &said }),
            &(true, ""),
        );
        let scale = format!("deploy/after-{second}");
        let (done, said) = gate.kubectl(User::Admin, &["scale", &scale, "--replicas=0"], "");
        tally.is(
            "and their scale",
            &(done, if done { "" } else { &said }),
            &(true, ""),
        );
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
