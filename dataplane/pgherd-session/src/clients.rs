//! Every logged-in client of the process: who it is, what it does, and how a cancel finds it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};
use std::task::Waker;
use std::time::SystemTime;

use parking_lot::Mutex;
use pgherd_pool::CancelTarget;
use pgherd_tls::TlsInfo;
use pgherd_wire::startup::{Replication, VERSION_3_2};
use tokio::sync::Notify;

use crate::pins::Pins;

/// Bits of the process id in a cancel key that number the client; those above number the proxy.
const SLOT_BITS: u32 = 20;
/// Highest number of a proxy: the process id must stay positive.
pub const MAX_PROXY_NUMBER: u16 = (1 << (31 - SLOT_BITS)) - 1;

/// What a client is doing, for people who look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClientState {
    /// Nothing: no server connection is held.
    Idle = 0,
    /// It waits for a server connection.
    Waiting = 1,
    /// It has a server connection.
    Active = 2,
}

/// One logged-in client.
#[derive(Debug)]
pub struct ClientEntry {
    /// Index in the registry; part of the cancel key.
    slot: u32,
    /// Number of this proxy when the client got its cancel key.
    proxy_number: u16,
    /// The other part of the cancel key.
    secret: CancelSecret,
    /// User name.
    pub user: Arc<str>,
    /// Database name, as the client gave it.
    pub database: Arc<str>,
    /// Address of the client; `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// `application_name` at login.
    pub application_name: Arc<str>,
    /// What it replicates, if it does.
    pub replication: Option<Replication>,
    /// How its connection is encrypted, if it is.
    pub tls: Option<TlsInfo>,
    /// When it logged in.
    pub connected_at: SystemTime,
    state: AtomicU8,
    /// See [`ClientEntry::pins`].
    pins: AtomicU16,
    /// It is sent a stream that has no end of its own.
    streaming: AtomicBool,
    /// Woken when the process wants something of an idle client.
    waker: Mutex<Option<Waker>>,
    cancel: Mutex<CancelSlot>,
}

#[derive(Debug, Default)]
struct CancelSlot {
    target: Option<Arc<CancelTarget>>,
    /// The server connections of a session over several shards.
    branches: Vec<Arc<CancelTarget>>,
    in_flight: Option<Arc<InFlight>>,
}

/// The secret of a cancel key, in the length that the client's protocol version allows.
#[derive(Clone, Copy)]
pub(crate) enum CancelSecret {
    /// Protocol 3.0.
    Short([u8; 4]),
    /// Protocol 3.2: as long as Postgres makes them.
    Long([u8; 32]),
}

impl CancelSecret {
    /// A new one for a client that speaks this version.
    pub(crate) fn for_version(version: u32) -> Self {
        if version >= VERSION_3_2 {
            Self::Long(rand::random())
        } else {
            Self::Short(rand::random())
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes) => bytes,
            Self::Long(bytes) => bytes,
        }
    }

    /// Takes the same time wherever the two differ.
    fn is(&self, other: &[u8]) -> bool {
        let own = self.as_bytes();
        let differing = own.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
        own.len() == other.len() && differing == 0
    }
}

impl fmt::Debug for CancelSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Cancels that are on their way to one server connection.
#[derive(Debug, Default)]
struct InFlight {
    count: AtomicU16,
    /// One was given up half way: it may arrive at any time.
    lost: AtomicBool,
    done: Notify,
}

/// Whether a server connection can be parted from the client that may cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detach {
    /// No cancel will reach it any more.
    Clean,
    /// A cancel is on its way: wait for [`ClientEntry::cancels_done`] and try again.
    InFlight,
    /// A cancel may still arrive and nobody knows when: it must serve nobody else.
    Lost,
}

/// A cancel on its way. While it lives the server connection serves nobody else.
#[derive(Debug)]
pub struct CancelInFlight {
    /// Where it goes.
    pub targets: Vec<Arc<CancelTarget>>,
    in_flight: Arc<InFlight>,
    settled: bool,
}

impl CancelInFlight {
    /// The server has dealt with it, or never got it.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for CancelInFlight {
    fn drop(&mut self) {
        if !self.settled {
            self.in_flight.lost.store(true, Ordering::Release);
        }
        self.in_flight.count.fetch_sub(1, Ordering::AcqRel);
        self.in_flight.done.notify_waiters();
    }
}

impl ClientEntry {
    /// What the client is doing.
    pub fn state(&self) -> ClientState {
        match self.state.load(Ordering::Relaxed) {
            1 => ClientState::Waiting,
            2 => ClientState::Active,
            _ => ClientState::Idle,
        }
    }

    /// Whether its server connection stays with it because of state.
    pub fn is_pinned(&self) -> bool {
        !self.pins().is_empty()
    }

    /// The state because of which its server connection stays with it.
    pub fn pins(&self) -> Pins {
        Pins::from_bits(self.pins.load(Ordering::Relaxed))
    }

    /// Which server connection it has: where a cancel of this client would go now.
    pub fn server(&self) -> Option<Arc<CancelTarget>> {
        let slot = self.cancel.lock();
        slot.target.clone().or_else(|| slot.branches.first().cloned())
    }

    /// Cancels of what it does that are on their way.
    pub fn cancels(&self) -> usize {
        let slot = self.cancel.lock();
        slot.in_flight
            .as_ref()
            .map_or(0, |in_flight| in_flight.count.load(Ordering::Relaxed).into())
    }

    pub(crate) fn set_state(&self, state: ClientState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn set_pins(&self, pins: Pins) {
        self.pins.store(pins.bits(), Ordering::Relaxed);
    }

    pub(crate) fn set_streaming(&self, streaming: bool) {
        self.streaming.store(streaming, Ordering::Relaxed);
    }

    /// The process id and key by which the client cancels.
    pub fn cancel_key(&self) -> (i32, &[u8]) {
        // Slot 0 of proxy 0 would give process id 0: slots count from one.
        let pid = (u32::from(self.proxy_number) << SLOT_BITS) | (self.slot + 1);
        (pid.cast_signed(), self.secret.as_bytes())
    }

    /// From now on a cancel of this client goes to this server connection.
    pub(crate) fn attach(&self, target: Arc<CancelTarget>) {
        self.cancel.lock().target = Some(target);
    }

    /// From now on a cancel of this client goes to this server connection, too.
    pub(crate) fn attach_branch(&self, target: Arc<CancelTarget>) {
        self.cancel.lock().branches.push(target);
    }

    /// From now on a cancel of this client does not go to this server connection any more.
    pub(crate) fn try_detach_branch(&self, target: &Arc<CancelTarget>) -> Detach {
        let mut slot = self.cancel.lock();
        slot.branches.retain(|it| !Arc::ptr_eq(it, target));
        let Some(in_flight) = &slot.in_flight else { return Detach::Clean };
        if in_flight.count.load(Ordering::Acquire) > 0 {
            return Detach::InFlight;
        }
        let lost = in_flight.lost.load(Ordering::Acquire);
        // As long as there are others the lost one may still be theirs.
        if slot.branches.is_empty() || !lost {
            slot.in_flight = None;
        }
        if lost { Detach::Lost } else { Detach::Clean }
    }

    /// From now on a cancel of this client goes nowhere.
    pub(crate) fn try_detach(&self) -> Detach {
        let mut slot = self.cancel.lock();
        slot.target = None;
        let Some(in_flight) = &slot.in_flight else { return Detach::Clean };
        if in_flight.count.load(Ordering::Acquire) > 0 {
            return Detach::InFlight;
        }
        let lost = in_flight.lost.load(Ordering::Acquire);
        slot.in_flight = None;
        if lost { Detach::Lost } else { Detach::Clean }
    }

    /// Waits until no cancel is on its way. Cancel safe.
    pub(crate) async fn cancels_done(&self) {
        loop {
            let Some(in_flight) = self.cancel.lock().in_flight.clone() else { return };
            let done = in_flight.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if in_flight.count.load(Ordering::Acquire) == 0 {
                return;
            }
            done.await;
        }
    }

    /// Begins a cancel of what the client's server connection runs, if it has one.
    pub(crate) fn begin_cancel(&self) -> Option<CancelInFlight> {
        let mut slot = self.cancel.lock();
        let targets: Vec<_> = slot.target.iter().chain(&slot.branches).cloned().collect();
        if targets.is_empty() {
            return None;
        }
        let in_flight = Arc::clone(slot.in_flight.get_or_insert_default());
        in_flight.count.fetch_add(1, Ordering::AcqRel);
        Some(CancelInFlight { targets, in_flight, settled: false })
    }

    /// Remembers whom to wake when the process wants something of the client.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// Makes the client's task look at the phase of the process again.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.lock() {
            waker.wake_by_ref();
        }
    }
}

/// What is known of a client when it logs in.
#[derive(Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) user: Arc<str>,
    pub(crate) database: Arc<str>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) application_name: Arc<str>,
    pub(crate) replication: Option<Replication>,
    /// The version of the protocol that it speaks.
    pub(crate) version: u32,
    pub(crate) tls: Option<TlsInfo>,
}

/// All logged-in clients, by slot.
#[derive(Debug, Default)]
pub struct ClientRegistry {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    entries: Vec<Option<Arc<ClientEntry>>>,
    free: Vec<u32>,
}

impl ClientRegistry {
    /// Adds a client; `None` when there are more than a million.
    pub(crate) fn add(
        self: &Arc<Self>,
        who: ClientIdentity,
        proxy_number: u16,
    ) -> Option<Registration> {
        let mut slots = self.slots.lock();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(slots.entries.len()).ok()?;
                if slot + 1 >= 1 << SLOT_BITS {
                    return None;
                }
                slots.entries.push(None);
                slot
            }
        };
        let entry = Arc::new(ClientEntry {
            slot,
            proxy_number,
            secret: CancelSecret::for_version(who.version),
            user: who.user,
            database: who.database,
            address: who.address,
            application_name: who.application_name,
            replication: who.replication,
            tls: who.tls,
            connected_at: SystemTime::now(),
            state: AtomicU8::new(ClientState::Idle as u8),
            pins: AtomicU16::new(0),
            streaming: AtomicBool::new(false),
            waker: Mutex::default(),
            cancel: Mutex::default(),
        });
        slots.entries[slot as usize] = Some(Arc::clone(&entry));
        drop(slots);
        Some(Registration { entry, registry: Arc::clone(self) })
    }

    /// How many clients are logged in.
    pub fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.entries.len() - slots.free.len()
    }

    /// Whether nobody is logged in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nobody is left but those who are sent a stream without an end.
    pub fn only_streams(&self) -> bool {
        self.slots.lock().entries.iter().flatten().all(|it| it.streaming.load(Ordering::Relaxed))
    }

    /// All clients.
    pub fn all(&self) -> Vec<Arc<ClientEntry>> {
        self.slots.lock().entries.iter().flatten().cloned().collect()
    }

    /// Wakes every client's task.
    pub fn wake_all(&self) {
        for client in self.all() {
            client.wake();
        }
    }

    /// Wakes the tasks of replication clients, which look at the topology when they move.
    pub fn wake_replication(&self) {
        for client in self.all().iter().filter(|client| client.replication.is_some()) {
            client.wake();
        }
    }

    /// Begins a cancel: `None` when no client has that key or it has no server connection.
    pub(crate) fn begin_cancel(&self, pid: i32, key: &[u8]) -> Option<CancelInFlight> {
        let slot = (pid.cast_unsigned() & ((1 << SLOT_BITS) - 1)).checked_sub(1)?;
        let entry = self.slots.lock().entries.get(slot as usize)?.clone()?;
        // The whole of it: the sign belongs to no number.
        if entry.cancel_key().0 != pid || !entry.secret.is(key) {
            return None;
        }
        entry.begin_cancel()
    }

    /// The proxy that gave out a process id.
    pub(crate) fn owner(pid: i32) -> u16 {
        u16::try_from(pid.cast_unsigned() >> SLOT_BITS & u32::from(MAX_PROXY_NUMBER)).unwrap_or(0)
    }
}

/// A client's place in the registry, given up when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) entry: Arc<ClientEntry>,
    registry: Arc<ClientRegistry>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut slots = self.registry.slots.lock();
        let slot = self.entry.slot;
        slots.entries[slot as usize] = None;
        slots.free.push(slot);
    }
}
