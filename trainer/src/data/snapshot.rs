//! The data of one training, frozen.
//!
//! | file | what it holds |
//! |---|---|
//! | `data.parquet` | one column per feature (32-bit floats, or categories as canonical text; null is missing), the class 0 or 1 under the name of the target, then the columns that are not features; rows in the source's order |
//! | `snapshot.json` | [`SnapshotInfo`]: sources with their digests, the resolved schema, what is in each column |
//! | `validation.json`, `validation.html` | what the expectations of the spec found, if it has any |

use std::{
    borrow::Cow,
    collections::HashMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use modelward_model::{
    DirBuilder, FeatureKind, FeatureSchema, FilesError, SchemaError, TargetInfo, VerifiedDir, files::json,
};
use modelward_wire::{Digest, ManifestKind, SourceRecord, Violation, Word as _};
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel},
    column::reader::get_typed_column_reader,
    data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        properties::WriterProperties,
        reader::{FileReader, SerializedFileReader},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::Type,
};
use serde::{Deserialize, Serialize};

use crate::data::{
    check::{Checked, ColumnReport},
    content::Content,
    dataset::{Dataset, Values},
    expectations::{Outline, VALIDATION},
    parquet::check_held,
    row_columns::{Groups, RowColumns, RowColumnsInfo, Times, Weights},
    violation::violation,
};

/// The format that this code writes, and the only one that it reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// The rows.
pub const DATA: &str = "data.parquet";

/// [`SnapshotInfo`].
pub const INFO: &str = "snapshot.json";

/// Values that memory is reserved for before they are read: 2 GiB, which take no memory until they are written.
const MAX_RESERVED: u64 = 1 << 29;

/// Rows of a row group: what a reader must hold at once.
const GROUP: usize = 65_536;

/// The description of a snapshot. It has no time of day: the same data and spec give the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotInfo {
    /// [`SNAPSHOT_FORMAT`].
    pub format: u32,
    /// Where the rows come from.
    pub sources: Vec<SourceRecord>,
    /// The files of the sources, if one has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<SourceRecord>,
    /// Rows.
    pub rows: u64,
    /// Rows of class 1.
    pub positive_rows: u64,
    /// What is predicted.
    pub target: TargetInfo,
    /// The features, resolved: declared or inferred.
    pub schema: FeatureSchema,
    /// What is in each feature's column, and then in that of the target.
    pub columns: Vec<ColumnReport>,
    /// Columns that are neither features nor the target and are kept with them.
    #[serde(default, skip_serializing_if = "RowColumnsInfo::is_empty")]
    pub row_columns: RowColumnsInfo,
    /// Columns of the source that were left out.
    pub excluded: Vec<String>,
    /// Violations: none, because only data that passed is frozen.
    pub violations: Vec<Violation>,
}

/// Warnings that a result has.
const MAX_WARNINGS: usize = 20;

/// A snapshot that was read and verified.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its address.
    pub digest: Digest,
    /// Its description.
    pub info: SnapshotInfo,
    /// Its rows.
    pub data: Dataset,
    /// What the expectations of the spec found; absent without expectations.
    pub expectations: Option<Outline>,
}

// === impl SnapshotInfo ===

impl SnapshotInfo {
    /// The number of rows of each file that the rows were read from, in their order.
    pub fn rows_of_files(&self) -> impl Iterator<Item = usize> + '_ {
        let files = if self.files.is_empty() {
            &self.sources
        } else {
            &self.files
        };
        files.iter().map(|file| file.rows as usize)
    }

    /// What looks wrong with the columns, as a result reports it: the first 20.
    pub fn warnings(&self) -> Vec<Violation> {
        warnings(&self.columns)
    }
}

/// What looks wrong with these columns, as a result reports it: the first 20.
pub fn warnings(columns: &[ColumnReport]) -> Vec<Violation> {
    let all = columns.iter().flat_map(|column| {
        column.warnings.iter().map(|warning| {
            violation(
                &column.name,
                warning.rule.text(),
                warning.message.as_str(),
                warning.count,
                None,
            )
        })
    });
    all.take(MAX_WARNINGS).collect()
}

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A file is absent, damaged or cannot be written.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// `snapshot.json` does not parse.
    #[error("{INFO} does not parse")]
    Json(#[from] serde_json::Error),
    /// `validation.json` does not parse.
    #[error("{VALIDATION} does not parse")]
    Expectations(#[source] serde_json::Error),
    /// The resolved schema contradicts itself.
    #[error("the schema in {INFO} is not valid")]
    Schema(#[from] SchemaError),
    /// The table does not parse.
    #[error("{DATA} does not parse")]
    Parquet(#[from] ParquetError),
    /// The table is not a Parquet file that this program could have written.
    #[error("{DATA} is damaged: {0}")]
    Damaged(String),
    /// The table is not the one that `snapshot.json` describes.
    #[error("{DATA} does not fit {INFO}: {0}")]
    Mismatch(String),
}

/// The files of a snapshot.
pub fn build(
    checked: &Checked,
    sources: Vec<SourceRecord>,
    target: TargetInfo,
    excluded: Vec<String>,
) -> Result<DirBuilder, SnapshotError> {
    build_of_files(checked, sources, Vec::new(), target, excluded)
}

/// The files of a snapshot of sources of which one has several `files`.
pub fn build_of_files(
    checked: &Checked,
    sources: Vec<SourceRecord>,
    files: Vec<SourceRecord>,
    target: TargetInfo,
    excluded: Vec<String>,
) -> Result<DirBuilder, SnapshotError> {
    let data = &checked.dataset;
    let table = write_table(data, &target.column)?;
    let info = SnapshotInfo {
        format: SNAPSHOT_FORMAT,
        sources,
        files,
        rows: data.len() as u64,
        positive_rows: data.positives() as u64,
        target,
        schema: data.schema.clone(),
        columns: checked.columns.clone(),
        row_columns: data.row_columns.info(),
        excluded,
        violations: Vec::new(),
    };
    Ok(DirBuilder::new(ManifestKind::Snapshot)
        .with(DATA, table)
        .with(INFO, json(&info)?))
}

/// Reads and verifies a snapshot; its digest must be `expected` if that is given.
pub fn open(dir: &Path, expected: Option<&Digest>) -> Result<Snapshot, SnapshotError> {
    let dir = VerifiedDir::open(dir, expected, ManifestKind::Snapshot)?;
    dir.verify_all()?;
    let info: SnapshotInfo = serde_json::from_slice(&dir.read(INFO)?)?;
    if info.format != SNAPSHOT_FORMAT {
        let message = format!(
            "format {}, this program reads format {SNAPSHOT_FORMAT}",
            info.format
        );
        return Err(SnapshotError::Mismatch(message));
    }
    info.schema.check()?;
    let (file, length) = dir.open_file(DATA)?;
    let content = Content::File(Arc::new(file), length);
    // The library has assertions about the file, which may panic.
    let data = catch_unwind(AssertUnwindSafe(|| read_table(&content, &info)));
    let data = data.unwrap_or_else(|_| {
        Err(SnapshotError::Damaged(
            "its structure contradicts itself".to_owned(),
        ))
    })?;
    let expectations = match dir.manifest().file(VALIDATION) {
        Some(_) => Some(serde_json::from_slice(&dir.read(VALIDATION)?).map_err(SnapshotError::Expectations)?),
        None => None,
    };
    Ok(Snapshot {
        digest: dir.digest(),
        info,
        data,
        expectations,
    })
}

// === writing ===

/// The rows as Parquet: the features, the class under the name of the target, then the columns that are not features.
pub(crate) fn write_table(data: &Dataset, target: &str) -> Result<Vec<u8>, ParquetError> {
    let mut fields = Vec::new();
    for feature in &data.schema.features {
        let field = match feature.kind {
            FeatureKind::Numeric { .. } => Type::primitive_type_builder(&feature.name, Physical::FLOAT)
                .with_repetition(Repetition::OPTIONAL),
            FeatureKind::Categorical { .. } => {
                Type::primitive_type_builder(&feature.name, Physical::BYTE_ARRAY)
                    .with_repetition(Repetition::OPTIONAL)
                    .with_logical_type(Some(LogicalType::String))
            }
        };
        fields.push(Arc::new(field.build()?));
    }
    let class = Type::primitive_type_builder(target, Physical::INT32).with_repetition(Repetition::REQUIRED);
    fields.push(Arc::new(class.build()?));
    fields.extend(row_fields(&data.row_columns)?);
    let schema = Arc::new(Type::group_type_builder("snapshot").with_fields(fields).build()?);
    // The library's own version in the footer would make a new digest of the same data.
    let properties = WriterProperties::builder()
        .set_created_by("modelward".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    for start in (0..data.len()).step_by(GROUP) {
        let range = start..(start + GROUP).min(data.len());
        let mut group = writer.next_row_group()?;
        for (feature, column) in data.schema.features.iter().zip(&data.columns) {
            match (&feature.kind, column) {
                (FeatureKind::Categorical { categories }, Values::Categories(values)) => {
                    let words: Vec<ByteArray> = categories
                        .iter()
                        .map(|word| ByteArray::from(word.as_str()))
                        .collect();
                    let cells = values[range.clone()]
                        .iter()
                        .map(|index| words.get(*index as usize).cloned());
                    write_optional::<ByteArrayType>(&mut group, cells)?;
                }
                (_, Values::Numbers(values)) => {
                    let cells = values[range.clone()]
                        .iter()
                        .map(|number| (!number.is_nan()).then_some(*number));
                    write_optional::<FloatType>(&mut group, cells)?;
                }
                (FeatureKind::Numeric { .. }, Values::Categories(_)) => {
                    return Err(ParquetError::General(format!(
                        "column {:?} is not one of numbers",
                        feature.name
                    )));
                }
            }
        }
        let classes: Vec<i32> = data.labels[range.clone()]
            .iter()
            .map(|label| i32::from(*label))
            .collect();
        let mut column = next_column(&mut group)?;
        column.typed::<Int32Type>().write_batch(&classes, None, None)?;
        column.close()?;
        write_row_columns(&mut group, &data.row_columns, range)?;
        group.close()?;
    }
    writer.close()?;
    Ok(bytes)
}

/// The fields of the columns that are not features, in the order in which they are written.
fn row_fields(columns: &RowColumns) -> Result<Vec<Arc<Type>>, ParquetError> {
    let mut fields = Vec::new();
    if let Some(groups) = &columns.groups {
        let field = Type::primitive_type_builder(&groups.column, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::String));
        fields.push(Arc::new(field.build()?));
    }
    if let Some(weights) = &columns.weights {
        let field = Type::primitive_type_builder(&weights.column, Physical::FLOAT);
        fields.push(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?));
    }
    if let Some(times) = &columns.times {
        let field = Type::primitive_type_builder(&times.column, Physical::INT64);
        fields.push(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?));
    }
    Ok(fields)
}

fn write_row_columns(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    columns: &RowColumns,
    range: Range<usize>,
) -> Result<(), ParquetError> {
    if let Some(groups) = &columns.groups {
        let name = |at: &u32| {
            groups
                .names
                .get(*at as usize)
                .map(|name| ByteArray::from(name.as_str()))
        };
        write_optional::<ByteArrayType>(group, groups.of_row[range.clone()].iter().map(name))?;
    }
    if let Some(weights) = &columns.weights {
        let cells = weights.of_row[range.clone()].iter().copied().map(Some);
        write_optional::<FloatType>(group, cells)?;
    }
    if let Some(times) = &columns.times {
        let cells = times.of_row[range].iter().copied().map(Some);
        write_optional::<Int64Type>(group, cells)?;
    }
    Ok(())
}

fn write_optional<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut values, mut present) = (Vec::new(), Vec::new());
    for cell in cells {
        present.push(i16::from(cell.is_some()));
        values.extend(cell);
    }
    let mut column = next_column(group)?;
    column.typed::<T>().write_batch(&values, Some(&present), None)?;
    column.close()
}

fn next_column<'a>(
    group: &'a mut SerializedRowGroupWriter<'_, &mut Vec<u8>>,
) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    group
        .next_column()?
        .ok_or_else(|| ParquetError::General("no column is left".to_owned()))
}

// === reading ===

fn read_table(content: &Content, info: &SnapshotInfo) -> Result<Dataset, SnapshotError> {
    let reader = SerializedFileReader::new(content.clone())?;
    check_held(content, reader.metadata()).map_err(SnapshotError::Damaged)?;
    let features = &info.schema.features;
    let found: Vec<String> = reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .columns()
        .iter()
        .map(|column| format!("{} {}", column.name(), column.physical_type()))
        .collect();
    let kind = |kind: &FeatureKind| match kind {
        FeatureKind::Numeric { .. } => Physical::FLOAT,
        FeatureKind::Categorical { .. } => Physical::BYTE_ARRAY,
    };
    let expected: Vec<String> = features
        .iter()
        .map(|feature| format!("{} {}", feature.name, kind(&feature.kind)))
        .chain([format!("{} {}", info.target.column, Physical::INT32)])
        .chain(row_columns(&info.row_columns).map(|(name, kind)| format!("{name} {kind}")))
        .collect();
    if found != expected {
        return Err(SnapshotError::Mismatch(format!(
            "columns {found:?}, expected {expected:?}"
        )));
    }

    let groups = reader.metadata().row_groups().iter();
    let held = groups.map(|group| u64::try_from(group.num_rows()).unwrap_or(0));
    let rows = reserved_rows(info.rows, held.fold(0, u64::saturating_add), features.len());
    let mut columns: Vec<Values> = features
        .iter()
        .map(|feature| Values::with_capacity(&feature.kind, rows))
        .collect();
    let mut labels = Vec::with_capacity(rows);
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows())
            .map_err(|_| SnapshotError::Mismatch("a negative number of rows".to_owned()))?;
        for (index, (feature, column)) in features.iter().zip(&mut columns).enumerate() {
            let start = column.len();
            match (&feature.kind, &mut *column) {
                (FeatureKind::Categorical { categories }, Values::Categories(values)) => {
                    let index_of = index_words(categories);
                    for cell in read_optional::<ByteArrayType>(&*group, index, rows)? {
                        values.push(category(cell.as_ref(), &index_of, &feature.name)?);
                    }
                }
                (_, Values::Numbers(values)) => {
                    let cells = read_optional::<FloatType>(&*group, index, rows)?;
                    let finite = |cell: Option<f32>| cell.filter(|number| number.is_finite());
                    values.extend(cells.into_iter().map(|cell| finite(cell).unwrap_or(f32::NAN)));
                }
                // The column was made for the kind.
                (FeatureKind::Numeric { .. }, Values::Categories(_)) => {}
            }
            if column.len() != start + rows {
                return Err(SnapshotError::Mismatch(format!(
                    "column {:?} is short",
                    feature.name
                )));
            }
        }
        for class in read_required(&*group, features.len(), rows)? {
            labels.push(match class {
                0 => false,
                1 => true,
                other => {
                    return Err(SnapshotError::Mismatch(format!(
                        "class {other} is neither 0 nor 1"
                    )));
                }
            });
        }
    }
    if labels.len() as u64 != info.rows {
        return Err(SnapshotError::Mismatch(format!(
            "{} rows, expected {}",
            labels.len(),
            info.rows
        )));
    }
    Ok(Dataset {
        schema: info.schema.clone(),
        columns,
        labels,
        row_columns: read_row_columns(&reader, &info.row_columns, features.len() + 1)?,
    })
}

/// Rows that memory is reserved for: a column that grows ends up half empty. Neither count is verified yet.
fn reserved_rows(stated: u64, held: u64, columns: usize) -> usize {
    let most = MAX_RESERVED / (columns as u64).max(1);
    usize::try_from(stated.min(held).min(most)).unwrap_or(0)
}

/// The columns that are not features, in the order in which they are written.
fn row_columns(info: &RowColumnsInfo) -> impl Iterator<Item = (&String, Physical)> {
    let group = info
        .group
        .iter()
        .map(|group| (&group.column, Physical::BYTE_ARRAY));
    let weight = info.weight.iter().map(|weight| (&weight.column, Physical::FLOAT));
    let time = info.time.iter().map(|time| (&time.column, Physical::INT64));
    group.chain(weight).chain(time)
}

/// The columns that are not features, the first of them at this index.
fn read_row_columns(
    reader: &SerializedFileReader<Content>,
    info: &RowColumnsInfo,
    mut index: usize,
) -> Result<RowColumns, SnapshotError> {
    let groups = match &info.group {
        None => None,
        Some(group) => {
            let cells = read_whole::<ByteArrayType>(reader, index, &group.column)?;
            let names = cells
                .iter()
                .map(|cell| Cow::Borrowed(cell.as_utf8().unwrap_or_default()));
            index += 1;
            Some(Groups::of_values(&group.column, names))
        }
    };
    let weights = match &info.weight {
        None => None,
        Some(weight) => {
            let of_row = read_whole::<FloatType>(reader, index, &weight.column)?;
            index += 1;
            Some(Weights {
                column: weight.column.clone(),
                of_row,
            })
        }
    };
    let times = match &info.time {
        None => None,
        Some(time) => Some(Times {
            column: time.column.clone(),
            format: time.format,
            of_row: read_whole::<Int64Type>(reader, index, &time.column)?,
        }),
    };
    let is_weight = |weight: &f32| weight.is_finite() && *weight >= 0.0;
    if let Some(weights) = &weights
        && !weights.of_row.iter().all(is_weight)
    {
        let message = format!("column {:?} holds values that are not weights", weights.column);
        return Err(SnapshotError::Mismatch(message));
    }
    Ok(RowColumns {
        groups,
        weights,
        times,
    })
}

/// A column in which every row has a value.
fn read_whole<T: DataType>(
    reader: &SerializedFileReader<Content>,
    index: usize,
    name: &str,
) -> Result<Vec<T::T>, SnapshotError> {
    let mut values = Vec::new();
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows())
            .map_err(|_| SnapshotError::Mismatch("a negative number of rows".to_owned()))?;
        let cells = read_optional::<T>(&*group, index, rows)?;
        if cells.len() != rows || cells.iter().any(Option::is_none) {
            return Err(SnapshotError::Mismatch(format!("a row has no value in {name:?}")));
        }
        values.extend(cells.into_iter().flatten());
    }
    Ok(values)
}

fn index_words(categories: &[String]) -> HashMap<&[u8], u32> {
    let words = categories.iter().zip(0..);
    words.map(|(word, index)| (word.as_bytes(), index)).collect()
}

fn category(
    cell: Option<&ByteArray>,
    index_of: &HashMap<&[u8], u32>,
    name: &str,
) -> Result<u32, SnapshotError> {
    let Some(cell) = cell else {
        return Ok(Values::MISSING);
    };
    index_of.get(cell.data()).copied().ok_or_else(|| {
        let word = String::from_utf8_lossy(cell.data())
            .chars()
            .take(40)
            .collect::<String>();
        SnapshotError::Mismatch(format!(
            "column {name:?} holds {word:?}, which is not one of its categories"
        ))
    })
}

fn read_optional<T: DataType>(
    group: &dyn parquet::file::reader::RowGroupReader,
    index: usize,
    rows: usize,
) -> Result<Vec<Option<T::T>>, SnapshotError> {
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(index)?);
    let (mut values, mut present) = (Vec::new(), Vec::new());
    // One call reads at most a page; none read means the end.
    while present.len() < rows {
        let (read, _, _) =
            reader.read_records(rows - present.len(), Some(&mut present), None, &mut values)?;
        if read == 0 {
            break;
        }
    }
    let mut values = values.into_iter();
    Ok(present
        .into_iter()
        .map(|level| if level == 1 { values.next() } else { None })
        .collect())
}

fn read_required(
    group: &dyn parquet::file::reader::RowGroupReader,
    index: usize,
    rows: usize,
) -> Result<Vec<i32>, SnapshotError> {
    let mut reader = get_typed_column_reader::<Int32Type>(group.get_column_reader(index)?);
    let mut values = Vec::new();
    while values.len() < rows {
        let (read, _, _) = reader.read_records(rows - values.len(), None, None, &mut values)?;
        if read == 0 {
            break;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{data::row_columns::TimeFormat, fit::train::tests::data};

    fn checked(data: Dataset) -> Checked {
        Checked {
            dataset: data,
            columns: Vec::new(),
        }
    }

    fn target() -> TargetInfo {
        TargetInfo {
            column: "y".into(),
            positive_when: "y is 1".into(),
        }
    }

    #[test]
    fn what_was_frozen_is_what_is_read() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        let (_, digest) = build(&checked(data()), vec![], target(), vec![])
            .unwrap()
            .write(&dir)
            .unwrap();
        let snapshot = open(&dir, Some(&digest)).unwrap();
        assert_eq!(snapshot.data, data());
        assert_eq!(snapshot.info.rows, 60);
    }

    #[test]
    fn columns_that_are_no_features_are_frozen_beside_them() {
        let mut data = data();
        let names = (0..data.len()).map(|row| Cow::Owned(format!("p{}", row / 4)));
        data.row_columns = RowColumns {
            groups: Some(Groups::of_values("patient", names)),
            weights: Some(Weights {
                column: "w".into(),
                of_row: (0..60_u8).map(|row| f32::from(row) / 4.0).collect(),
            }),
            times: Some(Times {
                column: "t".into(),
                format: TimeFormat::EpochSeconds,
                of_row: (0..60).map(|row| row * 7_000_000 - 1).collect(),
            }),
        };
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        build(&checked(data.clone()), vec![], target(), vec![])
            .unwrap()
            .write(&dir)
            .unwrap();
        let read = open(&dir, None).unwrap();
        assert_eq!(read.data, data);
        assert_eq!(read.info.row_columns.group.unwrap().groups, 15);
        assert_eq!(read.info.row_columns.weight.unwrap().zeros, 1);
    }

    #[test]
    fn more_rows_than_a_group_holds_survive_in_order() {
        let mut many = data();
        while many.len() <= GROUP + 10 {
            for column in &mut many.columns {
                match column {
                    Values::Numbers(values) => values.extend_from_within(..),
                    Values::Categories(values) => values.extend_from_within(..),
                }
            }
            many.labels.extend_from_within(..);
        }
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        build(&checked(many.clone()), vec![], target(), vec![])
            .unwrap()
            .write(&dir)
            .unwrap();
        assert_eq!(open(&dir, None).unwrap().data, many);
    }

    #[test]
    fn equal_data_have_equal_bytes() {
        let digest = || {
            build(&checked(data()), vec![], target(), vec![])
                .unwrap()
                .manifest()
                .unwrap()
                .2
        };
        assert_eq!(digest(), digest());
    }

    #[test]
    fn a_table_that_contradicts_its_description_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        let builder = build(&checked(data()), vec![], target(), vec![]).unwrap();
        builder.write(&dir).unwrap();
        let info: SnapshotInfo = serde_json::from_slice(&fs::read(dir.join(INFO)).unwrap()).unwrap();
        let table = fs::read(dir.join(DATA)).unwrap();
        let refused = |change: fn(&mut SnapshotInfo)| {
            let mut info = info.clone();
            change(&mut info);
            read_table(&table.clone().into(), &info).unwrap_err().to_string()
        };
        assert!(refused(|info| info.rows = 61).contains("60 rows, expected 61"));
        assert!(refused(|info| info.rows = u64::MAX).contains("60 rows, expected"));
        assert!(refused(|info| info.schema.features.reverse()).contains("columns"));
        let text = refused(|info| {
            if let FeatureKind::Categorical { categories } = &mut info.schema.features[1].kind {
                categories.remove(1);
            }
        });
        assert!(text.contains("\"b\""), "{text}");
        assert!(read_table(&b"PAR1 no parquet".to_vec().into(), &info).is_err());
    }

    #[test]
    fn memory_is_reserved_for_rows_that_a_file_may_hold_and_not_for_what_it_states() {
        assert_eq!(reserved_rows(10_000_000, 10_000_000, 30), 10_000_000);
        assert_eq!(reserved_rows(u64::MAX, 60, 2), 60);
        assert_eq!(reserved_rows(u64::MAX, u64::MAX, 4096), (1 << 29) / 4096);
    }
}
