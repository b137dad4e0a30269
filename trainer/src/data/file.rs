//! A file as text cells, in the format that its first bytes show.

use modelward_crds::CsvFormat;
use modelward_wire::Violation;

use crate::data::{
    parquet, source,
    table::{self, Table},
    violation::Quote,
};

/// Reads a table from CSV or Parquet. What breaks the form is a violation; what could be read is returned beside it.
pub fn read(bytes: &[u8], format: &CsvFormat, quote: Quote) -> (Table, Vec<Violation>) {
    read_within(bytes, format, quote, source::MAX_BYTES)
}

/// The same of a file whose rows have at most so many bytes as CSV.
pub fn read_within(bytes: &[u8], format: &CsvFormat, quote: Quote, limit: u64) -> (Table, Vec<Violation>) {
    if parquet::is_parquet(bytes) {
        parquet::read(bytes, format, quote, limit)
    } else {
        table::read(bytes, format, quote)
    }
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
