//! Connects to the control plane again and again, and turns snapshots into active topologies.

mod activation;

use std::{
    collections::HashMap,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use pgherd_balance::{InstanceKey, fleet::FleetBan};
use pgherd_config::Topology;
use pgherd_proto::v1::{self, Hello, InstanceView, Peer, SnapshotId, Statistics, View};
use tokio::time::{Instant, sleep};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Endpoint, Uri},
};

use crate::{
    AgentConfig, AgentError, AgentHandle, Cache,
    backoff::{Backoff, jitter},
    bans::{FleetBans, Kept},
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

    /// Everything that the proxy sees of its instances at this moment.
    fn view(&self) -> Vec<InstanceView>;

    /// Every ban of the fleet from now on, those of other zones included. Each ends when its time
    /// is over or when the next set lacks it.
    fn fleet_bans(&self, bans: Vec<FleetBan>);

    /// Looks at this instance at once, and calls [`AgentHandle::view_changed`] when it has.
    fn probe(&self, instance: InstanceKey);
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
    pub(crate) bans: FleetBans,
    /// The last view's number.
    sequence: u64,
    /// The manual bans as they are on disk.
    kept: Kept,
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
        let agent = Self {
            config,
            proxy,
            ledger,
            said,
            bans: FleetBans::default(),
            sequence: 0,
            kept: Kept::default(),
            endpoints,
            authorization,
            cache,
        };
        Ok((agent, handle))
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

    /// The proxy's view of its instances, with the next number.
    pub(crate) fn view(&mut self) -> View {
        self.sequence += 1;
        let epoch = self.config.epoch;
        View { epoch, sequence: self.sequence, instances: self.proxy.view() }
    }

    /// Hands over what the control plane says of bans, and keeps the manual ones on disk.
    pub(crate) fn ban(&mut self, message: v1::FleetBans) {
        let now = Instant::now();
        self.bans.take(message, now);
        self.proxy.fleet_bans(self.bans.current(now));
        let kept = self.bans.to_keep(now, SystemTime::now());
        if self.kept.same_as(&kept) {
            return;
        }
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store_bans(&kept)
        {
            tracing::warn!(%error, "the manual bans are not kept for the next start");
        }
        self.kept = kept;
    }

    /// Hands over the manual bans that are on disk.
    fn restore_bans(&mut self) {
        let Some(kept) = self.cache.as_ref().and_then(Cache::load_bans) else { return };
        let now = Instant::now();
        self.bans = FleetBans::from_kept(kept, now, SystemTime::now());
        self.kept = self.bans.to_keep(now, SystemTime::now());
        let current = self.bans.current(now);
        if !current.is_empty() {
            tracing::info!(bans = current.len(), "manual bans from the cache hold");
            self.proxy.fleet_bans(current);
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
