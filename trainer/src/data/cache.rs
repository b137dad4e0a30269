//! Files that were downloaded before, by their digest.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use modelward_model::sha256;
use modelward_wire::Digest;

/// The file of this digest, if it is there and has it.
pub(super) fn read(folder: &Path, digest: &Digest) -> Option<Vec<u8>> {
    let path = path(folder, digest);
    let bytes = fs::read(&path).ok()?;
    if sha256(&bytes) == *digest {
        return Some(bytes);
    }
    tracing::warn!(path = %path.display(), "the file in the cache is damaged, and is downloaded again");
    None
}

/// Keeps a file that has this digest. A cache that cannot be written is no reason to fail.
pub(super) fn keep(folder: &Path, digest: &Digest, bytes: &[u8]) {
    if sha256(bytes) != *digest {
        return;
    }
    if let Err(error) = write(&path(folder, digest), bytes) {
        tracing::warn!(%error, folder = %folder.display(), "the file was not kept in the cache");
    }
}

/// Writes a file at once: no reader sees a part of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = folder.join(name);
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(digest.to_string().replace(':', "-"))
}
