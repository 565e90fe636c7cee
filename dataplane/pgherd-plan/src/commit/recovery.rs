//! What is to be finished of what others have left prepared.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::gid::{Gid, Place};

/// A prepared transaction as a server lists it.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The shard on which it is.
    pub shard: usize,
    /// The role that may finish it, besides superusers.
    pub owner: String,
    /// Its name.
    pub gid: Gid,
    /// How long it has been there, by the server's clock.
    pub age: Duration,
}

/// What this process itself has to do with a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is working on it.
    Working,
    /// It has given it up, or left its end to whoever comes.
    Left,
    /// It knows nothing of it.
    Unknown,
}

/// A transaction that somebody must finish.
#[derive(Clone, Debug, PartialEq)]
pub struct InDoubt {
    /// Which.
    pub transaction: Uuid,
    /// The role that may finish it, and whose records say what becomes of it.
    pub owner: String,
    /// The shard on which its record is.
    pub record: usize,
    /// What is prepared of it, by shards.
    pub parts: Vec<Prepared>,
}

/// What is to be done, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Doubts {
    /// To be finished, the oldest first.
    pub due: Vec<InDoubt>,
    /// The database with the record is none of these shards: nothing is done to these.
    pub astray: Vec<Prepared>,
}

/// Judges what all the shards that answered have listed. `places` has the databases by shards,
/// `None` for those that cannot be reached now. What is younger than `grace` is left alone, unless
/// this process knows better.
///
/// A record is sought in the database that its name says, whatever number that has by now.
pub fn in_doubt(
    prepared: &[Prepared],
    places: &[Option<Place>],
    grace: Duration,
    standing: impl Fn(Uuid) -> Standing,
) -> Doubts {
    let mut doubts = Doubts::default();
    let mut due: BTreeMap<(Uuid, &str), InDoubt> = BTreeMap::new();
    for part in prepared {
        let is_due = match standing(part.gid.transaction) {
            Standing::Working => false,
            Standing::Left => true,
            Standing::Unknown => part.age >= grace,
        };
        if !is_due {
            continue;
        }
        let Some(record) = places.iter().position(|&place| place == Some(part.gid.place)) else {
            // It may be on a shard that is away.
            if places.iter().all(Option::is_some) {
                doubts.astray.push(part.clone());
            }
            continue;
        };
        let transaction = part.gid.transaction;
        let entry = due.entry((transaction, &part.owner)).or_insert_with(|| InDoubt {
            transaction,
            owner: part.owner.clone(),
            record,
            parts: Vec::new(),
        });
        entry.parts.push(part.clone());
    }
    doubts.due = due.into_values().collect();
    let age = |doubt: &InDoubt| doubt.parts.iter().map(|part| part.age).max();
    doubts.due.sort_by_key(|doubt| std::cmp::Reverse(age(doubt)));
    doubts
}
