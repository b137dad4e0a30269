//! The sizes of the pages of a column, read before anything of them is unpacked: a header may ask for any amount of memory.
//!
//! A page header is a struct in Thrift's compact protocol
//! (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).

use std::io::{self, Read as _};

use flate2::read::MultiGzDecoder;
use parquet::{basic::Compression, file::metadata::ColumnChunkMetaData};

use crate::data::content::Content;

/// Maximum depth of structs in a header.
const MAX_DEPTH: u32 = 8;

/// The byte at the end of a struct, where a field would have its type.
const STOP: u8 = 0;

/// DELTA_BYTE_ARRAY, by its number in the format.
const DELTA_BYTE_ARRAY: i64 = 7;

/// What reading a chunk of a column takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pages {
    /// Bytes of its largest page, unpacked.
    largest: u64,
    /// Bytes of its dictionary, unpacked.
    dictionary: u64,
    /// Whether a value may repeat what the one before it has, so that few bytes make many large values.
    pub(super) builds_on_previous: bool,
}

/// The header of a page, as far as it says how large the page is.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    is_dictionary: bool,
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
        } else {
            pages.largest = pages.largest.max(header.unpacked);
            pages.builds_on_previous |= header.encoding == DELTA_BYTE_ARRAY;
        }
        if matches!(chunk.compression(), Compression::GZIP(_)) && header.is_packed {
            check_gzip(page, &header)?;
        }
        rest = &thrift.bytes[packed..];
    }
    Ok(pages)
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
struct Thrift<'a> {
    bytes: &'a [u8],
}

impl Thrift<'_> {
    fn page_header(&mut self) -> Option<Header> {
        let mut header = Header {
            is_packed: true,
            ..Header::default()
        };
        let (mut unpacked, mut packed) = (None, None);
        let mut field = 0;
        loop {
            let kind = self.field(&mut field)?;
            match (field, kind) {
                (_, STOP) => break,
                (1, 5) => header.is_dictionary = self.integer()? == 2,
                (2, 5) => unpacked = Some(self.integer()?),
                (3, 5) => packed = Some(self.integer()?),
                (5, 12) => self.data_page(&mut header, 2)?,
                (8, 12) => self.data_page(&mut header, 4)?,
                (_, kind) => self.skip(kind, 0)?,
            }
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
                (_, kind) => self.skip(kind, 1)?,
            }
        }
    }

    /// The type of the next field, whose number takes the place of that of the last one; [`STOP`] at the end of a struct.
    fn field(&mut self, number: &mut i64) -> Option<u8> {
        let byte = self.byte()?;
        if byte == STOP {
            return Some(STOP);
        }
        *number = match byte >> 4 {
            0 => self.integer()?,
            more => number.checked_add(i64::from(more))?,
        };
        Some(byte & 0x0f).filter(|kind| *kind != STOP)
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn unsigned(&mut self) -> Option<u64> {
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

    fn integer(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        Some((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    fn pass(&mut self, bytes: u64) -> Option<()> {
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
