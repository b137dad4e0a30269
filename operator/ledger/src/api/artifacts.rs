//! Blobs and manifests.

use axum::{
    Extension, Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use modelward_wire::{
    ArtifactStatement, BUNDLE_STATEMENT, Digest, Manifest, ManifestKind, SNAPSHOT_STATEMENT, Stated,
};
use sha2::{Digest as _, Sha256};

use super::{
    extract::{Artifact, parse, whole},
    state::{App, Shared},
};
use crate::{
    amount::{Amount, Kept},
    auth::Caller,
    body::Incoming,
    database::DatabaseError,
    error::ApiError,
    metrics::KindLabels,
    store::{Kind, Stored},
};

/// A manifest names at most 256 files. This many of their blobs are looked up at the same time.
const HEADS_AT_ONCE: usize = 16;
/// The statement of a snapshot has its schema: a few kilobytes for each feature.
const MAX_STATEMENT_BYTES: u64 = 32 * 1024 * 1024;
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

pub(super) async fn put_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Artifact { namespace, digest }: Artifact,
    request: Request,
) -> Result<Response, ApiError> {
    caller.may_store(&namespace)?;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let mut body = Incoming::new(request, "blob", app.max_blob_bytes, app.idle_timeout)?;
    // A blob without a declared length is counted when its manifest is in the index.
    let more = Amount {
        rows: 0,
        bytes: length.unwrap_or(0),
    };
    app.quota
        .take(&app.database, &namespace, Kept::Artifacts, more)
        .await?;
    let stored = app.store.put_blob(&namespace, &digest, &mut body).await;
    app.metrics
        .received
        .get_or_create(&KindLabels { kind: "blob" })
        .inc_by(body.seen());
    stored.map(created)
}

pub(super) async fn put_manifest(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Artifact { namespace, digest }: Artifact,
    request: Request,
) -> Result<Response, ApiError> {
    caller.may_store(&namespace)?;
    let body = whole(&app, &namespace, request, "manifest", app.max_manifest_bytes).await?;
    app.metrics
        .received
        .get_or_create(&KindLabels { kind: "manifest" })
        .inc_by(body.len() as u64);
    let sent = Digest::from_bytes(Sha256::digest(&*body).into());
    if sent != digest {
        return Err(ApiError::Unprocessable(format!(
            "the uploaded bytes have digest {sent}, expected {digest}; nothing was stored"
        )));
    }
    let manifest: Manifest = parse(&body, "manifest")?;
    manifest
        .check()
        .map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    check_blobs(&app, &namespace, &manifest).await?;
    let length = body.len();
    let stored = app
        .store
        .put(&namespace, Kind::Manifest, &digest, body.bytes())
        .await?;
    // The artifact is stored, even if adding its row fails, so the answer does not wait for PostgreSQL.
    let index = app.index.clone();
    tokio::spawn(async move {
        let now = jiff::Timestamp::now().as_microsecond();
        match index.add(&namespace, digest, &manifest, length, now).await {
            Ok(_) => {}
            Err(DatabaseError::Away(why)) => {
                tracing::debug!("indexing of artifact {digest} is deferred: {why}");
            }
            Err(error) => {
                tracing::warn!(
                    error = modelward_service::chain(&error),
                    "indexing of artifact {digest} is deferred"
                );
            }
        }
    });
    Ok(created(stored))
}

/// Refuses a manifest that names missing blobs or wrong sizes.
async fn check_blobs(app: &App, namespace: &str, manifest: &Manifest) -> Result<(), ApiError> {
    let heads = manifest.files.iter().cloned().map(|file| {
        let (store, namespace) = (app.store.clone(), namespace.to_owned());
        async move {
            let head = store.head(&namespace, Kind::Blob, &file.sha256).await?;
            Ok::<_, object_store::Error>((file, head.map(|head| head.size)))
        }
    });
    let heads: Vec<_> = futures::stream::iter(heads)
        .buffered(HEADS_AT_ONCE)
        .try_collect()
        .await?;
    let missing: Vec<_> = heads
        .iter()
        .filter(|(_, size)| size.is_none())
        .map(|(file, _)| file)
        .collect();
    if !missing.is_empty() {
        let names: Vec<_> = missing
            .iter()
            .map(|file| format!("{} ({})", file.path, file.sha256))
            .collect();
        return Err(ApiError::BlobsMissing {
            message: format!("store these blobs before their manifest: {}", names.join(", ")),
            missing: missing.iter().map(|file| file.sha256).collect(),
        });
    }
    match heads.iter().find(|(file, size)| *size != Some(file.size)) {
        Some((file, size)) => Err(ApiError::Unprocessable(format!(
            "{} has {} bytes in the manifest, but its blob has {}",
            file.path,
            file.size,
            size.unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

pub(super) async fn get_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    give(&app, &caller, Kind::Blob, artifact, &headers).await
}

pub(super) async fn get_manifest(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    give(&app, &caller, Kind::Manifest, artifact, &headers).await
}

async fn give(
    app: &App,
    caller: &Caller,
    kind: Kind,
    Artifact { namespace, digest }: Artifact,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.store.get(&namespace, kind, &digest).await?;
    let found = found.ok_or_else(|| absent(kind, &namespace, &digest))?;
    let head = describe(kind, &digest, found.meta.size)?;
    let etag = head.get(header::ETAG);
    let has_it = |known: &HeaderValue| Some(known) == etag || known == "*";
    if headers.get(header::IF_NONE_MATCH).is_some_and(has_it) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    let sent = app
        .metrics
        .sent
        .get_or_create_owned(&KindLabels { kind: kind.name() });
    // If a file shrinks while it is read, the body is shorter than its Content-Length, which the client notices.
    let body = Body::from_stream(found.into_stream().inspect_ok(move |piece| {
        sent.inc_by(piece.len() as u64);
    }));
    Ok((head, body).into_response())
}

/// What an artifact states about itself, from verified bytes: the digests of the manifest and of the file are checked.
pub(super) async fn get_statement(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Artifact { namespace, digest }: Artifact,
) -> Result<Json<ArtifactStatement>, ApiError> {
    caller.may_read(&namespace)?;
    let limit = app.max_manifest_bytes;
    let manifest = verified(&app, &namespace, Kind::Manifest, &digest, limit)
        .await?
        .ok_or_else(|| absent(Kind::Manifest, &namespace, &digest))?;
    let manifest: Manifest = parse(&manifest, "manifest")?;
    manifest
        .check()
        .map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    let (kind, name) = match manifest.kind {
        ManifestKind::Bundle => ("bundle", BUNDLE_STATEMENT),
        ManifestKind::Snapshot => ("snapshot", SNAPSHOT_STATEMENT),
    };
    let Some(file) = manifest.file(name) else {
        return Err(ApiError::Unprocessable(format!(
            "{kind} {digest} has no {name}, so it does not state what it was made from"
        )));
    };
    let bytes = verified(&app, &namespace, Kind::Blob, &file.sha256, MAX_STATEMENT_BYTES).await?;
    let Some(bytes) = bytes else {
        return Err(ApiError::Unprocessable(format!(
            "{name} of {kind} {digest} is not in the store; publish the same artifact again"
        )));
    };
    let stated: Stated = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::Unprocessable(format!("{name} of {kind} {digest} cannot be read: {error}"))
    })?;
    Ok(Json(ArtifactStatement {
        kind: manifest.kind,
        stated,
    }))
}

/// The bytes of an object, if they match its digest.
async fn verified(
    app: &App,
    namespace: &str,
    kind: Kind,
    digest: &Digest,
    limit: u64,
) -> Result<Option<Bytes>, ApiError> {
    let Some(found) = app.store.get(namespace, kind, digest).await? else {
        return Ok(None);
    };
    let name = kind.name();
    if found.meta.size > limit {
        return Err(ApiError::Unprocessable(format!(
            "{name} {digest} has {} bytes, at most {limit} are read for a statement",
            found.meta.size
        )));
    }
    let bytes = found.bytes().await?;
    if Digest::from_bytes(Sha256::digest(&bytes).into()) == *digest {
        Ok(Some(bytes))
    } else {
        Err(ApiError::Unprocessable(format!(
            "{name} {digest} is damaged in the store; publish the same artifact again to repair it"
        )))
    }
}

pub(super) async fn head_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
) -> Result<Response, ApiError> {
    head(&app, &caller, Kind::Blob, artifact).await
}

pub(super) async fn head_manifest(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
) -> Result<Response, ApiError> {
    head(&app, &caller, Kind::Manifest, artifact).await
}

async fn head(
    app: &App,
    caller: &Caller,
    kind: Kind,
    Artifact { namespace, digest }: Artifact,
) -> Result<Response, ApiError> {
    caller.may_read(&namespace)?;
    match app.store.head(&namespace, kind, &digest).await? {
        Some(found) => Ok(describe(kind, &digest, found.size)?.into_response()),
        None => Err(absent(kind, &namespace, &digest)),
    }
}

fn absent(kind: Kind, namespace: &str, digest: &Digest) -> ApiError {
    ApiError::NotFound(format!(
        "there is no {} {digest} in namespace {namespace}",
        kind.name()
    ))
}

fn describe(kind: Kind, digest: &Digest, size: u64) -> Result<HeaderMap, ApiError> {
    let etag = HeaderValue::try_from(format!("\"{digest}\""))
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    let media = match kind {
        Kind::Blob => "application/octet-stream",
        Kind::Manifest => "application/json",
    };
    Ok(HeaderMap::from_iter([
        (header::CONTENT_LENGTH, HeaderValue::from(size)),
        (header::CONTENT_TYPE, HeaderValue::from_static(media)),
        (header::ETAG, etag),
        // The bytes with this name never change. Private, because reading requires authentication.
        (header::CACHE_CONTROL, IMMUTABLE),
    ]))
}

fn created(stored: Stored) -> Response {
    match stored {
        Stored::Created => StatusCode::CREATED.into_response(),
        Stored::Again => StatusCode::OK.into_response(),
    }
}
