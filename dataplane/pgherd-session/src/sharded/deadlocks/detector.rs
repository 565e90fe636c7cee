//! Looks for circles while somebody waits, and ends them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pgherd_pool::{Endpoint, Errand, ErrandError, ErrandRows, Primaries};

use super::graph::{Cycle, Edge, Graph, detail, mark, read_mark};
use super::{Party, Sentence};
use crate::shared::Shared;

/// How often it is looked whether somebody waits.
const TICK: Duration = Duration::from_millis(200);
/// The same while a circle is suspected.
const SOON: Duration = Duration::from_millis(60);
/// How long a statement runs before anybody is asked, at least.
const PATIENCE: Duration = Duration::from_millis(400);
/// How often a circle must be seen, each time whole and the same.
const SIGHTS: u32 = 3;
/// How long a shard may take to say who waits there.
const ANSWER: Duration = Duration::from_secs(1);
/// How long connections are kept that nobody needs.
const KEPT: Duration = Duration::from_secs(10);

/// What the connections do first: they never wait for long.
const FIRST: &str = "SET search_path = pg_catalog; SET lock_timeout = '100ms'; \
    SET statement_timeout = '1s'; SET client_min_messages = warning; \
    SELECT pg_catalog.pg_try_advisory_lock_shared(8100428953410203492)";

/// Held by all detectors, so that their marks are told from locks of applications.
const DETECTORS: i64 = 8_100_428_953_410_203_492;

/// A row for each wait: who, for whom, in which transaction, for what; then one for each mark, and
/// one for `deadlock_timeout`.
fn question() -> String {
    format!(
        "SELECT 'w', l.pid, b.pid, l.virtualtransaction, l.mode || ' on ' || CASE l.locktype \
           WHEN 'transactionid' THEN 'transaction ' || l.transactionid \
           WHEN 'tuple' THEN format('tuple (%s,%s) of relation %s of database %s', \
             l.page, l.tuple, l.relation, l.database) \
           WHEN 'relation' THEN format('relation %s of database %s', l.relation, l.database) \
           WHEN 'page' THEN format('page %s of relation %s of database %s', \
             l.page, l.relation, l.database) \
           WHEN 'extend' THEN format('extension of relation %s of database %s', \
             l.relation, l.database) \
           WHEN 'virtualxid' THEN 'virtual transaction ' || l.virtualxid \
           WHEN 'object' THEN format('object %s of class %s of database %s', \
             l.objid, l.classid, l.database) \
           WHEN 'advisory' THEN format('advisory lock [%s,%s,%s,%s]', \
             l.database, l.classid, l.objid, l.objsubid) \
           ELSE l.locktype END \
         FROM pg_locks l, unnest(pg_blocking_pids(l.pid)) b(pid) \
         WHERE NOT l.granted AND b.pid <> 0 \
         UNION ALL \
         SELECT 'm', NULL, NULL, ((m.classid::bigint << 32) | m.objid::bigint)::text, NULL \
         FROM pg_locks m WHERE m.locktype = 'advisory' AND m.objsubid = 1 AND m.granted \
           AND m.mode = 'ShareLock' AND m.database = \
             (SELECT oid FROM pg_database WHERE datname = current_database()) \
           AND m.pid IN (SELECT d.pid FROM pg_locks d \
             WHERE d.locktype = 'advisory' AND d.objsubid = 1 AND d.granted \
             AND d.mode = 'ShareLock' AND d.database = m.database \
             AND ((d.classid::bigint << 32) | d.objid::bigint) = {DETECTORS}) \
         UNION ALL \
         SELECT 't', NULL, NULL, (extract(epoch FROM current_setting('deadlock_timeout')::interval) \
           * 1000)::bigint::text, NULL"
    )
}

/// What looks after the transactions of one cluster.
pub(in crate::sharded) struct Detector {
    shared: Arc<Shared>,
    cluster: String,
    outposts: BTreeMap<usize, Outpost>,
    /// How often circles were seen in a row.
    suspects: BTreeMap<Cycle, u32>,
    needed: Instant,
}

/// A connection to a shard, and the marks that it holds.
struct Outpost {
    endpoint: Endpoint,
    errand: Errand,
    marks: BTreeSet<i64>,
}

/// A party whose statement has been running for a while.
struct Waiting {
    party: Arc<Party>,
    request: u64,
    branches: Vec<(usize, i32)>,
}

// === impl Detector ===

impl Detector {
    pub(in crate::sharded) fn new(shared: Arc<Shared>, cluster: &str) -> Self {
        Self {
            shared,
            cluster: cluster.to_owned(),
            outposts: BTreeMap::new(),
            suspects: BTreeMap::new(),
            needed: Instant::now(),
        }
    }

    /// Never returns; cancel safe.
    pub(in crate::sharded) async fn run(mut self) {
        loop {
            tokio::time::sleep(if self.suspects.is_empty() { TICK } else { SOON }).await;
            let waiting = self.waiting();
            if waiting.is_empty() {
                self.suspects.clear();
                let is_idle = self.needed.elapsed() >= KEPT;
                // With the connection its marks are gone, too.
                self.outposts.retain(|_, outpost| !is_idle && outpost.marks.is_empty());
                continue;
            }
            self.needed = Instant::now();
            self.look(&waiting).await;
        }
    }

    fn waiting(&self) -> Vec<Waiting> {
        let parties = self.shared.deadlocks.of(&self.cluster).into_iter();
        let waiting = parties.filter_map(|party| {
            let request = party.running(PATIENCE)?;
            let branches = party.branches.lock().clone();
            Some(Waiting { party, request, branches })
        });
        waiting.collect()
    }

    async fn look(&mut self, waiting: &[Waiting]) {
        let Some(primaries) = self.shared.directory.primaries(&self.cluster) else { return };
        let mut marks: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
        for it in waiting {
            for (shard, pid) in &it.branches {
                let of_shard = marks.entry(*shard).or_default();
                of_shard.extend(mark(it.party.id, *pid));
            }
        }
        let mut outposts = std::mem::take(&mut self.outposts);
        let asking = marks.into_iter().map(|(shard, marks)| {
            let outpost = outposts.remove(&shard);
            let primaries = &primaries;
            async move {
                match ask(primaries, shard, outpost, marks).await {
                    Ok((outpost, rows)) => Some((shard, outpost, rows)),
                    Err(error) => {
                        tracing::debug!(shard, "does not say who waits there: {error}");
                        None
                    }
                }
            }
        });
        let answers = join_all(asking.collect::<Vec<_>>()).await;
        let mut sights = Vec::new();
        for (shard, outpost, rows) in answers.into_iter().flatten() {
            self.outposts.insert(shard, outpost);
            sights.push((shard, rows));
        }
        let (graph, patience) = read(waiting, &sights);
        let mut seen = BTreeMap::new();
        for it in waiting.iter().filter(|it| it.party.running(patience) == Some(it.request)) {
            let Some(cycle) = graph.cycle(it.party.id) else { continue };
            // Somebody else's, or it is looked at in its turn.
            if graph.youngest(&cycle) != Some(it.party.id) {
                continue;
            }
            let count = self.suspects.get(&cycle).copied().unwrap_or(0) + 1;
            if count >= SIGHTS {
                self.condemn(it, &cycle);
            } else {
                seen.insert(cycle, count);
            }
        }
        self.suspects = seen;
    }

    fn condemn(&self, victim: &Waiting, cycle: &Cycle) {
        let Some(first) = cycle.first() else { return };
        let detail = detail(cycle);
        let shards: Vec<usize> = cycle.iter().map(|edge| edge.shard).collect();
        tracing::warn!(
            cluster = self.cluster,
            ?shards,
            "a deadlock between transactions over several shards: {}",
            detail.replace('\n', " "),
        );
        victim.party.condemn(Sentence {
            request: victim.request,
            shard: first.shard,
            pid: first.pid,
            detail,
        });
    }
}

/// What the shards have said, and how long a statement must run before it counts.
fn read(waiting: &[Waiting], sights: &[(usize, ErrandRows)]) -> (Graph, Duration) {
    let mut graph = Graph::default();
    let mut patience = PATIENCE;
    let mut edges = Vec::new();
    for (shard, rows) in sights {
        for row in rows {
            let text = |index: usize| row.get(index)?.as_deref();
            let number = |index: usize| text(index)?.parse::<i64>().ok();
            match text(0) {
                Some("w") => {
                    let pid = |index| number(index).and_then(|it| i32::try_from(it).ok());
                    let (Some(pid), Some(blocker)) = (pid(1), pid(2)) else { continue };
                    edges.push(Edge {
                        shard: *shard,
                        pid,
                        blocker,
                        lock: text(4).unwrap_or_default().to_owned(),
                        transaction: text(3).unwrap_or_default().to_owned(),
                    });
                }
                Some("m") => {
                    if let Some((party, pid)) = number(3).and_then(read_mark) {
                        graph.belongs(*shard, pid, party);
                    }
                }
                Some("t") => {
                    let millis = number(3).and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
                    patience = patience.max(Duration::from_millis(millis));
                }
                _ => {}
            }
        }
    }
    // What this process knows itself counts more.
    for it in waiting {
        it.branches.iter().for_each(|(shard, pid)| graph.belongs(*shard, *pid, it.party.id));
    }
    edges.into_iter().for_each(|edge| graph.wait(edge));
    (graph, patience)
}

/// Who waits on a shard, after the marks there have become these.
async fn ask(
    primaries: &Primaries,
    shard: usize,
    former: Option<Outpost>,
    marks: BTreeSet<i64>,
) -> Result<(Outpost, ErrandRows), ErrandError> {
    let roles = primaries.roles();
    let endpoint = roles.first().and_then(|role| primaries.endpoint(shard, role));
    let Some(endpoint) = endpoint else { return Err(gone()) };
    let mut outpost = match former.filter(|it| it.endpoint == endpoint) {
        Some(outpost) => outpost,
        None => {
            let errand = Errand::open(&endpoint, FIRST, ANSWER).await?;
            Outpost { endpoint, errand, marks: BTreeSet::new() }
        }
    };
    let mut sql = String::new();
    for mark in marks.difference(&outpost.marks) {
        sql.push_str(&format!("SELECT FROM pg_try_advisory_lock_shared({mark}); "));
    }
    for mark in outpost.marks.difference(&marks) {
        sql.push_str(&format!("SELECT FROM pg_advisory_unlock_shared({mark}); "));
    }
    sql.push_str(&question());
    let rows = outpost.errand.ask_within(&sql, ANSWER).await?;
    outpost.marks = marks;
    Ok((outpost, rows))
}

fn gone() -> ErrandError {
    ErrandError::Gone(pgherd_pool::ConnectError::Timeout(Duration::ZERO))
}
