//! Who calls, and whether the role suffices: a handler that takes one of these types has it
//! checked before its body runs.

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};
use pgherd_fleet::Identity;
use pgherd_store::Role;

use crate::{ApiState, Kind, Problem};

/// A caller who may read.
pub struct Viewer(pub Identity);

/// A caller who may change the topology.
pub struct Operator(pub Identity);

/// A caller who may do everything.
pub struct Admin(pub Identity);

impl FromRequestParts<ApiState> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        identify(parts, state, Role::Viewer).map(Self)
    }
}

impl FromRequestParts<ApiState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        identify(parts, state, Role::Operator).map(Self)
    }
}

impl FromRequestParts<ApiState> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        identify(parts, state, Role::Admin).map(Self)
    }
}

fn identify(parts: &Parts, state: &ApiState, needed: Role) -> Result<Identity, Problem> {
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
        let detail = "send the header Authorization: Bearer <token>";
        return Err(Problem::new(Kind::Unauthenticated, detail));
    };
    let identity = header.to_str().ok().and_then(|header| state.fleet.authenticate(header));
    let Some(identity) = identity else {
        return Err(Problem::new(Kind::Unauthenticated, "the token is wrong or was revoked"));
    };
    if !identity.role.includes(needed) {
        let detail = format!(
            "this needs the role {needed}; the token {:?} has the role {}",
            identity.name, identity.role
        );
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(identity)
}
