//! The directory that a command works in.

use std::path::PathBuf;

use anyhow::Context as _;

/// A directory under `TMPDIR` that is removed when the command ends.
pub(super) struct Temporary(PathBuf);

// === impl Temporary ===

impl Temporary {
    pub(super) fn new() -> anyhow::Result<Self> {
        let path = Self::path();
        // A killed process with the same id may have left one.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A process runs one command, so its number is enough to tell directories apart.
    fn path() -> PathBuf {
        std::env::temp_dir().join(format!("modelward-trainer-{}", std::process::id()))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what a command that is being stopped would leave behind.
pub(super) fn clean_up() {
    drop(Temporary(Temporary::path()));
}
