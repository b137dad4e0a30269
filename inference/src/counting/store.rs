//! The directory with the files of counters, which outlive a process.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use modelward_profile::Incarnation;

use super::window::{ENDING, PARTIAL_ENDING, Window};
use modelward_service::chain;

/// A directory that this process has locked for its lifetime.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    /// The lock is released when the process ends, even after a crash.
    _lock: File,
}

/// The counts that dead processes left behind.
#[derive(Debug, Default)]
pub struct Left {
    /// Their windows.
    pub windows: Vec<Window>,
    /// Number of files that could not be used and were removed.
    pub unreadable: u64,
}

// === impl Store ===

impl Store {
    /// Locks a directory, and creates it if it does not exist.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let lock = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another process uses it"),
            TryLockError::Error(error) => error,
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            _lock: lock,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The windows of all other processes. Windows in which nothing was counted and that were never sent are removed.
    pub fn left_behind(&self, mine: Incarnation) -> Left {
        let mut left = Left::default();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::warn!(%error, "failed to look for counts in {}", self.dir.display());
                return left;
            }
        };
        let mine = String::from(mine);
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&mine) {
                continue;
            }
            if name.ends_with(PARTIAL_ENDING) {
                remove(&path);
            } else if name.ends_with(ENDING) {
                match Window::read(&path) {
                    Ok(window) if window.is_empty() && !window.was_sent() => window.forget(),
                    Ok(window) => left.windows.push(window),
                    Err(error) => {
                        left.unreadable += 1;
                        tracing::error!(
                            "dropped the counts of an earlier process in {}: {}",
                            path.display(),
                            chain(&error)
                        );
                        remove(&path);
                    }
                }
            }
        }
        left
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "failed to remove {}", path.display());
    }
}
