//! A folder of files under a manifest, one of which is replaced.

use std::{fs, sync::Mutex, sync::PoisonError};

use modelward_model::{DirBuilder, files::MANIFEST};
use modelward_wire::ManifestKind;
use tempfile::TempDir;

/// Files, and the folder that they are written to. The manifest fits the files, whichever of them is replaced.
#[derive(Debug)]
pub(super) struct Kept {
    kind: ManifestKind,
    files: Vec<(String, Vec<u8>)>,
    dir: Mutex<TempDir>,
}

// === impl Kept ===

impl Kept {
    /// These files, written.
    pub(super) fn new(kind: ManifestKind, files: Vec<(String, Vec<u8>)>) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        for (name, bytes) in &files {
            fs::write(dir.path().join(name), bytes)?;
        }
        Ok(Self {
            kind,
            files,
            dir: dir.into(),
        })
    }

    /// The content of every file behind its number, and of the manifest behind the next.
    pub(super) fn samples(&self) -> Vec<Vec<u8>> {
        let manifest = self.builder(&[]).manifest().map(|(_, bytes, _)| bytes);
        let files = self.files.iter().map(|(_, bytes)| bytes.clone());
        let numbered = files.chain(manifest).zip(0_u8..);
        numbered.map(|(bytes, at)| [vec![at], bytes].concat()).collect()
    }

    /// Opens the folder with one file replaced: the first byte is its number, the others its content.
    pub(super) fn with_replaced(&self, bytes: &[u8], open: impl FnOnce(&std::path::Path)) {
        let Some((at, content)) = bytes.split_first() else {
            return;
        };
        let dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::from(*at) % (self.files.len() + 1);
        let replaced = self.files.get(at);
        let written = match replaced {
            Some((name, _)) => {
                let manifest = self.builder(&[(name, content)]).manifest();
                let manifest = manifest.map(|(_, bytes, _)| bytes).unwrap_or_default();
                fs::write(dir.path().join(name), content)
                    .and_then(|()| fs::write(dir.path().join(MANIFEST), manifest))
            }
            None => fs::write(dir.path().join(MANIFEST), content),
        };
        if written.is_err() {
            return;
        }
        open(dir.path());
        if let Some((name, bytes)) = replaced {
            // The next input replaces another one.
            let _ = fs::write(dir.path().join(name), bytes);
        }
    }

    fn builder(&self, replaced: &[(&String, &[u8])]) -> DirBuilder {
        self.files
            .iter()
            .fold(DirBuilder::new(self.kind), |builder, (name, bytes)| {
                let other = replaced.iter().find(|(other, _)| *other == name);
                builder.with(name, other.map_or(bytes.as_slice(), |(_, content)| content))
            })
    }
}
