//! Directories of files with one digest. They are written atomically and verified file by file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use modelward_wire::{Digest, FileEntry, Manifest, ManifestError, ManifestKind};
use sha2::{Digest as _, Sha256};

/// The name of the list of files.
pub const MANIFEST: &str = "manifest.json";

/// Maximum size of a file of a bundle or snapshot, so that a wrong size cannot fill the memory of a Pod.
pub const MAX_FILE_BYTES: u64 = 1 << 30;

/// Maximum size of a manifest. It is many times the size of 256 entries with the longest names.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Why a directory does not match its digest, or could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A file could not be read.
    #[error("cannot read {file}")]
    Read {
        /// Its name in the directory.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes of a file do not match its digest.
    #[error("{file} has digest {found}, expected {expected}; it was changed or damaged, fetch it again")]
    Digest {
        /// Its name in the directory.
        file: String,
        /// The digest of its bytes.
        found: Digest,
        /// The expected digest.
        expected: Digest,
    },
    /// A file is shorter or longer than the manifest says.
    #[error("{file} has {found} bytes, expected {expected}; it was cut or damaged, fetch it again")]
    Size {
        /// Its name in the directory.
        file: String,
        /// Bytes that are there.
        found: u64,
        /// Bytes according to the manifest.
        expected: u64,
    },
    /// A file is larger than the maximum size.
    #[error("{file} has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// Its name in the directory.
        file: String,
        /// Bytes that are there.
        found: u64,
        /// The maximum size.
        limit: u64,
    },
    /// The manifest is not JSON of this form.
    #[error("{MANIFEST} does not parse")]
    Parse(#[source] serde_json::Error),
    /// The manifest parses, but is not valid.
    #[error("{MANIFEST} is not valid")]
    Manifest(#[source] ManifestError),
    /// A bundle was found instead of a snapshot, or vice versa.
    #[error("{MANIFEST} is of a {found:?}, expected a {expected:?}")]
    Kind {
        /// The kind in the manifest.
        found: ManifestKind,
        /// The expected kind.
        expected: ManifestKind,
    },
    /// The manifest does not have a file that this kind requires.
    #[error("{MANIFEST} does not name {0}, which is needed")]
    Absent(&'static str),
    /// The directory to be replaced is not a bundle or snapshot.
    #[error(
        "{} already exists and is not a bundle or snapshot (it has no {MANIFEST}); name another directory",
        .0.display()
    )]
    Occupied(PathBuf),
}

/// A directory with a verified manifest. Each file is verified when it is read.
#[derive(Clone, Debug)]
pub struct VerifiedDir {
    dir: PathBuf,
    manifest: Manifest,
    digest: Digest,
}

/// Collects files in memory, then writes them with their manifest in one step.
#[derive(Clone, Debug)]
pub struct DirBuilder {
    kind: ManifestKind,
    files: Vec<(String, Vec<u8>)>,
}

/// The sha256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

/// The sha256 and the length of a file, read in chunks.
pub fn sha256_file(path: &Path) -> io::Result<(Digest, u64)> {
    sha256_of(fs::File::open(path)?)
}

/// The sha256 and the number of the bytes of a reader.
pub fn sha256_of(mut bytes: impl io::Read) -> io::Result<(Digest, u64)> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match bytes.read(&mut buffer)? {
            0 => return Ok((Digest::from_bytes(hash.finalize().into()), size)),
            read => {
                hash.update(&buffer[..read]);
                size += read as u64;
            }
        }
    }
}

// === impl FilesError ===

impl FilesError {
    /// The file with the error, if it is about a file.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Read { file, .. }
            | Self::Digest { file, .. }
            | Self::Size { file, .. }
            | Self::TooLarge { file, .. } => Some(file),
            Self::Parse(_) | Self::Manifest(_) | Self::Kind { .. } => Some(MANIFEST),
            Self::Absent(file) => Some(file),
            Self::Write { .. } | Self::Occupied(_) => None,
        }
    }
}

// === impl VerifiedDir ===

impl VerifiedDir {
    /// Reads the manifest of `dir` and checks that its digest is `expected`. `None` accepts any digest.
    ///
    /// A user's directory may be opened without an expected digest. A server always has one.
    pub fn open(dir: &Path, expected: Option<&Digest>, kind: ManifestKind) -> Result<Self, FilesError> {
        let bytes = read_bounded(dir, MANIFEST, MAX_MANIFEST_BYTES)?;
        let digest = sha256(&bytes);
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(FilesError::Digest {
                file: MANIFEST.into(),
                found: digest,
                expected: *expected,
            });
        }
        let manifest = parse_manifest(&bytes)?;
        if manifest.kind != kind {
            return Err(FilesError::Kind {
                found: manifest.kind,
                expected: kind,
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            digest,
        })
    }

    /// The digest of the directory.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The list of files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The verified bytes of a file.
    pub fn read(&self, name: &'static str) -> Result<Vec<u8>, FilesError> {
        let entry = self.manifest.file(name).ok_or(FilesError::Absent(name))?;
        let bytes = read_bounded(&self.dir, name, MAX_FILE_BYTES)?;
        check(entry, sha256(&bytes), bytes.len() as u64)?;
        Ok(bytes)
    }

    /// A verified file to read in chunks, and its length.
    pub fn open_file(&self, name: &'static str) -> Result<(fs::File, u64), FilesError> {
        let entry = self.manifest.file(name).ok_or(FilesError::Absent(name))?;
        let error = |source| FilesError::Read {
            file: name.to_owned(),
            source,
        };
        let mut file = fs::File::open(self.dir.join(name)).map_err(error)?;
        let (found, size) = sha256_of(&file).map_err(error)?;
        check(entry, found, size)?;
        io::Seek::rewind(&mut file).map_err(error)?;
        Ok((file, size))
    }

    /// Verifies every file of the manifest without keeping its bytes in memory.
    pub fn verify_all(&self) -> Result<(), FilesError> {
        for entry in &self.manifest.files {
            let (found, size) =
                sha256_file(&self.dir.join(&entry.path)).map_err(|source| FilesError::Read {
                    file: entry.path.clone(),
                    source,
                })?;
            check(entry, found, size)?;
        }
        Ok(())
    }
}

/// Parses and checks a manifest's bytes.
pub fn parse_manifest(bytes: &[u8]) -> Result<Manifest, FilesError> {
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(FilesError::Parse)?;
    manifest.check().map_err(FilesError::Manifest)?;
    Ok(manifest)
}

fn check(entry: &FileEntry, found: Digest, size: u64) -> Result<(), FilesError> {
    if size != entry.size {
        return Err(FilesError::Size {
            file: entry.path.clone(),
            found: size,
            expected: entry.size,
        });
    }
    if found != entry.sha256 {
        return Err(FilesError::Digest {
            file: entry.path.clone(),
            found,
            expected: entry.sha256,
        });
    }
    Ok(())
}

fn read_bounded(dir: &Path, name: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
    let path = dir.join(name);
    let error = |source| FilesError::Read {
        file: name.to_owned(),
        source,
    };
    let found = fs::metadata(&path).map_err(error)?.len();
    if found > limit {
        return Err(FilesError::TooLarge {
            file: name.to_owned(),
            found,
            limit,
        });
    }
    fs::read(&path).map_err(error)
}

// === impl DirBuilder ===

impl DirBuilder {
    /// A builder without files.
    pub fn new(kind: ManifestKind) -> Self {
        Self {
            kind,
            files: Vec::new(),
        }
    }

    /// Adds one file.
    #[must_use]
    pub fn with(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), bytes.into()));
        self
    }

    /// The manifest, its bytes and its digest.
    pub fn manifest(&self) -> Result<(Manifest, Vec<u8>, Digest), FilesError> {
        let entry = |(path, bytes): &(String, Vec<u8>)| FileEntry {
            path: path.clone(),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
        };
        let manifest =
            Manifest::new(self.kind, self.files.iter().map(entry).collect()).map_err(FilesError::Manifest)?;
        let bytes = json(&manifest).map_err(FilesError::Parse)?;
        let digest = sha256(&bytes);
        Ok((manifest, bytes, digest))
    }

    /// Writes the directory `dir`: first to a temporary directory next to it, which is renamed when complete.
    ///
    /// A directory that already has a manifest is replaced. Any other directory that is not empty is refused.
    pub fn write(&self, dir: &Path) -> Result<(Manifest, Digest), FilesError> {
        let (manifest, bytes, digest) = self.manifest()?;
        let write = |path: &Path, source| FilesError::Write {
            path: path.to_owned(),
            source,
        };
        // Removes what a killed run left behind. No other process writes here.
        undo_write(dir).map_err(|error| write(dir, error))?;
        let replaces = match fs::read_dir(dir) {
            Ok(mut entries) => {
                if entries.next().is_some() && !dir.join(MANIFEST).is_file() {
                    return Err(FilesError::Occupied(dir.to_owned()));
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(write(dir, error)),
        };
        let part = neighbour(dir, "part");
        let parent = part.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|error| write(parent, error))?;
        fs::create_dir(&part).map_err(|error| write(&part, error))?;
        for (name, content) in &self.files {
            let path = part.join(name);
            fs::write(&path, content).map_err(|error| write(&path, error))?;
        }
        let path = part.join(MANIFEST);
        fs::write(&path, &bytes).map_err(|error| write(&path, error))?;
        if replaces {
            let old = neighbour(dir, "old");
            remove(&old).map_err(|error| write(&old, error))?;
            fs::rename(dir, &old).map_err(|error| write(dir, error))?;
            fs::rename(&part, dir).map_err(|error| write(dir, error))?;
            remove(&old).map_err(|error| write(&old, error))?;
        } else {
            fs::rename(&part, dir).map_err(|error| write(dir, error))?;
        }
        Ok((manifest, digest))
    }
}

/// Writes the files of a bundle; see [`DirBuilder::write`].
pub fn write_bundle(dir: &Path, files: Vec<(String, Vec<u8>)>) -> Result<(Manifest, Digest), FilesError> {
    DirBuilder {
        kind: ManifestKind::Bundle,
        files,
    }
    .write(dir)
}

/// Writes the files of a snapshot; see [`DirBuilder::write`].
pub fn write_snapshot(dir: &Path, files: Vec<(String, Vec<u8>)>) -> Result<(Manifest, Digest), FilesError> {
    DirBuilder {
        kind: ManifestKind::Snapshot,
        files,
    }
    .write(dir)
}

/// Writes a file: first to a temporary file next to it, which is renamed when complete. A pipe or device is written directly.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return fs::write(path, bytes);
    }
    let part = neighbour(path, "part");
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| drop(remove(&part)))
}

/// Undoes an interrupted write of this directory or file: removes the temporary file or directory, and restores a directory that
/// was being replaced.
pub fn undo_write(path: &Path) -> io::Result<()> {
    remove(&neighbour(path, "part"))?;
    let old = neighbour(path, "old");
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && old.is_dir() => fs::rename(&old, path),
        _ => remove(&old),
    }
}

/// JSON in the form of the files of a bundle: indented, in field order, with a newline at the end.
pub fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The temporary name next to `dir`: `bundle/` becomes `.bundle.part`.
fn neighbour(dir: &Path, suffix: &str) -> PathBuf {
    let name = dir
        .file_name()
        .map_or_else(|| "out".into(), |name| name.to_string_lossy().into_owned());
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parent.join(format!(".{name}.{suffix}"))
}

/// Removes a file or directory, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_was_killed_is_undone_and_what_it_replaced_is_put_back() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("bundle");
        let (_, digest) = builder().write(&dir).unwrap();
        // The process was killed between the two renames of a replacement.
        fs::rename(&dir, neighbour(&dir, "old")).unwrap();
        fs::create_dir(neighbour(&dir, "part")).unwrap();
        fs::write(neighbour(&dir, "part").join("half"), "x").unwrap();
        undo_write(&dir).unwrap();
        assert_eq!(sha256_file(&dir.join(MANIFEST)).unwrap().0, digest);
        // The process was killed while it removed the old directory.
        fs::create_dir(neighbour(&dir, "old")).unwrap();
        undo_write(&dir).unwrap();
        assert_eq!(sha256_file(&dir.join(MANIFEST)).unwrap().0, digest);
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_pipe_is_written_to() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("card.html");
        fs::write(neighbour(&path, "part"), "half of an earlier one").unwrap();
        write_file(&path, b"first").unwrap();
        write_file(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
        write_file(Path::new("/dev/null"), b"gone").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }

    fn builder() -> DirBuilder {
        DirBuilder::new(ManifestKind::Snapshot)
            .with("b.json", "{}")
            .with("a.csv", "1,2\n")
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_files_nor_on_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        let (_, one) = builder().write(&temp.path().join("one")).unwrap();
        let (_, other) = DirBuilder::new(ManifestKind::Snapshot)
            .with("a.csv", "1,2\n")
            .with("b.json", "{}")
            .write(&temp.path().join("other"))
            .unwrap();
        assert_eq!(one, other);
        assert_eq!(
            sha256_file(&temp.path().join("one").join(MANIFEST)).unwrap().0,
            one
        );
    }

    #[test]
    fn every_flipped_bit_of_every_file_is_found_and_its_file_named() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        let (manifest, digest) = builder().write(&dir).unwrap();
        let names = manifest
            .files
            .iter()
            .map(|file| file.path.as_str())
            .chain([MANIFEST]);
        for name in names {
            let path = dir.join(name);
            let original = fs::read(&path).unwrap();
            for position in 0..original.len() {
                let mut bytes = original.clone();
                bytes[position] ^= 1;
                fs::write(&path, &bytes).unwrap();
                let error = VerifiedDir::open(&dir, Some(&digest), ManifestKind::Snapshot)
                    .and_then(|dir| dir.verify_all())
                    .unwrap_err();
                assert_eq!(error.file(), Some(name));
                assert!(error.to_string().contains(name), "{error}");
            }
            fs::write(&path, original).unwrap();
        }
        VerifiedDir::open(&dir, Some(&digest), ManifestKind::Snapshot)
            .unwrap()
            .verify_all()
            .unwrap();
    }

    #[test]
    fn a_cut_file_and_an_absent_file_are_named() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        builder().write(&dir).unwrap();
        fs::write(dir.join("a.csv"), "1,2").unwrap();
        fs::remove_file(dir.join("b.json")).unwrap();
        let opened = VerifiedDir::open(&dir, None, ManifestKind::Snapshot).unwrap();
        assert!(matches!(
            opened.read("a.csv"),
            Err(FilesError::Size {
                found: 3,
                expected: 4,
                ..
            })
        ));
        assert!(matches!(opened.read("b.json"), Err(FilesError::Read { file, .. }) if file == "b.json"));
        assert!(matches!(opened.read("c.json"), Err(FilesError::Absent("c.json"))));
    }

    #[test]
    fn a_snapshot_is_not_taken_for_a_bundle() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        builder().write(&dir).unwrap();
        let error = VerifiedDir::open(&dir, None, ManifestKind::Bundle).unwrap_err();
        assert!(matches!(error, FilesError::Kind { .. }), "{error}");
    }

    #[test]
    fn a_former_bundle_is_replaced_and_a_strange_directory_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("snapshot");
        builder().write(&dir).unwrap();
        builder().with("c.json", "[]").write(&dir).unwrap();
        assert!(dir.join("c.json").exists());
        let strange = temp.path().join("home");
        fs::create_dir(&strange).unwrap();
        fs::write(strange.join("letter.txt"), "dear").unwrap();
        assert!(matches!(builder().write(&strange), Err(FilesError::Occupied(_))));
        assert!(strange.join("letter.txt").exists());
        let left: Vec<_> = fs::read_dir(temp.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left.len(), 2, "temporary directories stay behind: {left:?}");
    }
}
