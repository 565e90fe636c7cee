//! `/clusters`: what is served, one document for each cluster.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pgherd_config::Cluster;
use pgherd_store::change::{ChangeError, Changed, Condition};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ApiState, Fault, Kind, Problem,
    author::Reason,
    document::{ClusterDocument, ClusterEntry},
    identity::{Operator, Viewer},
    parameters::{JsonBytes, Path, Query},
    precondition::{condition, entity_tag_header, is_known},
};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, delete))
}

/// All clusters.
#[derive(Serialize, ToSchema)]
struct Clusters {
    /// The newest revision.
    revision: i64,
    /// The generation that proxies get.
    generation: i64,
    /// By name.
    clusters: Vec<ClusterEntry>,
}

/// What a change led to.
#[derive(Serialize, ToSchema)]
pub struct Change {
    /// The newest revision.
    pub revision: i64,
    /// The generation that proxies get.
    pub generation: i64,
    /// False when the content was the same already: no revision was made.
    pub changed: bool,
    /// What is accepted and has no effect.
    pub warnings: Vec<Fault>,
}

/// Lists the clusters
#[utoipa::path(
    get, path = "/clusters", tag = "clusters",
    responses((status = 200, body = Clusters), (status = 401, body = Problem)),
)]
async fn list(_: Viewer, State(state): State<ApiState>) -> Json<Clusters> {
    let snapshot = state.fleet.snapshot();
    Json(Clusters {
        revision: snapshot.state.revision,
        generation: snapshot.state.generation,
        clusters: snapshot.clusters.iter().map(ClusterEntry::from).collect(),
    })
}

/// Reads a cluster
///
/// Secrets read `***`. The `ETag` goes into `If-Match` of a change.
#[utoipa::path(
    get, path = "/clusters/{name}", tag = "clusters",
    params(("name" = String, Path, description = "The cluster's name")),
    responses(
        (status = 200, body = ClusterDocument, headers(("ETag" = String))),
        (status = 304, description = "The reader has this version"),
        (status = 401, body = Problem),
        (status = 404, body = Problem),
    ),
)]
async fn read(
    _: Viewer,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = state.fleet.snapshot();
    let stored = snapshot.cluster(&name).ok_or_else(|| unknown(&name))?;
    let mut response = if is_known(&headers, stored.revision) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(ClusterDocument::new(&stored.cluster)).into_response()
    };
    let state = snapshot.state;
    tag(&mut response, Some(stored.revision), state.revision, state.generation);
    Ok(response)
}

/// Makes a cluster
#[utoipa::path(
    post, path = "/clusters", tag = "clusters",
    params(Reason),
    request_body = ClusterDocument,
    responses(
        (status = 201, body = Change, headers(("ETag" = String), ("X-Revision" = i64))),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 409, description = "There is one of that name", body = Problem),
        (status = 422, body = Problem),
    ),
)]
async fn create(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Query(reason): Query<Reason>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    let author = reason.author(identity, &headers)?;
    let cluster = parse(&body)?;
    let name = cluster.name.clone();
    let changed = state.store.put_cluster(cluster, Condition::Absent, &author).await;
    changed_response(&state, &name, changed).await
}

/// Makes or replaces a cluster
///
/// Replacing needs `If-Match` with the `ETag` of the version that is replaced; `If-None-Match: *`
/// only makes a new one. A secret sent as `***` stays what it is.
#[utoipa::path(
    put, path = "/clusters/{name}", tag = "clusters",
    params(
        ("name" = String, Path, description = "The cluster's name"),
        Reason,
        ("If-Match" = Option<String>, Header, description = "The version that is replaced"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: only a new cluster"),
    ),
    request_body = ClusterDocument,
    responses(
        (status = 200, body = Change, headers(("ETag" = String), ("X-Revision" = i64))),
        (status = 201, body = Change, headers(("ETag" = String), ("X-Revision" = i64))),
        (status = 400, body = Problem),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 412, description = "It was changed meanwhile", body = Problem),
        (status = 422, body = Problem),
        (status = 428, description = "It exists and If-Match is missing", body = Problem),
    ),
)]
async fn replace(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(reason): Query<Reason>,
    headers: HeaderMap,
    JsonBytes(body): JsonBytes,
) -> Result<Response, Problem> {
    let author = reason.author(identity, &headers)?;
    let condition = condition(&headers)?;
    let mut cluster = parse(&body)?;
    if cluster.name.is_empty() {
        cluster.name.clone_from(&name);
    }
    if cluster.name != name {
        let message = format!("the path says {name:?}; a cluster cannot be renamed");
        let fault = fault("/name", "name_mismatch", message);
        return Err(Problem::invalid(&format!("cluster {name}"), vec![fault]));
    }
    let only_new = condition == Condition::Absent;
    let changed = match state.store.put_cluster(cluster, condition, &author).await {
        // `If-None-Match: *` is a precondition here and not, as in `create`, the point.
        Err(ChangeError::Exists) if only_new => {
            Err(ChangeError::ConditionFailed { current: current(&state, &name) })
        }
        changed => changed,
    };
    changed_response(&state, &name, changed).await
}

/// Deletes a cluster
#[utoipa::path(
    delete, path = "/clusters/{name}", tag = "clusters",
    params(
        ("name" = String, Path, description = "The cluster's name"),
        Reason,
        ("If-Match" = String, Header, description = "The version that is deleted, or `*`"),
    ),
    responses(
        (status = 200, body = Change, headers(("X-Revision" = i64))),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 412, description = "It was changed meanwhile", body = Problem),
        (status = 428, description = "If-Match is missing", body = Problem),
    ),
)]
async fn delete(
    Operator(identity): Operator,
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(reason): Query<Reason>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let author = reason.author(identity, &headers)?;
    let condition = condition(&headers)?;
    let changed = state.store.delete_cluster(&name, condition, &author).await;
    changed_response(&state, &name, changed).await
}

/// Reads a cluster from a body.
fn parse(body: &[u8]) -> Result<Cluster, Problem> {
    Cluster::from_json(body).map_err(|errors| {
        let faults: Vec<Fault> = errors.into_iter().map(Fault::from).collect();
        match faults.as_slice() {
            [only] if only.code == "syntax" => {
                Problem::new(Kind::Malformed, format!("the body is not JSON: {}", only.message))
            }
            _ => Problem::invalid("the cluster", faults),
        }
    })
}

/// The answer to a change, once this control plane serves it.
pub async fn changed_response(
    state: &ApiState,
    what: &str,
    changed: Result<Changed, ChangeError>,
) -> Result<Response, Problem> {
    let changed = changed.map_err(|error| problem(what, error))?;
    if changed.changed {
        // Proxies are sent the new generation before the writer has the answer.
        state.fleet.refresh().await;
    }
    let prefix = position(state, what).map(|index| format!("/clusters/{index}"));
    let warnings = changed.warnings.into_iter().filter_map(|warning| {
        let pointer = match &prefix {
            Some(prefix) => below(prefix, &warning.pointer)?.to_owned(),
            None => warning.pointer,
        };
        Some(fault(&pointer, warning.code, warning.message))
    });
    let change = Change {
        revision: changed.state.revision,
        generation: changed.state.generation,
        changed: changed.changed,
        warnings: warnings.collect(),
    };
    let (revision, generation) = (change.revision, change.generation);
    let status = if changed.created { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = (status, Json(change)).into_response();
    tag(&mut response, Some(changed.cluster_revision), revision, generation);
    Ok(response)
}

/// Tells why a change was not made.
fn problem(what: &str, error: ChangeError) -> Problem {
    match error {
        ChangeError::Store(error) => error.into(),
        ChangeError::NotFound => unknown(what),
        ChangeError::Exists => Problem::new(
            Kind::Conflict,
            format!("the cluster {what:?} exists already; PUT with If-Match replaces it"),
        ),
        ChangeError::ConditionRequired => Problem::new(
            Kind::PreconditionRequired,
            format!("the cluster {what:?} exists: send its ETag in If-Match"),
        ),
        ChangeError::ConditionFailed { current: Some(revision) } => Problem::new(
            Kind::PreconditionFailed,
            format!(
                "the cluster {what:?} was last changed by revision {revision}: read it again and \
                 send its ETag in If-Match"
            ),
        ),
        ChangeError::ConditionFailed { current: None } => Problem::new(
            Kind::PreconditionFailed,
            format!("there is no cluster {what:?}: leave If-Match away to make it"),
        ),
        ChangeError::Invalid { errors, index } => {
            let prefix = index.map(|index| format!("/clusters/{index}"));
            let faults = errors.into_iter().map(|error| {
                let pointer = prefix.as_deref().and_then(|prefix| below(prefix, &error.pointer));
                fault(pointer.unwrap_or(&error.pointer), error.code, error.message.clone())
            });
            Problem::invalid(what, faults.collect())
        }
        ChangeError::NothingToKeep { pointer } => {
            let message = "\"***\" keeps a stored secret, and there is none for this user";
            let fault = fault(&pointer, "no_stored_secret", message.to_owned());
            Problem::invalid(what, vec![fault])
        }
    }
}

fn fault(pointer: &str, code: &str, message: String) -> Fault {
    Fault { pointer: pointer.to_owned(), code: code.to_owned(), message }
}

/// The rest of a pointer below a prefix: `/clusters/1` is not below `/clusters/10`.
fn below<'a>(prefix: &str, pointer: &'a str) -> Option<&'a str> {
    let rest = pointer.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn unknown(name: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no {name:?}"))
}

/// Where a cluster stands in the topology.
fn position(state: &ApiState, name: &str) -> Option<usize> {
    state.fleet.snapshot().clusters.iter().position(|stored| stored.cluster.name == name)
}

/// The revision that changed a cluster last.
fn current(state: &ApiState, name: &str) -> Option<i64> {
    state.fleet.snapshot().cluster(name).map(|stored| stored.revision)
}

/// Says in headers which version this is.
fn tag(response: &mut Response, cluster: Option<i64>, revision: i64, generation: i64) {
    let headers = response.headers_mut();
    if let Some(cluster) = cluster {
        headers.insert(header::ETAG, entity_tag_header(cluster));
    }
    headers.insert("x-revision", HeaderValue::from(revision));
    headers.insert("x-generation", HeaderValue::from(generation));
}
