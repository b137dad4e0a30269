//! What is asked of every file of trees.

use std::sync::LazyLock;

use modelward_model::{
    FeatureSchema, Row, Scorer, Value,
    family::tree::{TreeError, TreeModel},
};
use modelward_service::chain;
use serde_json::Value as Json;

/// The features of the samples of a library.
pub(super) fn read_schema(case: &str) -> FeatureSchema {
    let case: Json = serde_json::from_str(case).unwrap_or_default();
    serde_json::from_value(case["schema"].clone()).unwrap_or_else(|_| FeatureSchema {
        format: 0,
        features: Vec::new(),
        missing: modelward_model::Missing::default(),
    })
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let values = [
        Value::Missing,
        Value::Unknown,
        Value::Number(55.5),
        Value::Number(f32::MAX),
        Value::Number(-0.0),
        Value::Category(1),
        Value::Category(u32::MAX),
    ];
    let row = |shift: usize| Row::new((0..8).map(|at| values[(at * 5 + shift) % values.len()]).collect());
    (0..values.len()).map(row).chain([Row::new(Vec::new())]).collect()
});

/// What was read scores every row, alone and with others; what was refused is named with its place.
pub(super) fn check_model(read: Result<TreeModel, TreeError>) {
    let model = match read {
        Ok(model) => model,
        Err(error) => return check_place(&error),
    };
    let mut scores = Vec::new();
    model.probabilities(&ROWS, &mut scores);
    for (row, score) in ROWS.iter().zip(scores) {
        assert!((0.0..=1.0).contains(&score), "{score}");
        assert_eq!(model.probability(row).to_bits(), score.to_bits());
    }
}

/// What was read scores every row within 0 and 1, alone and with others alike.
pub(super) fn check_scorer(scorer: &dyn Scorer) {
    let mut scores = Vec::new();
    scorer.score_rows(&ROWS, &mut scores);
    for (row, score) in ROWS.iter().zip(scores) {
        assert!((0.0..=1.0).contains(&score), "{score}");
        assert_eq!(scorer.score(row).to_bits(), score.to_bits());
    }
}

fn check_place(error: &TreeError) {
    let text = chain(error);
    let has_place = match error {
        TreeError::Json(_) => text.contains(" at line "),
        TreeError::Ubjson(_) => text.contains("byte "),
        // Of the whole file: that it has no trees, or too many.
        TreeError::File(_) => text.starts_with("it "),
        _ => text.contains(": "),
    };
    assert!(has_place, "no place: {text}");
}
