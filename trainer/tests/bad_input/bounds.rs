//! Every hyper-parameter at both of its ends, alone and all together.

use std::collections::BTreeSet;

use modelward_crds::Hyperparameters;
use serde_json::{Map, Value, json};

use crate::{rows, trained};

const LEAST: &str = "0.000000001";
const MOST: &str = "999999999";

/// The ends of every hyper-parameter of a family, as `crds/src/model_version/hyperparameters.rs` has them.
fn ends(family: &str) -> Value {
    match family {
        "logisticRegression" => json!({"c": [LEAST, MOST]}),
        "randomForest" => json!({
            "nEstimators": [1, 10_000], "maxDepth": [1, 24], "minChildWeight": ["0", MOST], "subsample": [LEAST, "1"],
            "colsampleBynode": [LEAST, "1"], "maxBin": [2, 1024],
        }),
        "xgboost" => json!({
            "nEstimators": [1, 10_000], "learningRate": [LEAST, "1"], "maxDepth": [1, 24], "minChildWeight": ["0", MOST],
            "gamma": ["0", MOST], "subsample": [LEAST, "1"], "colsampleBytree": [LEAST, "1"], "regAlpha": ["0", MOST],
            "regLambda": ["0", MOST], "maxBin": [2, 1024],
        }),
        _ => json!({
            "nEstimators": [1, 10_000], "learningRate": [LEAST, "1"], "numLeaves": [2, 4096], "maxDepth": [-1, 63],
            "minDataInLeaf": [0, 1_000_000], "minSumHessianInLeaf": ["0", MOST], "minGainToSplit": ["0", MOST],
            "baggingFraction": [LEAST, "1"], "featureFraction": [LEAST, "1"], "lambdaL1": ["0", MOST], "lambdaL2": ["0", MOST],
            "extraTrees": [false, true], "maxBin": [2, 1024],
        }),
    }
}

fn train_with(family: &str, field: &str, parameters: &Map<String, Value>) {
    let fields = json!({"families": [family], "hyperparameters": {field: parameters}});
    trained(rows(120, "a,x,y", |row| (row % 7).to_string()), &fields);
}

fn check_ends(family: &str, field: &str) {
    let ends = ends(field);
    let ends = ends.as_object().unwrap();
    // The error lists what there is: a hyper-parameter that is added to the API is added here.
    let unknown = serde_json::from_value::<Hyperparameters>(json!({field: {"none": 1}}))
        .unwrap_err()
        .to_string();
    let names: BTreeSet<&str> = unknown.split('`').skip(3).step_by(2).collect();
    assert_eq!(names, ends.keys().map(String::as_str).collect(), "{unknown}");
    for (name, of_name) in ends {
        for end in of_name.as_array().unwrap() {
            let mut parameters = Map::from_iter([(name.clone(), end.clone())]);
            if name == "nEstimators" {
                parameters.insert("maxDepth".to_owned(), json!(1));
            } else if field != "logisticRegression" {
                parameters.insert("nEstimators".to_owned(), json!(3));
            }
            train_with(family, field, &parameters);
        }
    }
    for side in 0..2 {
        let mut all: Map<String, Value> = ends
            .iter()
            .map(|(name, of_name)| (name.clone(), of_name[side].clone()))
            .collect();
        if all.contains_key("nEstimators") {
            all.insert("nEstimators".to_owned(), json!(5));
        }
        train_with(family, field, &all);
    }
}

#[test]
fn logistic_regression_is_fitted_at_the_ends_of_its_hyperparameters() {
    check_ends("LogisticRegression", "logisticRegression");
}

#[test]
fn a_random_forest_is_grown_at_the_ends_of_its_hyperparameters() {
    check_ends("RandomForest", "randomForest");
}

#[test]
fn xgboost_is_fitted_at_the_ends_of_its_hyperparameters() {
    check_ends("XGBoost", "xgboost");
}

#[test]
fn lightgbm_is_fitted_at_the_ends_of_its_hyperparameters() {
    check_ends("LightGBM", "lightgbm");
}
