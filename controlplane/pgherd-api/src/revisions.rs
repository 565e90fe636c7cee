//! `/revisions`: the history of the topology, and the way back.

use axum::{Json, extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, Utc};
use pgherd_store::Revision;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ApiState, Kind, Problem,
    author::Reason,
    clusters::{Change, changed_response},
    document::TopologyDocument,
    identity::{Operator, Viewer},
    parameters::{Path, Query},
};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(rollback))
}

/// One revision.
#[derive(Serialize, ToSchema)]
struct RevisionEntry {
    /// Counts from 1 without gaps.
    number: i64,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// The name of the token that made it.
    author: String,
    /// Why.
    reason: Option<String>,
    /// `put`, `delete` or `rollback`.
    #[schema(example = "put")]
    action: &'static str,
    /// The cluster that changed; none for a rollback.
    cluster: Option<String>,
    /// The revision whose content came back.
    rolled_back_to: Option<i64>,
}

/// A page of revisions, newest first.
#[derive(Serialize, ToSchema)]
struct Revisions {
    /// The newest revision; 0 before the first.
    current: i64,
    /// Newest first.
    revisions: Vec<RevisionEntry>,
}

/// A revision with its content.
#[derive(Serialize, ToSchema)]
struct RevisionContent {
    #[serde(flatten)]
    entry: RevisionEntry,
    /// The topology as it was; secrets read `***`.
    document: TopologyDocument,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// Only revisions older than this one.
    before: Option<i64>,
    /// How many, 50 by default, at most 500.
    limit: Option<u32>,
}

/// Lists the revisions, newest first
#[utoipa::path(
    get, path = "/revisions", tag = "revisions",
    params(Page),
    responses((status = 200, body = Revisions), (status = 401, body = Problem)),
)]
async fn list(
    _: Viewer,
    State(state): State<ApiState>,
    Query(page): Query<Page>,
) -> Result<Json<Revisions>, Problem> {
    let limit = i64::from(page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT));
    let revisions = state.store.revisions(page.before, limit).await?;
    Ok(Json(Revisions {
        current: state.fleet.snapshot().state.revision,
        revisions: revisions.into_iter().map(RevisionEntry::from).collect(),
    }))
}

/// Reads a revision with its content
#[utoipa::path(
    get, path = "/revisions/{number}", tag = "revisions",
    params(("number" = i64, Path, description = "The revision")),
    responses(
        (status = 200, body = RevisionContent),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
)]
async fn read(
    _: Viewer,
    State(state): State<ApiState>,
    Path(number): Path<i64>,
) -> Result<Json<RevisionContent>, Problem> {
    let found = state.store.revision(number).await?;
    let found = found
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no revision {number}")))?;
    Ok(Json(RevisionContent {
        entry: found.revision.into(),
        document: TopologyDocument::new(&found.topology),
    }))
}

/// Brings the content of a revision back
///
/// Makes a new revision with the old content.
#[utoipa::path(
    post, path = "/revisions/{number}/rollback", tag = "revisions",
    params(("number" = i64, Path, description = "The revision whose content comes back"), Reason),
    responses(
        (status = 200, body = Change, headers(("X-Revision" = i64))),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 422, description = "Today's rules refuse the old content", body = Problem),
    ),
)]
async fn rollback(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Path(number): Path<i64>,
    Query(reason): Query<Reason>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let author = reason.author(identity, &headers)?;
    let changed = state.store.rollback(number, &author).await;
    changed_response(&state, &format!("revision {number}"), changed).await
}

impl From<Revision> for RevisionEntry {
    fn from(revision: Revision) -> Self {
        Self {
            number: revision.number,
            created_at: revision.created_at,
            author: revision.author,
            reason: revision.reason,
            action: revision.action.as_str(),
            cluster: revision.cluster,
            rolled_back_to: revision.rolled_back_to,
        }
    }
}
