use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use modelward_core::{attempt::StageJob, queue::Limits};
use modelward_crds::Networks;
use modelward_wire::{Digest, JobStage};

use super::*;
use crate::{
    jobs::{
        build::{JobRequest, job},
        owner::JobOwner,
    },
    model::ProberConfig,
    pod_template::TOKEN_DIR,
};

fn config(allowed: &Value) -> Config {
    Config {
        trainer_image: "registry.example/modelward/trainer:1".into(),
        inference_image: "registry.example/modelward/inference:1".into(),
        image_pull_policy: "IfNotPresent".into(),
        image_pull_secrets: Vec::new(),
        ledger_url: "http://ledger".into(),
        ledger_token_file: "/token".into(),
        workload_service_account: "default".into(),
        training_deadline_seconds: 3600,
        allow_sources: Networks::default(),
        deny_sources: Networks::default(),
        max_dataset_mib: 512,
        trainer_resources: ResourceRequirements {
            limits: Some([("memory".to_owned(), Quantity("2Gi".into()))].into()),
            ..ResourceRequirements::default()
        },
        allowed_trainers: serde_json::from_value(allowed.clone()).unwrap(),
        jobs: Limits::default(),
        policy: modelward_core::policy::Policy::default(),
        gate_children: false,
        publishes: false,
        ignore_differences: Vec::new(),
        upgrade_at_once: 1,
        prober: ProberConfig::default(),
        watch_namespace: None,
    }
}

/// The Pod of a fit of a version that this image trains.
fn pod_of(trainer: &Value, allowed: &Value) -> Result<PodSpec, Error> {
    let version: modelward_crds::ModelVersion = serde_json::from_value(json!({
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelVersion",
        "metadata": {"name": "heart-1", "namespace": "hospital", "uid": "u"},
        "spec": {"model": "heart", "serving": {"access": "Open"}, "source": {"training": {
            "dataset": {"configMap": {"name": "heart-disease", "key": "cleveland.csv"}}, "target": {"column": "num"},
            "validation": {"seed": 7, "repeats": 1, "heldOut": {"fraction": "0.2"}}, "customTrainer": trainer,
        }}},
    }))
    .unwrap();
    let valid = modelward_core::version::validate(&version).unwrap();
    let stage = StageJob {
        stage: JobStage::Fit,
        name: "heart-1-fit-0a1b2c3d".to_owned(),
        attempt: 1,
        input: String::new(),
    };
    let request = JobRequest {
        stage: &stage,
        version: "heart-1",
        spec: &version.spec,
        snapshot: Some(Digest::from_bytes([1; 32])),
        counts_new_rows: false,
    };
    let job = job(
        &config(allowed),
        &JobOwner::version(&valid),
        &request,
        "heart-1-job-0a1b2c3d",
    )?;
    let spec = job.spec.unwrap();
    let rules = spec.pod_failure_policy.unwrap().rules;
    let failing = rules.iter().filter(|rule| rule.action == "FailJob");
    let failing: Vec<_> = failing
        .filter_map(|rule| rule.on_exit_codes.as_ref())
        .map(|codes| {
            let container = codes.container_name.as_deref();
            (container, codes.operator.as_str(), codes.values.as_slice())
        })
        .collect();
    assert_eq!(
        failing,
        [
            (Some(PREPARE), "In", &[2][..]),
            (Some(CUSTOM_TRAINER), "NotIn", &[0][..])
        ]
    );
    // A program that ends as if a signal had ended it is not run again and again.
    assert!(rules.iter().all(|rule| {
        let of = rule
            .on_exit_codes
            .as_ref()
            .and_then(|codes| codes.container_name.as_deref());
        rule.action != "Ignore" || of != Some(CUSTOM_TRAINER)
    }));
    Ok(spec.template.spec.unwrap())
}

fn mounts(container: &Container) -> Vec<(&str, &str, bool)> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .map(|mount| {
            (
                mount.name.as_str(),
                mount.mount_path.as_str(),
                mount.read_only == Some(true),
            )
        })
        .collect()
}

fn parts_of(pod: &PodSpec) -> (&Container, &Container, &Container) {
    let [prepare, image] = pod.init_containers.as_deref().unwrap() else {
        panic!("two containers before the trainer's: {pod:?}");
    };
    (prepare, image, &pod.containers[0])
}

#[test]
fn the_image_gets_the_rows_and_nothing_else() {
    let trainer = json!({"image": "registry.example/ml/heart:1", "format": "LightGBM", "args": ["--rounds=60"],
        "env": [{"name": "A", "value": "$(MODELWARD_SEED)"}]});
    let allowed = json!({"images": ["registry.example/ml/"], "variables": ["A"]});
    let pod = pod_of(&trainer, &allowed).unwrap();
    let (prepare, image, trainer) = parts_of(&pod);
    assert_eq!(
        mounts(image),
        [
            ("input", INPUT, true),
            ("output", OUTPUT, false),
            ("scratch", "/tmp", false)
        ]
    );
    assert!(mounts(trainer).contains(&("output", OUTPUT, true)));
    assert!(
        !mounts(trainer)
            .iter()
            .any(|(name, ..)| *name == "input" || *name == "scratch")
    );
    assert!(
        !mounts(prepare)
            .iter()
            .any(|(name, ..)| *name == "output" || *name == "scratch")
    );
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(pod.service_account_name.as_deref(), Some("default"));
    assert!(
        pod.volumes
            .iter()
            .flatten()
            .all(|volume| volume.name != "api-token")
    );
    let names: Vec<&str> = image
        .env
        .iter()
        .flatten()
        .map(|variable| variable.name.as_str())
        .collect();
    assert!(!names.iter().any(|name| name.contains("LEDGER")), "{names:?}");
    assert_eq!(names.last(), Some(&"A"), "it may refer to those before it");
    let security = image.security_context.as_ref().unwrap();
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(
        security.capabilities.as_ref().unwrap().drop.as_deref(),
        Some(&["ALL".to_owned()][..])
    );
    assert_eq!(pod.security_context.as_ref().unwrap().run_as_non_root, Some(true));
    assert_eq!(image.resources, trainer.resources);
    assert_eq!(image.command, None);
    assert_eq!(image.args.as_deref(), Some(&["--rounds=60".to_owned()][..]));
    let arguments = trainer.args.as_ref().unwrap().join(" ");
    assert!(
        arguments.starts_with("fit ") && arguments.ends_with("--publish --trained /mnt/modelward/output"),
        "{arguments}"
    );
    let arguments = prepare.args.as_ref().unwrap().join(" ");
    assert!(
        arguments.starts_with("prepare ") && arguments.contains("--snapshot sha256:0101"),
        "{arguments}"
    );
}

#[test]
fn an_image_is_run_by_its_whole_name_whatever_a_node_would_make_of_the_short_one() {
    for (written, run) in [
        ("heart", "docker.io/library/heart:latest"),
        ("registry.example/ml/heart", "registry.example/ml/heart:latest"),
    ] {
        let trainer = json!({"image": written, "format": "Onnx"});
        let pod = pod_of(
            &trainer,
            &json!({"images": ["docker.io/", "registry.example/ml/"]}),
        )
        .unwrap();
        assert_eq!(parts_of(&pod).1.image.as_deref(), Some(run));
    }
}

#[test]
fn a_token_for_the_api_server_is_in_the_container_of_the_image_alone() {
    let trainer = json!({"image": "heart", "format": "XGBoost", "serviceAccountName": "trainjobs"});
    let allowed =
        json!({"images": ["heart"], "serviceAccounts": [{"name": "trainjobs", "images": ["heart"]}]});
    let pod = pod_of(&trainer, &allowed).unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some("trainjobs"));
    assert_eq!(pod.automount_service_account_token, Some(false));
    let (prepare, image, trainer) = parts_of(&pod);
    assert!(mounts(image).contains(&("api-token", API_TOKEN, true)));
    for ours in [prepare, trainer] {
        assert!(!mounts(ours).iter().any(|(name, ..)| *name == "api-token"));
        assert!(mounts(ours).contains(&("ledger-token", TOKEN_DIR, true)));
    }
    assert!(!mounts(image).iter().any(|(name, ..)| *name == "ledger-token"));
    let volume = pod
        .volumes
        .iter()
        .flatten()
        .find(|volume| volume.name == "api-token")
        .unwrap();
    let sources = volume.projected.as_ref().unwrap().sources.as_ref().unwrap();
    let audiences: Vec<_> = sources
        .iter()
        .filter_map(|source| source.service_account_token.as_ref())
        .collect();
    assert_eq!(audiences.len(), 1);
    assert_eq!(
        audiences[0].audience, None,
        "a token for the API server is none for the ledger"
    );
}

#[test]
fn an_image_that_is_not_allowed_is_never_built_into_a_job() {
    let error = pod_of(&json!({"image": "heart", "format": "Onnx"}), &json!({})).unwrap_err();
    assert!(error.to_string().contains("trainer.custom.images"), "{error}");
}
