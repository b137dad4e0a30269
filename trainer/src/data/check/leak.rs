//! Columns that give the target away by themselves, and rows that occur more than once.
//!
//! A column that is known only after the target, such as the reason of a cancellation, makes a model that is perfect on the data and
//! useless on new rows. It shows in the area under the curve of that column alone: of its numbers, of the rates of its categories (learnt on one half
//! of the rows and measured on the other), or of whether it is missing.

use crate::{
    data::{
        check::report::{ColumnReport, ColumnWarning, WarningRule},
        dataset::{Dataset, Values},
    },
    ranking::Ranking,
};

/// The area from which on a column gives the target away. The best single columns of sound data are far below.
const SEPARATES: f64 = 0.99;

/// With fewer rows of a class an area of 1 is chance.
const ENOUGH_OF_A_CLASS: usize = 10;

/// Rows that are looked at, evenly spread.
const ROWS: usize = 100_000;

/// Adds a warning to each column that gives the target away, and to the target's if rows repeat. The target's report is the last one.
pub(super) fn find_leaks(dataset: &Dataset, reports: &mut [ColumnReport]) {
    let apart = dataset.len().div_ceil(ROWS).max(1);
    let rows: Vec<usize> = (0..dataset.len()).step_by(apart).collect();
    let positives = rows.iter().filter(|row| dataset.labels[**row]).count();
    if positives.min(rows.len() - positives) >= ENOUGH_OF_A_CLASS {
        for (column, report) in dataset.columns.iter().zip(reports.iter_mut()) {
            report.warnings.extend(find_leak(dataset, column, &rows));
        }
    }
    if let Some(target) = reports.last_mut() {
        target.warnings.extend(find_repeats(dataset));
    }
}

fn find_leak(dataset: &Dataset, column: &Values, rows: &[usize]) -> Option<ColumnWarning> {
    let is_missing = |row: &usize| matches!(column.value(*row), modelward_model::Value::Missing);
    let missing = rows
        .iter()
        .map(|row| (f64::from(u8::from(is_missing(row))), dataset.labels[*row]));
    let of_missing = two_sided(area(missing));
    let (what, found) = if of_missing >= SEPARATES {
        ("whether it is missing", of_missing)
    } else {
        ("its value", two_sided(area_of_values(dataset, column, rows)))
    };
    (found >= SEPARATES).then(|| ColumnWarning {
        rule: WarningRule::Leak,
        message: format!(
            "{what} alone separates the classes (area under the curve {found:.3}); if it is known only after the target, list the \
             column in exclude"
        ),
        count: rows.len() as u64,
    })
}

fn area_of_values(dataset: &Dataset, column: &Values, rows: &[usize]) -> f64 {
    match column {
        Values::Numbers(numbers) => {
            let present = rows.iter().filter(|row| !numbers[**row].is_nan());
            let scored: Vec<(f64, bool)> = present
                .map(|row| (f64::from(numbers[*row]), dataset.labels[*row]))
                .collect();
            // Few numbers among many missing ones say little about the column.
            if scored.len() * 2 < rows.len() {
                0.5
            } else {
                area(scored.into_iter())
            }
        }
        Values::Categories(categories) => {
            let half = |parity: usize| {
                let rate = rates(dataset, categories, rows.iter().copied().skip(parity).step_by(2));
                let tested = rows.iter().copied().skip(1 - parity).step_by(2);
                area(tested.map(|row| (rate(categories[row]), dataset.labels[row])))
            };
            f64::midpoint(half(0), half(1))
        }
    }
}

/// The rate of class 1 of each category among these rows, one row of each class added.
fn rates(dataset: &Dataset, categories: &[u32], rows: impl Iterator<Item = usize>) -> impl Fn(u32) -> f64 {
    let mut counts: std::collections::HashMap<u32, (f64, f64)> = std::collections::HashMap::new();
    for row in rows {
        let (ones, all) = counts.entry(categories[row]).or_insert((1.0, 2.0));
        *ones += f64::from(u8::from(dataset.labels[row]));
        *all += 1.0;
    }
    move |category| counts.get(&category).map_or(0.5, |(ones, all)| ones / all)
}

fn two_sided(area: f64) -> f64 {
    area.max(1.0 - area)
}

/// The area under the curve of these scores with their classes.
fn area(scored: impl Iterator<Item = (f64, bool)>) -> f64 {
    let (scores, labels): (Vec<f64>, Vec<bool>) = scored.unzip();
    Ranking::new(&scores).roc_auc(&labels, |_| 1)
}

/// Warns about rows that have the values of another one.
fn find_repeats(dataset: &Dataset) -> Option<ColumnWarning> {
    let first = dataset.first_of_its_values();
    let repeats = first.iter().enumerate().filter(|(row, first)| row != *first);
    let (count, other_class) = repeats.fold((0_u64, 0_u64), |(count, other), (row, first)| {
        (
            count + 1,
            other + u64::from(dataset.labels[row] != dataset.labels[*first]),
        )
    });
    (count > 0).then(|| ColumnWarning {
        rule: WarningRule::Repeats,
        message: describe_repeats(
            (count, other_class, dataset.len()),
            dataset.combinations_if_repeats_are_expected(),
        ),
        count,
    })
}

/// What repeated rows mean for the folds, within the length of a warning: how many there are, how many of them are of the other class,
/// of how many rows, and the number of combinations of the columns' values, if it is so small that rows have to repeat.
fn describe_repeats((count, other_class, rows): (u64, u64, usize), combinations: Option<u64>) -> String {
    let repeats =
        format!("{count} of {rows} rows have another row's values, {other_class} with the other class");
    match combinations {
        Some(combinations) => format!(
            "{repeats}; with {combinations} combinations these are different cases, which folds may separate: set validation.groupBy if several are \
             of one person or thing"
        ),
        None => format!(
            "{repeats}; folds keep them together, except with timeSplit, a class of fewer different rows than folds, or groups that would \
             join too much; remove duplicates"
        ),
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row, Value};

    use super::*;

    fn report(name: &str) -> ColumnReport {
        serde_json::from_value(serde_json::json!({
            "name": name, "kind": "Numeric", "declared": false, "missing": 0, "distinct": 0
        }))
        .unwrap()
    }

    /// The warnings of a column with these values, and of the target.
    fn warnings(feature: Feature, value: impl Fn(u32, bool) -> Value) -> Vec<Vec<WarningRule>> {
        let label = |at: u32| at * 7 % 10 < 4;
        let rows: Vec<Row> = (0..200)
            .map(|at| Row::new(vec![value(at, label(at)), Value::Number(at as f32)]))
            .collect();
        let schema = FeatureSchema::new(vec![feature, Feature::numeric("row")]).unwrap();
        let data = Dataset::from_rows(schema, &rows, (0..200).map(label).collect());
        let mut reports = ["x", "row", "target"].map(report);
        find_leaks(&data, &mut reports);
        let rules = |report: &ColumnReport| report.warnings.iter().map(|warning| warning.rule).collect();
        reports.iter().map(rules).collect()
    }

    #[test]
    fn a_number_a_category_and_an_absence_that_follow_the_target_are_found() {
        let number = |at: u32, label| Value::Number((at % 5) as f32 + if label { 0.0 } else { 10.0 });
        assert_eq!(warnings(Feature::numeric("x"), number)[0], [WarningRule::Leak]);
        let category = |at: u32, label: bool| Value::Category(at % 3 + 3 * u32::from(label));
        let words = Feature::categorical("x", &["a", "b", "c", "d", "e", "f"]);
        assert_eq!(warnings(words, category)[0], [WarningRule::Leak]);
        let absent = |at: u32, label| {
            if label {
                Value::Number((at % 9) as f32)
            } else {
                Value::Missing
            }
        };
        assert_eq!(warnings(Feature::numeric("x"), absent)[0], [WarningRule::Leak]);
    }

    #[test]
    fn a_good_column_and_a_category_of_one_row_each_are_no_leaks() {
        let good = |at: u32, label| Value::Number((at * 13 % 20) as f32 + if label { 8.0 } else { 0.0 });
        assert_eq!(warnings(Feature::numeric("x"), good)[0], []);
        let names: Vec<String> = (0..200).map(|at| format!("c{at:03}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rare = |at, _| Value::Category(at);
        assert_eq!(warnings(Feature::categorical("x", &names), rare)[0], []);
    }

    #[test]
    fn rows_that_are_there_twice_are_counted_with_their_classes() {
        let schema = FeatureSchema::new(vec![Feature::numeric("x")]).unwrap();
        let rows = [1.0, 1.0, 2.0, 1.0].map(|x| Row::new(vec![Value::Number(x)]));
        let data = Dataset::from_rows(schema, &rows, vec![true, false, false, true]);
        let found = find_repeats(&data).unwrap();
        assert_eq!(found.count, 2);
        assert!(found.message.starts_with(
            "2 of 4 rows have another row's values, 1 with the other class; folds keep them together"
        ));
        let rows: Vec<Row> = (0..40)
            .map(|row| Row::new(vec![Value::Number((row % 4) as f32)]))
            .collect();
        let labels = (0..40).map(|row| row % 8 == 0).collect();
        let found = find_repeats(&Dataset::from_rows(data.schema, &rows, labels)).unwrap();
        assert!(
            found
                .message
                .contains("with 4 combinations these are different cases"),
            "{}",
            found.message
        );
    }
    #[test]
    fn the_sentence_on_repeats_is_not_cut_whatever_the_counts() {
        const LIMIT: usize = 240;
        let counts = (99_999_999, 99_999_999, 99_999_999);
        for combinations in [None, Some(9_999_999)] {
            let said = describe_repeats(counts, combinations);
            assert!(said.chars().count() <= LIMIT, "{}: {said}", said.chars().count());
        }
    }
}
