use std::sync::Arc;

use parquet::{
    basic::{Compression, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    data_type::{
        BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
        Int32Type, Int64Type, Int96, Int96Type,
    },
    file::{
        metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData},
        properties::{WriterProperties, WriterVersion},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};
use proptest::prelude::*;

use bytes::Bytes;

use super::*;
use crate::data::{file, rows::RowCells};

type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

fn field(name: &str, physical: Physical, logical: Option<parquet::basic::LogicalType>) -> TypePtr {
    let optional = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    Arc::new(optional.with_logical_type(logical).build().unwrap())
}

fn write(fields: Vec<TypePtr>, properties: WriterProperties, groups: &[&dyn Fn(&mut Group<'_>)]) -> Vec<u8> {
    let schema = Type::group_type_builder("schema").with_fields(fields);
    let schema = Arc::new(schema.build().unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for write in groups {
        let mut group = writer.next_row_group().unwrap();
        write(&mut group);
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn put<T: DataType>(group: &mut Group<'_>, values: &[Option<T::T>]) {
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = values.iter().flatten().cloned().collect();
    let mut column = group.next_column().unwrap().unwrap();
    let writer = column.typed::<T>();
    writer.write_batch(&present, Some(&levels), None).unwrap();
    column.close().unwrap();
}

fn compressed(compression: Compression) -> WriterProperties {
    WriterProperties::builder().set_compression(compression).build()
}

fn read_rows_of(bytes: &[u8], format: &CsvFormat) -> Vec<Vec<String>> {
    let (table, violations) = file::read(bytes, format, Quote::Yes);
    assert_eq!(violations, []);
    let cells = |row: RowCells<'_>| row.iter().map(str::to_owned).collect();
    table.rows.iter().map(cells).collect()
}

fn message(bytes: &[u8]) -> String {
    let (table, violations) = file::read(bytes, &CsvFormat::default(), Quote::Yes);
    assert!(table.columns.is_empty());
    let [one] = violations.as_slice() else {
        panic!("{violations:?}")
    };
    assert_eq!(one.rule, "Parquet");
    assert!(!one.message.ends_with('…'), "{}", one.message);
    one.message.clone()
}

/// Two rows of every type, and one of nulls.
fn every_type(properties: WriterProperties) -> Vec<u8> {
    use parquet::basic::LogicalType as L;
    let decimal = |name, physical, length| {
        let field = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        let field = field.with_precision(9).with_scale(2).with_length(length);
        let field = field.with_logical_type(Some(L::decimal(2, 9)));
        Arc::new(field.build().unwrap())
    };
    let fields = vec![
        field("bool", Physical::BOOLEAN, None),
        field("int", Physical::INT32, Some(L::integer(8, true))),
        field("uint", Physical::INT32, Some(L::integer(32, false))),
        field("long", Physical::INT64, None),
        field("ulong", Physical::INT64, Some(L::integer(64, false))),
        field("single", Physical::FLOAT, None),
        field("double", Physical::DOUBLE, None),
        field("text", Physical::BYTE_ARRAY, Some(L::String)),
        decimal("price", Physical::INT32, 0),
        decimal("wide", Physical::FIXED_LEN_BYTE_ARRAY, 4),
        field("day", Physical::INT32, Some(L::Date)),
        field("time", Physical::INT64, Some(L::time(false, TimeUnit::MICROS))),
        field("utc", Physical::INT64, Some(L::timestamp(true, TimeUnit::MILLIS))),
        field(
            "local",
            Physical::INT64,
            Some(L::timestamp(false, TimeUnit::NANOS)),
        ),
        field("old", Physical::INT96, None),
    ];
    write(
        fields,
        properties,
        &[&|group| {
            put::<BoolType>(group, &[Some(true), Some(false), None]);
            put::<Int32Type>(group, &[Some(-7), Some(12), None]);
            put::<Int32Type>(group, &[Some(-1), Some(0), None]);
            put::<Int64Type>(group, &[Some(i64::MAX), Some(-9_007_199_254_740_993), None]);
            put::<Int64Type>(group, &[Some(-1), Some(1), None]);
            put::<FloatType>(group, &[Some(0.1), Some(16_777_216.0), Some(f32::NAN)]);
            put::<DoubleType>(group, &[Some(0.1 + 0.2), Some(-1e21), None]);
            let text = |text: &str| Some(ByteArray::from(text));
            put::<ByteArrayType>(group, &[text(" a, \"b\"\nc "), text("é"), None]);
            put::<Int32Type>(group, &[Some(-5), Some(123_456), None]);
            let fixed = |value: i32| Some(FixedLenByteArray::from(value.to_be_bytes().to_vec()));
            put::<FixedLenByteArrayType>(group, &[fixed(-1234), fixed(100), None]);
            put::<Int32Type>(group, &[Some(20_458), Some(-1), None]);
            put::<Int64Type>(group, &[Some(3_600_000_001), Some(0), None]);
            put::<Int64Type>(group, &[Some(1_767_571_200_500), Some(0), None]);
            put::<Int64Type>(group, &[Some(1_767_571_200_000_000_001), Some(0), None]);
            let mut old = Int96::new();
            old.set_data(0, 0, 2_440_588 + 1);
            put::<Int96Type>(group, &[Some(old), Some(old), None]);
        }],
    )
}

#[test]
fn every_type_is_the_text_of_a_csv_file_and_no_digit_is_lost() {
    let expected = [
        [
            "true",
            "-7",
            "4294967295",
            "9223372036854775807",
            "18446744073709551615",
            "0.1",
            "0.30000000000000004",
            "a, \"b\"\nc",
            "-0.05",
            "-12.34",
            "2026-01-05",
            "01:00:00.000001",
            "2026-01-05T00:00:00.5Z",
            "2026-01-05T00:00:00.000000001",
            "1970-01-02T00:00:00",
        ],
        [
            "false",
            "12",
            "0",
            "-9007199254740993",
            "1",
            "16777216.0",
            "-1000000000000000000000.0",
            "é",
            "1234.56",
            "1.00",
            "1969-12-31",
            "00:00:00",
            "1970-01-01T00:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-02T00:00:00",
        ],
        [""; 15],
    ];
    for properties in [
        compressed(Compression::UNCOMPRESSED),
        compressed(Compression::SNAPPY),
        compressed(Compression::ZSTD(ZstdLevel::default())),
        compressed(Compression::GZIP(parquet::basic::GzipLevel::default())),
        compressed(Compression::LZ4_RAW),
        WriterProperties::builder().set_dictionary_enabled(false).build(),
        WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_compression(Compression::GZIP(parquet::basic::GzipLevel::default()))
            .set_dictionary_enabled(false)
            .build(),
    ] {
        let rows = read_rows_of(&every_type(properties), &CsvFormat::default());
        assert_eq!(rows, expected);
    }
}

#[test]
fn rows_of_all_groups_follow_each_other_and_columns_are_renamed() {
    let group = |first: i64| {
        move |group: &mut Group<'_>| {
            let values: Vec<_> = (first..first + 1500).map(Some).collect();
            put::<Int64Type>(group, &values);
            put::<ByteArrayType>(group, &vec![Some(ByteArray::from("1.5")); 1500]);
        }
    };
    let fields = vec![
        field("__index_level_0__", Physical::INT64, None),
        field("x", Physical::BYTE_ARRAY, None),
    ];
    let bytes = write(fields, WriterProperties::default(), &[&group(0), &group(1500)]);
    let format = CsvFormat {
        rename: vec![modelward_crds::ColumnRename {
            from: None,
            position: Some(1),
            to: "row".into(),
        }],
        // Neither is of a Parquet file.
        header: false,
        columns: vec!["row".into(), "x".into()],
        ..CsvFormat::default()
    };
    let (table, violations) = file::read(&bytes, &format, Quote::Yes);
    assert_eq!(violations, []);
    assert_eq!(table.columns, ["row", "x"]);
    assert_eq!(table.rows.len(), 3000);
    for (at, row) in table.rows.iter().enumerate() {
        assert_eq!(row.number(), at as u64 + 1);
        assert_eq!(row.get(0), Some(at.to_string().as_str()));
    }
    let format = CsvFormat {
        columns: vec!["a".into(), "x".into()],
        ..CsvFormat::default()
    };
    let (_, violations) = file::read(&bytes, &format, Quote::Yes);
    assert!(
        violations[0].message.contains("differs from csv.columns"),
        "{violations:?}"
    );
}

#[test]
fn numbers_are_in_the_notation_of_the_spec_so_that_texts_beside_them_may_be() {
    let fields = vec![
        field("x", Physical::DOUBLE, None),
        field("y", Physical::BYTE_ARRAY, None),
    ];
    let bytes = write(
        fields,
        WriterProperties::default(),
        &[&|group| {
            put::<DoubleType>(group, &[Some(1.5)]);
            put::<ByteArrayType>(group, &[Some(ByteArray::from("2.000,5"))]);
        }],
    );
    let format = CsvFormat {
        decimal: ",".into(),
        thousands: Some(".".into()),
        ..CsvFormat::default()
    };
    assert_eq!(read_rows_of(&bytes, &format), [["1,5", "2.000,5"]]);
}

#[test]
fn what_is_not_read_is_named_with_the_way_out() {
    let element = Arc::new(
        Type::primitive_type_builder("element", Physical::INT32)
            .with_repetition(Repetition::REPEATED)
            .build()
            .unwrap(),
    );
    let list = Type::group_type_builder("visits").with_repetition(Repetition::OPTIONAL);
    let nested = Arc::new(list.with_fields(vec![element]).build().unwrap());
    let found = message(&write(vec![nested], WriterProperties::default(), &[]));
    assert!(found.starts_with("column \"visits\" is nested"), "{found}");
    assert!(found.contains("leave the nested one out of the file"), "{found}");

    let raw = Type::primitive_type_builder("photo", Physical::FIXED_LEN_BYTE_ARRAY).with_length(3);
    let found = message(&write(
        vec![Arc::new(raw.build().unwrap())],
        WriterProperties::default(),
        &[],
    ));
    assert!(
        found.starts_with("column \"photo\" holds bytes; write numbers"),
        "{found}"
    );

    let fields = || vec![field("name", Physical::BYTE_ARRAY, None)];
    let bytes = write(
        fields(),
        WriterProperties::default(),
        &[&|group| {
            put::<ByteArrayType>(group, &[Some(ByteArray::from(vec![0xff]))]);
        }],
    );
    let found = message(&bytes);
    assert!(
        found.starts_with("column \"name\" holds bytes that are not UTF-8"),
        "{found}"
    );
    // Of an address not even a name is quoted.
    let (_, violations) = file::read(&bytes, &CsvFormat::default(), Quote::No);
    assert!(
        violations[0].message.starts_with("column 1 holds bytes"),
        "{violations:?}"
    );
}

#[test]
fn a_file_without_its_end_is_called_cut_off_and_a_csv_file_named_alike_is_none() {
    let bytes = every_type(WriterProperties::default());
    for length in [4, 8, 11, 12, 100, bytes.len() - 1] {
        let found = message(&bytes[..length]);
        assert!(found.contains("cut off"), "{length}: {found}");
    }
    let mut encrypted = bytes.clone();
    let end = encrypted.len();
    encrypted[end - 4..].copy_from_slice(b"PARE");
    assert!(message(&encrypted).contains("encrypted"));
    assert_eq!(
        read_rows_of(b"PARENT,y\n1,2\n", &CsvFormat::default()),
        [["1", "2"]]
    );
}

/// The file with another footer.
fn with_footer(bytes: &[u8], change: impl Fn(RowGroupMetaData) -> RowGroupMetaData) -> Vec<u8> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).unwrap();
    let metadata = reader.metadata();
    let groups: Vec<_> = metadata.row_groups().iter().cloned().map(change).collect();
    let file = metadata.file_metadata();
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let file = FileMetaData::new(file.version(), rows, None, None, file.schema_descr_ptr(), None);
    let tail = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[tail..tail + 4].try_into().unwrap());
    let mut changed = bytes[..tail - length as usize].to_vec();
    let metadata = ParquetMetaData::new(file, groups);
    let mut footer = Vec::new();
    ParquetMetaDataWriter::new(&mut footer, &metadata)
        .finish()
        .unwrap();
    changed.extend(footer);
    changed
}

fn numbers() -> Vec<u8> {
    let field = Type::primitive_type_builder("x", Physical::INT64).with_repetition(Repetition::OPTIONAL);
    let properties = compressed(Compression::SNAPPY);
    write(
        vec![Arc::new(field.build().unwrap())],
        properties,
        &[&|group| {
            put::<Int64Type>(group, &[Some(1), Some(2)]);
        }],
    )
}

#[test]
fn a_footer_that_promises_more_than_there_is_takes_no_memory() {
    let bytes = numbers();
    assert_eq!(
        read_rows_of(&with_footer(&bytes, |group| group), &CsvFormat::default()),
        [["1"], ["2"]]
    );

    let rows = |rows: i64, values: i64| {
        with_footer(&bytes, move |group| {
            let column = group.column(0).clone().into_builder().set_num_values(values);
            let columns = vec![column.build().unwrap()];
            group
                .into_builder()
                .set_num_rows(rows)
                .set_column_metadata(columns)
                .build()
                .unwrap()
        })
    };
    let found = message(&rows(1 << 40, 1 << 40));
    assert!(found.contains("larger than 536870912 bytes as CSV"), "{found}");
    let found = message(&rows(1 << 20, 2));
    assert!(found.contains("another number of values than rows"), "{found}");
    let found = message(&rows(1000, 1000));
    assert!(found.contains("cannot be read"), "{found}");
    message(&rows(-1, -1));

    for (length, offset) in [(i64::MAX, 4), (-1, 4), (40, -1), (40, 1 << 50)] {
        let changed = with_footer(&bytes, |group| {
            let column = group.column(0).clone().into_builder();
            let column = column
                .set_total_compressed_size(length)
                .set_data_page_offset(offset);
            let columns = vec![column.set_dictionary_page_offset(None).build().unwrap()];
            group.into_builder().set_column_metadata(columns).build().unwrap()
        });
        let found = message(&changed);
        assert!(found.contains("cannot be read"), "{length} {offset}: {found}");
    }
}

/// The file of one column, with these pages for its own.
fn with_pages(whole: &[u8], pages: &[u8]) -> Vec<u8> {
    let changed = with_footer(whole, |group| {
        let column = group.column(0).clone().into_builder().set_data_page_offset(4);
        let column = column
            .set_dictionary_page_offset(None)
            .set_total_compressed_size(i64::try_from(pages.len()).unwrap());
        let columns = vec![column.build().unwrap()];
        group.into_builder().set_column_metadata(columns).build().unwrap()
    });
    let tail = changed.len() - 8;
    let length = u32::from_le_bytes(changed[tail..tail + 4].try_into().unwrap()) as usize;
    [&b"PAR1"[..], pages, &changed[tail - length..]].concat()
}

#[test]
fn a_page_that_would_unpack_into_gigabytes_is_refused_before_it_is() {
    // Type 0, 2^30 bytes unpacked, two packed, a data page with two values.
    let page = [
        0x15, 0x00, 0x15, 0x80, 0x80, 0x80, 0x80, 0x08, 0x15, 0x04, 0x2c, 0x15, 0x04, 0x15, 0x00, 0x15, 0x06,
        0x15, 0x06, 0x00, 0x00, 0xff, 0xff,
    ];
    let found = message(&with_pages(&numbers(), &page));
    assert!(found.contains("takes 1073741824 bytes of memory"), "{found}");
}

#[test]
fn a_dictionary_has_no_room_for_more_values_than_it_has_bytes_for() {
    // Type 2, these bytes unpacked and two packed, a dictionary page of so many values.
    let page = |unpacked: &[u8], values: &[u8]| {
        let start = [&[0x15, 0x04, 0x15][..], unpacked, &[0x15, 0x04, 0x4c, 0x15]].concat();
        [&start[..], values, &[0x15, 0x00, 0x00, 0x00, 0xff, 0xff]].concat()
    };
    // 2^31 - 1 values in 16 bytes.
    let most = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    let found = message(&with_pages(&numbers(), &page(&[0x20], &most)));
    assert!(
        found.contains("a dictionary has fewer values than its header says"),
        "{found}"
    );
    // 2^26 texts, all of them empty, in 2^28 bytes.
    let bytes = [0x80, 0x80, 0x80, 0x80, 0x02];
    let texts = texts(Compression::SNAPPY);
    let found = message(&with_pages(&texts, &page(&bytes, &[0x80, 0x80, 0x80, 0x40])));
    assert!(found.contains("take 2147483648 bytes of memory"), "{found}");
}

#[test]
fn a_header_with_a_field_twice_or_of_another_type_is_broken() {
    // The values of a dictionary: two, and then 2^31 - 1.
    let twice = [
        0x15, 0x04, 0x15, 0x20, 0x15, 0x04, 0x4c, 0x15, 0x04, 0x05, 0x02, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x15,
        0x00, 0x00, 0x00, 0xff, 0xff,
    ];
    // The checksum, as a text of one byte.
    let other_type = [
        0x15, 0x04, 0x15, 0x20, 0x15, 0x04, 0x18, 0x01, 0x41, 0x3c, 0x15, 0x04, 0x15, 0x00, 0x00, 0x00, 0xff,
        0xff,
    ];
    for page in [&twice[..], &other_type] {
        let found = message(&with_pages(&numbers(), page));
        assert!(found.contains("the header of a page is broken"), "{found}");
    }
}

/// A file with the texts `a` and `ab`.
fn texts(compression: Compression) -> Vec<u8> {
    let text = |text: &str| Some(ByteArray::from(text));
    write(
        vec![field("x", Physical::BYTE_ARRAY, None)],
        compressed(compression),
        &[&|group| put::<ByteArrayType>(group, &[text("a"), text("ab")])],
    )
}

/// A page of two texts, neither missing, in the encoding of this number.
fn page_of_texts(encoding: u8, values: &[u8]) -> Vec<u8> {
    let levels = [2, 0, 0, 0, 4, 1];
    let size = 2 * u8::try_from(levels.len() + values.len()).unwrap();
    let header = [
        0x15,
        0,
        0x15,
        size,
        0x15,
        size,
        0x2c,
        0x15,
        4,
        0x15,
        2 * encoding,
        0x15,
        6,
        0x15,
        6,
        0,
        0,
    ];
    [&header[..], &levels, values].concat()
}

#[test]
fn a_page_has_no_room_for_more_lengths_than_values() {
    const LENGTHS: u8 = 6;
    const PREFIXES: u8 = 7;
    // Blocks of 128 numbers in four parts, so many numbers, the first, and then the difference of the second, in no bits.
    let numbers = |count: &[u8], first: u8, difference: u8| {
        [
            &[0x80, 0x01, 4][..],
            count,
            &[2 * first, 2 * difference, 0, 0, 0, 0],
        ]
        .concat()
    };
    let most = [0xff, 0xff, 0xff, 0xff, 0x07];
    let whole = texts(Compression::UNCOMPRESSED);
    let file = |encoding: u8, parts: &[&[u8]]| with_pages(&whole, &page_of_texts(encoding, &parts.concat()));
    let lengths = |count: &[u8]| file(LENGTHS, &[&numbers(count, 1, 1), b"aab"]);
    let prefixes =
        |count: &[u8], rest: &[u8]| file(PREFIXES, &[&numbers(count, 0, 1), &numbers(rest, 1, 0), b"ab"]);
    for good in [lengths(&[2]), prefixes(&[2], &[2])] {
        assert_eq!(read_rows_of(&good, &CsvFormat::default()), [["a"], ["ab"]]);
    }
    for damaged in [
        lengths(&[3]),
        lengths(&most),
        prefixes(&most, &[2]),
        prefixes(&[2], &most),
    ] {
        let found = message(&damaged);
        assert!(
            found.contains("a page has another number of texts than its header says"),
            "{found}"
        );
    }
}

#[test]
fn no_changed_byte_makes_it_panic_out_of_its_reader() {
    let bytes = every_type(compressed(
        Compression::GZIP(parquet::basic::GzipLevel::default()),
    ));
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    for at in 0..bytes.len() {
        for value in [0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            file::read(&changed, &CsvFormat::default(), Quote::No);
        }
    }
    std::panic::set_hook(quiet);
}

proptest! {
    #[test]
    fn no_bytes_between_the_magic_make_it_panic(body: Vec<u8>, length in 0_u32..200) {
        let bytes = [b"PAR1", &body[..], &length.to_le_bytes(), b"PAR1"].concat();
        file::read(&bytes, &CsvFormat::default(), Quote::Yes);
    }
}
