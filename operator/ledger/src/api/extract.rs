//! Extractors of handlers: the path and the body of a request.

use axum::{
    extract::{FromRequestParts, Path, Request},
    http::request::Parts,
};
use modelward_wire::Digest;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::state::App;
use crate::{body::Incoming, budget::Held, error::ApiError, store::is_namespace};

/// `{namespace}/{digest}` of a path.
pub(super) struct Artifact {
    pub(super) namespace: String,
    pub(super) digest: Digest,
}

/// `{namespace}/{uid}` of a path.
pub(super) struct Object {
    pub(super) namespace: String,
    pub(super) uid: Uuid,
}

/// `{namespace}/{model}` of a path.
pub(super) struct OfModel {
    pub(super) namespace: String,
    pub(super) model: String,
}

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

impl<S: Send + Sync> FromRequestParts<S> for OfModel {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let (namespace, model) = path(parts, state).await?;
        if !is_name(&model) {
            return Err(ApiError::BadRequest(not_a_name("the model", &model)));
        }
        Ok(Self {
            namespace: checked_namespace(namespace)?,
            model,
        })
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<(String, String), ApiError> {
    let path = Path::<(String, String)>::from_request_parts(parts, state).await;
    path.map(|Path(path)| path)
        .map_err(|_| ApiError::BadRequest("the address is not readable text".into()))
}

pub(super) fn checked_namespace(text: String) -> Result<String, ApiError> {
    if is_namespace(&text) {
        return Ok(text);
    }
    let text: String = text.chars().take(80).collect();
    Err(ApiError::BadRequest(format!("{text:?} is not a namespace")))
}

/// Accepts only the canonical form, so that an object has one address.
pub(super) fn uid(text: &str) -> Result<Uuid, ApiError> {
    let uid = text.parse::<Uuid>().ok().filter(|uid| uid.to_string() == text);
    let short = || text.chars().take(80).collect::<String>();
    uid.ok_or_else(|| ApiError::BadRequest(format!("{:?} is not the uid of an object", short())))
}

/// The last second that PostgreSQL and Kubernetes can represent: the end of the year 9999.
pub(super) const LAST_SECOND: i64 = 253_402_300_799;

/// Whether a string may be the name of a Kubernetes object.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (1..=253).contains(&text.len()) && text.bytes().all(plain)
}

pub(super) fn not_a_name(field: &str, text: &str) -> String {
    let text: String = text.chars().take(80).collect();
    format!("{field} is {text:?}, it must be the name of a Kubernetes object")
}

/// The whole body of a request about a namespace. Errors call it `what`. Its bytes count against the memory for bodies as
/// long as it is held.
pub(super) async fn whole(
    app: &App,
    namespace: &str,
    request: Request,
    what: &'static str,
    limit: u64,
) -> Result<Held, ApiError> {
    let body = Incoming::new(request, what, limit, app.idle_timeout)?;
    app.budget.read(namespace, body).await
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::Unprocessable(format!("the {what} cannot be read: {error}")))
}

/// PostgreSQL cannot store NUL in a text. It can store all other JSON.
pub(super) fn refuse_nul(value: &Value) -> Result<(), ApiError> {
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
            "a text has a NUL character, which cannot be stored".into(),
        ));
    }
    Ok(())
}
