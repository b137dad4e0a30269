//! Measures a model that was trained elsewhere on the held-out rows, which it was not fitted on.
//!
//! They are cut into as many parts as there are folds. Calibration and threshold of a part are learnt from the others, as those of folds
//! are; in the order of time from earlier ones, so that the first part is measured only if neither is learnt. What serves is learnt from
//! all parts. One model scores all of them, and no two have a row in common: the standard error of a mean over them is that of independent
//! values.

use crate::{
    data::dataset::Dataset,
    family::{FittedModel, Parameters},
    fit::{
        candidate::{Candidate, ScoredFold},
        error::TrainError,
        evaluate::score_rows,
        importance,
        labels::Labels,
        plan::Plan,
        select::select_only,
        splits::Splits,
        train::Trained,
    },
};

/// Measures a model of this family on the held-out rows.
pub fn measure_model(
    data: &Dataset,
    plan: &Plan,
    splits: &Splits,
    fitted: Box<dyn FittedModel>,
    family: &'static str,
) -> Result<Trained, TrainError> {
    let parts = splits.parts_of_held_out(data, plan)?;
    let scored: Vec<ScoredFold> = parts
        .iter()
        .enumerate()
        .map(|(fold, rows)| ScoredFold {
            repeat: 0,
            fold,
            scores: score_rows(fitted.scorer(), data, rows),
            rows: rows.clone(),
        })
        .collect();
    let labels = Labels::new(&data.labels, splits);
    let candidate = Candidate::new(family, Parameters::new([]), labels, &scored, plan)?;
    let selection = select_only(&candidate);
    Ok(Trained {
        importance: importance::measure_scorer(data, plan, &parts, fitted.scorer()),
        selected: selection.selected,
        reason: selection.reason,
        is_by_metric: true,
        candidates: vec![candidate],
        fitted,
        corrected: None,
        held_out: None,
        trials: Vec::new(),
        // The image made the model.
        reproducible: false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use modelward_crds::{CalibrationMethod, ThresholdMetric};
    use modelward_model::{Feature, FeatureSchema, Row, Scorer, Value};

    use super::*;
    use crate::{
        data::{
            dataset::Sample,
            row_columns::{TimeFormat, Times},
        },
        family::{FitError, ModelReport},
        fit::{calibrate::calibrate, plan::SplitBy, threshold::ThresholdRule, train::tests::plan},
    };

    /// Gives a row its first value as its score.
    #[derive(Debug)]
    struct FirstValue;

    impl Scorer for FirstValue {
        fn score(&self, row: &Row) -> f64 {
            match row.values()[0] {
                Value::Number(number) => f64::from(number),
                _ => 0.5,
            }
        }
    }

    impl FittedModel for FirstValue {
        fn scorer(&self) -> &dyn Scorer {
            self
        }

        fn check_parity(&self, _sample: Sample<'_>) -> Result<(), FitError> {
            Ok(())
        }

        fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
            Ok(Vec::new())
        }

        fn report(&self) -> ModelReport {
            ModelReport {
                sentence: String::new(),
                headings: Vec::new(),
                rows: Vec::new(),
                imputed: BTreeMap::new(),
            }
        }
    }

    /// 100 rows in the order of time, of which a plan holds the last 40 out.
    fn data() -> Dataset {
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let score = |row: u32| (row * 37 % 100) as f32 / 100.0;
        let rows: Vec<Row> = (0..100)
            .map(|row| Row::new(vec![Value::Number(score(row))]))
            .collect();
        let labels = (0..100).map(|row| score(row) + score(row * 7) > 0.9).collect();
        let mut data = Dataset::from_rows(schema, &rows, labels);
        data.row_columns.times = Some(Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row: (0..100).collect(),
        });
        data
    }

    fn measured(change: impl FnOnce(&mut Plan)) -> Trained {
        let mut plan = Plan {
            families: Vec::new(),
            held_out: Some(0.4),
            repeats: 1,
            split_by: SplitBy::Time { gap: 0 },
            threshold: ThresholdRule::Value("0.4".parse().unwrap()),
            ..plan()
        };
        change(&mut plan);
        let data = data();
        let splits = Splits::new(&data, &plan).unwrap();
        measure_model(&data, &plan, &splits, Box::new(FirstValue), "Any").unwrap()
    }

    #[test]
    fn in_the_order_of_time_the_first_part_is_measured_where_nothing_is_learnt() {
        let of_given = measured(|_| ());
        let parts = |trained: &Trained| -> Vec<(usize, Vec<usize>)> {
            let folds = trained.candidate().folds.iter();
            folds.map(|fold| (fold.fold, fold.rows.clone())).collect()
        };
        let all: Vec<(usize, Vec<usize>)> = (0..4)
            .map(|part| (part, (60 + part * 10..70 + part * 10).collect()))
            .collect();
        assert_eq!(parts(&of_given), all);
        assert_eq!(of_given.candidate().scored_rows().len(), 40, "no row is wasted");
        let learnt = measured(|plan| plan.threshold = ThresholdRule::Maximise(ThresholdMetric::F1));
        assert_eq!(parts(&learnt), all[1..]);
    }

    #[test]
    fn what_serves_is_learnt_from_every_held_out_row_and_a_part_from_earlier_ones() {
        let data = data();
        let trained = measured(|plan| plan.calibration = CalibrationMethod::Platt);
        let of_rows = |rows: std::ops::Range<usize>| {
            let scores = score_rows(&FirstValue, &data, &rows.clone().collect::<Vec<_>>());
            calibrate(CalibrationMethod::Platt, &data.labels[rows], &scores).unwrap()
        };
        let candidate = trained.candidate();
        assert_eq!(candidate.calibration, Some(of_rows(60..100)));
        let second = &candidate.folds[0];
        let scores = score_rows(&FirstValue, &data, &second.rows);
        let expected: Vec<f64> = scores.iter().map(|score| of_rows(60..70).apply(*score)).collect();
        assert_eq!((second.fold, &second.scores), (1, &expected));
        assert_eq!(candidate.folds.len(), 3);
    }
}
