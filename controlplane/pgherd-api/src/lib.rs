//! The REST API of the control plane: one file for each resource.
//!
//! A resource is a file with a `router()` and a line in [`router`]; the OpenAPI document follows
//! from it.

mod audit;
mod author;
mod bans;
mod clusters;
mod deadline;
mod document;
mod events;
mod identity;
mod instances;
mod metrics;
mod openapi;
mod parameters;
mod precondition;
mod probes;
mod problem;
mod proxies;
mod revisions;
mod session;
mod tokens;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use pgherd_fleet::Fleet;
use pgherd_store::Store;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

pub use metrics::Metrics;
pub use openapi::openapi_json;
pub use problem::{Fault, Kind, Problem};

/// Largest body that is read; the topology as a whole has the same limit.
const MAX_BODY_BYTES: usize = pgherd_config::limits::DOCUMENT_BYTES;

/// What handlers need.
#[derive(Clone)]
pub struct ApiState {
    store: Store,
    fleet: Fleet,
    metrics: Arc<Metrics>,
}

impl ApiState {
    /// The state over a store and the fleet that follows it.
    pub fn new(store: Store, fleet: Fleet) -> Self {
        Self { store, fleet, metrics: Arc::new(Metrics::default()) }
    }
}

/// Every resource with its description.
fn resources() -> OpenApiRouter<ApiState> {
    openapi::base()
        .nest(
            "/api/v1",
            OpenApiRouter::new()
                .merge(session::router())
                .merge(clusters::router())
                .merge(revisions::router())
                .merge(proxies::router())
                .merge(instances::router())
                .merge(bans::router())
                .merge(tokens::router())
                .merge(audit::router())
                .merge(events::router()),
        )
        .merge(probes::router())
        .merge(metrics::router())
}

/// The whole API. Paths below `/api` that do not exist answer with a problem document; all
/// others are left to the caller.
pub fn router(state: ApiState) -> Router {
    let (resources, _) = resources().split_for_parts();
    resources
        .merge(openapi::router())
        .route("/api/{*path}", axum::routing::any(problem::no_such_resource))
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(middleware::from_fn(deadline::limit))
        .layer(middleware::from_fn_with_state(state.clone(), metrics::count))
        .with_state(state)
}
