//! Parquet files: the first byte chooses the spec that they are read for, the others are the file.

use std::sync::Arc;

use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    errors::Result,
    file::{
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::types::{Type, TypePtr},
};

use super::{Target, table::check_table};

/// What the table of a file may hold: the limit of the pages that are unpacked, and of the rows as CSV.
const UNPACKED: usize = 2 << 30;

/// Rows of a sample.
const ROWS: i32 = 24;

#[derive(Debug)]
pub(super) struct Parquet;

impl Target for Parquet {
    fn name(&self) -> &'static str {
        "parquet"
    }

    fn run(&self, bytes: &[u8]) {
        if let Some((format, file)) = bytes.split_first() {
            check_table(*format, file);
        }
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let compressions = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(parquet::basic::GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
            Compression::LZ4_RAW,
        ];
        let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
        let of_compression = compressions.iter().flat_map(|compression| {
            versions.map(|version| {
                let properties = WriterProperties::builder().set_compression(*compression);
                properties
                    .set_writer_version(version)
                    .set_statistics_enabled(none())
            })
        });
        let plain = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(none());
        let deltas = plain
            .clone()
            .set_column_encoding("plan".into(), Encoding::DELTA_BYTE_ARRAY)
            .set_column_encoding("age".into(), Encoding::DELTA_BINARY_PACKED);
        let all = of_compression.chain([plain, deltas]);
        let files = all.filter_map(|properties| write_file(properties.build()).ok());
        files.map(|file| [vec![0], file].concat()).collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "PAR1",
            "PARE",
            "\u{15}\u{2}",
            "\u{19}\u{2c}",
            "\u{7f}\u{7f}\u{7f}\u{7f}\u{7}",
            "y",
            "schema",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        UNPACKED + 400 * input
    }
}

fn none() -> parquet::file::properties::EnabledStatistics {
    parquet::file::properties::EnabledStatistics::None
}

fn field(name: &str, physical: Physical, logical: Option<LogicalType>) -> Result<TypePtr> {
    let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    Ok(Arc::new(field.with_logical_type(logical).build()?))
}

/// A file of five columns of different types, some values missing.
fn write_file(properties: WriterProperties) -> Result<Vec<u8>> {
    let fields = vec![
        field("age", Physical::INT64, None)?,
        field("plan", Physical::BYTE_ARRAY, Some(LogicalType::String))?,
        field("weight", Physical::DOUBLE, None)?,
        field("seen", Physical::INT32, Some(LogicalType::Date))?,
        field("y", Physical::BOOLEAN, None)?,
    ];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let levels: Vec<i16> = (0..ROWS).map(|row| i16::from(row % 5 != 0)).collect();
    let present = || (0..ROWS).filter(|row| row % 5 != 0);
    let mut group = writer.next_row_group()?;
    let mut at = 0;
    while let Some(mut column) = group.next_column()? {
        match at {
            0 => {
                let values: Vec<i64> = present().map(|row| i64::from(row) * 37).collect();
                column
                    .typed::<Int64Type>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            1 => {
                let values: Vec<ByteArray> = present()
                    .map(|row| ["pro", "plus", "é"][row as usize % 3].into())
                    .collect();
                column
                    .typed::<ByteArrayType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            2 => {
                let values: Vec<f64> = present().map(|row| f64::from(row) / 3.0).collect();
                column
                    .typed::<DoubleType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            3 => {
                let values: Vec<i32> = present().map(|row| 20_000 + row).collect();
                column
                    .typed::<Int32Type>()
                    .write_batch(&values, Some(&levels), None)?;
            }
            _ => {
                let values: Vec<bool> = present().map(|row| row % 2 == 0).collect();
                column
                    .typed::<BoolType>()
                    .write_batch(&values, Some(&levels), None)?;
            }
        }
        column.close()?;
        at += 1;
    }
    group.close()?;
    writer.into_inner()
}
