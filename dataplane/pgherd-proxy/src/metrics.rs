//! The HTTP endpoint for monitoring: metrics, and whether the proxy lives and serves.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use pgherd_session::{Phase, Shared};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

mod families;
mod instances;
mod pools;
mod process;
mod replication;
#[cfg(test)]
mod tests;
mod transactions;

use instances::InstanceMetrics;
use pools::PoolMetrics;
use process::ProcessMetrics;
use replication::ReplicationMetrics;
use transactions::TransactionMetrics;

/// What `/metrics` is written in: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `/metrics`, `/healthz` (200 while the process lives) and `/readyz` (200 while clients
/// can be served, else 503 and the reason) until `shutdown`. `ready` says whether a topology is
/// loaded.
///
/// Cancel safe: nothing but requests in flight is lost.
pub async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(shared, ready)).with_graceful_shutdown(shutdown).await
}

fn router<R>(shared: Arc<Shared>, ready: R) -> Router
where
    R: Fn() -> bool + Clone + Send + Sync + 'static,
{
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProxyCollector { shared: Arc::clone(&shared) }));
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(Arc::new(registry))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(async move || readiness(shared.phase(), ready())))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(error) => {
            tracing::error!("the metrics cannot be encoded: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn readiness(phase: Phase, loaded: bool) -> (StatusCode, &'static str) {
    match (phase, loaded) {
        (Phase::Running, false) => (StatusCode::SERVICE_UNAVAILABLE, "no topology is loaded yet\n"),
        (Phase::Running, true) => (StatusCode::OK, "ready\n"),
        (Phase::Draining | Phase::OnlyStreams, _) => {
            (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
        }
    }
}

/// Reads everything at the moment of the scrape, so that the statement path keeps no metrics but
/// the pools' own counters.
#[derive(Debug)]
struct ProxyCollector {
    shared: Arc<Shared>,
}

impl Collector for ProxyCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        ProcessMetrics::read(&self.shared).encode(&mut encoder)?;
        PoolMetrics::read(&self.shared.directory).encode(&mut encoder)?;
        InstanceMetrics::read(&self.shared.directory).encode(&mut encoder)?;
        ReplicationMetrics::read(&self.shared.directory).encode(&mut encoder)?;
        TransactionMetrics::read(&self.shared.commits).encode(&mut encoder)
    }
}
