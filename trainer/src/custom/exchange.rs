//! The files that an image trains on.

use std::{fs, io, path::Path};

use anyhow::Context as _;
use modelward_crds::CustomFormat;
use modelward_model::{FeatureKind, Value};
use serde::Serialize;

use crate::data::{cache, dataset::Dataset, snapshot};

/// The rows as CSV.
pub const CSV: &str = "train.csv";

/// The rows as Parquet.
pub const PARQUET: &str = "train.parquet";

/// What the columns are.
pub const CONTRACT: &str = "contract.json";

/// The format of the contract.
const CONTRACT_FORMAT: u32 = 1;

/// What an image is asked to train.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The column of the class.
    pub target: &'a str,
    /// The format of the model that the image has to leave.
    pub format: CustomFormat,
    /// Seed of its random choices.
    pub seed: u64,
}

/// The content of `contract.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Contract<'a> {
    #[serde(rename = "contractFormat")]
    version: u32,
    model: &'a str,
    /// The format of the model that is asked for.
    format: CustomFormat,
    seed: u64,
    csv: &'static str,
    parquet: &'static str,
    rows: usize,
    positive_rows: usize,
    /// The column of the class: 0 or 1.
    target: &'a str,
    /// The features in the order that the model must have.
    features: Vec<ContractFeature<'a>>,
    /// A column whose equal values belong together; not a feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    group_column: Option<&'a str>,
    /// A column of times in microseconds since 1970; not a feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_column: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ContractFeature<'a> {
    name: &'a str,
    kind: &'static str,
    /// The categories in the order of their codes: the first is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    categories: Option<&'a [String]>,
}

/// Writes the files of these rows to a directory. The same rows give the same bytes.
pub fn write(rows: &Dataset, request: &Request<'_>, dir: &Path) -> anyhow::Result<()> {
    let save = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(dir).with_context(|| format!("cannot make the directory {}", dir.display()))?;
    // If it exists, the other files are complete and belong to it: an earlier one is removed first, and the new one is written last.
    let path = dir.join(CONTRACT);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", path.display()));
        }
        _ => {}
    }
    save(PARQUET, &snapshot::write_table(rows, request.target)?)?;
    let path = dir.join(CSV);
    write_csv(rows, request.target, &path).with_context(|| format!("cannot write {}", path.display()))?;
    cache::write(
        &dir.join(CONTRACT),
        &serde_json::to_vec_pretty(&contract(rows, request))?,
    )
    .with_context(|| format!("cannot write {CONTRACT} to {}", dir.display()))
}

fn contract<'a>(rows: &'a Dataset, request: &Request<'a>) -> Contract<'a> {
    let features = rows.schema.features.iter().map(|feature| {
        let (kind, categories) = match &feature.kind {
            FeatureKind::Numeric { .. } => ("Numeric", None),
            FeatureKind::Categorical { categories } => ("Categorical", Some(categories.as_slice())),
        };
        ContractFeature {
            name: &feature.name,
            kind,
            categories,
        }
    });
    Contract {
        version: CONTRACT_FORMAT,
        model: request.model,
        format: request.format,
        seed: request.seed,
        csv: CSV,
        parquet: PARQUET,
        rows: rows.len(),
        positive_rows: rows.positives(),
        target: request.target,
        features: features.collect(),
        group_column: rows
            .row_columns
            .groups
            .as_ref()
            .map(|groups| groups.column.as_str()),
        time_column: rows.row_columns.times.as_ref().map(|times| times.column.as_str()),
    }
}

/// The columns of the Parquet file in its order. Missing values are empty cells. The text of many rows is several times as large as their
/// values: it is written in pieces.
fn write_csv(rows: &Dataset, target: &str, path: &Path) -> Result<(), csv::Error> {
    let (groups, times) = (&rows.row_columns.groups, &rows.row_columns.times);
    let mut writer = csv::Writer::from_path(path)?;
    let names = rows.schema.names().chain([target]);
    let names = names.chain(groups.iter().map(|groups| groups.column.as_str()));
    writer.write_record(names.chain(times.iter().map(|times| times.column.as_str())))?;
    for row in 0..rows.len() {
        for (feature, value) in rows.schema.features.iter().zip(rows.values(row)) {
            writer.write_field(cell(&feature.kind, value))?;
        }
        writer.write_field(if rows.labels[row] { "1" } else { "0" })?;
        if let Some(groups) = groups {
            let name = groups.names.get(groups.of_row[row] as usize);
            writer.write_field(name.map_or("", String::as_str))?;
        }
        if let Some(times) = times {
            writer.write_field(times.of_row[row].to_string())?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(writer.flush()?)
}

/// A number has the digits of the 32-bit float in double precision: a reader of doubles gets the value that a server scores.
fn cell(kind: &FeatureKind, value: Value) -> String {
    match (kind, value) {
        (_, Value::Number(number)) if number.is_finite() => f64::from(number).to_string(),
        (FeatureKind::Categorical { categories }, Value::Category(index)) => {
            categories.get(index as usize).cloned().unwrap_or_default()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row};

    use super::*;
    use crate::data::{file, row_columns::Groups, violation::Quote};

    fn rows() -> Dataset {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("a,b"),
            Feature::categorical("c", &["NA", "say \"no\"", "two\nlines"]),
        ]);
        let value = |number, category| Row::new(vec![number, category]);
        let rows = [
            value(Value::Number(0.1), Value::Category(1)),
            value(Value::Missing, Value::Category(0)),
            value(Value::Number(-1e30), Value::Missing),
            value(Value::Number(16_777_217.0), Value::Category(2)),
        ];
        let mut data = Dataset::from_rows(schema.unwrap(), &rows, vec![true, false, false, true]);
        data.row_columns.groups = Some(Groups {
            column: "patient".to_owned(),
            names: vec!["p 1".to_owned(), "p,2".to_owned()],
            of_row: vec![0, 1, 1, 0],
        });
        data
    }

    #[test]
    fn both_files_have_every_value_and_the_csv_is_read_back_with_the_same_bits() {
        let data = rows();
        let request = Request {
            model: "heart",
            target: "num",
            format: CustomFormat::LightGBM,
            seed: 7,
        };
        let dir = tempfile::tempdir().unwrap();
        write(&data, &request, dir.path()).unwrap();
        let read = |name: &str| fs::read(dir.path().join(name)).unwrap();
        let csv = read(CSV);
        let (table, violations) = file::read(&csv, &modelward_crds::CsvFormat::default(), Quote::Yes);
        assert!(violations.is_empty(), "{violations:?}");
        assert_eq!(table.columns, ["a,b", "c", "num", "patient"]);
        let cells: Vec<Vec<&str>> = table
            .rows
            .iter()
            .map(|row| (0..4).map(|at| row.get(at).unwrap_or_default()).collect())
            .collect();
        assert_eq!(cells[0], ["0.10000000149011612", "say \"no\"", "1", "p 1"]);
        assert_eq!(cells[1], ["", "NA", "0", "p,2"]);
        assert_eq!(cells[3][..2], ["16777216", "two\nlines"]);
        for (row, cells) in cells.iter().enumerate() {
            let Value::Number(number) = data.columns[0].value(row) else {
                continue;
            };
            assert_eq!(
                (cells[0].parse::<f64>().unwrap() as f32).to_bits(),
                number.to_bits()
            );
        }
        let (parquet, violations) =
            file::read(&read(PARQUET), &modelward_crds::CsvFormat::default(), Quote::Yes);
        assert!(violations.is_empty(), "{violations:?}");
        assert_eq!(parquet.columns, table.columns);
        assert_eq!(parquet.rows.iter().count(), 4);
        let contract: serde_json::Value = serde_json::from_slice(&read(CONTRACT)).unwrap();
        assert_eq!(contract["features"][1]["categories"][1], "say \"no\"");
        assert_eq!(contract["format"], "LightGBM");
        assert_eq!(
            (&contract["rows"], &contract["positiveRows"]),
            (&4.into(), &2.into())
        );
        assert_eq!(contract["groupColumn"], "patient");
    }
}
