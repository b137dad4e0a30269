//! Kinds of actions. Each is one file, with its properties in [`Facts`].

mod alert;
mod facts;
mod kind;
mod promote;
mod retrain;
mod retrain_data;
mod retrain_version;
mod rollback;
mod switch;

use std::collections::BTreeMap;

use modelward_crds::{ActionType, Risk};

use self::kind::Kind;
pub use self::{
    facts::{Claims, Facts, Shelf},
    retrain::target,
    retrain_data::snapshot_version,
};
use crate::policy::Policy;

/// The kind of this type.
pub(super) fn of(action: ActionType) -> &'static dyn Kind {
    match action {
        ActionType::SendAlert => &alert::Alert,
        ActionType::RetrainModel => &retrain::Retrain,
        ActionType::PromoteModel => &promote::Promote,
        ActionType::RollbackModel => &rollback::Rollback,
    }
}

/// The properties of a kind of action.
pub fn facts(action: ActionType) -> &'static Facts {
    of(action).facts()
}

/// The risk of each kind of action, by the operator's configuration.
pub fn risks(policy: &Policy) -> BTreeMap<ActionType, Risk> {
    ActionType::ALL
        .into_iter()
        .map(|action| (action, facts(action).risk(policy)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_kind() {
        for action in ActionType::ALL {
            assert_eq!(facts(action).action, action);
        }
        let mut verbs = ActionType::ALL.map(|action| facts(action).verb);
        verbs.sort_unstable();
        assert!(verbs.windows(2).all(|pair| pair[0] != pair[1]), "{verbs:?}");
    }
}
