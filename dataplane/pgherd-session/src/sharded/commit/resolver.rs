//! Finishing what is prepared and nobody finishes: any proxy does it for all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ahash::AHashMap;
use futures_util::future::join_all;
use pgherd_plan::commit::{Doubts, Gid, InDoubt, Outcome, Place, Prepared, in_doubt, sql};
use pgherd_pool::{Endpoint, Errand, ErrandError, Primaries};
use rand::RngExt;
use tokio::task::{AbortHandle, JoinSet};
use uuid::Uuid;

use super::book::{Commits, Tally};
use super::cleaner;
use super::roles::{ANSWER, CONNECT, RoleError, open_as};
use crate::sharded::deadlocks::Detector;
use crate::shared::Shared;

/// How often the shards are asked what is prepared.
const INTERVAL: Duration = Duration::from_secs(2);
/// How often while this process itself has left something.
const HURRY: Duration = Duration::from_millis(250);
/// The least time between two looks.
const LEAST: Duration = Duration::from_millis(20);
/// How old something must be before one who knows nothing of it touches it.
const GRACE: Duration = Duration::from_secs(3);
/// How often records are looked at that are old.
const CLEAN: Duration = Duration::from_secs(60);
/// How often the topology is looked at for clusters that came or went.
const CLUSTERS: Duration = Duration::from_secs(1);

/// `lock_not_available`, `query_canceled`: the transaction with the record is open still, and
/// whoever commits it may live.
const STILL_OPEN: [&str; 2] = ["55P03", "57014"];
/// `undefined_object`, `object_not_in_prerequisite_state`: somebody else has finished it, or is
/// just doing that.
const NOT_OURS: [&str; 2] = ["42704", "55000"];

/// Finishes transactions over several shards that were left prepared, and ends those that wait for
/// each other, in all clusters, for as long as it is polled. One task of the process does that, best on a thread that nothing else keeps
/// busy; that several processes do it at once is harmless.
///
/// Cancel safe: what was begun is done by whoever comes next.
pub async fn settle_transactions(shared: Arc<Shared>) {
    let mut tasks = JoinSet::new();
    let mut running = AHashMap::<String, AbortHandle>::new();
    loop {
        let names = shared.directory.sharded_clusters();
        running.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
                shared.commits.forget(name);
            }
            stays
        });
        for name in names {
            if !running.contains_key(&name) {
                let resolver = Resolver::new(Arc::clone(&shared), &name);
                let detector = Detector::new(Arc::clone(&shared), &name);
                let task = tasks.spawn(async {
                    tokio::join!(resolver.run(), detector.run());
                });
                running.insert(name, task);
            }
        }
        while tasks.try_join_next().is_some() {}
        tokio::time::sleep(CLUSTERS).await;
    }
}

/// What finishes the transactions of one cluster.
struct Resolver {
    shared: Arc<Shared>,
    cluster: String,
    tally: Arc<Tally>,
    /// A connection for each shard, kept for the question what is prepared.
    lookouts: Vec<Option<Lookout>>,
    /// Of what was complained already.
    told: HashSet<String>,
    cleaned: Option<Instant>,
}

pub(super) struct Lookout {
    endpoint: Endpoint,
    pub(super) errand: Errand,
}

/// What a shard has said.
#[derive(Debug)]
pub(super) struct Sight {
    place: Option<Place>,
    pub(super) prepared: Vec<Prepared>,
    /// Names that begin like ours.
    strange: Vec<String>,
}

impl Resolver {
    fn new(shared: Arc<Shared>, cluster: &str) -> Self {
        let tally = shared.commits.tally(cluster);
        let cluster = cluster.to_owned();
        let (lookouts, told) = (Vec::new(), HashSet::new());
        Self { shared, cluster, tally, lookouts, told, cleaned: None }
    }

    fn commits(&self) -> &Commits {
        &self.shared.commits
    }

    async fn run(mut self) {
        let mut changed = self.commits().subscribe();
        loop {
            changed.mark_unchanged();
            self.look().await;
            let pause = if self.commits().left(&self.cluster).is_empty() {
                // Not all proxies in the same moment.
                INTERVAL.mul_f64(rand::rng().random_range(0.8..1.0))
            } else {
                HURRY
            };
            tokio::time::sleep(LEAST).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = changed.changed() => {}
            }
        }
    }

    async fn look(&mut self) {
        let Some(primaries) = self.shared.directory.primaries(&self.cluster) else { return };
        // Before the shards are asked: what is left later may be prepared later.
        let left = self.commits().left(&self.cluster);
        let sights = look_around(&primaries, &mut self.lookouts).await;
        let places: Vec<_> = sights.iter().map(|it| it.as_ref().and_then(|it| it.place)).collect();
        let all = sights.iter().all(Option::is_some);
        let (mut prepared, mut strange) = (Vec::new(), Vec::new());
        for sight in sights.into_iter().flatten() {
            prepared.extend(sight.prepared);
            strange.extend(sight.strange);
        }
        let doubts = in_doubt(&prepared, &places, GRACE, |id| self.commits().standing(id));
        self.complain(&doubts, &strange);
        let open: HashSet<Uuid> = doubts
            .due
            .iter()
            .map(|doubt| doubt.transaction)
            .chain(doubts.astray.iter().map(|part| part.gid.transaction))
            .collect();
        self.tally.found(open.len());
        for doubt in &doubts.due {
            self.settle(&primaries, doubt).await;
        }
        let is_prepared = |id: &Uuid| prepared.iter().any(|part| part.gid.transaction == *id);
        for id in left.iter().filter(|id| all && !is_prepared(id)) {
            self.commits().settled(*id);
        }
        let is_time = self.cleaned.is_none_or(|at| at.elapsed() >= CLEAN);
        if all && is_time {
            self.cleaned = Some(Instant::now());
            cleaner::clean(&primaries, &mut self.lookouts).await;
        }
    }

    /// Finishes one, if its record's shard says how.
    async fn settle(&self, primaries: &Primaries, doubt: &InDoubt) {
        let transaction = doubt.transaction;
        let outcome = match decide(primaries, doubt).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let is_open = match &error {
                    RoleError::Failed(error) => {
                        error.code().is_some_and(|it| STILL_OPEN.contains(&it))
                    }
                    _ => false,
                };
                let (record, cluster) = (doubt.record, &self.cluster);
                if is_open {
                    tracing::debug!(cluster, %transaction, "somebody is still committing it");
                } else {
                    tracing::warn!(cluster, %transaction, record, "stays in doubt: {error}");
                }
                return;
            }
        };
        let finishing = doubt.parts.iter().map(|part| finish(primaries, doubt, part, outcome));
        let finished = join_all(finishing).await;
        let ours = finished.iter().filter(|it| matches!(it, Ok(true))).count();
        for error in finished.iter().filter_map(|it| it.as_ref().err()) {
            tracing::warn!(cluster = self.cluster, %transaction, ?outcome, "a part stays: {error}");
        }
        if ours > 0 {
            self.tally.resolved(outcome);
            let shards: Vec<usize> = doubt.parts.iter().map(|part| part.shard).collect();
            tracing::info!(
                cluster = self.cluster, %transaction, ?outcome, ?shards,
                "a transaction that was left in doubt is finished",
            );
        }
        if finished.iter().all(Result::is_ok) {
            self.commits().settled(transaction);
        }
    }

    fn complain(&mut self, doubts: &Doubts, strange: &[String]) {
        let astray = doubts.astray.iter().map(|part| {
            let why = "the database that says what became of it is none of this cluster's shards";
            (part.gid.to_string(), why)
        });
        let strange = strange.iter().map(|gid| (gid.clone(), "nobody knows what it is"));
        for (gid, why) in astray.chain(strange) {
            if !self.told.contains(&gid) {
                tracing::error!(cluster = self.cluster, gid, "a prepared transaction stays: {why}");
                self.told.insert(gid);
            }
        }
    }
}

/// What is prepared on each shard; `None` for those that do not say.
pub(super) async fn look_around(
    primaries: &Primaries,
    lookouts: &mut Vec<Option<Lookout>>,
) -> Vec<Option<Sight>> {
    lookouts.resize_with(primaries.count(), || None);
    let looking = lookouts.iter_mut().enumerate().map(async |(shard, kept)| {
        match look_at(primaries, shard, kept).await {
            Ok(sight) => Some(sight),
            Err(error) => {
                tracing::debug!(shard, "does not say what is prepared: {error}");
                *kept = None;
                None
            }
        }
    });
    join_all(looking).await
}

async fn look_at(
    primaries: &Primaries,
    shard: usize,
    kept: &mut Option<Lookout>,
) -> Result<Sight, RoleError> {
    let roles = primaries.roles();
    let endpoint = roles.first().and_then(|role| primaries.endpoint(shard, role));
    let endpoint = endpoint.ok_or(RoleError::NoPrimary)?;
    let former = kept.take().filter(|it| it.endpoint == endpoint);
    let mut errand = match former {
        Some(lookout) => lookout.errand,
        None => Errand::open(&endpoint, sql::SETTLE, CONNECT).await.map_err(RoleError::Failed)?,
    };
    let rows = errand.ask_within(&sql::list_prepared(), ANSWER).await.map_err(RoleError::Failed)?;
    *kept = Some(Lookout { endpoint, errand });
    let mut sight = Sight { place: None, prepared: Vec::new(), strange: Vec::new() };
    for row in &rows {
        let text = |index: usize| row.get(index)?.as_deref();
        if text(3) != Some("f") {
            // What a standby says is not what is.
            return Err(RoleError::NoPrimary);
        }
        sight.place = Place::read([text(0), text(1), text(2)]);
        let Some(gid) = text(4) else { continue };
        let age = text(6).and_then(|age| age.parse::<f64>().ok()).unwrap_or(0.0);
        match gid.parse::<Gid>() {
            Ok(gid) => sight.prepared.push(Prepared {
                shard,
                owner: text(5).unwrap_or_default().to_owned(),
                gid,
                age: Duration::try_from_secs_f64(age).unwrap_or_default(),
            }),
            Err(_) => sight.strange.push(gid.to_owned()),
        }
    }
    Ok(sight)
}

/// What becomes of it: from now on that and nothing else.
async fn decide(primaries: &Primaries, doubt: &InDoubt) -> Result<Outcome, RoleError> {
    let mut errand = open_as(primaries, doubt.record, &doubt.owner).await?;
    let rows = errand.ask_within(&sql::claim_record(doubt.transaction), ANSWER).await;
    let rows = rows.map_err(RoleError::Failed)?;
    let value = rows.first().and_then(|row| row.first()?.as_deref());
    sql::read_outcome(value).ok_or(RoleError::NoRecord)
}

/// Whether it was us who have finished a part.
async fn finish(
    primaries: &Primaries,
    doubt: &InDoubt,
    part: &Prepared,
    outcome: Outcome,
) -> Result<bool, RoleError> {
    let mut errand = open_as(primaries, part.shard, &doubt.owner).await?;
    let sql = match outcome {
        Outcome::Committed => sql::commit_prepared(&part.gid),
        Outcome::Aborted => sql::rollback_prepared(&part.gid),
    };
    match errand.ask_within(&sql, ANSWER).await {
        Ok(_) => Ok(true),
        Err(ErrandError::Reported(report)) if NOT_OURS.contains(&report.code.as_str()) => Ok(false),
        Err(error) => Err(RoleError::Failed(error)),
    }
}
