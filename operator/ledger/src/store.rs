//! The artifact store: one object for each blob and each manifest, named by its sha256.
//!
//! ```text
//! <root>/<namespace>/blobs/sha256/<hex>
//! <root>/<namespace>/manifests/sha256/<hex>
//! ```
//!
//! An object always has the hash in its name. An upload is written to a staged object (a file with a `#` in its name, or an
//! S3 multipart upload), is hashed while it is written, and gets its name only if the hash is correct.

use std::{
    fs,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use modelward_wire::Digest;
use object_store::{
    BackoffConfig, ClientOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutPayload,
    PutPayloadMut, RetryConfig, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem, path::Path,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::{body::Incoming, error::ApiError};

pub(crate) struct Store {
    objects: Arc<dyn ObjectStore>,
    /// Prefix of each key. Empty for a disk.
    prefix: String,
    local: Option<Local>,
    uploads: Semaphore,
}

/// State that only a disk needs.
struct Local {
    root: PathBuf,
    /// Locked while this process lives. The holder is the only writer. `None` if another process holds the lock.
    _lock: Option<fs::File>,
}

/// The two kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Blob,
    Manifest,
}

/// The result of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// It was not there before.
    Created,
    /// It was there. The same bytes were written again, which repairs a damaged file.
    Again,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not valid.
    #[error("artifact store is {0:?}, it must be file:///absolute/path or s3://bucket/prefix")]
    Address(String),
    /// The directory cannot be created, entered or locked.
    #[error("failed to open the artifact directory {path:?}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        source: std::io::Error,
    },
    /// The S3 client cannot be created from the address and the `AWS_*` environment.
    #[error("failed to configure the artifact store")]
    Configuration(#[source] object_store::Error),
}

/// Minimum size of a part of an S3 upload, except for the last. Smaller objects are sent in one request.
const PART: usize = 5 * 1024 * 1024;
/// Maximum number of uploads. Each holds up to three parts in memory.
const UPLOADS_AT_ONCE: usize = 8;
const UPLOAD_PATIENCE: Duration = Duration::from_secs(20);
/// An active upload writes to its staged file at least this often.
const STALE: Duration = Duration::from_hours(1);
const LOCK: &str = ".ledger.lock";

// === impl Store ===

impl Store {
    /// Opens `file:///absolute/path` or `s3://bucket/prefix`. A disk is prepared and swept. S3 is not called yet.
    pub(crate) fn open(address: &str) -> Result<Self, StoreError> {
        Self::open_with(address, std::env::vars())
    }

    fn open_with(
        address: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, StoreError> {
        let (objects, prefix, local): (Arc<dyn ObjectStore>, _, _) = if let Some(path) = address
            .strip_prefix("file://")
            .filter(|path| path.starts_with('/'))
        {
            let (objects, local) = Local::open(FilePath::new(path))?;
            (Arc::new(objects), String::new(), Some(local))
        } else if let Some(rest) = address.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(StoreError::Address(address.to_owned()));
            }
            (
                Arc::new(s3(bucket, environment)?),
                prefix.trim_matches('/').to_owned(),
                None,
            )
        } else {
            return Err(StoreError::Address(address.to_owned()));
        };
        Ok(Self {
            objects,
            prefix,
            local,
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
        })
    }

    /// Size and time of an object, or `None` if it does not exist.
    pub(crate) async fn head(
        &self,
        namespace: &str,
        kind: Kind,
        digest: &Digest,
    ) -> object_store::Result<Option<ObjectMeta>> {
        found(self.objects.head(&self.key(namespace, kind, digest)).await)
    }

    /// An object to be streamed, or `None` if it does not exist.
    pub(crate) async fn get(
        &self,
        namespace: &str,
        kind: Kind,
        digest: &Digest,
    ) -> object_store::Result<Option<GetResult>> {
        found(self.objects.get(&self.key(namespace, kind, digest)).await)
    }

    /// Stores a body as a blob, if it has this digest.
    pub(crate) async fn put_blob(
        &self,
        namespace: &str,
        digest: &Digest,
        body: &mut Incoming,
    ) -> Result<Stored, ApiError> {
        let Ok(Ok(_permit)) = tokio::time::timeout(UPLOAD_PATIENCE, self.uploads.acquire()).await else {
            return Err(ApiError::Unavailable("too many uploads are in progress".into()));
        };
        let key = self.key(namespace, Kind::Blob, digest);
        let stored = self.stored(&key).await?;
        let mut hasher = Sha256::new();
        let mut small = PutPayloadMut::new();
        let mut large: Option<Upload> = None;
        while let Some(piece) = body.next().await? {
            hasher.update(&piece);
            if let Some(upload) = &mut large {
                upload.write(&piece).await?;
                continue;
            }
            small.extend_from_slice(&piece);
            if small.content_length() >= PART {
                let mut upload = Upload::start(&self.objects, &key).await?;
                for piece in &PutPayload::from(std::mem::take(&mut small)) {
                    upload.write(piece).await?;
                }
                large = Some(upload);
            }
        }
        let sent = Digest::from_bytes(hasher.finalize().into());
        if sent != *digest {
            if let Some(upload) = large {
                upload.abort().await;
            }
            return Err(ApiError::Unprocessable(format!(
                "the uploaded bytes have digest {sent}, expected {digest}; nothing was stored"
            )));
        }
        match large {
            Some(upload) => upload.finish().await?,
            None => {
                self.objects.put(&key, small.into()).await?;
            }
        }
        Ok(stored)
    }

    /// Stores bytes with a verified digest.
    pub(crate) async fn put(
        &self,
        namespace: &str,
        kind: Kind,
        digest: &Digest,
        bytes: bytes::Bytes,
    ) -> object_store::Result<Stored> {
        let key = self.key(namespace, kind, digest);
        let stored = self.stored(&key).await?;
        self.objects.put(&key, bytes.into()).await?;
        Ok(stored)
    }

    /// Namespaces that have artifacts.
    pub(crate) async fn namespaces(&self) -> object_store::Result<Vec<String>> {
        let root = (!self.prefix.is_empty()).then(|| Path::from(self.prefix.as_str()));
        let listed = self.objects.list_with_delimiter(root.as_ref()).await?;
        let names = listed
            .common_prefixes
            .iter()
            .filter_map(|prefix| prefix.filename());
        // The root of a volume may have other directories, such as lost+found.
        Ok(names
            .filter(|name| is_namespace(name))
            .map(str::to_owned)
            .collect())
    }

    /// The manifests of a namespace.
    pub(crate) fn manifests(
        &self,
        namespace: &str,
    ) -> BoxStream<'static, object_store::Result<(Digest, ObjectMeta)>> {
        self.objects
            .list(Some(&self.directory(namespace, Kind::Manifest)))
            .try_filter_map(|object| async move {
                let digest = object
                    .location
                    .filename()
                    .and_then(|hex| format!("sha256:{hex}").parse().ok());
                Ok(digest.map(|digest| (digest, object)))
            })
            .boxed()
    }

    /// Whether the store can be read and written now. The error is public.
    pub(crate) async fn check(&self) -> Result<(), String> {
        match &self.local {
            Some(local) => {
                let probe = local.root.join(".probe");
                // A full or read-only disk can still be listed and read.
                let written = async {
                    tokio::fs::write(&probe, b"modelward\n").await?;
                    tokio::fs::remove_file(&probe).await
                };
                written
                    .await
                    .map_err(|error| format!("the disk cannot be written: {error}"))
            }
            None => match self.objects.head(&self.join("probe")).await {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(
                    object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. },
                ) => Err("the bucket refuses the ledger's credentials".into()),
                Err(error) => {
                    tracing::debug!(
                        error = modelward_service::chain(&error),
                        "failed to query the artifact store"
                    );
                    Err("the bucket does not answer".into())
                }
            },
        }
    }

    /// Deletes the staged files of interrupted uploads. S3 needs a lifecycle rule for this.
    pub(crate) async fn sweep(&self) {
        if let Some(local) = &self.local {
            let root = local.root.clone();
            let swept = tokio::task::spawn_blocking(move || sweep(&root, STALE)).await;
            if let Ok(swept @ 1..) = swept {
                tracing::info!("deleted {swept} files of interrupted uploads");
            }
        }
    }

    async fn stored(&self, key: &Path) -> object_store::Result<Stored> {
        let before = found(self.objects.head(key).await)?;
        Ok(if before.is_some() {
            Stored::Again
        } else {
            Stored::Created
        })
    }

    fn key(&self, namespace: &str, kind: Kind, digest: &Digest) -> Path {
        self.directory(namespace, kind).join(digest.hex())
    }

    fn directory(&self, namespace: &str, kind: Kind) -> Path {
        self.join(&format!("{namespace}/{}/sha256", kind.plural()))
    }

    fn join(&self, path: &str) -> Path {
        Path::from(format!("{}/{path}", self.prefix))
    }
}

fn found<T>(result: object_store::Result<T>) -> object_store::Result<Option<T>> {
    match result {
        Ok(object) => Ok(Some(object)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn s3(
    bucket: &str,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<impl ObjectStore, StoreError> {
    // The default retries for three minutes. Callers should get an answer sooner and retry themselves.
    let retry = RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 3,
        retry_timeout: Duration::from_secs(15),
    };
    // A time limit on the whole request would interrupt large objects, so only pauses are limited.
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(30));
    let mut builder = AmazonS3Builder::new()
        .with_client_options(client)
        .with_retry(retry);
    // `from_env` would use its own client options. Here the environment overrides these options.
    for (name, value) in environment.filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    builder
        .with_bucket_name(bucket)
        .build()
        .map_err(StoreError::Configuration)
}

// === impl Local ===

impl Local {
    fn open(root: &FilePath) -> Result<(LocalFileSystem, Self), StoreError> {
        let failed = |source| StoreError::Directory {
            path: root.to_owned(),
            source,
        };
        fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let lock = fs::File::create(root.join(LOCK)).map_err(failed)?;
        let lock = match lock.try_lock() {
            Ok(()) => {
                // No other process writes here, so every staged file is a leftover, regardless of its age.
                let swept = sweep(&root, Duration::ZERO);
                if swept > 0 {
                    tracing::info!("deleted {swept} files of uploads that an earlier process left");
                }
                Some(lock)
            }
            Err(fs::TryLockError::WouldBlock) => {
                tracing::warn!(
                    "another process writes to {}: its staged uploads are not deleted",
                    root.display()
                );
                None
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        };
        // After an answer of 201 the object must survive a power failure.
        let objects = LocalFileSystem::new_with_prefix(&root)
            .map_err(StoreError::Configuration)?
            .with_fsync(true);
        Ok((objects, Self { root, _lock: lock }))
    }
}

/// Deletes staged files that have not been written to for `age`. Returns how many.
fn sweep(root: &FilePath, age: Duration) -> usize {
    let now = SystemTime::now();
    let entries = |path: &FilePath| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let mut swept = 0;
    for namespace in entries(root) {
        for kind in [Kind::Blob, Kind::Manifest] {
            for path in entries(&namespace.join(kind.plural()).join("sha256")) {
                let staged = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .is_some_and(|name| name.contains('#'));
                let old = || {
                    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
                    Some(now.duration_since(modified).unwrap_or_default() >= age)
                };
                if staged && old() == Some(true) && fs::remove_file(&path).is_ok() {
                    swept += 1;
                }
            }
        }
    }
    swept
}

// === Upload ===

/// A staged object that is aborted unless it is finished.
struct Upload(Option<WriteMultipart>);

impl Upload {
    async fn start(objects: &Arc<dyn ObjectStore>, key: &Path) -> object_store::Result<Self> {
        let upload = objects.put_multipart(key).await?;
        Ok(Self(Some(WriteMultipart::new_with_chunk_size(upload, PART))))
    }

    async fn write(&mut self, piece: &[u8]) -> object_store::Result<()> {
        if let Some(upload) = &mut self.0 {
            upload.wait_for_capacity(2).await?;
            upload.write(piece);
        }
        Ok(())
    }

    async fn finish(mut self) -> object_store::Result<()> {
        match self.0.take() {
            Some(upload) => upload.finish().await.map(drop),
            None => Ok(()),
        }
    }

    async fn abort(mut self) {
        if let Some(upload) = self.0.take() {
            abort(upload).await;
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The sender disconnected, and the future that held this was dropped.
        if let Some(upload) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(abort(upload));
        }
    }
}

async fn abort(upload: WriteMultipart) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(
            error = modelward_service::chain(&error),
            "failed to abort an upload; its parts stay until they are swept"
        );
    }
}

// === impl Kind ===

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Manifest => "manifest",
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Blob => "blobs",
            Self::Manifest => "manifests",
        }
    }
}

/// Whether a string is the name of a namespace (RFC 1123 label), and so safe as a part of a path.
pub(crate) fn is_namespace(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod s3_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_has_one_of_two_forms() {
        for address in [
            "",
            "/var/lib",
            "file://relative",
            "s3://",
            "s3:///x",
            "gs://bucket",
        ] {
            assert!(
                matches!(Store::open(address), Err(StoreError::Address(_))),
                "{address}"
            );
        }
    }

    #[test]
    fn a_key_lies_under_its_namespace_and_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(&format!("file://{}", directory.path().display())).unwrap();
        let digest = Digest::from_bytes([0xab; 32]);
        let hex = "ab".repeat(32);
        assert_eq!(
            store.key("hospital", Kind::Blob, &digest).as_ref(),
            format!("hospital/blobs/sha256/{hex}")
        );
        store.prefix = "a/b".into();
        assert_eq!(
            store.key("hospital", Kind::Manifest, &digest).as_ref(),
            format!("a/b/hospital/manifests/sha256/{hex}")
        );
    }

    #[test]
    fn leftovers_are_swept_at_the_start_and_a_living_neighbour_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("file://{}", directory.path().display());
        let blobs = directory.path().join("hospital/blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        let (whole, leftover) = (
            blobs.join("ab".repeat(32)),
            blobs.join(format!("{}#1", "cd".repeat(32))),
        );
        fs::write(&whole, "x").unwrap();
        fs::write(&leftover, "x").unwrap();
        let first = Store::open(&address).unwrap();
        assert!(whole.exists() && !leftover.exists());
        fs::write(&leftover, "x").unwrap();
        drop(Store::open(&address).unwrap());
        assert!(leftover.exists(), "the first store lives: this may be its upload");
        assert_eq!(sweep(directory.path(), STALE), 0);
        drop(first);
        drop(Store::open(&address).unwrap());
        assert!(!leftover.exists());
    }

    #[test]
    fn what_could_leave_its_directory_is_no_namespace() {
        assert!(is_namespace("hospital-2"));
        for text in [
            "",
            ".",
            "..",
            "a/b",
            "A",
            "-a",
            "a-",
            "a.b",
            "a\0",
            "é",
            &"a".repeat(64),
        ] {
            assert!(!is_namespace(text), "{text}");
        }
    }
}
