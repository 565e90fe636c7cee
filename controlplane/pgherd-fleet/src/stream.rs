//! One proxy's stream, from its greeting to its end.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use chrono::Utc;
use pgherd_proto::v1::{
    Hello, Peers, Ping, Refused, SnapshotId, Up, Welcome, down::Message as Down, up::Message,
};
use pgherd_store::ProxyHello;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tonic::{Status, Streaming};

use crate::{
    Fleet, Identity, Snapshot,
    authority::Authority,
    bans::{Decided, message},
    convert,
    delivery::Delivery,
    instances::InstanceView,
    outbox::Outbox,
    registry::Seat,
};

/// How long a proxy may take to greet.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// How long finding the number of a new proxy may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(5);
const PING_EVERY: Duration = Duration::from_secs(5);
/// A proxy that says nothing for this long, not even a pong, is given up.
const SILENT_FOR: Duration = Duration::from_secs(15);
/// How often a proxy sends its numbers.
const STATISTICS_EVERY_SECONDS: u32 = 2;

/// What can happen on a stream.
enum Event {
    Said(Option<Message>),
    Ended(Option<Status>),
    NewTopology,
    NewPeers,
    NewBans,
    NewTokens,
    Tick,
    Replaced,
    Shutdown,
}

/// A stream whose proxy has not greeted yet.
pub struct ProxyStream {
    fleet: Fleet,
    identity: Identity,
    outbox: Arc<Outbox>,
}

/// A stream whose proxy is known.
struct Session {
    fleet: Fleet,
    identity: Identity,
    outbox: Arc<Outbox>,
    seat: Seat,
    delivery: Delivery,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    peers: watch::Receiver<Arc<Peers>>,
    bans: watch::Receiver<Arc<Decided>>,
    authority: watch::Receiver<Arc<Authority>>,
    last_heard: Instant,
    nonce: u64,
}

impl ProxyStream {
    /// A stream that was just opened by the holder of a token.
    pub fn new(fleet: Fleet, identity: Identity, outbox: Arc<Outbox>) -> Self {
        Self { fleet, identity, outbox }
    }

    /// Serves the stream until it ends.
    pub async fn run(self, mut inbound: Streaming<Up>) {
        // The task may also end by a panic; the stream must not stay open without it.
        let _close = CloseOnDrop(Arc::clone(&self.outbox));
        let greeting = tokio::select! {
            () = self.fleet.inner.shutdown.cancelled() => return,
            greeting = timeout(HELLO_WITHIN, inbound.message()) => greeting,
        };
        let hello = match greeting {
            Ok(Ok(Some(Up { message: Some(Message::Hello(hello)) }))) => hello,
            Ok(Ok(Some(_))) => return self.refuse("bad_hello", "the first message is not Hello"),
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => return self.refuse("bad_hello", "no Hello came in time"),
        };
        if let Some(session) = self.greet(hello).await {
            session.run(inbound).await;
        }
    }

    async fn greet(self, hello: Hello) -> Option<Session> {
        let known = match convert::hello(&hello) {
            Ok(known) => known,
            Err(error) => {
                self.refuse("bad_hello", &error.to_string());
                return None;
            }
        };
        let number = self.number(&known).await?;
        let inner = &self.fleet.inner;
        tracing::info!(
            proxy = known.id,
            number,
            version = known.version,
            address = known.address,
            "proxy connected"
        );
        let outbox = Arc::clone(&self.outbox);
        let seat = inner.registry.seat(known, number, hello.holds.clone(), outbox, Utc::now());
        if seat.restarted {
            inner.bans.forget(seat.id());
        }
        let delivery = Delivery::new(hello.holds.clone(), seat.refusal.clone());
        let mut session = Session {
            snapshots: inner.snapshot.subscribe(),
            peers: inner.registry.peers(),
            bans: inner.bans.decided(),
            authority: inner.authority.subscribe(),
            fleet: self.fleet,
            identity: self.identity,
            outbox: self.outbox,
            seat,
            delivery,
            last_heard: Instant::now(),
            nonce: 0,
        };
        session.outbox.put(Down::Welcome(Welcome {
            proxy_number: u32::try_from(number).expect("the database has only positive numbers"),
            statistics_interval_seconds: STATISTICS_EVERY_SECONDS,
        }));
        session.warn_if_ahead(hello.holds.as_ref());
        // Before the topology, so that nothing is used that is banned.
        session.offer_bans();
        session.offer_topology();
        session.offer_peers();
        Some(session)
    }

    /// The proxy's number: from memory where possible, so that a known proxy is welcome while the
    /// database is away.
    async fn number(&self, hello: &ProxyHello) -> Option<i32> {
        let inner = &self.fleet.inner;
        if let Some(number) = inner.registry.number(&hello.id) {
            return Some(number);
        }
        match timeout(REGISTER_WITHIN, inner.store.register_proxy(hello)).await {
            Ok(Ok(number)) => Some(number),
            failed => {
                tracing::warn!(proxy = hello.id, ?failed, "a new proxy cannot be registered");
                self.outbox.fail(Status::unavailable(
                    "this proxy is new and the control plane's database is away",
                ));
                None
            }
        }
    }

    fn refuse(&self, code: &str, message: &str) {
        refuse(&self.outbox, code, message);
    }
}

impl Session {
    async fn run(mut self, mut inbound: Streaming<Up>) {
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.fleet.inner.shutdown.clone();
        let replaced = self.seat.replaced.clone();
        loop {
            // Arms only wait; `apply` acts. `message` keeps what it has read of a message.
            let event = tokio::select! {
                said = inbound.message() => match said {
                    Ok(Some(up)) => Event::Said(up.message),
                    Ok(None) => Event::Ended(None),
                    Err(status) => Event::Ended(Some(status)),
                },
                Ok(()) = self.snapshots.changed() => Event::NewTopology,
                Ok(()) = self.peers.changed() => Event::NewPeers,
                Ok(()) = self.bans.changed() => Event::NewBans,
                Ok(()) = self.authority.changed() => Event::NewTokens,
                _ = ticks.tick() => Event::Tick,
                () = replaced.cancelled() => Event::Replaced,
                () = shutdown.cancelled() => Event::Shutdown,
            };
            if self.apply(event).is_break() {
                return;
            }
        }
    }

    fn apply(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Said(message) => {
                self.last_heard = Instant::now();
                self.seat.heard(Utc::now());
                match message {
                    Some(message) => return self.hear(message),
                    // A kind of message that a newer proxy knows.
                    None => tracing::debug!(proxy = self.seat.id(), "unknown message"),
                }
            }
            Event::Ended(why) => {
                if self.seat.has_drained() {
                    // It is not coming back: what it said last is no evidence any more.
                    self.fleet.inner.bans.forget(self.seat.id());
                }
                tracing::info!(
                    proxy = self.seat.id(),
                    why = why.as_ref().map(Status::message),
                    "proxy disconnected"
                );
                return ControlFlow::Break(());
            }
            Event::NewTopology => self.offer_topology(),
            Event::NewPeers => self.offer_peers(),
            Event::NewBans => self.offer_bans(),
            Event::NewTokens => {
                let holds = self.authority.borrow_and_update().still_holds(&self.identity);
                if !holds {
                    return self.end("token_revoked", "the token of this proxy was revoked");
                }
            }
            Event::Tick => return self.tick(),
            Event::Replaced => {
                return self.end("replaced", "another process connected with the same proxy id");
            }
            Event::Shutdown => {
                self.outbox.fail(Status::unavailable("the control plane shuts down"));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    fn hear(&mut self, message: Message) -> ControlFlow<()> {
        let now = Utc::now();
        match message {
            Message::Hello(_) => return self.end("bad_hello", "Hello came a second time"),
            Message::Ack(ack) => {
                let Some(id) = ack.snapshot else { return self.no_snapshot_named() };
                tracing::info!(
                    proxy = self.seat.id(),
                    generation = id.generation,
                    "proxy runs the topology"
                );
                self.delivery.acknowledged(id.clone());
                self.seat.acknowledged(id);
            }
            Message::Nack(nack) => {
                let record = convert::nack(&nack, now);
                let Some(id) = nack.snapshot else { return self.no_snapshot_named() };
                tracing::error!(
                    proxy = self.seat.id(),
                    generation = id.generation,
                    code = record.code,
                    pointer = record.pointer,
                    message = record.message,
                    "proxy refused the topology"
                );
                let at = std::time::Instant::now();
                let refusal = self.delivery.refuse(&id, nack.retriable, at).clone();
                self.seat.refused(record, refusal);
            }
            Message::Statistics(statistics) => {
                self.seat.statistics(convert::statistics(statistics, now));
            }
            Message::View(view) => {
                let kept =
                    view.instances.iter().take(message::MAX_VIEW).map(InstanceView::new).collect();
                let (votes, zone) = self.seat.view(kept);
                let report = message::report(&view, self.seat.id().to_owned(), zone, votes);
                self.fleet.inner.bans.absorb(&report);
            }
            Message::Health(health) => self.seat.health(convert::health(health, now)),
            Message::Draining(_) => {
                tracing::info!(proxy = self.seat.id(), "proxy drains");
                self.seat.draining();
            }
            Message::Pong(_) => {}
        }
        ControlFlow::Continue(())
    }

    fn tick(&mut self) -> ControlFlow<()> {
        if self.last_heard.elapsed() >= SILENT_FOR {
            tracing::info!(proxy = self.seat.id(), "nothing was heard from the proxy for 15 s");
            self.outbox
                .fail(Status::deadline_exceeded("nothing was heard from the proxy for 15 s"));
            return ControlFlow::Break(());
        }
        self.nonce += 1;
        self.outbox.put(Down::Ping(Ping { nonce: self.nonce }));
        // A snapshot that was refused for a passing reason may be due again.
        self.offer_topology();
        // Automatic bans hold only for a while unless they are said again.
        if self.bans.borrow().needs_repeating() {
            self.offer_bans();
        }
        ControlFlow::Continue(())
    }

    fn offer_topology(&mut self) {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        self.seat.retain_health(|seen| {
            snapshot.cluster(&seen.cluster).is_some_and(|stored| {
                let shards = stored.cluster.shards.iter();
                shards
                    .flat_map(|shard| &shard.instances)
                    .any(|instance| format!("{}:{}", instance.host, instance.port) == seen.instance)
            })
        });
        let id = snapshot.id();
        // Generation 0 is a database without a revision: there is nothing to serve yet.
        if id.generation > 0 && self.delivery.wants(&id, std::time::Instant::now()) {
            self.delivery.sent(id);
            self.outbox.put(Down::Snapshot(snapshot.message()));
        }
    }

    fn offer_bans(&mut self) {
        let message = self.bans.borrow_and_update().message(Instant::now());
        self.outbox.put(Down::FleetBans(message));
    }

    fn offer_peers(&mut self) {
        let peers = Peers::clone(&self.peers.borrow_and_update());
        self.outbox.put(Down::Peers(peers));
    }

    /// A proxy can only be ahead of the database when the database went back in time.
    fn warn_if_ahead(&self, holds: Option<&SnapshotId>) {
        let current = self.snapshots.borrow().id();
        if let Some(holds) = holds
            && holds.lineage == current.lineage
            && holds.generation > current.generation
        {
            tracing::error!(
                proxy = self.seat.id(),
                holds = holds.generation,
                current = current.generation,
                "a proxy holds a newer topology than the database: was it put back from a copy? \
                 Start the control plane once with --new-lineage, or the proxy will refuse changes"
            );
        }
    }

    fn no_snapshot_named(&self) -> ControlFlow<()> {
        self.end("bad_message", "an Ack or Nack names no snapshot")
    }

    fn end(&self, code: &str, message: &str) -> ControlFlow<()> {
        tracing::info!(proxy = self.seat.id(), code, message, "stream ended by the control plane");
        refuse(&self.outbox, code, message);
        ControlFlow::Break(())
    }
}

fn refuse(outbox: &Outbox, code: &str, message: &str) {
    outbox.put(Down::Refused(Refused { code: code.to_owned(), message: message.to_owned() }));
}

struct CloseOnDrop(Arc<Outbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
