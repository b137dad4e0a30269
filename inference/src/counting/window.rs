//! One window of one route: its counters, in a file that a later process can read.
//!
//! ```text
//! 0           8        12       16          24        32                          8-aligned
//! ├───────────┼────────┼────────┼───────────┼─────────┼───────────────────────────┼──────────┼──────────────┤
//! │ magic     │ format │ 0      │ bytes of  │ words   │ JSON: incarnation, route, │ sequence │ counters     │
//! │ MWCOUNTS  │ u32    │ u32    │ JSON, u64 │ u64     │ window, bins, spaces      │ u64      │ u64 each     │
//! └───────────┴────────┴────────┴───────────┴─────────┴───────────────────────────┴──────────┴──────────────┘
//! ```
//!
//! Numbers have the byte order of the machine, because the file never leaves its node. The file gets its final name when
//! it is complete. The counters are those of [`AtomicCounts`].

use std::{
    fs,
    io::{self, Write as _},
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use modelward_profile::{
    AtomicCounts, Bins, Counts, Fingerprint, Incarnation, TotalKey, bins::BinsError, route_digest,
};
use modelward_wire::Route;
use serde::{Deserialize, Serialize};

use super::{entities::Entities, mapped::Words};

const MAGIC: &[u8; 8] = b"MWCOUNTS";
const FORMAT: u32 = 2;

/// Bytes before the JSON.
const FIXED: usize = 32;

/// Maximum length of the description. Bins of thousands of features fit.
const MAX_DESCRIPTION: usize = 32 << 20;

/// Ending of the names of complete files.
pub const ENDING: &str = ".counts";

/// Ending of the names of files that are being written.
pub const PARTIAL_ENDING: &str = ".partial";

/// The counters of one route in one window.
#[derive(Debug)]
pub struct Window {
    /// Identifies the counts.
    pub key: TotalKey,
    /// The route whose digest is in the key.
    pub route: Route,
    /// Length of the window.
    pub seconds: NonZeroU32,
    /// The counters.
    pub counts: AtomicCounts<Words>,
    /// Entities that were counted.
    pub entities: Entities,
    words: Words,
    file: Option<PathBuf>,
}

/// Why a file of counters cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WindowFileError {
    /// It cannot be read or mapped.
    #[error("it cannot be read or mapped")]
    Io(#[from] io::Error),
    /// Its description does not parse.
    #[error("its description does not parse")]
    Description(#[from] serde_json::Error),
    /// Its bins are invalid.
    #[error("its bins cannot be used")]
    Bins(#[from] BinsError),
    /// It is not a file of counters, or is damaged.
    #[error("{0}")]
    Content(&'static str),
}

/// The description of the counters in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Description {
    incarnation: Incarnation,
    route: Route,
    window_start: i64,
    window_seconds: NonZeroU32,
    /// Fingerprints of the bins of the features and of the score.
    fingerprints: [Fingerprint; 2],
    bins: Bins,
}

// === impl Window ===

impl Window {
    /// Counters at zero: in a new file in `dir`, or in memory without a directory.
    pub fn create(
        dir: Option<&Path>,
        incarnation: Incarnation,
        route: &Route,
        bins: &Arc<Bins>,
        window_start: i64,
        seconds: NonZeroU32,
    ) -> Result<Self, WindowFileError> {
        let counters = AtomicCounts::words(bins);
        let (words, file) = match dir {
            None => (Words::heap(counters), None),
            Some(dir) => {
                let description = Description {
                    incarnation,
                    route: route.clone(),
                    window_start,
                    window_seconds: seconds,
                    fingerprints: [bins.feature_fingerprint(), bins.score_fingerprint()],
                    bins: bins.as_ref().clone(),
                };
                let (words, file) = description.write(dir, counters)?;
                (words, Some(file))
            }
        };
        Self::over(
            incarnation,
            route.clone(),
            Arc::clone(bins),
            window_start,
            seconds,
            words,
            file,
        )
    }

    /// The counters that another process left in a file.
    pub fn read(path: &Path) -> Result<Self, WindowFileError> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        let content = WindowFileError::Content;
        let mut fixed = [0; FIXED];
        io::Read::read_exact(&mut &file, &mut fixed)?;
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&fixed[at..at + 8]);
            usize::try_from(u64::from_ne_bytes(bytes)).unwrap_or(usize::MAX)
        };
        if fixed[..8] != *MAGIC {
            return Err(content("it is not a file of counters"));
        }
        if fixed[8..12] != FORMAT.to_ne_bytes() {
            return Err(content("it has a format that this program does not know"));
        }
        let (length, counters) = (number(16), number(24));
        if length > MAX_DESCRIPTION || length % 8 != 0 {
            return Err(content("its description has an impossible length"));
        }
        let mut text = vec![0; length];
        io::Read::read_exact(&mut &file, &mut text)?;
        let Description {
            incarnation,
            route,
            window_start,
            window_seconds,
            fingerprints,
            bins,
        } = serde_json::from_slice(&text)?;
        bins.check()?;
        if fingerprints != [bins.feature_fingerprint(), bins.score_fingerprint()]
            || counters != AtomicCounts::words(&bins)
        {
            return Err(content("its counters do not match its bins"));
        }
        let words = Words::mapped(&file, FIXED + length, counters)?;
        let path = Some(path.to_owned());
        Self::over(
            incarnation,
            route,
            Arc::new(bins),
            window_start,
            window_seconds,
            words,
            path,
        )
    }

    fn over(
        incarnation: Incarnation,
        route: Route,
        bins: Arc<Bins>,
        window_start: i64,
        seconds: NonZeroU32,
        words: Words,
        file: Option<PathBuf>,
    ) -> Result<Self, WindowFileError> {
        let counts = AtomicCounts::over(bins, words.clone())
            .map_err(|_| WindowFileError::Content("its counters do not match its bins"))?;
        Ok(Self {
            key: TotalKey {
                route: route_digest(&route),
                window_start,
                incarnation,
            },
            route,
            seconds,
            counts,
            entities: Entities::default(),
            words,
            file,
        })
    }

    /// The next sequence number. It is stored before it is used, so that no later process uses it again.
    pub fn next_sequence(&self) -> u64 {
        self.words.sequence().fetch_add(1, Relaxed) + 1
    }

    /// Whether it was ever sent.
    pub fn was_sent(&self) -> bool {
        self.words.sequence().load(Relaxed) > 0
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.words.as_ref().iter().all(|word| word.load(Relaxed) == 0)
    }

    /// Whether the counters outlive the process.
    pub fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Whether the window ends at or before `at`, in seconds since 1970.
    pub fn has_ended(&self, at: i64) -> bool {
        self.end() <= at
    }

    /// When the next window starts.
    pub fn end(&self) -> i64 {
        self.key
            .window_start
            .saturating_add(i64::from(self.seconds.get()))
    }

    /// Rows that were answered, or `None` if the number does not fit into 64 bits.
    pub fn answered(&self) -> Option<u64> {
        let counts: Counts = self.counts.snapshot();
        counts.answered()
    }

    /// Deletes the file.
    pub fn forget(&self) {
        if let Some(file) = &self.file
            && let Err(error) = fs::remove_file(file)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "failed to remove {}", file.display());
        }
    }
}

// === impl Description ===

impl Description {
    /// Writes a file of zeros in `dir` and maps its words.
    fn write(&self, dir: &Path, counters: usize) -> Result<(Words, PathBuf), WindowFileError> {
        let mut text = serde_json::to_vec(self)?;
        text.resize(text.len().next_multiple_of(8), b' ');
        // If two threads need the same window at once, each creates a file. The one that is not used is deleted.
        let name = format!(
            "{}-{}-{}-{:08x}",
            String::from(self.incarnation),
            &route_digest(&self.route).hex()[..16],
            self.window_start,
            rand::random::<u32>()
        );
        let partial = dir.join(format!("{name}{PARTIAL_ENDING}"));
        let whole = dir.join(format!("{name}{ENDING}"));
        let mut bytes = Vec::with_capacity(FIXED + text.len() + 8 * (counters + 1));
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend((text.len() as u64).to_ne_bytes());
        bytes.extend((counters as u64).to_ne_bytes());
        bytes.extend(&text);
        let offset = bytes.len();
        // Zeros that are written allocate disk space now. A sparse file would allocate it at the first addition, and the
        // process would die if the disk is full.
        bytes.resize(offset + 8 * (counters + 1), 0);
        let write = || -> io::Result<Words> {
            let mut file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&partial)?;
            file.write_all(&bytes)?;
            let words = Words::mapped(&file, offset, counters)?;
            fs::rename(&partial, &whole)?;
            Ok(words)
        };
        match write() {
            Ok(words) => Ok((words, whole)),
            Err(error) => {
                // Nothing more can be done here. The next start removes the file.
                let _ = fs::remove_file(&partial);
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use modelward_profile::{FeatureBins, Observed, ScoreBins};
    use modelward_wire::{Digest, RouteMode};

    use super::*;

    fn bins() -> Arc<Bins> {
        let feature = FeatureBins::numeric("age", &[40.0, 50.0, 60.0]).unwrap();
        let score = ScoreBins::from_out_of_fold(&[0.2, 0.8]).unwrap();
        Arc::new(Bins::new(vec![feature], score).unwrap())
    }

    fn window(dir: &Path) -> Window {
        let route = Route {
            version: "v".repeat(253),
            digest: Digest::from_bytes([1; 32]),
            weight: 100,
            threshold: "0.5".parse().unwrap(),
            mode: RouteMode::Live,
        };
        let seconds = NonZeroU32::new(3600).unwrap();
        Window::create(Some(dir), Incarnation(7), &route, &bins(), 7200, seconds).unwrap()
    }

    #[test]
    fn another_process_reads_what_was_counted_and_goes_on_with_the_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let window = window(dir.path());
        window.counts.add_row([Observed::Number(50.0)], 0.7, 1).unwrap();
        window.counts.add_synthetic();
        assert_eq!((window.next_sequence(), window.next_sequence()), (1, 2));
        let read = Window::read(window.file.as_deref().unwrap()).unwrap();
        assert_eq!(read.counts.snapshot(), window.counts.snapshot());
        assert_eq!(
            (read.key, &read.route, read.seconds),
            (window.key, &window.route, window.seconds)
        );
        assert_eq!(
            (read.next_sequence(), read.answered(), read.end()),
            (3, Some(2), 10_800)
        );
        read.forget();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // The process that counts does not notice.
        window.counts.add_synthetic();
        assert_eq!(window.answered(), Some(3));
    }

    #[test]
    fn a_file_that_was_damaged_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let window = window(dir.path());
        let path = window.file.as_deref().unwrap();
        let bytes = fs::read(path).unwrap();
        let other = dir.path().join("other.counts");
        let read = |bytes: &[u8]| {
            fs::write(&other, bytes).unwrap();
            Window::read(&other).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(read(&bytes), Ok(()));
        for length in [0, 7, FIXED, bytes.len() / 2, bytes.len() - 8] {
            assert!(read(&bytes[..length]).is_err(), "{length}");
        }
        assert!(read(&[bytes.as_slice(), &[0; 8]].concat()).is_err());
        for at in [0, 8, 16, 17, 24, 31] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            assert!(read(&damaged).is_err(), "{at}");
        }
        // The maximum of the training data.
        let at = bytes.windows(4).position(|four| four == b"\"60\"").unwrap();
        let mut cut = bytes.clone();
        cut[at + 2] = b'1';
        assert_eq!(read(&cut), Err("its counters do not match its bins".to_owned()));
    }
}
