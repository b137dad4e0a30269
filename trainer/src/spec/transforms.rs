//! Checks of declared transforms that need no data.

use std::collections::BTreeSet;

use modelward_crds::{TrainingSource, TransformSpec};
use modelward_wire::Decimal;

/// A spec has at most this many transforms.
const MAX_TRANSFORMS: usize = 64;

/// A name has at most this many characters, so that a column of it has at most 256.
const MAX_NAME: usize = 63;

/// Every contradiction in the transforms of a spec.
pub(super) fn check(training: &TrainingSource, wrong: &mut Vec<String>) {
    let transforms = &training.transforms;
    if transforms.len() > MAX_TRANSFORMS {
        wrong.push(format!(
            "transforms has {} entries, at most {MAX_TRANSFORMS} are applied",
            transforms.len()
        ));
    }
    if let Some(twice) = find_twice(transforms.iter().map(|transform| &transform.name)) {
        wrong.push(format!("transforms names {twice:?} twice"));
    }
    for transform in transforms {
        let mut problems = transform.problems();
        check_name(transform, training, &mut problems);
        check_inputs(transform, training, &mut problems);
        check_numbers(transform, &mut problems);
        check_edges(transform, &mut problems);
        if let Some(twice) = find_twice(transform.order.iter().flatten()) {
            problems.push(format!("has {twice:?} twice in its order"));
        }
        let named = problems
            .into_iter()
            .map(|problem| format!("transform {:?} {problem}", transform.name));
        wrong.extend(named);
    }
}

fn check_name(transform: &TransformSpec, training: &TrainingSource, problems: &mut Vec<String>) {
    let name = &transform.name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if !begins || !name.bytes().all(plain) || name.len() > MAX_NAME {
        problems.push(format!(
            "has a name that is not 1 to {MAX_NAME} letters, digits, '_' and '-', the first one a letter"
        ));
    }
    let is_column = *name == training.target.column
        || training.exclude.contains(name)
        || training.row_columns().any(|(_, column)| column == name)
        || training.features.iter().any(|feature| feature.name == *name);
    if is_column {
        problems.push("has the name of a column of the data; choose another name".to_owned());
    }
}

fn check_inputs(transform: &TransformSpec, training: &TrainingSource, problems: &mut Vec<String>) {
    for column in transform.inputs() {
        if *column == training.target.column {
            problems.push(format!(
                "reads {column:?}, which is the target: rows to be scored do not have it"
            ));
        } else if !training.is_feature(column) {
            problems.push(format!(
                "reads {column:?}, which is not a feature: it is excluded, or has another role"
            ));
        }
        let mut features = training.features.iter();
        if features.any(|feature| feature.name == *column && feature.monotone.is_some()) {
            problems.push(format!(
                "reads {column:?}, which is monotone: families apply this constraint to the feature itself; remove one of the two"
            ));
        }
    }
}

fn check_numbers(transform: &TransformSpec, problems: &mut Vec<String>) {
    let over = |min: &Option<Decimal>, max: &Option<Decimal>| {
        min.as_ref().zip(max.as_ref()).is_some_and(|(min, max)| min > max)
    };
    if over(&transform.min_value, &transform.max_value) {
        problems.push("has a minValue above its maxValue".to_owned());
    }
    if over(&transform.min_quantile, &transform.max_quantile) {
        problems.push("has a minQuantile above its maxQuantile".to_owned());
    }
    let shares = [
        ("minQuantile", &transform.min_quantile),
        ("maxQuantile", &transform.max_quantile),
    ];
    for (name, share) in shares {
        if let Some(share) = share
            .as_ref()
            .filter(|share| !(0.0..=1.0).contains(&share.to_f64()))
        {
            problems.push(format!("has {name} {share}, it must be between 0 and 1"));
        }
    }
    let amounts = [("smoothing", &transform.smoothing), ("offset", &transform.offset)];
    for (name, amount) in amounts {
        if let Some(amount) = amount.as_ref().filter(|amount| amount.to_f64() < 0.0) {
            problems.push(format!("has {name} {amount}, it must be at least 0"));
        }
    }
    if let Some(bins) = transform.bins.filter(|bins| !(2..=64).contains(bins)) {
        problems.push(format!("has {bins} bins, it must be 2 to 64"));
    }
}

fn check_edges(transform: &TransformSpec, problems: &mut Vec<String>) {
    let Some(edges) = &transform.edges else { return };
    if !(1..=63).contains(&edges.len()) {
        problems.push(format!("has {} edges, it must be 1 to 63", edges.len()));
    }
    let singles = edges.iter().map(|edge| edge.to_f64() as f32);
    if !singles.is_sorted_by(|a, b| a < b) {
        problems.push("has edges that are not ascending, or equal as 32-bit floats".to_owned());
    }
}

fn find_twice<'a>(names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    let mut names = names;
    names.find(|name| !seen.insert(*name))
}

#[cfg(test)]
mod tests {
    use crate::spec::{parse, tests::HEART};

    fn refuse(transforms: &str) -> String {
        let text = HEART.replace(
            "      families:",
            &format!("      transforms: {transforms}\n      families:"),
        );
        parse(&text).unwrap_err().to_string()
    }

    #[test]
    fn names_that_are_columns_of_the_data_and_inputs_that_are_no_features_are_refused() {
        let error = refuse(
            "[{name: num, type: Log, column: age}, {name: ca, type: Log, column: age}, {name: a b, type: Log, column: age}, \
             {name: x, type: Log, column: num}]",
        );
        for part in [
            "transform \"num\" has the name of a column of the data",
            "transform \"ca\" has the name of a column of the data",
            "transform \"a b\" has a name that is not 1 to 63 letters",
            "transform \"x\" reads \"num\", which is the target",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn arguments_that_are_absent_out_of_bounds_or_contradict_each_other_are_named() {
        let error = refuse(
            "[{name: a, type: Bins, column: age, edges: [\"3\", \"3\"]}, {name: b, type: Bins, column: age, bins: 1}, \
             {name: c, type: Clip, column: age, minValue: \"3\", maxValue: \"2\"}, {name: d, type: Ratio, columnA: age}, \
             {name: e, type: Ordinal, column: cp, order: [x, x]}]",
        );
        for part in [
            "transform \"a\" has edges that are not ascending",
            "transform \"b\" has 1 bins, it must be 2 to 64",
            "transform \"c\" has a minValue above its maxValue",
            "transform \"d\" needs columnB",
            "transform \"e\" has \"x\" twice in its order",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_transform_of_a_monotone_feature_is_refused() {
        let text = HEART
            .replace(
                "{name: ca, kind: Numeric}",
                "{name: ca, kind: Numeric, monotone: Increasing}",
            )
            .replace(
                "families: [LogisticRegression]",
                "transforms: [{name: a, type: Log, column: ca}]\n      families: [XGBoost]",
            );
        let error = parse(&text).unwrap_err().to_string();
        assert!(
            error.contains("transform \"a\" reads \"ca\", which is monotone"),
            "{error}"
        );
    }
}
