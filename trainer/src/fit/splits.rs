//! Which rows each model is fitted on and which it is tested on.

use std::collections::HashMap;

use crate::{
    data::{dataset::Dataset, row_columns::RowColumns},
    fit::{
        folds, grouped, hold_out, in_time,
        plan::{Plan, SplitBy},
        split_error::SplitError,
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
            let together = grouped::collect(first.iter().copied(), &data.labels);
            let largest = together.iter().map(|part| part.rows.len()).max().unwrap_or(0);
            // Rows of few different values cannot be held out whole.
            let parts = if largest as f64 > data.len() as f64 * share {
                grouped::collect(0..data.len(), &data.labels)
            } else {
                together
            };
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
            return Self::of_rows(&data.row_columns, &data.labels, &first, plan);
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
        let of_rest = Self::of_rows(&data.row_columns.of_rows(&rest), &labels, &first, plan)?;
        let spread = |of_rest: &Vec<usize>| {
            let mut tested = vec![NEVER; data.len()];
            for (row, fold) in rest.iter().zip(of_rest) {
                tested[*row] = *fold;
            }
            tested
        };
        Ok(Self {
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
        })
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
                folds::assign(labels, first, plan.folds, plan.repeats, plan.seed),
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
        if let Some(in_time) = &self.in_time {
            let first = self.held_out.iter().map(|row| in_time.of_row[*row]).min();
            let until = first.unwrap_or(i64::MAX).saturating_sub(in_time.gap.max(1));
            others.retain(|row| in_time.of_row[*row] <= until);
        }
        Some((&self.held_out, others))
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
        Ok((0..plan.folds).map(part).collect())
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
        data::row_columns::{TimeFormat, Times},
        fit::train::tests::plan,
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
