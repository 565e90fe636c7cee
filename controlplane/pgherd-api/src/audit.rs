//! `/audit`: who did what.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use pgherd_store::AuditEntry;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiState, Problem, identity::Admin, parameters::Query};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1_000;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One thing that was done.
#[derive(Serialize, ToSchema)]
struct AuditLogEntry {
    /// Orders the entries.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// The name of the token.
    actor: String,
    /// What kind of thing.
    #[schema(example = "cluster.put")]
    action: String,
    /// To what.
    target: Option<String>,
    /// The revision that was made.
    revision: Option<i64>,
    /// The reason, or another detail.
    detail: Option<String>,
}

/// A page of the log, newest first.
#[derive(Serialize, ToSchema)]
struct AuditLog {
    /// Newest first.
    entries: Vec<AuditLogEntry>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Page {
    /// Only entries older than this one.
    before: Option<i64>,
    /// How many, 100 by default, at most 1000.
    limit: Option<u32>,
}

/// Lists what was done, newest first
#[utoipa::path(
    get, path = "/audit", tag = "audit",
    params(Page),
    responses(
        (status = 200, body = AuditLog), (status = 401, body = Problem), (status = 403, body = Problem),
    ),
)]
async fn list(
    _: Admin,
    State(state): State<ApiState>,
    Query(page): Query<Page>,
) -> Result<Json<AuditLog>, Problem> {
    let limit = i64::from(page.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT));
    let entries = state.store.audit(page.before, limit).await?;
    Ok(Json(AuditLog { entries: entries.into_iter().map(AuditLogEntry::from).collect() }))
}

impl From<AuditEntry> for AuditLogEntry {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { id, at, actor, action, target, revision, detail } = entry;
        Self { id, at, actor, action, target, revision, detail }
    }
}
