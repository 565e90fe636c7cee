//! `/bans`: every ban that holds, and those that people order.

use std::{str::FromStr as _, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pgherd_config::{Instance, Period};
use pgherd_fleet::{BanEntry, BanList, Snapshot};
use pgherd_store::NewBan;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    ApiState, Fault, Kind, Problem,
    identity::{Operator, Viewer},
    parameters::{self, Path},
};

/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;
/// A ban for longer is one without end.
const MAX_DURATION: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(lift))
}

/// A ban to be ordered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BanOrder {
    /// The instance's host, as the topology says it.
    host: String,
    /// Its port; needed where several instances have that host.
    port: Option<u16>,
    /// Looks for the instance in this cluster only. The ban is of the instance all the same,
    /// wherever else it stands.
    cluster: Option<String>,
    /// Why; shown with the ban and kept in the audit log.
    reason: String,
    /// For how long, such as `"10m"`; until it is lifted when this is missing.
    duration: Option<String>,
}

/// Lists the bans
///
/// Manual bans, those that the fleet has made for evidence, those that were held back with the
/// reason, and those of single proxies.
#[utoipa::path(
    get, path = "/bans", tag = "bans",
    responses((status = 200, body = BanList), (status = 401, body = Problem)),
)]
async fn list(_: Viewer, State(state): State<ApiState>) -> Json<BanList> {
    Json(state.fleet.bans())
}

/// Bans an instance
///
/// Every proxy obeys within a second: the instance gets no reads until the ban is lifted or its time
/// is over. A primary still gets writes. An instance that has a manual ban keeps one: its reason and
/// time become those of the request, so that sending a request again does no harm.
#[utoipa::path(
    post, path = "/bans", tag = "bans",
    request_body = BanOrder,
    responses(
        (status = 200, description = "It was banned already: changed", body = BanEntry),
        (status = 201, body = BanEntry, headers(("Location" = String))),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 422, body = Problem),
        (status = 503, description = "The control plane's database is away", body = Problem),
    ),
)]
async fn create(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    parameters::Json(order): parameters::Json<BanOrder>,
) -> Result<Response, Problem> {
    let checked = check(&order, &state.fleet.snapshot());
    let (port, duration) = checked.map_err(|faults| Problem::invalid("the ban", faults))?;
    let reason = order.reason.trim();
    let new = NewBan { host: &order.host, port, reason, duration };
    let (row, is_new) = state.store.ban(new, &identity.name).await?;
    // Proxies are told before the one who asked has the answer.
    state.fleet.refresh_bans().await;
    let id = row.id.to_string();
    let entry = state.fleet.bans().bans.into_iter().find(|ban| ban.id.as_ref() == Some(&id));
    let Some(entry) = entry else {
        let detail = "the ban was lifted or ran out meanwhile";
        return Err(Problem::new(Kind::Conflict, detail));
    };
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json(entry)).into_response();
    let location = HeaderValue::from_str(&format!("/api/v1/bans/{id}"));
    response.headers_mut().insert(header::LOCATION, location.expect("an id is ASCII"));
    Ok(response)
}

/// Lifts a manual ban
///
/// Bans for evidence end by themselves, when the proxies see the instance well.
#[utoipa::path(
    delete, path = "/bans/{id}", tag = "bans",
    params(("id" = String, Path, description = "The ban's id")),
    responses(
        (status = 204, description = "Lifted"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, description = "There is none, or it is over", body = Problem),
        (status = 503, description = "The control plane's database is away", body = Problem),
    ),
)]
async fn lift(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if !state.store.lift_ban(id, &identity.name).await? {
        let detail = format!("there is no manual ban {id} in force");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    state.fleet.refresh_bans().await;
    Ok(StatusCode::NO_CONTENT)
}

/// The instance's port and the ban's duration.
fn check(order: &BanOrder, snapshot: &Snapshot) -> Result<(u16, Option<Duration>), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |pointer: &str, code: &str, message: String| {
        faults.push(Fault { pointer: pointer.to_owned(), code: code.to_owned(), message });
    };
    let reason = order.reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON {
        fault("/reason", "bad_length", format!("a reason has 1 to {MAX_REASON} bytes"));
    }
    if reason.contains(char::is_control) {
        fault("/reason", "control_character", "a reason has no control characters".to_owned());
    }
    let duration = order.duration.as_deref().map(duration).transpose();
    if let Err(message) = &duration {
        fault("/duration", "bad_duration", message.clone());
    }
    let port = find(order, snapshot);
    if let Err((pointer, code, message)) = &port {
        fault(pointer, code, message.clone());
    }
    match (port, duration) {
        (Ok(port), Ok(duration)) if faults.is_empty() => Ok((port, duration)),
        _ => Err(faults),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = Period::from_str(text).map_err(|error| error.to_string())?.0;
    match duration {
        duration if duration.is_zero() => {
            Err("a ban for no time is none; leave it out for one without end".to_owned())
        }
        duration if duration > MAX_DURATION => {
            Err("that is longer than ten years; leave it out for a ban without end".to_owned())
        }
        duration => Ok(duration),
    }
}

/// The port of the instance that is meant, or what is wrong with the words for it.
fn find(
    order: &BanOrder,
    snapshot: &Snapshot,
) -> Result<u16, (&'static str, &'static str, String)> {
    if let Some(cluster) = &order.cluster
        && snapshot.cluster(cluster).is_none()
    {
        let message = format!("there is no cluster {cluster:?}");
        return Err(("/cluster", "unknown_cluster", message));
    }
    let clusters = snapshot.clusters.iter().filter(|stored| {
        order.cluster.as_ref().is_none_or(|wanted| stored.cluster.name == *wanted)
    });
    let instances = clusters.flat_map(|stored| &stored.cluster.shards);
    let instances = instances.flat_map(|shard| &shard.instances);
    let wanted = |instance: &&Instance| {
        instance.host == order.host && order.port.is_none_or(|port| port == instance.port)
    };
    let mut ports: Vec<u16> = instances.filter(wanted).map(|instance| instance.port).collect();
    ports.sort_unstable();
    ports.dedup();
    match ports.as_slice() {
        [port] => Ok(*port),
        [] => {
            let port = order.port.map(|port| format!(":{port}")).unwrap_or_default();
            let place = match &order.cluster {
                Some(cluster) => format!("the cluster {cluster:?}"),
                None => "the topology".to_owned(),
            };
            let message = format!("{place} has no instance {}{port}", order.host);
            Err(("/host", "unknown_instance", message))
        }
        several => {
            let several: Vec<_> = several.iter().map(u16::to_string).collect();
            let message =
                format!("{} has instances on the ports {}", order.host, several.join(", "));
            Err(("/port", "ambiguous", message))
        }
    }
}
