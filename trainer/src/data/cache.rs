//! Files that were downloaded before, by their digest.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use modelward_model::sha256;
use modelward_wire::Digest;

/// No process takes this long to write one file.
const PART_LIFETIME: Duration = Duration::from_hours(1);

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

/// Keeps a file that has this digest. If the cache cannot be written, that is only logged.
pub(super) fn keep(folder: &Path, digest: &Digest, bytes: &[u8]) {
    if sha256(bytes) != *digest {
        return;
    }
    if let Err(error) = write(&path(folder, digest), bytes) {
        tracing::warn!(%error, folder = %folder.display(), "the file was not kept in the cache");
    }
}

/// Writes a file atomically: no reader sees a part of it.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = folder.join(name);
    remove_old_parts(path, folder);
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes what killed processes left of this file. Other processes may share the cache and be writing now, so only old parts are
/// removed.
fn remove_old_parts(path: &Path, folder: &Path) {
    let begin = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_part = name
            .to_string_lossy()
            .strip_prefix(&begin)
            .is_some_and(|rest| rest.strip_suffix(".part").is_some());
        let age = entry
            .metadata()
            .and_then(|found| found.modified())
            .map(|at| at.elapsed());
        if is_part && age.is_ok_and(|age| age.is_ok_and(|age| age > PART_LIFETIME)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(digest.to_string().replace(':', "-"))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_process_left_of_a_file_goes_once_it_is_old() {
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("d.csv");
        for (name, old) in [
            ("d.csv.11.part", true),
            ("d.csv.12.part", false),
            ("e.csv.11.part", true),
        ] {
            let file = fs::File::create(temp.path().join(name)).unwrap();
            if old {
                file.set_modified(SystemTime::now() - 2 * PART_LIFETIME).unwrap();
            }
        }
        write(&target, b"x").unwrap();
        let mut left: Vec<_> = fs::read_dir(temp.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["d.csv", "d.csv.12.part", "e.csv.11.part"]);
    }
}
