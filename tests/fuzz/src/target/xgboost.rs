//! XGBoost's JSON and UBJSON.

use std::sync::LazyLock;

use modelward_model::{FeatureSchema, family::tree::TreeModel};

use super::{
    Target,
    trees::{check_model, read_schema},
};

static SCHEMA: LazyLock<FeatureSchema> = LazyLock::new(|| {
    read_schema(include_str!(
        "../../../../inference/model/tests/trees/xgboost.case.json"
    ))
});

const JSON: [&[u8]; 5] = [
    include_bytes!("../../../../inference/model/tests/trees/xgboost.json"),
    include_bytes!("../../../../inference/model/tests/trees/xgboost-deep.json"),
    include_bytes!("../../../../inference/model/tests/trees/xgboost-one-leaf.json"),
    include_bytes!("../../../../inference/model/tests/trees/xgboost-one-tree.json"),
    include_bytes!("../../../../inference/model/tests/trees/forest.json"),
];

const UBJSON: &[u8] = include_bytes!("../../../../inference/model/tests/trees/xgboost-ubjson.ubj");

/// The start of a file in UBJSON: an object whose first key has a length of 64 bits.
const UBJSON_START: &[u8] = b"{L";

#[derive(Debug)]
pub(super) struct XgboostJson;

#[derive(Debug)]
pub(super) struct XgboostUbjson;

impl Target for XgboostJson {
    fn name(&self) -> &'static str {
        "xgboost-json"
    }

    fn run(&self, bytes: &[u8]) {
        check_model(TreeModel::from_xgboost(bytes, &SCHEMA));
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        JSON.iter().map(|file| file.to_vec()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "{",
            "}",
            "[",
            "]",
            "null",
            "true",
            "\"learner\":",
            "\"trees\":",
            "\"tree_param\":",
            "\"num_nodes\":\"1\"",
            "\"cats\":",
            "\"left_children\":",
            "\"categories\":",
            "\"categories_nodes\":",
            "\"categories_segments\":",
            "\"split_type\":",
            "\"base_score\":\"[5E-1]\"",
            "\"binary:logistic\"",
            "\"reg:squarederror\"",
            "1e400",
            "-1",
            "2147483647",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (1 << 20) + 64 * input
    }
}

impl Target for XgboostUbjson {
    fn name(&self) -> &'static str {
        "xgboost-ubjson"
    }

    fn run(&self, bytes: &[u8]) {
        check_model(TreeModel::from_xgboost(&[UBJSON_START, bytes].concat(), &SCHEMA));
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        vec![UBJSON[UBJSON_START.len()..].to_vec()]
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "L\0\0\0\0\0\0\0\u{1}",
            "[$l#L",
            "[$d#L",
            "[$U#L",
            "[$L#L",
            "[#L",
            "{",
            "}",
            "[",
            "]",
            "Z",
            "T",
            "F",
            "SL",
            "\u{7f}",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (1 << 20) + 64 * input
    }
}
