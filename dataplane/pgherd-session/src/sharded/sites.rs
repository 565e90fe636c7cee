//! Where the shards of a session's cluster are: the pools of each, across changes of the topology.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd_config::Cluster;
use pgherd_pool::{CheckoutError, ClientRules, Lease, Need, NoTarget, Shards};
use pgherd_wire::{ErrorResponse, sqlstate};

use super::failure::Failure;
use crate::clients::{ClientEntry, ClientState};
use crate::end::End;
use crate::routing::survival::bit;
use crate::shared::Worker;

/// How long to wait before instances are tried again that have failed.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// The shards as one user of one database sees them.
pub(crate) struct Sites {
    pub(crate) worker: Rc<Worker>,
    entry: Arc<ClientEntry>,
    found: RefCell<Found>,
}

#[derive(Clone)]
struct Found {
    generation: u64,
    shards: Arc<Shards>,
    rules: ClientRules,
    /// Some shard has several instances; reads may go elsewhere than writes by themselves.
    has_choice: bool,
    splits_reads: bool,
}

// === impl Sites ===

impl Sites {
    pub(crate) fn find(worker: Rc<Worker>, entry: Arc<ClientEntry>) -> Result<Self, End> {
        let found = Found::new(&worker, &entry)?;
        Ok(Self { worker, entry, found: RefCell::new(found) })
    }

    /// Looks again when the topology has changed. `true` when it has.
    pub(crate) fn refresh(&self) -> Result<bool, End> {
        if self.worker.shared.directory.generation() == self.found.borrow().generation {
            return Ok(false);
        }
        let found = Found::new(&self.worker, &self.entry)?;
        *self.found.borrow_mut() = found;
        Ok(true)
    }

    pub(crate) fn shards(&self) -> Arc<Shards> {
        Arc::clone(&self.found.borrow().shards)
    }

    pub(crate) fn count(&self) -> usize {
        self.found.borrow().shards.count()
    }

    pub(crate) fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(self.found.borrow().shards.cluster())
    }

    pub(crate) fn rules(&self) -> ClientRules {
        self.found.borrow().rules
    }

    /// Whether there is anything to choose.
    pub(crate) fn has_choice(&self) -> bool {
        self.found.borrow().has_choice
    }

    /// Whether a shard has one instance only.
    pub(crate) fn is_alone(&self, shard: usize) -> bool {
        self.found.borrow().shards.targets(shard).is_none_or(|it| it.is_single())
    }

    /// Whether a shard has a primary, as far as is known.
    pub(crate) fn has_primary(&self, shard: usize) -> bool {
        self.shards().targets(shard).is_some_and(|it| it.choose(&Need::WRITE, 0).is_ok())
    }

    /// Whether reads go elsewhere than writes without being told so.
    pub(crate) fn splits_reads(&self) -> bool {
        self.found.borrow().splits_reads
    }

    pub(crate) fn generation(&self) -> u64 {
        self.found.borrow().generation
    }

    /// A server connection of a shard, as soon as one is to be had. Cancel safe.
    pub(crate) async fn lease(&self, shard: usize, need: Need) -> Result<Lease, Failure> {
        self.refresh()?;
        // Nearly always there is one, and nothing else is to be prepared.
        if let Some(targets) = self.found.borrow().shards.targets(shard)
            && let Ok(pool) = targets.choose(&need, rand::random())
            && let Some(lease) = pool.try_checkout(self.worker.index)
        {
            return Ok(lease);
        }
        let begun = Instant::now();
        let mut need = need;
        let mut last: Option<ErrorResponse<'static>> = None;
        loop {
            self.refresh()?;
            let limit = self.rules().checkout_timeout;
            let shards = self.shards();
            let Some(targets) = shards.targets(shard) else {
                return Err(Failure::End(End::NotServed));
            };
            let changed = targets.changed();
            let failure = match targets.choose(&need, rand::random()) {
                Ok(pool) => {
                    if let Some(lease) = pool.try_checkout(self.worker.index) {
                        return Ok(lease);
                    }
                    self.entry.set_state(ClientState::Waiting);
                    let lease = pool.checkout(self.worker.index, begun, limit).await;
                    self.entry.set_state(ClientState::Active);
                    match lease {
                        Ok(lease) => return Ok(lease),
                        Err(CheckoutError::Retired | CheckoutError::Banned) => continue,
                        Err(error @ CheckoutError::Timeout { .. }) => {
                            return Err(Failure::checkout(&error));
                        }
                        Err(error) => {
                            need.avoid |= bit(pool.instance().index());
                            if begun.elapsed() >= limit || targets.is_single() {
                                return Err(Failure::checkout(&error));
                            }
                            last = Some(crate::login::checkout_error(&error, false));
                            NoTarget::NoneLeft
                        }
                    }
                }
                Err(NoTarget::Replaced) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Err(failure) => failure,
            };
            let left = limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let text = format!("shard {shard}: {failure}");
                let error = ErrorResponse::error(sqlstate::CANNOT_CONNECT_NOW, text);
                return Err(Failure::refused(last.unwrap_or(error)));
            }
            // What has failed once may do next time.
            need.avoid = 0;
            let _changed_or_not = tokio::time::timeout(left.min(RETRY_PAUSE), changed).await;
        }
    }
}

// === impl Found ===

impl Found {
    fn new(worker: &Worker, entry: &ClientEntry) -> Result<Self, End> {
        let directory = &worker.shared.directory;
        // Before the look: a topology that comes meanwhile makes the session look again.
        let generation = directory.generation();
        let shards = directory.shards(&entry.database, &entry.user);
        let shards = shards.map_err(|_| End::NotServed)?;
        let rules = directory.rules(&entry.database, &entry.user);
        let has_choice = shards.all().iter().any(|it| !it.is_single());
        let splits_reads = shards.all().iter().any(|it| it.splits_reads());
        Ok(Self { generation, shards, rules, has_choice, splits_reads })
    }
}
