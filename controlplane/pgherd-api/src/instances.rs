//! `/instances`: the instances of the topology as all proxies together see them.

use axum::{Json, extract::State};
use pgherd_fleet::{Fleet, InstanceStatus};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiState, Problem, identity::Viewer};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Every instance in each of its places.
#[derive(Serialize, ToSchema)]
pub struct Instances {
    /// By cluster and shard, in the order of the topology.
    instances: Vec<InstanceStatus>,
}

impl Instances {
    /// As it is now.
    pub fn now(fleet: &Fleet) -> Self {
        Self { instances: fleet.instances() }
    }
}

/// Lists the instances
///
/// With the role, the lag, the load and the bans that proxies see.
#[utoipa::path(
    get, path = "/instances", tag = "instances",
    responses((status = 200, body = Instances), (status = 401, body = Problem)),
)]
async fn list(_: Viewer, State(state): State<ApiState>) -> Json<Instances> {
    Json(Instances::now(&state.fleet))
}
