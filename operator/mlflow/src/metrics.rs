//! The part of a bundle's `metrics.json` that is read.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The part of `metrics.json` that MLflow shows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evaluation {
    pub(crate) folds: Folds,
    pub(crate) threshold: Threshold,
    pub(crate) select_by: String,
    pub(crate) selected: String,
    pub(crate) candidates: Vec<Candidate>,
    #[serde(default)]
    pub(crate) trials: Vec<Trial>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Folds {
    #[serde(rename = "folds")]
    pub(crate) count: u64,
    pub(crate) repeats: u64,
    pub(crate) seed: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Threshold {
    pub(crate) value: String,
    pub(crate) rule: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Candidate {
    pub(crate) family: String,
    pub(crate) parameters: Value,
    /// The members of an ensemble.
    #[serde(default)]
    pub(crate) members: Vec<Member>,
    pub(crate) metrics: Vec<Estimate>,
    pub(crate) folds: Vec<Fold>,
}

/// A member of an ensemble.
#[derive(Debug, Deserialize)]
pub(crate) struct Member {
    family: String,
    weight: u32,
    parameters: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Estimate {
    pub(crate) name: String,
    /// `None` if a number is not finite, because JSON cannot represent it.
    pub(crate) mean: Option<f64>,
    pub(crate) standard_error: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Fold {
    pub(crate) repeat: i64,
    #[serde(rename = "fold")]
    pub(crate) number: i64,
    pub(crate) metrics: BTreeMap<String, Option<f64>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Trial {
    pub(crate) number: i64,
    pub(crate) value: Option<f64>,
}

/// MLflow's limit on the value of a parameter, in characters.
const MAX_PARAM: usize = 6000;

// === impl Candidate ===

impl Candidate {
    /// The hyper-parameters as pairs, with family, weight and hyper-parameters of each member. A value in a nested object has its
    /// path as its name.
    pub(crate) fn params(&self) -> Vec<(String, String)> {
        let mut params = Vec::new();
        flatten("", &self.parameters, &mut params);
        for (member, number) in self.members.iter().zip(1..) {
            let path = format!("member_{number}");
            params.push((format!("{path}.family"), member.family.clone()));
            params.push((format!("{path}.weight"), member.weight.to_string()));
            flatten(&path, &member.parameters, &mut params);
        }
        params
    }
}

fn flatten(path: &str, value: &Value, params: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(&path, value, params);
            }
        }
        Value::String(text) => params.push((path.to_owned(), text.chars().take(MAX_PARAM).collect())),
        Value::Null => {}
        value => params.push((
            path.to_owned(),
            value.to_string().chars().take(MAX_PARAM).collect(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_within_others_have_their_path_as_the_name() {
        let candidate = Candidate {
            family: "XGBoost".into(),
            parameters: serde_json::json!({"eta": 0.1, "tree": {"maxDepth": 6, "method": "hist"}, "unset": null}),
            members: Vec::new(),
            metrics: Vec::new(),
            folds: Vec::new(),
        };
        let pairs = candidate.params();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(pairs, ["eta=0.1", "tree.maxDepth=6", "tree.method=hist"]);
    }

    #[test]
    fn members_of_an_ensemble_are_parameters_with_their_number() {
        let candidate: Candidate = serde_json::from_value(serde_json::json!({
            "family": "Ensemble",
            "parameters": {"members": 2, "total_weight": 20},
            "members": [
                {"family": "LogisticRegression", "weight": 7, "parameters": {"c": 1.0}},
                {"family": "XGBoost", "weight": 13, "parameters": {"max_depth": 6}, "calibration": {"kind": "Platt"}},
            ],
            "metrics": [],
            "folds": [],
        }))
        .unwrap();
        let pairs: Vec<String> = candidate
            .params()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            pairs,
            [
                "members=2",
                "total_weight=20",
                "member_1.family=LogisticRegression",
                "member_1.weight=7",
                "member_1.c=1.0",
                "member_2.family=XGBoost",
                "member_2.weight=13",
                "member_2.max_depth=6",
            ]
        );
    }
}
