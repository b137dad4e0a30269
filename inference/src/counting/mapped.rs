//! Words in a mapped file: what is added to them outlives the process.

use std::{
    fs::File,
    io,
    sync::{Arc, atomic::AtomicU64},
};

use memmap2::{MmapOptions, MmapRaw};

/// Bytes of one word.
const WORD: usize = size_of::<AtomicU64>();

/// The sequence number of a window and its counters, in a file or, where none can be had, in memory.
#[derive(Clone, Debug)]
pub struct Words(Arc<Storage>);

#[derive(Debug)]
enum Storage {
    Heap(Box<[AtomicU64]>),
    Mapped(MappedWords),
}

/// `words` words of a file from `offset` on.
#[derive(Debug)]
struct MappedWords {
    map: MmapRaw,
    offset: usize,
    words: usize,
}

// === impl Words ===

impl Words {
    /// Zeros for so many counters, in memory that ends with the process.
    pub fn heap(counters: usize) -> Self {
        Self(Arc::new(Storage::Heap(
            (0..=counters).map(|_| AtomicU64::new(0)).collect(),
        )))
    }

    /// The words of a file from `offset` on: the sequence number and so many counters.
    ///
    /// The file must hold all of them as written bytes, not as a hole: the first addition to a page that the disk has no
    /// room for would end the process with SIGBUS.
    pub fn mapped(file: &File, offset: usize, counters: usize) -> io::Result<Self> {
        MappedWords::new(file, offset, counters + 1).map(|words| Self(Arc::new(Storage::Mapped(words))))
    }

    /// Where the highest sequence number that was ever sent is kept.
    pub fn sequence(&self) -> &AtomicU64 {
        // There is at least one word: see the constructors.
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
            .ok_or_else(|| wrong("it has more words than memory"))?;
        if file.metadata()?.len() != end as u64 {
            return Err(wrong("its length is not that of its words"));
        }
        let map = MmapOptions::new().len(end).map_raw(file)?;
        if map.len() < end || !(map.as_ptr().addr() + offset).is_multiple_of(WORD) {
            return Err(wrong("its words are not where words can be"));
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
        // is aligned; `map` is readable and writable (`map_raw`), is unmapped only when it is dropped, and the slice does
        // not outlive `self`. Any 64 bits are an `AtomicU64`, and this slice, made anew each time, is the only kind of
        // reference to these bytes, so all access within the process is atomic. No other process accesses them: the file
        // is in a directory of this Pod's own that the process holds a lock of, under a name that only it uses. It is never
        // truncated (deleting it leaves the mapping), and its bytes were written before it was mapped, so that a page of it
        // can always be brought in.
        unsafe {
            std::slice::from_raw_parts(
                self.map.as_mut_ptr().add(self.offset).cast::<AtomicU64>(),
                self.words,
            )
        }
    }
}
