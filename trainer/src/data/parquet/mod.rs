//! A Parquet file as text cells, as the CSV file with the same values has them.
//!
//! The footer and the headers of the pages come from the author of the file. What they ask for is added up and bounded before
//! anything is unpacked.

mod kind;
mod lengths;
mod pages;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};

use modelward_crds::CsvFormat;
use modelward_model::normalize_name;
use modelward_wire::Violation;
use parquet::{
    basic::Compression,
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::{
        metadata::{ParquetMetaData, RowGroupMetaData},
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::ColumnDescriptor,
};

use crate::data::{
    content::Content,
    header::{MAX_COLUMNS, check_columns, rename_columns},
    parquet::{
        kind::{Kind, Unwritable, write_double, write_int96, write_single},
        lengths::measure_lengths,
        pages::measure_pages,
    },
    rows::Rows,
    source::LIMIT_REMEDY,
    table::{MAX_ROWS, Table, too_many_rows},
    violation::{Quote, cut, violation},
};

const MAGIC: &[u8] = b"PAR1";

/// The magic at both ends and the length of the footer.
const LEAST: u64 = 12;

/// Bytes of the footer. Each may become a hundred in memory.
const MAX_FOOTER: u64 = 16 << 20;

/// Bytes of the pages that are held at once: one of each column, with its dictionary.
const MAX_HELD: u64 = 512 << 20;

/// Bytes that the decoders hold at once: the values of dictionaries and the lengths of texts.
const MAX_DECODED: u64 = 512 << 20;

/// Rows that are read at once.
const BATCH: usize = 1024;

/// Whether these bytes are those of a Parquet file.
pub fn is_parquet(bytes: &[u8]) -> bool {
    // A name of a CSV header may begin with PARE, the magic of encrypted files.
    bytes.starts_with(MAGIC) || bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE")
}

/// Reads a table. The format's `missing`, `columns`, `rename` and notation of numbers apply.
pub(super) fn read(
    content: &Content,
    format: &CsvFormat,
    quote: Quote,
    limit: u64,
) -> (Table, Vec<Violation>) {
    // The library has assertions about the file, which may panic.
    let found = catch_unwind(AssertUnwindSafe(|| read_file(content, format, quote, limit)));
    match found.unwrap_or_else(|_| Err(broken(quote, "it is damaged"))) {
        Ok(read) => read,
        Err(Refused(message)) => {
            let found = violation("", "Parquet", message, 1, None);
            (Table::default(), vec![found])
        }
    }
}

/// Why a file is not a table.
struct Refused(String);

fn refuse(message: impl Into<String>) -> Refused {
    Refused(message.into())
}

fn broken(quote: Quote, why: &str) -> Refused {
    let why = match quote {
        Quote::Yes => why,
        Quote::No => "its structure contradicts itself",
    };
    refuse(format!(
        "the Parquet file cannot be read: {}; write or copy it again",
        cut(why, 120)
    ))
}

fn too_large(limit: u64) -> Refused {
    refuse(format!(
        "the rows of the Parquet file would be larger than {limit} bytes as CSV; leave out columns or rows; {LIMIT_REMEDY}"
    ))
}

fn read_file(
    content: &Content,
    format: &CsvFormat,
    quote: Quote,
    limit: u64,
) -> Result<(Table, Vec<Violation>), Refused> {
    check_ends(content, quote)?;
    let in_library = |error: ParquetError| broken(quote, &error.to_string());
    let reader = SerializedFileReader::new(content.clone()).map_err(in_library)?;
    let metadata = reader.metadata();
    let schema = metadata.file_metadata().schema_descr();
    if schema.num_columns() > MAX_COLUMNS {
        return Err(refuse(format!(
            "the Parquet file has {} columns, at most {MAX_COLUMNS} are read",
            schema.num_columns()
        )));
    }
    let kinds = kinds(schema.columns(), schema.root_schema().get_fields().len(), quote)?;
    let mut one_by_one = Vec::new();
    let mut rows = 0_u64;
    for group in metadata.row_groups() {
        rows = rows.saturating_add(u64::try_from(group.num_rows()).unwrap_or(u64::MAX));
        one_by_one.push(check_group(content, group, quote)?);
    }
    // A cell takes at least one byte: the delimiter after it.
    if rows.saturating_mul(kinds.len() as u64) > limit {
        return Err(too_large(limit));
    }
    if rows > MAX_ROWS as u64 {
        return Ok((Table::default(), vec![too_many_rows()]));
    }

    let mut violations = Vec::new();
    let names = schema
        .columns()
        .iter()
        .map(|column| normalize_name(column.name().trim()).into_owned())
        .collect();
    // A Parquet file has names for its columns, whatever the spec says.
    let format = CsvFormat {
        header: true,
        ..format.clone()
    };
    let columns = rename_columns(names, &format, quote, &mut violations);
    check_columns(&columns, &format, quote, &mut violations);

    let mut table = Table {
        columns,
        rows: Rows::default(),
    };
    let mut left = limit;
    for (index, one_by_one) in one_by_one.iter().enumerate() {
        let group = reader.get_row_group(index).map_err(in_library)?;
        let mut columns = Vec::new();
        for (at, kind) in kinds.iter().enumerate() {
            columns.push(Column {
                reader: group.get_column_reader(at).map_err(in_library)?,
                kind: *kind,
                step: if one_by_one.get(at) == Some(&true) {
                    1
                } else {
                    BATCH
                },
                cells: Cells::default(),
            });
        }
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        read_rows(&mut columns, rows, &format, &mut left, &mut table.rows)
            .map_err(|(at, error)| error.refused(&table.columns, at, quote, limit))?;
    }
    Ok((table, violations))
}

fn check_ends(content: &Content, quote: Quote) -> Result<(), Refused> {
    const ENCRYPTED: &str = "this is an encrypted Parquet file; write it without encryption";
    const TAIL: usize = 8;
    if content.len() < LEAST {
        return Err(refuse("the Parquet file is cut off; write or copy it again"));
    }
    let unread = |error: std::io::Error| broken(quote, &error.to_string());
    let head = content.read_at(0, MAGIC.len()).map_err(unread)?;
    let tail = content
        .read_at(content.len() - TAIL as u64, TAIL)
        .map_err(unread)?;
    let (length, magic) = tail.split_at(4);
    if *head == *b"PARE" || magic == b"PARE" {
        return Err(refuse(ENCRYPTED));
    }
    if magic != MAGIC {
        return Err(refuse(
            "the Parquet file is cut off: its end, which lists the columns, is missing; write or copy it again",
        ));
    }
    let length = length
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if length > content.len() - LEAST {
        return Err(refuse(
            "the Parquet file is cut off or damaged: the list of its columns is said to be larger than the file; write or \
             copy it again",
        ));
    }
    if length > MAX_FOOTER {
        return Err(refuse(format!(
            "the footer of the Parquet file is larger than {MAX_FOOTER} bytes; write larger row groups or fewer columns"
        )));
    }
    Ok(())
}

/// The kind of each column; `roots` is the number of fields of the schema.
fn kinds(
    columns: &[std::sync::Arc<ColumnDescriptor>],
    roots: usize,
    quote: Quote,
) -> Result<Vec<Kind>, Refused> {
    let mut kinds = Vec::with_capacity(columns.len());
    for (at, column) in columns.iter().enumerate() {
        let parts = column.path().parts();
        let name = || shown(parts.first().map_or("", String::as_str), at, quote);
        if parts.len() != 1 || column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return Err(refuse(format!(
                "{} is nested (a list, a map or a struct), which is not read; write each part that is needed as a separate column, \
                 and leave the nested one out of the file",
                name()
            )));
        }
        let kind = Kind::of(column).map_err(|what| {
            refuse(format!(
                "{} holds {what}; write numbers, truth values, texts or dates, or leave the column out of the file",
                name()
            ))
        })?;
        kinds.push(kind);
    }
    if kinds.len() != roots {
        return Err(broken(quote, "a group of columns is empty"));
    }
    Ok(kinds)
}

/// A column in messages.
fn shown(name: &str, at: usize, quote: Quote) -> String {
    match quote {
        Quote::Yes => format!("column {:?}", cut(name, 60)),
        Quote::No => format!("column {}", at + 1),
    }
}

/// Checks how much memory reading a file takes, before anything is unpacked; the error is why it is not read.
pub(super) fn check_held(content: &Content, metadata: &ParquetMetaData) -> Result<(), String> {
    for group in metadata.row_groups() {
        check_group(content, group, Quote::Yes).map_err(|Refused(why)| why)?;
    }
    Ok(())
}

/// Checks how much memory the rows of a group take, before they are read. Returns which columns are to be read value by value.
fn check_group(content: &Content, group: &RowGroupMetaData, quote: Quote) -> Result<Vec<bool>, Refused> {
    let (mut held, mut decoded) = (0_u64, 0_u64);
    let mut measured = Vec::new();
    for (at, chunk) in group.columns().iter().enumerate() {
        match chunk.compression() {
            Compression::UNCOMPRESSED
            | Compression::SNAPPY
            | Compression::ZSTD(_)
            | Compression::LZ4_RAW
            | Compression::GZIP(_) => {}
            _ => {
                return Err(refuse(format!(
                    "{} is compressed in a way that is not read; write the file with compression snappy, zstd, gzip or lz4_raw",
                    shown(chunk.column_descr().name(), at, quote)
                )));
            }
        }
        if chunk.num_values() != group.num_rows() {
            return Err(broken(quote, "a column has another number of values than rows"));
        }
        let pages = measure_pages(content, chunk).map_err(|why| broken(quote, why))?;
        held = held.saturating_add(pages.held());
        decoded = decoded.saturating_add(pages.decoded);
        measured.push(pages);
    }
    if held > MAX_HELD {
        return Err(refuse(format!(
            "a row group of the Parquet file takes {held} bytes of memory, at most {MAX_HELD} are allowed; write smaller pages (of \
             1 MiB) or fewer columns"
        )));
    }
    // No page is too large to be unpacked now.
    for (chunk, pages) in group.columns().iter().zip(&measured) {
        if pages.has_lengths {
            let lengths = measure_lengths(content, chunk).map_err(|why| broken(quote, why))?;
            decoded = decoded.saturating_add(lengths);
        }
    }
    if decoded > MAX_DECODED {
        return Err(refuse(format!(
            "the dictionaries and lengths of texts of a row group of the Parquet file take {decoded} bytes of memory, at most \
             {MAX_DECODED} are allowed; write smaller row groups or fewer columns"
        )));
    }
    Ok(measured.iter().map(|pages| pages.builds_on_previous).collect())
}

/// A column while the rows of a group are read.
struct Column {
    reader: ColumnReader,
    kind: Kind,
    /// Values that are read at once.
    step: usize,
    cells: Cells,
}

/// Texts of some rows.
#[derive(Default)]
struct Cells {
    text: String,
    ends: Vec<usize>,
}

/// Why a value was not read.
enum Failure {
    Library(ParquetError),
    Value(Unwritable),
    TooLarge,
}

fn read_rows(
    columns: &mut [Column],
    rows: usize,
    format: &CsvFormat,
    left: &mut u64,
    out: &mut Rows,
) -> Result<(), (usize, Failure)> {
    let comma = format.decimal == ",";
    let mut done = 0;
    while done < rows {
        let batch = BATCH.min(rows - done);
        for (at, column) in columns.iter_mut().enumerate() {
            column.fill(batch, comma, left).map_err(|error| (at, error))?;
        }
        for row in 0..batch {
            let cells = columns.iter().map(|column| column.cells.get(row));
            out.push(out.len() as u64 + 1, cells);
        }
        done += batch;
    }
    Ok(())
}

// === impl Column ===

impl Column {
    /// Reads the texts of the next rows.
    fn fill(&mut self, rows: usize, comma: bool, left: &mut u64) -> Result<(), Failure> {
        use ColumnReader as R;
        let Self {
            reader,
            kind,
            step,
            cells,
        } = self;
        let (kind, step) = (*kind, *step);
        let out = &mut Out {
            cells,
            left,
            comma: comma && !matches!(kind, Kind::Text),
        };
        out.cells.text.clear();
        out.cells.ends.clear();
        let bytes = |text: &mut String, value: &ByteArray| kind.write_bytes(text, value.data());
        match reader {
            R::BoolColumnReader(reader) => out.read(reader, rows, step, |text, value| {
                text.push_str(if *value { "true" } else { "false" });
                Ok(())
            }),
            R::Int32ColumnReader(reader) => out.read(reader, rows, step, |text, value| {
                let value = match kind {
                    Kind::Unsigned => i64::from(value.cast_unsigned()),
                    _ => i64::from(*value),
                };
                kind.write_integer(text, value)
            }),
            R::Int64ColumnReader(reader) => {
                out.read(reader, rows, step, |text, value| kind.write_integer(text, *value))
            }
            R::Int96ColumnReader(reader) => out.read(reader, rows, step, write_int96),
            R::FloatColumnReader(reader) => out.read(reader, rows, step, |text, value| {
                write_single(text, *value);
                Ok(())
            }),
            R::DoubleColumnReader(reader) => out.read(reader, rows, step, |text, value| {
                write_double(text, *value);
                Ok(())
            }),
            R::ByteArrayColumnReader(reader) => out.read(reader, rows, step, bytes),
            R::FixedLenByteArrayColumnReader(reader) => {
                out.read(reader, rows, step, |text, value| bytes(text, value))
            }
        }
    }
}

/// The destination of the texts of a column.
struct Out<'a> {
    cells: &'a mut Cells,
    /// Bytes that all cells may still take.
    left: &'a mut u64,
    /// Whether the decimal separator is a comma.
    comma: bool,
}

impl Out<'_> {
    fn read<T: DataType>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        rows: usize,
        step: usize,
        write: impl Fn(&mut String, &T::T) -> Result<(), Unwritable>,
    ) -> Result<(), Failure> {
        let (mut values, mut levels) = (Vec::new(), Vec::new());
        let mut done = 0;
        while done < rows {
            values.clear();
            levels.clear();
            let wanted = step.min(rows - done);
            let (read, present, _) = reader
                .read_records(wanted, Some(&mut levels), None, &mut values)
                .map_err(Failure::Library)?;
            if read == 0 {
                let message = "a column has fewer values than rows".to_owned();
                return Err(Failure::Library(ParquetError::General(message)));
            }
            // Without levels no value is missing.
            let optional = !levels.is_empty();
            let mut values = values.iter().take(present);
            for row in 0..read {
                let is_present = !optional || levels.get(row) == Some(&1);
                let value = if is_present { values.next() } else { None };
                self.push(value, &write)?;
            }
            done += read;
        }
        Ok(())
    }

    fn push<T>(
        &mut self,
        value: Option<&T>,
        write: impl Fn(&mut String, &T) -> Result<(), Unwritable>,
    ) -> Result<(), Failure> {
        let start = self.cells.text.len();
        if let Some(value) = value {
            write(&mut self.cells.text, value).map_err(Failure::Value)?;
            if self.comma
                && let Some(at) = self.cells.text[start..].find('.')
            {
                self.cells.text.replace_range(start + at..=start + at, ",");
            }
        }
        let end = self.cells.text.len();
        self.cells.ends.push(end);
        let taken = (end - start) as u64 + 1;
        *self.left = self.left.checked_sub(taken).ok_or(Failure::TooLarge)?;
        Ok(())
    }
}

// === impl Cells ===

impl Cells {
    fn get(&self, row: usize) -> &str {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(row).copied().unwrap_or_default();
        self.text
            .get(start.copied().unwrap_or_default()..end)
            .unwrap_or_default()
    }
}

// === impl Failure ===

impl Failure {
    fn refused(self, columns: &[String], at: usize, quote: Quote, limit: u64) -> Refused {
        let name = shown(columns.get(at).map_or("", String::as_str), at, quote);
        match self {
            Self::Library(error) => broken(quote, &format!("{name}: {error}")),
            Self::TooLarge => too_large(limit),
            Self::Value(Unwritable::NotUtf8) => refuse(format!(
                "{name} holds bytes that are not UTF-8 text; write texts, or leave the column out of the file"
            )),
            Self::Value(Unwritable::Time) => refuse(format!(
                "{name} holds a time outside of the years -9999 to 9999; correct it in the source"
            )),
            Self::Value(Unwritable::Decimal) => refuse(format!(
                "{name} holds decimal numbers of more than 38 digits; write floats"
            )),
        }
    }
}
