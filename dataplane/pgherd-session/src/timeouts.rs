//! How long clients may take or do nothing: a coarse sweep over the sessions that have such limits.
//!
//! A timer for each statement would cost more than the relay itself. Instead a session with limits
//! says before it sleeps what it is doing, and each worker looks from time to time who has been
//! doing the same for too long. Sessions without limits pay nothing.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd_config::ClientTimeouts;
use pgherd_wire::frontend;
use tokio::sync::Notify;

use crate::cancel;
use crate::clients::ClientEntry;
use crate::end::End;
use crate::session::Session;
use crate::shared::Worker;

/// How often sessions are looked at: this part of the shortest limit, within bounds. What expires
/// is noticed at most two looks later.
const LOOKS: u32 = 20;
const SHORTEST_TICK: Duration = Duration::from_millis(10);
const LONGEST_TICK: Duration = Duration::from_millis(250);

/// How often a query that goes on is cancelled again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a query may go on after it was cancelled first.
const GRACE: Duration = Duration::from_secs(5);

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(5);

/// What a session is doing, as far as a limit applies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Nothing, outside of transactions.
    Idle,
    /// It waits for a server connection, for which the pool has its own limit.
    Waiting,
    /// The server owes an answer.
    Running,
    /// Nothing, inside a transaction or a batch.
    IdleInTransaction,
}

impl Activity {
    fn is_in_transaction(self) -> bool {
        matches!(self, Self::Running | Self::IdleInTransaction)
    }
}

/// What has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expired {
    /// A query, which is to be cancelled.
    Query,
    /// A query that has been cancelled and goes on.
    Cancel,
    Transaction,
    IdleInTransaction,
    Idle,
    /// The server has said nothing for so long that its instance is to be probed.
    Stall,
    /// And the instance does not answer either.
    Silence,
}

/// What a session over several shards does itself because something has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// The instances from which it waits for something are to be probed.
    Probe,
    /// What it waits for does not come, although it was cancelled.
    GiveUp,
}

/// A session with limits, as the sweep sees it.
#[derive(Debug)]
pub(crate) struct Watch {
    limits: ClientTimeouts,
    entry: Arc<ClientEntry>,
    activity: Cell<Activity>,
    /// Raised by everything that the server says.
    heard: Cell<u32>,
    /// Raised by every statement and every transaction that ends.
    statements: Cell<u32>,
    transactions: Cell<u32>,
    expired: Cell<Option<Expired>>,
    /// A cancel of this proxy is on its way.
    cancelling: Cell<bool>,
    seen: Cell<Seen>,
}

/// What the last look has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    activity: Activity,
    statements: u32,
    transactions: u32,
    heard: u32,
    /// Since when the server has been silent.
    silent_since: Instant,
    /// Since when it is doing that, and since when it is in this transaction.
    since: Instant,
    transaction_since: Instant,
    /// When its query was cancelled first, and last.
    cancelled: Option<(Instant, Instant)>,
}

/// The sessions of one worker that have limits.
#[derive(Debug, Default)]
pub struct Watches {
    list: RefCell<Vec<Weak<Watch>>>,
    added: Notify,
}

impl Watch {
    /// Watches a session, if it has limits.
    pub(crate) fn begin(
        worker: &Worker,
        limits: ClientTimeouts,
        entry: &Arc<ClientEntry>,
    ) -> Option<Rc<Self>> {
        limits.shortest()?;
        let now = Instant::now();
        let watch = Rc::new(Self {
            limits,
            entry: Arc::clone(entry),
            activity: Cell::new(Activity::Idle),
            heard: Cell::new(0),
            statements: Cell::new(0),
            transactions: Cell::new(0),
            expired: Cell::new(None),
            cancelling: Cell::new(false),
            seen: Cell::new(Seen {
                activity: Activity::Idle,
                statements: 0,
                transactions: 0,
                heard: 0,
                silent_since: now,
                since: now,
                transaction_since: now,
                cancelled: None,
            }),
        });
        worker.watches.list.borrow_mut().push(Rc::downgrade(&watch));
        worker.watches.added.notify_one();
        Some(watch)
    }

    pub(crate) fn limits(&self) -> ClientTimeouts {
        self.limits
    }

    /// From now on the session does this.
    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.set(activity);
    }

    /// For a session over several shards: does what is due because something has taken too long.
    pub(crate) fn obey(self: &Rc<Self>) -> Result<Due, End> {
        match self.expired.take() {
            Some(Expired::Query) => self.cancel_what_runs(),
            Some(Expired::Cancel) => return Ok(Due::GiveUp),
            Some(Expired::Transaction) => return Err(End::TransactionTimeout),
            Some(Expired::IdleInTransaction) => return Err(End::IdleInTransactionTimeout),
            Some(Expired::Idle) => return Err(End::IdleTimeout),
            Some(Expired::Silence) => return Err(End::ServerSilent),
            // Which of the shards it is that is silent is not known here.
            Some(Expired::Stall) => return Ok(Due::Probe),
            None => {}
        }
        Ok(Due::Nothing)
    }

    fn cancel_what_runs(self: &Rc<Self>) {
        if self.cancelling.get() {
            return;
        }
        let Some(in_flight) = self.entry.begin_cancel() else { return };
        self.cancelling.set(true);
        let watch = Rc::clone(self);
        // It ends by itself within seconds, or with the worker. Meanwhile the server connection
        // serves nobody else.
        tokio::task::spawn_local(async move {
            cancel::deliver(in_flight).await;
            watch.cancelling.set(false);
            watch.entry.wake();
        });
    }

    pub(crate) fn server_spoke(&self) {
        self.heard.set(self.heard.get().wrapping_add(1));
    }

    pub(crate) fn statement_ended(&self) {
        self.statements.set(self.statements.get().wrapping_add(1));
    }

    pub(crate) fn transaction_ended(&self) {
        self.transactions.set(self.transactions.get().wrapping_add(1));
    }

    /// Looks at the session, and wakes it when something has taken too long. Returns when the next
    /// look is due.
    fn look(&self, now: Instant) -> Duration {
        let mut seen = self.seen.get();
        let was_in_transaction = seen.activity.is_in_transaction();
        let (activity, statements) = (self.activity.get(), self.statements.get());
        if (activity, statements) != (seen.activity, seen.statements) {
            seen = Seen { activity, statements, since: now, cancelled: None, ..seen };
        }
        let in_transaction = activity.is_in_transaction();
        if !in_transaction || !was_in_transaction || self.transactions.get() != seen.transactions {
            seen.transactions = self.transactions.get();
            seen.transaction_since = now;
        }
        if activity != Activity::Running || self.heard.get() != seen.heard {
            seen.heard = self.heard.get();
            seen.silent_since = now;
        }
        let expired = self.judge(&mut seen, in_transaction, now);
        self.seen.set(seen);
        if expired.is_some() {
            self.expired.set(expired);
            self.entry.wake();
        }
        let shortest = self.limits.shortest().unwrap_or(LONGEST_TICK);
        (shortest / LOOKS).clamp(SHORTEST_TICK, LONGEST_TICK)
    }

    fn judge(&self, seen: &mut Seen, in_transaction: bool, now: Instant) -> Option<Expired> {
        let over = |limit: Option<Duration>, since| limit.is_some_and(|limit| now - since >= limit);
        if in_transaction && over(self.limits.transaction, seen.transaction_since) {
            return Some(Expired::Transaction);
        }
        match seen.activity {
            Activity::Idle if over(self.limits.idle, seen.since) => Some(Expired::Idle),
            Activity::IdleInTransaction if over(self.limits.idle_in_transaction, seen.since) => {
                Some(Expired::IdleInTransaction)
            }
            Activity::Running if over(self.limits.query, seen.since) => {
                let (first, last) = seen.cancelled.unwrap_or((now, now));
                if seen.cancelled.is_some() && now - last < AGAIN {
                    return None;
                }
                seen.cancelled = Some((first, now));
                Some(if now - first >= GRACE { Expired::Cancel } else { Expired::Query })
            }
            Activity::Running if over(self.limits.stall, seen.silent_since) => {
                seen.silent_since = now;
                Some(Expired::Stall)
            }
            _ => None,
        }
    }
}

/// Looks at the sessions of a worker for as long as it lives. Never returns; cancel safe.
pub async fn sweep(worker: Rc<Worker>) {
    let watches = &worker.watches;
    loop {
        let now = Instant::now();
        let mut next = None;
        watches.list.borrow_mut().retain(|watch| {
            let Some(watch) = watch.upgrade() else { return false };
            let due = watch.look(now);
            next = Some(next.map_or(due, |next: Duration| next.min(due)));
            true
        });
        match next {
            // One with a shorter limit may come meanwhile.
            Some(tick) => {
                let _ = tokio::time::timeout(tick, watches.added.notified()).await;
            }
            None => watches.added.notified().await,
        }
    }
}

impl Session {
    /// Tells the sweep what this session does from now on.
    pub(crate) fn note_activity(&self, activity: Activity) {
        if let Some(watch) = &self.watch {
            watch.activity.set(activity);
        }
    }

    /// The same, with a server connection in hand.
    pub(crate) fn note_relaying(&self) {
        if let Some(watch) = &self.watch
            && let Some(lease) = &self.lease
        {
            let owed = &lease.owed;
            watch.activity.set(if !owed.is_empty() || !self.from_client.outbox.is_empty() {
                Activity::Running
            } else if owed.is_free() {
                Activity::Idle
            } else {
                Activity::IdleInTransaction
            });
        }
    }

    /// Does what is due because something has taken too long.
    pub(crate) fn obey_timeouts(&mut self) -> Result<(), End> {
        let Some(watch) = &self.watch else { return Ok(()) };
        let Some(expired) = watch.expired.take() else { return Ok(()) };
        match expired {
            Expired::Query => self.cancel_query(),
            Expired::Stall => self.probe_instance(),
            Expired::Silence => return Err(End::ServerSilent),
            Expired::Cancel => return Err(End::QueryTimeout),
            Expired::Transaction => return Err(End::TransactionTimeout),
            Expired::IdleInTransaction => return Err(End::IdleInTransactionTimeout),
            Expired::Idle => return Err(End::IdleTimeout),
        }
        Ok(())
    }

    /// The same without a server connection: only idleness counts.
    pub(crate) fn obey_idle_timeout(&self) -> Result<(), End> {
        match self.watch.as_ref().and_then(|watch| watch.expired.take()) {
            Some(Expired::Idle) => Err(End::IdleTimeout),
            _ => Ok(()),
        }
    }

    /// Whether the next statement waits, lest it be hit by the cancel of the last one.
    pub(crate) fn waits_for_cancel(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.cancelling.get())
            && self.lease.as_ref().is_some_and(|lease| lease.owed.is_answered())
    }

    /// The server has been silent: finds out over another connection whether its instance is too.
    fn probe_instance(&self) {
        let (Some(watch), Some(lease)) = (&self.watch, &self.lease) else { return };
        // It waits for the client, not the client for it.
        if !self.from_server.outbox.is_empty() || lease.owed.is_copy_in() {
            return;
        }
        let instance = Arc::clone(self.pool.instance());
        let (watch, heard) = (Rc::clone(watch), watch.heard.get());
        let statements = watch.statements.get();
        // It ends by itself within seconds, or with the worker.
        tokio::task::spawn_local(async move {
            let answers = instance.probe(PROBE).await;
            let is_same = watch.heard.get() == heard && watch.statements.get() == statements;
            if !answers && is_same {
                let instance = instance.key.to_string();
                tracing::warn!(instance, "a query and a probe are both without an answer");
                watch.expired.set(Some(Expired::Silence));
                watch.entry.wake();
            }
        });
    }

    fn cancel_query(&mut self) {
        let (Some(watch), Some(lease)) = (&self.watch, &mut self.lease) else { return };
        // While it reads copy data Postgres looks at no cancel. A client in the middle of sending
        // some leaves no room for the end of it.
        if lease.owed.is_copy_in()
            && self.from_client.is_between_messages()
            && self.from_client.outbox.is_empty()
        {
            let outbox = &mut self.from_client.outbox;
            outbox.own(|out| frontend::put_copy_fail(out, b"query_timeout"));
            lease.owed.push_copy_end();
            return;
        }
        watch.cancel_what_runs();
    }
}

#[cfg(test)]
mod tests;
