//! A file as text cells, in the format that its first bytes show.

use std::io;

use bytes::Bytes;
use modelward_crds::CsvFormat;
use modelward_model::files::sha256_of;
use modelward_wire::Violation;

use crate::data::{
    content::Content,
    parquet, source,
    table::{self, Parsed, Table},
    violation::Quote,
};

/// Reads a table from CSV or Parquet. What breaks the format is a violation; what could be read is returned with it.
pub fn read(bytes: &[u8], format: &CsvFormat, quote: Quote) -> (Table, Vec<Violation>) {
    read_within(bytes, format, quote, source::MAX_BYTES)
}

/// Like `read`, for a file whose rows have at most `limit` bytes as CSV.
pub fn read_within(bytes: &[u8], format: &CsvFormat, quote: Quote, limit: u64) -> (Table, Vec<Violation>) {
    if parquet::is_parquet(bytes) {
        let content = Content::Memory(Bytes::copy_from_slice(bytes));
        parquet::read(&content, format, quote, limit)
    } else {
        table::read(bytes, format, quote)
    }
}

/// Like `read_within`, for a file that is read in pieces, with its digest.
pub fn read_content(content: &Content, format: &CsvFormat, quote: Quote, limit: u64) -> io::Result<Parsed> {
    let length = content.len().min(4);
    let (head, tail) = (
        content.read_at(0, length as usize)?,
        content.read_at(content.len() - length, length as usize)?,
    );
    if !parquet::is_parquet(&[head, tail].concat()) {
        return table::read_stream(content.reader(), format, quote);
    }
    let (sha256, size) = sha256_of(content.reader())?;
    let (table, violations) = parquet::read(content, format, quote, limit);
    // The rows must be those of the digest.
    if matches!(content, Content::File(..)) && sha256_of(content.reader())? != (sha256, size) {
        return Err(io::Error::other(
            "the file changed while it was read; write it again and start over",
        ));
    }
    Ok(Parsed {
        table,
        violations,
        sha256,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_the_format_that_its_first_bytes_show() {
        let format = CsvFormat {
            header: true,
            ..CsvFormat::default()
        };
        let (table, violations) = read(b"age,y\n63,1\n", &format, Quote::Yes);
        assert_eq!(
            (table.columns.len(), table.rows.len(), violations.len()),
            (2, 1, 0)
        );
        let (table, violations) = read(b"PAR1secret", &format, Quote::No);
        assert!(table.columns.is_empty());
        assert_eq!(violations.len(), 1);
        assert!(!violations[0].message.contains("secret"), "{violations:?}");
    }
}
