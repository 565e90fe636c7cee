//! Deleting the records that nobody will ask for.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use pgherd_plan::commit::sql;
use pgherd_pool::Primaries;
use uuid::Uuid;

use super::resolver::{Lookout, look_around};
use super::roles::{ANSWER, open_as};

/// How long the record of a commit is kept, though all of it is finished: a coordinator may still
/// ask what became of its COMMIT, and a standby that takes over may not know yet that a part is
/// finished.
const KEEP_COMMITTED: Duration = Duration::from_secs(300);
/// How long a rollback is on record: a coordinator that was cut off must never commit later.
const KEEP_ABORTED: Duration = Duration::from_secs(24 * 60 * 60);
/// Whether anything was ever committed on several shards.
const HAS_TABLE: &str = "SELECT pg_catalog.to_regclass('pgherd.commits') IS NOT NULL";
/// How many are deleted at once, on a shard.
const MOST: usize = 10_000;

/// Deletes what is old and finished. Does nothing where any shard cannot say what is prepared.
pub(super) async fn clean(primaries: &Primaries, lookouts: &mut Vec<Option<Lookout>>) {
    let mut old = Vec::new();
    let question = sql::old_records(KEEP_COMMITTED, KEEP_ABORTED, MOST);
    for (shard, lookout) in lookouts.iter_mut().enumerate() {
        let Some(kept) = lookout else { continue };
        // Where there is no table the question would be an error in the server's log.
        let there = kept.errand.ask_within(HAS_TABLE, ANSWER).await;
        let is_there = there.map(|rows| rows.iter().flatten().flatten().any(|it| it == "t"));
        let asked = match is_there {
            Ok(false) => continue,
            Ok(true) => kept.errand.ask_within(&question, ANSWER).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(rows) => old.push((shard, rows)),
            Err(error) if error.is_answer() => tracing::debug!(shard, "no records: {error}"),
            Err(_) => *lookout = None,
        }
    }
    if old.iter().all(|(_, rows)| rows.is_empty()) {
        return;
    }
    // Only now: see `old_records`.
    let mut unfinished = HashSet::new();
    for sight in look_around(primaries, lookouts).await {
        let Some(sight) = sight else { return };
        unfinished.extend(sight.prepared.iter().map(|part| part.gid.transaction));
    }
    for (shard, rows) in old {
        let mut records = BTreeMap::<String, Vec<Uuid>>::new();
        for row in rows {
            let mut values = row.into_iter();
            let (Some(Some(creator)), Some(Some(id))) = (values.next(), values.next()) else {
                continue;
            };
            let Ok(id) = id.parse() else { continue };
            if !unfinished.contains(&id) {
                records.entry(creator).or_default().push(id);
            }
        }
        for (creator, ids) in records {
            delete(primaries, shard, &creator, &ids).await;
        }
    }
}

async fn delete(primaries: &Primaries, shard: usize, creator: &str, ids: &[Uuid]) {
    let deleted = match open_as(primaries, shard, creator).await {
        Ok(mut errand) => match errand.ask_within(&sql::delete_records(ids), ANSWER).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    };
    match deleted {
        Ok(()) => tracing::debug!(shard, creator, records = ids.len(), "old records are deleted"),
        Err(error) => tracing::info!(shard, creator, "old records cannot be deleted: {error}"),
    }
}
