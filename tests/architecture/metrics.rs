//! What documentation, charts and tests say of metrics exists.
//!
//! The tables of the documentation are written from the declarations, and the crates check that they are current. Here every name
//! elsewhere is looked for in them.

use std::{collections::BTreeSet, fs, path::Path};

use crate::root;

/// The pages with a table.
const PAGES: [&str; 3] = ["docs/serving.md", "docs/operations.md", "docs/ledger.md"];

/// Where metrics are named.
const READERS: [&str; 10] = [
    "README.md",
    "docs",
    "charts",
    "demo",
    "manifests",
    "tests",
    "inference/tests",
    "operator/tests",
    "operator/controllers/tests",
    "operator/ledger/tests",
];

/// Names that begin like a metric's: a label that Prometheus sets.
const OTHERS: [&str; 1] = ["modelward_io_model"];

/// What the series of a histogram end with.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The names in the tables, and those of them that are histograms.
fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut all, mut histograms) = (BTreeSet::new(), BTreeSet::new());
    for page in PAGES {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let (_, table) = text
            .split_once("<!-- metrics: ")
            .unwrap_or_else(|| panic!("{page} has no table"));
        let (table, _) = table.split_once("<!-- end -->").unwrap();
        for row in table.lines().filter(|line| line.starts_with("| `")) {
            let name = row.split('`').nth(1).unwrap().to_owned();
            if row.ends_with("; a histogram |") {
                histograms.insert(name.clone());
            }
            all.insert(name);
        }
    }
    (all, histograms)
}

/// The names of this workspace's crates as Rust writes them.
fn crates() -> BTreeSet<String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"modelward-"));
    names
        .map(|name| format!("modelward_{}", name.trim_end_matches('"').replace('-', "_")))
        .collect()
}

/// The names that begin like a metric. One that ends with an underscore is the beginning of one.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let part =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_';
    text.match_indices("modelward_").filter_map(move |(at, _)| {
        let inside = text[..at]
            .chars()
            .next_back()
            .is_some_and(|before| before == '_' || before.is_alphanumeric());
        let rest = &text[at..];
        let name = &rest[..rest.find(|character| !part(character)).unwrap_or(rest.len())];
        (!inside && !name.ends_with('_')).then_some(name)
    })
}

fn read_all(path: &Path, sink: &mut dyn FnMut(&Path, &str)) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), sink);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        sink(path, &text);
    }
}

fn is_known(name: &str, known: &BTreeSet<String>, histograms: &BTreeSet<String>) -> bool {
    let of_histogram = |part: &str| {
        name.strip_suffix(part)
            .is_some_and(|whole| histograms.contains(whole))
    };
    known.contains(name) || PARTS.into_iter().any(of_histogram)
}

#[test]
fn every_metric_that_is_named_anywhere_exists() {
    let (known, histograms) = known();
    assert!(known.len() > 60 && histograms.len() >= 4, "{known:?}");
    let crates = crates();
    let mut found = BTreeSet::new();
    let mut seen = 0;
    for reader in READERS {
        read_all(&root().join(reader), &mut |path, text| {
            // The names below are made up.
            if path.ends_with(file!()) {
                return;
            }
            for name in names(text).filter(|name| !crates.contains(*name) && !OTHERS.contains(name)) {
                seen += 1;
                if !is_known(name, &known, &histograms) {
                    found.insert(format!("{}: {name}", path.display()));
                }
            }
        });
    }
    assert!(seen > 80, "{seen}");
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn names_are_found_and_parts_of_words_are_not() {
    let text = "a modelward_x_total, {modelward_y{kind} modelward_operator_{name} my_modelward_z";
    assert_eq!(
        names(text).collect::<Vec<_>>(),
        ["modelward_x_total", "modelward_y"]
    );
    let (known, histograms) = (
        ["modelward_s".to_owned()].into(),
        ["modelward_s".to_owned()].into(),
    );
    assert!(is_known("modelward_s_bucket", &known, &histograms));
    assert!(!is_known("modelward_s_total", &known, &histograms));
}
