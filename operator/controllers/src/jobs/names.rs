//! Names and labels of Jobs and their objects, which derive from the name of their owner.

use modelward_core::attempt::short_name;

/// Values of labels have at most this many characters.
const LABEL: usize = 63;
/// Between the owner and the hash in the name of a `ConfigMap` with a spec.
const SPEC: &str = "-job-";

/// The name of an owner as a label value.
pub(crate) fn label_value(owner: &str) -> String {
    if owner.len() <= LABEL {
        owner.to_owned()
    } else {
        short_name(owner)
    }
}

/// The prefix of the names of `ConfigMap`s with the specs of an owner's Jobs.
pub(crate) fn spec_prefix(owner: &str) -> String {
    format!("{}{SPEC}", short_name(owner))
}

/// The prefix that [`spec_prefix`] gives for the owner of a `ConfigMap` of this name; `None` if it is not such a name.
pub(crate) fn prefix_of(map: &str) -> Option<&str> {
    map.rfind(SPEC).map(|at| &map[..at + SPEC.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_a_map_is_that_of_its_owner_whatever_the_owner_is_called() {
        for owner in [
            "heart-1",
            "heart.v2",
            "a-job-b",
            "a-job-",
            &"long-name-".repeat(9),
        ] {
            let prefix = spec_prefix(owner);
            assert_eq!(
                prefix_of(&format!("{prefix}0a1b2c3d")),
                Some(prefix.as_str()),
                "{owner}"
            );
        }
        assert_eq!(prefix_of("cleveland"), None);
    }
}
