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
    /// At least so much later is what is tested.
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

    #[test]
    fn in_the_order_of_time_every_held_out_row_is_in_a_part() {
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let rows: Vec<Row> = (0..100)
            .map(|row| Row::new(vec![Value::Number(row as f32)]))
            .collect();
        let labels = (0..100).map(|row| row % 2 == 0).collect();
        let mut data = Dataset::from_rows(schema, &rows, labels);
        data.row_columns.times = Some(Times {
            column: "day".into(),
            format: TimeFormat::EpochSeconds,
            of_row: (0..100).rev().collect(),
        });
        let plan = Plan {
            families: Vec::new(),
            held_out: Some(0.4),
            repeats: 1,
            split_by: SplitBy::Time { gap: 5 },
            ..plan()
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
