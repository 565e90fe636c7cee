//! `/metrics`: numbers for Prometheus in the OpenMetrics format.

use std::fmt::Write as _;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use pgherd_fleet::ProxyState;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{ApiState, Kind, Problem};

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(read))
}

/// The control plane's metrics.
#[derive(Default)]
pub struct Metrics {
    /// Answers of the HTTP API by class of their status
    http_responses: Family<StatusClass, Counter>,
    /// Proxies that ever connected, by state
    proxies: Family<StateLabel, Gauge>,
    /// Connected proxies that run the current topology
    proxies_up_to_date: Gauge,
    /// Connected proxies whose last answer was to refuse a topology
    proxies_refusing: Gauge,
    /// Client connections over all connected proxies
    clients: Gauge,
    /// The generation of the topology that is served
    generation: Gauge,
    /// The newest revision
    revision: Gauge,
    /// Clusters in the topology
    clusters: Gauge,
    /// Whether the control plane's own database answers
    database_available: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusClass {
    class: Class,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Class {
    Success,
    Redirection,
    ClientError,
    ServerError,
}

impl EncodeLabelValue for Class {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(match self {
            Self::Success => "success",
            Self::Redirection => "redirection",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

impl Metrics {
    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("pgherd_control");
        let r = &mut registry;
        let responses = self.http_responses.clone();
        r.register("http_responses", "Answers of the HTTP API by class of their status", responses);
        r.register("proxies", "Proxies that ever connected, by state", self.proxies.clone());
        r.register(
            "proxies_up_to_date",
            "Connected proxies that run the current topology",
            self.proxies_up_to_date.clone(),
        );
        r.register(
            "proxies_refusing",
            "Connected proxies whose last answer was to refuse a topology",
            self.proxies_refusing.clone(),
        );
        r.register("clients", "Client connections over all proxies", self.clients.clone());
        r.register("generation", "The generation that is served", self.generation.clone());
        r.register("revision", "The newest revision", self.revision.clone());
        r.register("clusters", "Clusters in the topology", self.clusters.clone());
        r.register(
            "database_available",
            "Whether the control plane's own database answers",
            self.database_available.clone(),
        );
        registry
    }

    /// Takes the numbers that are states from the fleet.
    fn observe(&self, state: &ApiState) {
        let proxies = state.fleet.proxies();
        for (name, kind) in [
            ("connected", ProxyState::Connected),
            ("draining", ProxyState::Draining),
            ("disconnected", ProxyState::Disconnected),
        ] {
            let count = proxies.iter().filter(|proxy| proxy.state == kind).count();
            self.proxies.get_or_create(&StateLabel { state: name }).set(number(count));
        }
        let connected = || proxies.iter().filter(|proxy| proxy.state != ProxyState::Disconnected);
        self.proxies_up_to_date.set(number(connected().filter(|proxy| proxy.up_to_date).count()));
        let refusing = connected().filter(|proxy| proxy.last_nack.is_some());
        self.proxies_refusing.set(number(refusing.count()));
        let clients = connected().filter_map(|proxy| proxy.statistics.as_ref());
        self.clients.set(clients.map(|statistics| i64::from(statistics.clients)).sum());
        let snapshot = state.fleet.snapshot();
        self.generation.set(snapshot.state.generation);
        self.revision.set(snapshot.state.revision);
        self.clusters.set(number(snapshot.clusters.len()));
        self.database_available.set(i64::from(state.fleet.database().borrow().available));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads the metrics
#[utoipa::path(
    get, path = "/metrics", tag = "probes", security(()),
    responses((status = 200, body = String, content_type = "application/openmetrics-text")),
)]
async fn read(State(state): State<ApiState>) -> Result<Response, Problem> {
    state.metrics.observe(&state);
    let mut text = String::new();
    encode(&mut text, &state.metrics.registry())
        .map_err(|_| Problem::new(Kind::Internal, "the metrics cannot be written"))?;
    let kind =
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// Counts the answers.
pub async fn count(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let class = match response.status() {
        status if status.is_server_error() => Class::ServerError,
        status if status.is_client_error() => Class::ClientError,
        status if status.is_redirection() => Class::Redirection,
        _ => Class::Success,
    };
    state.metrics.http_responses.get_or_create(&StatusClass { class }).inc();
    response
}
