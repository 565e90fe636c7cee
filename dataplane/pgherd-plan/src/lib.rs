//! From a statement's tree to a plan: which shards must answer, and what one Postgres finishes.
//!
//! Pure: tree + catalog + placement + parameters -> [`Plan`]. The promise is an exact answer or
//! `0A000`, so that everything here is deny by default: what is not known to be right becomes
//! a [`Refusal`] that names the construct. [`outline`] does all that does not depend on the
//! parameters' values and can be kept per text; [`Outline::plan`] does the rest per execution.

mod blocks;
mod catalog;
mod chain;
mod clauses;
pub mod commit;
pub mod copy;
mod ddl;
mod doubts;
mod edit;
mod expand;
mod facts;
mod functions;
mod gathering;
mod insert;
mod key;
mod local;
mod locking;
mod merge;
mod merge_rows;
mod merging;
mod modify;
mod moment;
mod once;
mod outline;
mod partial;
mod plan;
mod push;
mod quote;
mod rows;
mod rules;
mod scatter;
mod schemas;
mod scope;
mod source;
pub mod unique_id;
mod views;
mod walk;
mod walker;
mod with;
mod write;

pub use catalog::{
    COLUMNS_QUERY, Catalog, Column, ColumnRow, FUNCTIONS_QUERY, FunctionRow, KeyType, Kind,
    Linguistic, Table, Transport, VIEWS_QUERY, ViewRow,
};
pub use facts::{Facts, TABLES_QUERY, TableRow};
pub use functions::Volatility;
pub use key::{Key, Parameter, Placement, family};
pub use moment::Moment;
pub use outline::{Context, Outline, outline};
pub use plan::{
    Block, Chain, Everywhere, Finish, Gather, GatheredColumn, Locks, Merge, MergeKey, Move, Plan,
    Refusal, Replies, Scatter, To, Write,
};
pub use rules::Rules;
pub use schemas::{Home, OBJECTS_QUERY, one_shard_of};

#[cfg(test)]
mod tests;
