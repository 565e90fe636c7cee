//! `/session`: whose token this is, for the page's sign-in.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiState, Problem, identity::Viewer};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(session))
}

/// Whose token this is.
#[derive(Serialize, ToSchema)]
struct Session {
    /// The token's name.
    name: String,
    /// The token's role.
    #[schema(example = "operator")]
    role: &'static str,
    /// The version of the control plane.
    version: &'static str,
}

/// Tells whose token this is
#[utoipa::path(
    get, path = "/session", tag = "session",
    responses((status = 200, body = Session), (status = 401, body = Problem)),
)]
async fn session(Viewer(identity): Viewer) -> Json<Session> {
    Json(Session {
        name: identity.name,
        role: identity.role.as_str(),
        version: env!("CARGO_PKG_VERSION"),
    })
}
