//! The names under which the parts of a transaction are prepared.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// What all our names begin with.
pub const PREFIX: &str = "pgherd:";

/// Postgres refuses names of 200 bytes or more.
const LONGEST: usize = 199;

/// Which database it is, whatever number its shard has: topologies change, and a record that is
/// sought on the wrong shard would not be found, which reads as *aborted*.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The system identifier of its cluster of databases, which standbys share.
    pub system: i64,
    /// Its OID there.
    pub database: u32,
}

/// The name of one part: `pgherd:<transaction>:<record>:<shard>:<system>:<database>`, where the
/// last two are the [`Place`] of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gid {
    /// The transaction, over all shards.
    pub transaction: Uuid,
    /// The shard that had the record when this was written; for people, [`Gid::place`] decides.
    pub record: u32,
    /// The shard whose part this is. Shards may be databases of one server, whose names of prepared
    /// transactions are one space.
    pub shard: u32,
    /// Where the record is.
    pub place: Place,
}

/// A name that begins like ours and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a name that pgherd gives to prepared transactions")]
pub struct GidError;

impl Place {
    /// From the two values in which servers say it.
    pub fn read(system: Option<&str>, database: Option<&str>) -> Option<Self> {
        Some(Self { system: system?.parse().ok()?, database: database?.parse().ok()? })
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transaction, record, shard, place } = self;
        let transaction = transaction.as_hyphenated();
        let Place { system, database } = place;
        write!(f, "{PREFIX}{transaction}:{record}:{shard}:{system}:{database}")
    }
}

impl FromStr for Gid {
    type Err = GidError;

    /// Takes exactly what [`fmt::Display`] gives.
    fn from_str(text: &str) -> Result<Self, GidError> {
        if text.len() > LONGEST {
            return Err(GidError);
        }
        let mut fields = text.strip_prefix(PREFIX).ok_or(GidError)?.split(':');
        let mut next = || fields.next().ok_or(GidError);
        let transaction = Uuid::try_parse(next()?).map_err(|_| GidError)?;
        let record = number(next()?)?;
        let shard = number(next()?)?;
        let place = Place { system: number(next()?)?, database: number(next()?)? };
        let gid = Self { transaction, record, shard, place };
        let is_it = record != shard && gid.to_string() == text;
        is_it.then_some(gid).ok_or(GidError)
    }
}

fn number<N: FromStr>(digits: &str) -> Result<N, GidError> {
    digits.parse().map_err(|_| GidError)
}
