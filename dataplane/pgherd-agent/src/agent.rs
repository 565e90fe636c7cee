//! Connects to the control plane again and again, and turns snapshots into active topologies.

mod activation;

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use pgherd_config::Topology;
use pgherd_proto::v1::{Hello, Peer, SnapshotId, Statistics};
use tokio::time::{Instant, sleep};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Endpoint, Uri},
};

use crate::{
    AgentConfig, AgentError, AgentHandle, Cache,
    backoff::{Backoff, jitter},
    handle::Said,
    ledger::Ledger,
    session::{self, SessionEnd},
};

/// What an agent needs of the proxy that it serves. All methods return soon: they are called on
/// the agent's task, which meanwhile answers no ping.
pub trait Proxy: Send + Sync + 'static {
    /// Serves this topology from now on. It has passed [`Topology::validate`].
    ///
    /// # Errors
    /// Why it cannot; the proxy then goes on serving what it served before.
    fn activate(&self, id: &SnapshotId, topology: Arc<Topology>) -> Result<(), Rejection>;

    /// All proxies of the fleet, this one included, with the numbers in their cancel keys.
    fn peers(&self, peers: Vec<Peer>);

    /// The number that stands in this proxy's cancel keys from now on.
    fn proxy_number(&self, number: u32);

    /// What the proxy counts at this moment.
    fn statistics(&self) -> Statistics;
}

/// Why a snapshot is not activated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Rejection {
    /// A fixed word for programs to act on.
    pub code: String,
    /// JSON pointer into the document; empty for the whole.
    pub pointer: String,
    /// A sentence for people; carries no secrets.
    pub message: String,
    /// Whether the same content may be accepted later.
    pub retriable: bool,
}

impl Rejection {
    pub(crate) fn malformed(message: &str) -> Self {
        Self {
            code: "malformed".to_owned(),
            pointer: String::new(),
            message: message.to_owned(),
            retriable: false,
        }
    }

    pub(crate) fn stale(generation: u64, held: u64) -> Self {
        Self {
            code: "stale_generation".to_owned(),
            pointer: String::new(),
            message: format!("generation {generation} is older than {held}, which is held"),
            retriable: false,
        }
    }

    pub(crate) fn deadly() -> Self {
        Self {
            code: "died_while_activating".to_owned(),
            pointer: String::new(),
            message: "this proxy died twice while it activated this content".to_owned(),
            retriable: false,
        }
    }
}

/// The proxy's side of the control-plane stream.
pub struct Agent {
    pub(crate) config: AgentConfig,
    pub(crate) proxy: Arc<dyn Proxy>,
    pub(crate) ledger: Ledger,
    pub(crate) said: Said,
    endpoints: Vec<Endpoint>,
    pub(crate) authorization: MetadataValue<Ascii>,
    cache: Option<Cache>,
}

impl Agent {
    /// Checks the configuration and opens the cache; connects to nothing yet.
    ///
    /// # Errors
    /// When a URL, the token or the cache directory cannot be used.
    pub fn new(
        config: AgentConfig,
        proxy: Arc<dyn Proxy>,
    ) -> Result<(Self, AgentHandle), AgentError> {
        if config.proxy_id.is_empty() {
            return Err(AgentError::ProxyId);
        }
        let endpoints = config.endpoints()?;
        let authorization = config.authorization()?;
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        let (handle, said) = AgentHandle::new();
        let ledger = Ledger::default();
        Ok((Self { config, proxy, ledger, said, endpoints, authorization, cache }, handle))
    }

    /// Stays connected to the control plane until `shutdown` is ready.
    ///
    /// Cancel safe: whatever was activated stays active and cached.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            never = self.stay_connected() => match never {},
        }
    }

    async fn stay_connected(&mut self) -> std::convert::Infallible {
        let timing = self.config.timing;
        let mut backoff = Backoff::new(timing.backoff_first, timing.backoff_most);
        let mut complaints = Complaints::default();
        // A random first choice spreads the fleet over the control plane's replicas.
        let mut next = rand::random_range(0..self.endpoints.len());
        loop {
            let endpoint = self.endpoints[next].clone();
            next = (next + 1) % self.endpoints.len();
            let started = Instant::now();
            let end = session::run(self, &endpoint, &mut complaints).await;
            complaints.report(endpoint.uri(), &end);
            if started.elapsed() >= timing.backoff_most {
                backoff.reset();
            }
            let chance = rand::random::<f64>();
            let delay = match end.is_refusal() {
                true => jitter(timing.backoff_refused, chance),
                false => backoff.next_delay(chance),
            };
            sleep(delay).await;
        }
    }

    pub(crate) fn hello(&self) -> Hello {
        let config = &self.config;
        Hello {
            proxy_id: config.proxy_id.clone(),
            incarnation: config.incarnation.clone(),
            version: config.version.clone(),
            labels: config.labels.clone(),
            advertise_address: config.advertise_address.clone(),
            holds: self.ledger.held().cloned(),
        }
    }

    pub(crate) fn statistics_interval(&self, seconds: u32) -> Duration {
        match seconds {
            0 => self.config.timing.statistics,
            seconds => Duration::from_secs(seconds.min(3_600).into()),
        }
    }
}

/// Logs why streams end, once for each new reason and not for each attempt.
#[derive(Default)]
pub(crate) struct Complaints {
    /// The last reason for each URL.
    last: HashMap<String, String>,
}

impl Complaints {
    /// The control plane has accepted the stream: the next failure is news again.
    pub(crate) fn settle(&mut self) {
        self.last.clear();
    }

    fn report(&mut self, url: &Uri, end: &SessionEnd) {
        let reason = session::with_sources(end);
        if !self.is_news(url.to_string(), &reason) {
            tracing::debug!(%url, %reason, "still no stream to the control plane");
        } else if end.is_refusal() {
            // Nobody but an operator can mend this.
            tracing::error!(%url, %reason, "the control plane refuses this proxy");
        } else {
            tracing::warn!(%url, %reason, "no stream to the control plane; trying again");
        }
    }

    fn is_news(&mut self, url: String, reason: &str) -> bool {
        self.last.insert(url, reason.to_owned()).as_deref() != Some(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::Complaints;

    #[test]
    fn a_reason_is_news_once_for_each_url_until_a_stream_was_accepted() {
        let mut complaints = Complaints::default();
        let mut is_news = |url: &str, reason| complaints.is_news(url.to_owned(), reason);
        assert!(is_news("a", "gone"));
        assert!(is_news("b", "gone"));
        assert!(!is_news("a", "gone"));
        assert!(is_news("a", "bad token"));
        assert!(!is_news("a", "bad token"));
        complaints.settle();
        assert!(complaints.is_news("a".to_owned(), "bad token"));
    }
}
