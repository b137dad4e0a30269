//! Why a Pod does not run, with the message of Kubernetes.
//!
//! The answer is spread over four places: the Job or `ReplicaSet` that could not make the Pod (an Event), the scheduler
//! (a condition of the Pod), volumes and the network (Events of the Pod), and the container's state. These pure functions read
//! all of them, so that a Job of the trainer and a Deployment of the server are explained by the same rules.

use std::cmp::Reverse;

use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod, PodStatus},
};

use modelward_crds::{AttemptStatus, wire::words};
use modelward_wire::{JobResult, Verdict, shorten};

use crate::reason::Reason;

mod custom;

pub use custom::{CUSTOM_TRAINER, PREPARE, custom_image};

/// A Pod that has not started after this many seconds is reported, even if no cause is known yet.
pub const PATIENCE_SECONDS: i64 = 20;
/// Messages of Kubernetes are truncated to this length.
const MESSAGE_LIMIT: usize = 700;

/// Why a Pod does not run, or why it was terminated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// The kind of cause.
    pub cause: Cause,
    /// The message of Kubernetes.
    pub message: String,
}

words! {
    /// Why a Pod does not run.
    pub enum Cause: Reason {
        /// The API server refused the Pod: a quota, a `LimitRange`, a missing service account, a policy.
        PodRefused,
        /// The Job is suspended.
        Suspended,
        /// No node accepts it.
        Unschedulable,
        /// An image cannot be pulled.
        ImagePullFailed,
        /// A volume cannot be attached or mounted.
        VolumeNotReady,
        /// The node cannot set up its network or sandbox.
        SandboxFailed,
        /// The container cannot be created or started as it is configured.
        ContainerNotStarted,
        /// The node, the scheduler or an eviction terminated it.
        Disrupted,
        /// The program could not reach what it needs.
        Unreachable,
        /// It has not started, and no cause is known.
        PodPending,
        /// The program ended with an error.
        ContainerFailed,
        /// The program exceeded its memory limit.
        OutOfMemory,
        /// The Pod wrote more to its volumes than their limits allow.
        OutOfDisk,
        /// The program exceeded its deadline.
        DeadlineExceeded,
    }
}

/// Reasons of a waiting container that stand for an image that cannot be pulled.
const IMAGE_REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// Reasons of a waiting container, or of one that ended, that stand for a container that cannot be created or started.
const CONFIGURATION_REASONS: [&str; 7] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PostStartHookError",
    "StartError",
    "ContainerCannotRun",
];
/// Reasons of an Event about volumes.
const VOLUME_EVENTS: [&str; 4] = [
    "FailedAttachVolume",
    "FailedMount",
    "FailedMapVolume",
    "VolumeResizeFailed",
];
/// Reasons of an Event about the sandbox.
const SANDBOX_EVENTS: [&str; 3] = [
    "FailedCreatePodSandBox",
    "NetworkNotReady",
    "FailedCreatePodContainer",
];
/// The operator's own init containers: they run before the trainer's container.
const BEFORE_TRAINER: [&str; 2] = [PREPARE, CUSTOM_TRAINER];
/// The reason of a Pod that the kubelet evicted.
const EVICTED: &str = "Evicted";
/// Reasons of a failed Pod that the node or a controller ended.
const DISRUPTED_REASONS: [&str; 12] = [
    EVICTED,
    "NodeLost",
    "NodeShutdown",
    "Terminated",
    "Shutdown",
    "Preempting",
    "UnexpectedAdmissionError",
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "OutOfephemeral-storage",
    "NodeAffinity",
];

// === impl Cause ===

impl Cause {
    /// Whether the cause is the cluster and not the program: it may be temporary, and says nothing about the data or the spec.
    pub const fn is_infrastructure(self) -> bool {
        !matches!(
            self,
            Self::ContainerFailed | Self::OutOfMemory | Self::OutOfDisk | Self::DeadlineExceeded
        )
    }
}

// === impl Hindrance ===

impl Hindrance {
    /// A hindrance with its message truncated to the limit of a condition.
    pub fn new(cause: Cause, message: impl AsRef<str>) -> Self {
        let message = shorten(message.as_ref().trim(), MESSAGE_LIMIT);
        Self { cause, message }
    }

    /// The same with the recorded message of the attempt, if only the order of its words differs: the API server lists the violated
    /// limits of a `LimitRange` in random order.
    #[must_use]
    pub fn as_known(self, attempt: &AttemptStatus) -> Self {
        let known = attempt.message.as_ref().filter(|known| {
            attempt.reason.as_deref() == Some(self.cause.as_str())
                && sorted_words(known) == sorted_words(&self.message)
        });
        match known {
            Some(known) => Self::new(self.cause, known),
            None => self,
        }
    }
}

fn sorted_words(text: &str) -> Vec<&str> {
    let mut words: Vec<_> = text
        .split(|letter: char| letter.is_whitespace() || matches!(letter, ',' | '.' | '[' | ']'))
        .filter(|word| !word.is_empty())
        .collect();
    words.sort_unstable();
    words
}

// === one Pod ===

/// Why this container of a Pod does not run; `None` if it runs, has succeeded or is being started.
///
/// `events` are the Events of this Pod, as far as they could be read. Those of other objects are left out.
pub fn of_pod(pod: &Pod, container: &str, events: &[Event], now: Timestamp) -> Option<Hindrance> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let nothing = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&nothing);
    if let Some(hindrance) = disruption(name, status) {
        return Some(hindrance);
    }
    let own = status
        .container_statuses
        .iter()
        .flatten()
        .find(|found| found.name == container);
    if runs(pod, container) {
        return None;
    }
    if let Some(hindrance) = own.and_then(|own| of_waiting(name, own, false)) {
        return Some(hindrance);
    }
    if let Some(ended) = own.and_then(last_end) {
        return of_end(pod, container, ended);
    }
    let mut before = status.init_container_statuses.iter().flatten();
    if let Some(hindrance) = before.find_map(|init| of_init(pod, init)) {
        return Some(hindrance);
    }
    let scheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(scheduled) = scheduled {
        let reason = scheduled.reason.as_deref().unwrap_or("Unschedulable");
        let words = scheduled.message.as_deref().unwrap_or_default();
        return Some(Hindrance::new(
            Cause::Unschedulable,
            format!("Pod {name} is not scheduled: {reason}: {words}"),
        ));
    }
    if let Some(hindrance) = of_pod_events(pod, events) {
        return Some(hindrance);
    }
    let waits = matches!(status.phase.as_deref(), None | Some("Pending" | ""));
    let old = age(pod.metadata.creation_timestamp.as_ref().map(|time| time.0), now) >= PATIENCE_SECONDS;
    (waits && old).then(|| {
        let reason = own
            .and_then(|own| own.state.as_ref()?.waiting.as_ref()?.reason.as_deref())
            .unwrap_or("Pending");
        Hindrance::new(
            Cause::PodPending,
            format!("Pod {name} has not started: {reason}; kubectl describe pod {name} may show more"),
        )
    })
}

/// How this container failed, if it did.
pub fn of_end(pod: &Pod, container: &str, ended: &ContainerStateTerminated) -> Option<Hindrance> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let reason = ended.reason.as_deref().unwrap_or_default();
    let words = ended.message.as_deref().unwrap_or_default().trim();
    if reason == "OOMKilled" {
        let limit = memory_limit(pod, container).map_or_else(
            || "its memory limit".to_owned(),
            |limit| format!("its memory limit of {limit}"),
        );
        return Some(Hindrance::new(
            Cause::OutOfMemory,
            format!("container {container} of Pod {name} was OOMKilled: it needs more than {limit}"),
        ));
    }
    if ended.exit_code == 0 {
        return None;
    }
    let is_custom = container == CUSTOM_TRAINER;
    // An image could write a result of the trainer.
    let result = Some(words).filter(|_| !is_custom);
    let result = result.and_then(|words| serde_json::from_str::<JobResult>(words).ok());
    if let Some(result) = result
        .as_ref()
        .filter(|result| result.verdict == Verdict::Interrupted)
    {
        let message = &result.message;
        return Some(Hindrance::new(
            Cause::Disrupted,
            format!("container {container} of Pod {name} ended: {message}"),
        ));
    }
    // People read the sentence of a result and not its JSON.
    let words = match &result {
        Some(result) => result.message.clone(),
        None if is_custom => custom::message(words),
        None => words.to_owned(),
    };
    let cause = if CONFIGURATION_REASONS.contains(&reason) {
        Cause::ContainerNotStarted
    } else {
        Cause::ContainerFailed
    };
    let reason = if matches!(reason, "" | "Error") {
        String::new()
    } else {
        format!(" ({reason})")
    };
    let words = if words.is_empty() {
        String::new()
    } else {
        format!(": {words}")
    };
    Some(Hindrance::new(
        cause,
        format!(
            "container {container} of Pod {name} ended with exit code {}{reason}{words}",
            ended.exit_code
        ),
    ))
}

/// The state in which this container or init container of a Pod ended, if it did and was not started again.
pub fn end_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStateTerminated> {
    let own = statuses(pod.status.as_ref()?).find(|found| found.name == container)?;
    own.state.as_ref()?.terminated.as_ref()
}

/// How this container of a Pod failed, or one of the operator's own before it.
fn failure_of(pod: &Pod, container: &str) -> Option<Hindrance> {
    std::iter::once(container)
        .chain(BEFORE_TRAINER)
        .find_map(|name| of_end(pod, name, end_of(pod, name)?))
}

/// Whether this container of a Pod runs now, or one of the operator's own before it.
pub fn runs(pod: &Pod, container: &str) -> bool {
    let before = pod
        .status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten());
    let mut before = before.filter(|init| BEFORE_TRAINER.contains(&init.name.as_str()));
    running(pod).any(|name| name == container) || before.any(is_running)
}

/// Whether another container of a Pod than this one runs now.
pub fn other_runs(pod: &Pod, container: &str) -> bool {
    running(pod).any(|name| name != container)
}

/// Names of the containers of a Pod that run now.
fn running(pod: &Pod) -> impl Iterator<Item = &str> {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    statuses
        .filter(|found| is_running(found))
        .map(|found| found.name.as_str())
}

fn is_running(found: &ContainerStatus) -> bool {
    found.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// What terminated the Pod externally.
fn disruption(name: &str, status: &PodStatus) -> Option<Hindrance> {
    let target = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if let Some(target) = target {
        let reason = target.reason.as_deref().unwrap_or("DisruptionTarget");
        let words = target.message.as_deref().unwrap_or_default();
        return Some(Hindrance::new(
            Cause::Disrupted,
            format!("Pod {name} was terminated externally: {reason}: {words}"),
        ));
    }
    let reason = status.reason.as_deref()?;
    let words = status.message.as_deref().unwrap_or_default();
    // The kubelet sets the condition above on a Pod that it evicts because the node lacks a resource, but not on one that exceeded its own
    // limits of local storage. A Pod that it does not admit, because the node already lacks a resource, has started no container.
    if reason == EVICTED && has_started(status) {
        return Some(Hindrance::new(
            Cause::OutOfDisk,
            format!("Pod {name} wrote more than its volumes allow: {reason}: {words}"),
        ));
    }
    if !DISRUPTED_REASONS.contains(&reason) {
        return None;
    }
    Some(Hindrance::new(
        Cause::Disrupted,
        format!("Pod {name} was terminated externally: {reason}: {words}"),
    ))
}

/// The statuses of all containers, and of all init containers.
fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let containers = status.container_statuses.iter();
    containers.chain(&status.init_container_statuses).flatten()
}

/// Whether a container of the Pod was started.
fn has_started(status: &PodStatus) -> bool {
    statuses(status).any(|found| {
        let state = found.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    })
}

/// The end of a container that does not run now: the present state, or the last one of a container that waits to be
/// started again.
fn last_end(own: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let state = own.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        return None;
    }
    let ended = |state: &ContainerState| state.terminated.is_some();
    let state = state
        .filter(|state| ended(state))
        .or_else(|| own.last_state.as_ref().filter(|state| ended(state)))?;
    state.terminated.as_ref()
}

fn of_waiting(pod: &str, own: &ContainerStatus, init: bool) -> Option<Hindrance> {
    let waiting = own.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let cause = if IMAGE_REASONS.contains(&reason) {
        Cause::ImagePullFailed
    } else if CONFIGURATION_REASONS.contains(&reason) {
        Cause::ContainerNotStarted
    } else {
        return None;
    };
    let kind = if init { "init container" } else { "container" };
    let words = without_local_port(waiting.message.as_deref().unwrap_or_default());
    Some(Hindrance::new(
        cause,
        format!("{kind} {} of Pod {pod} waits: {reason}: {words}", own.name),
    ))
}

/// An init container, possibly added by a webhook, that keeps the others from starting.
fn of_init(of: &Pod, init: &ContainerStatus) -> Option<Hindrance> {
    let pod = of.metadata.name.as_deref().unwrap_or_default();
    if let Some(hindrance) = of_waiting(pod, init, true) {
        return Some(hindrance);
    }
    let ended = last_end(init).filter(|ended| ended.exit_code != 0)?;
    if BEFORE_TRAINER.contains(&init.name.as_str()) {
        return of_end(of, &init.name, ended);
    }
    let words = ended.message.as_deref().unwrap_or_default();
    Some(Hindrance::new(
        Cause::ContainerNotStarted,
        format!(
            "init container {} of Pod {pod} ended with exit code {}: {words}",
            init.name, ended.exit_code
        ),
    ))
}

/// What the newest Event about volumes or the sandbox reports.
fn of_pod_events(pod: &Pod, events: &[Event]) -> Option<Hindrance> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let event = newest(events, pod.metadata.uid.as_deref(), |reason| {
        VOLUME_EVENTS.contains(&reason) || SANDBOX_EVENTS.contains(&reason)
    })?;
    let reason = event.reason.as_deref().unwrap_or_default();
    let words = event.message.as_deref().unwrap_or_default();
    let (cause, what) = if VOLUME_EVENTS.contains(&reason) {
        (Cause::VolumeNotReady, "waits for a volume")
    } else {
        (Cause::SandboxFailed, "cannot be set up on its node")
    };
    Some(Hindrance::new(
        cause,
        format!("Pod {name} {what}: {reason}: {words}"),
    ))
}

/// The memory limit of this container of a Pod, such as `512Mi`.
pub fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let own = containers.find(|found| found.name == container)?;
    let limit = own.resources.as_ref()?.limits.as_ref()?.get("memory")?;
    Some(limit.0.clone())
}

// === what makes Pods ===

/// Why the owner of these Pods has none that runs this container; `None` if one runs, or is being created or started.
///
/// `owner` is kind and name (`Job heart-1-fit-0a1b2c3d`), `uid` its uid and `since` the time from which it wanted a Pod. `events`
/// are those of the owner and of its Pods.
pub fn of_owner(
    owner: &str,
    uid: Option<&str>,
    since: Option<Timestamp>,
    pods: &[Pod],
    container: &str,
    events: &[Event],
    now: Timestamp,
) -> Option<Hindrance> {
    let newest_pod = pods
        .iter()
        .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let active = pods
        .iter()
        .filter(|pod| is_active(pod))
        .max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    if let Some(pod) = active {
        return of_pod(pod, container, events, now);
    }
    let made = newest_pod.and_then(|pod| Some(pod.metadata.creation_timestamp.as_ref()?.0));
    let refusal = newest(events, uid, |reason| reason == "FailedCreate")
        .filter(|event| made.is_none_or(|made| time_of(event) > Some(made)));
    if let Some(event) = refusal {
        let words = without_generated_name(event.message.as_deref().unwrap_or_default());
        return Some(Hindrance::new(
            Cause::PodRefused,
            format!("{owner} cannot create its Pod: {words}"),
        ));
    }
    if let Some(pod) = newest_pod {
        // It ended, and the next one has not been created yet.
        return of_pod(pod, container, events, now);
    }
    (age(since, now) >= PATIENCE_SECONDS).then(|| {
        Hindrance::new(
            Cause::PodPending,
            format!("{owner} has no Pod yet; kubectl describe may show why"),
        )
    })
}

/// Why a Job that has not ended has no Pod that runs this container.
pub fn of_job(
    job: &Job,
    pods: &[Pod],
    container: &str,
    events: &[Event],
    now: Timestamp,
) -> Option<Hindrance> {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    if job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)) {
        let condition = job
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .find(|condition| condition.type_ == "Suspended" && condition.status == "True");
        let words = condition
            .and_then(|condition| condition.message.as_deref())
            .unwrap_or("Job suspended");
        return Some(Hindrance::new(
            Cause::Suspended,
            format!("Job {name} has spec.suspend: true: {words}; it starts when that is false"),
        ));
    }
    let since = job
        .status
        .as_ref()
        .and_then(|status| status.start_time.as_ref())
        .or(job.metadata.creation_timestamp.as_ref())
        .map(|time| time.0);
    let owner = format!("Job {name}");
    of_owner(
        &owner,
        job.metadata.uid.as_deref(),
        since,
        pods,
        container,
        events,
        now,
    )
}

/// Why a Job failed: by its Pods, otherwise by its own condition.
///
/// `before` is why its Pod did not run when it was last observed: at the Job's deadline such a Pod is deleted, and with
/// it the evidence that the program never ran.
pub fn of_failed_job(job: &Job, pods: &[Pod], container: &str, before: Option<Cause>) -> Hindrance {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let failed = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "Failed");
    let reason = failed
        .and_then(|failed| failed.reason.as_deref())
        .unwrap_or("Failed");
    let words = failed
        .and_then(|failed| failed.message.as_deref())
        .unwrap_or_default();
    let mut ended: Vec<&Pod> = pods.iter().collect();
    ended.sort_by_key(|pod| Reverse(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let last = ended.iter().find_map(|pod| {
        let status = pod.status.as_ref()?;
        let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
        disruption(pod_name, status).or_else(|| failure_of(pod, container))
    });
    let own = format!("Job {name} failed: {reason}: {words}");
    if reason == "DeadlineExceeded" {
        let never_ran = before.filter(|cause| cause.is_infrastructure());
        return match (never_ran, last) {
            // A Pod that ended at the deadline was terminated because of it, whatever its message says.
            (Some(cause), _) => Hindrance::new(cause, own),
            (None, Some(last)) => Hindrance::new(Cause::DeadlineExceeded, format!("{own}; {}", last.message)),
            (None, None) => Hindrance::new(Cause::DeadlineExceeded, own),
        };
    }
    match last {
        Some(last) => Hindrance::new(last.cause, format!("{own}; {}", last.message)),
        None => Hindrance::new(before.unwrap_or(Cause::ContainerFailed), own),
    }
}

fn is_active(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

// === Events ===

/// The newest Warning about the object of this uid with a wanted reason.
fn newest<'a>(events: &'a [Event], uid: Option<&str>, wanted: impl Fn(&str) -> bool) -> Option<&'a Event> {
    events
        .iter()
        .filter(|event| uid.is_some() && event.involved_object.uid.as_deref() == uid)
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .filter(|event| event.reason.as_deref().is_some_and(&wanted))
        .max_by_key(|event| time_of(event))
}

/// When an Event was last seen.
fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    [
        series.map(|time| time.0),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ]
    .into_iter()
    .flatten()
    .max()
}

/// Each rejected Pod has another generated name; without it the messages are equal.
fn without_generated_name(words: &str) -> String {
    // A Pod that is forbidden and one that is invalid.
    for kind in ["pods \"", "Pod \""] {
        let named = words.split_once(kind).and_then(|(before, rest)| {
            let (name, after) = rest.split_once('"')?;
            let (stem, _) = name.rsplit_once('-')?;
            Some(format!("{before}{kind}{stem}-…\"{after}"))
        });
        if let Some(named) = named {
            return named;
        }
    }
    words.to_owned()
}

/// Each connection attempt has another local port (`read udp 10.0.0.2:41234->10.0.0.10:53`); without it the same
/// failure reads the same.
pub fn without_local_port(words: &str) -> String {
    let mut parts = words.split("->");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let address = whole.trim_end_matches(|letter: char| letter.is_ascii_digit());
        if address.ends_with(':') && address.len() < whole.len() {
            whole.truncate(address.len());
            whole.push('…');
        }
        whole.push_str("->");
        whole.push_str(part);
    }
    whole
}

fn age(since: Option<Timestamp>, now: Timestamp) -> i64 {
    since.map_or(0, |since| now.as_second() - since.as_second())
}

#[cfg(test)]
mod tests;
