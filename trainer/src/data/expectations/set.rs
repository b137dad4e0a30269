//! Values of a set.

use std::collections::{BTreeSet, HashMap, HashSet};

use modelward_crds::Expectation;
use serde_json::{Value, json};

use crate::data::{
    expectations::{
        contract::Evaluate,
        found::{Found, LISTED, Tally, compare},
        frame::{Column, Frame, Key},
        given::plain,
        raised::Raised,
    },
    table::Quote,
};

/// Each value is in the set, or none is.
pub(super) struct Membership {
    wanted: bool,
}

pub(super) const IN_SET: Membership = Membership { wanted: true };
pub(super) const NOT_IN_SET: Membership = Membership { wanted: false };

/// The different values of a column and a set.
pub(super) struct Distinct {
    /// Whether values outside of the set are unexpected.
    only_these: bool,
    /// Whether values of the set that do not occur are missing.
    all_of_these: bool,
}

pub(super) const DISTINCT_IN_SET: Distinct = Distinct {
    only_these: true,
    all_of_these: false,
};
pub(super) const DISTINCT_EQUAL_SET: Distinct = Distinct {
    only_these: true,
    all_of_these: true,
};
pub(super) const DISTINCT_CONTAIN_SET: Distinct = Distinct {
    only_these: false,
    all_of_these: true,
};

pub(super) struct MostCommonValueToBeInSet;

fn set<'b>(column: &Column<'_>, given: &'b Expectation) -> HashSet<Key<'b>> {
    let texts = given.value_set.iter().flatten();
    texts.map(|text| column.key_of(text)).collect()
}

impl Evaluate for Membership {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let set = set(&column, given);
        let tally = Tally::of(column.present(), |row| {
            set.contains(&column.key(row)) == self.wanted
        });
        Ok(tally.finish(frame, given, column.present().count(), |row| column.json(row)))
    }
}

impl Evaluate for Distinct {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let set = set(&column, given);
        let mut first: HashMap<Key<'_>, usize> = HashMap::new();
        for row in column.present() {
            first.entry(column.key(row)).or_insert(row);
        }
        let mut unexpected: Vec<Value> = first
            .iter()
            .filter(|(key, _)| !set.contains(key))
            .map(|(_, row)| column.json(*row))
            .collect();
        unexpected.sort_by(compare);
        let mut listed = HashSet::new();
        let texts = given.value_set.iter().flatten();
        let missing: Vec<&String> = texts
            .filter(|text| !first.contains_key(&column.key_of(text)) && listed.insert(column.key_of(text)))
            .collect();
        let mut found = Found::new(true, json!({"observed_value": null}));
        let mut observed = Vec::new();
        if self.only_these {
            found.success &= unexpected.is_empty();
            found
                .result
                .insert("unexpected_count".into(), unexpected.len().into());
            observed.push(format!("{} different values outside the set", unexpected.len()));
            if frame.quote() == Quote::Yes {
                let listed = &unexpected[..unexpected.len().min(LISTED)];
                found
                    .result
                    .insert("partial_unexpected_list".into(), listed.into());
                found.examples = listed.to_vec();
            }
        }
        if self.all_of_these {
            found.success &= missing.is_empty();
            found.result.insert("missing_count".into(), missing.len().into());
            observed.push(format!("{} values of the set do not occur", missing.len()));
            let values = missing.into_iter().take(LISTED).map(|text| column.json_of(text));
            found
                .result
                .insert("partial_missing_list".into(), values.collect());
        }
        Ok(found.with_observed(observed.join(", ")))
    }
}

impl Evaluate for MostCommonValueToBeInSet {
    fn evaluate(&self, frame: &mut Frame<'_>, given: &Expectation) -> Result<Found, Raised> {
        let column = frame.column(given.column.as_deref().unwrap_or_default())?;
        let counts = count(&column);
        let most = counts.values().map(|(count, _)| *count).max();
        let common = || counts.iter().filter(move |(_, (count, _))| Some(*count) == most);
        let set = set(&column, given);
        let named: BTreeSet<_> = common()
            .map(|(key, _)| *key)
            .filter(|key| set.contains(key))
            .collect();
        let success = if given.ties_okay == Some(true) {
            !named.is_empty()
        } else {
            common().count() == 1 && named.len() == 1
        };
        let mut values: Vec<Value> = common().map(|(_, (_, row))| column.json(*row)).collect();
        values.sort_by(compare);
        let observed = format!("most common {}", plain(&Value::Array(values.clone())));
        let found = if frame.quote() == Quote::Yes {
            Found::observed(success, &values.into())
        } else {
            Found::new(success, json!({}))
        };
        Ok(Found {
            reveals: true,
            ..found.with_observed(observed)
        })
    }
}

/// How often each value occurs, and its first row.
pub(super) fn count<'a>(column: &Column<'a>) -> HashMap<Key<'a>, (usize, usize)> {
    let mut counts = HashMap::new();
    for row in column.present() {
        counts.entry(column.key(row)).or_insert((0, row)).0 += 1;
    }
    counts
}
