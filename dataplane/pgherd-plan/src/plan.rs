//! What is to be done for one execution of a statement.

use std::borrow::Cow;

/// How a statement is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The client's bytes, unchanged, to this shard.
    Single(usize),
    /// The client's bytes, unchanged, to any shard: they only read what all shards have.
    Any,
    /// One query for each shard, whose rows are merged as they come.
    Merge(Merge),
    /// Rows of the shards, then one query over them.
    Finish(Finish),
    /// The client's bytes, unchanged, to each of these shards, all or none; the counts of the tags
    /// are added, returned rows concatenated.
    Broadcast(Vec<usize>),
    /// A text for each shard, all or none; tags and rows as for a broadcast.
    Split(Vec<(usize, String)>),
    /// Nothing that reads or writes rows: the session's own business.
    Elsewhere,
    /// `0A000`.
    Refuse(Refusal),
}

/// Rows that stream from several shards to the client.
///
/// The query is asked with the types of parameters that the client's own statement has; its first
/// columns are those of that statement, in the formats that the client asked for, and `hidden` more
/// follow, always in binary, which are cut off. Sorted by `keys`, each shard's rows are merged; with
/// no keys they follow each other. Then `offset` rows are left out and `limit` are sent, with
/// `with_ties` also those that equal the last one in all keys; the rest is not read. The tag counts
/// the rows sent. `otherwise` is the plan where a column asked for in binary holds OIDs that differ
/// between shards: arrays, composites and records of types that are not built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    pub shards: Vec<usize>,
    pub query: String,
    pub hidden: usize,
    pub keys: Vec<MergeKey>,
    pub limit: Option<u64>,
    pub offset: u64,
    pub with_ties: bool,
    pub otherwise: Box<Plan>,
}

/// A column by which rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeKey {
    /// Counted over all columns of the query. Its format is the client's, unless it is hidden.
    pub column: usize,
    /// Built in, and known to `pgherd-types`; text is ordered by bytes.
    pub type_oid: u32,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Rows to gather, and the query over them.
///
/// All reads of one shard must see one snapshot (`REPEATABLE READ` when there is more than one).
/// The values of gathered column `i` (counted over all gathers, in order) become an array, the
/// parameter number `first_parameter + i` of `query`, bound in binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    pub gathers: Vec<Gather>,
    /// Its parameters before `first_parameter` are the client's own.
    pub query: String,
    pub first_parameter: usize,
}

/// A query for some shards, whose rows in any order are the input. To be asked with the types of
/// parameters that the client's own statement has, results in binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    pub shards: Vec<usize>,
    /// Its parameters have the client's numbers.
    pub query: String,
    pub uses_parameters: bool,
    pub columns: Vec<GatheredColumn>,
}

/// A column of a gather; the array that is made of it has this type of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatheredColumn {
    pub type_oid: u32,
}

/// A statement whose exact answer is not to be had: SQLSTATE `0A000`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{construct} cannot be answered over shards")]
pub struct Refusal {
    /// Which construct.
    pub construct: Cow<'static, str>,
    pub hint: Cow<'static, str>,
}

impl Refusal {
    pub fn new(
        construct: impl Into<Cow<'static, str>>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { construct: construct.into(), hint: hint.into() }
    }

    /// With the hint that holds for all: one key makes it one shard's business.
    pub fn over_shards(construct: impl Into<Cow<'static, str>>) -> Self {
        Self::new(construct, "Compare the sharding key of every sharded table with one value.")
    }
}
