//! What this process knows of transactions over several shards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_plan::commit::{Outcome, Place, Standing};
use tokio::sync::watch;
use uuid::Uuid;

/// The transactions that are being committed, those that were left to whoever finishes them, and
/// counts of these, by clusters.
#[derive(Debug)]
pub struct Commits {
    entries: Mutex<AHashMap<Uuid, Entry>>,
    /// Raised when something was left, and when something of that is finished.
    changed: watch::Sender<u64>,
    tallies: Mutex<BTreeMap<String, Arc<Tally>>>,
    pub(super) ready: Mutex<AHashMap<Site, Ready>>,
}

/// How much was found in doubt in a cluster, and what became of it.
#[derive(Debug, Default)]
pub struct Tally {
    in_doubt: AtomicU64,
    committed: AtomicU64,
    aborted: AtomicU64,
}

/// A database as a user reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) cluster: String,
    pub(super) user: String,
    pub(super) shard: usize,
}

/// That transactions over several shards can be committed there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// Under which topology that was seen.
    pub(super) generation: u64,
    pub(super) place: Place,
}

#[derive(Debug)]
struct Entry {
    cluster: String,
    standing: Standing,
}

/// A transaction that this process is working on. Dropped, it is left to whoever finishes it.
#[derive(Debug)]
pub(super) struct Working {
    commits: Arc<Commits>,
    pub(super) id: Uuid,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            changed: watch::Sender::new(0),
            tallies: Mutex::default(),
            ready: Mutex::default(),
        }
    }
}

// === impl Commits ===

impl Commits {
    pub(super) fn begin(self: &Arc<Self>, cluster: &str) -> Working {
        let id = Uuid::new_v4();
        let entry = Entry { cluster: cluster.to_owned(), standing: Standing::Working };
        self.entries.lock().insert(id, entry);
        Working { commits: Arc::clone(self), id }
    }

    pub(super) fn standing(&self, id: Uuid) -> Standing {
        self.entries.lock().get(&id).map_or(Standing::Unknown, |entry| entry.standing)
    }

    /// What was left in a cluster.
    pub(super) fn left(&self, cluster: &str) -> Vec<Uuid> {
        let entries = self.entries.lock();
        let left = |entry: &Entry| entry.cluster == cluster && entry.standing == Standing::Left;
        entries.iter().filter(|(_, entry)| left(entry)).map(|(id, _)| *id).collect()
    }

    /// Nothing is left of it.
    pub(super) fn settled(&self, id: Uuid) {
        if self.entries.lock().remove(&id).is_some() {
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Ends when nothing is left of a transaction, or after this time. Cancel safe.
    pub(super) async fn until_settled(&self, id: Uuid, limit: Duration) {
        let mut changed = self.changed.subscribe();
        let settled = async {
            while self.standing(id) != Standing::Unknown && changed.changed().await.is_ok() {}
        };
        // Whether or not: nobody can do more about it.
        let _ = tokio::time::timeout(limit, settled).await;
    }

    /// Raised when something is left.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn tally(&self, cluster: &str) -> Arc<Tally> {
        Arc::clone(self.tallies.lock().entry(cluster.to_owned()).or_default())
    }

    /// The counts of each cluster, by names.
    pub fn tallies(&self) -> Vec<(String, Arc<Tally>)> {
        self.tallies.lock().iter().map(|(name, it)| (name.clone(), Arc::clone(it))).collect()
    }

    /// The cluster has gone, and all that was known of it.
    pub(super) fn forget(&self, cluster: &str) {
        self.tallies.lock().remove(cluster);
        self.entries
            .lock()
            .retain(|_, entry| entry.cluster != cluster || entry.standing == Standing::Working);
        self.ready.lock().retain(|site, _| site.cluster != cluster);
        self.changed.send_modify(|version| *version += 1);
    }
}

// === impl Working ===

impl Working {
    /// Nothing is left to be done.
    pub(super) fn finished(self) {
        self.commits.entries.lock().remove(&self.id);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let left = match self.commits.entries.lock().get_mut(&self.id) {
            Some(entry) => {
                entry.standing = Standing::Left;
                true
            }
            None => false,
        };
        if left {
            self.commits.changed.send_modify(|version| *version += 1);
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn found(&self, in_doubt: usize) {
        self.in_doubt.store(in_doubt as u64, Ordering::Relaxed);
    }

    pub(super) fn resolved(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Committed => &self.committed,
            Outcome::Aborted => &self.aborted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Transactions that were found prepared and that nobody seemed to finish, at the last look.
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// Transactions that this process has finished for others, by their outcomes.
    pub fn resolutions(&self) -> [(&'static str, u64); 2] {
        [("committed", &self.committed), ("aborted", &self.aborted)]
            .map(|(outcome, counter)| (outcome, counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_left_and_what_is_finished_is_not() {
        let commits = Arc::new(Commits::default());
        let (dropped, finished) = (commits.begin("app"), commits.begin("app"));
        let ids = (dropped.id, finished.id);
        assert_eq!(commits.standing(ids.0), Standing::Working);
        drop(dropped);
        finished.finished();
        assert_eq!(commits.standing(ids.0), Standing::Left);
        assert_eq!(commits.standing(ids.1), Standing::Unknown);
        assert_eq!(commits.left("app"), [ids.0]);
        assert!(commits.left("other").is_empty());
        commits.settled(ids.0);
        assert!(commits.left("app").is_empty());
    }

    #[tokio::test]
    async fn who_waits_hears_that_it_is_settled() {
        let commits = Arc::new(Commits::default());
        let working = commits.begin("app");
        let id = working.id;
        drop(working);
        let waiting = commits.until_settled(id, Duration::from_secs(600));
        let settling = async {
            tokio::task::yield_now().await;
            commits.settled(id);
        };
        tokio::join!(waiting, settling);
        assert_eq!(commits.standing(id), Standing::Unknown);
    }
}
