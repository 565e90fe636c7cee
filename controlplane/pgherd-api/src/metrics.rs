//! `/metrics`: numbers for Prometheus in the OpenMetrics format.

use std::{fmt::Write as _, sync::atomic::Ordering};

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use pgherd_fleet::{BanEntry, BanSource, Fleet, ProxyState};
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
    /// Bans in force, by who made them
    bans: Family<SourceLabel, Gauge>,
    /// Bans for evidence that were held back, because too little else would be left
    bans_held_back: Gauge,
    /// Connected proxies that fail against so many instances that what they see does not count
    proxies_doubted: Gauge,
    /// Instances of the topology that a connected proxy sees failing
    instances_failing: Gauge,
    /// Views of their instances that proxies sent
    views: Counter,
    /// Times that bans were decided
    ban_decisions: Counter,
    /// Times that a proxy was asked to look at an instance at once
    probes_asked: Counter,
    /// Bans of the fleet for evidence that were made
    fleet_bans_made: Counter,
    /// Bans of the fleet for evidence that have ended
    fleet_bans_ended: Counter,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
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
        self.register_bans(r);
        registry
    }

    fn register_bans(&self, r: &mut Registry) {
        r.register("bans", "Bans in force, by who made them", self.bans.clone());
        for (name, help, gauge) in [
            ("bans_held_back", "Bans for evidence that were held back", &self.bans_held_back),
            (
                "proxies_doubted",
                "Proxies that fail against so many instances that what they see does not count",
                &self.proxies_doubted,
            ),
            (
                "instances_failing",
                "Instances that a connected proxy sees failing",
                &self.instances_failing,
            ),
        ] {
            r.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            ("views", "Views of their instances that proxies sent", &self.views),
            ("ban_decisions", "Times that bans were decided", &self.ban_decisions),
            (
                "probes_asked",
                "Times that a proxy was asked to look at an instance at once",
                &self.probes_asked,
            ),
            ("fleet_bans_made", "Bans of the fleet for evidence", &self.fleet_bans_made),
            ("fleet_bans_ended", "Such bans that have ended", &self.fleet_bans_ended),
        ] {
            r.register(name, help, counter.clone());
        }
    }

    fn observe_bans(&self, fleet: &Fleet) {
        let list = fleet.bans();
        for (name, source) in [
            ("manual", BanSource::Manual),
            ("fleet", BanSource::Fleet),
            ("local", BanSource::Local),
        ] {
            let in_force = |ban: &&BanEntry| ban.source == source && ban.held_back.is_none();
            let count = list.bans.iter().filter(in_force).count();
            self.bans.get_or_create(&SourceLabel { source: name }).set(number(count));
        }
        let held_back = list.bans.iter().filter(|ban| ban.held_back.is_some());
        self.bans_held_back.set(number(held_back.count()));
        self.proxies_doubted.set(number(list.doubted.len()));
        let instances = fleet.instances();
        let failing = instances.iter().filter(|instance| !instance.failing.is_empty());
        self.instances_failing.set(number(failing.count()));
        // Counted where they happen; here they are only shown.
        let counts = fleet.ban_counts();
        for (counter, count) in [
            (&self.views, counts.views),
            (&self.ban_decisions, counts.decisions),
            (&self.probes_asked, counts.probes),
            (&self.fleet_bans_made, counts.banned),
            (&self.fleet_bans_ended, counts.lifted),
        ] {
            counter.inner().store(count, Ordering::Relaxed);
        }
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
        self.observe_bans(&state.fleet);
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
