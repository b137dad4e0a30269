//! Which objects a change wakes. Every watch ends here.

use std::collections::BTreeSet;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod},
};
use kube::{Resource, ResourceExt as _, core::PartialObjectMeta};
use modelward_crds::{Model, labels};

use crate::{
    api::NamespacedName,
    cache::{
        Cache,
        action::CachedAction,
        cached::{Cached, Key},
        index::{Change, Index},
        model::CachedModel,
        report::CachedReport,
        version::CachedVersion,
        wake::Target,
    },
    jobs::names::prefix_of,
};

/// The targets of a change, each once.
pub(crate) type Targets = BTreeSet<Target>;

/// A version concerns itself, its model, the open actions of its model, and the reports that wait for its verdict.
pub(crate) fn version(cache: &Cache, change: &Change<CachedVersion>) -> Targets {
    let mut targets = Targets::from([Target::Version(change.name.clone())]);
    for model in change
        .readable()
        .map(|version| change.name.beside(&version.model))
    {
        targets.extend(named(&cache.actions, &Key::OpenOf(model.clone()), Target::Action));
        targets.insert(Target::Model(model));
    }
    let key = Key::Version(change.name.clone());
    targets.extend(named(&cache.reports, &key, Target::Report));
    targets
}

/// A model concerns itself, its schedule of reports, its versions as far as they read what changed, its open actions, and the action
/// that holds the claim on it or held it, even if that action has ended: it has to release the claim.
pub(crate) fn model(cache: &Cache, change: &Change<CachedModel>) -> Targets {
    let mut targets = Targets::from([
        Target::Model(change.name.clone()),
        Target::Schedule(change.name.clone()),
    ]);
    let views = (change.former(), change.current());
    match (views.0.map(|model| &model.view), views.1.map(|model| &model.view)) {
        (Some(before), Some(now)) if before.all == now.all => {
            let live = before.live.union(&now.live);
            for uid in live.filter(|_| before.pods != now.pods) {
                targets.extend(named(&cache.versions, &Key::Uid(uid.clone()), Target::Version));
            }
        }
        _ => {
            let key = Key::Model(change.name.clone());
            targets.extend(named(&cache.versions, &key, Target::Version));
        }
    }
    let key = Key::OpenOf(change.name.clone());
    targets.extend(named(&cache.actions, &key, Target::Action));
    for claim in change.readable().filter_map(|model| model.claim.clone()) {
        targets.extend(named(&cache.actions, &Key::Uid(claim), Target::Action));
    }
    targets
}

/// An action concerns itself, its model, the other open actions of its model, which it may make room for, and the versions that it
/// promotes or made, which name the action that decides on them.
pub(crate) fn action(cache: &Cache, change: &Change<CachedAction>) -> Targets {
    let mut targets = Targets::from([Target::Action(change.name.clone())]);
    for action in change.readable() {
        let model = change.name.beside(&action.model);
        targets.extend(named(&cache.actions, &Key::OpenOf(model.clone()), Target::Action));
        targets.insert(Target::Model(model));
        let candidate = action.candidate.as_ref();
        targets.extend(candidate.map(|candidate| Target::Version(change.name.beside(candidate))));
        let key = Key::MadeBy(action.uid().unwrap_or_default());
        targets.extend(named(&cache.versions, &key, Target::Version));
    }
    targets
}

/// A report concerns itself, the schedule of its model, and the actions that accept its window or wait for a verdict on its version.
pub(crate) fn report(cache: &Cache, change: &Change<CachedReport>) -> Targets {
    let mut targets = Targets::from([Target::Report(change.name.clone())]);
    let key = Key::Report(change.name.clone());
    targets.extend(named(&cache.actions, &key, Target::Action));
    for report in change.readable() {
        let model = report.model.as_ref();
        targets.extend(model.map(|model| Target::Schedule(change.name.beside(model))));
        let key = Key::Version(change.name.beside(&report.version));
        targets.extend(named(&cache.actions, &key, Target::Action));
    }
    targets
}

/// A `ConfigMap` concerns the versions that read it as data, the owners of Jobs that read it as spec, and the models whose child it is.
pub(crate) fn config_map(cache: &Cache, map: &PartialObjectMeta<ConfigMap>) -> Targets {
    let name = NamespacedName::of(map);
    let mut targets = child(cache, map);
    let key = Key::ConfigMap(name.clone());
    targets.extend(named(&cache.versions, &key, Target::Version));
    if let Some(prefix) = prefix_of(&name.name) {
        let key = Key::SpecMap(name.beside(prefix));
        targets.extend(named(&cache.versions, &key, Target::Version));
        targets.extend(named(&cache.actions, &key, Target::Action));
    }
    targets
}

/// A claim concerns the versions that read it.
pub(crate) fn claim(cache: &Cache, claim: &PartialObjectMeta<PersistentVolumeClaim>) -> Targets {
    let key = Key::Claim(NamespacedName::of(claim));
    named(&cache.versions, &key, Target::Version).collect()
}

/// A Job concerns its owners, and those whose status has its uid, because a client that changes a Job can change its owners.
pub(crate) fn job(cache: &Cache, job: &PartialObjectMeta<Job>) -> Targets {
    let owners = job.owner_references().iter().map(|owner| owner.uid.clone());
    let mut targets = Targets::new();
    for uid in owners.chain(job.uid()) {
        let key = Key::Uid(uid);
        targets.extend(named(&cache.versions, &key, Target::Version));
        targets.extend(named(&cache.actions, &key, Target::Action));
    }
    let namespace = job.namespace().unwrap_or_default();
    targets.retain(|target| namespace_of(target) == namespace);
    targets
}

/// A Pod of a Job concerns the owner of the Job: one that starts, ends or cannot be scheduled changes its Job late or not at all. Any
/// other Pod concerns its model.
pub(crate) fn pod(cache: &Cache, pod: &PartialObjectMeta<Pod>) -> Targets {
    let namespace = pod.namespace().unwrap_or_default();
    let labelled = |label: &str| {
        let value = pod.labels().get(label)?;
        Some(NamespacedName::new(&namespace, value))
    };
    let (version, action) = (labelled(labels::VERSION), labelled(labels::ACTION));
    let mut targets = Targets::new();
    if version.is_none() && action.is_none() {
        targets.extend(labelled(labels::MODEL).map(Target::Model));
    }
    let versions = version
        .map(Key::Label)
        .map(|key| named(&cache.versions, &key, Target::Version));
    targets.extend(versions.into_iter().flatten());
    let actions = action
        .map(Key::Label)
        .map(|key| named(&cache.actions, &key, Target::Action));
    targets.extend(actions.into_iter().flatten());
    targets
}

/// A child concerns the models that its label and its owner references name, and the one whose record has its uid, because a client
/// that changes a child can change both.
pub(crate) fn child<K: Resource<DynamicType = ()>>(cache: &Cache, child: &PartialObjectMeta<K>) -> Targets {
    let namespace = child.namespace().unwrap_or_default();
    let owners = child.owner_references().iter();
    let owners = owners.filter(|owner| owner.kind == Model::kind(&()));
    let named_models = (child.labels().get(labels::MODEL).cloned().into_iter())
        .chain(owners.map(|owner| owner.name.clone()))
        .map(|name| NamespacedName::new(&namespace, name));
    let key = Key::Uid(child.uid().unwrap_or_default());
    let recorded = cache.models.names(&key).into_iter();
    named_models
        .chain(recorded.filter(|model| model.namespace == namespace))
        .map(Target::Model)
        .collect()
}

fn named<R: Cached>(
    index: &Index<R>,
    key: &Key,
    target: fn(NamespacedName) -> Target,
) -> impl Iterator<Item = Target> + use<R> {
    index.names(key).into_iter().map(target)
}

fn namespace_of(target: &Target) -> &str {
    match target {
        Target::Version(name)
        | Target::Model(name)
        | Target::Schedule(name)
        | Target::Action(name)
        | Target::Report(name) => &name.namespace,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use kube::{core::DeserializeGuard, runtime::watcher};
    use modelward_crds::{DriftReport, ModelVersion, RemediationAction};
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::cache::{Feeds, index::IndexWriter};

    /// A cache with `heart`, which `heart-1` serves and `heart-2` may replace, and a model that they have nothing to do with.
    struct Scene {
        cache: Cache,
        feeds: Feeds,
    }

    fn metadata(name: &str) -> Value {
        json!({"name": name, "namespace": "hospital", "uid": format!("uid of {name}"), "generation": 1})
    }

    fn from<K: DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    fn heart(status: &Value) -> Model {
        from(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "Model", "metadata": metadata("heart"),
            "spec": {}, "status": status,
        }))
    }

    fn serving() -> Value {
        json!({
            "serving": "heart-1",
            "children": [{"kind": "Service", "name": "heart", "uid": "recorded", "applied": "x"}],
            "routes": [{"version": "heart-1", "uid": "uid of heart-1", "digest": digest(), "weight": 100, "threshold": "0.5"}],
        })
    }

    fn digest() -> String {
        format!("sha256:{}", "0".repeat(64))
    }

    fn version_of(model: &str, name: &str, status: &Value) -> ModelVersion {
        from(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "metadata": metadata(name),
            "spec": {
                "model": model,
                "source": {"training": {
                    "dataset": {"configMap": {"name": "cleveland", "key": "data.csv"}},
                    "additionalDatasets": [{"name": "disk", "dataset": {
                        "persistentVolumeClaim": {"claimName": "disk", "path": "data.csv"},
                    }}],
                    "target": {"column": "num"},
                }},
                "serving": {"access": "Open"},
            },
            "status": status,
        }))
    }

    fn training() -> Value {
        json!({"fitAttempt": {"attempt": 1, "job": "j", "jobUid": "recorded job", "input": "i", "finished": false}})
    }

    fn action_on(model: &str, name: &str, ended: bool) -> RemediationAction {
        let status = if ended { "True" } else { "Unknown" };
        from(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "RemediationAction", "metadata": metadata(name),
            "spec": {
                "model": model, "type": "PromoteModel", "candidate": {"name": "heart-2"},
                "acceptWindow": {"kind": "DriftReport", "name": "window", "uid": "w"},
            },
            "status": {"conditions": [{
                "type": "Succeeded", "status": status, "reason": "AwaitingApproval", "message": "",
                "lastTransitionTime": "2026-11-23T09:30:00Z",
            }]},
        }))
    }

    fn report_on(name: &str, version: &str) -> DriftReport {
        let mut metadata = metadata(name);
        metadata["labels"] = json!({labels::MODEL: "heart"});
        from(json!({
            "apiVersion": "modelward.io/v1alpha1", "kind": "DriftReport", "metadata": metadata,
            "spec": {"version": version, "startTime": "2026-11-23T09:00:00Z", "endTime": "2026-11-23T10:00:00Z"},
        }))
    }

    fn apply<R: Cached>(writer: &mut IndexWriter<R>, object: R) -> Change<R> {
        let event = watcher::Event::Apply(DeserializeGuard(Ok(object)));
        writer.apply(&event).remove(0)
    }

    fn child_named<K: DeserializeOwned>(mut metadata: Value, more: &Value) -> K {
        for (key, value) in more.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        from(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}))
    }

    // === impl Scene ===

    impl Scene {
        fn new() -> Self {
            let cache = Cache::new();
            let mut feeds = cache.take_feeds().unwrap();
            let writers = &mut feeds.writers;
            apply(&mut writers.models, heart(&serving()).into());
            apply(
                &mut writers.versions,
                version_of("heart", "heart-1", &json!({})).into(),
            );
            apply(
                &mut writers.versions,
                version_of("heart", "heart-2", &training()).into(),
            );
            apply(
                &mut writers.versions,
                version_of("other", "other-1", &json!({})).into(),
            );
            apply(&mut writers.actions, action_on("heart", "open", false).into());
            apply(&mut writers.actions, action_on("heart", "ended", true).into());
            apply(&mut writers.actions, action_on("other", "another", false).into());
            apply(&mut writers.reports, report_on("window", "heart-1").into());
            Self { cache, feeds }
        }
    }

    fn words(targets: &Targets) -> Vec<String> {
        let word = |target: &Target| match target {
            Target::Version(name) => format!("version {}", name.name),
            Target::Model(name) => format!("model {}", name.name),
            Target::Schedule(name) => format!("schedule {}", name.name),
            Target::Action(name) => format!("action {}", name.name),
            Target::Report(name) => format!("report {}", name.name),
        };
        targets.iter().map(word).collect()
    }

    #[test]
    fn a_version_wakes_its_model_the_actions_on_it_and_the_reports_that_wait() {
        let mut scene = Scene::new();
        let change = apply(
            &mut scene.feeds.writers.versions,
            version_of("heart", "heart-1", &json!({})).into(),
        );
        let found = words(&version(&scene.cache, &change));
        assert_eq!(
            found,
            ["version heart-1", "model heart", "action open", "report window"]
        );
    }

    #[test]
    fn a_model_wakes_all_its_versions_only_if_their_view_of_it_differs() {
        let mut scene = Scene::new();
        let mut change = |status: Value| {
            let change = apply(&mut scene.feeds.writers.models, heart(&status).into());
            words(&model(&scene.cache, &change))
        };
        let mut status = serving();
        let own = ["model heart", "schedule heart", "action open"];
        status["children"] = json!([]);
        assert_eq!(change(status.clone()), own);
        status["readyPods"] = json!(1);
        let live = ["version heart-1", "model heart", "schedule heart", "action open"];
        assert_eq!(change(status.clone()), live);
        status["serving"] = json!("heart-2");
        let all = [
            "version heart-1",
            "version heart-2",
            "model heart",
            "schedule heart",
            "action open",
        ];
        assert_eq!(change(status.clone()), all);
        status["activeAction"] = json!({
            "name": "ended", "uid": "uid of ended", "type": "PromoteModel", "digest": digest(), "attempt": 1, "claimedAt": "2026-11-23T09:30:00Z",
        });
        let with_claim = ["model heart", "schedule heart", "action ended", "action open"];
        assert_eq!(
            change(status.clone()),
            with_claim,
            "an ended action has to release its claim"
        );
        status["activeAction"] = Value::Null;
        assert_eq!(change(status), with_claim);
    }

    #[test]
    fn an_action_wakes_its_model_the_others_on_it_and_the_versions_that_it_promotes_or_made() {
        let mut scene = Scene::new();
        let mut made = version_of("heart", "heart-3", &json!({}));
        made.spec.provenance = from(json!({
            "action": {"name": "ended", "uid": "uid of ended"}, "parent": {"name": "heart-1"},
        }));
        apply(&mut scene.feeds.writers.versions, made.into());
        let change = apply(
            &mut scene.feeds.writers.actions,
            action_on("heart", "ended", true).into(),
        );
        let found = words(&action(&scene.cache, &change));
        let expected = [
            "version heart-2",
            "version heart-3",
            "model heart",
            "action ended",
            "action open",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_report_wakes_its_schedule_and_the_open_actions_that_accept_its_window() {
        let mut scene = Scene::new();
        let change = apply(
            &mut scene.feeds.writers.reports,
            report_on("window", "heart-1").into(),
        );
        let found = words(&report(&scene.cache, &change));
        assert_eq!(
            found,
            ["schedule heart", "action another", "action open", "report window"]
        );
    }

    #[test]
    fn data_and_specs_of_jobs_wake_those_that_read_them() {
        let cache = Scene::new().cache;
        let map = |name: &str| words(&config_map(&cache, &child_named(metadata(name), &json!({}))));
        assert_eq!(
            map("cleveland"),
            ["version heart-1", "version heart-2", "version other-1"]
        );
        assert_eq!(map("heart-2-job-0a1b"), ["version heart-2"], "it waits for a Job");
        assert_eq!(map("heart-1-job-0a1b"), [""; 0]);
        assert_eq!(map("another"), [""; 0]);
        let found = words(&claim(&cache, &child_named(metadata("disk"), &json!({}))));
        assert_eq!(found, ["version heart-1", "version heart-2", "version other-1"]);
    }

    #[test]
    fn a_job_wakes_its_owner_and_the_version_that_recorded_it() {
        let cache = Scene::new().cache;
        let woken = |uid: &str, owner: &str, namespace: &str| {
            let owners = json!([{
                "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion", "name": "x", "uid": owner,
            }]);
            let more = json!({"uid": uid, "namespace": namespace, "ownerReferences": owners});
            words(&job(&cache, &child_named(metadata("job"), &more)))
        };
        assert_eq!(woken("x", "uid of heart-1", "hospital"), ["version heart-1"]);
        assert_eq!(
            woken("recorded job", "x", "hospital"),
            ["version heart-2"],
            "its owner was changed"
        );
        assert_eq!(woken("x", "uid of open", "hospital"), ["action open"]);
        assert_eq!(woken("recorded job", "uid of open", "elsewhere"), [""; 0]);
    }

    #[test]
    fn pods_of_jobs_wake_the_owner_of_the_job_and_other_pods_their_model() {
        let cache = Scene::new().cache;
        let woken = |labels: Value| {
            words(&pod(
                &cache,
                &child_named(metadata("pod"), &json!({"labels": labels})),
            ))
        };
        assert_eq!(woken(json!({labels::MODEL: "heart"})), ["model heart"]);
        assert_eq!(
            woken(json!({labels::MODEL: "heart", labels::VERSION: "heart-2"})),
            ["version heart-2"]
        );
        assert_eq!(
            woken(json!({labels::MODEL: "heart", labels::ACTION: "open"})),
            ["action open"]
        );
    }

    #[test]
    fn a_child_whose_label_and_owner_lead_elsewhere_is_found_by_the_record() {
        let cache = Scene::new().cache;
        let found = |namespace: &str, label: &str, owner: &str, uid: &str| {
            let more = json!({
                "namespace": namespace, "uid": uid, "labels": {labels::MODEL: label},
                "ownerReferences": [{"apiVersion": "modelward.io/v1alpha1", "kind": "Model", "name": owner, "uid": "o"}],
            });
            words(&child::<Service>(&cache, &child_named(metadata("heart"), &more)))
        };
        assert_eq!(found("hospital", "heart", "heart", "recorded"), ["model heart"]);
        assert_eq!(
            found("hospital", "other", "other", "recorded"),
            ["model heart", "model other"]
        );
        let three = ["model eves", "model heart", "model other"];
        assert_eq!(found("hospital", "other", "eves", "recorded"), three);
        assert_eq!(found("hospital", "other", "other", "another"), ["model other"]);
        assert_eq!(found("elsewhere", "other", "other", "recorded"), ["model other"]);
    }
}
