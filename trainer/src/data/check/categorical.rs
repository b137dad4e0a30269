//! Columns of categories.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use modelward_model::{FeatureKind, canonical_category, truth_category};
use modelward_wire::Violation;

use crate::data::{
    check::{broken::Broken, cells::Column, seen::Seen},
    dataset::Values,
    number::number,
    violation::{cut, violation},
};
pub use crate::spec::MAX_CATEGORIES;

/// Maximum length of a category: every bundle, card and report contains it.
const MAX_LENGTH: usize = 1024;

/// The categories of a column, and each cell as the index of one.
pub(super) fn read_categories(
    column: &Column<'_>,
    seen: &Seen<'_>,
    violations: &mut Vec<Violation>,
) -> (FeatureKind, Values) {
    let declared = column.spec.and_then(|spec| spec.categories.as_ref());
    let categories: Vec<String> = if let Some(declared) = declared {
        let words = declared.iter().map(|category| canonical_category(category));
        let words: Vec<String> = words.map(Cow::into_owned).collect();
        check_missing_words(column, &words, violations);
        words
    } else {
        let mut distinct: HashSet<Cow<'_, str>> = HashSet::new();
        for ((part, _), cell) in column.present() {
            let word = column.notation(part).category(cell);
            if !distinct.contains(&word) {
                distinct.insert(word);
            }
        }
        check_lengths(column, &distinct, violations);
        if distinct.len() > MAX_CATEGORIES {
            let remedy = seen.unsupported_words().map_or_else(
                || "; exclude the column if it is an identifier".to_owned(),
                |what| format!(", and these look like {what}"),
            );
            let message = format!(
                "{} different words, but a column has at most {MAX_CATEGORIES} categories{remedy}",
                distinct.len()
            );
            violations.push(violation(
                column.name,
                "TooManyCategories",
                message,
                distinct.len() as u64,
                None,
            ));
        }
        with_one_spelling(sort_categories(distinct.iter().map(AsRef::as_ref)))
    };
    let index: HashMap<&str, u32> = categories
        .iter()
        .enumerate()
        .map(|(index, word)| (word.as_str(), index as u32))
        .collect();
    let mut unknown = Broken::default();
    let mut values = Vec::with_capacity(column.cells.len());
    for (row, cell) in &column.cells {
        let Some(cell) = cell else {
            values.push(Values::MISSING);
            continue;
        };
        let word = column.notation(row.0).category(cell);
        let known = index.get(word.as_ref()).or_else(|| {
            let spelling = truth_category(&categories, &word)?;
            index.get(spelling)
        });
        values.push(known.copied().unwrap_or_else(|| {
            unknown.add(*row, cell);
            Values::UNKNOWN
        }));
    }
    unknown.push(violations, column.parts, column.name, "Category", |cell, _| {
        format!(
            "{cell} is not one of the declared categories {}",
            cut(&categories.join(", "), 120)
        )
    });
    (
        FeatureKind::Categorical { categories },
        Values::Categories(values),
    )
}

/// Refuses declared categories that csv.missing lists: no row of the training would have them, but rows of requests would.
fn check_missing_words(column: &Column<'_>, words: &[String], violations: &mut Vec<Violation>) {
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| column.parts.is_missing_word(word))
        .collect();
    if words.is_empty() {
        return;
    }
    let message = format!(
        "csv.missing and the categories of the feature both have {}; remove it from one of the two, or write another word for it in the \
         source",
        cut(&words.join(", "), 120)
    );
    violations.push(violation(
        column.name,
        "Category",
        message,
        words.len() as u64,
        None,
    ));
}

/// Keeps the first of several spellings of a truth value: a server reads all of them as one category.
fn with_one_spelling(mut categories: Vec<String>) -> Vec<String> {
    let all = categories.clone();
    categories.retain(|word| truth_category(&all, word).is_none_or(|first| first == word));
    categories
}

/// Refuses values that are too long to be a category.
fn check_lengths(column: &Column<'_>, distinct: &HashSet<Cow<'_, str>>, violations: &mut Vec<Violation>) {
    let lengths = distinct.iter().map(|word| word.chars().count());
    let too_long: Vec<usize> = lengths.filter(|length| *length > MAX_LENGTH).collect();
    if let Some(longest) = too_long.iter().max() {
        let message = format!(
            "a value has {longest} characters, and a category has at most {MAX_LENGTH}; correct it in the source, or list the column in exclude"
        );
        violations.push(violation(
            column.name,
            "Category",
            message,
            too_long.len() as u64,
            None,
        ));
    }
}

/// Numbers in ascending order, then words in the order of their bytes.
pub(super) fn sort_categories<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    words.sort_by(|a, b| match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    });
    words
}
