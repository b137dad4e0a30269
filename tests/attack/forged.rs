//! Forged trainings and keys: a result counts only if the operator's own Job reported it and its artifact states the same.

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    batch::v1::Job,
    core::v1::{Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use modelward_crds::{
    ConditionType, Model, ModelVersion, RemediationAction,
    gate::{CHILDREN, IMITATIONS, NAMES, TOKENS},
    labels,
};
use modelward_kit::{fake_controllers::JobEnd, objects::object, wait};
use modelward_trials::{stage, story, world::PATIENCE};
use modelward_wire::{JobResult, JobStage, LEDGER_AUDIENCE};
use serde_json::{Value, json};

use crate::{eve::edits, support::Case, tally::By};

/// An annotation of Jobs that the operator did not create.
const FORGED: &str = "example.com/forged";
const VERSION: &str = "heart-2";

/// Pods of the trainer end with messages that differ from their artifacts.
pub async fn messages(case: &mut Case) -> Result<()> {
    case.causes = &["Job number 2 of one owner"];
    case.serves().await?;
    let before = case.cluster.effects().await?;
    let (served, brought) = (
        case.bundle_of("heart-1").await?.parse()?,
        case.cluster.heart.brought()?,
    );
    let heart = case.cluster.heart.clone();
    case.cluster.fakes.jobs(move |job| {
        let JobEnd::Succeeds(message) = heart.trains(job) else {
            return JobEnd::Runs;
        };
        let mut result: JobResult = serde_json::from_str(&message).unwrap();
        let fitted = result.stage == JobStage::Fit;
        match job.labels().get(labels::VERSION).map(String::as_str) {
            Some("heart-2") if fitted => {
                result.metrics[0].mean = "0.999999".parse().unwrap();
                result.gates[0].value = "0.999999".parse().unwrap();
            }
            Some("heart-3") if fitted => result.threshold = Some("0.999".parse().unwrap()),
            Some("heart-4") if fitted => result.digest = Some(served),
            Some("heart-5") if fitted => result.digest = Some(brought),
            Some("heart-6") if !fitted => result.rows = Some(1_000_000),
            _ => {}
        }
        JobEnd::Succeeds(serde_json::to_string(&result).unwrap())
    });
    let forgeries = [
        ("heart-2", "better metrics than the bundle states"),
        ("heart-3", "another threshold than the bundle states"),
        ("heart-4", "the bundle of another version"),
        ("heart-5", "a bundle that no Job made"),
        ("heart-6", "more rows than the snapshot states"),
    ];
    for (name, _) in forgeries {
        case.cluster.create::<ModelVersion>(stage::version(name)).await?;
    }
    for (name, what) in forgeries {
        let says = case
            .cluster
            .wait(name, "stalled", |version: &ModelVersion| {
                version.status.as_ref().is_some_and(|status| {
                    story::says(
                        &status.conditions,
                        ConditionType::Stalled,
                        "True",
                        Some("ResultMismatch"),
                    )
                })
            })
            .await;
        let holds = says.is_ok_and(|version| version.status.is_some_and(|status| status.bundle.is_none()));
        case.tally.holds(
            &format!("a termination message with {what}"),
            holds,
            "ResultMismatch",
        );
    }
    let proposed = case.cluster.list::<RemediationAction>().await?.len();
    case.tally
        .is("no version with a forged result is proposed", &proposed, &0);
    case.without_effect("forged termination messages", &before).await
}

/// Jobs that look like the operator's succeed with a message that its own Job could have written, without the policies on children.
pub async fn lookalikes(case: &mut Case) -> Result<()> {
    case.causes = &["Job number 2 of one owner"];
    let eve = edits(case).await?;
    case.serves().await?;
    let before = case.cluster.effects().await?;
    trains_for_ever(case);
    case.cluster
        .create::<ModelVersion>(stage::version(VERSION))
        .await?;
    let ours = running_job(case, None).await?;

    let mut other = copied(&ours, "heart-2-snapshot-0a1b2c3d");
    other.metadata.creation_timestamp = None;
    let outcome = make_job(case, &eve, &other).await;
    case.tally.allowed(
        "eve makes a Job with the labels, owner and spec of the operator's",
        outcome,
    );
    succeeds(case, "heart-2-snapshot-0a1b2c3d").await?;
    case.cluster.settles().await?;
    no_snapshot(case, "a Job beside the operator's").await?;

    // A Job with the same name, before the operator reconciles again.
    case.cluster.kill_operator().await;
    let jobs = case.cluster.of::<Job>(&eve);
    let outcome = jobs.delete(&ours.name_any(), &DeleteParams::background()).await;
    case.tally.allowed("eve deletes the operator's Job", outcome);
    case.cluster
        .until("the Job to be gone", async || {
            Ok(jobs.get_opt(&ours.name_any()).await?.is_none().then_some(()))
        })
        .await?;
    let outcome = make_job(case, &eve, &copied(&ours, &ours.name_any())).await;
    case.tally.allowed("eve creates one with its name", outcome);
    succeeds(case, &ours.name_any()).await?;
    case.cluster.start_operator()?;
    case.cluster.settles().await?;
    no_snapshot(case, "a Job in the place of the operator's").await?;

    // Labels and owners of the operator's Job lead elsewhere, but the operator identifies it by its uid.
    case.cluster.advance(3600).await?;
    let ours = running_job(case, ours.uid()).await?;
    case.cluster.fakes.jobs(|_| JobEnd::Runs);
    let blind = json!({"metadata": {"labels": {labels::VERSION: "other"}, "ownerReferences": null}});
    let outcome = jobs
        .patch(&ours.name_any(), &PatchParams::default(), &Patch::Merge(blind))
        .await;
    case.tally
        .allowed("eve takes labels and owners from the operator's Job", outcome);
    case.cluster.settles().await?;
    no_snapshot(case, "a Job without labels and owners").await?;
    case.without_effect("Jobs that look like the operator's", &before)
        .await?;
    let heart = case.cluster.heart.clone();
    case.cluster.fakes.jobs(move |job| {
        // The fake trainer needs the label that eve removed.
        let mut job = job.clone();
        job.labels_mut().insert(labels::VERSION.into(), VERSION.into());
        heart.trains(&job)
    });
    let trained = case
        .cluster
        .wait(VERSION, "trained", |version: &ModelVersion| {
            version
                .status
                .as_ref()
                .is_some_and(|status| status.bundle.is_some())
        })
        .await;
    let trained = trained.map(drop).map_err(|error| format!("{error:#}"));
    case.tally.is(
        "the training continues regardless",
        &trained,
        &Ok::<(), String>(()),
    );
    Ok(())
}

/// A Pod of eve's has a token of the trainer's service account, without the policies on children.
pub async fn tokens(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    case.serves().await?;
    trains_for_ever(case);
    case.cluster
        .create::<ModelVersion>(stage::version(VERSION))
        .await?;
    let job = running_job(case, None).await?;
    let pod = make(
        case,
        &eve,
        POD,
        json!({"metadata": {"name": "eves"}, "spec": {
            "serviceAccountName": "default", "containers": [{"name": "c", "image": "x"}],
        }}),
    )
    .await?;
    let before = case.cluster.effects().await?;
    let (uid, result) = (
        job.uid().context("a uid")?,
        json!({"format": 1, "stage": "snapshot", "verdict": "succeeded", "message": "forged",
            "digest": case.cluster.heart.third.snapshot, "rows": 294}),
    );
    for (what, audiences, bound) in [
        ("bound to eve's Pod", vec![LEDGER_AUDIENCE], Some(&pod)),
        ("bound to no Pod", vec![LEDGER_AUDIENCE], None),
        ("of another audience", vec!["vault"], Some(&pod)),
        ("of the API server", vec![], Some(&pod)),
    ] {
        let token = token(case, &eve, &audiences, bound).await?;
        let answer = case.cluster.writes_result(&token, &uid, &result).await?;
        let holds = matches!(answer.0, 401 | 403);
        case.tally.holds(
            &format!("a result written with a token {what}"),
            holds,
            &format!("{} {}", answer.0, answer.1),
        );
    }
    case.cluster.settles().await?;
    no_snapshot(case, "results written with tokens of eve's").await?;
    case.without_effect("tokens of the trainer's service account", &before)
        .await
}

/// The same attacks and more with the policies on children, which reject each by name.
pub async fn under_policies(case: &mut Case) -> Result<()> {
    case.cluster.children = true;
    let eve = edits(case).await?;
    case.serves().await?;
    trains_for_ever(case);
    case.cluster
        .create::<ModelVersion>(stage::version(VERSION))
        .await?;
    let job = running_job(case, None).await?;
    let before = case.cluster.effects().await?;
    let pods = case.cluster.list::<Pod>().await?;
    let uid = job.uid().context("a uid")?;
    let theirs = pods
        .iter()
        .find(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid))
        .context("the Job's Pod")?;
    let bound = serde_json::from_value::<DynamicObject>(serde_json::to_value(theirs)?)?;
    for (what, audiences, bound) in [
        ("for the trainer's account", vec![LEDGER_AUDIENCE], None),
        ("for the Job's own Pod", vec![LEDGER_AUDIENCE], Some(&bound)),
        ("among other audiences", vec!["vault", LEDGER_AUDIENCE], None),
    ] {
        let outcome = request(case, &eve, &audiences, bound).await;
        case.tally.refused(
            &format!("a token of the ledger's audience {what}"),
            By::Policy(TOKENS),
            "only a kubelet",
            outcome,
        );
    }

    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": job.name_any(), "uid": uid, "controller": true}]);
    let plain = json!({"containers": [{"name": "trainer", "image": "x"}], "restartPolicy": "Never"});
    let mut with_token = plain.clone();
    with_token["serviceAccountName"] = "default".into();
    with_token["volumes"] = json!([{"name": "t", "projected": {"sources": [
        {"serviceAccountToken": {"audience": LEDGER_AUDIENCE, "path": "token"}}]}}]);
    let lookalike = serde_json::to_value(copied(&job, "heart-2-fit-0a1b2c3d"))?;
    let mut renamed = lookalike.clone();
    renamed["metadata"]["name"] = "eves".into();
    let template = |spec: &Value| json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}});
    let either = By::AnyOf(&[IMITATIONS, NAMES, CHILDREN]);
    for (what, kind, body) in [
        ("a Job like the operator's", JOB, lookalike),
        ("a Job like the operator's under another name", JOB, renamed),
        (
            "a Job of a name that the operator uses",
            JOB,
            json!({"metadata": {"name": "heart-2-snapshot-0a1b2c3d"}, "spec": template(&plain)}),
        ),
        (
            "a Pod that claims the Job as its owner",
            POD,
            json!({"metadata": {"name": "eves", "ownerReferences": owner}, "spec": plain}),
        ),
        (
            "a Pod with the labels of the Job's",
            POD,
            json!({"metadata": {"name": "eves", "labels": {"batch.kubernetes.io/controller-uid": uid, labels::VERSION: VERSION}},
                "spec": plain}),
        ),
        (
            "a Pod with a token for the ledger",
            POD,
            json!({"metadata": {"name": "eves"}, "spec": with_token}),
        ),
        (
            "a Job whose Pods have a token for the ledger",
            JOB,
            json!({"metadata": {"name": "eves"}, "spec": template(&with_token)}),
        ),
    ] {
        let outcome = make(case, &eve, kind, body).await;
        case.tally.refused(what, either, "", outcome);
    }
    let message = json!({"status": {"phase": "Succeeded", "containerStatuses": [{
        "name": "trainer", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "message": "{}"}}}]}});
    let outcome = case
        .cluster
        .of::<Pod>(&eve)
        .patch_status(
            &theirs.name_any(),
            &PatchParams::default(),
            &Patch::Merge(message),
        )
        .await;
    case.tally
        .refused("a termination message written by eve", By::Roles, "", outcome);

    case.cluster.settles().await?;
    no_snapshot(case, "what eve created under the policies").await?;
    case.without_effect("forged trainings under the policies", &before)
        .await
}

/// With the policies on children, the name of a key Secret cannot be taken, neither before nor after its creation.
pub async fn keys_under_policies(case: &mut Case) -> Result<()> {
    case.cluster.children = true;
    let eve = edits(case).await?;
    case.serves().await?;
    let before = case.cluster.effects().await?;
    let outcome = make(
        case,
        &eve,
        SECRET,
        json!({"metadata": {"name": "heart-0a1b2c3d-modelward"}}),
    )
    .await;
    case.tally.refused(
        "a Secret with a name that the operator may generate",
        By::Policy(IMITATIONS),
        "",
        outcome,
    );
    let key = key_secret(case).await?.0;
    let outcome = case
        .cluster
        .of::<Secret>(&eve)
        .delete(&key, &DeleteParams::default())
        .await;
    case.tally.refused(
        "the key Secret is deleted to make another of its name",
        By::Policy(CHILDREN),
        "",
        outcome,
    );
    case.without_effect("Secrets under the policies", &before).await
}

/// Secrets that existed before the operator created its own.
pub async fn keys(case: &mut Case) -> Result<()> {
    let eve = edits(case).await?;
    for name in [
        "heart",
        "heart-modelward",
        "heart-key",
        "heart-00000000-modelward",
    ] {
        let known = json!({"metadata": {"name": name, "labels": {labels::MODEL: "heart"}},
            "stringData": {"prediction-id.key": "0123456789abcdef0123456789abcdef", "traffic.key": "known"}});
        let outcome = make(case, &eve, SECRET, known).await;
        case.tally.allowed(
            &format!("eve makes a Secret {name} with keys that she knows"),
            outcome,
        );
    }
    case.serves().await?;
    let (name, uid) = key_secret(case).await?;
    let secret = case.cluster.all::<Secret>().get(&name).await?;
    case.tally.holds(
        "a Secret that was created beforehand",
        secret.uid() == Some(uid.clone()) && !secret.data.as_ref().is_some_and(is_known),
        "the model's keys are in a Secret of another name, which the operator made",
    );
    let deployment = case
        .cluster
        .all::<k8s_openapi::api::apps::v1::Deployment>()
        .get("heart")
        .await?;
    let template = serde_json::to_value(deployment.spec.context("a spec")?.template)?;
    let mounted = template["spec"]["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|volume| volume["secret"]["secretName"].as_str())
        .collect::<Vec<_>>();
    case.tally.is(
        "the Pods of the model mount only that one",
        &mounted,
        &vec![name.as_str()],
    );

    // It is deleted with its record. The next one has a different name, so an object with the former name has no effect.
    let before = case.cluster.effects().await?;
    case.cluster.kill_operator().await;
    let outcome = case
        .cluster
        .of::<Secret>(&eve)
        .delete(&name, &DeleteParams::default())
        .await;
    case.tally
        .allowed("eve deletes the key Secret where the policies are off", outcome);
    case.cluster.start_operator()?;
    case.without_effect("the key Secret deleted", &before).await
}

fn is_known(data: &std::collections::BTreeMap<String, k8s_openapi::ByteString>) -> bool {
    data.values()
        .any(|key| key.0.starts_with(b"0123") || key.0 == b"known")
}

// === small ===

type Kind = (&'static str, &'static str, &'static str, &'static str);
const POD: Kind = ("", "v1", "Pod", "pods");
const SECRET: Kind = ("", "v1", "Secret", "secrets");
const JOB: Kind = ("batch", "v1", "Job", "jobs");

async fn make(
    case: &Case,
    who: &Client,
    (group, version, kind, plural): Kind,
    mut body: Value,
) -> kube::Result<DynamicObject> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    body["apiVersion"] = resource.api_version.clone().into();
    body["kind"] = kind.into();
    let made = serde_json::from_value(body).unwrap();
    Api::<DynamicObject>::namespaced_with(who.clone(), &case.cluster.namespace, &resource)
        .create(&PostParams::default(), &made)
        .await
}

async fn make_job(case: &Case, who: &Client, job: &Job) -> kube::Result<Job> {
    case.cluster
        .of::<Job>(who)
        .create(&PostParams::default(), job)
        .await
}

/// The operator's Jobs of the version run forever, and forged Jobs succeed as the trainer's would.
fn trains_for_ever(case: &Case) {
    let heart = case.cluster.heart.clone();
    case.cluster.fakes.jobs(move |job| {
        let is_forged = job.annotations().contains_key(FORGED);
        if job.labels().get(labels::VERSION).map(String::as_str) == Some(VERSION) && !is_forged {
            JobEnd::Runs
        } else {
            heart.trains(job)
        }
    });
}

/// The operator's Job of the version, other than the one with this uid.
async fn running_job(case: &Case, other_than: Option<String>) -> Result<Job> {
    case.cluster
        .until("a Job that runs", async || {
            let jobs = case.cluster.list::<Job>().await?;
            Ok(jobs.into_iter().find(|job| {
                job.labels().get(labels::VERSION).map(String::as_str) == Some(VERSION)
                    && !job.annotations().contains_key(FORGED)
                    && job.uid() != other_than
                    && job.status.as_ref().is_some_and(|status| status.active == Some(1))
            }))
        })
        .await
}

/// A copy of everything of a Job that can be copied, and a mark for the fake controllers.
fn copied(job: &Job, name: &str) -> Job {
    let mut copy = object::<Job>(json!({"metadata": {"name": name}, "spec": job.spec})).unwrap();
    copy.metadata.labels.clone_from(&job.metadata.labels);
    copy.metadata.annotations.clone_from(&job.metadata.annotations);
    copy.metadata
        .owner_references
        .clone_from(&job.metadata.owner_references);
    copy.annotations_mut().insert(FORGED.into(), "true".into());
    // The API server generates these for each Job.
    if let Some(spec) = copy.spec.as_mut() {
        spec.selector = None;
        if let Some(labels) = spec
            .template
            .metadata
            .as_mut()
            .and_then(|metadata| metadata.labels.as_mut())
        {
            labels.retain(|key, _| !key.ends_with("controller-uid") && !key.ends_with("job-name"));
        }
    }
    copy
}

async fn succeeds(case: &Case, name: &str) -> Result<()> {
    let jobs = case.cluster.all::<Job>();
    wait::until("the forged Job to succeed", PATIENCE, async || {
        let job = jobs.get_opt(name).await?;
        let ended = job.is_none_or(|job| job.status.is_some_and(|status| status.succeeded == Some(1)));
        Ok(ended.then_some(()))
    })
    .await
}

async fn no_snapshot(case: &mut Case, attack: &str) -> Result<()> {
    let version = case.cluster.all::<ModelVersion>().get(VERSION).await?;
    let taken = version.status.is_some_and(|status| status.snapshot.is_some());
    case.executed += usize::from(taken);
    case.tally.holds(attack, !taken, "no result is accepted from it");
    Ok(())
}

/// Name and uid of the Secret with the model's keys, from the record.
async fn key_secret(case: &Case) -> Result<(String, String)> {
    let model = case.cluster.all::<Model>().get("heart").await?;
    let status = model.status.context("a status")?;
    let name = status.key_secret.context("a Secret")?;
    let recorded = status
        .children
        .into_iter()
        .find(|child| child.kind == "Secret" && child.name == name);
    Ok((name, recorded.context("a record of it")?.uid))
}

async fn request(
    case: &Case,
    who: &Client,
    audiences: &[&str],
    bound: Option<&DynamicObject>,
) -> kube::Result<TokenRequest> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: audiences.iter().map(ToString::to_string).collect(),
            bound_object_ref: bound.map(|pod| BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name_any()),
                uid: pod.uid(),
            }),
            expiration_seconds: None,
        },
        ..TokenRequest::default()
    };
    case.cluster
        .of::<ServiceAccount>(who)
        .create_token_request("default", &PostParams::default(), &request)
        .await
}

async fn token(
    case: &Case,
    who: &Client,
    audiences: &[&str],
    bound: Option<&DynamicObject>,
) -> Result<String> {
    let made = request(case, who, audiences, bound).await?;
    Ok(made.status.context("a token")?.token)
}
