//! Follows the database and keeps in memory what proxies and people are served from.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use pgherd_proto::v1::{down::Message, fleet_server::FleetServer};
use pgherd_store::{FleetState, Heard, ProxyRow, Store, StoreError, StoreErrorKind};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, error::Elapsed, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    BanCounts, BanList, Identity, InstanceStatus, ProxyStatistics, ProxyStatus, Snapshot,
    authority::{Authority, bearer},
    bans::{Bans, Surroundings, message},
    instances::Sights,
    registry::Registry,
    service::FleetService,
};

/// How often the database is looked at when it announces nothing.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long the database may take to answer before it counts as away.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The same for the whole topology, with thousands of secrets to open.
const TOPOLOGY_WITHIN: Duration = Duration::from_secs(30);
/// Between two decisions about bans; what comes in meanwhile counts in the next one.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
/// Largest message that a proxy may send: statistics of some ten thousand pools.
const MAX_UP_BYTES: usize = 4 * 1024 * 1024;

/// The fleet as this control plane knows it. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) authority: watch::Sender<Arc<Authority>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) bans: Bans,
    pub(crate) streams: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    database: watch::Sender<DatabaseState>,
    wake: Notify,
    refreshing: Mutex<()>,
    /// A stored topology that was found not to be valid, so that it is reported once.
    invalid: parking_lot::Mutex<Option<FleetState>>,
}

/// Why the database could not be read.
enum ReadError {
    Silent(Elapsed),
    Store(StoreError),
}

impl From<Elapsed> for ReadError {
    fn from(elapsed: Elapsed) -> Self {
        Self::Silent(elapsed)
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether the control plane's own database answers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DatabaseState {
    /// It answers.
    pub available: bool,
    /// Why not.
    pub detail: Option<String>,
}

/// Why a proxy is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// There is no such proxy.
    #[error("there is no such proxy")]
    Unknown,
    /// It is connected, and would be back at once.
    #[error("the proxy is connected")]
    Connected,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fleet {
    /// Reads everything from the database once. Streams end when `shutdown` is cancelled.
    pub async fn load(store: Store, shutdown: CancellationToken) -> Result<Self, StoreError> {
        let current = store.current().await?;
        let state = current.state;
        let mut invalid = None;
        let snapshot = Snapshot::new(current).unwrap_or_else(|errors| {
            invalid = Some(state);
            tracing::error!(
                generation = state.generation,
                ?errors,
                "the stored topology is not valid: proxies keep what they have until it is mended"
            );
            let nothing = pgherd_store::Current {
                // Generation 0 is older than anything that a proxy of this lineage holds.
                state: FleetState { generation: 0, revision: 0, ..state },
                clusters: Vec::new(),
            };
            Snapshot::new(nothing).expect("an empty topology keeps every rule")
        });
        let authority = Authority::new(store.tokens().await?);
        let registry = Registry::new(store.proxies().await?);
        let bans = Bans::new(store.bans().await?);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                snapshot: watch::Sender::new(Arc::new(snapshot)),
                authority: watch::Sender::new(Arc::new(authority)),
                registry: Arc::new(registry),
                bans,
                streams: TaskTracker::new(),
                shutdown,
                database: watch::Sender::new(DatabaseState { available: true, detail: None }),
                wake: Notify::new(),
                refreshing: Mutex::new(()),
                invalid: parking_lot::Mutex::new(invalid),
            }),
        })
    }

    /// Follows the database until shutdown, then waits for the streams to end.
    pub async fn run(self) {
        let listening = tokio::spawn(self.clone().listen());
        // A task of its own: it must not wait for the database.
        let banning = tokio::spawn(self.clone().decide_bans());
        let shutdown = self.inner.shutdown.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.inner.wake.notified() => {}
                () = sleep(POLL_EVERY) => {}
            }
            self.refresh().await;
            self.inner.registry.refresh_peers(Utc::now());
            self.save_proxies().await;
        }
        self.inner.streams.close();
        self.inner.streams.wait().await;
        // So that the next control plane knows who was here a moment ago.
        self.save_proxies().await;
        // It only waits for notifications: nothing is lost by ending it here.
        listening.abort();
        // The shutdown has ended it; a panic in it was logged.
        let _ = banning.await;
    }

    /// Reads what is new in the database; what it serves stays as it was when that fails.
    pub async fn refresh(&self) {
        let _one_at_a_time = self.inner.refreshing.lock().await;
        let detail = match self.read_changes().await {
            Ok(()) => None,
            Err(ReadError::Silent(_)) => Some("it does not answer".to_owned()),
            // The pool only says that it waited; a plain connection says why.
            Err(ReadError::Store(error)) if error.kind() == StoreErrorKind::Unavailable => {
                Some(describe(&self.inner.store.reach().await.err().unwrap_or(error)))
            }
            Err(ReadError::Store(error)) => {
                tracing::error!(?error, "reading the control plane's database failed");
                Some(describe(&error))
            }
        };
        let state = DatabaseState { available: detail.is_none(), detail };
        self.inner.database.send_if_modified(|known| {
            match (known.available, &state.detail) {
                (true, Some(detail)) => tracing::warn!(
                    %detail,
                    "the control plane's database is away: proxies go on with what is known"
                ),
                (false, None) => tracing::info!("the control plane's database is back"),
                _ => {}
            }
            let changed = *known != state;
            *known = state;
            changed
        });
    }

    /// The newest valid topology.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.inner.snapshot.borrow())
    }

    /// Tells when there is a newer topology.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.inner.snapshot.subscribe()
    }

    /// Tells when the database goes away or comes back.
    pub fn database(&self) -> watch::Receiver<DatabaseState> {
        self.inner.database.subscribe()
    }

    /// Counts changes of the list of proxies.
    pub fn proxies_version(&self) -> watch::Receiver<u64> {
        self.inner.registry.version()
    }

    /// All proxies by number.
    pub fn proxies(&self) -> Vec<ProxyStatus> {
        self.inner.registry.statuses(&self.snapshot())
    }

    /// The last numbers of the connected proxies.
    pub fn statistics(&self) -> Vec<ProxyStatistics> {
        self.inner.registry.statistics()
    }

    /// Every ban, manual, automatic and of single proxies.
    pub fn bans(&self) -> BanList {
        let decided = Arc::clone(&self.inner.bans.decided().borrow());
        decided.list(&self.inner.registry.seen(), &self.snapshot(), Instant::now())
    }

    /// Tells when bans of the fleet change; those of single proxies change
    /// [`Self::proxies_version`].
    pub fn bans_changed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut decided = self.inner.bans.decided();
        async move {
            // It ends with this control plane only.
            if decided.changed().await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// Reads the manual bans anew and decides, so that proxies hear of a change at once.
    pub async fn refresh_bans(&self) {
        match timeout(ANSWER_WITHIN, self.inner.store.bans()).await {
            Ok(Ok(bans)) => self.inner.bans.set_manual(bans),
            // The next look at the database says that it is away.
            failed => tracing::debug!(?failed, "the manual bans cannot be read"),
        }
        self.decide_now();
    }

    /// What happened about bans since the start.
    pub fn ban_counts(&self) -> BanCounts {
        self.inner.bans.counts()
    }

    /// Every instance of the topology as all proxies together see it.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        Sights::new(&self.inner.registry.seen()).statuses(&self.snapshot())
    }

    /// Forgets a proxy that is gone for good.
    pub async fn forget(&self, id: &str, by: &str) -> Result<(), ForgetError> {
        self.inner.registry.number(id).ok_or(ForgetError::Unknown)?;
        let connected = self
            .proxies()
            .iter()
            .any(|proxy| proxy.id == id && proxy.state != crate::ProxyState::Disconnected);
        if connected {
            return Err(ForgetError::Connected);
        }
        self.inner.store.forget_proxy(id, by).await?;
        self.inner.bans.forget(id);
        if self.inner.registry.forget(id) { Ok(()) } else { Err(ForgetError::Connected) }
    }

    /// Whose token an `Authorization` header carries.
    pub fn authenticate(&self, header: &str) -> Option<Identity> {
        self.inner.authority.borrow().authenticate(bearer(header)?)
    }

    /// Whether a token that was accepted before still counts.
    pub fn still_holds(&self, identity: &Identity) -> bool {
        self.inner.authority.borrow().still_holds(identity)
    }

    /// Cancelled when the control plane ends.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    /// The gRPC service.
    pub fn service(&self) -> FleetServer<FleetService> {
        FleetServer::new(FleetService::new(self.clone()))
            .max_decoding_message_size(MAX_UP_BYTES)
            .max_encoding_message_size(usize::MAX)
    }

    async fn read_changes(&self) -> Result<(), ReadError> {
        // Apart, because a large topology may take longer than it takes to notice a dead server.
        if timeout(ANSWER_WITHIN, self.read_state()).await?? {
            timeout(TOPOLOGY_WITHIN, self.read_topology()).await??;
        }
        Ok(())
    }

    /// Reads what is small; whether there is a topology that was not looked at yet.
    async fn read_state(&self) -> Result<bool, StoreError> {
        let store = &self.inner.store;
        if !self.inner.database.borrow().available {
            // Another server may have taken its place, or a backup.
            store.check_lineage().await?;
        }
        let state = store.fleet_state().await?;
        let authority = Authority::new(store.tokens().await?);
        self.inner.authority.send_if_modified(|known| {
            let changed = **known != authority;
            if changed {
                *known = Arc::new(authority);
            }
            changed
        });
        self.inner.bans.set_manual(store.bans().await?);
        let known = self.inner.snapshot.borrow().state == state;
        Ok(!known && *self.inner.invalid.lock() != Some(state))
    }

    async fn read_topology(&self) -> Result<(), StoreError> {
        let current = self.inner.store.current().await?;
        let state = current.state;
        match Snapshot::new(current) {
            Ok(snapshot) => {
                tracing::info!(
                    revision = state.revision,
                    generation = state.generation,
                    lineage = %state.lineage,
                    "new topology"
                );
                self.inner.snapshot.send_replace(Arc::new(snapshot));
            }
            // Can only come from an older version's rules or another hand in the database.
            Err(errors) => {
                *self.inner.invalid.lock() = Some(state);
                tracing::error!(
                    generation = state.generation,
                    ?errors,
                    "the stored topology is not valid: proxies keep what they have"
                );
            }
        }
        Ok(())
    }

    async fn save_proxies(&self) {
        if !self.inner.database.borrow().available {
            return;
        }
        let unsaved: Vec<ProxyRow> = self.inner.registry.take_unsaved(Utc::now());
        for row in &unsaved {
            let saved = timeout(ANSWER_WITHIN, self.inner.store.save_proxy(row)).await;
            if !matches!(saved, Ok(Ok(()))) {
                tracing::debug!(proxy = row.hello.id, "saving what is known of a proxy failed");
                self.inner.registry.mark_unsaved(&row.hello.id);
            }
        }
    }

    /// Decides about bans whenever there is news, and asks proxies to look where others fail.
    async fn decide_bans(self) {
        let Inner { bans, shutdown, .. } = &*self.inner;
        loop {
            let started = Instant::now();
            let again_in = self.decide_now();
            // A fifth of one core at most, however much the proxies have to say.
            let pause = (started.elapsed() * 4).max(LEAST_PAUSE);
            let due = async {
                sleep(pause).await;
                tokio::select! {
                    () = bans.wake.notified() => {}
                    () = sleep(again_in.saturating_sub(pause)) => {}
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = due => {}
            }
        }
    }

    /// Decides about bans; when to do so again at the latest.
    fn decide_now(&self) -> Duration {
        let Inner { bans, registry, .. } = &*self.inner;
        let around = Surroundings {
            shards: Sights::new(&registry.seen()).shards(&self.snapshot()),
            known_proxies: registry.members(Utc::now()),
        };
        let (asked, again_in) = bans.decide(&around);
        for (proxy, instances) in asked {
            registry.tell(&proxy, Message::Probe(message::probe(instances)));
        }
        again_in
    }

    /// Hears at once what other control planes change; the poll finds what this misses.
    async fn listen(self) {
        loop {
            if let Ok(mut listener) = self.inner.store.listen().await {
                self.inner.wake.notify_one();
                while let Ok(heard) = listener.heard().await {
                    self.inner.wake.notify_one();
                    if heard == Heard::Lost {
                        break;
                    }
                }
            }
            sleep(POLL_EVERY).await;
        }
    }
}

/// For people: the innermost cause.
fn describe(error: &StoreError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
