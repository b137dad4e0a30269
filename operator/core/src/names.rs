//! Names of what the operator makes. Each is fixed by what it is made for, so that a second attempt finds what the first one made.

use sha2::{Digest as _, Sha256};

/// Values of labels have at most so many letters.
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

/// Name of the action that promotes this version. It is fixed by the version, so that there is one.
pub fn promotion_name(version: &str, uid: &str) -> String {
    format!("promote-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the action that proposes a return to what this version names: its bundle served or was held before.
pub fn rollback_name(version: &str, uid: &str) -> String {
    format!("rollback-{version}-{}", name_hash([uid.as_bytes()]))
}

/// Name of the version that an action trains: a second attempt of the same action finds what the first one made.
pub fn retrained_version_name(model: &str, action_uid: &str) -> String {
    // Names of versions have at most 45 letters.
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
