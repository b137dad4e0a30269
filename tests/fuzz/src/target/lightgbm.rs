//! LightGBM's text.

use std::sync::LazyLock;

use modelward_model::{FeatureSchema, family::tree::TreeModel};

use super::{
    Target,
    trees::{check_model, read_schema},
};

static SCHEMA: LazyLock<FeatureSchema> = LazyLock::new(|| {
    read_schema(include_str!(
        "../../../../inference/model/tests/trees/lightgbm.case.json"
    ))
});

const FILES: [&[u8]; 7] = [
    include_bytes!("../../../../inference/model/tests/trees/lightgbm.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-dart.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-deep.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-no-missing.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-one-leaf.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-one-tree.txt"),
    include_bytes!("../../../../inference/model/tests/trees/lightgbm-zero-missing.txt"),
];

#[derive(Debug)]
pub(super) struct LightgbmText;

impl Target for LightgbmText {
    fn name(&self) -> &'static str {
        "lightgbm"
    }

    fn run(&self, bytes: &[u8]) {
        check_model(TreeModel::from_lightgbm(bytes, &SCHEMA));
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        FILES.iter().map(|file| file.to_vec()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "tree\n",
            "version=v4\n",
            "Tree=0\n",
            "Tree=1\n",
            "end of trees\n",
            "num_leaves=",
            "num_cat=",
            "split_feature=",
            "decision_type=",
            "cat_boundaries=",
            "cat_threshold=",
            "leaf_value=",
            "left_child=",
            "right_child=",
            "threshold=",
            "is_linear=1",
            "average_output\n",
            "objective=binary sigmoid:1\n",
            "inf",
            "nan",
            "1e308",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (1 << 20) + 64 * input
    }
}
