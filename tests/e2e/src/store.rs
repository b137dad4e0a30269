//! The store of the ledger, as files on the node.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use modelward_crds::ModelVersion;
use modelward_wire::{Digest, FileEntry, Manifest};

use crate::story::Story;

impl Story {
    /// The digest of a version's bundle.
    pub async fn bundle_of(&self, version: &str) -> Result<Digest> {
        let status = self.all::<ModelVersion>().get(version).await?.status;
        let bundle = status.and_then(|status| status.bundle);
        Ok(bundle.with_context(|| format!("{version} has no bundle"))?.digest)
    }

    /// The manifest of a bundle, from the store of the ledger.
    pub async fn manifest(&self, bundle: &Digest) -> Result<Manifest> {
        Ok(serde_json::from_slice(&self.manifest_bytes(bundle).await?)?)
    }

    /// The file on the node in which the ledger stores this content.
    pub async fn blob(&self, sha256: &Digest) -> Result<PathBuf> {
        let artifacts = self.cluster.artifacts(&self.namespace).await?;
        Ok(artifacts.join("blobs/sha256").join(sha256.hex()))
    }

    /// Reads a file on the node.
    pub async fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.cluster
            .on_node(["cat".as_ref(), path.as_os_str()], &[])
            .await
    }

    /// The bytes of the manifest of a bundle.
    pub async fn manifest_bytes(&self, bundle: &Digest) -> Result<Vec<u8>> {
        let artifacts = self.cluster.artifacts(&self.namespace).await?;
        self.read(&artifacts.join("manifests/sha256").join(bundle.hex()))
            .await
    }

    /// Flips one bit in the middle of a file of a version's bundle that the other version's bundle does not share.
    pub async fn flip_a_bit(&self, version: &str, other: &str) -> Result<FileEntry> {
        let bundle = self.manifest(&self.bundle_of(version).await?).await?;
        let shared = self.manifest(&self.bundle_of(other).await?).await?.files;
        let own = bundle
            .files
            .into_iter()
            .find(|file| shared.iter().all(|shared| shared.sha256 != file.sha256));
        let file = own.context("both bundles have the same files")?;
        let path = self.blob(&file.sha256).await?;
        let mut bytes = self.read(&path).await?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        // Written to the existing file, because a new file would have another owner.
        let output = format!("of={}", path.display());
        let write = ["dd", &output, "conv=notrunc", "status=none"];
        self.cluster.on_node(write, &bytes).await?;
        ensure!(self.read(&path).await? == bytes, "the bit was not flipped");
        Ok(file)
    }
}
