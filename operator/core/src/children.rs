//! Whether a child of a Model is exactly what it should be.
//!
//! [`target`] is the desired object: the wanted one with, from the live one, the short list of fields that others may
//! set. [`differences`] names every field in which the live object differs from it. Others may set:
//!
//! * `status`, and the metadata that the API server keeps (uid, resourceVersion, generation, managed fields, times),
//! * labels and annotations without a prefix of `modelward.io`, `kubernetes.io` or `k8s.io`, and the few annotations in
//!   `FREE_ANNOTATIONS`,
//! * the Deployment's `spec.replicas` within the autoscaler's bounds,
//! * `kubectl.kubernetes.io/restartedAt` of the Pod template,
//! * the Service's addresses and address families,
//! * the fields in the ignore rules of the operator's configuration.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::names::name_hash;

/// The annotation that `kubectl rollout restart` sets on a Pod template.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Annotations with a reserved prefix that are allowed: Kubernetes' controllers write them, or they have no effect.
const FREE_ANNOTATIONS: [&str; 6] = [
    "deployment.kubernetes.io/revision",
    "kubernetes.io/change-cause",
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
    "controller.kubernetes.io/pod-deletion-cost",
    "cluster-autoscaler.kubernetes.io/safe-to-evict",
];

/// Metadata that the API server keeps.
const SERVER_METADATA: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generateName",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Fields of a Service that the API server sets.
const SERVICE_ADDRESSES: [&str; 4] = ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];

/// If this many restores within [`ROUNDS_WITHIN`] are undone in the same way, it is a conflict.
const ROUNDS: usize = 3;
/// See [`ROUNDS`].
const ROUNDS_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// A change that the API server makes to each write is tested again after this long: the webhook or policy may have been removed.
pub const ADMITTED_FOR: SignedDuration = SignedDuration::from_mins(2);
/// A child that another client keeps changing is left alone for this long.
const LEFT_ALONE_FOR: SignedDuration = SignedDuration::from_hours(1);

/// A field of a kind of child that others may set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, try_from = "Given")]
pub struct IgnoreRule {
    /// Kind of the child: `Deployment`.
    pub kind: String,
    /// JSON pointer of the field: `/spec/template/spec/tolerations`. `*` stands for each item of a list.
    pub path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Given {
    kind: String,
    path: String,
}

/// The kinds that an [`IgnoreRule`] may name.
const KINDS: [&str; 4] = [
    "Deployment",
    "HorizontalPodAutoscaler",
    "PodDisruptionBudget",
    "Service",
];

// === impl IgnoreRule ===

impl TryFrom<Given> for IgnoreRule {
    type Error = String;

    fn try_from(given: Given) -> Result<Self, String> {
        let Given { kind, path } = given;
        if !KINDS.contains(&kind.as_str()) {
            return Err(format!("kind {kind:?} is not one of {}", KINDS.join(", ")));
        }
        let inner = ["/spec/", "/metadata/labels/", "/metadata/annotations/"];
        if !inner
            .iter()
            .any(|start| path.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
        {
            return Err(format!(
                "path {path:?} is not a JSON pointer of a field under /spec/, /metadata/labels/ or /metadata/annotations/, \
                 such as /spec/template/spec/tolerations"
            ));
        }
        Ok(Self { kind, path })
    }
}

impl IgnoreRule {
    fn steps(&self) -> Vec<String> {
        self.path
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"))
            .collect()
    }
}

/// Bounds of the number of Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Minimum.
    pub min: i32,
    /// Maximum.
    pub max: i32,
}

/// The desired object: `wanted`, with the fields that others may set taken from `live`.
pub fn target(
    kind: &str,
    live: &Value,
    wanted: &Value,
    bounds: Option<Bounds>,
    ignored: &[IgnoreRule],
) -> Value {
    let mut target = wanted.clone();
    let metadata = &live["metadata"];
    for key in SERVER_METADATA {
        carry(metadata, &mut target["metadata"], key);
    }
    carry(live, &mut target, "status");
    carry_free(metadata, &mut target["metadata"], "labels");
    carry_free(metadata, &mut target["metadata"], "annotations");
    match kind {
        "Deployment" => {
            if let Some(bounds) = bounds {
                let found = live["spec"]["replicas"].as_i64().unwrap_or(0);
                let (min, max) = (i64::from(bounds.min.max(1)), i64::from(bounds.max.max(1)));
                // Zero Pods disables an autoscaler, so zero is set to the minimum like any other number outside the bounds.
                target["spec"]["replicas"] = found.clamp(min, max.max(min)).into();
            }
            let template = &live["spec"]["template"]["metadata"];
            carry(
                template,
                &mut target["spec"]["template"]["metadata"],
                "creationTimestamp",
            );
            if let Some(at) = template["annotations"].get(RESTARTED_AT) {
                target["spec"]["template"]["metadata"]["annotations"][RESTARTED_AT] = at.clone();
            }
        }
        "Service" if has_address(live) => {
            for key in SERVICE_ADDRESSES {
                carry(&live["spec"], &mut target["spec"], key);
            }
        }
        _ => {}
    }
    for rule in ignored.iter().filter(|rule| rule.kind == kind) {
        let steps: Vec<_> = rule.steps();
        let steps: Vec<_> = steps.iter().map(String::as_str).collect();
        carry_path(live, &mut target, &steps);
    }
    target
}

/// JSON pointers of the fields in which the two objects differ. An absent field equals an empty one.
pub fn differences(live: &Value, target: &Value) -> Vec<String> {
    let mut found = Vec::new();
    differ(live, target, &mut String::new(), &mut found);
    found
}

/// A fingerprint of `differences` with the found values: it is the same for two objects that were changed in the same way.
pub fn fingerprint(live: &Value, differences: &[String]) -> String {
    let mut text = String::new();
    for pointer in differences {
        text.push_str(pointer);
        text.push('=');
        text.push_str(&live.pointer(pointer).map(ToString::to_string).unwrap_or_default());
        text.push('\n');
    }
    name_hash([text.as_bytes()])
}

/// Whether an immutable field differs, so that the object has to be recreated.
pub fn must_be_made_again(kind: &str, live: &Value, target: &Value) -> bool {
    match kind {
        "ConfigMap" => {
            live["immutable"] == true
                && (live["data"] != target["data"]
                    || live.get("binaryData") != target.get("binaryData")
                    || target["immutable"] != true)
        }
        "Deployment" => live["spec"]["selector"] != target["spec"]["selector"],
        // Without a cluster address the Service does not forward its port.
        "Service" => live["spec"]["type"] != "ExternalName" && !has_address(live),
        _ => false,
    }
}

/// Hash of a Pod template as the API server stores it, without what `kubectl rollout restart` sets.
pub fn template_hash(deployment: &Value) -> String {
    let mut template = deployment["spec"]["template"].clone();
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("creationTimestamp");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(RESTARTED_AT);
        }
        if metadata.get("annotations").is_some_and(is_empty) {
            metadata.remove("annotations");
        }
    }
    name_hash([template.to_string().as_bytes()])
}

/// The pointers as users write field paths: `spec.template.spec.containers[0].image`, at most three of them.
pub fn in_words(differences: &[String]) -> String {
    let shown: Vec<_> = differences.iter().take(3).map(|pointer| path(pointer)).collect();
    match differences.len().checked_sub(3) {
        Some(more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

// === what was found before ===

/// The operator's memory of one child.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Hash of the wanted object that the rest refers to.
    wanted: String,
    /// How the API server's answer to the operator's own write differed because of admission, and when.
    admitted: Option<(String, Vec<String>, Timestamp)>,
    /// When the child was restored, and from what.
    restores: Vec<(Timestamp, String)>,
    /// A change that returned after each restore, and when the child is restored next.
    left: Option<(String, Timestamp)>,
}

/// What to do about a child that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Restore it.
    Restore,
    /// Admission makes this change to every write: leave it.
    Admitted,
    /// Another client repeats this change: leave it for now.
    LeftAlone,
}

// === impl Memory ===

impl Memory {
    /// What to do about a child with this wanted object and these differences.
    pub fn judge(&mut self, wanted: &str, found: &str, now: Timestamp) -> Judgement {
        if self.wanted != wanted {
            *self = Self {
                wanted: wanted.to_owned(),
                ..Self::default()
            };
        }
        if self
            .admitted
            .as_ref()
            .is_some_and(|(admitted, _, at)| admitted == found && now.duration_since(*at) < ADMITTED_FOR)
        {
            return Judgement::Admitted;
        }
        if let Some((left, until)) = &self.left {
            if left == found && now < *until {
                return Judgement::LeftAlone;
            }
            self.left = None;
        }
        self.restores
            .retain(|(at, _)| now.duration_since(*at) < ROUNDS_WITHIN);
        let rounds = self.restores.iter().filter(|(_, before)| before == found);
        if rounds.count() >= ROUNDS {
            self.left = Some((found.to_owned(), now + LEFT_ALONE_FOR));
            self.restores.clear();
            return Judgement::LeftAlone;
        }
        Judgement::Restore
    }

    /// Records that a child with the differences `found` was written, and how the API server's answer differs.
    pub fn written(
        &mut self,
        wanted: &str,
        found: Option<&str>,
        made: Option<(String, Vec<String>)>,
        now: Timestamp,
    ) {
        wanted.clone_into(&mut self.wanted);
        if let Some(found) = found
            && made.as_ref().is_none_or(|(made, _)| made != found)
        {
            self.restores.push((now, found.to_owned()));
        }
        self.admitted = made.map(|(found, fields)| (found, fields, now));
    }

    /// The fields that the API server changes on each write.
    pub fn admitted(&self) -> &[String] {
        self.admitted
            .as_ref()
            .map(|(_, fields, _)| fields.as_slice())
            .unwrap_or_default()
    }
}

// === small ===

fn carry(from: &Value, to: &mut Value, key: &str) {
    match (from.get(key), to) {
        (Some(value), Value::Object(to)) => {
            to.insert(key.to_owned(), value.clone());
        }
        (None, Value::Object(to)) => {
            to.remove(key);
        }
        _ => {}
    }
}

fn carry_free(from: &Value, to: &mut Value, field: &str) {
    let Some(Value::Object(found)) = from.get(field) else {
        return;
    };
    let free = found.iter().filter(|(key, _)| {
        is_free(key) || (field == "annotations" && FREE_ANNOTATIONS.contains(&key.as_str()))
    });
    for (key, value) in free {
        if to[field].get(key).is_none() {
            to[field][key] = value.clone();
        }
    }
}

/// Whether other clients may set a label or annotation of this key.
fn is_free(key: &str) -> bool {
    let reserved = ["modelward.io", "kubernetes.io", "k8s.io"];
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let is = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    !reserved.into_iter().any(is)
}

fn carry_path(from: &Value, to: &mut Value, steps: &[&str]) {
    match (steps, &mut *to) {
        (["*", rest @ ..], Value::Array(items)) => {
            for (index, item) in items.iter_mut().enumerate() {
                match (from.get(index), rest) {
                    (Some(found), []) => *item = found.clone(),
                    (Some(found), rest) => carry_path(found, item, rest),
                    (None, _) => {}
                }
            }
        }
        ([step], Value::Object(_)) => carry(from, to, step),
        ([step, rest @ ..], Value::Object(fields)) => {
            let Some(found) = from.get(*step) else { return };
            let inner = fields
                .entry((*step).to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            carry_path(found, inner, rest);
        }
        ([step, rest @ ..], Value::Array(items)) => {
            let Ok(index) = step.parse::<usize>() else { return };
            if let (Some(found), Some(item)) = (from.get(index), items.get_mut(index)) {
                if rest.is_empty() {
                    *item = found.clone();
                } else {
                    carry_path(found, item, rest);
                }
            }
        }
        _ => {}
    }
}

fn has_address(service: &Value) -> bool {
    service["spec"]["clusterIP"]
        .as_str()
        .is_some_and(|address| !address.is_empty() && address != "None")
}

fn differ(live: &Value, target: &Value, at: &mut String, found: &mut Vec<String>) {
    match (live, target) {
        (Value::Object(live), Value::Object(target)) => {
            for (key, value) in live {
                let within = target.get(key).unwrap_or(&Value::Null);
                step(at, key, |at| differ(value, within, at, found));
            }
            for (key, value) in target.iter().filter(|(key, _)| !live.contains_key(*key)) {
                step(at, key, |at| differ(&Value::Null, value, at, found));
            }
        }
        (Value::Array(live), Value::Array(target)) if live.len() == target.len() => {
            for (index, (live, target)) in live.iter().zip(target).enumerate() {
                step(at, &index.to_string(), |at| differ(live, target, at, found));
            }
        }
        _ if live == target || (is_empty(live) && is_empty(target)) => {}
        _ => found.push(at.clone()),
    }
}

fn step(at: &mut String, key: &str, inner: impl FnOnce(&mut String)) {
    let length = at.len();
    at.push('/');
    at.push_str(&key.replace('~', "~0").replace('/', "~1"));
    inner(at);
    at.truncate(length);
}

/// The API server drops empty objects and lists in places. False differs from absent: some fields default to true.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn path(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.chars().all(|letter| letter.is_ascii_digit()) || step.contains(['.', '/']) {
            path.extend(["[", &step, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step);
        }
    }
    path
}

#[cfg(test)]
mod tests;
