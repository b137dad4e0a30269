//! The end state of a namespace, without the parts that differ between runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Result;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{ConfigMap, Secret, Service},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};
use modelward_crds::{DriftReport, Model, ModelVersion, RemediationAction};
use modelward_kit::objects::UNRELATED;
use serde_json::Value;

use crate::cluster::TestCluster;

/// Parts that may differ between two runs.
pub const MASKED: [&str; 11] = [
    "metadata: uid, resourceVersion, generation, creationTimestamp, managedFields",
    "moments of time, also in names and sentences",
    "uids, by what they are of",
    "hashes of 8 digits in names (they cover uids), and of what was applied",
    "sha256 digests, but those of the story's snapshots and bundles",
    "keys in Secrets",
    "status of Deployments, ReplicaSets and autoscalers, which fake controllers write",
    "the label that touching changes",
    "planSequence: a number that a crash skipped is not used again (the audit log shows that none is used twice)",
    "the order of owners, which is that of their uids",
    "addresses of Services, which the API server draws",
];

const SEQUENCE: &str = "planSequence";
/// The shape of a uid.
const UID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// All objects in a namespace by kind and masked name.
#[derive(Clone, Debug, PartialEq)]
pub struct EndState(BTreeMap<String, Vec<Value>>);

// === impl EndState ===

impl EndState {
    /// Reads the end state.
    pub async fn read(cluster: &TestCluster) -> Result<Self> {
        let kinds = [
            ApiResource::erase::<ModelVersion>(&()),
            ApiResource::erase::<Model>(&()),
            ApiResource::erase::<DriftReport>(&()),
            ApiResource::erase::<RemediationAction>(&()),
            ApiResource::erase::<Job>(&()),
            ApiResource::erase::<Deployment>(&()),
            ApiResource::erase::<ReplicaSet>(&()),
            ApiResource::erase::<ConfigMap>(&()),
            ApiResource::erase::<Secret>(&()),
            ApiResource::erase::<Service>(&()),
            ApiResource::erase::<HorizontalPodAutoscaler>(&()),
            ApiResource::erase::<PodDisruptionBudget>(&()),
        ];
        let mut found = Vec::new();
        for kind in kinds {
            let api =
                Api::<DynamicObject>::namespaced_with(cluster.world.admin.clone(), &cluster.namespace, &kind);
            for object in api.list(&ListParams::default()).await? {
                found.push((kind.kind.clone(), object));
            }
        }
        // A crash between the creation of a key Secret and its record leaves an unused Secret, which is deleted with its Model.
        let recorded: BTreeSet<String> = found
            .iter()
            .filter(|(kind, _)| kind == "Model")
            .filter_map(|(_, model)| Some(model.data["status"]["keySecret"].as_str()?.to_owned()))
            .collect();
        found.retain(|(kind, object)| kind != "Secret" || recorded.contains(&object.name_any()));
        let mut mask = Mask::new(cluster);
        for (kind, object) in &found {
            let name = mask.text(&object.name_any());
            mask.uids.insert(
                object.uid().unwrap_or_default(),
                format!("<uid of {kind} {name}>"),
            );
        }
        let mut state = BTreeMap::<String, Vec<Value>>::new();
        for (kind, object) in found {
            let name = format!("{kind} {}", mask.text(&object.name_any()));
            let mut value = serde_json::to_value(&object)?;
            drop_what_differs(&kind, &mut value);
            state.entry(name).or_default().push(mask.value(value));
        }
        for objects in state.values_mut() {
            objects.sort_by_key(ToString::to_string);
        }
        Ok(Self(state))
    }

    /// The differences between this state and another, as text.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let mut found = Vec::new();
        for name in names {
            let of = |state: &Self| state.0.get(name).cloned().unwrap_or_default();
            let (ours, theirs) = (of(self), of(other));
            if ours.len() != theirs.len() {
                found.push(format!(
                    "{name}: {} of them in place of {}",
                    theirs.len(),
                    ours.len()
                ));
            }
            for (ours, theirs) in ours.iter().zip(&theirs) {
                compare(name, ours, theirs, &mut found);
            }
        }
        found
    }

    /// The state as readable text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, objects) in &self.0 {
            for object in objects {
                let _ = writeln!(
                    text,
                    "--- {name}\n{}",
                    serde_json::to_string_pretty(object).unwrap_or_default()
                );
            }
        }
        text
    }
}

fn drop_what_differs(kind: &str, value: &mut Value) {
    for field in [
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "managedFields",
    ] {
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove(field);
        }
    }
    if let Some(labels) = value["metadata"]["labels"].as_object_mut() {
        labels.remove(UNRELATED);
        if labels.is_empty() {
            value["metadata"]["labels"] = Value::Null;
        }
    }
    if let Some(owners) = value["metadata"]["ownerReferences"].as_array_mut() {
        // Names with a hash of their uid come after names without one.
        owners.sort_by_key(|owner| owner["name"].as_str().map(|name| (name.len(), name.to_owned())));
    }
    match kind {
        "Service" => {
            for field in ["clusterIP", "clusterIPs"] {
                value["spec"][field] = Value::Null;
            }
        }
        "Secret" => {
            for (_, data) in value["data"].as_object_mut().into_iter().flatten() {
                *data = "<key>".into();
            }
        }
        "Deployment" | "ReplicaSet" | "HorizontalPodAutoscaler" => value["status"] = Value::Null,
        _ => {}
    }
}

/// The differences between two values, each with its path.
pub(crate) fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                let of =
                    |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{path} .{key}"), &of(left), &of(right), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{path}: {theirs} in place of {ours}")),
    }
}

// === masking ===

struct Mask {
    uids: BTreeMap<String, String>,
    digests: BTreeMap<String, String>,
    namespace: String,
}

impl Mask {
    fn new(cluster: &TestCluster) -> Self {
        let digests = cluster.heart.names();
        Self {
            uids: BTreeMap::new(),
            digests: digests
                .into_iter()
                .flat_map(|(digest, name)| {
                    let hex = digest.trim_start_matches("sha256:").to_owned();
                    let short = hex.chars().take(12).collect::<String>();
                    [(hex, format!("<{name}>")), (short, format!("<{name}>"))]
                })
                .collect(),
            namespace: cluster.namespace.clone(),
        }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| match key.as_str() {
                    SEQUENCE => (key, "<number>".into()),
                    _ => (self.text(&key), self.value(value)),
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other,
        }
    }

    /// Replaces uids, times, digests and hashes by words.
    fn text(&self, text: &str) -> String {
        let text = text.replace(&self.namespace, "<namespace>");
        let bytes = text.as_bytes();
        let mut masked = String::with_capacity(text.len());
        let mut at = 0;
        while at < bytes.len() {
            let inside = at > 0 && bytes[at - 1].is_ascii_alphanumeric();
            let replaced = if inside { None } else { self.token(&text[at..]) };
            if let Some((length, word)) = replaced {
                masked.push_str(&word);
                at += length;
            } else {
                let next = text[at..].chars().next().unwrap_or(' ');
                masked.push(next);
                at += next.len_utf8();
            }
        }
        masked
    }

    /// The part at the start of the text that differs between runs: its length and its replacement.
    fn token(&self, text: &str) -> Option<(usize, String)> {
        if let Some(number) = text
            .strip_prefix(SEQUENCE)
            .and_then(|rest| rest.strip_prefix("\":"))
        {
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            return Some((SEQUENCE.len() + 2 + digits, format!("{SEQUENCE}\":<number>")));
        }
        if let Some(length) = shaped(text, UID) {
            let word = self.uids.get(&text[..length]).cloned();
            return Some((length, word.unwrap_or_else(|| "<uid>".to_owned())));
        }
        let hex = text.bytes().take_while(u8::is_ascii_hexdigit).count();
        let ends = !text[hex..].starts_with(|next: char| next.is_ascii_alphanumeric());
        if hex >= 12 && ends {
            let word = self.digests.get(&text[..hex]).cloned();
            return Some((hex, word.unwrap_or_else(|| "<digest>".to_owned())));
        }
        for moment in [
            "9999-99-99T99:99:99",
            "9999-99-99T99:99",
            "99999999-999999",
            "9999999999",
            "9999-99-99 99:99:99",
            "9999-99-99",
            "99:99:99",
            "99:99",
        ] {
            if let Some(mut length) = shaped(text, moment) {
                let rest = &text[length..];
                let fraction = rest
                    .strip_prefix('.')
                    .map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
                length += fraction + usize::from(text[length + fraction..].starts_with('Z'));
                return Some((length, "<time>".to_owned()));
            }
        }
        if hex == 8 && ends {
            return Some((8, "<hash>".to_owned()));
        }
        None
    }
}

/// Whether the text starts with this pattern: `x` is a hexadecimal digit, `9` a decimal one.
fn shaped(text: &str, shape: &str) -> Option<usize> {
    let fits = text.len() >= shape.len()
        && text.bytes().zip(shape.bytes()).all(|(byte, shape)| match shape {
            b'x' => byte.is_ascii_hexdigit(),
            b'9' => byte.is_ascii_digit(),
            other => byte == other,
        });
    let ends =
        fits && !text[shape.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() && next != 'Z');
    ends.then_some(shape.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask {
            uids: [(
                "0a1b2c3d-0000-4000-8000-000000000001".to_owned(),
                "<uid of Model heart>".to_owned(),
            )]
            .into(),
            digests: [("ab".repeat(32), "<bundle>".to_owned())].into(),
            namespace: "test-x7".to_owned(),
        }
    }

    #[test]
    fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
        for (text, masked) in [
            ("heart-1", "heart-1"),
            ("retrain-heart-0a1b2c3d", "retrain-heart-<hash>"),
            ("heart-0a1b2c3d-fit-00ff00ff", "heart-<hash>-fit-<hash>"),
            ("heart-1-20261123-050000", "heart-1-<time>"),
            (
                "model 0a1b2c3d-0000-4000-8000-000000000001 and 0a1b2c3d-0000-4000-8000-000000000002",
                "model <uid of Model heart> and <uid>",
            ),
            ("since 2026-11-23T05:00:00Z, 597 rows", "since <time>, 597 rows"),
            ("at 2026-11-23T05:00:00.123456Z.", "at <time>."),
            ("\"notAfter\":1795320032,", "\"notAfter\":<time>,"),
            ("the window of 10:00-11:00", "the window of <time>-<time>"),
            ("F1 0.8151 is at least 0.75", "F1 0.8151 is at least 0.75"),
            (
                "{\"planSequence\":12,\"risk\"",
                "{\"planSequence\":<number>,\"risk\"",
            ),
            ("in test-x7", "in <namespace>"),
            ("attempt 1 of 2, 303 rows", "attempt 1 of 2, 303 rows"),
        ] {
            assert_eq!(mask().text(text), masked);
        }
        let known = format!("sha256:{}", "ab".repeat(32));
        let other = format!("sha256:{}", "cd".repeat(32));
        assert_eq!(mask().text(&known), "sha256:<bundle>");
        assert_eq!(mask().text(&other), "sha256:<digest>");
    }

    #[test]
    fn every_difference_is_named_by_its_path() {
        let state = |value: Value| EndState([("Model heart".to_owned(), vec![value])].into());
        let ours = state(serde_json::json!({"status": {"routes": [{"version": "a"}], "pods": "1/1"}}));
        let theirs = state(serde_json::json!({"status": {"routes": [{"version": "b"}]}}));
        assert_eq!(
            ours.differences(&theirs),
            [
                "Model heart .status .pods: null in place of \"1/1\"",
                "Model heart .status .routes[0] .version: \"b\" in place of \"a\"",
            ]
        );
        assert_eq!(
            ours.differences(&EndState(BTreeMap::new())),
            ["Model heart: 0 of them in place of 1"]
        );
    }
}
