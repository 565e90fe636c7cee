//! What a branch waits for, as those see it who may end its wait: a shard that is silent, a cycle
//! of transactions that wait for each other.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use pgherd_pool::{InstanceState, Lease, Role};
use pgherd_wire::ErrorResponse;

use super::reads::Blamed;

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(5);

/// Why a branch does not wait any more.
#[derive(Debug)]
pub(crate) enum Cut {
    /// Its instance does not answer.
    Silent,
    /// The statement took too long, and cancelling it was of no use.
    TookTooLong,
    /// What the client is told; the connection is as good as before.
    Refused(Box<ErrorResponse<'static>>),
}

/// One branch.
#[derive(Debug)]
pub(crate) struct Presence {
    pub(crate) shard: usize,
    pub(crate) instance: Arc<InstanceState>,
    /// The process id of its backend.
    pub(crate) pid: i32,
    pub(crate) on_primary: bool,
    /// Raised by everything that its server says.
    heard: Cell<u32>,
    waits: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    cut: RefCell<Option<Cut>>,
}

/// The branches of a session.
#[derive(Debug, Default)]
pub(crate) struct Presences(RefCell<Vec<Weak<Presence>>>);

// === impl Presence ===

impl Presence {
    fn new(lease: &Lease, shard: usize, is_alone: bool) -> Self {
        let instance = Arc::clone(lease.pool().instance());
        let on_primary = is_alone || instance.role() == Role::Primary;
        let pid = lease.info.cancel.pid;
        Self {
            shard,
            instance,
            pid,
            on_primary,
            heard: Cell::default(),
            waits: Cell::default(),
            waker: RefCell::default(),
            cut: RefCell::default(),
        }
    }

    pub(crate) fn blamed(&self) -> Blamed {
        Blamed { shard: self.shard, index: self.instance.index(), on_primary: self.on_primary }
    }

    /// From now on the server owes something.
    pub(crate) fn wait(&self, waker: &Waker) {
        self.waits.set(true);
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// The server has said something.
    pub(crate) fn hear(&self) {
        self.rest();
        self.heard.set(self.heard.get().wrapping_add(1));
    }

    /// Nothing is waited for any more, whatever was.
    pub(crate) fn rest(&self) {
        self.waits.set(false);
        self.cut.take();
    }

    /// Why it is not to wait any more.
    pub(crate) fn take_cut(&self) -> Option<Cut> {
        self.cut.take()
    }

    /// Ends its wait, if it waits.
    pub(crate) fn cut(&self, cut: Cut) -> bool {
        if !self.waits.get() {
            return false;
        }
        self.cut.replace(Some(cut));
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
        true
    }
}

// === impl Presences ===

impl Presences {
    /// One more branch.
    pub(crate) fn add(&self, lease: &Lease, shard: usize, is_alone: bool) -> Rc<Presence> {
        let presence = Rc::new(Presence::new(lease, shard, is_alone));
        let mut all = self.0.borrow_mut();
        all.retain(|it| it.strong_count() > 0);
        all.push(Rc::downgrade(&presence));
        presence
    }

    fn waiting(&self) -> Vec<Rc<Presence>> {
        let all = self.0.borrow();
        all.iter().filter_map(Weak::upgrade).filter(|it| it.waits.get()).collect()
    }

    /// Ends the wait of the branch with this backend, if it waits.
    pub(crate) fn cut(&self, shard: usize, pid: i32, cut: Cut) -> bool {
        let waiting = self.waiting();
        let found = waiting.iter().find(|it| it.shard == shard && it.pid == pid);
        found.is_some_and(|it| it.cut(cut))
    }

    /// Ends all waits. `false` when there is none.
    pub(crate) fn give_up(&self) -> bool {
        let waiting = self.waiting();
        waiting.iter().filter(|it| it.cut(Cut::TookTooLong)).count() > 0
    }

    /// The servers have been silent: finds out over other connections which of their instances are,
    /// and ends the waits for these.
    pub(crate) fn probe(&self) {
        for presence in self.waiting() {
            let heard = presence.heard.get();
            // It ends by itself within seconds, or with the worker.
            tokio::task::spawn_local(async move {
                let answers = presence.instance.probe(PROBE).await;
                if !answers && presence.heard.get() == heard && presence.cut(Cut::Silent) {
                    let instance = presence.instance.key.to_string();
                    tracing::warn!(
                        instance,
                        shard = presence.shard,
                        "a query and a probe are both without an answer"
                    );
                }
            });
        }
    }
}
