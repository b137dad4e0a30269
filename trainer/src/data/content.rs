//! The bytes of a source: in memory, or in a file that is read in pieces.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

/// The bytes of a source.
#[derive(Clone, Debug)]
pub enum Content {
    /// They are in memory.
    Memory(Bytes),
    /// They are in an open file, with their number.
    File(Arc<File>, u64),
}

/// Reads a content from a position on.
#[derive(Debug)]
pub struct ContentReader {
    content: Content,
    at: u64,
}

// === impl Content ===

impl Content {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes, in order.
    pub fn reader(&self) -> ContentReader {
        ContentReader {
            content: self.clone(),
            at: 0,
        }
    }

    /// The bytes from this position on. Fewer than `length` are an error.
    pub fn read_at(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(start as usize..end as usize)),
            Self::File(file, _) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes.into())
            }
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Memory(bytes.into())
    }
}

impl Length for Content {
    fn len(&self) -> u64 {
        Content::len(self)
    }
}

impl ChunkReader for Content {
    type T = BufReader<ContentReader>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(ContentReader {
            content: self.clone(),
            at: start,
        }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.read_at(start, length).map_err(ParquetError::from)
    }
}

// === impl ContentReader ===

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.content.len().saturating_sub(self.at);
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match &self.content {
            Content::Memory(bytes) => {
                let start = self.at as usize;
                buffer[..wanted].copy_from_slice(&bytes[start..start + wanted]);
                wanted
            }
            Content::File(file, _) => file.read_at(&mut buffer[..wanted], self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_and_memory_give_the_same_bytes_and_none_behind_their_end() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        for content in [
            Content::from(bytes.clone()),
            Content::File(file.into(), bytes.len() as u64),
        ] {
            let mut read = Vec::new();
            content.reader().read_to_end(&mut read).unwrap();
            assert_eq!(read, bytes);
            assert_eq!(content.read_at(70_000, 3).unwrap(), bytes[70_000..70_003]);
            assert!(content.read_at(199_999, 2).is_err());
            assert!(content.read_at(u64::MAX, 2).is_err());
        }
    }
}
