//! ONNX files of scikit-learn's models.

use modelward_model::{Row, Value, family::onnx::OnnxModel};
use modelward_service::chain;

use super::Target;

const FILES: [&[u8]; 12] = [
    include_bytes!("../../../../inference/model/tests/onnx/chosen-columns.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/decision-tree.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/double-trees.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/extra-trees.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/gradient-boosting.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/hist-gradient-boosting.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/imputed-logistic.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/logistic.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/min-max-logistic.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/named.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/scaled-logistic.onnx"),
    include_bytes!("../../../../inference/model/tests/onnx/words.onnx"),
];

#[derive(Debug)]
pub(super) struct Onnx;

/// What was read scores every row; what was refused says why.
fn check(bytes: &[u8]) {
    let model = match OnnxModel::read(bytes) {
        Ok(model) => model,
        Err(error) => return assert!(chain(&error).len() > 10, "{error:?}"),
    };
    let values = [
        Value::Missing,
        Value::Unknown,
        Value::Number(55.5),
        Value::Number(f32::MAX),
        Value::Number(-0.0),
    ];
    for shift in 0..values.len() {
        let count = model.features().len();
        let row = Row::new(
            (0..count)
                .map(|at| values[(at * 3 + shift) % values.len()])
                .collect(),
        );
        let score = model.probability(&row);
        assert!((0.0..=1.0).contains(&score), "{score}");
    }
}

impl Target for Onnx {
    fn name(&self) -> &'static str {
        "onnx"
    }

    fn run(&self, bytes: &[u8]) {
        check(bytes);
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        FILES.iter().map(|file| file.to_vec()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "TreeEnsembleClassifier",
            "LinearClassifier",
            "Normalizer",
            "Scaler",
            "Imputer",
            "Concat",
            "Cast",
            "Identity",
            "ZipMap",
            "ai.onnx.ml",
            "post_transform",
            "LOGISTIC",
            "SOFTMAX",
            "nodes_falsenodeids",
            "nodes_truenodeids",
            "nodes_treeids",
            "nodes_values",
            "class_weights",
            "BRANCH_LEQ",
            "LEAF",
        ]
    }

    /// Columns of constants take more than the file says of them, up to a bound.
    fn memory(&self, input: usize) -> usize {
        (64 << 20) + 64 * input
    }
}
