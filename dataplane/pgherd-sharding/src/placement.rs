//! A rule for a sharding key, ready to place values.

use std::cmp::Ordering;
use std::collections::HashMap;

use pgherd_config::{KeyProblem, KeyRange, ShardedTable, ShardingAlgorithm};
use pgherd_types::{Collation, Collations, Comparator, Type, TypeError, Value};

use crate::hash::{check_hashable, partition_hash};

/// Why a rule cannot serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Postgres has no hash function for the type, or pgherd does not know it.
    #[error("keys of type {type_name} cannot be hashed as Postgres does")]
    NotHashable { type_name: Box<str> },
    /// Equal labels have other OIDs on other shards.
    #[error(
        "keys of enum {type_name} cannot be hashed: Postgres hashes the OIDs of labels, which \
         differ between shards; use a list"
    )]
    HashOfEnum { type_name: Box<str> },
    /// Equal keys may have other bytes.
    #[error("keys under a nondeterministic collation cannot be placed")]
    Nondeterministic,
    /// The keys of the rule do not fit the column's type.
    #[error("{0}")]
    Keys(#[source] KeyProblem),
    /// The type has no equality.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// A rule that validation would not have let through.
    #[error("the rule names shard {shard}, the cluster has {shards}")]
    UnknownShard { shard: usize, shards: usize },
}

/// Why a key has no shard; a guess would lose rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// No entry of the list or the ranges takes it.
    #[error("no shard takes this value of the sharding key")]
    NoShard,
    /// No entry takes NULL.
    #[error("no shard takes NULL as sharding key")]
    Null,
    /// The value was not read with the rule's type.
    #[error("the value is not of the sharding key's type")]
    WrongType,
}

/// Where rows go by the value of one column.
#[derive(Clone, Debug)]
pub struct Placement {
    data_type: Type,
    shards: usize,
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Hash,
    List { keys: HashMap<Box<[u8]>, usize>, nulls: Option<usize>, default: Option<usize> },
    Range { comparator: Comparator, ranges: Vec<KeyRange>, default: Option<usize> },
}

// === impl Placement ===

impl Placement {
    /// A rule for a column of this type under this collation, over so many shards.
    ///
    /// # Errors
    /// When the rule cannot be followed exactly.
    pub fn new(
        rule: &ShardedTable,
        shards: usize,
        data_type: &Type,
        collation: &Collation,
    ) -> Result<Self, PlacementError> {
        let first = |mut problems: Vec<KeyProblem>| PlacementError::Keys(problems.swap_remove(0));
        let unknown = rule.shards.iter().find(|keyed| keyed.shard >= shards);
        if let Some(keyed) = unknown {
            return Err(PlacementError::UnknownShard { shard: keyed.shard, shards });
        }
        let rule = match rule.algorithm {
            ShardingAlgorithm::Hash => {
                check_hashable(data_type, collation)?;
                Rule::Hash
            }
            ShardingAlgorithm::List => {
                data_type.check_groupable(collation, &Collations::bytes())?;
                let list = rule.list_keys(data_type).map_err(first)?;
                let keys = list.values.iter().map(|(value, shard)| {
                    Ok((group_key(data_type, value)?.into_boxed_slice(), *shard))
                });
                let keys = keys.collect::<Result<_, TypeError>>()?;
                Rule::List { keys, nulls: list.nulls, default: list.default }
            }
            ShardingAlgorithm::Range => {
                if !collation.is_deterministic() {
                    return Err(PlacementError::Nondeterministic);
                }
                let range = rule.range_keys(data_type).map_err(first)?;
                // As `PARTITION BY RANGE (column COLLATE "C")`: the same in every version.
                let comparator =
                    Comparator::new(data_type, &Collation::Bytes, &Collations::bytes())?;
                Rule::Range { comparator, ranges: range.ranges, default: range.default }
            }
        };
        Ok(Self { data_type: data_type.clone(), shards, rule })
    }

    /// The type of the keys.
    pub fn data_type(&self) -> &Type {
        &self.data_type
    }

    /// The shard of the rows with this key; `None` is NULL.
    ///
    /// # Errors
    /// When the rule gives it none.
    pub fn place(&self, key: Option<&Value>) -> Result<usize, Unplaced> {
        match &self.rule {
            Rule::Hash => {
                let hash = partition_hash(&self.data_type, key).ok_or(Unplaced::WrongType)?;
                let shards = u64::try_from(self.shards).unwrap_or(u64::MAX);
                let remainder = hash.checked_rem(shards).ok_or(Unplaced::NoShard)?;
                usize::try_from(remainder).map_err(|_| Unplaced::NoShard)
            }
            Rule::List { keys, nulls, default } => match key {
                None => nulls.or(*default).ok_or(Unplaced::Null),
                Some(key) => {
                    let key = group_key(&self.data_type, key).map_err(|_| Unplaced::WrongType)?;
                    let listed = keys.get(key.as_slice()).copied();
                    listed.or(*default).ok_or(Unplaced::NoShard)
                }
            },
            Rule::Range { comparator, ranges, default } => match key {
                None => default.ok_or(Unplaced::Null),
                Some(key) => place_in_ranges(comparator, ranges, *default, key),
            },
        }
    }

    /// The shards that may hold keys from `from` on and up to and including `to`, in order; all of
    /// them where the rule does not follow an order. Not for text, unless the expression is
    /// compared by bytes.
    ///
    /// # Errors
    /// When the limits are not of the rule's type.
    pub fn place_between(
        &self,
        from: Option<&Value>,
        to: Option<&Value>,
    ) -> Result<Vec<usize>, Unplaced> {
        let Rule::Range { comparator, ranges, default } = &self.rule else {
            return Ok((0..self.shards).collect());
        };
        let order =
            |a: &Value, b: &Value| comparator.compare(a, b).map_err(|_| Unplaced::WrongType);
        let mut shards: Vec<usize> = default.iter().copied().collect();
        for range in ranges {
            let begins_after = match (&range.from, to) {
                (Some(begin), Some(to)) => order(begin, to)?.is_gt(),
                _ => false,
            };
            let ends_before = match (&range.to, from) {
                (Some(end), Some(from)) => order(end, from)?.is_le(),
                _ => false,
            };
            if !begins_after && !ends_before {
                shards.push(range.shard);
            }
        }
        shards.sort_unstable();
        shards.dedup();
        Ok(shards)
    }
}

fn group_key(data_type: &Type, value: &Value) -> Result<Vec<u8>, TypeError> {
    let mut key = Vec::new();
    data_type.group_key(Some(value), &mut key)?;
    Ok(key)
}

fn place_in_ranges(
    comparator: &Comparator,
    ranges: &[KeyRange],
    default: Option<usize>,
    key: &Value,
) -> Result<usize, Unplaced> {
    let order = |a: &Value, b: &Value| comparator.compare(a, b).map_err(|_| Unplaced::WrongType);
    let mut failure = None;
    // Those that begin at or below the key; the last of them is the only one that can hold it.
    let begun = ranges.partition_point(|range| match &range.from {
        None => true,
        Some(from) => order(from, key).map(Ordering::is_le).unwrap_or_else(|error| {
            failure = Some(error);
            false
        }),
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let candidate = begun.checked_sub(1).and_then(|last| ranges.get(last));
    if let Some(range) = candidate {
        let inside = match &range.to {
            None => true,
            Some(to) => order(key, to)?.is_lt(),
        };
        if inside {
            return Ok(range.shard);
        }
    }
    default.ok_or(Unplaced::NoShard)
}
