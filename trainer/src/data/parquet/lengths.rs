//! The lengths of texts at the beginning of a page, which the decoder holds. It makes room for as many as the page says before it
//! reads any, so they are counted first.
//!
//! Lengths are in the encoding DELTA_BINARY_PACKED
//! (<https://github.com/apache/parquet-format/blob/master/Encodings.md>).

use std::sync::Arc;

use parquet::{
    basic::Encoding,
    column::page::Page,
    file::{metadata::ColumnChunkMetaData, serialized_reader::SerializedPageReader},
    schema::types::ColumnDescriptor,
};

use crate::data::{content::Content, parquet::pages::Thrift};

/// Bytes of a length, decoded.
const LENGTH: u64 = 4;

/// The values of a page, without its levels.
struct Values<'a> {
    bytes: Thrift<'a>,
    encoding: Encoding,
    /// How many there are at most.
    most: u64,
}

/// Bytes of the lengths that are held at once while a chunk of a file is read, or why it cannot be read. Its pages are unpacked one
/// after the other.
pub(super) fn measure_lengths(file: &Content, chunk: &ColumnChunkMetaData) -> Result<u64, &'static str> {
    let pages = SerializedPageReader::new(Arc::new(file.clone()), chunk, 0, None);
    let pages = pages.map_err(|_| "a column cannot be unpacked")?;
    let all = u64::try_from(chunk.num_values()).unwrap_or(0);
    let mut held = 0;
    for page in pages {
        let page = page.map_err(|_| "a page cannot be unpacked")?;
        let lengths = find_values(&page, chunk.column_descr(), all).and_then(count_lengths);
        let lengths = lengths.ok_or("a page has another number of texts than its header says")?;
        held = held.max(lengths.saturating_mul(LENGTH));
    }
    Ok(held)
}

/// The values of a page, or `None` if the levels before them are longer than the page.
fn find_values<'a>(page: &'a Page, column: &ColumnDescriptor, all: u64) -> Option<Values<'a>> {
    let mut bytes = Thrift { bytes: page.buffer() };
    let most = all.min(u64::from(page.num_values()));
    match page {
        Page::DataPage {
            def_level_encoding,
            rep_level_encoding,
            ..
        } => {
            let values = u64::from(page.num_values());
            pass_levels(&mut bytes, column.max_rep_level(), *rep_level_encoding, values)?;
            pass_levels(&mut bytes, column.max_def_level(), *def_level_encoding, values)?;
        }
        Page::DataPageV2 {
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => bytes.pass(u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len))?,
        Page::DictionaryPage { .. } => {}
    }
    Some(Values {
        bytes,
        encoding: page.encoding(),
        most,
    })
}

/// Passes the levels of this many values, of which `highest` is the highest.
fn pass_levels(bytes: &mut Thrift<'_>, highest: i16, encoding: Encoding, values: u64) -> Option<()> {
    if highest == 0 {
        return Some(());
    }
    if encoding == Encoding::RLE {
        let length = bytes.bytes.first_chunk().copied().map(u32::from_le_bytes)?;
        return bytes.pass(4 + u64::from(length));
    }
    let width = u64::from(i16::BITS - highest.leading_zeros());
    bytes.pass((values * width).div_ceil(8))
}

/// How many lengths the decoder holds, or `None` if the page says that there are more than values.
fn count_lengths(mut values: Values<'_>) -> Option<u64> {
    match values.encoding {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => pass_lengths(&mut values),
        // Those of what each text has in common with the one before it, and then those of the rest.
        Encoding::DELTA_BYTE_ARRAY => Some(pass_lengths(&mut values)? + pass_lengths(&mut values)?),
        _ => Some(0),
    }
}

/// Passes lengths, and returns how many they are.
fn pass_lengths(Values { bytes, most, .. }: &mut Values<'_>) -> Option<u64> {
    let of_block = bytes.unsigned()?;
    let parts = bytes.unsigned()?;
    let count = bytes.unsigned().filter(|count| *count <= *most)?;
    // The first one itself; what follows are differences.
    bytes.unsigned()?;
    let of_part = of_block.checked_div(parts)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        // The least difference of the block.
        bytes.unsigned()?;
        let widths = bytes.bytes;
        bytes.pass(parts)?;
        // Parts without a difference are left out, whatever their width.
        for width in widths.iter().take(usize::try_from(parts).ok()?) {
            if left == 0 {
                break;
            }
            bytes.pass(u64::from(*width).checked_mul(of_part)? / 8)?;
            left = left.saturating_sub(of_part);
        }
    }
    Some(count)
}
