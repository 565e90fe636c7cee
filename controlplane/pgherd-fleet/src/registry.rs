//! What is known of every proxy, in memory; saved to the database now and then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use pgherd_proto::v1::{Peer, Peers, SnapshotId, down::Message};
use pgherd_store::{NackRecord, ProxyHello, ProxyRow};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Snapshot,
    delivery::Refusal,
    instances::{InstanceView, Seen},
    outbox::Outbox,
    status::{Held, InstanceHealth, ProxyState, ProxyStatistics, ProxyStatus, Statistics},
};

/// How long a proxy that is not connected stays in the list of peers: after a restart of the
/// control plane its streams come back one by one, and cancels must find their way meanwhile.
const PEER_FOR: TimeDelta = TimeDelta::minutes(10);
/// How long one that is away without having drained counts as a part of the fleet.
const MEMBER_FOR: TimeDelta = TimeDelta::minutes(10);
/// The label that says where a proxy runs.
const ZONE: &str = "zone";
/// How often the time at which a connected proxy was last heard of is saved.
const SAVE_SEEN_EVERY: TimeDelta = TimeDelta::seconds(30);
/// Instances of which one proxy's health reports are kept.
const MAX_HEALTH: usize = 20_000;

/// All proxies.
pub struct Registry {
    proxies: Mutex<HashMap<String, Entry>>,
    /// Tells streams apart, also those of one proxy that overlap.
    streams: AtomicU64,
    /// Counts changes, for who shows the list.
    version: watch::Sender<u64>,
    peers: watch::Sender<Arc<Peers>>,
}

struct Entry {
    row: ProxyRow,
    /// The content that `row.held` names, when this process of the proxy said so.
    held_content: Option<String>,
    connection: Option<Connection>,
    refusal: Option<Refusal>,
    statistics: Option<Statistics>,
    health: BTreeMap<(String, u32, String), InstanceHealth>,
    /// What it sees of its instances.
    view: Vec<InstanceView>,
    /// Whether it has drained: it is not missed then.
    left: bool,
    unsaved: bool,
    saved_seen: DateTime<Utc>,
}

struct Connection {
    serial: u64,
    since: DateTime<Utc>,
    draining: bool,
    /// Cancelled when another process takes the proxy's place.
    replaced: CancellationToken,
    outbox: Arc<Outbox>,
}

/// A stream's right to speak for its proxy; ends with the stream.
pub struct Seat {
    registry: Arc<Registry>,
    id: String,
    serial: u64,
    /// Cancelled when a newer stream of the same proxy took the seat.
    pub replaced: CancellationToken,
    /// What the same process refused on an earlier stream.
    pub refusal: Option<Refusal>,
    /// Whether another process had this id before.
    pub restarted: bool,
}

impl Registry {
    /// A registry of the proxies that the database knows.
    pub fn new(rows: Vec<ProxyRow>) -> Self {
        let entries = rows.into_iter().map(|row| (row.hello.id.clone(), Entry::known(row)));
        let registry = Self {
            proxies: Mutex::new(entries.collect()),
            streams: AtomicU64::new(0),
            version: watch::Sender::new(0),
            peers: watch::Sender::new(Arc::default()),
        };
        registry.refresh_peers(Utc::now());
        registry
    }

    /// The number of a proxy that is known already.
    pub fn number(&self, id: &str) -> Option<i32> {
        self.proxies.lock().get(id).map(|entry| entry.row.number)
    }

    /// Seats a stream; the one before it, if any, is told that it was replaced.
    pub fn seat(
        self: &Arc<Self>,
        hello: ProxyHello,
        number: i32,
        holds: Option<SnapshotId>,
        outbox: Arc<Outbox>,
        now: DateTime<Utc>,
    ) -> Seat {
        let id = hello.id.clone();
        let replaced = CancellationToken::new();
        let mut proxies = self.proxies.lock();
        let entry = proxies.entry(id.clone()).or_insert_with(|| {
            Entry::known(ProxyRow {
                hello: hello.clone(),
                number,
                last_seen: now,
                held: None,
                last_nack: None,
            })
        });
        let serial = self.streams.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = entry.connection.take() {
            before.replaced.cancel();
        }
        let restarted = entry.row.hello.incarnation != hello.incarnation;
        if restarted {
            entry.refusal = None;
        }
        entry.row.hello = hello;
        entry.row.last_seen = now;
        entry.hold(holds);
        entry.statistics = None;
        entry.health.clear();
        entry.view.clear();
        entry.left = false;
        let replaced_by_next = replaced.clone();
        entry.connection = Some(Connection {
            serial,
            since: now,
            draining: false,
            replaced: replaced_by_next,
            outbox,
        });
        let refusal = entry.refusal.clone();
        drop(proxies);
        self.changed();
        self.refresh_peers(now);
        Seat { registry: Arc::clone(self), id, serial, replaced, refusal, restarted }
    }

    /// Forgets a proxy; false when it is connected.
    pub fn forget(&self, id: &str) -> bool {
        let mut proxies = self.proxies.lock();
        if proxies.get(id).is_some_and(|entry| entry.connection.is_some()) {
            return false;
        }
        proxies.remove(id);
        drop(proxies);
        self.changed();
        self.refresh_peers(Utc::now());
        true
    }

    /// Everything that is known, by number.
    pub fn statuses(&self, current: &Snapshot) -> Vec<ProxyStatus> {
        let proxies = self.proxies.lock();
        let mut statuses: Vec<_> = proxies.values().map(|entry| entry.status(current)).collect();
        statuses.sort_by_key(|status| status.number);
        statuses
    }

    /// The last numbers of the proxies that are connected.
    pub fn statistics(&self) -> Vec<ProxyStatistics> {
        let proxies = self.proxies.lock();
        let numbers = proxies.values().filter_map(|entry| {
            let statistics = entry.statistics.clone()?;
            Some(ProxyStatistics { id: entry.row.hello.id.clone(), statistics })
        });
        let mut all: Vec<_> = numbers.collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// What the connected proxies see of their instances, by id.
    pub fn seen(&self) -> Vec<Seen> {
        let proxies = self.proxies.lock();
        let connected = proxies.values().filter(|entry| entry.connection.is_some());
        let mut seen: Vec<_> = connected
            .map(|entry| Seen {
                proxy: entry.row.hello.id.clone(),
                zone: entry.row.hello.labels.get(ZONE).cloned(),
                instances: entry.view.clone(),
            })
            .collect();
        seen.sort_by(|a, b| a.proxy.cmp(&b.proxy));
        seen
    }

    /// How many proxies belong to the fleet: those that are connected, and those that went away not
    /// long ago without draining.
    pub fn members(&self, now: DateTime<Utc>) -> usize {
        let proxies = self.proxies.lock();
        let members = proxies.values().filter(|entry| {
            entry.connection.is_some() || (!entry.left && now - entry.row.last_seen < MEMBER_FOR)
        });
        members.count()
    }

    /// Puts a message into the outbox of a proxy, if it is connected.
    pub fn tell(&self, id: &str, message: Message) {
        let proxies = self.proxies.lock();
        if let Some(connection) = proxies.get(id).and_then(|entry| entry.connection.as_ref()) {
            connection.outbox.put(message);
        }
    }

    /// Counts the changes of the list.
    pub fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Where the proxies reach each other.
    pub fn peers(&self) -> watch::Receiver<Arc<Peers>> {
        self.peers.subscribe()
    }

    /// What the database does not have yet.
    pub fn take_unsaved(&self, now: DateTime<Utc>) -> Vec<ProxyRow> {
        let mut proxies = self.proxies.lock();
        let due = proxies.values_mut().filter(|entry| {
            entry.unsaved || entry.row.last_seen - entry.saved_seen >= SAVE_SEEN_EVERY
        });
        due.map(|entry| {
            entry.unsaved = false;
            entry.saved_seen = now;
            entry.row.clone()
        })
        .collect()
    }

    /// Notes that saving failed.
    pub fn mark_unsaved(&self, id: &str) {
        if let Some(entry) = self.proxies.lock().get_mut(id) {
            entry.unsaved = true;
        }
    }

    /// Brings the list of peers up to date; sent to the proxies only when it changed.
    pub fn refresh_peers(&self, now: DateTime<Utc>) {
        let proxies = self.proxies.lock();
        let mut peers: Vec<Peer> = proxies
            .values()
            .filter(|entry| entry.connection.is_some() || now - entry.row.last_seen < PEER_FOR)
            .filter_map(|entry| {
                Some(Peer {
                    proxy_number: entry.number(),
                    advertise_address: entry.row.hello.address.clone()?,
                })
            })
            .collect();
        drop(proxies);
        peers.sort_by_key(|peer| peer.proxy_number);
        self.peers.send_if_modified(|known| {
            let changed = known.peers != peers;
            if changed {
                *known = Arc::new(Peers { peers });
            }
            changed
        });
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }
}

// === impl Entry ===

impl Entry {
    fn known(row: ProxyRow) -> Self {
        Self {
            saved_seen: row.last_seen,
            row,
            held_content: None,
            connection: None,
            refusal: None,
            statistics: None,
            health: BTreeMap::new(),
            view: Vec::new(),
            left: false,
            unsaved: false,
        }
    }

    fn number(&self) -> u32 {
        u32::try_from(self.row.number).expect("the database has only positive numbers")
    }

    fn hold(&mut self, id: Option<SnapshotId>) {
        self.held_content = id.as_ref().map(|id| id.content_hash.clone());
        self.row.held = id.map(|id| (id.lineage, i64::try_from(id.generation).unwrap_or(i64::MAX)));
        self.unsaved = true;
    }

    /// The view's part of what is shown with the proxy.
    fn viewed_health(&self) -> impl Iterator<Item = InstanceHealth> {
        self.view.iter().filter_map(|view| {
            let failing = view.failing.as_ref();
            Some(InstanceHealth {
                cluster: view.cluster.clone(),
                shard: view.shard,
                instance: view.key()?.to_string(),
                reachable: failing.is_none(),
                detail: failing.map(|failing| failing.detail.clone()).unwrap_or_default(),
                at: self.row.last_seen,
            })
        })
    }

    fn status(&self, current: &Snapshot) -> ProxyStatus {
        let held = self.row.held.as_ref();
        let up_to_date = match (&self.held_content, held) {
            (Some(content), _) => *content == current.content_hash,
            (None, Some((lineage, generation))) => {
                *lineage == current.state.lineage.to_string()
                    && *generation == current.state.generation
            }
            (None, None) => false,
        };
        ProxyStatus {
            id: self.row.hello.id.clone(),
            number: self.number(),
            incarnation: self.row.hello.incarnation.clone(),
            version: self.row.hello.version.clone(),
            labels: self.row.hello.labels.clone(),
            address: self.row.hello.address.clone(),
            state: match &self.connection {
                None => ProxyState::Disconnected,
                Some(connection) if connection.draining => ProxyState::Draining,
                Some(_) => ProxyState::Connected,
            },
            connected_since: self.connection.as_ref().map(|connection| connection.since),
            last_seen: self.row.last_seen,
            held: held.map(|(lineage, generation)| Held {
                lineage: lineage.clone(),
                generation: u64::try_from(*generation).unwrap_or(0),
            }),
            up_to_date,
            last_nack: self.row.last_nack.clone().map(Into::into),
            statistics: self.statistics.clone(),
            health: self.health.values().cloned().chain(self.viewed_health()).collect(),
        }
    }
}

// === impl Seat ===

impl Seat {
    /// The proxy's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Notes that the proxy was heard of.
    pub fn heard(&self, now: DateTime<Utc>) {
        self.update(|entry| entry.row.last_seen = now);
    }

    /// Notes that the proxy runs a snapshot.
    pub fn acknowledged(&self, id: SnapshotId) {
        self.update(|entry| {
            entry.hold(Some(id));
            entry.row.last_nack = None;
            entry.refusal = None;
        });
        self.registry.changed();
    }

    /// Notes that the proxy refused a snapshot.
    pub fn refused(&self, nack: NackRecord, refusal: Refusal) {
        self.update(|entry| {
            entry.row.last_nack = Some(nack);
            entry.refusal = Some(refusal);
            entry.unsaved = true;
        });
        self.registry.changed();
    }

    /// Keeps the proxy's numbers.
    pub fn statistics(&self, statistics: Statistics) {
        self.update(|entry| entry.statistics = Some(statistics));
    }

    /// Keeps what the proxy saw of an instance.
    pub fn health(&self, health: InstanceHealth) {
        let mut changed = false;
        self.update(|entry| {
            let key = (health.cluster.clone(), health.shard, health.instance.clone());
            let before = entry.health.get(&key);
            changed = before.is_none_or(|before| {
                before.reachable != health.reachable || before.detail != health.detail
            });
            if before.is_some() || entry.health.len() < MAX_HEALTH {
                entry.health.insert(key, health);
            }
        });
        if changed {
            self.registry.changed();
        }
    }

    /// Keeps what the proxy sees of its instances; gives back whether it has a vote about bans, and
    /// its zone.
    pub fn view(&self, view: Vec<InstanceView>) -> (bool, Option<String>) {
        let (mut news, mut votes, mut zone) = (false, false, None);
        self.update(|entry| {
            news = view.len() != entry.view.len()
                || view.iter().zip(&entry.view).any(|(new, old)| !new.same_state(old));
            entry.view = view;
            votes = entry.connection.as_ref().is_some_and(|connection| !connection.draining);
            zone = entry.row.hello.labels.get(ZONE).cloned();
        });
        if news {
            self.registry.changed();
        }
        (votes, zone)
    }

    /// Whether the proxy has said that it ends.
    pub fn has_drained(&self) -> bool {
        let mut drained = false;
        self.update(|entry| drained = entry.left);
        drained
    }

    /// Drops what was seen of instances that are no longer in the topology.
    pub fn retain_health(&self, keep: impl Fn(&InstanceHealth) -> bool) {
        self.update(|entry| entry.health.retain(|_, health| keep(health)));
    }

    /// Notes that the proxy shuts down.
    pub fn draining(&self) {
        self.update(|entry| {
            if let Some(connection) = &mut entry.connection {
                connection.draining = true;
            }
            entry.left = true;
        });
        self.registry.changed();
    }

    /// Changes the entry unless a newer stream has the seat.
    fn update(&self, change: impl FnOnce(&mut Entry)) {
        let mut proxies = self.registry.proxies.lock();
        if let Some(entry) = proxies.get_mut(&self.id)
            && entry.connection.as_ref().is_some_and(|seated| seated.serial == self.serial)
        {
            change(entry);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.update(|entry| {
            entry.connection = None;
            entry.statistics = None;
            entry.health.clear();
            entry.view.clear();
            entry.unsaved = true;
        });
        self.registry.changed();
        self.registry.refresh_peers(Utc::now());
    }
}

#[cfg(test)]
mod tests;
