//! Rounds of searches: a Job stores them, and another Job of the same version continues after them.

use axum::{
    Extension,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use modelward_wire::{Digest, MAX_SEARCH_ROUND_BYTES, MAX_SEARCH_ROUNDS, SEARCH_FORMAT, SearchRound};
use uuid::Uuid;

use super::{
    extract::{Object, checked_namespace, parse, uid, whole},
    state::Shared,
};
use crate::{auth::Caller, database::RoundKey, error::ApiError};

/// `{namespace}/{job}`, the digest of the search and the number of the round.
type RoundPath = Path<(String, String, String, String)>;

pub(super) async fn put_round(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    path: RoundPath,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let (key, job) = round_key(path, &caller)?;
    let body = whole(
        &app,
        &key.namespace,
        request,
        "round of a search",
        MAX_SEARCH_ROUND_BYTES,
    )
    .await?;
    let round: SearchRound = parse(&body, "round of a search")?;
    if round.format != SEARCH_FORMAT {
        return Err(ApiError::Unprocessable(format!(
            "the round has format {}, this ledger takes format {SEARCH_FORMAT}: use images of one release",
            round.format
        )));
    }
    app.database.put_search_round(key, job, body.to_vec()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn get_round(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    path: RoundPath,
) -> Result<Response, ApiError> {
    let (key, _) = round_key(path, &caller)?;
    let (search, round) = (key.search, key.round);
    let found = app.database.search_round(key).await?;
    let found = found
        .ok_or_else(|| ApiError::NotFound(format!("round {round} of the search {search} is not stored")))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], found).into_response())
}

pub(super) async fn delete_searches(
    State(app): Shared,
    Extension(caller): Extension<Caller>,
    Object { namespace, uid }: Object,
) -> Result<StatusCode, ApiError> {
    let owner = caller.may_search(&namespace, uid)?;
    app.database.forget_searches(&namespace, owner).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The key of a round from its path, after a check of the caller.
fn round_key(
    Path((namespace, job, search, round)): RoundPath,
    caller: &Caller,
) -> Result<(RoundKey, Uuid), ApiError> {
    let (namespace, job) = (checked_namespace(namespace)?, uid(&job)?);
    let owner = caller.may_search(&namespace, job)?;
    let search: Digest = search
        .parse()
        .map_err(|error| ApiError::BadRequest(format!("{error}")))?;
    let number = round
        .parse::<u32>()
        .ok()
        .filter(|number| *number < MAX_SEARCH_ROUNDS);
    let round = number.and_then(|number| i32::try_from(number).ok());
    let round = round.ok_or_else(|| {
        ApiError::BadRequest(format!(
            "the number of a round must be 0 to {}",
            MAX_SEARCH_ROUNDS - 1
        ))
    })?;
    Ok((
        RoundKey {
            namespace,
            owner,
            search,
            round,
        },
        job,
    ))
}
