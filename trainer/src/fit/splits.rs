//! Which rows each model is fitted on and which it is tested on.

use std::collections::HashMap;

use crate::{
    data::{dataset::Dataset, row_columns::RowColumns},
    fit::{
        grouped, hold_out,
        in_time::{self, Earlier, check_known},
        plan::{Plan, SplitBy},
        split_error::SplitError,
        stratified,
    },
};

/// Which rows each model is fitted on and which it is tested on.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// By repeat, the fold in which each row is tested, or [`NEVER`].
    tested: Vec<Vec<usize>>,
    in_time: Option<InTime>,
    /// Rows that are in no fold, ascending.
    held_out: Vec<usize>,
}

/// Which rows come before those that are tested.
#[derive(Clone, Debug, PartialEq)]
struct InTime {
    of_row: Vec<i64>,
    /// By fold, the last time of rows that its model is fitted on.
    until: Vec<i64>,
    /// Tested rows are later by at least this much.
    gap: i64,
}

/// The fold of a row that is not tested.
const NEVER: usize = usize::MAX;

/// The rows that are held out, ascending.
fn choose_held_out(
    data: &Dataset,
    first: &[usize],
    share: f64,
    plan: &Plan,
) -> Result<Vec<usize>, SplitError> {
    let columns = &data.row_columns;
    match plan.split_by {
        SplitBy::Time { .. } => {
            let times = columns.times.as_ref().ok_or(SplitError::NoTimes)?;
            hold_out::latest(times, &data.labels, share)
        }
        SplitBy::Groups => {
            let groups = columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
            let parts = grouped::parts(groups, &data.labels, first, plan.folds);
            hold_out::draw(&parts, share, plan.seed)
        }
        SplitBy::Rows => {
            // Equal rows that are more than the share cannot be held out together.
            let most = data.len() as f64 * share;
            let mut equal = vec![0_usize; data.len()];
            for first in first {
                equal[*first] += 1;
            }
            let key = |row: usize| {
                if equal[first[row]] as f64 > most {
                    data.len() + row
                } else {
                    first[row]
                }
            };
            let parts = grouped::collect((0..data.len()).map(key), &data.labels);
            hold_out::draw(&parts, share, plan.seed)
        }
    }
}

/// For each of the rest, the place in it of the first one with the same values.
fn renumber(first: &[usize], rest: &[usize]) -> Vec<usize> {
    let mut places = HashMap::new();
    let places = rest
        .iter()
        .enumerate()
        .map(|(place, row)| *places.entry(first[*row]).or_insert(place));
    places.collect()
}

// === impl Splits ===

impl Splits {
    /// Splits these rows as planned.
    pub fn new(data: &Dataset, plan: &Plan) -> Result<Self, SplitError> {
        let first = match plan.split_by {
            SplitBy::Time { .. } => Vec::new(),
            SplitBy::Rows | SplitBy::Groups => data.kept_together(),
        };
        let Some(share) = plan.held_out else {
            let splits = Self::of_rows(&data.row_columns, &data.labels, &first, plan)?;
            splits.check_weights(data, plan)?;
            return Ok(splits);
        };
        let held_out = choose_held_out(data, &first, share, plan)?;
        if plan.has_one_model() {
            return Self::of_one_model(data, held_out, plan);
        }
        let rest: Vec<usize> = (0..data.len())
            .filter(|row| held_out.binary_search(row).is_err())
            .collect();
        let labels: Vec<bool> = rest.iter().map(|row| data.labels[*row]).collect();
        for class in [false, true] {
            let rows = labels.iter().filter(|label| **label == class).count();
            if rows < plan.folds {
                return Err(SplitError::Left {
                    class: u8::from(class),
                    rows,
                    folds: plan.folds,
                });
            }
        }
        let first = if first.is_empty() {
            first
        } else {
            renumber(&first, &rest)
        };
        let columns = data.row_columns.of_rows(&rest);
        let of_rest = Self::of_rows(&columns, &labels, &first, plan)?;
        let spread = |of_rest: &Vec<usize>| {
            let mut tested = vec![NEVER; data.len()];
            for (row, fold) in rest.iter().zip(of_rest) {
                tested[*row] = *fold;
            }
            tested
        };
        let splits = Self {
            tested: of_rest.tested.iter().map(spread).collect(),
            in_time: of_rest.in_time.map(|in_time| InTime {
                of_row: data
                    .row_columns
                    .times
                    .as_ref()
                    .map_or(Vec::new(), |times| times.of_row.clone()),
                ..in_time
            }),
            held_out,
        };
        if let (Some(times), Some((_, until))) =
            (&data.row_columns.times, splits.known_until(&splits.held_out))
            && plan.learns_from_scores()
        {
            let earlier = Earlier {
                of_row: splits.tested.first().map_or(&[], Vec::as_slice),
                before: NEVER,
                until,
            };
            check_known(times, &data.labels, earlier, "the held-out rows")?;
        }
        splits.check_weights(data, plan)?;
        Ok(splits)
    }

    /// Each model has to be fitted on a row of each class whose weight is not 0.
    fn check_weights(&self, data: &Dataset, plan: &Plan) -> Result<(), SplitError> {
        let Some(weights) = &data.row_columns.weights else {
            return Ok(());
        };
        if weights.of_row.iter().all(|weight| *weight > 0.0) {
            return Ok(());
        }
        let lacks = |fitted: &[usize]| {
            [false, true].into_iter().find(|class| {
                let counts = |row: &usize| data.labels[*row] == *class && weights.of_row[*row] > 0.0;
                !fitted.iter().any(counts)
            })
        };
        let refuse = |class: bool, model: String| SplitError::NoWeight {
            column: weights.column.clone(),
            class: u8::from(class),
            model,
        };
        for repeat in 0..plan.repeats {
            for fold in 0..plan.folds {
                if let Some(class) = lacks(&self.split(repeat, fold).1) {
                    let model = format!("the model of fold {} of repeat {}", fold + 1, repeat + 1);
                    return Err(refuse(class, model));
                }
            }
        }
        if let Some((_, others)) = self.held_out()
            && let Some(class) = lacks(&others)
        {
            return Err(refuse(class, "the model for the held-out rows".to_owned()));
        }
        Ok(())
    }

    /// Folds of the rest are not needed: one model is fitted on it, elsewhere.
    fn of_one_model(data: &Dataset, held_out: Vec<usize>, plan: &Plan) -> Result<Self, SplitError> {
        let in_time = match (plan.split_by, &data.row_columns.times) {
            (SplitBy::Time { gap }, Some(times)) => Some(InTime {
                of_row: times.of_row.clone(),
                until: Vec::new(),
                gap,
            }),
            _ => None,
        };
        let splits = Self {
            tested: vec![vec![NEVER; data.len()]; plan.repeats],
            in_time,
            held_out,
        };
        let training = splits.held_out().map_or(Vec::new(), |(_, rows)| rows);
        for class in [false, true] {
            if !training.iter().any(|row| data.labels[*row] == class) {
                return Err(SplitError::NothingToTrainOn {
                    class: u8::from(class),
                    smaller: match splits.in_time {
                        Some(_) => "fraction or validation.timeSplit.gapSeconds",
                        None => "fraction",
                    },
                });
            }
        }
        Ok(splits)
    }

    /// Splits these rows, none of them held out.
    fn of_rows(
        columns: &RowColumns,
        labels: &[bool],
        first: &[usize],
        plan: &Plan,
    ) -> Result<Self, SplitError> {
        let (tested, in_time) = match plan.split_by {
            SplitBy::Rows => (
                stratified::assign(labels, first, plan.folds, plan.repeats, plan.seed),
                None,
            ),
            SplitBy::Groups => {
                let groups = columns.groups.as_ref().ok_or(SplitError::NoGroups)?;
                (grouped::assign(groups, labels, first, plan)?, None)
            }
            SplitBy::Time { gap } => {
                let times = columns.times.as_ref().ok_or(SplitError::NoTimes)?;
                let blocks = in_time::cut(times, labels, plan.folds, gap)?;
                let fold = |block: usize| block.checked_sub(1).unwrap_or(NEVER);
                let in_time = InTime {
                    of_row: times.of_row.clone(),
                    until: blocks.until,
                    gap,
                };
                let tested: Vec<usize> = blocks.of_row.into_iter().map(fold).collect();
                if plan.learns_from_scores() {
                    for (fold, until) in in_time.until.iter().enumerate().skip(1) {
                        let earlier = Earlier {
                            of_row: &tested,
                            before: fold,
                            until: *until,
                        };
                        check_known(times, labels, earlier, &format!("fold {}", fold + 1))?;
                    }
                }
                (vec![tested; plan.repeats], Some(in_time))
            }
        };
        Ok(Self {
            tested,
            in_time,
            held_out: Vec::new(),
        })
    }

    /// The rows that are held out, and those that the model that is measured on them is fitted on, if any are held out.
    pub fn held_out(&self) -> Option<(&[usize], Vec<usize>)> {
        if self.held_out.is_empty() {
            return None;
        }
        let count = self.tested.first().map_or(0, Vec::len);
        let mut others: Vec<usize> = (0..count)
            .filter(|row| self.held_out.binary_search(row).is_err())
            .collect();
        if let Some((times, until)) = self.known_until(&self.held_out) {
            others.retain(|row| times[*row] <= until);
        }
        Some((&self.held_out, others))
    }

    /// In the order of time: the time of each row, and the last time at which a class is known when these rows are tested.
    pub(super) fn known_until(&self, tested: &[usize]) -> Option<(&[i64], i64)> {
        let in_time = self.in_time.as_ref()?;
        let first = tested.iter().map(|row| in_time.of_row[*row]).min();
        let until = in_time::known_until(first.unwrap_or(i64::MAX), in_time.gap);
        Some((&in_time.of_row, until))
    }

    /// The rows that are held out in the order of time, if any are and there is a gap.
    pub(super) fn held_out_in_time(&self) -> Option<&[usize]> {
        let has_gap = self.in_time.as_ref().is_some_and(|in_time| in_time.gap > 0);
        (has_gap && !self.held_out.is_empty()).then_some(&self.held_out)
    }

    /// The held-out rows in as many parts as there are folds, drawn as folds are, or blocks in the order of time. Each row is in one.
    pub fn parts_of_held_out(&self, data: &Dataset, plan: &Plan) -> Result<Vec<Vec<usize>>, SplitError> {
        let rows = &self.held_out;
        let labels: Vec<bool> = rows.iter().map(|row| data.labels[*row]).collect();
        for class in [false, true] {
            let count = labels.iter().filter(|label| **label == class).count();
            if count < plan.folds {
                return Err(SplitError::Parts {
                    class: u8::from(class),
                    rows: count,
                    folds: plan.folds,
                });
            }
        }
        let columns = data.row_columns.of_rows(rows);
        let part_of = if let SplitBy::Time { .. } = plan.split_by {
            let times = columns.times.as_ref().ok_or(SplitError::NoTimes)?;
            in_time::cut_parts(times, &labels, plan.folds)?
        } else {
            let first = renumber(&data.kept_together(), rows);
            let plan = Plan {
                repeats: 1,
                ..plan.clone()
            };
            let parts = Self::of_rows(&columns, &labels, &first, &plan)?;
            parts.tested.into_iter().next().unwrap_or_default()
        };
        let part = |part: usize| {
            let of_part = rows.iter().zip(&part_of).filter(|(_, of)| **of == part);
            of_part.map(|(row, _)| *row).collect()
        };
        let parts: Vec<Vec<usize>> = (0..plan.folds).map(part).collect();
        if let (Some(times), true) = (&columns.times, plan.learns_from_scores()) {
            for (part, tested) in parts.iter().enumerate().skip(1) {
                let Some((_, until)) = self.known_until(tested) else {
                    break;
                };
                let earlier = Earlier {
                    of_row: &part_of,
                    before: part,
                    until,
                };
                let what = format!("part {} of the held-out rows", part + 1);
                check_known(times, &labels, earlier, &what)?;
            }
        }
        Ok(parts)
    }

    /// The rows that are tested in a fold, and those that its model is fitted on.
    pub fn split(&self, repeat: usize, fold: usize) -> (Vec<usize>, Vec<usize>) {
        let tested = &self.tested[repeat];
        let rows = 0..tested.len();
        let Some(in_time) = &self.in_time else {
            // What is in no fold is held out.
            return rows
                .filter(|row| tested[*row] != NEVER)
                .partition(|row| tested[*row] == fold);
        };
        let is_before = |row: &usize| in_time.of_row[*row] <= in_time.until[fold];
        (
            rows.clone().filter(|row| tested[*row] == fold).collect(),
            rows.filter(is_before).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row, Value};

    use super::*;
    use crate::{
        data::row_columns::{TimeFormat, Times, Weights},
        fit::{labels::Labels, threshold::ThresholdRule, train::tests::plan},
    };

    #[test]
    fn parts_of_held_out_rows_separate_equal_rows_of_a_table_of_counts() {
        let schema = FeatureSchema::new(vec![Feature::numeric("child")]).unwrap();
        let rows: Vec<Row> = (0..240)
            .map(|row| Row::new(vec![Value::Number((row % 6) as f32)]))
            .collect();
        let labels: Vec<bool> = (0..240).map(|row| row / 6 % 2 == 0).collect();
        let data = Dataset::from_rows(schema, &rows, labels);
        assert_eq!(data.combinations_if_repeats_are_expected(), Some(6));
        let plan = Plan {
            held_out: Some(0.5),
            repeats: 1,
            ..plan()
        };
        let splits = Splits::new(&data, &plan).unwrap();
        let parts = splits.parts_of_held_out(&data, &plan).unwrap();
        assert_eq!(parts.len(), plan.folds);
        for part in &parts {
            let positives = part.iter().filter(|row| data.labels[**row]).count();
            assert_eq!((part.len(), positives), (30, 15), "{parts:?}");
        }
        let mut rows = parts.concat();
        rows.sort_unstable();
        assert_eq!(rows, splits.held_out);
    }

    /// So many rows of different values, whose classes are given, held out by half, for one model.
    fn one_model(labels: Vec<bool>, split_by: SplitBy) -> (Dataset, Plan) {
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let rows: Vec<Row> = (0..labels.len())
            .map(|row| Row::new(vec![Value::Number(row as f32)]))
            .collect();
        let plan = Plan {
            families: Vec::new(),
            held_out: Some(0.5),
            repeats: 1,
            split_by,
            ..plan()
        };
        (Dataset::from_rows(schema, &rows, labels), plan)
    }

    #[test]
    fn rows_that_one_model_trains_on_are_not_split_and_need_no_row_for_each_fold() {
        // Two rows of class 1 are left.
        let (data, plan) = one_model((0..40).map(|row| row % 5 == 0).collect(), SplitBy::Rows);
        let three = Plan {
            held_out: Some(0.75),
            ..plan.clone()
        };
        let splits = Splits::new(&data, &three).unwrap();
        let parts = splits.parts_of_held_out(&data, &three).unwrap();
        assert_eq!(parts.concat().len(), 30);
        assert_eq!(splits.held_out().unwrap().1.len(), 10);
        let with_families = Plan {
            families: crate::fit::train::tests::plan().families,
            ..three
        };
        let error = Splits::new(&data, &with_families).unwrap_err();
        assert!(matches!(error, SplitError::Left { rows: 2, .. }), "{error}");

        // Rows that are trained on are of one time.
        let labels = (0..40).map(|row| row % 2 == 0).collect();
        let (mut data, plan) = one_model(labels, SplitBy::Time { gap: 0 });
        data.row_columns.times = Some(Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row: (0..40).map(|row: i64| (row - 19).max(0)).collect(),
        });
        let splits = Splits::new(&data, &plan).unwrap();
        assert_eq!(splits.held_out().unwrap().1, (0..20).collect::<Vec<_>>());
        assert_eq!(splits.parts_of_held_out(&data, &plan).unwrap().len(), 4);
        let late = (0..40).map(|row| row > 19 && row % 2 == 0).collect();
        let (of_late, _) = one_model(late, plan.split_by);
        data.labels = of_late.labels;
        assert_eq!(
            Splits::new(&data, &plan).unwrap_err().to_string(),
            "validation.heldOut leaves no row of class 1 to train on; choose a smaller fraction or validation.timeSplit.gapSeconds, or add rows of that class"
        );
    }

    /// A hundred rows in the order of time, a row a second.
    fn in_time(gap: i64) -> (Dataset, Plan) {
        let labels = (0..100).map(|row| row % 2 == 0).collect();
        let (mut data, plan) = one_model(labels, SplitBy::Time { gap });
        data.row_columns.times = Some(Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row: (0..100).collect(),
        });
        let families = crate::fit::train::tests::plan().families;
        let plan = Plan {
            families,
            held_out: None,
            ..plan
        };
        (data, plan)
    }

    #[test]
    fn classes_within_the_gap_are_not_known_when_a_fold_is_tested() {
        // Five blocks of 20 rows, the first of which no fold tests.
        let (data, plan) = in_time(5);
        let splits = Splits::new(&data, &plan).unwrap();
        let (tested, fitted) = splits.split(0, 1);
        assert_eq!(tested, (40..60).collect::<Vec<_>>());
        let is_known = Labels::new(&data.labels, &splits).known_before(&tested);
        assert!(is_known(35) && !is_known(36));
        assert_eq!(fitted.last(), Some(&35));
    }

    #[test]
    fn a_gap_that_leaves_nothing_to_learn_a_threshold_from_is_refused() {
        // Before the block of rows 40 to 59, the classes of rows up to 21 are known, of which rows 20 and 21 have scores.
        let (mut data, plan) = in_time(19);
        data.labels[21] = true;
        assert!(Splits::new(&data, &plan).is_ok(), "nothing is learnt from scores");
        let learns = Plan {
            threshold: ThresholdRule::Maximise(modelward_crds::ThresholdMetric::F1),
            ..plan
        };
        let refused = Splits::new(&data, &learns).unwrap_err().to_string();
        assert!(
            refused.starts_with(
                "in the order of \"day\", calibration, threshold and ensemble weights for fold 2 have no earlier scored row of class 0 outside of"
            ),
            "{refused}"
        );
        let (data, plan) = in_time(10);
        assert!(
            Splits::new(
                &data,
                &Plan {
                    held_out: Some(0.2),
                    ..plan
                }
            )
            .is_ok()
        );
    }

    #[test]
    fn a_fold_whose_rows_of_a_class_all_have_the_weight_0_is_refused() {
        let (mut data, plan) = in_time(0);
        data.row_columns.weights = Some(Weights {
            column: "weight".into(),
            of_row: (0..100)
                .map(|row: u8| f32::from(u8::from(row >= 20 || row % 2 == 1)))
                .collect(),
        });
        assert_eq!(
            Splits::new(&data, &plan).unwrap_err().to_string(),
            "every row of class 1 that the model of fold 1 of repeat 1 is fitted on has the weight 0 in \"weight\"; lower validation.folds, or give \
             rows of that class a weight"
        );
    }

    #[test]
    fn only_equal_rows_that_are_more_than_the_share_are_held_out_one_by_one() {
        // 210 equal rows, then 150 pairs, then rows of which no two are equal.
        let value = |row: usize| match row {
            0..210 => 0,
            210..510 => 1 + row / 2,
            _ => 1000 + row,
        };
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let rows: Vec<Row> = (0..1000)
            .map(|row| Row::new(vec![Value::Number(value(row) as f32)]))
            .collect();
        let labels = (0..1000).map(|row| value(row) % 2 == 0).collect();
        let data = Dataset::from_rows(schema, &rows, labels);
        let plan = Plan {
            held_out: Some(0.2),
            repeats: 1,
            ..plan()
        };
        let splits = Splits::new(&data, &plan).unwrap();
        let is_held_out = |row: usize| splits.held_out.contains(&row);
        assert!(
            (210..510)
                .step_by(2)
                .all(|row| is_held_out(row) == is_held_out(row + 1))
        );
        let of_equal = (0..210).filter(|row| is_held_out(*row)).count();
        assert!((20..70).contains(&of_equal), "{of_equal}");
    }

    #[test]
    fn in_the_order_of_time_every_held_out_row_is_in_a_part() {
        let labels = (0..100).map(|row| row % 2 == 0).collect();
        let (mut data, plan) = one_model(labels, SplitBy::Time { gap: 5 });
        data.row_columns.times = Some(Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row: (0..100).rev().collect(),
        });
        let plan = Plan {
            held_out: Some(0.4),
            ..plan
        };
        let splits = Splits::new(&data, &plan).unwrap();
        let parts = splits.parts_of_held_out(&data, &plan).unwrap();
        // The latest rows are the first ones here.
        let expected: Vec<Vec<usize>> = [30, 20, 10, 0].map(|from| (from..from + 10).collect()).into();
        assert_eq!(parts, expected);
        let (_, training) = splits.held_out().unwrap();
        assert_eq!(
            training,
            (44..100).collect::<Vec<_>>(),
            "but for those within the gap"
        );
    }
}
