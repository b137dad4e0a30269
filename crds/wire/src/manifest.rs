//! The list of files of a bundle or a snapshot.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, words};

/// The format that this code writes. It reads no other.
pub const MANIFEST_FORMAT: u32 = 1;

/// Maximum size in bytes of a file that the ledger stores. The rows of a snapshot are one file, which is smaller than its CSV
/// files, and `trainer.maxDatasetMiB` limits those to less. The ledger keeps only a few parts of a file in memory.
pub const MAX_BLOB_BYTES: u64 = 4 << 30;

/// Maximum of `trainer.maxDatasetMiB`: offsets in the text of a file are 32-bit numbers, and the ledger must accept the snapshot.
pub const LARGEST_DATASET_MIB: u32 = ((MAX_BLOB_BYTES >> 20) - 1) as u32;

/// The files of one bundle or snapshot. The digest of the manifest, the sha256 of the bytes of `manifest.json`, is the address of
/// the artifact.
///
/// The bytes are never reformatted: a reader hashes the bytes that it received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: u32,
    /// What the files are.
    pub kind: ManifestKind,
    /// The files, sorted by path, each path once.
    pub files: Vec<FileEntry>,
}

words! {
    /// What a manifest describes.
    pub enum ManifestKind {
        /// A model and everything that serving needs.
        Bundle,
        /// The data of one training.
        Snapshot,
    }
}

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FileEntry {
    /// File name: letters, digits, `.`, `_` and `-`, at most 128 of them, not starting with a period. There are no folders.
    pub path: String,
    /// The sha256 of the file's bytes, its address in the artifact store.
    pub sha256: Digest,
    /// Bytes in the file.
    pub size: u64,
}

/// Why a manifest is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// Its format is unknown to this program.
    Format(u32),
    /// A path is not a plain file name, so it could leave the bundle's directory.
    Path(String),
    /// The paths are not sorted or not unique.
    Order(String),
    /// It lists no file, or more than 256.
    Count(usize),
}

// === impl ManifestKind ===

impl ManifestKind {
    /// The kind as a word for messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Snapshot => "snapshot",
        }
    }
}

// === impl Manifest ===

impl Manifest {
    /// Creates a manifest of these files, sorted by path.
    pub fn new(kind: ManifestKind, mut files: Vec<FileEntry>) -> Result<Self, ManifestError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Self {
            format: MANIFEST_FORMAT,
            kind,
            files,
        };
        manifest.check()?;
        Ok(manifest)
    }

    /// Checks what serde cannot: the format, the paths and their order. Call it on every manifest that is read.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.format != MANIFEST_FORMAT {
            return Err(ManifestError::Format(self.format));
        }
        if !(1..=256).contains(&self.files.len()) {
            return Err(ManifestError::Count(self.files.len()));
        }
        for file in &self.files {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            if file.path.starts_with('.')
                || !(1..=128).contains(&file.path.len())
                || !file.path.bytes().all(plain)
                || file.path == "manifest.json"
            {
                return Err(ManifestError::Path(file.path.clone()));
            }
        }
        match self.files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
            Some(pair) => Err(ManifestError::Order(pair[1].path.clone())),
            None => Ok(()),
        }
    }

    /// The file with this name.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => {
                write!(
                    f,
                    "manifest has format {format}, this program reads format {MANIFEST_FORMAT}"
                )
            }
            Self::Path(path) => write!(f, "manifest names {path:?}, which is not a plain file name"),
            Self::Order(path) => write!(f, "manifest names {path:?} twice or out of order"),
            Self::Count(count) => write!(f, "manifest names {count} files, it must name 1 to 256"),
        }
    }
}

impl std::error::Error for ManifestError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> FileEntry {
        FileEntry {
            path: path.into(),
            sha256: Digest::from_bytes([7; 32]),
            size: 1,
        }
    }

    #[test]
    fn files_are_sorted_so_that_equal_content_has_equal_bytes() {
        let one = Manifest::new(ManifestKind::Bundle, vec![file("b"), file("a")]).unwrap();
        let other = Manifest::new(ManifestKind::Bundle, vec![file("a"), file("b")]).unwrap();
        assert_eq!(
            serde_json::to_vec(&one).unwrap(),
            serde_json::to_vec(&other).unwrap()
        );
    }

    #[test]
    fn a_path_that_leaves_the_directory_is_refused() {
        for path in [
            "../x",
            "/etc/passwd",
            "a/b",
            ".hidden",
            "",
            "manifest.json",
            "a\0b",
        ] {
            let refused = Manifest::new(ManifestKind::Bundle, vec![file(path)]);
            assert_eq!(refused, Err(ManifestError::Path(path.into())));
        }
    }

    #[test]
    fn the_same_path_twice_is_refused() {
        let twice = Manifest::new(ManifestKind::Snapshot, vec![file("a"), file("a")]);
        assert_eq!(twice, Err(ManifestError::Order("a".into())));
    }
}
