//! `/proxies`: who is connected, what each runs, and its numbers.

use axum::{Json, extract::State, http::StatusCode};
use pgherd_fleet::{Fleet, ForgetError, ProxyStatus};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ApiState, Kind, Problem,
    identity::{Operator, Viewer},
    parameters::Path,
};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, forget))
}

/// All proxies, and what they should run.
#[derive(Serialize, ToSchema)]
pub struct Proxies {
    current: CurrentSnapshot,
    /// By number.
    proxies: Vec<ProxyStatus>,
}

/// What the proxies should run.
#[derive(Serialize, ToSchema)]
struct CurrentSnapshot {
    /// Which history of the database.
    lineage: String,
    /// Which generation in it.
    generation: i64,
    /// The newest revision.
    revision: i64,
}

impl Proxies {
    /// As it is now.
    pub fn now(fleet: &Fleet) -> Self {
        let state = fleet.snapshot().state;
        Self {
            current: CurrentSnapshot {
                lineage: state.lineage.to_string(),
                generation: state.generation,
                revision: state.revision,
            },
            proxies: fleet.proxies(),
        }
    }
}

/// Lists the proxies
#[utoipa::path(
    get, path = "/proxies", tag = "proxies",
    responses((status = 200, body = Proxies), (status = 401, body = Problem)),
)]
async fn list(_: Viewer, State(state): State<ApiState>) -> Json<Proxies> {
    Json(Proxies::now(&state.fleet))
}

/// Reads a proxy
#[utoipa::path(
    get, path = "/proxies/{id}", tag = "proxies",
    params(("id" = String, Path, description = "The proxy")),
    responses(
        (status = 200, body = ProxyStatus),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
)]
async fn read(
    _: Viewer,
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<Json<ProxyStatus>, Problem> {
    let found = state.fleet.proxies().into_iter().find(|proxy| proxy.id == id);
    found.map(Json).ok_or_else(|| unknown(&id))
}

/// Forgets a proxy that is gone for good
///
/// Its number becomes free.
#[utoipa::path(
    delete, path = "/proxies/{id}", tag = "proxies",
    params(("id" = String, Path, description = "The proxy")),
    responses(
        (status = 204, description = "Forgotten"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "It is connected", body = Problem),
    ),
)]
async fn forget(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match state.fleet.forget(&id, &identity.name).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(ForgetError::Unknown) => Err(unknown(&id)),
        Err(ForgetError::Connected) => Err(Problem::new(
            Kind::Conflict,
            format!("the proxy {id:?} is connected: stop it first"),
        )),
        Err(ForgetError::Store(error)) => Err(error.into()),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no proxy {id:?} has ever connected"))
}
