//! The fields in which a version differs from the one that serves, because users approve a change, which a name does not show.

use std::collections::BTreeSet;

use modelward_crds::{ModelVersion, ModelVersionSpec, PlannedDifference, SourceStatus};
use serde_json::{Map, Value};

use super::text::plain;
use crate::action::canonical;

/// Longest value that is shown, in characters. A longer one is truncated and shown with its sha256.
const VALUE: usize = 128;
/// Longest name of a file, in characters.
const FILE: usize = 256;
/// Limit on the differences in a plan: more than a spec has fields.
const LISTED: usize = 128;
/// Limit on the differences within one list.
const OF_A_LIST: usize = 16;
/// Longest path, in characters.
const PATH: usize = 512;
/// Limit on the differences in a summary. The plan lists all.
const NAMED: usize = 24;
/// The order in which parts of a spec are compared: those that affect predictions first.
const PARTS: [&str; 4] = ["source", "serving", "monitoring", "retraining"];
/// Fields that identify an item of a list.
const NAMES: [&str; 2] = ["name", "feature"];
/// Fields that every retraining sets, and that its summary describes otherwise.
pub const OF_A_RETRAINING: [&str; 5] = [
    "source.training.dataset",
    "source.training.additionalDatasets",
    "source.training.snapshot",
    "source.training.notWorseThan",
    "source.training.reference",
];

/// The fields of the spec, and the files, in which a planned version differs from the one that serves.
///
/// If none serves, every field is a difference. Lists are compared item by item. `left_out` are fields that are not compared,
/// including their subfields.
pub fn from_present(
    present: Option<&ModelVersion>,
    spec: &ModelVersionSpec,
    sources: &[SourceStatus],
    left_out: &[&str],
) -> Vec<PlannedDifference> {
    let of = |spec: &ModelVersionSpec| serde_json::to_value(spec).unwrap_or_default();
    let before = present.map_or(Value::Null, |present| of(&present.spec));
    let after = of(spec);
    let known = present.and_then(|present| present.status.as_ref());
    let known = known.map(|status| status.sources.as_slice()).unwrap_or_default();
    let trained = present.is_some_and(|present| present.spec.source.training.is_some());
    let mut found = if trained && known.is_empty() {
        unknown_files(sources)
    } else {
        changed_files(known, sources)
    };
    for part in PARTS {
        compare(part, &before[part], &after[part], left_out, &mut found);
    }
    found.truncate(LISTED);
    for difference in &mut found {
        difference.field = difference.field.chars().take(PATH).collect();
    }
    found
}

/// The same as text that ends a sentence. `present` names the version that serves.
pub fn words(differences: &[PlannedDifference], present: Option<&str>) -> String {
    let named: Vec<String> = differences.iter().take(NAMED).map(of_one).collect();
    let more = match differences.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more in status.plan.differences"),
    };
    match (present, named.is_empty()) {
        (Some(name), true) => format!("; otherwise as {name}"),
        (Some(name), false) => format!("; differs from {name} in {}{more}", named.join(", ")),
        (None, _) => format!("; its spec: {}{more}", named.join(", ")),
    }
}

fn of_one(difference: &PlannedDifference) -> String {
    let PlannedDifference { field, before, after } = difference;
    match (before, after) {
        (Some(before), Some(after)) => format!("{field} ({before} to {after})"),
        (None, Some(after)) => format!("{field} (set to {after})"),
        (Some(before), None) => format!("{field} ({before} removed)"),
        (None, None) => field.clone(),
    }
}

/// Every file, if the bytes that the serving version was trained on are not known.
fn unknown_files(after: &[SourceStatus]) -> Vec<PlannedDifference> {
    let difference = |file: &SourceStatus| PlannedDifference {
        before: Some("not known".to_owned()),
        ..file_difference(file, None)
    };
    after.iter().map(difference).collect()
}

/// Files with the same name and different bytes.
fn changed_files(before: &[SourceStatus], after: &[SourceStatus]) -> Vec<PlannedDifference> {
    let changed = |file: &&SourceStatus| {
        let of_name = || before.iter().filter(|known| known.name == file.name);
        of_name().next().is_some() && of_name().all(|known| known.sha256 != file.sha256)
    };
    let difference =
        |file: &SourceStatus| file_difference(file, before.iter().find(|known| known.name == file.name));
    after.iter().filter(changed).map(difference).collect()
}

fn file_difference(file: &SourceStatus, before: Option<&SourceStatus>) -> PlannedDifference {
    let shown = |file: &SourceStatus| {
        let positive = file.positive_rows.map(|count| format!(", {count} of class 1"));
        format!(
            "{}, {} rows{}",
            file.sha256.short(),
            file.rows,
            positive.unwrap_or_default()
        )
    };
    let name: String = plain(&file.name).chars().take(FILE).collect();
    PlannedDifference {
        field: format!("bytes of {name}"),
        before: before.map(shown),
        after: Some(shown(file)),
    }
}

fn compare(path: &str, before: &Value, after: &Value, left_out: &[&str], found: &mut Vec<PlannedDifference>) {
    if before == after || left_out.contains(&path) {
        return;
    }
    if let Some((before, after)) = as_lists(before, after) {
        compare_lists(path, before, after, left_out, found);
        return;
    }
    let nothing = Map::new();
    let (of_before, of_after) = match (before, after) {
        (Value::Object(before), Value::Object(after)) => (before, after),
        (Value::Object(before), Value::Null) => (before, &nothing),
        (Value::Null, Value::Object(after)) => (&nothing, after),
        _ => {
            found.push(PlannedDifference {
                field: path.to_owned(),
                before: shown(before),
                after: shown(after),
            });
            return;
        }
    };
    let keys: BTreeSet<&String> = of_before.keys().chain(of_after.keys()).collect();
    for key in keys {
        let [before, after] = [of_before, of_after].map(|fields| fields.get(key).unwrap_or(&Value::Null));
        compare(&format!("{path}.{key}"), before, after, left_out, found);
    }
}

/// Two lists to compare item by item. A list of plain values without a counterpart is shown as a whole.
fn as_lists<'a>(before: &'a Value, after: &'a Value) -> Option<(&'a [Value], &'a [Value])> {
    let of_objects = |items: &[Value]| items.first().is_some_and(Value::is_object);
    match (before, after) {
        (Value::Array(before), Value::Array(after)) => Some((before, after)),
        (Value::Array(before), Value::Null) if of_objects(before) => Some((before, &[])),
        (Value::Null, Value::Array(after)) if of_objects(after) => Some((&[], after)),
        _ => None,
    }
}

/// Items with a name are compared by it, others by their position. The limit keeps a list from displacing other differences.
fn compare_lists(
    path: &str,
    before: &[Value],
    after: &[Value],
    left_out: &[&str],
    found: &mut Vec<PlannedDifference>,
) {
    let mut within = Vec::new();
    let names = names_of(before.iter().chain(after));
    let unique = |items: &[Value]| names_of(items).is_some_and(|names| names.len() == items.len());
    if let Some(names) = names.filter(|_| unique(before) && unique(after)) {
        let item = |items: &[Value], name: &str| {
            let own = items.iter().find(|item| name_of(item) == Some(name));
            own.cloned().unwrap_or_default()
        };
        for name in names {
            let at = format!("{path}[{}]", plain(name));
            compare(
                &at,
                &item(before, name),
                &item(after, name),
                left_out,
                &mut within,
            );
        }
    } else {
        for place in 0..before.len().max(after.len()) {
            let [before, after] = [before, after].map(|items| items.get(place).unwrap_or(&Value::Null));
            compare(&format!("{path}[{place}]"), before, after, left_out, &mut within);
        }
    }
    if within.len() > OF_A_LIST {
        let more = within.len() - OF_A_LIST;
        within.truncate(OF_A_LIST);
        within.push(PlannedDifference {
            field: format!("{more} more in {path}"),
            before: None,
            after: None,
        });
    }
    found.extend(within);
}

fn name_of(item: &Value) -> Option<&str> {
    NAMES.iter().find_map(|key| item.get(key))?.as_str()
}

/// The names of all items, each once; `None` if one has none.
fn names_of<'a>(items: impl IntoIterator<Item = &'a Value>) -> Option<BTreeSet<&'a str>> {
    items.into_iter().map(name_of).collect()
}

/// A value as JSON; `None` if it is absent.
fn shown(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let whole = value.to_string();
    let text = plain(&whole);
    if text.chars().count() <= VALUE {
        return Some(text);
    }
    let begin: String = text.chars().take(VALUE).collect();
    Some(format!("{begin}… with {}", canonical::digest(&whole).short()))
}
