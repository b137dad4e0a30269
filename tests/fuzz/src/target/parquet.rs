//! Parquet files: the first byte chooses the spec that they are read for, the others are the file.

use std::sync::Arc;

use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type},
    errors::Result,
    file::{
        metadata::{
            ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData,
        },
        properties::{WriterProperties, WriterVersion},
        writer::SerializedFileWriter,
    },
    schema::types::{SchemaDescriptor, Type, TypePtr},
};

use super::{Target, table::check_table};

/// What the table of a file may hold: the limit of the pages that are unpacked, and of the rows as CSV.
const UNPACKED: usize = 2 << 30;

/// Rows of a sample.
const ROWS: i32 = 24;

/// The header of a dictionary page that is said to have 2^31 - 1 values, and its 16 bytes.
const LARGE_DICTIONARY: [u8; 33] = [
    0x15, 0x04, 0x15, 0x20, 0x15, 0x20, 0x4c, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15, 0x00, 0x00, 0x00, 1,
    0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
];

/// The header of a page of a text in DELTA_LENGTH_BYTE_ARRAY, its level, and its lengths, which are said to be 2^31 - 1.
const MANY_LENGTHS: [u8; 32] = [
    0x15, 0x00, 0x15, 0x1e, 0x15, 0x1e, 0x2c, 0x15, 0x02, 0x15, 0x0c, 0x15, 0x06, 0x15, 0x06, 0x00, 0x00, 2,
    0, 0, 0, 2, 1, 0x80, 0x01, 0x04, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00,
];

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
        let damaged = [
            write_page(Physical::INT64, &LARGE_DICTIONARY),
            write_page(Physical::BYTE_ARRAY, &MANY_LENGTHS),
        ];
        let files = files.chain(damaged.into_iter().flatten());
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

/// A file of one row and one column, which is this page.
fn write_page(physical: Physical, page: &[u8]) -> Result<Vec<u8>> {
    let fields = vec![field("age", physical, None)?];
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?);
    let schema = Arc::new(SchemaDescriptor::new(schema));
    let size = i64::try_from(page.len()).unwrap_or(0);
    let column = ColumnChunkMetaData::builder(schema.column(0))
        .set_compression(Compression::UNCOMPRESSED)
        .set_num_values(1)
        .set_data_page_offset(4)
        .set_total_compressed_size(size)
        .set_total_uncompressed_size(size)
        .build()?;
    let group = RowGroupMetaData::builder(Arc::clone(&schema))
        .set_num_rows(1)
        .set_column_metadata(vec![column])
        .build()?;
    let file = FileMetaData::new(1, 1, None, None, schema, None);
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &ParquetMetaData::new(file, vec![group])).finish()?;
    Ok([&b"PAR1"[..], page, &footer].concat())
}
