//! Counters in a memory-mapped file, so that they outlive the process.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::AtomicU64},
};

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of one word.
const WORD: usize = size_of::<AtomicU64>();

/// The sequence number of a window and its counters: in a file, or in memory if there is no file.
#[derive(Clone, Debug)]
pub struct Words(Arc<Storage>);

#[derive(Debug)]
enum Storage {
    Heap(Box<[AtomicU64]>),
    Mapped(MappedWords),
}

/// `words` words of a file, starting at `offset`.
#[derive(Debug)]
struct MappedWords {
    map: MmapRaw,
    offset: usize,
    words: usize,
}

// === impl Words ===

impl Words {
    /// Zeros for this many counters, in the memory of the process.
    pub fn heap(counters: usize) -> Self {
        Self(Arc::new(Storage::Heap(
            (0..=counters).map(|_| AtomicU64::new(0)).collect(),
        )))
    }

    /// The words of a file, starting at `offset`: the sequence number and this many counters.
    ///
    /// All of these bytes must have been written: the file must not be sparse there. If the disk had no room for a page,
    /// the first addition to it would end the process with SIGBUS.
    pub fn mapped(file: &File, offset: usize, counters: usize) -> io::Result<Self> {
        MappedWords::new(file, offset, counters + 1).map(|words| Self(Arc::new(Storage::Mapped(words))))
    }

    /// The highest sequence number that was ever sent.
    pub fn sequence(&self) -> &AtomicU64 {
        // The constructors make sure that there is at least one word.
        &self.all()[0]
    }

    fn all(&self) -> &[AtomicU64] {
        match self.0.as_ref() {
            Storage::Heap(words) => words,
            Storage::Mapped(words) => words.all(),
        }
    }
}

impl AsRef<[AtomicU64]> for Words {
    #[inline]
    fn as_ref(&self) -> &[AtomicU64] {
        &self.all()[1..]
    }
}

// === impl MappedWords ===

impl MappedWords {
    fn new(file: &File, offset: usize, words: usize) -> io::Result<Self> {
        let wrong = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
        let end = words
            .checked_mul(WORD)
            .and_then(|bytes| bytes.checked_add(offset))
            .ok_or_else(|| wrong("it has more words than fit into memory"))?;
        if file.metadata()?.len() != end as u64 {
            return Err(wrong("its length does not match its number of words"));
        }
        let map = MmapOptions::new().len(end).map_raw(file)?;
        if map.len() < end || !(map.as_ptr().addr() + offset).is_multiple_of(WORD) {
            return Err(wrong("its words are not aligned"));
        }
        Ok(Self { map, offset, words })
    }

    #[inline]
    fn all(&self) -> &[AtomicU64] {
        #[expect(
            unsafe_code,
            clippy::cast_ptr_alignment,
            reason = "a mapped file is bytes at an address; the proof is in the comment"
        )]
        // SAFETY: `new` checked that `offset + words * 8` bytes are mapped from `map`'s address on and that the first word
        // is aligned. `map` is readable and writable (`map_raw`) and is unmapped only when it is dropped, and the slice does
        // not outlive `self`. Any 64 bits are a valid `AtomicU64`, and slices like this one are the only references to these
        // bytes, so all access within the process is atomic. No other process accesses them: the file is in a directory that
        // belongs to this Pod and that this process has locked, under a name that only this process uses. The file is never
        // truncated (deleting it leaves the mapping), and its bytes were written before it was mapped, so every page of it
        // can be loaded.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().add(self.offset).cast::<AtomicU64>(),
                self.words,
            )
        }
    }
}
