//! Artifacts: their manifests, files and statements.

use std::path::Path;

use bytes::Bytes;
use modelward_wire::{ArtifactStatement, Digest, FileEntry, Manifest, ManifestKind, paths};
use sha2::{Digest as _, Sha256};
use tokio::{fs::File, io::AsyncWriteExt as _};

use crate::{
    client::{Client, Request, corrupt, next_piece},
    error::{Corruption, Error},
};

/// Name of the manifest, in a directory and in errors.
pub const MANIFEST: &str = "manifest.json";

/// Maximum size of a manifest. It is many times the size of 256 entries with the longest names.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

impl Client {
    /// The manifest with this digest, and its bytes. It is verified and checked with [`Manifest::check`].
    pub async fn manifest(&self, namespace: &str, digest: &Digest) -> Result<(Manifest, Bytes), Error> {
        let request = Request::get(MANIFEST, paths::manifest(namespace, digest));
        let bytes = self.ask(&request, MAX_MANIFEST_BYTES).await?;
        let refuse = |problem| corrupt(&request.call, problem);
        verify(&bytes, digest).map_err(refuse)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|error| refuse(Corruption::Parse(error)))?;
        // This comes before any use of its paths, because a manifest could name files outside of the directory.
        manifest
            .check()
            .map_err(|error| refuse(Corruption::Invalid(error)))?;
        Ok((manifest, bytes))
    }

    /// A verified file of at most `limit` bytes.
    pub async fn blob(&self, namespace: &str, digest: &Digest, limit: u64) -> Result<Bytes, Error> {
        let request = Request::get("blob", paths::blob(namespace, digest));
        let bytes = self.ask(&request, limit).await?;
        verify(&bytes, digest).map_err(|problem| corrupt(&request.call, problem))?;
        Ok(bytes)
    }

    /// Writes the artifact with this digest into the existing directory `dir`. Each file is verified while it is received. The
    /// manifest comes last. After an error the directory has incomplete files.
    pub async fn fetch_into(
        &self,
        namespace: &str,
        digest: &Digest,
        kind: Option<ManifestKind>,
        dir: &Path,
    ) -> Result<(), Error> {
        let (manifest, bytes) = self.manifest(namespace, digest).await?;
        if let Some(expected) = kind.filter(|kind| *kind != manifest.kind) {
            let found = manifest.kind;
            return Err(Error::Corrupt {
                what: MANIFEST.to_owned(),
                problem: Corruption::Kind { found, expected },
            });
        }
        for file in &manifest.files {
            self.fetch_file(namespace, file, &dir.join(&file.path)).await?;
        }
        let path = dir.join(MANIFEST);
        let written = tokio::fs::write(&path, &bytes).await;
        written.map_err(|source| Error::Write { path, source })
    }

    async fn fetch_file(&self, namespace: &str, file: &FileEntry, path: &Path) -> Result<(), Error> {
        let request = Request::get(&file.path, paths::blob(namespace, &file.sha256));
        let mut attempts = self.attempts();
        loop {
            match self.copy_file(&request, file, path).await {
                Ok(()) => return Ok(()),
                Err(error) => attempts.wait_after(&request.call, error).await?,
            }
        }
    }

    /// One attempt. It overwrites what an earlier one left.
    async fn copy_file(&self, request: &Request, file: &FileEntry, path: &Path) -> Result<(), Error> {
        let refuse = |problem| corrupt(&request.call, problem);
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mut response = self.send(request).await?;
        let mut out = File::create(path).await.map_err(failed)?;
        let (mut hash, mut found) = (Sha256::new(), 0);
        let expected = file.size;
        while let Some(piece) = next_piece(&mut response, &request.call).await? {
            found += piece.len() as u64;
            if found > expected {
                return Err(refuse(Corruption::Longer { found, expected }));
            }
            hash.update(&piece);
            out.write_all(&piece).await.map_err(failed)?;
        }
        // Without this, a failed background write would be noticed only when the file is opened.
        out.flush().await.map_err(failed)?;
        if found != expected {
            return Err(refuse(Corruption::Shorter { found, expected }));
        }
        is_of(Digest::from_bytes(hash.finalize().into()), &file.sha256).map_err(refuse)
    }

    /// Stores a file of an artifact.
    pub async fn put_blob(&self, namespace: &str, digest: &Digest, body: Bytes) -> Result<(), Error> {
        let path = paths::blob(namespace, digest);
        self.tell(&Request::put("blob", path, "application/octet-stream", body))
            .await
    }

    /// Stores a file of an artifact, which is read while it is sent. The ledger refuses bytes with another digest.
    pub async fn put_file(&self, namespace: &str, digest: &Digest, file: &Path) -> Result<(), Error> {
        let path = paths::blob(namespace, digest);
        self.tell(&Request::put_file("blob", path, "application/octet-stream", file))
            .await
    }

    /// Stores the manifest of an artifact after its files.
    pub async fn put_manifest(&self, namespace: &str, digest: &Digest, body: Bytes) -> Result<(), Error> {
        let path = paths::manifest(namespace, digest);
        self.tell(&Request::put(MANIFEST, path, "application/json", body))
            .await
    }

    /// What the artifact with this digest states about itself.
    pub async fn statement(&self, namespace: &str, digest: &Digest) -> Result<ArtifactStatement, Error> {
        self.ask_json(&Request::get("statement", paths::statement(namespace, digest)))
            .await
    }
}

fn verify(bytes: &[u8], expected: &Digest) -> Result<(), Corruption> {
    is_of(Digest::from_bytes(Sha256::digest(bytes).into()), expected)
}

fn is_of(found: Digest, expected: &Digest) -> Result<(), Corruption> {
    if found == *expected {
        return Ok(());
    }
    Err(Corruption::Digest {
        found,
        expected: *expected,
    })
}
