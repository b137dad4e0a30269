use modelward_wire::JobStage;
use serde_json::{Value, json};

use super::*;

const OURS: &str = "trainer";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn job() -> Job {
    job_with(&json!({}), &json!({}))
}

fn job_with(spec: &Value, status: &Value) -> Job {
    let mut all = json!({"template": {"spec": {"containers": []}}});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({
        "metadata": {"name": "heart-1-fit-0a1b2c3d", "uid": "j", "creationTimestamp": at(0).to_string()},
        "spec": all, "status": status,
    }))
    .unwrap()
}

fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "heart-1-fit-0a1b2c3d-x", "uid": "p", "creationTimestamp": at(1).to_string()},
        "spec": {"containers": [
            {"name": "istio-proxy", "resources": {"limits": {"memory": "64Mi"}}},
            {"name": OURS, "resources": {"limits": {"memory": "2Gi"}}},
        ]},
        "status": status,
    }))
    .unwrap()
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(&json!({"phase": "Pending", "containerStatuses": [
        {"name": "istio-proxy", "ready": true, "restartCount": 0, "image": "", "imageID": "",
         "state": {"running": {}}},
        {"name": OURS, "ready": false, "restartCount": 0, "image": "", "imageID": "",
         "state": {"waiting": {"reason": reason, "message": message}}},
    ]}))
}

fn ended(state: &Value) -> Pod {
    pod(&json!({"phase": "Failed", "containerStatuses": [
        {"name": "a-sidecar", "ready": false, "restartCount": 0, "image": "", "imageID": "",
         "state": {"terminated": {"exitCode": 1, "message": "not the one"}}},
        {"name": OURS, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": {"terminated": state}},
    ]}))
}

fn event(uid: &str, reason: &str, message: &str, second: i64) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": format!("e-{second}")}, "involvedObject": {"uid": uid}, "type": "Warning",
        "reason": reason, "message": message, "lastTimestamp": at(second).to_string(),
    }))
    .unwrap()
}

fn seen(job: &Job, pods: &[Pod], events: &[Event], second: i64) -> Option<(Cause, String)> {
    of_job(job, pods, OURS, events, at(second)).map(|found| (found.cause, found.message))
}

fn cause(pod: &Pod) -> Option<Cause> {
    of_pod(pod, OURS, &[], at(2)).map(|found| found.cause)
}

// === no Pod ===

#[test]
fn a_pod_that_a_quota_refuses_is_reported_in_the_api_servers_words() {
    let words = "Error creating: pods \"heart-1-fit-0a1b2c3d-x7k2p\" is forbidden: exceeded quota: team, requested: pods=1";
    let refused = [event("j", "FailedCreate", words, 3)];
    let (cause, message) = seen(&job(), &[], &refused, 4).unwrap();
    assert_eq!(cause, Cause::PodRefused);
    assert_eq!(
        message,
        "Job heart-1-fit-0a1b2c3d cannot create its Pod: Error creating: pods \"heart-1-fit-0a1b2c3d-…\" is forbidden: \
         exceeded quota: team, requested: pods=1"
    );
}

#[test]
fn the_same_refusal_of_another_generated_name_reads_the_same() {
    for (kind, refusal) in [
        ("pods", "is forbidden: no"),
        ("Pod", "is invalid: cpu: must be less"),
    ] {
        let of = |name: &str| {
            let words = format!("Error creating: {kind} \"heart-1-fit-0a1b2c3d-{name}\" {refusal}");
            seen(&job(), &[], &[event("j", "FailedCreate", &words, 3)], 4)
        };
        assert_eq!(of("x7k2p"), of("zzzzz"));
    }
}

#[test]
fn the_newest_refusal_counts_and_those_of_other_jobs_do_not() {
    let events = [
        event("j", "FailedCreate", "the second", 9),
        event("j", "FailedCreate", "the first", 3),
        event("another", "FailedCreate", "of another Job", 20),
    ];
    assert!(seen(&job(), &[], &events, 21).unwrap().1.ends_with("the second"));
}

#[test]
fn a_refusal_that_is_over_is_not_reported_when_the_pod_runs() {
    let running = pod(&json!({"phase": "Running", "containerStatuses": [
        {"name": OURS, "ready": true, "restartCount": 0, "image": "", "imageID": "", "state": {"running": {}}},
    ]}));
    let old = [event("j", "FailedCreate", "exceeded quota", 0)];
    assert_eq!(seen(&job(), &[running], &old, 100), None);
}

#[test]
fn a_job_without_a_pod_is_reported_after_twenty_seconds_even_where_events_cannot_be_read() {
    assert_eq!(seen(&job(), &[], &[], 19), None);
    let (cause, message) = seen(&job(), &[], &[], 20).unwrap();
    assert_eq!(cause, Cause::PodPending);
    assert_eq!(
        Some((cause, message)),
        seen(&job(), &[], &[], 5000),
        "it does not change with time"
    );
}

#[test]
fn a_suspended_job_says_so() {
    let suspended = job_with(&json!({"suspend": true}), &json!({}));
    let (cause, message) = seen(&suspended, &[], &[], 1).unwrap();
    assert_eq!(cause, Cause::Suspended);
    assert!(message.contains("spec.suspend: true"), "{message}");
}

// === a Pod that does not start ===

#[test]
fn a_pod_that_no_node_takes_is_reported_in_the_schedulers_words() {
    let words = "0/3 nodes are available: 3 node(s) had untolerated taint {dedicated: ml}.";
    let pending = pod(&json!({"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words},
    ]}));
    let (cause, message) = seen(&job(), &[pending], &[], 2).unwrap();
    assert_eq!(cause, Cause::Unschedulable);
    assert!(message.ends_with(words), "{message}");
}

#[test]
fn an_image_that_cannot_be_pulled_is_reported_though_a_sidecar_stands_first() {
    let words = |port| format!("lookup registry: read udp 10.1.0.2:{port}->10.2.0.10:53: i/o timeout");
    assert_eq!(
        without_local_port(&words(41_234)),
        "lookup registry: read udp 10.1.0.2:…->10.2.0.10:53: i/o timeout"
    );
    assert_eq!(without_local_port(&words(5)), without_local_port(&words(60_000)));
    assert_eq!(without_local_port("a -> b: 12"), "a -> b: 12");
    for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"] {
        let found = of_pod(&waiting(reason, "not found"), OURS, &[], at(2)).unwrap();
        assert_eq!(found.cause, Cause::ImagePullFailed);
        assert!(
            found.message.contains(&format!("{reason}: not found")),
            "{}",
            found.message
        );
    }
}

#[test]
fn a_container_that_cannot_be_made_is_no_fault_of_the_program() {
    let found = cause(&waiting("CreateContainerConfigError", "secret \"x\" not found"));
    assert_eq!(found, Some(Cause::ContainerNotStarted));
    let exec = ended(&json!({"exitCode": 128, "reason": "StartError", "message": "no such file"}));
    assert_eq!(cause(&exec), Some(Cause::ContainerNotStarted));
    assert!(Cause::ContainerNotStarted.is_infrastructure());
}

#[test]
fn a_container_that_is_just_being_made_is_no_hindrance() {
    assert_eq!(cause(&waiting("ContainerCreating", "")), None);
    let found = of_pod(&waiting("ContainerCreating", ""), OURS, &[], at(21)).unwrap();
    assert_eq!(found.cause, Cause::PodPending, "until it takes long");
}

#[test]
fn a_volume_that_another_node_holds_is_reported_by_its_event() {
    let words = "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) other-0";
    let creating = waiting("ContainerCreating", "");
    let events = [event("p", "FailedAttachVolume", words, 5)];
    let (cause, message) = seen(&job(), &[creating], &events, 6).unwrap();
    assert_eq!(cause, Cause::VolumeNotReady);
    assert!(message.ends_with(words), "{message}");
}

#[test]
fn a_sandbox_that_cannot_be_made_is_reported_by_its_event() {
    let events = [event(
        "p",
        "FailedCreatePodSandBox",
        "plugin type=\"cni\" failed",
        5,
    )];
    let found = seen(&job(), &[waiting("ContainerCreating", "")], &events, 6);
    assert_eq!(found.unwrap().0, Cause::SandboxFailed);
}

#[test]
fn an_injected_init_container_that_fails_is_named() {
    let blocked = pod(&json!({"phase": "Pending",
        "initContainerStatuses": [{"name": "istio-init", "ready": false, "restartCount": 3, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 2, "message": "iptables"}}}],
        "containerStatuses": [{"name": OURS, "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "PodInitializing"}}}]}));
    let (cause, message) = seen(&job(), &[blocked], &[], 2).unwrap();
    assert_eq!(cause, Cause::ContainerNotStarted);
    assert!(message.starts_with("init container istio-init"), "{message}");
}

// === a Pod that ended ===

#[test]
fn a_container_that_was_oom_killed_names_its_own_limit() {
    let found = of_pod(
        &ended(&json!({"exitCode": 137, "reason": "OOMKilled"})),
        OURS,
        &[],
        at(2),
    )
    .unwrap();
    assert_eq!(found.cause, Cause::OutOfMemory);
    assert!(
        found
            .message
            .ends_with("it needs more than its memory limit of 2Gi"),
        "{}",
        found.message
    );
    assert!(!found.cause.is_infrastructure());
}

#[test]
fn the_end_of_a_sidecar_is_not_the_end_of_the_program() {
    let found = of_pod(
        &ended(&json!({"exitCode": 1, "message": "the one"})),
        OURS,
        &[],
        at(2),
    )
    .unwrap();
    assert_eq!(found.cause, Cause::ContainerFailed);
    assert!(
        found.message.ends_with("ended with exit code 1: the one"),
        "{}",
        found.message
    );
    assert_eq!(cause(&ended(&json!({"exitCode": 0}))), None);
}

#[test]
fn a_pod_that_was_evicted_or_preempted_is_no_fault_of_the_program() {
    let evicted = pod(&json!({"phase": "Failed", "reason": "Evicted",
        "message": "The node was low on resource: ephemeral-storage."}));
    assert_eq!(cause(&evicted), Some(Cause::Disrupted), "it was not admitted");
    let preempted = pod(&json!({"phase": "Failed", "conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempting"}],
        "containerStatuses": [{"name": OURS, "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"terminated": {"exitCode": 143}}}]}));
    assert_eq!(cause(&preempted), Some(Cause::Disrupted));
}

#[test]
fn a_pod_that_overfills_its_volumes_is_at_fault_and_one_on_a_node_that_lacks_disk_is_not() {
    let evicted = |conditions: Value| {
        pod(
            &json!({"phase": "Failed", "reason": "Evicted", "conditions": conditions,
            "message": "Usage of EmptyDir volume \"output\" exceeds the limit \"2Gi\".",
            "initContainerStatuses": [{"name": "custom-trainer", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": {"terminated": {"exitCode": 137}}}]}),
        )
    };
    let own = of_pod(&evicted(json!([])), OURS, &[], at(2)).unwrap();
    assert_eq!(own.cause, Cause::OutOfDisk);
    assert!(!own.cause.is_infrastructure());
    assert!(
        own.message.contains("\"output\" exceeds the limit"),
        "{}",
        own.message
    );
    let of_node = json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]);
    assert_eq!(cause(&evicted(of_node)), Some(Cause::Disrupted));
}

/// The end of a trainer that SIGTERM ended.
fn interrupted() -> Pod {
    let said = JobResult::new(JobStage::Fit, Verdict::Interrupted, "stopped by a signal");
    ended(&json!({"exitCode": 143, "reason": "Error", "message": serde_json::to_string(&said).unwrap()}))
}

#[test]
fn a_program_that_a_signal_ended_was_disrupted_and_one_that_only_has_its_exit_code_failed() {
    let found = of_pod(&interrupted(), OURS, &[], at(2)).unwrap();
    assert_eq!(found.cause, Cause::Disrupted);
    assert!(
        found.message.ends_with("ended: stopped by a signal"),
        "{}",
        found.message
    );
    assert_eq!(
        cause(&ended(&json!({"exitCode": 143}))),
        Some(Cause::ContainerFailed)
    );
}

#[test]
fn a_server_that_crashes_again_and_again_is_reported_by_its_last_words() {
    let crashing = pod(&json!({"phase": "Running", "containerStatuses": [
        {"name": OURS, "ready": false, "restartCount": 4, "image": "", "imageID": "",
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
         "lastState": {"terminated": {"exitCode": 3, "message": "bundle is damaged"}}}]}));
    let found = of_pod(&crashing, OURS, &[], at(2)).unwrap();
    assert_eq!(found.cause, Cause::ContainerFailed);
    assert!(
        found.message.ends_with("exit code 3: bundle is damaged"),
        "{}",
        found.message
    );
}

// === a Job that failed ===

fn failed(reason: &str) -> Job {
    job_with(
        &json!({}),
        &json!({"conditions": [
        {"type": "Failed", "status": "True", "reason": reason, "message": "the Job's words"}]}),
    )
}

#[test]
fn a_failed_job_is_explained_by_the_newest_pod_that_shows_why() {
    let mut newer = ended(&json!({"exitCode": 137, "reason": "OOMKilled"}));
    newer.metadata.creation_timestamp = serde_json::from_value(json!(at(50).to_string())).unwrap();
    let older = ended(&json!({"exitCode": 1, "message": "the first"}));
    let found = of_failed_job(&failed("BackoffLimitExceeded"), &[older, newer], OURS, None);
    assert_eq!(found.cause, Cause::OutOfMemory);
    assert!(
        found
            .message
            .starts_with("Job heart-1-fit-0a1b2c3d failed: BackoffLimitExceeded: the Job's words; ")
    );
}

#[test]
fn a_job_whose_pod_never_started_until_its_deadline_did_not_fail_by_the_program() {
    let found = of_failed_job(
        &failed("DeadlineExceeded"),
        &[],
        OURS,
        Some(Cause::ImagePullFailed),
    );
    assert_eq!(found.cause, Cause::ImagePullFailed);
    let found = of_failed_job(&failed("DeadlineExceeded"), &[], OURS, None);
    assert_eq!(found.cause, Cause::DeadlineExceeded);
}

#[test]
fn a_fit_that_its_deadline_ended_is_too_slow_and_one_that_was_deleted_too_often_is_not() {
    let pods = [interrupted()];
    let found = of_failed_job(&failed("DeadlineExceeded"), &pods, OURS, None);
    assert_eq!(found.cause, Cause::DeadlineExceeded);
    assert!(
        found.message.ends_with("ended: stopped by a signal"),
        "{}",
        found.message
    );
    let found = of_failed_job(&failed("BackoffLimitExceeded"), &pods, OURS, None);
    assert_eq!(found.cause, Cause::Disrupted);
}

#[test]
fn a_failed_job_without_pods_says_what_the_job_says() {
    let found = of_failed_job(&failed("BackoffLimitExceeded"), &[], OURS, None);
    assert_eq!(found.cause, Cause::ContainerFailed);
    assert!(found.message.ends_with("BackoffLimitExceeded: the Job's words"));
}

#[test]
fn each_cause_has_a_reason_of_its_own_and_is_found_by_it() {
    for cause in Cause::ALL {
        assert_eq!(Cause::part_of(cause.into()), Some(cause));
        assert_eq!(Reason::from(cause).as_str(), cause.as_str());
    }
    assert_eq!(Cause::part_of(Reason::DatasetNotFound), None);
}

#[test]
fn only_a_container_beside_ours_that_still_runs_keeps_a_pod_from_ending() {
    let pod = |beside: Value| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "status": {"phase": "Running", "containerStatuses": [
                {"name": OURS, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 137}}},
                {"name": "proxy", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": beside},
            ]},
        }))
        .unwrap()
    };
    assert!(other_runs(&pod(json!({"running": {}})), OURS));
    assert!(!other_runs(&pod(json!({"terminated": {"exitCode": 0}})), OURS));
}

/// A Pod whose init containers of a custom training are in these states.
fn custom(prepare: &Value, image: &Value) -> Pod {
    let state = |name: &str, state: &Value| json!({"name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state});
    let mut pod = pod(&json!({"phase": "Pending",
        "initContainerStatuses": [state(PREPARE, prepare), state(CUSTOM_TRAINER, image)],
        "containerStatuses": [state(OURS, &json!({"waiting": {"reason": "PodInitializing"}}))]}));
    pod.spec.as_mut().unwrap().init_containers = Some(
        serde_json::from_value(json!([{"name": CUSTOM_TRAINER, "resources": {"limits": {"memory": "3Gi"}}}]))
            .unwrap(),
    );
    pod
}

fn done() -> Value {
    json!({"terminated": {"exitCode": 0}})
}

#[test]
fn a_pod_whose_image_trains_or_whose_rows_are_written_runs() {
    let waits = json!({"waiting": {"reason": "PodInitializing"}});
    for pod in [
        custom(&json!({"running": {}}), &waits),
        custom(&done(), &json!({"running": {}})),
    ] {
        assert!(runs(&pod, OURS));
        assert_eq!(of_pod(&pod, OURS, &[], at(600)), None);
    }
    assert!(!runs(&custom(&done(), &done()), OURS));
    let absent = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
    let found = of_pod(&custom(&done(), &absent), OURS, &[], at(600)).unwrap();
    assert_eq!(found.cause, Cause::ImagePullFailed);
    assert!(
        found.message.contains("init container custom-trainer"),
        "{found:?}"
    );
}

#[test]
fn what_an_image_says_of_its_end_is_quoted_and_cut_and_never_believed() {
    let end = |message: &str| {
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error", "message": message}});
        of_pod(&custom(&done(), &ended), OURS, &[], at(5)).unwrap()
    };
    let found = end(r#"{"message": "ValueError: no rows\u001b[31m"}"#);
    assert_eq!(found.cause, Cause::ContainerFailed);
    let words = r#"ended with exit code 3: "ValueError: no rows\u{1b}[31m""#;
    assert!(found.message.ends_with(words), "{}", found.message);
    assert!(end(&"x".repeat(4096)).message.chars().count() < 600);
    assert!(end("Traceback\nboom").message.ends_with(r#": "Traceback\nboom""#));
    let forged = JobResult::new(JobStage::Fit, Verdict::Interrupted, "an eviction");
    let found = end(&serde_json::to_string(&forged).unwrap());
    assert_eq!(found.cause, Cause::ContainerFailed, "it would be run forever");
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let found = of_pod(&custom(&done(), &killed), OURS, &[], at(5)).unwrap();
    assert_eq!(found.cause, Cause::OutOfMemory);
    assert!(
        found.message.contains("its memory limit of 3Gi"),
        "{}",
        found.message
    );
}

#[test]
fn a_job_whose_image_failed_has_failed_by_the_image_and_not_by_the_cluster() {
    let ended = json!({"terminated": {"exitCode": 1, "message": "no rows"}});
    let job = job_with(
        &json!({}),
        &json!({"conditions": [
        {"type": "Failed", "status": "True", "reason": "PodFailurePolicy", "message": "exit code 1"}]}),
    );
    let found = of_failed_job(&job, &[custom(&done(), &ended)], OURS, None);
    assert_eq!(found.cause, Cause::ContainerFailed);
    assert!(
        found.message.contains("container custom-trainer of Pod"),
        "{}",
        found.message
    );
    let refused = JobResult::new(
        JobStage::Fit,
        Verdict::SpecInvalid,
        "heldOut holds too few rows out",
    );
    let refused = json!({"terminated": {"exitCode": 2, "message": serde_json::to_string(&refused).unwrap()}});
    let found = of_failed_job(&job, &[custom(&refused, &json!({}))], OURS, None);
    assert!(
        found
            .message
            .ends_with("exit code 2: heldOut holds too few rows out"),
        "{}",
        found.message
    );
}
