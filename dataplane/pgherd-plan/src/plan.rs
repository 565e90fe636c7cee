//! What is to be done for one execution of a statement.

use std::borrow::Cow;

use crate::catalog::Table;
use crate::key::{Parameter, Placement};

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
    /// A text for each shard, all or none.
    Write(Write),
    /// Rows to be computed first, which are then written where they belong.
    Scatter(Box<Scatter>),
    /// A data-modifying statement of WITH, and then the rest of the statement.
    Chain(Chain),
    /// An UPDATE of the sharding key, after which rows change their shard.
    Move(Box<Move>),
    /// The client's bytes, unchanged, to all shards: DDL, VACUUM, TRUNCATE, LOCK TABLE.
    Everywhere(Everywhere),
    /// COPY, split or concatenated.
    Copy(Box<crate::copy::Copy>),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeKey {
    /// Counted over all columns of the query. Its format is the client's, unless it is hidden.
    pub column: usize,
    /// Built in, and known to `pgherd-types`.
    pub type_oid: u32,
    /// Of text that is not ordered by bytes: as [`crate::Linguistic::quoted`] has it.
    pub collation: Option<Box<str>>,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Rows to gather, and the query over them.
///
/// All reads of one shard must see one snapshot.
/// The values of gathered column `i` (counted over all gathers, in order) become an array, the
/// parameter number `first_parameter + i` of `query`, bound in binary.
///
/// With `locks`, rows are locked as they are gathered: in the transaction itself, from one shard
/// after the other, each with as many as are still wanted behind LIMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    pub gathers: Vec<Gather>,
    /// Its parameters before `first_parameter` are the client's own.
    pub query: String,
    pub first_parameter: usize,
    pub locks: Option<Locks>,
}

/// How rows are locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks {
    /// Of all shards together.
    pub limit: Option<u64>,
}

/// A write by several shards, each with its own text.
///
/// First the gathers, as for a [`Finish`]; the arrays are parameters of all texts, from
/// `first_parameter` on, after the client's own. Reads come before writes on every shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub gathers: Vec<Gather>,
    pub first_parameter: usize,
    pub texts: Vec<(usize, String)>,
    pub replies: Replies,
}

/// What a client sees of the answers of several shards to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replies {
    /// The counts of the tags added, returned rows concatenated.
    Added,
    /// As `Added`, but when each shard returns as many rows as it was given, they come in the order
    /// of the rows that the client wrote: entry `i` is the index in `texts` that has row `i`.
    InOrder(Vec<usize>),
    /// All shards hold the same rows: tag and rows of the first. Where the others' tags differ, the
    /// copies have drifted apart: `XX001`, and everything is rolled back.
    Same,
}

/// INSERT whose rows are computed by one query, once, and then sent to their shards.
///
/// 1. `rows` is answered as if the client had sent that text with its own parameters (types as of
///    its own statement), in binary: `plan` is a plan of reading (`Any`, `Single`, `Finish`, …).
///    For `Any`, the shard `on` must answer when that is said: it has the sequences, and counts as
///    written.
/// 2. `supply`, if there is one, is asked on the shard `on` (written as well), with the number of
///    rows as `$1` (`int8`): as many rows, whose columns go behind those of `rows`. Not when there
///    are no rows.
/// 3. Each row goes where `to` says: [`Scatter::shard`].
/// 4. Each shard that gets rows gets `insert` with the client's parameters, and from
///    `first_parameter` on an array in binary for each of all columns, elements of the types in
///    `columns`. All or none. Without any rows `insert` goes to shard 0 with empty arrays.
///
/// Replies: for [`To::All`] as [`Replies::Same`], else as [`Replies::InOrder`] in the order of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scatter {
    pub rows: String,
    pub plan: Box<Plan>,
    pub on: Option<usize>,
    pub supply: Option<String>,
    pub insert: String,
    pub first_parameter: usize,
    pub columns: Vec<GatheredColumn>,
    pub to: To,
}

/// Where computed rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// By the value of this column of theirs, which is the key of the table.
    Key {
        table: Box<Table>,
        at: usize,
    },
    /// All rows to all shards: a reference table.
    All,
    One(usize),
}

/// A statement in two parts, one after the other, all or none.
///
/// 1. `first` is answered as `first_plan` says, as if the client had sent it with the first
///    `first_parameters` of its parameters, in binary.
/// 2. The columns of its rows become arrays, parameters behind the client's; so `rest` is answered
///    as `rest_plan` says, with `rest_parameters` of the client's (all, if there are arrays). What
///    the client sees is the answer to that.
///
/// The first shard takes part from the beginning on: what both say of the time is its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    pub first: String,
    pub first_plan: Box<Plan>,
    pub first_parameters: usize,
    pub columns: Vec<GatheredColumn>,
    pub rest: String,
    pub rest_plan: Box<Plan>,
    pub rest_parameters: usize,
}

/// UPDATE of the sharding key.
///
/// 1. `update` on each of `shards`, with the client's parameters and its gathers. Its rows have the
///    client's columns first, in the client's formats, and behind them in binary: `ctid`, the key,
///    and the row's `columns`.
/// 2. For rows whose key belongs to another shard ([`Move::shard`]): `delete` on the old shard with
///    their ctids as one array of `tid`, after the updates of all shards.
/// 3. `insert` on their new shards, arrays of the row's columns from `$1` on, after all deletes.
///
/// The tag is the sum of the updates'. All or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    pub gathers: Vec<Gather>,
    pub first_parameter: usize,
    pub shards: Vec<usize>,
    pub update: String,
    pub delete: String,
    pub insert: String,
    pub columns: Vec<GatheredColumn>,
    pub table: Table,
}

/// A statement that all shards carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Everywhere {
    pub block: Block,
    /// The catalog is to be read again afterwards.
    pub ddl: bool,
}

/// Whether a statement may stand in a transaction block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// All or none; the tag of the first.
    Allowed,
    /// In a block: to shard 0 as it is, which says why not. Outside: shard after shard, each by
    /// itself; an error's DETAIL says which shards have done it.
    Forbidden,
    /// Outside of a block: to shard 0 as it is, which says what one Postgres says; inside as
    /// `Allowed`.
    Needed,
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

// === impl Scatter ===

impl Scatter {
    /// The shard of a row by its key in binary.
    ///
    /// # Errors
    /// When no shard takes it.
    pub fn shard(
        &self,
        key: Option<&[u8]>,
        placement: &dyn Placement,
    ) -> Result<Option<usize>, Refusal> {
        match &self.to {
            To::Key { table, .. } => place(table, key, placement).map(Some),
            To::All => Ok(None),
            To::One(shard) => Ok(Some(*shard)),
        }
    }
}

// === impl Move ===

impl Move {
    /// The shard of a row by its new key in binary.
    ///
    /// # Errors
    /// When no shard takes it.
    pub fn shard(&self, key: Option<&[u8]>, placement: &dyn Placement) -> Result<usize, Refusal> {
        place(&self.table, key, placement)
    }
}

/// The shard of a row of a table by its key in binary; when it is NULL and must not be, any shard
/// says so.
pub(crate) fn place(
    table: &Table,
    key: Option<&[u8]>,
    placement: &dyn Placement,
) -> Result<usize, Refusal> {
    let hint = "Give a value that a rule of sharded_tables takes.";
    let refused = || {
        let what = if key.is_none() { "NULL" } else { "a value without a shard" };
        Refusal::new(format!("{what} as the sharding key of {}", table.name), hint)
    };
    let column = table.key().and_then(|it| table.columns.get(it)).ok_or_else(refused)?;
    let parameter = Parameter { type_oid: column.type_oid, value: key, binary: true };
    let must_not_be_null =
        || table.facts.as_ref().is_some_and(|it| it.not_null.contains(&column.name));
    match placement.shard(table, column, &parameter) {
        Some(shard) => Ok(shard),
        None if key.is_none() && must_not_be_null() => Ok(0),
        None => Err(refused()),
    }
}

// === impl Refusal ===

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
