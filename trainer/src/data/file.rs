//! A file as text cells, in the format that its first bytes show.

use modelward_crds::CsvFormat;
use modelward_wire::Violation;

use crate::data::{
    parquet,
    table::{self, Table},
    violation::Quote,
};

/// Reads a table from CSV or Parquet. What breaks the form is a violation; what could be read is returned beside it.
pub fn read(bytes: &[u8], format: &CsvFormat, quote: Quote) -> (Table, Vec<Violation>) {
    if parquet::is_parquet(bytes) {
        parquet::read(bytes, format, quote)
    } else {
        table::read(bytes, format, quote)
    }
}
