//! Checks all bytes of a text file while they pass on to a parser.
//!
//! Only the bytes of the current record are kept: a file need not fit into memory.

use std::io::{self, Read};

use modelward_wire::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes that are read of the source at once.
const PIECE: usize = 1 << 18;

/// Maximum size of a record. In a larger one a quote is not closed, or the file has no line breaks.
pub(super) const MAX_RECORD: usize = 512 << 20;

/// A byte order mark.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes that show what a file is.
const HEAD: usize = 4;

/// Bytes of blanks beyond ASCII in one line.
const MAX_BLANKS: usize = 4096;

/// Separators that a file may have.
const SEPARATORS: [u8; 4] = [b';', b',', b'\t', b'|'];

/// A reader that checks what it reads. It passes on the bytes after a byte order mark. Positions are counted in these.
pub(super) struct Scan<R> {
    source: R,
    hash: Sha256,
    /// Bytes that were read, with the mark.
    size: u64,
    /// Bytes before the window.
    base: u64,
    /// The start of the current record.
    record: u64,
    window: Vec<u8>,
    /// Bytes of the window that were handed on.
    handed: usize,
    /// Line breaks before the window: those of every system, and `\n` alone.
    breaks: u64,
    newlines: u64,
    /// Bytes of the mark, once the first piece was read.
    mark: Option<usize>,
    has_ended: bool,
    head: Vec<u8>,
    first_line: FirstLine,
    /// The bytes of a character that has begun.
    open: Vec<u8>,
    wrong: Option<Place>,
    zero: Option<Place>,
    longest: usize,
    is_too_long: bool,
    failure: Option<io::Error>,
}

/// A byte and the line that it is in, both counted from 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) byte: u64,
    pub(super) line: u64,
}

/// Separators in the first line that is not blank.
#[derive(Debug)]
struct FirstLine {
    delimiter: u8,
    counts: [u64; SEPARATORS.len()],
    own: u64,
    is_blank: bool,
    /// What is not ASCII in a line that is blank so far.
    others: Vec<u8>,
    is_over: bool,
}

/// What was found in a file that was read to its end.
#[derive(Debug)]
pub(super) struct Scanned {
    /// The digest of all bytes.
    pub(super) sha256: Digest,
    /// Number of all bytes.
    pub(super) size: u64,
    /// Its first bytes that are not blanks, at most four.
    pub(super) head: Vec<u8>,
    /// The first byte that is not UTF-8, from the start of the file; lines end with `\n`.
    pub(super) wrong: Option<Place>,
    /// The first zero byte.
    pub(super) zero: Option<Place>,
    /// The separator that the first line has most often, how often, and how often it has the expected one.
    pub(super) separators: Option<(u8, u64, u64)>,
}

// === impl Scan ===

impl<R: Read> Scan<R> {
    /// Reads this source; `delimiter` is the separator that the spec states.
    pub(super) fn new(source: R, delimiter: u8) -> Self {
        Self {
            source,
            hash: Sha256::new(),
            size: 0,
            base: 0,
            record: 0,
            window: Vec::new(),
            handed: 0,
            breaks: 0,
            newlines: 0,
            mark: None,
            has_ended: false,
            head: Vec::with_capacity(HEAD),
            first_line: FirstLine {
                delimiter,
                counts: [0; SEPARATORS.len()],
                own: 0,
                is_blank: true,
                others: Vec::new(),
                is_over: false,
            },
            open: Vec::new(),
            wrong: None,
            zero: None,
            longest: MAX_RECORD,
            is_too_long: false,
            failure: None,
        }
    }

    /// The bytes from the start of the current record to this place, as far as they were read.
    pub(super) fn record(&self, end: u64) -> &[u8] {
        let start = (self.record - self.base) as usize;
        let end = (end.saturating_sub(self.base) as usize).clamp(start, self.window.len());
        &self.window[start..end]
    }

    /// Begins the next record.
    pub(super) fn begin_record(&mut self, at: u64) {
        self.record = at.clamp(self.record, self.base + self.window.len() as u64);
    }

    /// The line at this many bytes after the start of the current record, from 1.
    pub(super) fn line(&self, behind: usize) -> u64 {
        self.place(self.record + behind as u64).line
    }

    /// Whether the current record has more bytes than any may have.
    pub(super) fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// Reads what is left of the source, and returns what was found.
    pub(super) fn finish(mut self) -> io::Result<Scanned> {
        while !self.has_ended {
            self.record = self.base + self.window.len() as u64;
            self.handed = self.window.len();
            self.fill();
        }
        if let Some(error) = self.failure {
            return Err(error);
        }
        if !self.open.is_empty() && self.wrong.is_none() {
            self.wrong = Some(self.place_in_file(self.base + (self.window.len() - self.open.len()) as u64));
        }
        let separators = self.first_line.finish();
        Ok(Scanned {
            sha256: Digest::from_bytes(self.hash.finalize().into()),
            size: self.size,
            head: self.head,
            wrong: self.wrong,
            zero: self.zero,
            separators,
        })
    }

    /// Reads the next piece into the window, and drops what is before the current record.
    fn fill(&mut self) {
        // The last byte stays, because the byte after `\r` shows whether a line ends there. So do the bytes of an incomplete character.
        let done = (self.record - self.base) as usize;
        let done = done.min(self.handed).min(self.window.len().saturating_sub(HEAD));
        self.breaks += count_breaks(&self.window[..done], self.window.get(done));
        self.newlines += count_newlines(&self.window[..done]);
        self.window.drain(..done);
        self.base += done as u64;
        self.handed -= done;
        let before = self.window.len();
        self.window.resize(before + PIECE, 0);
        let mut end = before;
        // Whole pieces, however little the source returns at once: a parser that got nothing but a mark would take that for the end.
        while end < self.window.len() && !self.has_ended {
            match self.source.read(&mut self.window[end..]) {
                Ok(0) => self.has_ended = true,
                Ok(read) => end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    self.has_ended = true;
                }
            }
        }
        self.window.truncate(end);
        self.hash.update(&self.window[before..]);
        self.size += (end - before) as u64;
        if self.mark.is_none() {
            let mark = if self.window.starts_with(MARK) {
                MARK.len()
            } else {
                0
            };
            self.window.drain(..mark);
            self.mark = Some(mark);
        }
        self.look(before);
    }

    /// Looks at what is new in the window.
    fn look(&mut self, before: usize) {
        let new = &self.window[before..];
        for byte in new {
            if self.head.len() == HEAD {
                break;
            }
            if !self.head.is_empty() || !byte.is_ascii_whitespace() {
                self.head.push(*byte);
            }
        }
        self.first_line.read(new);
        if self.zero.is_none()
            && let Some(at) = new.iter().position(|byte| *byte == 0)
        {
            self.zero = Some(self.place(self.base + (before + at) as u64));
        }
        if self.wrong.is_none()
            && let Some(at) = find_wrong(&mut self.open, &self.window, before)
        {
            self.wrong = Some(self.place_in_file(self.base + at as u64));
        }
    }

    /// Lines end as on any system.
    fn place(&self, byte: u64) -> Place {
        let before = &self.window[..(byte.saturating_sub(self.base) as usize).min(self.window.len())];
        Place {
            byte,
            line: self.breaks + count_breaks(before, None) + 1,
        }
    }

    /// Counted from the start of the file.
    fn place_in_file(&self, byte: u64) -> Place {
        let before = &self.window[..(byte - self.base) as usize];
        Place {
            byte: byte + self.mark.unwrap_or(0) as u64,
            line: self.newlines + count_newlines(before) + 1,
        }
    }

    /// Whether no further byte can change the verdict on the file.
    fn is_decided(&self) -> bool {
        self.wrong.is_some() || self.zero.is_some() || self.is_too_long
    }
}

/// Bytes that are not text, or cannot be read, look like the end of the file.
impl<R: Read> Read for Scan<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The first piece may hold nothing but the mark.
        while self.handed == self.window.len() && !self.has_ended {
            self.fill();
        }
        let held = self.window.len() - (self.record - self.base) as usize;
        self.is_too_long |= held > self.longest;
        if self.is_decided() {
            return Ok(0);
        }
        let rest = &self.window[self.handed..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.handed += count;
        Ok(count)
    }
}

/// The position of the first byte in the window that is not UTF-8. `open` has the bytes of a character that ends after `before`, and
/// then those of one that ends after the window.
fn find_wrong(open: &mut Vec<u8>, window: &[u8], before: usize) -> Option<usize> {
    let start = before - open.len().min(before);
    open.clear();
    let new = &window[start..];
    match std::str::from_utf8(new) {
        Ok(_) => None,
        Err(error) if error.error_len().is_none() => {
            open.extend_from_slice(&new[error.valid_up_to()..]);
            None
        }
        Err(error) => Some(start + error.valid_up_to()),
    }
}

/// Line breaks in these bytes, of every system; `next` is the byte after them.
fn count_breaks(bytes: &[u8], next: Option<&u8>) -> u64 {
    let returns = if bytes.contains(&b'\r') {
        let behind = bytes.iter().skip(1).chain([next.unwrap_or(&b' ')]);
        let alone = |(byte, next): &(&u8, &u8)| **byte == b'\r' && **next != b'\n';
        bytes.iter().zip(behind).filter(alone).count() as u64
    } else {
        0
    };
    returns + count_newlines(bytes)
}

fn count_newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

// === impl FirstLine ===

impl FirstLine {
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.is_over {
                return;
            }
            match byte {
                b'\n' => self.end(),
                0x09..=0x0d | b' ' => {}
                _ if byte.is_ascii() || self.others.len() >= MAX_BLANKS => self.is_blank = false,
                _ if self.is_blank => self.others.push(*byte),
                _ => {}
            }
            self.own += u64::from(*byte == self.delimiter);
            for (separator, count) in SEPARATORS.iter().zip(&mut self.counts) {
                *count += u64::from(byte == separator);
            }
        }
    }

    /// Ends the line: it is the first one unless it is blank.
    fn end(&mut self) {
        let is_blank =
            self.is_blank && std::str::from_utf8(&self.others).is_ok_and(|text| text.trim().is_empty());
        if is_blank {
            self.counts = [0; SEPARATORS.len()];
            self.own = 0;
            self.others.clear();
        } else {
            self.is_over = true;
        }
    }

    fn finish(&mut self) -> Option<(u8, u64, u64)> {
        if !self.is_over {
            self.end();
        }
        let counted = SEPARATORS.into_iter().zip(self.counts);
        let (separator, count) = counted.max_by_key(|(_, count)| *count)?;
        self.is_over.then_some((separator, count, self.own))
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::sha256;
    use proptest::prelude::*;

    use super::*;

    /// Gives few bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn scan(bytes: &[u8], piece: usize) -> Scanned {
        let mut scan = Scan::new(Trickle(bytes, piece), b',');
        io::copy(&mut scan, &mut io::sink()).unwrap();
        scan.finish().unwrap()
    }

    #[test]
    fn a_place_is_counted_over_all_pieces() {
        let mut bytes = b"\xef\xbb\xbf".to_vec();
        bytes.extend("é,b\r\n".repeat(3 * PIECE / 6).as_bytes());
        bytes.extend(b"\rx\0\n\xe2\x80");
        for piece in [1000, PIECE - 1, 4 * PIECE] {
            let found = scan(&bytes, piece);
            let lines = 3 * PIECE as u64 / 6;
            let zero = bytes.len() as u64 - 3 - 4;
            assert_eq!(
                found.zero,
                Some(Place {
                    byte: zero,
                    line: lines + 2
                })
            );
            assert_eq!(
                found.wrong,
                Some(Place {
                    byte: zero + 3 + 2,
                    line: lines + 2
                })
            );
            assert_eq!(found.sha256, sha256(&bytes));
            assert_eq!(found.separators, Some((b',', 1, 1)));
        }
    }

    #[test]
    fn a_record_that_does_not_end_is_given_up_and_the_digest_is_still_that_of_all() {
        let bytes = "x".repeat(5 * PIECE);
        let mut scan = Scan::new(bytes.as_bytes(), b',');
        scan.longest = 2 * PIECE;
        let read = io::copy(&mut scan, &mut io::sink()).unwrap();
        assert!(scan.is_too_long());
        assert!(read <= 3 * PIECE as u64, "{read}");
        assert_eq!(scan.finish().unwrap().sha256, sha256(bytes.as_bytes()));
    }

    #[test]
    fn an_error_of_the_source_is_not_its_end() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("the disk is gone"));
                }
                buffer[..4].copy_from_slice(b"a,b\n");
                Ok(4)
            }
        }
        let mut scan = Scan::new(Broken(false), b',');
        io::copy(&mut scan, &mut io::sink()).unwrap();
        let error = scan.finish().unwrap_err();
        assert_eq!(error.to_string(), "the disk is gone");
    }

    proptest! {
        #[test]
        fn what_is_found_does_not_depend_on_the_pieces(
            bytes in prop::collection::vec(prop::sample::select(b"a,;\"\r\n \0\xc3\xa9\xef\xbb\xbf\xe2\x80".to_vec()), 0..60),
            piece in 1_usize..5,
        ) {
            let (found, whole) = (scan(&bytes, piece), scan(&bytes, usize::MAX));
            prop_assert_eq!(format!("{found:?}"), format!("{whole:?}"));
            let text = bytes.strip_prefix(MARK).unwrap_or(&bytes);
            let mark = bytes.len() - text.len();
            let valid = std::str::from_utf8(text).map_err(|error| (error.valid_up_to() + mark) as u64);
            prop_assert_eq!(found.wrong.map(|place| place.byte), valid.err());
            let zero = text.iter().position(|byte| *byte == 0);
            prop_assert_eq!(found.zero.map(|place| place.byte), zero.map(|at| at as u64));
        }
    }
}
