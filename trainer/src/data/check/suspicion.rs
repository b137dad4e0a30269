//! Columns that are poor features, or are not read as they were meant.

use std::collections::HashMap;

use modelward_model::{FeatureKind, is_truth};
use modelward_wire::{MESSAGE_LIMIT, Violation};

use crate::data::{
    check::{
        broken::quoted,
        categorical::MAX_CATEGORIES,
        cells::{Column, is_large},
        missing_words::{Usual, usual_spelling},
        report::{ColumnWarning, WarningRule},
        seen::Seen,
    },
    dataset::Values,
    violation::{cut, violation},
};

/// With fewer values, words may differ in every row by chance.
const ENOUGH_VALUES: u64 = 20;

/// How many whole numbers that all differ look like an identifier: amounts of few rows differ as well.
const ENOUGH_NUMBERS: u64 = 50;

/// Numbers that are compared with their 32-bit floats.
const COMPARED: usize = 100_000;

/// Words that a message lists.
const MAX_LISTED: usize = 4;

/// Seconds since 1970 of the years 1990 to 2100.
const SECONDS: std::ops::RangeInclusive<f64> = 631_152_000.0..=4_102_444_800.0;

/// Refuses words that differ in nearly every row: they say nothing about a new row.
pub(super) fn check_identifier(
    column: &Column<'_>,
    seen: &Seen<'_>,
    kind: &FeatureKind,
    values: &Values,
    violations: &mut Vec<Violation>,
) {
    let is_categorical = matches!(kind, FeatureKind::Categorical { .. });
    if column.spec.is_some() || !is_categorical {
        return;
    }
    let Some((distinct, present)) = differing(column, seen, values) else {
        return;
    };
    let what = seen
        .unsupported_words()
        .unwrap_or("an identifier; list the column in exclude");
    let message = format!(
        "{distinct} different words in {present} rows look like {what}; if they are categories, declare the feature Categorical"
    );
    violations.push(violation(column.name, "Identifier", message, distinct, None));
}

/// How many values differ, and of how many, if nearly all do. Too many for categories are another violation.
fn differing(column: &Column<'_>, seen: &Seen<'_>, values: &Values) -> Option<(u64, u64)> {
    let present = column.cells.len() as u64 - seen.missing();
    let distinct = values.count_distinct();
    let nearly_all = distinct * 10 >= present * 9 && distinct <= MAX_CATEGORIES as u64;
    (present >= ENOUGH_VALUES && nearly_all).then_some((distinct, present))
}

/// Everything that looks wrong with a column.
pub(super) fn find_suspicions(
    column: &Column<'_>,
    seen: &Seen<'_>,
    kind: &FeatureKind,
    values: &Values,
) -> Vec<ColumnWarning> {
    let mut warnings = Warnings {
        column,
        rows: column.cells.len() as u64,
        all: Vec::new(),
    };
    if values.len() != column.cells.len() || values.is_empty() {
        // It was refused.
        return warnings.all;
    }
    warnings.check_variety(seen, values);
    match (kind, values) {
        (FeatureKind::Categorical { categories }, Values::Categories(values)) => {
            let mut counts = vec![0_u64; categories.len()];
            for index in values {
                if let Some(count) = counts.get_mut(*index as usize) {
                    *count += 1;
                }
            }
            let counted: Vec<(&str, u64)> = categories.iter().map(String::as_str).zip(counts).collect();
            warnings.check_words(seen, &counted);
        }
        _ => warnings.check_numbers(seen, values),
    }
    if column.spec.is_some()
        && matches!(kind, FeatureKind::Categorical { .. })
        && let Some((distinct, present)) = differing(column, seen, values)
    {
        warnings.add(
            WarningRule::Identifier,
            distinct,
            &format!(
                "{distinct} different values in {present} rows: exclude the column if it is an identifier"
            ),
        );
    }
    warnings.all
}

struct Warnings<'c> {
    column: &'c Column<'c>,
    rows: u64,
    all: Vec<ColumnWarning>,
}

// === impl Warnings ===

impl Warnings<'_> {
    fn add(&mut self, rule: WarningRule, count: u64, message: &str) {
        self.all.push(ColumnWarning {
            rule,
            message: cut(message, MESSAGE_LIMIT),
            count,
        });
    }

    /// Words of the data, if they may be quoted.
    fn list(&self, words: &[(&str, u64)]) -> String {
        if !self.column.parts.may_quote() {
            return format!("{} of the categories", words.len());
        }
        let mut list: Vec<String> = words
            .iter()
            .take(MAX_LISTED)
            .map(|(word, count)| {
                format!(
                    "{} ({count} {})",
                    quoted(word),
                    if *count == 1 { "row" } else { "rows" }
                )
            })
            .collect();
        if words.len() > MAX_LISTED {
            list.push(format!("{} more", words.len() - MAX_LISTED));
        }
        list.join(", ")
    }

    fn check_variety(&mut self, seen: &Seen<'_>, values: &Values) {
        if values.count_distinct() != 1 || self.fall_into_one(values) {
            return;
        }
        let (missing, rows) = (seen.missing(), self.rows);
        if missing == 0 {
            let message = format!("has the same value in all {rows} rows and says nothing; exclude it");
            self.add(WarningRule::Constant, rows, &message);
        } else {
            let message = format!(
                "has one value in {} rows and none in {missing}, which are filled with that value, so it says nothing; if an \
                 absent value means something, write a word for it in the source; exclude it if it is known only after the outcome",
                rows - missing
            );
            self.add(WarningRule::OneValue, rows - missing, &message);
        }
    }

    /// Whether different numbers are one 32-bit float.
    fn fall_into_one(&self, values: &Values) -> bool {
        let Values::Numbers(singles) = values else {
            return false;
        };
        let mut singles = singles.iter().filter(|number| !number.is_nan());
        let first = singles.next();
        let mut keys = self.numbers().map(|(key, _)| key);
        let first_key = keys.next();
        singles.all(|number| Some(number) == first) && keys.any(|key| Some(key) != first_key)
    }

    /// Its numbers as in the source, each with its key.
    fn numbers(&self) -> impl Iterator<Item = (u64, f64)> {
        let present = self.column.present();
        present.filter_map(|(place, cell)| {
            let number = self.column.number(place, cell)?;
            Some((self.column.key(place, cell), number))
        })
    }

    fn check_words(&mut self, seen: &Seen<'_>, counted: &[(&str, u64)]) {
        let sum = |words: &[(&str, u64)]| words.iter().map(|(_, count)| count).sum::<u64>();
        let is_declared = self.column.spec.is_some_and(|spec| spec.categories.is_some());
        let usual: Vec<(&str, u64)> = counted
            .iter()
            .copied()
            .filter(|(word, _)| usual_spelling(word) == Some(Usual::Always))
            .collect();
        if !is_declared && !usual.is_empty() {
            let message = format!(
                "{} usually mean \"missing\" and are read as categories: add them to csv.missing, or list the categories of the \
                 feature to keep them",
                self.list(&usual)
            );
            self.add(WarningRule::MissingWords, sum(&usual), &message);
        }
        let mut spellings = same_but_for_case(counted);
        spellings.retain(|(word, _)| !is_truth(word));
        if !is_declared && !spellings.is_empty() {
            let message = format!(
                "{} differ only in case or blanks and are separate categories; write one spelling in the \
                 source, or list the categories of the feature",
                self.list(&spellings)
            );
            self.add(WarningRule::Spellings, sum(&spellings), &message);
        }
        if seen.are_dates() {
            let message = "holds dates, which are read as categories: a date that is not in the data is unknown when serving; \
                           write numbers in the source, such as a month or days since a date, or exclude it";
            self.add(WarningRule::Date, seen.words(), message);
        } else if seen.are_sentences() {
            let message = "holds sentences, which are read as categories: another sentence is unknown when serving; exclude it, \
                           or write what matters in it as columns in the source";
            self.add(WarningRule::FreeText, seen.words(), message);
        }
        let large: Vec<(&str, u64)> = counted
            .iter()
            .copied()
            .filter(|(word, _)| is_large(word))
            .collect();
        if !large.is_empty() {
            let message = format!(
                "{} are integers over 2^53, which JavaScript and other programs round: send them as texts in requests",
                self.list(&large)
            );
            self.add(WarningRule::LargeCodes, sum(&large), &message);
        }
    }

    fn check_numbers(&mut self, seen: &Seen<'_>, values: &Values) {
        if self.rows >= ENOUGH_VALUES && seen.are_row_numbers() {
            let message = "numbers the rows: each value is one more than the previous one; exclude it, because the position of a row \
                           says nothing about other rows";
            self.add(WarningRule::RowNumber, self.rows, message);
        }
        let compared = if self.fall_into_one(values) {
            usize::MAX
        } else {
            COMPARED
        };
        let (keys, numbers): (Vec<u64>, Vec<f64>) = self.numbers().take(compared).unzip();
        if numbers.len() as u64 >= ENOUGH_VALUES && numbers.iter().all(|number| is_day(*number)) {
            let message = "looks like dates (20260105): the difference between two of them is not a number of days; write days since a \
                           date in the source, or exclude it";
            self.add(WarningRule::Date, seen.numbers(), message);
        }
        let exact = count_distinct(keys.into_iter());
        let single = count_distinct(
            numbers
                .iter()
                .map(|number| u64::from((*number as f32 + 0.0).to_bits())),
        );
        if single * 10 < exact * 9 {
            let all = |divisor: f64| numbers.iter().all(|number| SECONDS.contains(&(number / divisor)));
            let what = if all(1.0) {
                "; they look like seconds since 1970"
            } else if all(1000.0) {
                "; they look like milliseconds since 1970"
            } else {
                ""
            };
            let message = format!(
                "its {exact} different values are {} as 32-bit floats{what}; subtract an offset in the source, such as the \
                 smallest value, or declare the feature Categorical if they are codes",
                match single {
                    1 => "all the same".to_owned(),
                    _ => format!("only {single} different ones"),
                }
            );
            self.add(WarningRule::FallTogether, exact - single, &message);
        } else if exact >= ENOUGH_NUMBERS
            && exact == numbers.len() as u64
            && !seen.are_row_numbers()
            && numbers.iter().all(|number| number.fract() == 0.0)
        {
            let message = "has a different whole number in every row, like an identifier: exclude it if it is one, because a new row has a number that \
                           no model has seen";
            self.add(WarningRule::Identifier, exact, message);
        }
    }
}

fn count_distinct(bits: impl Iterator<Item = u64>) -> u64 {
    let mut bits: Vec<u64> = bits.collect();
    bits.sort_unstable();
    bits.dedup();
    bits.len() as u64
}

/// Words that differ only in upper and lower case and blanks.
fn same_but_for_case<'a>(counted: &[(&'a str, u64)]) -> Vec<(&'a str, u64)> {
    let mut folded: HashMap<String, u32> = HashMap::new();
    for (word, _) in counted {
        *folded.entry(fold(word)).or_default() += 1;
    }
    let is_shared = |word: &str| folded.get(&fold(word)).is_some_and(|count| *count > 1);
    let shared = counted.iter().filter(|(word, _)| is_shared(word));
    shared.copied().collect()
}

/// A word in lower case without blanks.
pub(super) fn fold(word: &str) -> String {
    let letters = word.chars().filter(|letter| !letter.is_whitespace());
    letters.flat_map(char::to_lowercase).collect()
}

/// Whether a number is a day of 1900 to 2100, written like 20260105.
fn is_day(number: f64) -> bool {
    if number.fract() != 0.0 || !(19_000_101.0..=21_001_231.0).contains(&number) {
        return false;
    }
    let number = number as u32;
    (1..=12).contains(&(number / 100 % 100)) && (1..=31).contains(&(number % 100))
}
