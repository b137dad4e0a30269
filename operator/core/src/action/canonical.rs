//! Canonical JSON, and its digest.

use modelward_wire::Digest;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The sha256 of a text.
pub fn digest(text: &str) -> Digest {
    Digest::from_bytes(Sha256::digest(text).into())
}

/// Sorted keys, without nulls and spaces, independent of the order in maps.
pub fn text(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields
                .keys()
                .filter(|key| !fields[key.as_str()].is_null())
                .collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{}:{}", Value::from(key.as_str()), text(&fields[key.as_str()])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(text).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}
