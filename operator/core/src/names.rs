//! Names of the objects that the operator creates. Each is derived from its purpose, so that a second attempt finds the object of the
//! first one.

use sha2::{Digest as _, Sha256};

/// Values of labels have at most this many characters.
const LABEL: usize = 63;

/// The first 8 hexadecimal digits of the sha256 over these parts, for names of children.
///
/// Each part is preceded by its length: ("ab", "c") and ("a", "bc") are different inputs.
pub fn name_hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..4])
}

/// Name of the action that promotes this version. It is derived from the version, so that there is only one.
pub fn promotion_name(version: &str, uid: &str) -> String {
    format!("promote-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the action that proposes to roll back to this version, whose bundle served or was on hold before.
pub fn rollback_name(version: &str, uid: &str) -> String {
    format!("rollback-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the version that an action trains: a second attempt of the same action finds the version of the first one.
pub fn retrained_version_name(model: &str, action_uid: &str) -> String {
    // Names of versions have at most 45 characters.
    let model: String = model.chars().take(36).collect();
    format!(
        "{}-{}",
        model.trim_end_matches('-'),
        name_hash([action_uid.as_bytes()])
    )
}

pub(crate) fn label(name: &str) -> String {
    if name.len() <= LABEL {
        name.to_owned()
    } else {
        name_hash([name.as_bytes()])
    }
}
