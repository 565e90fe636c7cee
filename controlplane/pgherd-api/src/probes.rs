//! `/healthz` and `/readyz`: for whoever restarts the process or sends requests to it.

use axum::{extract::State, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::ApiState;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(healthy)).routes(routes!(ready))
}

/// Tells that the process runs
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, body = String)),
)]
async fn healthy() -> &'static str {
    "ok\n"
}

/// Tells whether changes can be made
///
/// 503 while the control plane's database is away; proxies are served all the same.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses((status = 200, body = String), (status = 503, body = String)),
)]
async fn ready(State(state): State<ApiState>) -> (StatusCode, &'static str) {
    if state.fleet.shutdown().is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    }
    if state.fleet.database().borrow().available {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database is away\n")
    }
}
