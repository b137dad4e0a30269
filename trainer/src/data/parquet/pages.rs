//! The sizes of the pages of a column, read before anything of them is unpacked: a header may ask for any amount of memory.
//! A header that the library might read differently is broken.
//!
//! A page header is a struct in Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use parquet::{
    basic::{Compression, Type as Physical},
    data_type::{ByteArray, FixedLenByteArray, Int96},
    file::metadata::ColumnChunkMetaData,
};

use crate::data::content::Content;

/// Maximum depth of structs in a header.
const MAX_DEPTH: u32 = 8;

/// The byte at the end of a struct, where a field would have its type.
const STOP: u8 = 0;

/// DELTA_LENGTH_BYTE_ARRAY, by its number in the format.
const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;

/// DELTA_BYTE_ARRAY, likewise.
const DELTA_BYTE_ARRAY: i64 = 7;

/// What reading a chunk of a column takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pages {
    /// Bytes of its largest page, unpacked.
    largest: u64,
    /// Bytes of its dictionary, unpacked.
    dictionary: u64,
    /// Bytes of the values of its dictionary, decoded.
    pub(super) decoded: u64,
    /// Whether a page begins with the lengths of its texts, which the decoder holds.
    pub(super) has_lengths: bool,
    /// Whether a value may repeat what the one before it has, so that few bytes make many large values.
    pub(super) builds_on_previous: bool,
}

/// The header of a page, as far as it says how large the page is.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    is_dictionary: bool,
    /// Values of a dictionary.
    values: u64,
    unpacked: u64,
    packed: u64,
    /// Bytes before the packed ones.
    levels: u64,
    is_packed: bool,
    encoding: i64,
}

/// The pages of a chunk of a file, or why it cannot be read.
pub(super) fn measure_pages(file: &Content, chunk: &ColumnChunkMetaData) -> Result<Pages, &'static str> {
    const OUTSIDE: &str = "a column is said to lie outside of the file";
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or_else(|| chunk.data_page_offset());
    let start = u64::try_from(start).map_err(|_| OUTSIDE)?;
    let length = usize::try_from(chunk.compressed_size()).map_err(|_| OUTSIDE)?;
    let bytes = file.read_at(start, length).map_err(|_| OUTSIDE)?;
    let mut rest = &bytes[..];
    let mut pages = Pages::default();
    while !rest.is_empty() {
        let mut thrift = Thrift { bytes: rest };
        let header = thrift.page_header().ok_or("the header of a page is broken")?;
        let packed = usize::try_from(header.packed).map_err(|_| OUTSIDE)?;
        let page = thrift
            .bytes
            .get(..packed)
            .ok_or("a page is larger than its column")?;
        if header.is_dictionary {
            pages.dictionary = pages.dictionary.max(header.unpacked);
            pages.decoded = pages.decoded.max(measure_dictionary(&header, chunk)?);
        } else {
            pages.largest = pages.largest.max(header.unpacked);
            pages.builds_on_previous |= header.encoding == DELTA_BYTE_ARRAY;
            pages.has_lengths |= matches!(header.encoding, DELTA_LENGTH_BYTE_ARRAY | DELTA_BYTE_ARRAY);
        }
        if matches!(chunk.compression(), Compression::GZIP(_)) && header.is_packed {
            check_gzip(page, &header)?;
        }
        rest = &thrift.bytes[packed..];
    }
    Ok(pages)
}

/// Bytes of the values of a dictionary once they are decoded. The decoder makes room for as many as the header says.
fn measure_dictionary(header: &Header, chunk: &ColumnChunkMetaData) -> Result<u64, &'static str> {
    let bytes = match chunk.compression() {
        Compression::UNCOMPRESSED => header.packed,
        _ => header.unpacked,
    };
    let width = u64::try_from(chunk.column_descr().type_length()).unwrap_or(0);
    let (most, size) = match chunk.column_type() {
        Physical::BOOLEAN => (bytes.saturating_mul(8), size_of::<bool>()),
        Physical::INT32 | Physical::FLOAT => (bytes / 4, size_of::<f32>()),
        Physical::INT64 | Physical::DOUBLE => (bytes / 8, size_of::<f64>()),
        Physical::INT96 => (bytes / 12, size_of::<Int96>()),
        // Each begins with its length.
        Physical::BYTE_ARRAY => (bytes / 4, size_of::<ByteArray>()),
        Physical::FIXED_LEN_BYTE_ARRAY => (bytes / width.max(1), size_of::<FixedLenByteArray>()),
    };
    if header.values > most {
        return Err("a dictionary has fewer values than its header says");
    }
    Ok(header.values.saturating_mul(size as u64))
}

/// The other packings unpack into as many bytes as the header says, gzip into as many as there are.
fn check_gzip(page: &[u8], header: &Header) -> Result<(), &'static str> {
    const BROKEN: &str = "a page is not packed as its header says";
    let levels = usize::try_from(header.levels).map_err(|_| BROKEN)?;
    let packed = page.get(levels..).ok_or(BROKEN)?;
    let expected = header.unpacked.checked_sub(header.levels).ok_or(BROKEN)?;
    if expected == 0 {
        return Ok(());
    }
    let mut unpacked = MultiGzDecoder::new(packed).take(expected + 1);
    match io::copy(&mut unpacked, &mut io::sink()) {
        Ok(bytes) if bytes == expected => Ok(()),
        _ => Err(BROKEN),
    }
}

// === impl Pages ===

impl Pages {
    /// Bytes that are held while the chunk is read.
    pub(super) fn held(self) -> u64 {
        self.largest.saturating_add(self.dictionary)
    }
}

/// Bytes in the compact protocol. Every function returns `None` if they are not valid.
pub(super) struct Thrift<'a> {
    pub(super) bytes: &'a [u8],
}

impl Thrift<'_> {
    fn page_header(&mut self) -> Option<Header> {
        let mut header = Header {
            is_packed: true,
            ..Header::default()
        };
        let (mut unpacked, mut packed, mut values) = (None, None, None);
        let mut structs = 0;
        let mut field = 0;
        loop {
            let kind = self.field(&mut field)?;
            match (field, kind) {
                (_, STOP) => break,
                (1, 5) => header.is_dictionary = self.integer()? == 2,
                (2, 5) => unpacked = Some(self.integer()?),
                (3, 5) => packed = Some(self.integer()?),
                (5, 12) => self.data_page(&mut header, 2)?,
                (7, 12) => values = Some(self.dictionary_page()?),
                (8, 12) => self.data_page(&mut header, 4)?,
                (4, 5) | (6, 12) => self.skip(kind, 0)?,
                (1..=8, _) => return None,
                (_, kind) => self.skip(kind, 0)?,
            }
            structs += i32::from(matches!(field, 5 | 7 | 8));
        }
        // Of several, the library would take that of the type.
        if structs > 1 {
            return None;
        }
        if header.is_dictionary {
            header.values = values?;
        }
        header.unpacked = u64::try_from(unpacked?).ok()?;
        header.packed = u64::try_from(packed?).ok()?;
        Some(header)
    }

    /// The struct of a data page, whose `encoding` is this field. Only the second version has what follows it.
    fn data_page(&mut self, header: &mut Header, encoding: i64) -> Option<()> {
        let is_second = encoding == 4;
        let mut field = 0;
        loop {
            let kind = self.field(&mut field)?;
            match (field, kind) {
                (_, STOP) => return Some(()),
                (at, 5) if at == encoding => header.encoding = self.integer()?,
                (5 | 6, 5) if is_second => {
                    let length = u64::try_from(self.integer()?).ok()?;
                    header.levels = header.levels.checked_add(length)?;
                }
                (7, 1 | 2) if is_second => header.is_packed = kind == 1,
                (1..=4, 5) => self.skip(kind, 1)?,
                (1..=4, _) => return None,
                (5..=7, _) if is_second => return None,
                (_, kind) => self.skip(kind, 1)?,
            }
        }
    }

    /// The struct of a dictionary page: the number of its values.
    fn dictionary_page(&mut self) -> Option<u64> {
        let mut values = None;
        let mut field = 0;
        loop {
            let kind = self.field(&mut field)?;
            match (field, kind) {
                (_, STOP) => return values,
                (1, 5) => values = Some(u64::try_from(self.integer()?).ok()?),
                (2, 5) | (3, 1 | 2) => self.skip(kind, 1)?,
                (1..=3, _) => return None,
                (_, kind) => self.skip(kind, 1)?,
            }
        }
    }

    /// The type of the next field, whose number takes the place of that of the last one; [`STOP`] at the end of a struct. Numbers
    /// rise, so that no field comes twice.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte == STOP {
            return Some(STOP);
        }
        let last = *number;
        *number = match byte >> 4 {
            0 => self.integer()?,
            more => last.checked_add(i64::from(more))?,
        };
        if *number <= last {
            return None;
        }
        Some(byte & 0x0f).filter(|kind| *kind != STOP)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number of 32 bits; of a longer one the library would take a part.
    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        let number = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        Some(number).filter(|number| i32::try_from(*number).is_ok())
    }

    pub(super) fn pass(&mut self, bytes: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(bytes).ok()?..)?;
        Some(())
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            1 | 2 => {}
            3 => self.pass(1)?,
            4..=6 => {
                self.unsigned()?;
            }
            7 => self.pass(8)?,
            8 => {
                let length = self.unsigned()?;
                self.pass(length)?;
            }
            9 | 10 => {
                let byte = self.byte()?;
                let size = match byte >> 4 {
                    15 => self.unsigned()?,
                    size => u64::from(size),
                };
                // In a list, a truth value takes a byte; every element takes at least one.
                for _ in 0..size {
                    match byte & 0x0f {
                        1 | 2 => self.pass(1)?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            12 => {
                let mut field = 0;
                loop {
                    match self.field(&mut field)? {
                        STOP => break,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            _ => return None,
        }
        Some(())
    }
}
