//! The C++ libraries that fit trees: XGBoost and LightGBM, loaded while the program runs.
//!
//! They are the files of the Python wheels, unchanged: a model is the one that Python's library of the same release fits, and no build
//! waits for a C++ compiler. [`library`] finds and opens them; [`xgboost`] and [`lightgbm`] have a safe type for each handle of
//! their C interfaces. Nothing outside this folder is unsafe.
//!
//! Each fit uses one thread: folds and trials run in parallel, and the result cannot depend on a number of threads.

mod exit;
pub mod library;
pub mod lightgbm;
mod matrix;
mod shared;
pub mod xgboost;

pub use self::{
    exit::end_process,
    library::{ENGINES_VARIABLE, EngineError},
    matrix::Matrix,
    shared::{SharedBins, TrainingRows},
};

/// Whether a curve has not fallen for this many rounds.
pub(crate) fn has_stopped_falling(curve: &[f64], patience: usize) -> bool {
    curve.len() > patience + lowest(curve)
}

/// The index of the lowest point of a curve, the first of equal ones; 0 without points.
pub(crate) fn lowest(curve: &[f64]) -> usize {
    let points = curve.iter().enumerate();
    points.min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row, Value};

    use crate::data::dataset::Dataset;

    /// Rows of two numbers and a category, some of them missing, whose class follows from them.
    pub(super) fn data(rows: u32) -> Dataset {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b", "d"]),
            Feature::numeric("y"),
        ])
        .unwrap();
        let row = |at: u32| {
            let (x, c) = (at * 37 % 101, at % 3);
            Row::new(vec![
                if at.is_multiple_of(11) {
                    Value::Missing
                } else {
                    Value::Number(x as f32 / 7.0)
                },
                if at.is_multiple_of(13) {
                    Value::Missing
                } else {
                    Value::Category(c)
                },
                Value::Number((at * 53 % 97) as f32),
            ])
        };
        let label = |at: u32| at * 37 % 101 + 30 * u32::from(at % 3 == 1) > 60;
        let table: Vec<Row> = (0..rows).map(row).collect();
        Dataset::from_rows(schema, &table, (0..rows).map(label).collect())
    }

    pub(super) fn share_of_equal_classes(data: &Dataset, scores: &[f32]) -> f64 {
        let equal = data
            .labels
            .iter()
            .zip(scores)
            .filter(|(label, score)| **label == (**score >= 0.5));
        equal.count() as f64 / data.len() as f64
    }
}
