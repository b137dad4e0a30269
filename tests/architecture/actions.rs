//! Every type of action is in the chart and in the pages that list them.

use std::{collections::BTreeSet, fs};

use modelward_crds::ActionType;
use serde_json::Value;

use crate::root;

/// Pages and files that list the types of action.
const LISTS: [&str; 4] = [
    "docs/approval.md",
    "docs/glossary.md",
    "docs/limits.md",
    "charts/modelward/values.yaml",
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn the_risk_of_each_type_of_action_can_be_set_in_the_chart() {
    let schema: Value = serde_json::from_str(&read("charts/modelward/values.schema.json")).unwrap();
    let risks = &schema["properties"]["remediation"]["properties"]["risks"]["properties"];
    let named: BTreeSet<_> = risks.as_object().unwrap().keys().map(String::as_str).collect();
    let all: BTreeSet<_> = ActionType::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(named, all);
}

#[test]
fn each_type_of_action_is_named_where_they_are_listed() {
    for path in LISTS {
        let text = read(path);
        for action in ActionType::ALL {
            assert!(text.contains(action.as_str()), "{path} does not name {action}");
        }
    }
}
