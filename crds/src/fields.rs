//! The fields of the spec that each type of action takes. The CEL rules of `RemediationAction` state the same, and a test compares the
//! two. A new type does not compile until it declares each field, and the test fails if its rules are missing.

use crate::ActionType;

/// How a type of action uses a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It must be set.
    Required,
    /// It may be set.
    Optional,
    /// It must not be set.
    Refused,
}

/// Fields that not all types of action take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// `spec.candidate`: the version that should serve afterwards.
    pub candidate: Use,
    /// `spec.acceptWindow`: the window that becomes the reference.
    pub accept_window: Use,
    /// `spec.parentRef`: the action whose approval covers this one.
    pub parent_ref: Use,
    /// `spec.message`: the human-readable reason.
    pub message: Use,
}

// === impl ActionType ===

impl ActionType {
    /// The fields that an action of this type takes.
    pub const fn fields(self) -> Fields {
        use Use::{Optional, Refused, Required};
        match self {
            Self::SendAlert => Fields {
                candidate: Refused,
                accept_window: Refused,
                parent_ref: Refused,
                message: Required,
            },
            Self::RetrainModel => Fields {
                candidate: Refused,
                accept_window: Optional,
                parent_ref: Refused,
                message: Optional,
            },
            Self::PromoteModel => Fields {
                candidate: Required,
                accept_window: Refused,
                parent_ref: Optional,
                message: Optional,
            },
            Self::RollbackModel => Fields {
                candidate: Optional,
                accept_window: Refused,
                parent_ref: Optional,
                message: Optional,
            },
        }
    }
}

/// Whether a field has its default, so that it is not serialized.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kube::CustomResourceExt as _;

    use super::*;
    use crate::RemediationAction;

    type Of = fn(Fields) -> Use;

    #[test]
    fn the_rules_of_the_crd_ask_for_and_refuse_the_fields_of_each_type() {
        let fields: [(&str, Of); 4] = [
            ("candidate", |fields| fields.candidate),
            ("acceptWindow", |fields| fields.accept_window),
            ("parentRef", |fields| fields.parent_ref),
            ("message", |fields| fields.message),
        ];
        let mut expected = BTreeSet::new();
        for (name, of) in fields {
            let types = |used: fn(Use) -> bool| -> Vec<&str> {
                let used = ActionType::ALL.into_iter().filter(|kind| used(of(kind.fields())));
                used.map(ActionType::as_str).collect()
            };
            for required in types(|used| used == Use::Required) {
                expected.insert(format!("self.type != '{required}' || has(self.{name})"));
            }
            let taken = types(|used| used != Use::Refused);
            if taken.len() < ActionType::ALL.len() {
                expected.insert(match taken[..] {
                    [one] => format!("self.type == '{one}' || !has(self.{name})"),
                    _ => format!("self.type in ['{}'] || !has(self.{name})", taken.join("', '")),
                });
            }
        }
        assert_eq!(rules(), expected);
    }

    /// The rules of the spec that depend on its type.
    fn rules() -> BTreeSet<String> {
        let crd = serde_json::to_value(RemediationAction::crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let rules = spec["x-kubernetes-validations"].as_array().unwrap();
        let rules = rules.iter().filter_map(|rule| rule["rule"].as_str());
        rules
            .filter(|rule| rule.starts_with("self.type"))
            .map(str::to_owned)
            .collect()
    }
}
