//! The routes.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{FromRequestParts, MatchedPath, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use futures::{StreamExt as _, TryStreamExt as _};
use modelward_wire::{Digest, JobResult, Manifest, Progress, RESULT_FORMAT, VersionRecord};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    auth::{Authenticator, Caller},
    body::{Incoming, drain_refused},
    database::{Database, DatabaseError, PAGE},
    error::ApiError,
    health::{Health, State as HealthState},
    index::Index,
    metrics::{CONTENT_TYPE, KindLabels, Metrics, RequestLabels, RouteLabels},
    store::{Kind, Store, Stored, is_namespace},
};

/// What every handler has.
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) database: Arc<Database>,
    pub(crate) index: Arc<Index>,
    pub(crate) authenticator: Authenticator,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_blob_bytes: u64,
    pub(crate) max_manifest_bytes: u64,
    pub(crate) idle_timeout: Duration,
}

/// `{namespace}/{digest}` of a path.
struct Artifact {
    namespace: String,
    digest: Digest,
}

/// `{namespace}/{uid}` of a path.
struct Object {
    namespace: String,
    uid: Uuid,
}

#[derive(Deserialize)]
struct After {
    after: Option<String>,
}

type Shared = State<Arc<App>>;

const MAX_RESULT_BYTES: u64 = 1024 * 1024;
const MAX_PROGRESS_BYTES: u64 = 16 * 1024;
const MAX_VERSION_BYTES: u64 = 256 * 1024;
/// A manifest names 256 files at most; their blobs are asked for this many at a time.
const HEADS_AT_ONCE: usize = 16;
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const ROLES: [&str; 6] = ["Pending", "Candidate", "Live", "Shadow", "Retired", "Rejected"];

/// All routes of the ledger.
pub(crate) fn router(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route(
            "/v1/artifacts/{namespace}/blobs/{digest}",
            put(put_blob).get(get_blob).head(head_blob),
        )
        .route(
            "/v1/artifacts/{namespace}/manifests/{digest}",
            put(put_manifest).get(get_manifest).head(head_manifest),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/result",
            put(put_result).get(get_result),
        )
        .route(
            "/v1/jobs/{namespace}/{job}/progress",
            put(put_progress).get(get_progress),
        )
        .route("/v1/model-versions/{namespace}", get(list_versions))
        .route("/v1/model-versions/{namespace}/{uid}", put(put_version))
        .route_layer(middleware::from_fn_with_state(app.clone(), prove));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(v1)
        .fallback(|| async { ApiError::NotFound("there is nothing at this address".into()) })
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .layer(middleware::from_fn(drain_refused))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
        .with_state(app)
}

// === every request ===

async fn observe(State(app): Shared, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        // Anyone can make up a method; a label must not.
        _ => "other",
    };
    let response = next.run(request).await;
    let status = response.status();
    let class = match status.as_u16() {
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let elapsed = start.elapsed();
    tracing::debug!(
        http.route = route,
        http.method = method,
        http.status = status.as_u16(),
        ?elapsed,
        "answered"
    );
    app.metrics
        .requests
        .get_or_create(&RequestLabels {
            route: route.clone(),
            method,
            status: class,
        })
        .inc();
    app.metrics
        .seconds
        .get_or_create(&RouteLabels { route, method })
        .observe(elapsed.as_secs_f64());
    response
}

/// Lets only proved callers through, and tells the handlers who calls.
async fn prove(State(app): Shared, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|header| header.to_str().ok());
    let caller = app.authenticator.prove(header).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

// === health ===

async fn readyz(State(app): Shared) -> Response {
    let (database, store) = (app.health.database(), app.health.store());
    let ready = database == HealthState::Up && store == HealthState::Up;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({"database": database.text(), "store": store.text()})),
    )
        .into_response()
}

async fn metrics(State(app): Shared) -> Result<Response, ApiError> {
    let text = app
        .metrics
        .encode()
        .map_err(|error| ApiError::Internal(Box::new(error)))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

// === artifacts ===

async fn put_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Artifact { namespace, digest }: Artifact,
    request: Request,
) -> Result<Response, ApiError> {
    caller.may_store(&namespace)?;
    let mut body = Incoming::new(request, "blob", app.max_blob_bytes, app.idle_timeout)?;
    let stored = app.store.put_blob(&namespace, &digest, &mut body).await;
    app.metrics
        .received
        .get_or_create(&KindLabels { kind: "blob" })
        .inc_by(body.seen());
    stored.map(created)
}

async fn put_manifest(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Artifact { namespace, digest }: Artifact,
    request: Request,
) -> Result<Response, ApiError> {
    caller.may_store(&namespace)?;
    let body = Incoming::new(request, "manifest", app.max_manifest_bytes, app.idle_timeout)?
        .whole()
        .await?;
    app.metrics
        .received
        .get_or_create(&KindLabels { kind: "manifest" })
        .inc_by(body.len() as u64);
    let sent = Digest::from_bytes(Sha256::digest(&body).into());
    if sent != digest {
        return Err(ApiError::Unprocessable(format!(
            "the bytes that came have the digest {sent} and not {digest}; nothing was kept"
        )));
    }
    let manifest: Manifest = parse(&body, "manifest")?;
    manifest
        .check()
        .map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    check_blobs(&app, &namespace, &manifest).await?;
    let length = body.len();
    let stored = app.store.put_manifest(&namespace, &digest, body).await?;
    // The artifact is there whatever becomes of its row: nobody waits for PostgreSQL here.
    let index = app.index.clone();
    tokio::spawn(async move {
        let now = jiff::Timestamp::now().as_microsecond();
        match index.add(&namespace, digest, &manifest, length, now).await {
            Ok(_) => {}
            Err(DatabaseError::Away(why)) => tracing::debug!("artifact {digest} is indexed later: {why}"),
            Err(error) => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "artifact {digest} is indexed later"
                );
            }
        }
    });
    Ok(created(stored))
}

/// Refuses a manifest that names blobs which are not there, or with sizes which are not theirs.
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
            "the manifest gives {} {} bytes, its blob has {}",
            file.path,
            file.size,
            size.unwrap_or_default()
        ))),
        None => Ok(()),
    }
}

async fn get_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    give(&app, &caller, Kind::Blob, artifact, &headers).await
}

async fn get_manifest(
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
    // A file that shrinks under the reader cuts the body short of its Content-Length, which the reader sees.
    let body = Body::from_stream(found.into_stream().inspect_ok(move |piece| {
        sent.inc_by(piece.len() as u64);
    }));
    Ok((head, body).into_response())
}

async fn head_blob(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    artifact: Artifact,
) -> Result<Response, ApiError> {
    head(&app, &caller, Kind::Blob, artifact).await
}

async fn head_manifest(
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
        // What has this name has these bytes for ever; private, because reading takes a proof.
        (header::CACHE_CONTROL, IMMUTABLE),
    ]))
}

fn created(stored: Stored) -> Response {
    match stored {
        Stored::Created => StatusCode::CREATED.into_response(),
        Stored::Again => StatusCode::OK.into_response(),
    }
}

// === jobs ===

async fn put_result(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<StatusCode, ApiError> {
    caller.may_tell(&namespace, uid)?;
    let body = Incoming::new(request, "result", MAX_RESULT_BYTES, app.idle_timeout)?
        .whole()
        .await?;
    let whole: Value = parse(&body, "result")?;
    refuse_nul(&whole)?;
    let result: JobResult = parse(&body, "result")?;
    if result.format != RESULT_FORMAT {
        return Err(ApiError::Unprocessable(format!(
            "the result has format {}, this ledger takes format {RESULT_FORMAT}: use images of one release",
            result.format
        )));
    }
    let first = app.database.put_result(&namespace, uid, &result, whole).await?;
    Ok(if first {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    })
}

async fn get_result(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<Value>, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.database.result(&namespace, uid).await?;
    found
        .map(Json)
        .ok_or_else(|| ApiError::NotFound(format!("Job {uid} in namespace {namespace} has told no result")))
}

async fn put_progress(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<StatusCode, ApiError> {
    caller.may_tell(&namespace, uid)?;
    let body = Incoming::new(request, "progress", MAX_PROGRESS_BYTES, app.idle_timeout)?
        .whole()
        .await?;
    let progress: Progress = parse(&body, "progress")?;
    if progress.percent > 100 {
        return Err(ApiError::Unprocessable(format!(
            "percent is {}, it must be 0 to 100",
            progress.percent
        )));
    }
    let text = |text: &str| !text.contains('\0') && text.chars().count() <= 1000;
    if !text(&progress.step) {
        return Err(ApiError::Unprocessable(
            "step must be a text of at most 1000 characters without NUL".into(),
        ));
    }
    app.database.put_progress(&namespace, uid, progress).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get_progress(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<Json<Progress>, ApiError> {
    caller.may_read(&namespace)?;
    let found = app.database.progress(&namespace, uid).await?;
    let absent = || ApiError::NotFound(format!("Job {uid} in namespace {namespace} has told no progress"));
    found.map(Json).ok_or_else(absent)
}

// === model versions ===

async fn put_version(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    caller.may_record()?;
    let body = Incoming::new(request, "record", MAX_VERSION_BYTES, app.idle_timeout)?
        .whole()
        .await?;
    refuse_nul(&parse(&body, "record")?)?;
    let mut record: VersionRecord = parse(&body, "record")?;
    check_record(&mut record).map_err(ApiError::Unprocessable)?;
    let stored = app.database.put_version(&namespace, uid, record).await?;
    Ok(Json(json!({"stored": stored})))
}

/// Refuses what the table would refuse, in words.
fn check_record(record: &mut VersionRecord) -> Result<(), String> {
    for (field, name) in [("name", &record.name), ("model", &record.model)] {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        if !(1..=253).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(format!(
                "{field} is {name:?}, it must be the name of a Kubernetes object"
            ));
        }
    }
    if !ROLES.contains(&record.role.as_str()) {
        return Err(format!(
            "role is {:?}, it must be one of {}",
            record.role,
            ROLES.join(", ")
        ));
    }
    if record.generation < 0 {
        return Err(format!(
            "generation is {}, it must not be negative",
            record.generation
        ));
    }
    let time: jiff::Timestamp = record
        .observed_at
        .parse()
        .ok()
        .filter(|time| *time >= jiff::Timestamp::UNIX_EPOCH)
        .ok_or_else(|| {
            format!(
                "observedAt is {:?}, it must be a time like 2026-11-23T09:30:00Z",
                record.observed_at
            )
        })?;
    record.observed_at = time.to_string();
    Ok(())
}

async fn list_versions(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Path(namespace): Path<String>,
    Query(query): Query<After>,
) -> Result<Json<Value>, ApiError> {
    let namespace = checked_namespace(namespace)?;
    caller.may_read(&namespace)?;
    let after = query.after.map_or(Ok(Uuid::nil()), |text| uid(&text))?;
    let items = app.database.versions(&namespace, after).await?;
    // A full page may have a successor; the last uid is where it goes on.
    let next = items
        .last()
        .filter(|_| usize::try_from(PAGE) == Ok(items.len()))
        .map(|last| last.uid);
    Ok(Json(match next {
        Some(next) => json!({"items": items, "after": next}),
        None => json!({"items": items}),
    }))
}

// === paths and bodies ===

impl<S: Send + Sync> FromRequestParts<S> for Artifact {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let (namespace, digest) = path(parts, state).await?;
        let digest = digest
            .parse()
            .map_err(|error| ApiError::BadRequest(format!("{error}")))?;
        Ok(Self {
            namespace: checked_namespace(namespace)?,
            digest,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Object {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let (namespace, text) = path(parts, state).await?;
        Ok(Self {
            namespace: checked_namespace(namespace)?,
            uid: uid(&text)?,
        })
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<(String, String), ApiError> {
    let path = Path::<(String, String)>::from_request_parts(parts, state).await;
    path.map(|Path(path)| path)
        .map_err(|_| ApiError::BadRequest("the address is not readable text".into()))
}

fn checked_namespace(text: String) -> Result<String, ApiError> {
    if is_namespace(&text) {
        return Ok(text);
    }
    let text: String = text.chars().take(80).collect();
    Err(ApiError::BadRequest(format!("{text:?} is not a namespace")))
}

/// One spelling only, so that one object has one address.
fn uid(text: &str) -> Result<Uuid, ApiError> {
    let uid = text.parse::<Uuid>().ok().filter(|uid| uid.to_string() == text);
    let short = || text.chars().take(80).collect::<String>();
    uid.ok_or_else(|| ApiError::BadRequest(format!("{:?} is not the uid of an object", short())))
}

fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::Unprocessable(format!("the {what} cannot be read: {error}")))
}

/// PostgreSQL cannot hold a NUL in a text; everything else that is JSON it can.
fn refuse_nul(value: &Value) -> Result<(), ApiError> {
    let has_nul = |text: &str| text.contains('\0');
    let refused = match value {
        Value::String(text) => has_nul(text),
        Value::Array(items) => return items.iter().try_for_each(refuse_nul),
        Value::Object(fields) => {
            fields.values().try_for_each(refuse_nul)?;
            fields.keys().any(|key| has_nul(key))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    if refused {
        return Err(ApiError::Unprocessable(
            "a text holds a NUL character, which cannot be stored".into(),
        ));
    }
    Ok(())
}
