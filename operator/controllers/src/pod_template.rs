//! The common parts of all Pods that the operator creates.

use modelward_wire::LEDGER_AUDIENCE;
use serde_json::{Value, json};

use crate::Config;

/// User and group of every container that the operator creates.
pub(crate) const USER: i64 = 65532;

pub(super) const TOKEN_DIR: &str = "/var/run/secrets/modelward/ledger";

/// A token that is valid only for the ledger, renewed in place.
pub(crate) fn token_volume() -> Value {
    let token = json!({"serviceAccountToken": {"audience": LEDGER_AUDIENCE, "expirationSeconds": 600, "path": "token"}});
    json!({"name": "ledger-token", "projected": {"sources": [token], "defaultMode": 420}})
}

/// The requirements of the restricted Pod Security Standard on a Pod.
pub(crate) fn pod_security() -> Value {
    json!({
        "runAsNonRoot": true,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The requirements of the restricted Pod Security Standard on a container, and a read-only root file system.
pub(crate) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

/// References to the Secrets with credentials of the registry.
pub(crate) fn pull_secrets(config: &Config) -> Vec<Value> {
    config
        .image_pull_secrets
        .iter()
        .map(|name| json!({"name": name}))
        .collect()
}
